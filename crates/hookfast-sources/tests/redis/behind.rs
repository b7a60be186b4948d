//! What is behind the source's ports, in memory: an intake that knows repeats and can be away, endpoints, and whose work
//! reading is. What no test needs is not there.

use hookfast_core::model::{
    AppThrottle, Application, Attempt, CallerKey, Endpoint, EndpointSecrets, Event, Route, SecretText,
};
use hookfast_core::ports::{
    Accepted, ApplicationPatch, Applications, AttemptFilter, BoxFuture, Created, Destination, EndedDelivery,
    EndedFilter, EndpointPatch, EndpointStats, Endpoints, EventFilter, Exclusive, Found, Intake, NewApplication,
    NewEndpoint, OnExisting, Page, PageOf, Reading, StoreTotals, Submission, Thing,
};
use hookfast_core::{AppId, AttemptId, Clock, EndpointId, Error, EventId, OrgId, Result, UnixMs};
use std::collections::BTreeMap;
use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

pub(crate) const APP: AppId = AppId::from_u128(7);

/// Everything behind the source.
#[derive(Default)]
pub(crate) struct Behind {
    /// Accepted events, without repeats.
    events: Mutex<Vec<Submission>>,
    pub(crate) changed: Notify,
    pub(crate) is_away: AtomicBool,
    pub(crate) under_way: AtomicUsize,
    pub(crate) under_way_max: AtomicUsize,
    pub(crate) repeats: AtomicUsize,
    pub(crate) endpoints: Mutex<Vec<Endpoint>>,
    /// Somebody else reads.
    pub(crate) is_taken: AtomicBool,
    pub(crate) is_held: AtomicBool,
    pub(crate) times_asked: AtomicUsize,
    pub(crate) may_not_act: AtomicBool,
    now: AtomicI64,
}

impl Behind {
    pub(crate) fn events(&self) -> Vec<Submission> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn uids(&self) -> Vec<String> {
        self.events().into_iter().map(|event| event.uid.unwrap()).collect()
    }

    /// The latest endpoint for a URL.
    pub(crate) fn endpoint_of(&self, url: &str) -> Option<Endpoint> {
        self.endpoints.lock().unwrap().iter().rfind(|endpoint| endpoint.url == url).cloned()
    }

    pub(crate) fn pass_ms(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    fn accept(&self, event: Submission) -> Result<Accepted> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::Unavailable { reason: "the store is away".into() });
        }
        if event.event_type.contains(' ') {
            return Err(Error::invalid("eventType", "found a space"));
        }
        if let Route::Endpoint(id) = event.route
            && !self.endpoints.lock().unwrap().iter().any(|endpoint| endpoint.id == id)
        {
            return Err(Error::NotFound { what: "endpoint" });
        }
        let mut events = self.events.lock().unwrap();
        let accepted = |repeat| Accepted { id: EventId::from_u128(1), repeat };
        match events.iter().find(|known| known.uid == event.uid) {
            Some(known) if known.body != event.body => {
                Err(Error::Conflict { code: "event_exists", reason: "another body".into() })
            }
            Some(_) => {
                self.repeats.fetch_add(1, Ordering::Relaxed);
                Ok(accepted(true))
            }
            None => {
                events.push(event);
                Ok(accepted(false))
            }
        }
    }
}

impl Intake for Behind {
    fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>> {
        Box::pin(async move {
            let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
            self.under_way_max.fetch_max(under_way, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let answer = self.accept(event);
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            self.changed.notify_waiters();
            answer
        })
    }
}

impl Exclusive for Behind {
    fn hold<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool>> {
        assert_eq!(name, "redis:payments");
        let holds = !self.is_taken.load(Ordering::Relaxed);
        self.is_held.store(holds, Ordering::Relaxed);
        self.times_asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(ready(Ok(holds)))
    }

    fn release<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<()>> {
        self.is_held.store(false, Ordering::Relaxed);
        Box::pin(ready(Ok(())))
    }

    fn may_act(&self) -> bool {
        !self.may_not_act.load(Ordering::Relaxed)
    }
}

impl Clock for Behind {
    fn now(&self) -> UnixMs {
        UnixMs(1_700_000_000_000 + self.now.load(Ordering::Relaxed))
    }
    fn wall(&self) -> UnixMs {
        self.now()
    }
}

impl Applications for Behind {
    fn create_application(
        &self,
        new: NewApplication,
        existing: OnExisting,
        _key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Created<Arc<Application>>>> {
        assert_eq!((new.uid.as_deref(), existing), (Some("redis.payments"), OnExisting::Return));
        if self.is_away.load(Ordering::Relaxed) {
            return Box::pin(ready(Err(Error::Unavailable { reason: "the store is away".into() })));
        }
        let value = Arc::new(Application {
            id: APP,
            org: new.org,
            uid: new.uid,
            name: new.name,
            throttle_rate: None,
            metadata: BTreeMap::new(),
            retention_days: 30,
            created_at: UnixMs::ZERO,
            updated_at: UnixMs::ZERO,
        });
        Box::pin(ready(Ok(Created { value, is_new: true })))
    }
    fn application<'a>(&'a self, _: &'a OrgId, _: &'a str) -> BoxFuture<'a, Result<Arc<Application>>> {
        unreachable!("the source does not ask")
    }
    fn application_cached(&self, _: &OrgId, _: &str) -> Option<Arc<Application>> {
        unreachable!("the source does not ask")
    }
    fn applications(&self, _: OrgId, _: Page<AppId>) -> BoxFuture<'_, Result<PageOf<Arc<Application>>>> {
        unreachable!("the source does not ask")
    }
    fn update_application(&self, _: AppId, _: ApplicationPatch) -> BoxFuture<'_, Result<Arc<Application>>> {
        unreachable!("the source does not ask")
    }
    fn delete_application(&self, _: AppId) -> BoxFuture<'_, Result<()>> {
        unreachable!("the source does not ask")
    }
}

