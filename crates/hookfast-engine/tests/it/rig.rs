//! An engine on paused time with a model store, a scripted sink and a clock tied to that time.

use crate::model::Model;
use bytes::Bytes;
use hookfast_core::delivery::{Cause, DeliveryKey, DeliveryState};
use hookfast_core::model::{AppThrottle, Endpoint, EndpointSecrets, SecretText, Signing};
use hookfast_core::ports::{BoxFuture, Outgoing, Queue, Sink, Try, TryOutcome};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{AppId, Clock, EndpointId, EventId, IdGenerator, UnixMs};
use hookfast_engine::{Dispatcher, Engine, EngineConfig, EnginePorts};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// The runtime's (paused) time, from a fixed start.
pub(crate) struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> UnixMs {
        UnixMs(1_700_000_000_000).plus_ms(self.0.elapsed().as_millis() as u64)
    }
    fn wall(&self) -> UnixMs {
        self.now()
    }
}

/// What the sink does with a try.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// 2xx after so many milliseconds.
    Ok(u64),
    /// This failure after so many milliseconds.
    Fail(Cause, u64),
    /// 429 that asks to wait.
    Busy { retry_after_ms: u64 },
    /// It panics.
    Panic,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// Every try: when it began, and which event.
    pub(crate) tries: HashMap<EndpointId, Vec<(UnixMs, EventId)>>,
    pub(crate) in_flight: HashMap<EndpointId, u32>,
    pub(crate) in_flight_max: HashMap<EndpointId, u32>,
    pub(crate) total: u32,
    pub(crate) total_max: u32,
    /// Deliveries that ended well: from accepted to the end.
    pub(crate) lags: HashMap<EndpointId, Vec<u64>>,
}

type Script = Box<dyn Fn(&Endpoint, u32) -> Act + Send + Sync>;

pub(crate) struct TestSink {
    script: Mutex<Script>,
    pub(crate) seen: Mutex<Seen>,
    clock: Arc<TestClock>,
}

/// Counts a try in flight as long as it lives.
struct Flying<'a>(&'a TestSink, EndpointId);

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        let mut seen = self.0.seen.lock().unwrap();
        *seen.in_flight.get_mut(&self.1).unwrap() -= 1;
        seen.total -= 1;
    }
}

impl TestSink {
    fn begin(&self, attempt: &Try<'_>) -> (Flying<'_>, u32) {
        let id = attempt.endpoint.id;
        let mut seen = self.seen.lock().unwrap();
        let tries = seen.tries.entry(id).or_default();
        tries.push((self.clock.now(), attempt.event.id));
        let count = tries.len() as u32;
        let flying = seen.in_flight.entry(id).or_default();
        *flying += 1;
        let flying = *flying;
        let max = seen.in_flight_max.entry(id).or_default();
        *max = flying.max(*max);
        seen.total += 1;
        seen.total_max = seen.total_max.max(seen.total);
        (Flying(self, id), count)
    }
}

impl Sink for TestSink {
    fn send<'a>(&'a self, attempt: Try<'a>) -> BoxFuture<'a, TryOutcome> {
        Box::pin(async move {
            let (_flying, count) = self.begin(&attempt);
            let act = (self.script.lock().unwrap())(attempt.endpoint, count);
            let (cause, ms, retry_after_ms) = match act {
                Act::Ok(ms) => (Cause::Ok, ms, None),
                Act::Fail(cause, ms) => (cause, ms, None),
                Act::Busy { retry_after_ms } => (Cause::Throttled, 1, Some(retry_after_ms)),
                Act::Panic => panic!("scripted"),
            };
            if ms > 0 {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            if cause == Cause::Ok {
                let lag = self.clock.now().since(attempt.event.id.time());
                self.seen.lock().unwrap().lags.entry(attempt.endpoint.id).or_default().push(lag);
            }
            let status = if cause == Cause::Ok { 200 } else { 0 };
            TryOutcome { cause, status, retry_after_ms, duration_ms: ms as u32, excerpt: String::new() }
        })
    }
}

pub(crate) struct Rig {
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) model: Arc<Model>,
    pub(crate) sink: Arc<TestSink>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) engine: Option<Engine>,
    ids: Arc<IdGenerator>,
    /// Everything that was committed.
    pub(crate) committed: Mutex<Vec<DeliveryKey>>,
}

impl Rig {
    /// A running engine.
    pub(crate) fn start(config: EngineConfig, script: impl Fn(&Endpoint, u32) -> Act + Send + Sync + 'static) -> Self {
        let mut rig = Self::prepare(config, script);
        rig.run();
        rig
    }

    /// Everything but the engine.
    pub(crate) fn prepare(
        config: EngineConfig,
        script: impl Fn(&Endpoint, u32) -> Act + Send + Sync + 'static,
    ) -> Self {
        let clock = Arc::new(TestClock(Instant::now()));
        let dispatcher = Dispatcher::new(config, clock.clone());
        let model = Model::new(dispatcher.clone());
        tokio::spawn(model.clone().write());
        let sink =
            Arc::new(TestSink { script: Mutex::new(Box::new(script)), seen: Mutex::default(), clock: clock.clone() });
        let ids = Arc::new(IdGenerator::new());
        Self { dispatcher, model, sink, clock, engine: None, ids, committed: Mutex::default() }
    }

