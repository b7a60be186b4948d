//! Reading what happened, and asking for it to happen again.

use super::{BoxFuture, Found, Page, PageOf};
use crate::delivery::{Cause, DeliveryState};
use crate::model::{Attempt, CallerKey, Endpoint, Event};
use crate::{AppId, AttemptId, EndpointId, EventId, OrgId, Result, TaskId, UnixMs};
use std::sync::Arc;

/// Which events.
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// Only these types; empty is all.
    pub event_types: Vec<String>,
    /// Only those on this channel.
    pub channel: Option<String>,
    /// Only those accepted at or after.
    pub after: UnixMs,
    /// Only those accepted before.
    pub before: UnixMs,
    /// Read the bodies too.
    pub with_body: bool,
}

/// Which attempts.
#[derive(Clone, Debug)]
pub struct AttemptFilter {
    /// Only of this endpoint (in lists by event).
    pub endpoint: Option<EndpointId>,
    /// Only successes, or only failures.
    pub succeeded: Option<bool>,
    /// Only statuses of this class: 0 (no answer), 100, 200, …, 500.
    pub status_class: Option<u16>,
    /// Only of events of these types; empty is all.
    pub event_types: Vec<String>,
    /// Only of events on this channel.
    pub channel: Option<String>,
    /// Only those made at or after.
    pub after: UnixMs,
    /// Only those made before.
    pub before: UnixMs,
}

/// One endpoint that an event was routed to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its configuration.
    pub endpoint: Arc<Endpoint>,
    /// Where the latest run stands.
    pub state: DeliveryState,
    /// What the last try, or the end, came of; `None` before the first.
    pub cause: Option<Cause>,
    /// Tries made in the latest run.
    pub tries: u32,
    /// The latest run.
    pub run: u32,
    /// When the next try is due, if one is.
    pub next_due: Option<UnixMs>,
}

/// Which ended deliveries of an endpoint.
#[derive(Clone, Debug)]
pub struct EndedFilter {
    /// Only those that ended so; `None` is all.
    pub state: Option<DeliveryState>,
    /// Only those with this cause; `None` is all.
    pub cause: Option<Cause>,
    /// Only of events accepted at or after.
    pub after: UnixMs,
    /// Only of events accepted before.
    pub before: UnixMs,
}

/// A delivery whose latest run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedDelivery {
    /// The event.
    pub event: EventId,
    /// What happened.
    pub event_type: String,
    /// The caller's own id for it.
    pub uid: Option<String>,
    /// How it ended.
    pub state: DeliveryState,
    /// What it came of.
    pub cause: Cause,
    /// Tries made in that run.
    pub tries: u32,
    /// The latest run.
    pub run: u32,
    /// By what lists are paged; its time is that of the last attempt, or of the end when there was none.
    pub ended: AttemptId,
}

/// Something that belongs to an application, named by its id alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An event.
    Event(EventId),
    /// An endpoint.
    Endpoint(EndpointId),
}

/// Attempts of one endpoint, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Attempts that succeeded.
    pub success: u64,
    /// Attempts that failed.
    pub fail: u64,
    /// Deliveries in the queue that were not tried yet; those on their way in memory are not counted.
    pub pending: u64,
    /// Deliveries in the queue that are to be tried again.
    pub retrying: u64,
    /// Deliveries cancelled.
    pub cancelled: u64,
}

/// The whole store, counted; cheap enough for each scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTotals {
    /// Rows in the queue.
    pub queue_rows: u64,
    /// Bytes of the store on disk.
    pub disk_bytes: u64,
    /// Bytes free on its disk, where that is a disk of this machine.
    pub disk_free_bytes: Option<u64>,
    /// The incarnation of this node.
    pub incarnation: u64,
    /// Pairs queued at start because an earlier incarnation had them in memory.
    pub recovered: u64,
    /// Pairs that the auditor found without rows; 0 is expected.
    pub strays: u64,
    /// Events deleted by retention since start.
    pub purged_events: u64,
    /// Commits since start.
    pub commits: u64,
}

