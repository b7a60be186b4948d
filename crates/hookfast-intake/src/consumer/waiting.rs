//! Waiting for something that is away, a little longer each time, until somebody wants an end. Must not know what is
//! waited for.

use hookfast_core::Error;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Why a loop ended.
#[derive(Debug)]
pub(super) enum Halt {
    /// It was told to.
    Stopped,
    /// It cannot go on as it is.
    Failed(Error),
}

/// Result of a part of such a loop.
pub(super) type Outcome<T> = std::result::Result<T, Halt>;

/// Told to end.
#[derive(Debug)]
pub(super) struct Stopped;

impl From<Stopped> for Halt {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// How long the next wait is.
#[derive(Debug)]
pub(super) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Patience {
    /// The length of the next wait; the one after it is longer.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause
    }

    /// Waits. Cancel-safe.
    pub(super) async fn wait(&mut self, stop: &CancellationToken) -> Result<(), Stopped> {
        let pause = self.next();
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}
