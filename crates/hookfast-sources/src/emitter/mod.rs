//! An emitter: makes events at a steady pace and hands them to intake. Must not know what happens to them after.

mod invoices;
mod pacer;

pub use invoices::{Invoices, Made, Stage};
pub use pacer::{Pace, Pacer};

use hookfast_core::model::Route;
use hookfast_core::ports::{Intake, Submission};
use hookfast_core::{AppId, Clock, Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// First wait after intake refused an event; it doubles up to [`BACKOFF_MS_MAX`].
const BACKOFF_MS_MIN: u64 = 50;
/// Longest such wait.
const BACKOFF_MS_MAX: u64 = 5_000;

/// What an emitter does.
#[derive(Clone, Debug)]
pub struct EmitterConfig {
    /// Whose events they are.
    pub app: AppId,
    /// Where they go.
    pub route: Route,
    /// How fast.
    pub pace: Pace,
    /// Ends by itself after so many; `None` goes on until stopped.
    pub count: Option<u64>,
    /// Most events under way to intake at a time, at least 1.
    pub in_flight_max: usize,
    /// How many invoices are open at a time, at least 1.
    pub invoices: usize,
    /// Only these stages are emitted; empty is all.
    pub stages: Vec<Stage>,
    /// Put before the stage to make the event type, as in `invoice.` + `paid`; empty leaves the stage as it is.
    pub type_prefix: String,
}

/// How far an emitter has come. Read at any time, from anywhere.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

impl Counters {
    /// Events that are durable.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Times that intake said "not now"; the event was tried again.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Events given up: intake will never take them, or the emitter was stopped while trying again.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Events not made because their time had passed: a pause is not made up for by a burst.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

/// Makes events at a steady pace.
pub struct Emitter {
    config: EmitterConfig,
    intake: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    pace: Arc<AtomicU64>,
}

impl Emitter {
    /// An emitter that has not started.
    ///
    /// # Errors
    /// `Invalid` when the pace is no pace.
    pub fn new(config: EmitterConfig, intake: Arc<dyn Intake>, clock: Arc<dyn Clock>) -> Result<Self> {
        let interval = config.pace.interval_ns()?;
        Ok(Self { config, intake, clock, counters: Arc::default(), pace: Arc::new(interval.into()) })
    }

    /// Its counters.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Changes the pace of a running emitter, at its next event.
    #[must_use]
    pub fn throttle(&self) -> Throttle {
        Throttle(Arc::clone(&self.pace))
    }

    /// Emits until the count is reached or `stop` is cancelled, then waits for what is under way. At most
    /// `in_flight_max` events are under way at a time.
    ///
    /// # Errors
    /// `NotFound` when the application or endpoint is gone, `Invalid` or `Terminal` when intake will never take such
    /// events. "Not now" is no error: the event is tried again, with growing waits.
    ///
    /// Cancel-safe: a dropped emitter gives up what is under way (each event whole or not at all).
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let mut pacer = Pacer::new(self.pace.load(Ordering::Relaxed));
        let mut invoices = Invoices::new(self.config.invoices, &self.config.stages);
        let mut under_way: JoinSet<Result<()>> = JoinSet::new();
        let mut left = self.config.count.unwrap_or(u64::MAX);
        let mut random = fastrand::Rng::new();
        let start = Instant::now();
        let mut outcome = Ok(());
        'emit: while left > 0 {
            pacer.set_interval_ns(self.pace.load(Ordering::Relaxed), elapsed_ns(start));
            let step = pacer.step(elapsed_ns(start), left);
            self.counters.skipped.fetch_add(step.skipped, Ordering::Relaxed);
            for _ in 0..step.due {
                if under_way.len() >= self.config.in_flight_max.max(1)
                    && let Err(error) = next_ended(&mut under_way, &stop).await
                {
                    outcome = Err(error);
                    break 'emit;
                }
                if stop.is_cancelled() {
                    break 'emit;
                }
                left -= 1;
                self.spawn(&mut under_way, invoices.next(&mut random), stop.clone());
            }
            let wake = start + Duration::from_nanos(step.next_ns);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(wake), if left > 0 => {}
                Some(ended) = under_way.join_next(), if !under_way.is_empty() => {
                    if let Err(error) = flatten(ended) {
                        outcome = Err(error);
                        break;
                    }
                }
            }
        }
        while let Some(ended) = under_way.join_next().await {
            outcome = outcome.and(flatten(ended));
        }
        outcome
    }

    fn spawn(&self, under_way: &mut JoinSet<Result<()>>, made: Made, stop: CancellationToken) {
        let event = Submission {
            app: self.config.app,
            route: self.config.route,
            event_type: format!("{}{}", self.config.type_prefix, made.event_type(&self.config.type_prefix)),
            uid: Some(made.event_id()),
            channels: Vec::new(),
            ordering_key: None,
            body: made.body(self.clock.wall(), &self.config.type_prefix),
            content_type: None,
            idempotency: None,
        };
        under_way.spawn(submit(Arc::clone(&self.intake), Arc::clone(&self.counters), event, stop));
    }
}

/// Changes the pace of a running emitter.
#[derive(Clone, Debug)]
pub struct Throttle(Arc<AtomicU64>);

impl Throttle {
    /// From the next event on.
    ///
    /// # Errors
    /// `Invalid` when it is no pace.
    pub fn set(&self, pace: Pace) -> Result<()> {
        self.0.store(pace.interval_ns()?, Ordering::Relaxed);
        Ok(())
    }
}

/// One event until it is durable. Its own id makes trying again safe: intake knows it when it comes twice.
async fn submit(
    intake: Arc<dyn Intake>,
    counters: Arc<Counters>,
    event: Submission,
    stop: CancellationToken,
) -> Result<()> {
    let mut wait_ms = BACKOFF_MS_MIN;
    loop {
        let error = match intake.submit(event.clone()).await {
            Ok(_) => {
                counters.accepted.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(error) => error,
        };
        if !matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::Retryable) {
            counters.failed.fetch_add(1, Ordering::Relaxed);
            return Err(error);
        }
        counters.refused.fetch_add(1, Ordering::Relaxed);
        let asked_ms = if let Error::Overloaded { retry_after_ms, .. } = error { retry_after_ms } else { 0 };
        tokio::select! {
            () = stop.cancelled() => {
                counters.failed.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            () = tokio::time::sleep(Duration::from_millis(wait_ms.max(asked_ms).min(BACKOFF_MS_MAX))) => {}
        }
        wait_ms = (wait_ms * 2).min(BACKOFF_MS_MAX);
    }
}

async fn next_ended(under_way: &mut JoinSet<Result<()>>, stop: &CancellationToken) -> Result<()> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = under_way.join_next() => flatten(ended),
        else => Ok(()),
    }
}

fn flatten(ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.unwrap_or_else(|lost| Err(Error::Terminal { reason: format!("an emitting task was lost: {lost}") }))
}

fn elapsed_ns(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
