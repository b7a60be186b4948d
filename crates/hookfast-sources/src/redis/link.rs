//! The way to Redis: finds the master, listens and reads there, acknowledges, and finds it again whenever it is lost.
//! Must not know what messages mean.

use super::address::Address;
use super::config::RedisConfig;
use super::connect::{Connection, Connector, Pushes, explain, is_master};
use super::entries::Entry;
use super::metrics::Metrics;
use super::stream::{BLOCK, Reading};
use redis::RedisResult;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const WAIT_MS_MIN: u64 = 50;
const WAIT_MS_MAX: u64 = 5_000;
/// A connection that was of use for so long is no sign that the next one will be lost at once.
const USE_MIN: Duration = Duration::from_secs(5);
/// How often a connection is asked whether its server is still the master.
const WATCH: Duration = Duration::from_secs(1);
/// Most entries that one call acknowledges.
const ACKS_MAX: usize = 512;

/// What the link works with, beside the connection.
pub(super) struct Link {
    pub(super) config: Arc<RedisConfig>,
    pub(super) connector: Arc<Connector>,
    pub(super) metrics: Metrics,
    pub(super) pushes: Pushes,
    pub(super) reading: Option<Reading>,
    pub(super) entries: mpsc::Sender<Entry>,
    /// Numbers of entries that are durable. Closed when there will be no more.
    pub(super) done: mpsc::Receiver<String>,
    /// From then on nothing more is read.
    pub(super) end: CancellationToken,
}

/// How a connection ended.
enum Ended {
    /// Everything is acknowledged, and nothing more will be.
    Done,
    /// It failed, for this reason.
    Lost(String),
}

impl Link {
    /// Keeps it up until the end, and until what became durable is acknowledged.
    pub(super) async fn run(mut self) {
        let mut wait_ms = WAIT_MS_MIN;
        let mut silent_since = Instant::now();
        let mut said: Option<String> = None;
        loop {
            let ended = match self.connect().await {
                Ok((address, connection)) => {
                    self.connected(&address, silent_since, said.is_some());
                    let connected_at = Instant::now();
                    let ended = self.use_it(&address, connection).await;
                    self.metrics.subscribed.set(0);
                    silent_since = Instant::now();
                    if connected_at.elapsed() >= USE_MIN {
                        (wait_ms, said) = (WAIT_MS_MIN, None);
                    }
                    ended
                }
                Err(reason) => Ended::Lost(reason),
            };
            let Ended::Lost(reason) = ended else { return };
            // What was not acknowledged is read again; it is known then.
            if self.end.is_cancelled() {
                return;
            }
            if said.as_ref() != Some(&reason) {
                tracing::warn!(source = %self.config.name, reason, "Redis is away; trying again");
                said = Some(reason);
            }
            tokio::select! {
                () = self.end.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            }
            wait_ms = (wait_ms * 2).min(WAIT_MS_MAX);
            self.count_silence(&mut silent_since);
        }
    }

    fn count_silence(&self, since: &mut Instant) {
        if !self.config.channel.is_empty() {
            self.metrics.unsubscribed_for(since.elapsed());
            *since = Instant::now();
        }
    }

    /// Finds the master and subscribes there.
    async fn connect(&self) -> Result<(Address, Connection), String> {
        let channel = self.config.channel.as_str();
        let pushes = (!channel.is_empty()).then(|| Arc::clone(&self.pushes));
        let (address, mut connection) = tokio::select! {
            found = self.connector.master(pushes) => found.map_err(|error| error.to_string())?,
            () = self.end.cancelled() => return Err("the end".to_owned()),
        };
        if !channel.is_empty() {
            connection.redis.subscribe(channel).await.map_err(|error| explain(&address, &error))?;
        }
        Ok((address, connection))
    }

    fn connected(&self, address: &Address, silent_since: Instant, was_away: bool) {
        self.metrics.connects.inc();
        let RedisConfig { name, channel, stream, .. } = &*self.config;
        if channel.is_empty() {
            tracing::info!(source = %name, %address, stream, "reading Redis");
            return;
        }
        self.metrics.subscribed.set(1);
        self.metrics.unsubscribed_for(silent_since.elapsed());
        let seconds = silent_since.elapsed().as_secs_f64();
        if was_away {
            tracing::warn!(source = %name, %address, channel, stream, seconds, "reading Redis again; what was published on the channel meanwhile is lost");
        } else {
            tracing::info!(source = %name, %address, channel, stream, seconds, "reading Redis");
        }
    }

    async fn use_it(&mut self, address: &Address, connection: Connection) -> Ended {
        let (config, end, metrics, entries) = (&self.config, &self.end, &self.metrics, &self.entries);
        let (connector, reading) = (&self.connector, self.reading.as_ref());
        let acknowledging = connection.redis.clone();
        let read = async {
            let Some(reading) = reading else { return pending().await };
            match connector.open(address, None, BLOCK).await {
                Ok(own) => explain(address, &reading.run(own, entries, metrics).await),
                Err(reason) => reason,
            }
        };
        let read_until_the_end = async {
            tokio::select! {
                lost = read => lost,
                () = end.cancelled() => {
                    if !config.channel.is_empty() {
                        // What still comes is nobody's; an error means that the connection is gone anyway.
                        let _ = connection.redis.clone().unsubscribe(config.channel.as_str()).await;
                    }
                    pending().await
                }
            }
        };
        tokio::select! {
            acknowledged = acknowledge(acknowledging, reading, &mut self.done) => match acknowledged {
                Ok(()) => Ended::Done,
                Err(error) => Ended::Lost(explain(address, &error)),
            },
            lost = read_until_the_end => Ended::Lost(lost),
            lost = watch(&connection, address, reading, metrics) => Ended::Lost(lost),
        }
    }
}

/// Acknowledges what is done, until nothing more will be.
async fn acknowledge(
    mut redis: redis::aio::MultiplexedConnection,
    reading: Option<&Reading>,
    done: &mut mpsc::Receiver<String>,
) -> RedisResult<()> {
    let mut ids = Vec::new();
    while done.recv_many(&mut ids, ACKS_MAX).await > 0 {
        if let Some(reading) = reading {
            reading.acknowledge(&mut redis, &ids).await?;
        }
        ids.clear();
    }
    Ok(())
}

/// Looks after the connection; the answer is why it is of no use any more.
async fn watch(connection: &Connection, address: &Address, reading: Option<&Reading>, metrics: &Metrics) -> String {
    let mut redis = connection.redis.clone();
    let mut tick = tokio::time::interval(WATCH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match is_master(&mut redis).await {
            Ok(true) => {}
            Ok(false) => return format!("Redis at {address} is no master any more"),
            Err(error) => return explain(address, &error),
        }
        if let Some(reading) = reading
            && let Err(error) = reading.observe(&mut redis, metrics).await
        {
            return explain(address, &error);
        }
    }
}
