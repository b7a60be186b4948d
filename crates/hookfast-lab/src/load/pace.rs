//! When the next event is due. Knows no sockets.
//!
//! An open loop needs a timer finer than the runtime's millisecond, else the timer's rounding would be measured as
//! the server's latency: a timerfd on the same thread, so that no second thread takes CPU from the server.

use super::{LoadConfig, Pace, Shared};
use crate::{Error, Result};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

/// Faster than this the timer does not tick; events that fall between ticks are released together.
const TICK_NS_MIN: u64 = 200_000;

/// One event to send.
pub(super) struct Slot {
    pub(super) number: u64,
    /// When it was to be sent; `None`: when it is sent.
    pub(super) intended_us: Option<u64>,
}

pub(super) struct Pacer {
    pace: Pace,
    next: AtomicU64,
    started_us: u64,
    /// Slots of an open loop that are due and not taken.
    due: Semaphore,
}

impl Pacer {
    pub(super) fn new(config: &LoadConfig, started_us: u64) -> Result<Self> {
        if let Pace::Open { per_second, seconds } = config.pace {
            let sane = per_second.is_finite() && per_second > 0.0 && seconds.is_finite() && seconds > 0.0;
            if !sane {
                let reason = format!("expected a rate and a time above 0, found {per_second}/s for {seconds} s");
                return Err(Error::Invalid { field: "pace", reason });
            }
        }
        Ok(Self { pace: config.pace, next: AtomicU64::new(0), started_us, due: Semaphore::new(0) })
    }

    /// The next event to send; `None` when all are sent. Waits in an open loop only.
    pub(super) async fn next(&self) -> Option<Slot> {
        let Pace::Open { per_second, .. } = self.pace else {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            return (number < self.pace.events()).then_some(Slot { number, intended_us: None });
        };
        self.due.acquire().await.ok()?.forget();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let offset_us = (number as f64 * 1e6 / per_second) as u64;
        (number < self.pace.events()).then_some(Slot { number, intended_us: Some(self.started_us + offset_us) })
    }
}

/// Releases the slots of an open loop when they are due; ends with the load.
pub(super) async fn drive(shared: Arc<Shared>) {
    let Pace::Open { per_second, .. } = shared.pacer.pace else { return };
    if let Err(error) = release(&shared, per_second).await {
        shared.give_up(error.to_string());
    }
    // Each waiting producer gets one slot past the last, and ends.
    shared.pacer.due.add_permits(shared.config.connections.max(1));
}

async fn release(shared: &Shared, per_second: f64) -> Result<()> {
    let timer = watch(timer(per_second)?)?;
    let events = shared.pacer.pace.events();
    let mut released = 0;
    while released < events && !shared.config.stop.is_cancelled() {
        let elapsed_us = shared.config.clock.now_us().saturating_sub(shared.pacer.started_us);
        let due = ((elapsed_us as f64 * per_second / 1e6) as u64 + 1).min(events);
        shared.pacer.due.add_permits(usize::try_from(due.saturating_sub(released)).unwrap_or(0));
        released = released.max(due);
        let mut ready = timer.readable().await.map_err(Error::io("wait for a timer"))?;
        let ticks = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
        if let Ok(Err(error)) = ticks {
            return Err(Error::io("read a timer")(error));
        }
    }
    Ok(())
}

#[expect(deprecated, reason = "an owned descriptor is what the unsafe successor asks its caller to promise")]
fn watch(timer: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(timer).map_err(Error::io("watch a timer"))
}

fn timer(per_second: f64) -> Result<OwnedFd> {
    let failed = |error: rustix::io::Errno| Error::io("make a timer")(error.into());
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).map_err(failed)?;
    let tick = Duration::from_nanos(((1e9 / per_second) as u64).max(TICK_NS_MIN));
    let invalid = |_| Error::Invalid { field: "pace", reason: format!("{per_second}/s is too slow") };
    let tick = Timespec::try_from(tick).map_err(invalid)?;
    let spec = Itimerspec { it_interval: tick, it_value: tick };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec).map_err(failed)?;
    Ok(timer)
}