impl Endpoints for Behind {
    fn create_endpoint(
        &self,
        new: NewEndpoint,
        _key: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Created<Arc<Endpoint>>>> {
        let mut endpoints = self.endpoints.lock().unwrap();
        let endpoint = Endpoint {
            id: EndpointId::from_u128(endpoints.last().map_or(1, |last| last.id.as_u128() + 1)),
            app: new.app,
            uid: new.uid,
            url: new.url,
            description: new.description,
            version: new.version,
            disabled: None,
            event_types: new.event_types,
            channels: new.channels,
            throttle_rate: new.throttle_rate,
            app_throttle: AppThrottle::default(),
            ordering: new.ordering,
            metadata: new.metadata,
            headers: new.headers,
            secrets: EndpointSecrets { current: new.secret, old: Vec::new() },
            signing: new.signing,
            retry: new.retry,
            timeout_ms: new.timeout_ms,
            failing_since: None,
            created_at: UnixMs::ZERO,
            updated_at: UnixMs::ZERO,
        };
        endpoints.push(endpoint.clone());
        Box::pin(ready(Ok(Created { value: Arc::new(endpoint), is_new: true })))
    }
    fn endpoint<'a>(&'a self, _app: AppId, reference: &'a str) -> BoxFuture<'a, Result<Arc<Endpoint>>> {
        let endpoints = self.endpoints.lock().unwrap();
        let found = endpoints.iter().find(|endpoint| endpoint.uid.as_deref() == Some(reference)).cloned();
        Box::pin(ready(found.map(Arc::new).ok_or(Error::NotFound { what: "endpoint" })))
    }
    fn endpoints(&self, _: AppId, page: Page<EndpointId>) -> BoxFuture<'_, Result<PageOf<Arc<Endpoint>>>> {
        let all = self.endpoints.lock().unwrap();
        let after = page.after.map_or(0, EndpointId::as_u128);
        let items: Vec<_> = all.iter().filter(|one| one.id.as_u128() > after).cloned().map(Arc::new).collect();
        Box::pin(ready(Ok(PageOf { items, done: true })))
    }
    fn update_endpoint(&self, _: AppId, id: EndpointId, patch: EndpointPatch) -> BoxFuture<'_, Result<Arc<Endpoint>>> {
        let mut endpoints = self.endpoints.lock().unwrap();
        let endpoint = endpoints.iter_mut().find(|endpoint| endpoint.id == id).unwrap();
        if patch.disabled == Some(false) {
            endpoint.disabled = None;
        }
        endpoint.retry = patch.retry.unwrap();
        Box::pin(ready(Ok(Arc::new(endpoint.clone()))))
    }
    fn delete_endpoint(&self, _: AppId, id: EndpointId) -> BoxFuture<'_, Result<()>> {
        self.endpoints.lock().unwrap().retain(|endpoint| endpoint.id != id);
        Box::pin(ready(Ok(())))
    }
    fn rotate_secret(
        &self,
        _: AppId,
        _: EndpointId,
        _: SecretText,
        _: u64,
        _: Option<CallerKey>,
    ) -> BoxFuture<'_, Result<Arc<Endpoint>>> {
        unreachable!("the source does not ask")
    }
}

impl Reading for Behind {
    fn attempts_of_endpoint(
        &self,
        _: AppId,
        _: EndpointId,
        _: AttemptFilter,
        _: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<Found<Attempt, AttemptId>>> {
        Box::pin(ready(Ok(PageOf { items: Vec::new(), done: true }.into())))
    }
    fn oldest_waiting(&self, _: AppId, _: EndpointId) -> BoxFuture<'_, Result<Option<UnixMs>>> {
        Box::pin(ready(Ok(None)))
    }
    fn event<'a>(&'a self, _: AppId, _: &'a str) -> BoxFuture<'a, Result<Event>> {
        unreachable!("the source does not ask")
    }
    fn events(&self, _: AppId, _: EventFilter, _: Page<EventId>) -> BoxFuture<'_, Result<Found<Event, EventId>>> {
        unreachable!("the source does not ask")
    }
    fn destinations(&self, _: AppId, _: EventId) -> BoxFuture<'_, Result<Vec<Destination>>> {
        unreachable!("the source does not ask")
    }
    fn attempts_of_event(
        &self,
        _: AppId,
        _: EventId,
        _: AttemptFilter,
        _: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<PageOf<Attempt>>> {
        unreachable!("the source does not ask")
    }
    fn attempt(&self, _: AppId, _: EventId, _: AttemptId) -> BoxFuture<'_, Result<Attempt>> {
        unreachable!("the source does not ask")
    }
    fn endpoint_stats(&self, _: AppId, _: EndpointId, _: UnixMs, _: UnixMs) -> BoxFuture<'_, Result<EndpointStats>> {
        unreachable!("the source does not ask")
    }
    fn ended(
        &self,
        _: AppId,
        _: EndpointId,
        _: EndedFilter,
        _: Page<AttemptId>,
    ) -> BoxFuture<'_, Result<Found<EndedDelivery, AttemptId>>> {
        unreachable!("the source does not ask")
    }
    fn owner<'a>(&'a self, _: &'a OrgId, _: Thing) -> BoxFuture<'a, Result<AppId>> {
        unreachable!("the source does not ask")
    }
    fn totals(&self) -> BoxFuture<'_, Result<StoreTotals>> {
        unreachable!("the source does not ask")
    }
}
