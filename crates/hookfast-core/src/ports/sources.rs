//! What sources need of the store: work that one node does at a time, emitters that outlive processes, and the door for
//! what is received.

use super::{BoxFuture, Created};
use crate::{AppId, EndpointId, Result, UnixMs};
use bytes::Bytes;
use std::sync::Arc;

/// Most emitters that run at a time, over all nodes.
pub const EMITTERS_MAX: usize = 1_000;

/// Work that exactly one live node does at a time, known by a name.
pub trait Exclusive: Send + Sync {
    /// Is this work this node's? It becomes so when nobody alive has it. `true` holds as long as this node lives and
    /// [`Exclusive::may_act`] says so. Names are at most 128 characters.
    fn hold<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool>>;

    /// Gives it up, so that another node may have it at once. No error when it is not this node's.
    fn release<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>>;

    /// May this node act on what it holds? `false` while it cannot be sure that it was not taken for dead. Cheap: to be
    /// asked before each act.
    fn may_act(&self) -> bool;
}

/// An emitter to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEmitter {
    /// Whose events it makes.
    pub app: AppId,
    /// Where they go.
    pub endpoint: EndpointId,
    /// From one event to the next, in nanoseconds.
    pub interval_ns: u64,
    /// Ends by itself after so many.
    pub count: Option<u64>,
    /// Only these kinds; empty is all.
    pub event_types: Vec<String>,
}

/// How far a run of an emitter came. Its events are numbered from 0 on, and the n-th is due at
/// `started_at + n * interval + skipped`: that is the time written in it, so that one made again is the same to the byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmitterProgress {
    /// Events it has made durable so far; may lag a little.
    pub made: u64,
    /// So much of the time it did not run and makes up for nothing, in milliseconds: holds from the event `made` on.
    pub skipped_ms: u64,
    /// So many behind `made` may have been made too, by who could not tell any more.
    pub unsure: u64,
}

/// An emitter that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningEmitter {
    /// As it was started.
    pub spec: NewEmitter,
    /// How far it came.
    pub progress: EmitterProgress,
    /// When it was started; with the endpoint it names this run of it.
    pub started_at: UnixMs,
    /// Its endpoint is disabled: it makes nothing until that is enabled again.
    pub is_paused: bool,
}

/// Emitters, kept so that they outlive processes. Each endpoint has one at most.
pub trait Emitters: Send + Sync {
    /// Starts one. When one runs for this endpoint it stays as it is and is the answer. `NotFound` for an endpoint that
    /// does not exist; `Conflict` (`too_many_emitters`) above [`EMITTERS_MAX`].
    fn start_emitter(&self, new: NewEmitter) -> BoxFuture<'_, Result<Created<RunningEmitter>>>;

    /// Ends the one of this endpoint, if there is one: the answer is what it was.
    fn stop_emitter(&self, app: AppId, endpoint: EndpointId) -> BoxFuture<'_, Result<Option<RunningEmitter>>>;

    /// Those that run, by when they were started; none of deleted endpoints.
    fn emitters(&self) -> BoxFuture<'_, Result<Vec<RunningEmitter>>>;

    /// Keeps how far runs came, each named by its endpoint and `started_at`. One that has reached its count ends. What was
    /// made and skipped only ever grows; runs that ended are passed over.
    fn emitted(&self, progress: Vec<(EndpointId, UnixMs, EmitterProgress)>) -> BoxFuture<'_, Result<()>>;
}

/// A webhook that was received, with its signature and shape already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Name of the source it came by.
    pub source: Arc<str>,
    /// The sender's id for it: the same one again is a repeat.
    pub event_id: String,
    /// What happened.
    pub event_type: String,
    /// The bytes that came.
    pub body: Bytes,
}

/// Where received webhooks go.
pub trait Inbound: Send + Sync {
    /// Makes it durable: `Ok` may be answered with 2xx. Errors as of [`super::Intake::submit`]. Cancel-safe.
    fn receive(&self, received: Received) -> BoxFuture<'_, Result<()>>;

    /// Would it be tried now? While `false` a request can be refused before its body is read.
    fn is_available(&self) -> bool;
}
