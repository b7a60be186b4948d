//! Producers that post events as SDKs do, in a closed or an open loop, and remember what was acknowledged.
//! They know a server only by address and token; what was lost is for the judge to say.

mod link;
mod pace;
mod producer;
mod request;

pub use request::PAYLOAD_BYTES_MIN;

use crate::{Error, EventKey, LabClock, Result};
use hdrhistogram::Histogram;
use pace::Pacer;
use request::Template;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// When events are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each connection sends its next event when it has the answer to the last one, until so many are accepted.
    Closed {
        /// How many.
        events: u64,
    },
    /// At fixed times, whatever the answers do; latency counts from the intended time.
    Open {
        /// Events per second in all.
        per_second: f64,
        /// How long.
        seconds: f64,
    },
}

impl Pace {
    /// How many events it sends.
    #[must_use]
    pub fn events(&self) -> u64 {
        match *self {
            Self::Closed { events } => events,
            Self::Open { per_second, seconds } => (per_second * seconds).max(0.0) as u64,
        }
    }
}

/// What to send, where, and how fast.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// `host:port` to dial.
    pub address: String,
    /// Value of the `host` field.
    pub authority: String,
    /// What stands before `/api/v1`.
    pub prefix: String,
    /// Bearer token.
    pub token: String,
    /// The applications that take events in turn.
    pub apps: Vec<String>,
    /// Type of every event.
    pub event_type: String,
    /// Size of the payload, in bytes; at least [`PAYLOAD_BYTES_MIN`].
    pub payload_bytes: usize,
    /// Send an idempotency key with each event, as the SDKs do.
    pub idempotency_key: bool,
    /// When events are sent.
    pub pace: Pace,
    /// Connections, each with at most one event under way.
    pub connections: usize,
    /// How long an answer may take; after it the event's fate is unknown.
    pub timeout_ms: u64,
    /// How long the server may be unreachable before the load gives up.
    pub down_ms_max: u64,
    /// Send an event of unknown fate again under the same key until it is known (needs `idempotency_key`).
    pub repeat_unknown: bool,
    /// Added to the number of each event, so that the events of several loads differ.
    pub first_number: u64,
    /// Ends the load early.
    pub stop: CancellationToken,
    /// The time; the receivers' should be a copy of it.
    pub clock: LabClock,
}

impl LoadConfig {
    /// 1,000 events of 512 bytes in a closed loop of 16, with idempotency keys.
    #[must_use]
    pub fn new(address: impl Into<String>, token: impl Into<String>, apps: Vec<String>) -> Self {
        let address = address.into();
        Self {
            authority: address.clone(),
            address,
            prefix: String::new(),
            token: token.into(),
            apps,
            event_type: "lab.event".into(),
            payload_bytes: 512,
            idempotency_key: true,
            pace: Pace::Closed { events: 1000 },
            connections: 16,
            timeout_ms: 30_000,
            down_ms_max: 10_000,
            repeat_unknown: false,
            first_number: 0,
            stop: CancellationToken::new(),
            clock: LabClock::start(),
        }
    }
}

/// What has happened so far; may be read from any thread while a load runs.
#[derive(Debug, Default)]
pub struct Progress {
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
}

impl Progress {
    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            failed: read(&self.failed),
            unknown: read(&self.unknown),
        }
    }
}

/// How the answers came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// 2xx: an obligation of the server.
    pub accepted: u64,
    /// 429 or 503.
    pub refused: u64,
    /// Any other status.
    pub failed: u64,
    /// No answer: timeout or broken connection. The event may have been accepted.
    pub unknown: u64,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// How the answers came out.
    pub counts: Counts,
    /// The ids of the accepted events, per application (in the order of [`LoadConfig::apps`]).
    pub acked: Vec<Vec<EventKey>>,
    /// From the (intended) time of sending to the answer, of accepted events, in µs.
    pub accept_us: Histogram<u64>,
    /// When the first event was sent, in µs since the epoch.
    pub started_us: u64,
    /// When the last answer came.
    pub ended_us: u64,
    /// Why it ended early, if it did.
    pub gave_up: Option<String>,
}

impl LoadReport {
    /// Accepted events per second.
    #[must_use]
    pub fn accepted_per_second(&self) -> f64 {
        let us = self.ended_us.saturating_sub(self.started_us).max(1);
        self.counts.accepted as f64 * 1e6 / us as f64
    }
}

/// An empty histogram of microseconds up to an hour, three digits exact.
///
/// # Errors
/// Never for these bounds.
pub fn histogram() -> Result<Histogram<u64>> {
    let made = Histogram::new_with_bounds(1, 3_600_000_000, 3);
    made.map_err(|error| Error::Invalid { field: "histogram", reason: error.to_string() })
}

/// What all producers of a load share.
struct Shared {
    config: LoadConfig,
    template: Template,
    pacer: Pacer,
    progress: Arc<Progress>,
    tally: Mutex<Tally>,
}

struct Tally {
    acked: Vec<Vec<EventKey>>,
    accept_us: Histogram<u64>,
    ended_us: u64,
    gave_up: Option<String>,
}

impl Shared {
    fn accepted(&self, number: u64, key: EventKey, latency_us: u64, now_us: u64) {
        self.progress.accepted.fetch_add(1, Ordering::Relaxed);
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let app = usize::try_from(number % self.template.apps() as u64).unwrap_or(0);
        tally.acked[app].push(key);
        tally.accept_us.saturating_record(latency_us);
        tally.ended_us = now_us;
    }

    fn give_up(&self, reason: String) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).gave_up.get_or_insert(reason);
        self.config.stop.cancel();
    }
}

/// Sends the load and answers what came of it. Runs its producers on the current runtime; dropping it ends them, and
/// what was acknowledged is then forgotten.
///
/// # Errors
/// When the configuration is wrong. That a server refuses, fails or goes away is a result, not an error.
pub async fn run(config: LoadConfig, progress: Arc<Progress>) -> Result<LoadReport> {
    let apps = config.apps.len();
    let room = usize::try_from(config.pace.events()).unwrap_or(usize::MAX).min(1 << 22) / apps.max(1);
    let tally = Tally {
        acked: (0..apps).map(|_| Vec::with_capacity(room)).collect(),
        accept_us: histogram()?,
        ended_us: config.clock.now_us(),
        gave_up: None,
    };
    let started_us = config.clock.now_us();
    let shared = Arc::new(Shared {
        template: Template::new(&config)?,
        pacer: Pacer::new(&config, started_us)?,
        config,
        progress,
        tally: Mutex::new(tally),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..shared.config.connections.max(1) {
        tasks.spawn(producer::produce(shared.clone()));
    }
    let pacing = tokio::spawn(pace::drive(shared.clone()));
    while tasks.join_next().await.is_some() {}
    pacing.abort();
    let mut tally = shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(LoadReport {
        counts: shared.progress.counts(),
        acked: std::mem::take(&mut tally.acked),
        accept_us: tally.accept_us.clone(),
        started_us,
        ended_us: tally.ended_us,
        gave_up: tally.gave_up.take(),
    })
}
