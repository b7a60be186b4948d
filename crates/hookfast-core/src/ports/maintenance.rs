//! Background work on the store, in steps small enough not to be felt.

use super::BoxFuture;
use crate::{Result, UnixMs};

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
    /// Makes room for the days to come, where a store divides its tables by time.
    Partitions,
    /// Adds up what was counted commit by commit.
    RollUp,
}

impl Duty {
    /// Every duty.
    pub const ALL: [Self; 8] = [
        Self::Retention,
        Self::FanOut,
        Self::Cancel,
        Self::Expire,
        Self::Tasks,
        Self::Audit,
        Self::Partitions,
        Self::RollUp,
    ];

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
            Self::Partitions => "partitions",
            Self::RollUp => "roll_up",
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

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// At work.
    Alive,
    /// It ended by itself and gave everything back.
    Stopped,
    /// Others found it silent and took its work over.
    Dead,
}

impl NodeState {
    /// The word used in API and command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Stopped => "stopped",
            Self::Dead => "dead",
        }
    }
}

/// One node that works, or worked lately, on the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its life: a new number at each start.
    pub incarnation: u64,
    /// What it calls itself: host and process.
    pub name: String,
    /// The version of hookfast it runs.
    pub version: String,
    /// How it stands.
    pub state: NodeState,
    /// When it started.
    pub started_at: UnixMs,
    /// When it last said that it is alive.
    pub seen_at: UnixMs,
    /// The words for what it does: `api`, `engine`, …; none for a command. `None` when its version does not say.
    pub roles: Option<Vec<String>>,
    /// Deliveries it holds by claimed rows.
    pub claimed: u64,
    /// The duties that it alone does now.
    pub duties: Vec<String>,
}

/// Background work on the store.
pub trait Maintenance: Send + Sync {
    /// Does one step of a duty: a few hundred rows at most. May be repeated, also after a crash in the middle; safe
    /// to run on several nodes at once.
    fn step(&self, duty: Duty) -> BoxFuture<'_, Result<Step>>;

    /// The nodes on this store, newest first, those that ended within the last day included; 1,000 at most.
    fn nodes(&self) -> BoxFuture<'_, Result<Vec<Node>>>;

    /// Does the store answer? For health checks.
    fn ping(&self) -> BoxFuture<'_, Result<()>>;
}
