//! A small store in memory behind the ports: enough to call every route. It promises nothing that the real store
//! promises; what happens end to end is tested against that one.

mod configuration;

use bytes::Bytes;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::{
    AppThrottle, Application, Attempt, CallerKey, Disabled, Endpoint, EndpointSecrets, Event, EventType, Name,
    OldSecret, Principal, SecretText, Token, Trigger,
};
use hookfast_core::ports::*;
use hookfast_core::{
    AppId, AttemptId, Clock, EndpointId, Error, EventId, IdGenerator, OrgId, Result, TaskId, TokenId, UnixMs,
};
use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) const NOW: UnixMs = UnixMs(1_792_490_400_000);

pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixMs {
        NOW
    }
    fn wall(&self) -> UnixMs {
        NOW
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) applications: BTreeMap<AppId, Arc<Application>>,
    pub(crate) endpoints: BTreeMap<EndpointId, Arc<Endpoint>>,
    pub(crate) event_types: BTreeMap<(OrgId, String), EventType>,
    pub(crate) tokens: BTreeMap<[u8; 32], Arc<Token>>,
    pub(crate) events: BTreeMap<EventId, Event>,
    pub(crate) attempts: BTreeMap<AttemptId, Attempt>,
    pub(crate) submissions: Vec<Submission>,
    pub(crate) keys: Vec<CallerKey>,
    pub(crate) fail_with: Option<Error>,
}

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) ids: Arc<IdGenerator>,
    state: Mutex<State>,
}

fn done<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(ready(value))
}

fn missing<T>(what: &'static str) -> Result<T> {
    Err(Error::NotFound { what })
}

fn paged<K: Ord + Copy, T: Clone>(all: Vec<(K, T)>, page: &Page<K>) -> PageOf<T> {
    let mut all = all;
    if page.order == Order::Descending {
        all.reverse();
    }
    if let Some(after) = page.after {
        let higher = (page.order == Order::Descending) == page.backwards;
        all.retain(|(key, _)| if higher { *key > after } else { *key < after });
    }
    let done = all.len() <= page.limit as usize;
    if page.backwards {
        all.drain(..all.len().saturating_sub(page.limit as usize));
    } else {
        all.truncate(page.limit as usize);
    }
    PageOf { items: all.into_iter().map(|(_, item)| item).collect(), done }
}

impl Memory {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn next(&self) -> u128 {
        self.ids.next(NOW)
    }

    fn open(&self, key: Option<CallerKey>) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if let Some(error) = &state.fail_with {
            return Err(error.clone());
        }
        state.keys.extend(key);
        Ok(state)
    }

    fn find_app(&self, org: &OrgId, reference: &str) -> Option<Arc<Application>> {
        let state = self.state();
        let named = |app: &&Arc<Application>| app.id.to_string() == reference || app.uid.as_deref() == Some(reference);
        state.applications.values().find(|app| app.org == *org && named(app)).cloned()
    }

    fn find_event(&self, app: AppId, reference: &str) -> Result<Event> {
        let state = self.state();
        let named = |event: &&Event| event.id.to_string() == reference || event.uid.as_deref() == Some(reference);
        let found = state.events.values().find(|event| event.app == app && named(event)).cloned();
        found.ok_or(Error::NotFound { what: "message" })
    }
}

impl Intake for Memory {
    fn submit(&self, submission: Submission) -> BoxFuture<'_, Result<Accepted>> {
        let id = EventId::from_u128(self.next());
        done(self.open(None).map(|mut state| {
            let event = Event {
                id,
                app: submission.app,
                event_type: submission.event_type.clone(),
                uid: submission.uid.clone(),
                channels: submission.channels.clone(),
                body: Some(submission.body.clone()),
                content_type: submission.content_type.clone(),
                origin: Some(submission.origin.clone()),
            };
            state.events.insert(id, event);
            state.submissions.push(submission);
            Accepted { id, repeat: false }
        }))
    }
}

impl Reading for Memory {
    fn event<'a>(&'a self, app: AppId, reference: &'a str) -> BoxFuture<'a, Result<Event>> {
        done(self.find_event(app, reference))
    }

