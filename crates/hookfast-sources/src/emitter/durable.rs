//! One run of an emitter that outlives processes. Each event has its number and, out of that, its id, its invoice and its
//! time, so that one made again after a crash is the same to the byte. Must not know who keeps how far it came.
//!
//! The time of an event follows from its number as long as nothing is skipped. Time is skipped only between two events,
//! when it is certain that nobody made the next one yet, and not before the store knows of it.

use super::under_way::UnderWay;
use super::{Counters, Invoices, Stage, submission};
use hookfast_core::model::{Origin, Route};
use hookfast_core::ports::{EmitterProgress, Intake, RunningEmitter};
use hookfast_core::{AppId, Clock, Result, UnixMs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// However it was asked for, one emitter is no faster.
const INTERVAL_NS_MIN: u64 = 1_000_000;
/// Events under way to intake at a time.
const IN_FLIGHT_MAX: usize = 8;
/// Open invoices; no fewer than events under way, or an invoice could overtake itself.
const INVOICES: usize = 16;
/// Events of so much time may be made before the store knows of the first of them, and two in any case.
const AHEAD_NS: u64 = 2_000_000_000;
/// Who is later than this skips the time.
const LATE_MS_MAX: u64 = 1_000;

/// What an emitter and who keeps its progress tell each other.
pub(super) struct Link {
    /// How far it came.
    pub(super) progress: watch::Receiver<EmitterProgress>,
    /// What of it is kept.
    pub(super) kept: watch::Sender<EmitterProgress>,
}

/// A run that has not begun here.
pub(super) struct DurableEmitter {
    to: (AppId, Route),
    origin: Origin,
    count: Option<u64>,
    invoices: Invoices,
    interval_ns: u64,
    started_at: UnixMs,
    /// The event that comes next.
    next: u64,
    intake: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    progress: watch::Sender<EmitterProgress>,
    kept: watch::Receiver<EmitterProgress>,
    /// Notified when progress is waited for to be kept.
    hurry: Arc<Notify>,
}

impl DurableEmitter {
    pub(super) fn new(
        one: &RunningEmitter,
        intake: Arc<dyn Intake>,
        clock: Arc<dyn Clock>,
        hurry: Arc<Notify>,
    ) -> (Self, Link) {
        let spec = &one.spec;
        let interval_ns = spec.interval_ns.max(INTERVAL_NS_MIN);
        let stages: Vec<Stage> = spec.event_types.iter().filter_map(|text| Stage::parse(text)).collect();
        let mut name = spec.endpoint.as_u128().to_be_bytes().to_vec();
        name.extend(one.started_at.0.to_be_bytes());
        let (progress, came) = watch::channel(one.progress);
        let (told, kept) = watch::channel(one.progress);
        let emitter = Self {
            invoices: Invoices::new(INVOICES, &stages, &name),
            to: (spec.app, Route::Endpoint(spec.endpoint)),
            origin: Origin::of(&format!("emitter:{}", spec.endpoint)),
            count: spec.count,
            interval_ns,
            started_at: one.started_at,
            next: one.progress.made,
            intake,
            clock,
            progress,
            kept,
            hurry,
        };
        (emitter, Link { progress: came, kept: told })
    }

    /// Emits until the count is reached or `stop` is cancelled, then waits for what is under way.
    ///
    /// # Errors
    /// As [`super::Emitter::run`].
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let begin = *self.progress.borrow();
        let mut under_way = UnderWay::new(Arc::clone(&self.intake), Arc::<Counters>::default(), begin.made);
        // What an earlier life may have made without telling is made again as it was.
        let certain_from = begin.made + begin.unsure;
        let mut outcome = self.emit(&mut under_way, certain_from, &stop).await;
        outcome = outcome.and(under_way.all_ended().await);
        let made = under_way.made();
        // Whoever goes on behind this knows whether more may have been made: what was given up may be there all the same.
        let unsure = certain_from.max(self.next).saturating_sub(made);
        self.progress.send_modify(|progress| (progress.made, progress.unsure) = (made, unsure));
        outcome
    }

    async fn emit(&mut self, under_way: &mut UnderWay, certain_from: u64, stop: &CancellationToken) -> Result<()> {
        let end = self.count.unwrap_or(u64::MAX);
        let ahead = (AHEAD_NS / self.interval_ns).max(2);
        if !self.open(certain_from, ahead, stop).await {
            return Ok(());
        }
        while self.next < end && !stop.is_cancelled() {
            let (due, now) = (self.due(self.next), self.clock.now());
            if now.since(due) > LATE_MS_MAX && self.next >= certain_from {
                under_way.all_ended().await?;
                self.tell(under_way.made());
                if under_way.made() < self.next || !self.open(certain_from, ahead, stop).await {
                    return Ok(());
                }
                continue;
            }
            let is_full = under_way.len() >= IN_FLIGHT_MAX || self.next - self.kept.borrow().made >= ahead;
            if !is_full && due <= now {
                let event = submission(self.invoices.nth(self.next), self.to, "", due, &self.origin);
                under_way.submit(self.next, event, stop);
                self.next += 1;
                continue;
            }
            let wait = Duration::from_millis(due.since(now));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait), if !is_full => {}
                ended = under_way.next_ended(stop), if under_way.len() > 0 => ended?,
                Ok(()) = self.kept.changed(), if is_full => {}
            }
            self.tell(under_way.made());
        }
        Ok(())
    }

    /// Skips what is late of the time before the next event, and waits until it is kept that events from there on may be
    /// made. `false` when it is to stop.
    async fn open(&mut self, certain_from: u64, ahead: u64, stop: &CancellationToken) -> bool {
        let next = self.next;
        let late_ms = self.clock.now().since(self.due(next));
        self.progress.send_modify(|progress| {
            if next >= certain_from && late_ms > LATE_MS_MAX {
                progress.skipped_ms += late_ms;
            }
            progress.unsure = ahead.max(certain_from.saturating_sub(next));
        });
        let opened = *self.progress.borrow();
        while *self.kept.borrow_and_update() != opened {
            self.hurry.notify_one();
            tokio::select! {
                () = stop.cancelled() => return false,
                changed = self.kept.changed() => if changed.is_err() { return false },
            }
        }
        true
    }

    fn tell(&self, made: u64) {
        self.progress.send_if_modified(|progress| std::mem::replace(&mut progress.made, made) != made);
    }

    /// When an event is due, and the time it says.
    fn due(&self, number: u64) -> UnixMs {
        let since_start_ms = u128::from(number) * u128::from(self.interval_ns) / 1_000_000;
        let since_start_ms = u64::try_from(since_start_ms).unwrap_or(u64::MAX);
        self.started_at.plus_ms(since_start_ms.saturating_add(self.progress.borrow().skipped_ms))
    }
}
