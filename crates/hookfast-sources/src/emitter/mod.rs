//! An emitter: makes events at a steady pace and hands them to intake. Must not know what happens to them after.

mod durable;
mod invoices;
mod pacer;
mod progress;
mod supervisor;
mod under_way;

pub use invoices::{Invoices, Made, Stage};
pub use pacer::{Pace, Pacer};
pub use supervisor::EmitterSupervisor;

use hookfast_core::model::{Origin, Route};
use hookfast_core::ports::{Intake, Submission};
use hookfast_core::{AppId, Clock, Result, UnixMs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use under_way::UnderWay;

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
    /// What tells its events from those of other emitters: the ids come of it.
    pub name: Vec<u8>,
    /// Most events under way to intake at a time, at least 1.
    pub in_flight_max: usize,
    /// How many invoices are open at a time, at least 1.
    pub invoices: usize,
    /// Only these stages are emitted; empty is all.
    pub stages: Vec<Stage>,
    /// Put before the stage to make the event type, as in `invoice.` + `paid`; empty leaves the stage as it is.
    pub type_prefix: String,
    /// Where its events are said to come in.
    pub origin: Origin,
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
        let config = &self.config;
        let mut pacer = Pacer::new(self.pace.load(Ordering::Relaxed));
        let invoices = Invoices::new(config.invoices, &config.stages, &config.name);
        let mut under_way = UnderWay::new(Arc::clone(&self.intake), Arc::clone(&self.counters), 0);
        let end = config.count.unwrap_or(u64::MAX);
        let mut next = 0;
        let start = Instant::now();
        let mut outcome = Ok(());
        'emit: while next < end {
            pacer.set_interval_ns(self.pace.load(Ordering::Relaxed), elapsed_ns(start));
            let step = pacer.step(elapsed_ns(start), end - next);
            self.counters.skipped.fetch_add(step.skipped, Ordering::Relaxed);
            for _ in 0..step.due {
                if under_way.len() >= config.in_flight_max.max(1)
                    && let Err(error) = under_way.next_ended(&stop).await
                {
                    outcome = Err(error);
                    break 'emit;
                }
                if stop.is_cancelled() {
                    break 'emit;
                }
                let to = (config.app, config.route);
                let event = submission(invoices.nth(next), to, &config.type_prefix, self.clock.wall(), &config.origin);
                under_way.submit(next, event, &stop);
                next += 1;
            }
            let wake = start + Duration::from_nanos(step.next_ns);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep_until(wake), if next < end => {}
                ended = under_way.next_ended(&stop), if under_way.len() > 0 => {
                    if let Err(error) = ended {
                        outcome = Err(error);
                        break;
                    }
                }
            }
        }
        outcome.and(under_way.all_ended().await)
    }
}

/// An event on its way in, with the time that it says.
fn submission(made: Made, (app, route): (AppId, Route), prefix: &str, at: UnixMs, origin: &Origin) -> Submission {
    Submission {
        app,
        route,
        event_type: format!("{prefix}{}", made.event_type(prefix)),
        uid: Some(made.event_id()),
        channels: Vec::new(),
        ordering_key: None,
        body: made.body(at, prefix),
        content_type: None,
        idempotency: None,
        origin: origin.clone(),
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

fn elapsed_ns(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
