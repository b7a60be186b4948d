//! The lab's clock: microseconds since the epoch that never step. The only place in the lab that reads a clock of the
//! system for a date.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The wall clock at its start plus monotonic time, so that latencies between producer and receiver of one process
/// are exact, and those between processes as good as the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct LabClock {
    start: Instant,
    wall_us: u64,
}

impl LabClock {
    /// Reads the wall clock once.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the lab measures a server from outside and has its own clock")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), wall_us: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX / 2) }
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.wall_us + u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX / 2)
    }
}
