//! Background work on the store, in steps small enough not to be felt.

use super::BoxFuture;
use crate::Result;

/// One kind of background work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Deletes what has passed its retention: events, deliveries, attempts, caller keys.
    Retention,
    /// Makes the queue rows of events with very many endpoints.
    FanOut,
    /// Ends what waits for deleted endpoints.
    Cancel,
    /// Ends what waited past its retry window for an endpoint that stayed down or disabled.
    Expire,
    /// Works on recover tasks.
    Tasks,
    /// Checks every routed pair of events older than an hour once; strays are queued and counted.
    Audit,
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 6] = [Self::Retention, Self::FanOut, Self::Cancel, Self::Expire, Self::Tasks, Self::Audit];

    /// Its name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::FanOut => "fan_out",
            Self::Cancel => "cancel",
            Self::Expire => "expire",
            Self::Tasks => "tasks",
            Self::Audit => "audit",
        }
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Rows it changed.
    pub rows: u64,
    /// There is more to do now.
    pub more: bool,
}

/// Background work on the store.
pub trait Maintenance: Send + Sync {
    /// Does one step of a duty: a few hundred rows at most. May be repeated, also after a crash in the middle; safe
    /// to run on several nodes at once.
    fn step(&self, duty: Duty) -> BoxFuture<'_, Result<Step>>;

    /// Does the store answer? For health checks.
    fn ping(&self) -> BoxFuture<'_, Result<()>>;
}
