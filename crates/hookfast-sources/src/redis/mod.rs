//! The Redis source: reads a channel and a stream, and hands each message to intake as an event for the URL it names. One
//! node reads at a time. Must not know how events are stored or sent.
//!
//! A message of the stream is acknowledged when it is durable; until then it is read again, whoever fails. What is
//! published on the channel while nobody listens is lost: that time is logged and counted. A message that comes both ways
//! is one event.

mod address;
mod config;
mod connect;
mod entries;
mod inlet;
mod link;
mod message;
mod metrics;
mod stream;
mod taking;
mod targets;

pub use address::{Address, WrongAddress};
pub use config::{RedisConfig, Sentinel};
pub use metrics::Metrics;

use bytes::Bytes;
use connect::Connector;
use entries::Entry;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hookfast_core::ports::{Applications, Endpoints, Exclusive, Intake, Reading as StoreReading};
use hookfast_core::{Clock, Result};
use inlet::Outlet;
use link::Link;
use metrics::{Outcome, Via, gauge};
use std::sync::Arc;
use std::time::Duration;
use taking::Taking;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often it is asked whose work reading is.
const HOLD: Duration = Duration::from_secs(1);
/// How often it is looked after endpoints that nobody names any more.
const SWEEP: Duration = Duration::from_secs(60);
/// So long what is under way at the end has to become durable.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Acknowledgements that wait for a connection. What does not fit is read again later, and known then.
const DONE_MAX: usize = 4096;

/// What the source needs of the others.
#[derive(Clone)]
pub struct RedisPorts {
    /// The one road in.
    pub intake: Arc<dyn Intake>,
    /// Whose work reading is.
    pub exclusive: Arc<dyn Exclusive>,
    /// Applications: the source has one of its own.
    pub applications: Arc<dyn Applications>,
    /// Endpoints: one for each URL.
    pub endpoints: Arc<dyn Endpoints>,
    /// What waits for them.
    pub reading: Arc<dyn StoreReading>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Reads Redis.
pub struct RedisSource {
    config: Arc<RedisConfig>,
    connector: Arc<Connector>,
    exclusive: Arc<dyn Exclusive>,
    taking: Taking,
    metrics: Metrics,
}

/// What takes messages out of the buffers, and says what is durable.
struct Ends {
    channel: Outlet,
    entries: mpsc::Receiver<Entry>,
    done: mpsc::Sender<String>,
}

/// A message under way: how it came, and its entry.
type Way = (Via, Option<String>);

impl RedisSource {
    /// A source that has not started.
    ///
    /// # Errors
    /// `Invalid` with the setting that is wrong. Nothing is dialled here.
    pub fn new(config: RedisConfig, ports: RedisPorts) -> Result<Self> {
        config.check()?;
        let (config, metrics) = (Arc::new(config), Metrics::default());
        let connector = Arc::new(Connector::new(&config)?);
        let exclusive = Arc::clone(&ports.exclusive);
        let taking = Taking::new(Arc::clone(&config), ports, metrics.clone());
        Ok(Self { config, connector, exclusive, taking, metrics })
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Reads until `stop` is cancelled; then what is under way becomes durable, and another node may read at once. Ends
    /// at most a few seconds after `stop`. Whatever fails meanwhile is logged, waited for, and tried again. A dropped run
    /// loses nothing of the stream.
    pub async fn run(self, stop: CancellationToken) {
        let work = self.config.work();
        while self.until_held(&work, &stop).await {
            self.metrics.holds.set(1);
            self.hold(&work, &stop).await;
            self.metrics.holds.set(0);
        }
    }

    /// Waits until reading is this node's work; `false` at the end.
    async fn until_held(&self, work: &str, stop: &CancellationToken) -> bool {
        let mut tick = interval(HOLD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                _ = tick.tick() => {}
            }
            match self.exclusive.hold(work).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::debug!(source = %self.config.name, %error, "it is not known who reads Redis"),
            }
        }
    }

    /// Reads as long as it is this node's work.
    async fn hold(&self, work: &str, stop: &CancellationToken) {
        let end = stop.child_token();
        let watch = async {
            while self.still_held(work, &end).await {}
            end.cancel();
        };
        tokio::join!(watch, self.read(&end));
        self.taking.report();
        if let Err(error) = self.exclusive.release(work).await {
            tracing::warn!(source = %self.config.name, %error, "another node has to wait before it may read Redis");
        }
    }

