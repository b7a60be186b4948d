//! A store under test with its surroundings: a directory, a clock, a recording dispatch, and the short words in which
//! the suite says what it does.

use crate::{Backend, Grants, ManualClock, Opened, Place, RecordingDispatch};
use bytes::Bytes;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::{Application, Attempt, Endpoint, NewEvent, Origin, Route, SecretText, Signing};
use hookfast_core::ports::{
    Accepted, AttemptFilter, Claim, ClaimWanted, Delivery, Destination, Duty, EventFilter, NewApplication, NewEndpoint,
    OnExisting, Order, Outcome, Page, Settlement,
};
use hookfast_core::{AppId, AttemptId, Clock as _, EndpointId, EventId, IdGenerator, OrgId, UnixMs};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// More steps than any duty of a test takes.
const STEPS_MAX: u32 = 10_000;

/// A store and what is around it.
pub struct World<B: Backend> {
    /// Moved by the test.
    pub clock: Arc<ManualClock>,
    /// What the store said.
    pub dispatch: Arc<RecordingDispatch>,
    /// Ids of this incarnation.
    pub ids: Arc<IdGenerator>,
    store: Option<Opened>,
    dir: TempDir,
    ground: B::Ground,
}

impl<B: Backend> World<B> {
    /// An empty store whose dispatch grants as told.
    pub async fn new(grants: Grants) -> Self {
        let mut world = Self {
            clock: Arc::default(),
            dispatch: RecordingDispatch::new(grants),
            ids: Arc::default(),
            store: None,
            dir: TempDir::new().unwrap(),
            ground: B::ground(),
        };
        world.store = Some(B::open(&world.ground, world.place()).await.unwrap());
        world
    }