    pub(crate) fn run(&mut self) {
        let ports =
            EnginePorts { queue: self.model.clone() as Arc<dyn Queue>, sink: self.sink.clone(), ids: self.ids.clone() };
        self.engine = Some(Engine::start(self.dispatcher.clone(), ports, &Handle::current()).unwrap());
    }

    pub(crate) fn endpoint(&self, name: &str) -> Arc<Endpoint> {
        self.endpoint_with(name, None)
    }

    pub(crate) fn endpoint_with(&self, name: &str, delays_ms: Option<Vec<u64>>) -> Arc<Endpoint> {
        self.endpoint_of(AppId::from_u128(1), name, delays_ms)
    }

    /// An endpoint of this application, which has no throttle yet.
    pub(crate) fn endpoint_of(&self, app: AppId, name: &str, delays_ms: Option<Vec<u64>>) -> Arc<Endpoint> {
        let now = self.clock.now();
        let endpoint = Arc::new(Endpoint {
            id: EndpointId::from_u128(self.ids.next(now)),
            app,
            uid: None,
            url: format!("http://{name}/"),
            description: String::new(),
            version: 1,
            disabled: None,
            event_types: None,
            channels: None,
            throttle_rate: None,
            app_throttle: AppThrottle::default(),
            ordering: None,
            metadata: BTreeMap::new(),
            headers: BTreeMap::new(),
            secrets: EndpointSecrets { current: SecretText::new("whsec_x"), old: Vec::new() },
            signing: Signing::Standard,
            retry: delays_ms.map(|delays_ms| RetryPolicy { delays_ms, jitter: 0.0 }),
            timeout_ms: None,
            failing_since: None,
            created_at: now,
            updated_at: now,
        });
        self.model.add_endpoint(&endpoint);
        endpoint
    }

    /// Accepts one event for these endpoints.
    pub(crate) fn send(&self, to: &[Arc<Endpoint>]) -> EventId {
        self.send_body(to, Some(Bytes::from_static(b"{}")))
    }

    pub(crate) fn send_one(&self, to: &Arc<Endpoint>) -> EventId {
        self.send(std::slice::from_ref(to))
    }

    pub(crate) fn send_body(&self, to: &[Arc<Endpoint>], body: Option<Bytes>) -> EventId {
        let now = self.clock.now();
        let id = EventId::from_u128(self.ids.next(now));
        let event = Arc::new(Outgoing { id, event_type: "t".into(), content_type: None, body });
        let keys = to.iter().map(|endpoint| DeliveryKey { event: id, endpoint: endpoint.id, run: 0 });
        self.committed.lock().unwrap().extend(keys);
        self.model.commit(&event, to, now);
        id
    }

    pub(crate) fn script(&self, script: impl Fn(&Endpoint, u32) -> Act + Send + Sync + 'static) {
        *self.sink.script.lock().unwrap() = Box::new(script);
    }

    /// Waits until `done`, looking at each millisecond of (paused) time, for ten minutes of it at most.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..600_000 {
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let rows = self.model.rows();
        let left: Vec<_> = rows.rows.values().take(3).map(|row| (&row.delivery, row.is_held)).collect();
        panic!("never: {what}; {} ended, rows {left:?}, held {:?}", rows.ends.len(), rows.held.iter().take(3));
    }

    pub(crate) async fn until_all_ended(&self) {
        self.until("all ended", |rig| rig.model.rows().ends.len() == rig.committed.lock().unwrap().len()).await;
        self.until("nothing held", |rig| rig.dispatcher.held() == 0).await;
        self.check();
    }

    /// The invariants that hold at every moment.
    pub(crate) fn check(&self) {
        let rows = self.model.rows();
        assert!(rows.faults.is_empty(), "{:?}", &rows.faults[..rows.faults.len().min(3)]);
        for key in self.committed.lock().unwrap().iter() {
            let places = [rows.ends.contains_key(key), rows.rows.contains_key(key) || rows.held.contains_key(key)];
            assert_eq!(places.iter().filter(|place| **place).count(), 1, "{key:?} is in {places:?}");
        }
    }

    pub(crate) fn ended(&self, state: DeliveryState) -> usize {
        self.model.rows().ends.values().filter(|(end, _)| *end == state).count()
    }

    pub(crate) fn tries_of(&self, endpoint: &Endpoint) -> Vec<(UnixMs, EventId)> {
        self.sink.seen.lock().unwrap().tries.get(&endpoint.id).cloned().unwrap_or_default()
    }

    pub(crate) fn lag_max(&self, endpoint: &Endpoint) -> u64 {
        let seen = self.sink.seen.lock().unwrap();
        seen.lags.get(&endpoint.id).and_then(|lags| lags.iter().max().copied()).unwrap_or(0)
    }

    pub(crate) fn in_flight_max(&self, endpoint: &Endpoint) -> u32 {
        self.sink.seen.lock().unwrap().in_flight_max.get(&endpoint.id).copied().unwrap_or(0)
    }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A policy without chance.
pub(crate) fn policy(delays_ms: &[u64]) -> RetryPolicy {
    RetryPolicy { delays_ms: delays_ms.to_vec(), jitter: 0.0 }
}
