//! The doors between the rooms of the house: small traits, dyn-safe, batch-first. Their docs are the contracts.
//!
//! The store implements [`Accept`], [`Queue`], [`Applications`], [`Endpoints`], [`EventTypes`], [`Tokens`],
//! [`Reading`], [`Replays`] and [`Maintenance`]; the engine implements [`Dispatch`] and [`Admission`]; intake
//! implements [`Intake`]; a sink implements [`Sink`]. Only the binary knows which is which.

mod configuration;
mod dispatch;
mod intake;
mod maintenance;
mod page;
mod queue;
mod reading;
mod sink;

use std::future::Future;
use std::pin::Pin;

pub use configuration::{
    ApplicationPatch, Applications, Created, EndpointPatch, Endpoints, EventTypePatch, EventTypes, HeadersChange,
    NewApplication, NewEndpoint, OnExisting, Tokens,
};
pub use dispatch::{Delivery, Dispatch, Hold, NoDispatch, Outgoing, Wanted};
pub use intake::{Accept, Accepted, Admission, Intake, Submission};
pub use maintenance::{Duty, Maintenance, Node, NodeState, Step};
pub use page::{Order, Page, PageOf};
pub use queue::{Claim, ClaimWanted, HealthMark, Outcome, Queue, Settlement, Waiting};
pub use reading::{
    AttemptFilter, Destination, EndpointStats, EventFilter, Reading, Replays, StoreTotals, Task, TaskKind, TaskStatus,
    Thing,
};
pub use sink::{Sink, Try, TryOutcome};

/// A boxed future, as dyn-safe async methods return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
