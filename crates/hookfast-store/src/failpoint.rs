//! Named points at which a test build can be told to die or to misbehave. Does nothing in a normal build.

/// Dies here when the test said so.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn reach(_name: &str) {}

/// Is this planted bug switched on?
#[cfg(not(feature = "failpoints"))]
pub(crate) fn planted(_name: &str) -> bool {
    false
}

#[cfg(feature = "failpoints")]
pub(crate) use on::{planted, reach};

#[cfg(feature = "failpoints")]
mod on {
    use std::sync::atomic::{AtomicU64, Ordering};

    static REACHED: AtomicU64 = AtomicU64::new(0);

    /// `HOOKFAST_FAILPOINT=name:n` aborts at the n-th arrival at that point.
    pub(crate) fn reach(name: &str) {
        let Ok(wanted) = std::env::var("HOOKFAST_FAILPOINT") else { return };
        let (point, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        let nth: u64 = nth.parse().unwrap_or(1);
        if point == name && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == nth {
            std::process::abort();
        }
    }

    /// `HOOKFAST_PLANTED=name` switches a bug on that the crash tests must catch.
    pub(crate) fn planted(name: &str) -> bool {
        std::env::var("HOOKFAST_PLANTED").is_ok_and(|wanted| wanted == name)
    }
}