    /// Is reading still this node's work, a moment later? `false` at the end, too.
    async fn still_held(&self, work: &str, end: &CancellationToken) -> bool {
        let ask = async {
            tokio::time::sleep(HOLD).await;
            self.taking.report();
            // An error says nothing; while it lasts, `may_act` does.
            !matches!(self.exclusive.hold(work).await, Ok(false))
        };
        let holds = tokio::select! {
            () = end.cancelled() => return false,
            holds = ask => holds,
        };
        if !holds {
            tracing::warn!(source = %self.config.name, "another node reads Redis now");
        }
        holds
    }

    async fn read(&self, end: &CancellationToken) {
        let Some(reading) = self.reading(end).await else { return };
        let (inlet, channel) = inlet::buffer(self.metrics.clone());
        let (entries_in, entries) = mpsc::channel(self.config.in_flight_max);
        let (done, done_out) = mpsc::channel(DONE_MAX);
        let link = Link {
            config: Arc::clone(&self.config),
            connector: Arc::clone(&self.connector),
            metrics: self.metrics.clone(),
            pushes: Arc::new(inlet),
            reading,
            entries: entries_in,
            done: done_out,
            end: end.clone(),
        };
        tokio::join!(link.run(), self.take_all(Ends { channel, entries, done }, end));
    }

    /// As whom the stream is read, once the store says who this is. The outer `None` is the end.
    async fn reading(&self, end: &CancellationToken) -> Option<Option<stream::Reading>> {
        loop {
            let error = match self.taking.targets.application().await {
                Ok(app) => {
                    let reading = stream::Reading {
                        stream: self.config.stream.clone(),
                        group: self.config.group.clone(),
                        consumer: app.to_string(),
                        claim_after_ms: self.config.claim_after_ms,
                    };
                    return Some(Some(reading).filter(|reading| !reading.stream.is_empty()));
                }
                Err(error) => error,
            };
            tracing::warn!(source = %self.config.name, %error, "the source has no application yet");
            tokio::select! {
                () = end.cancelled() => return None,
                () = tokio::time::sleep(HOLD) => {}
            }
        }
    }

    /// Takes messages, so many at a time, until the end; then those that are under way and in the channel's buffer.
    async fn take_all(&self, mut ends: Ends, end: &CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let take =
            |message: Bytes, (via, entry): Way| async move { (self.taking.take(message, via).await, (via, entry)) };
        while !end.is_cancelled() {
            let has_room = under_way.len() < self.config.in_flight_max;
            self.metrics.in_flight.set(gauge(under_way.len()));
            tokio::select! {
                () = end.cancelled() => {}
                Some((outcome, way)) = under_way.next() => self.took(outcome, way, &ends.done),
                Some(message) = ends.channel.next(), if has_room => under_way.push(take(message, (Via::Channel, None))),
                Some(entry) = ends.entries.recv(), if has_room => {
                    under_way.push(take(entry.message.unwrap_or_default(), (Via::Stream, Some(entry.id))));
                }
                _ = sweep.tick() => self.sweep().await,
            }
        }
        // The stream keeps what is in its buffer; the channel does not.
        let mut left = ends.channel.len();
        let drain = async {
            while left > 0 || !under_way.is_empty() {
                let has_room = under_way.len() < self.config.in_flight_max;
                tokio::select! {
                    Some((outcome, way)) = under_way.next() => self.took(outcome, way, &ends.done),
                    Some(message) = ends.channel.next(), if left > 0 && has_room => {
                        left -= 1;
                        under_way.push(take(message, (Via::Channel, None)));
                    }
                }
            }
        };
        if tokio::time::timeout(DRAIN_MAX, drain).await.is_err() {
            let messages = under_way.len() + left;
            tracing::error!(source = %self.config.name, messages, "the end came before they were durable; those of the channel are lost");
        }
        self.metrics.in_flight.set(0);
    }

    fn took(&self, outcome: Outcome, (via, entry): Way, done: &mpsc::Sender<String>) {
        self.metrics.took(via, outcome);
        if let Some(id) = entry {
            // Where there is no room nobody acknowledges now: it is read again, and known then.
            let _ = done.try_send(id);
        }
    }

    async fn sweep(&self) {
        if let Err(error) = self.taking.targets.sweep().await {
            tracing::debug!(source = %self.config.name, %error, "idle endpoints stay for now");
        }
    }
}