    fn events(
        &self,
        app: AppId,
        filter: EventFilter,
        page: Page<EventId>,
    ) -> BoxFuture<'_, Result<Found<Event, EventId>>> {
        let state = self.state();
        let wanted = |event: &&Event| {
            event.app == app && (filter.event_types.is_empty() || filter.event_types.contains(&event.event_type))
        };
        let all = state.events.values().filter(wanted).cloned().map(|event| (event.id, event)).collect();
        done(Ok(paged(all, &page).into()))
    }

    fn destinations(&self, app: AppId, event: EventId) -> BoxFuture<'_, Result<Vec<Destination>>> {
        if let Err(error) = self.find_event(app, &event.to_string()) {
            return done(Err(error));
        }
        let states = DeliveryState::ALL.iter().copied().cycle();
        let state = self.state();
        let endpoints = state.endpoints.values().filter(|endpoint| endpoint.app == app).cloned();
        let destination = |(endpoint, state)| Destination {
            endpoint,
            state,
            cause: Some(Cause::Timeout),
            tries: 2,
            run: 1,
            next_due: (state == DeliveryState::Retrying).then_some(NOW.plus_ms(5_000)),
        };
        done(Ok(endpoints.zip(states).map(destination).collect()))
    }

    fn attempts_of_event(
        &self,
        _: AppId,
        event: EventId,
        filter: AttemptFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<PageOf<Attempt>>> {
        let state = self.state();
        let wanted = |attempt: &&Attempt| {
            attempt.event == event && filter.succeeded.is_none_or(|good| good == (attempt.cause == Cause::Ok))
        };
        let all = state.attempts.values().filter(wanted).cloned().map(|attempt| (attempt.id, attempt)).collect();
        done(Ok(paged(all, &page)))
    }

    fn attempts_of_endpoint(
        &self,
        _: AppId,
        endpoint: EndpointId,
        _: AttemptFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<Found<Attempt, AttemptId>>> {
        let state = self.state();
        let all = state.attempts.values().filter(|attempt| attempt.endpoint == endpoint).cloned();
        done(Ok(paged(all.map(|attempt| (attempt.id, attempt)).collect(), &page).into()))
    }

    fn attempt(&self, _: AppId, event: EventId, attempt: AttemptId) -> BoxFuture<'_, Result<Attempt>> {
        let found = self.state().attempts.get(&attempt).filter(|attempt| attempt.event == event).cloned();
        done(found.ok_or(Error::NotFound { what: "attempt" }))
    }

    fn endpoint_stats(&self, _: AppId, _: EndpointId, _: UnixMs, _: UnixMs) -> BoxFuture<'_, Result<EndpointStats>> {
        done(Ok(EndpointStats { success: 5, fail: 4, pending: 3, retrying: 2, cancelled: 1 }))
    }

    fn ended(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: EndedFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<Found<EndedDelivery, AttemptId>>> {
        let state = self.state();
        let dead = state.events.values().filter(|event| event.app == app).map(|event| {
            let ended = AttemptId::from_u128(event.id.as_u128());
            let (event, event_type, uid) = (event.id, event.event_type.clone(), event.uid.clone());
            let (state, cause) = (DeliveryState::Dead, Cause::Timeout);
            (ended, EndedDelivery { event, event_type, uid, state, cause, tries: 10, run: 0, ended })
        });
        let is_known = state.endpoints.values().any(|one| one.id == endpoint);
        let wanted = |one: &EndedDelivery| {
            filter.state.is_none_or(|state| state == one.state) && filter.cause.is_none_or(|cause| cause == one.cause)
        };
        let all = dead.filter(|(_, one)| is_known && wanted(one)).collect();
        done(Ok(paged(all, &page).into()))
    }

    fn oldest_waiting(&self, _: AppId, _: EndpointId) -> BoxFuture<'_, Result<Option<UnixMs>>> {
        done(Ok(Some(NOW.minus_ms(60_000))))
    }

    fn owner<'a>(&'a self, org: &'a OrgId, thing: Thing) -> BoxFuture<'a, Result<AppId>> {
        let state = self.state();
        let (what, app) = match thing {
            Thing::Event(id) => ("message", state.events.get(&id).map(|event| event.app)),
            Thing::Endpoint(id) => ("endpoint", state.endpoints.get(&id).map(|endpoint| endpoint.app)),
        };
        let app = app.filter(|app| state.applications.get(app).is_some_and(|app| app.org == *org));
        done(app.map_or_else(|| missing(what), Ok))
    }
    fn totals(&self) -> BoxFuture<'_, Result<StoreTotals>> {
        done(Ok(StoreTotals { queue_rows: 3, ..StoreTotals::default() }))
    }
}

