//! From the store to the engine: what the store's writer tells whoever delivers.

use super::Settlement;
use crate::delivery::DeliveryKey;
use crate::model::{AppThrottle, Endpoint, Trigger};
use crate::{AppId, EndpointId, EventId, UnixMs};
use bytes::Bytes;
use std::sync::Arc;

/// What all deliveries of one event share.
#[derive(Debug)]
pub struct Outgoing {
    /// The event.
    pub id: EventId,
    /// What happened.
    pub event_type: String,
    /// `None` is `application/json`.
    pub content_type: Option<String>,
    /// The bytes to send; `None` when they were deleted before they could be.
    pub body: Option<Bytes>,
}

impl Outgoing {
    /// Memory that its body takes.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len)
    }
}

/// By what right the engine works on a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It has no row yet: it belongs to this incarnation, by the hand-off row `handoff`.
    Memory {
        /// Number of the hand-off row.
        handoff: u64,
    },
    /// It has a queue row, claimed with this fencing number.
    Queue {
        /// Settling must match it.
        lease_no: u64,
    },
}

/// One delivery to be made.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which one.
    pub key: DeliveryKey,
    /// What to send.
    pub event: Arc<Outgoing>,
    /// By what right.
    pub hold: Hold,
    /// Tries already made in this run.
    pub tries: u32,
    /// How often its worker died with it.
    pub crashes: u32,
    /// When it became due.
    pub due: UnixMs,
    /// Why it is made.
    pub trigger: Trigger,
    /// For how many days its event is kept; goes back to the store with the settlement.
    pub retention_days: u16,
}

/// A memory slot that the store would like for a delivery it is about to commit.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// For whom.
    pub endpoint: &'a Arc<Endpoint>,
    /// How large its body is.
    pub body_bytes: usize,
}

/// The engine, as the store's writer sees it. All methods return quickly and never block on I/O: they are called
/// by the one thread that commits.
pub trait Dispatch: Send + Sync {
    /// Asks for memory slots before a commit; pushes one answer per wish. Where it is `false` the delivery is born
    /// as a queue row. A granted slot is used up by [`Dispatch::hand_over`] or given back by
    /// [`Dispatch::unreserve`].
    fn reserve(&self, wanted: &[Wanted<'_>], granted: &mut Vec<bool>);

    /// The commit failed: gives back the granted ones.
    fn unreserve(&self, wanted: &[Wanted<'_>], granted: &[bool]);

    /// The commit succeeded: these deliveries have slots and are to be made now. Each must come back through
    /// [`super::Queue::settle`], whatever happens to it.
    fn hand_over(&self, deliveries: Vec<(Arc<Endpoint>, Delivery)>);

    /// These settlements are durable: what they held in memory is free again.
    fn settled(&self, settlements: Vec<Settlement>);

    /// The queue now holds rows of these endpoints, the earliest due at that time.
    fn queued(&self, waiting: &[(Arc<Endpoint>, UnixMs)]);

    /// The endpoint's configuration changed; it is in force from the next attempt on.
    fn endpoint_changed(&self, endpoint: &Arc<Endpoint>);

    /// What the application allows all its endpoints together changed; endpoints carry it too.
    fn app_throttle_changed(&self, app: AppId, throttle: AppThrottle);

    /// The endpoint was deleted: what waits for it ends as cancelled.
    fn endpoint_removed(&self, endpoint: EndpointId);
}

/// For nodes that do not deliver: grants nothing, so every delivery is born as a queue row.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDispatch;

impl Dispatch for NoDispatch {
    fn reserve(&self, wanted: &[Wanted<'_>], granted: &mut Vec<bool>) {
        granted.extend(wanted.iter().map(|_| false));
    }
    fn unreserve(&self, _: &[Wanted<'_>], _: &[bool]) {}
    fn hand_over(&self, _: Vec<(Arc<Endpoint>, Delivery)>) {}
    fn settled(&self, _: Vec<Settlement>) {}
    fn queued(&self, _: &[(Arc<Endpoint>, UnixMs)]) {}
    fn endpoint_changed(&self, _: &Arc<Endpoint>) {}
    fn app_throttle_changed(&self, _: AppId, _: AppThrottle) {}
    fn endpoint_removed(&self, _: EndpointId) {}
}
