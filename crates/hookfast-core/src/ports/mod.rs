//! The doors between the rooms of the house: small traits, dyn-safe, batch-first. Their docs are the contracts.
//!
//! The store implements [`Accept`], [`Queue`], [`Applications`], [`Endpoints`], [`EventTypes`], [`Tokens`],
//! [`Reading`], [`Replays`], [`Maintenance`], [`Exclusive`], [`Emitters`] and [`Consume`]; the engine implements
//! [`Dispatch`] and [`Admission`]; intake implements [`Intake`] and [`Inbound`]; a sink implements [`Sink`]; a log
//! implements [`Log`] and [`LogReaders`]. Only the binary knows which is which.

mod configuration;
mod consume;
mod dispatch;
mod intake;
mod log;
mod maintenance;
mod page;
mod queue;
mod reading;
mod sink;
mod sources;

use std::future::Future;
use std::pin::Pin;

pub use configuration::{
    ApplicationPatch, Applications, Created, EndpointPatch, Endpoints, EventTypePatch, EventTypes, HeadersChange,
    NewApplication, NewEndpoint, OnExisting, Tokens,
};
pub use consume::{Consume, ConsumeAnswer, Consumed, Consumer};
pub use dispatch::{Delivery, Dispatch, Hold, NoDispatch, Outgoing, Wanted};
pub use intake::{Accept, Accepted, Admission, Intake, Submission};
pub use log::{Assigned, Log, LogEntry, LogNews, LogPosition, LogReader, LogReaders, LogRecord};
pub use maintenance::{Duty, Maintenance, Node, NodeState, Step};
pub use page::{Found, Order, Page, PageOf};
pub use queue::{Claim, ClaimWanted, HealthMark, Outcome, Queue, Settlement, Waiting};
pub use reading::{
    AttemptFilter, Destination, EndedDelivery, EndedFilter, EndpointStats, EventFilter, Reading, Replays, StoreTotals,
    Task, TaskKind, TaskStatus, Thing,
};
pub use sink::{Sink, Try, TryOutcome};
pub use sources::{EMITTERS_MAX, EmitterProgress, Emitters, Exclusive, Inbound, NewEmitter, Received, RunningEmitter};

/// A boxed future, as dyn-safe async methods return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