fn task(id: TaskId) -> Task {
    Task { id, kind: TaskKind::Recover, status: TaskStatus::Running, queued: 7, updated_at: NOW }
}

impl Replays for Memory {
    fn resend(&self, app: AppId, event: EventId, _: EndpointId, key: Option<CallerKey>) -> BoxFuture<'_, Result<()>> {
        let event = self.find_event(app, &event.to_string());
        done(event.and_then(|event| match event.body {
            Some(_) => self.open(key).map(drop),
            None => Err(Error::Conflict { code: "missing_payload", reason: "the payload is gone".to_owned() }),
        }))
    }

    fn recover(
        &self,
        _: AppId,
        _: EndpointId,
        _: UnixMs,
        _: UnixMs,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Task>> {
        let id = TaskId::from_u128(self.next());
        done(self.open(key).map(|_| task(id)))
    }

    fn task<'a>(&'a self, _: &'a OrgId, id: TaskId) -> BoxFuture<'a, Result<Task>> {
        done(if id.as_u128() == 0 { missing("task") } else { Ok(task(id)) })
    }
}

impl Maintenance for Memory {
    fn step(&self, _: Duty) -> BoxFuture<'_, Result<Step>> {
        done(Ok(Step::default()))
    }

    fn nodes(&self) -> BoxFuture<'_, Result<Vec<Node>>> {
        let node = |incarnation, state| Node {
            incarnation,
            name: format!("host pid {incarnation}"),
            version: "1.0.0".to_owned(),
            state,
            started_at: NOW,
            seen_at: NOW,
            roles: (incarnation == 8).then(|| vec!["api".to_owned(), "engine".to_owned()]),
            claimed: incarnation,
            duties: vec!["retention".to_owned()],
        };
        done(self.open(None).map(|_| vec![node(8, NodeState::Alive), node(7, NodeState::Dead)]))
    }

    fn ping(&self) -> BoxFuture<'_, Result<()>> {
        done(self.open(None).map(drop))
    }
}

impl Memory {
    /// Remembers an attempt, as the engine would have settled it.
    pub(crate) fn add_attempt(&self, event: EventId, endpoint: EndpointId, cause: Cause) -> AttemptId {
        let id = AttemptId::from_u128(self.next());
        let (status, excerpt) = if cause == Cause::Ok { (200, "fine") } else { (500, "not fine") };
        let url = "http://receiver.example/".to_owned();
        let (run, number, duration_ms, trigger) = (0, 1, 12, Trigger::Manual);
        let excerpt = excerpt.to_owned();
        let attempt = Attempt { id, event, endpoint, run, number, url, cause, status, duration_ms, excerpt, trigger };
        self.state().attempts.insert(id, attempt);
        id
    }

    /// Forgets the body of an event.
    pub(crate) fn expunge(&self, event: EventId) {
        self.state().events.get_mut(&event).unwrap().body = None;
    }

    /// The body of the last submission.
    pub(crate) fn last_body(&self) -> Bytes {
        self.state().submissions.last().unwrap().body.clone()
    }

    /// Keeps a token of this text.
    pub(crate) fn add_token(&self, hash: [u8; 32], principal: Principal, expires_at: Option<UnixMs>) {
        let id = TokenId::from_u128(self.next());
        let caller = Name::of_token(id, "t");
        let token = Token { id, name: "t".to_owned(), caller, hash, principal, created_at: NOW, expires_at };
        self.state().tokens.insert(hash, Arc::new(token));
    }
}