/// Reading. Every answer comes from one snapshot; a routed pair without rows reads as `pending`. `app` guards each
/// call: things of other applications do not exist.
pub trait Reading: Send + Sync {
    /// One event, by id or the caller's own uid.
    fn event<'a>(&'a self, app: AppId, reference: &'a str) -> BoxFuture<'a, Result<Event>>;
    /// Events by id.
    fn events(
        &self,
        app: AppId,
        filter: EventFilter,
        page: Page<EventId>,
    ) -> BoxFuture<'_, Result<Found<Event, EventId>>>;
    /// Where an event goes and how far each came.
    fn destinations(&self, app: AppId, event: EventId) -> BoxFuture<'_, Result<Vec<Destination>>>;
    /// Attempts of an event by id.
    fn attempts_of_event(
        &self,
        app: AppId,
        event: EventId,
        filter: AttemptFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<PageOf<Attempt>>>;
    /// Attempts to an endpoint by id.
    fn attempts_of_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: AttemptFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<Found<Attempt, AttemptId>>>;
    /// One attempt.
    fn attempt(&self, app: AppId, event: EventId, attempt: AttemptId) -> BoxFuture<'_, Result<Attempt>>;
    /// Attempts of an endpoint, counted in whole hours between two times.
    fn endpoint_stats(
        &self,
        app: AppId,
        endpoint: EndpointId,
        since: UnixMs,
        until: UnixMs,
    ) -> BoxFuture<'_, Result<EndpointStats>>;
    /// Deliveries to an endpoint whose latest run has ended, by `ended`. What is dead or cancelled is found quickly among
    /// any number of others.
    fn ended(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: EndedFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<Found<EndedDelivery, AttemptId>>>;
    /// When the oldest event was accepted whose delivery to this endpoint is in the queue; `None` when there is none.
    /// Of very many, the 100,000 that are due first are looked at.
    fn oldest_waiting(&self, app: AppId, endpoint: EndpointId) -> BoxFuture<'_, Result<Option<UnixMs>>>;
    /// Which application of the organisation has this thing. `NotFound` also when it is deleted.
    fn owner<'a>(&'a self, org: &'a OrgId, thing: Thing) -> BoxFuture<'a, Result<AppId>>;
    /// The whole store, counted.
    fn totals(&self) -> BoxFuture<'_, Result<StoreTotals>>;
}

/// What a background task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Replays what ended as dead for one endpoint since a time.
    Recover,
}

/// How far a background task came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// At work; it survives a restart.
    Running,
    /// Done.
    Finished,
    /// Given up.
    Failed,
}

/// A background task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// How far it came.
    pub status: TaskStatus,
    /// Deliveries it has queued so far.
    pub queued: u64,
    /// When that was.
    pub updated_at: UnixMs,
}

/// Asking for deliveries to be made again.
pub trait Replays: Send + Sync {
    /// Queues the next run of one delivery, whatever the endpoint's filters say. `NotFound` for an unknown event or
    /// endpoint; `Conflict` (`missing_payload`) when its body is gone; `Conflict` (`endpoint_disabled`) when the
    /// endpoint is. While an earlier run is unfinished the answer is `Ok` and nothing is queued.
    fn resend(
        &self,
        app: AppId,
        event: EventId,
        endpoint: EndpointId,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<()>>;

    /// Starts a durable task that queues the next run of every delivery of the endpoint that ended as dead and whose
    /// event was accepted between two times.
    fn recover(
        &self,
        app: AppId,
        endpoint: EndpointId,
        since: UnixMs,
        until: UnixMs,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Task>>;

    /// One task of an organisation.
    fn task<'a>(&'a self, org: &'a OrgId, id: TaskId) -> BoxFuture<'a, Result<Task>>;
}