    /// What its place stands on.
    #[must_use]
    pub fn ground(&self) -> &B::Ground {
        &self.ground
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> Place {
        Place {
            dir: self.dir.path().to_path_buf(),
            clock: Arc::clone(&self.clock) as _,
            ids: Arc::clone(&self.ids),
            dispatch: Arc::clone(&self.dispatch) as _,
        }
    }

    /// The end of this incarnation and the start of the next: a new engine, which knows nothing, and new ids.
    pub async fn restart(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().await;
        }
        self.dispatch = RecordingDispatch::new(self.dispatch.grants());
        self.ids = Arc::default();
        self.store = Some(B::open(&self.ground, self.place()).await.unwrap());
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Opened {
        self.store.as_ref().unwrap()
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// Makes an application.
    pub async fn app(&self) -> Arc<Application> {
        let created = self.store().applications.create_application(new_application(), OnExisting::Refuse, None);
        created.await.unwrap().value
    }

    /// Makes an endpoint that wants everything.
    pub async fn endpoint(&self, app: AppId) -> Arc<Endpoint> {
        self.endpoint_with(app, |_| {}).await
    }

    /// Makes an endpoint.
    pub async fn endpoint_with(&self, app: AppId, change: impl FnOnce(&mut NewEndpoint)) -> Arc<Endpoint> {
        let mut new = new_endpoint(app);
        change(&mut new);
        self.store().endpoints.create_endpoint(new, None).await.unwrap().value
    }

    /// An event to be accepted now.
    #[must_use]
    pub fn event(&self, app: AppId) -> NewEvent {
        NewEvent {
            id: EventId::from_u128(self.ids.next(self.now())),
            app,
            route: Route::Match,
            event_type: "invoice.paid".to_owned(),
            uid: None,
            body_hash: [1; 16],
            channels: Vec::new(),
            ordering_key: None,
            body: Bytes::from_static(b"{\"amount\":1}"),
            content_type: None,
            idempotency: None,
            origin: Some(Origin::of("api")),
        }
    }

    /// Accepts one event.
    pub async fn try_accept(&self, event: NewEvent) -> hookfast_core::Result<Accepted> {
        let mut results = self.store().accept.accept(vec![event]).await;
        assert_eq!(results.len(), 1);
        results.remove(0)
    }

    /// Accepts one event, which must succeed.
    pub async fn accept(&self, event: NewEvent) -> EventId {
        self.try_accept(event).await.unwrap().id
    }

    /// Accepts a plain event.
    pub async fn accept_plain(&self, app: AppId) -> EventId {
        self.accept(self.event(app)).await
    }

    /// Claims for one endpoint what is due now.
    pub async fn claim(&self, endpoint: EndpointId, rows_max: u32) -> Claim {
        let mut claims = self.claim_all(&[endpoint], rows_max).await;
        assert!(claims.len() <= 1, "one endpoint was asked for, {} were answered", claims.len());
        claims.pop().unwrap_or(Claim { endpoint, deliveries: Vec::new(), next_due: None, elsewhere_until: None })
    }

    /// Claims for several endpoints what is due now.
    pub async fn claim_all(&self, endpoints: &[EndpointId], rows_max: u32) -> Vec<Claim> {
        let wanted = endpoints.iter().map(|&endpoint| ClaimWanted { endpoint, rows_max }).collect();
        self.store().queue.claim(wanted, self.now()).await.unwrap()
    }

    /// Claims the one delivery that is due for an endpoint.
    pub async fn claim_one(&self, endpoint: EndpointId) -> Delivery {
        let mut claim = self.claim(endpoint, 10).await;
        assert_eq!(claim.deliveries.len(), 1, "one delivery is due");
        claim.deliveries.remove(0)
    }

    /// The news of a try of this delivery.
    #[must_use]
    pub fn tried(&self, delivery: &Delivery, cause: Cause, outcome: Outcome) -> Settlement {
        let status = match cause {
            Cause::Ok => 200,
            Cause::Gone => 410,
            Cause::Status | Cause::Throttled => 503,
            _ => 0,
        };
        let attempt = Attempt {
            id: AttemptId::from_u128(self.ids.next(self.now())),
            event: delivery.key.event,
            endpoint: delivery.key.endpoint,
            run: delivery.key.run,
            number: delivery.tries + 1,
            url: "http://127.0.0.1:9/hook".to_owned(),
            cause,
            status,
            duration_ms: 12,
            excerpt: format!("answer {status}"),
            trigger: delivery.trigger,
        };
        Settlement { attempt: Some(attempt), tries: delivery.tries + 1, ..self.untried(delivery, outcome) }
    }

    /// The news of a delivery that was not tried.
    #[must_use]
    pub fn untried(&self, delivery: &Delivery, outcome: Outcome) -> Settlement {
        Settlement {
            key: delivery.key,
            hold: delivery.hold,
            attempt: None,
            tries: delivery.tries,
            crashes: delivery.crashes,
            outcome,
            body_bytes: delivery.event.body_bytes(),
            retention_days: delivery.retention_days,
        }
    }

    /// Delivered at this try.
    #[must_use]
    pub fn delivered(&self, delivery: &Delivery) -> Settlement {
        self.tried(delivery, Cause::Ok, Outcome::End(DeliveryState::Delivered, Cause::Ok))
    }

    /// Dead at this try.
    #[must_use]
    pub fn dead(&self, delivery: &Delivery) -> Settlement {
        self.tried(delivery, Cause::Status, Outcome::End(DeliveryState::Dead, Cause::Status))
    }

    /// Failed at this try and due again after a while.
    #[must_use]
    pub fn retried(&self, delivery: &Delivery, wait_ms: u64) -> Settlement {
        self.tried(delivery, Cause::Timeout, Outcome::Retry { due: self.now().plus_ms(wait_ms) })
    }

    /// Settles and waits until all of it is durable.
    pub async fn settle(&self, settlements: Vec<Settlement>) {
        let wanted = self.dispatch.record().settled.len() + settlements.len();
        self.store().queue.settle(settlements);
        let what = format!("{wanted} settlements to be durable");
        self.dispatch.until(&what, |record| (record.settled.len() >= wanted).then_some(())).await;
    }

    /// How far an event came at one endpoint.
    pub async fn destination(&self, app: AppId, event: EventId, endpoint: EndpointId) -> Destination {
        let found = self.store().reading.destinations(app, event).await.unwrap();
        found.into_iter().find(|one| one.endpoint.id == endpoint).expect("the event was routed to this endpoint")
    }

    /// The state of an event at one endpoint.
    pub async fn state(&self, app: AppId, event: EventId, endpoint: EndpointId) -> DeliveryState {
        self.destination(app, event, endpoint).await.state
    }

    /// All attempts of an event, oldest first.
    pub async fn attempts(&self, app: AppId, event: EventId) -> Vec<Attempt> {
        let page = self.store().reading.attempts_of_event(app, event, any_attempt(), first_page());
        page.await.unwrap().items
    }

    /// Runs a duty until there is no more to do now. The answer is how many rows it changed.
    pub async fn run(&self, duty: Duty) -> u64 {
        let mut rows = 0;
        for _ in 0..STEPS_MAX {
            let step = self.store().maintenance.step(duty).await.unwrap();
            rows += step.rows;
            if !step.more {
                return rows;
            }
        }
        panic!("{} still has more to do after {STEPS_MAX} steps", duty.as_str());
    }

    /// Runs every duty until nothing is left to do now.
    pub async fn run_all_duties(&self) {
        for duty in Duty::ALL {
            self.run(duty).await;
        }
    }
}

/// Looks again and again until `look` finds something: for what the ports give no signal of.
///
/// # Panics
/// When it never comes.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..2_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}");
}

/// An application to be made.
#[must_use]
pub fn new_application() -> NewApplication {
    NewApplication {
        org: OrgId::default_org(),
        uid: None,
        name: "Acme".to_owned(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        retention_days: None,
    }
}

/// An endpoint to be made.
#[must_use]
pub fn new_endpoint(app: AppId) -> NewEndpoint {
    NewEndpoint {
        app,
        uid: None,
        url: "http://127.0.0.1:9/hook".to_owned(),
        description: String::new(),
        version: 1,
        disabled: false,
        event_types: None,
        channels: None,
        throttle_rate: None,
        ordering: None,
        metadata: std::collections::BTreeMap::new(),
        headers: std::collections::BTreeMap::new(),
        secret: SecretText::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        signing: Signing::Standard,
        retry: None,
        timeout_ms: None,
    }
}

/// Every event, with its body.
#[must_use]
pub fn any_event() -> EventFilter {
    EventFilter { event_types: Vec::new(), channel: None, after: UnixMs::ZERO, before: UnixMs::MAX, with_body: true }
}

/// Every attempt.
#[must_use]
pub fn any_attempt() -> AttemptFilter {
    AttemptFilter {
        endpoint: None,
        succeeded: None,
        status_class: None,
        event_types: Vec::new(),
        channel: None,
        after: UnixMs::ZERO,
        before: UnixMs::MAX,
    }
}

/// The first page, as large as may be, oldest first.
#[must_use]
pub fn first_page<K>() -> Page<K> {
    Page { limit: hookfast_core::limits::PAGE_ROWS_MAX, after: None, backwards: false, order: Order::Ascending }
}
