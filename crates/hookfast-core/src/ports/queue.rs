//! From the engine to the store: claiming what waits, settling what was tried.

use super::{BoxFuture, Delivery, Hold};
use crate::delivery::{Cause, DeliveryKey, DeliveryState};
use crate::model::{Attempt, Disabled, Endpoint};
use crate::{EndpointId, Result, UnixMs};
use std::sync::Arc;

/// What a delivery in the engine's hands came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended.
    End(DeliveryState, Cause),
    /// It was tried and is to be tried again when due.
    Retry {
        /// When.
        due: UnixMs,
    },
    /// It was not tried: spilled from memory, or given back to the queue.
    Wait {
        /// When it is due.
        due: UnixMs,
    },
}

/// One delivery's news for the store.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Which delivery.
    pub key: DeliveryKey,
    /// By what right; must still hold, else the settlement changes nothing but keeps the attempt.
    pub hold: Hold,
    /// What was tried, if anything.
    pub attempt: Option<Attempt>,
    /// Tries made in this run, this one included.
    pub tries: u32,
    /// How often its worker died with it.
    pub crashes: u32,
    /// What it came to.
    pub outcome: Outcome,
    /// Size of the body it held in memory.
    pub body_bytes: usize,
    /// As the delivery had it.
    pub retention_days: u16,
}

/// How many rows the engine can take for one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct ClaimWanted {
    /// For whom.
    pub endpoint: EndpointId,
    /// At most so many.
    pub rows_max: u32,
}

/// Rows claimed for one endpoint.
#[derive(Debug)]
pub struct Claim {
    /// For whom.
    pub endpoint: EndpointId,
    /// The rows, oldest due first.
    pub deliveries: Vec<Delivery>,
    /// When the earliest of those left behind is due; `None` when none is left that nobody holds.
    pub next_due: Option<UnixMs>,
    /// Another node paces this endpoint, and all of its application if that has a throttle: until then neither is to be
    /// asked for, whatever is heard of its rows.
    pub elsewhere_until: Option<UnixMs>,
}

/// An endpoint with rows in the queue.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its configuration.
    pub endpoint: Arc<Endpoint>,
    /// When its earliest row is due.
    pub due: UnixMs,
}

/// A change of an endpoint's health that must outlive the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthMark {
    /// Nothing but failures since then.
    FailingSince(EndpointId, UnixMs),
    /// It succeeded again.
    Recovered(EndpointId),
    /// It is to get nothing more, for this reason.
    Disable(EndpointId, Disabled),
}

/// The queue, as the engine sees it.
pub trait Queue: Send + Sync {
    /// Hands over settlements; they are committed in a batch soon after, in order per delivery, and each comes back
    /// through [`super::Dispatch::settled`] once durable. Never blocks; what is in flight here is bounded by what
    /// the engine holds. A settlement that cannot be written now (disk full) is kept and tried again.
    fn settle(&self, settlements: Vec<Settlement>);

    /// Claims due rows. A claimed row is given to nobody else until it is settled, given back
    /// ([`Outcome::Wait`]) or its incarnation ends. Not cancel-safe: await it to the end.
    fn claim(&self, wanted: Vec<ClaimWanted>, now: UnixMs) -> BoxFuture<'_, Result<Vec<Claim>>>;

    /// Endpoints with rows in the queue, by id, after `after`; a few at a time. Rows that are held do not count.
    fn waiting(&self, after: Option<EndpointId>, limit: u32) -> BoxFuture<'_, Result<Vec<Waiting>>>;

    /// May a try start now? `false` while this node cannot be sure that no other has taken its work over: it has not
    /// reached the store for a while, or was frozen. Cheap: asked before every try.
    fn may_try(&self) -> bool;

    /// Remembers changes of health, in the order given. Never blocks.
    fn mark(&self, marks: Vec<HealthMark>);
}
