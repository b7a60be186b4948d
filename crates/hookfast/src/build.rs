//! The graph of parts, built once from top to bottom. The only place that names concrete parts; the stores among them are
//! named in `store`, the log in `log`.

pub(crate) mod log;
mod receiver;
mod sources;
mod store;

use crate::client::owner;
use crate::config::{Config, HeaderFamily, IntakeBy, Roles};
use crate::metrics::SinkCollector;
use crate::observe::{ObservedDispatch, ObservedIntake, Observer};
use anyhow::Context as _;
use axum::Router;
use hookfast_core::address::AddressRules;
use hookfast_core::ports::{Admission, BoxFuture, Dispatch, Intake, NoDispatch, Sink};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{Clock, IdGenerator};
use hookfast_engine::{Dispatcher, Drained, Duties, Engine, EngineConfig, EnginePorts, Metrics};
use hookfast_http::{
    Access, ApiConfig, ApiMetrics, ApiState, Ports, ReceiverState, SenderConfig, SenderState, health_router_with,
    ping_route, receiver_router, receiver_routes, root_route, router_with, sender_routes,
};
use hookfast_intake::{DirectIntake, IntakeConfig, LogIntake};
use hookfast_sinks::{HttpSink, HttpSinkConfig};
use log::LogPorts;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use sources::Sources;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub(crate) use store::{
    COMMAND, Schema, StorePorts, copy, embedded, failure as store_failure, inspect_database, migrate, node_name, schema,
};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// So long the end waits for a step of background work that is under way.
const DUTY_STEP_MAX: Duration = Duration::from_secs(5);

/// What every part is given.
pub(crate) struct Surroundings {
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    observer: Option<Arc<dyn Observer>>,
}

/// The parts that come first: the store is open, and a data directory, if there is one, is ours.
pub(crate) struct Ground {
    roles: Roles,
    around: Surroundings,
    /// The memory of the engine, on a node that delivers.
    dispatcher: Option<Arc<Dispatcher>>,
    /// A node that only receives has none.
    store: Option<StorePorts>,
}

/// What works by itself.
#[derive(Default)]
struct Works {
    engine: Option<Engine>,
    sink: Option<Arc<HttpSink>>,
    duties: Option<Duties>,
    sources: Sources,
}

/// What is served.
#[derive(Default)]
struct Serves {
    /// On a node with a store; without the role of the API its health alone.
    api: Option<ApiState>,
    sender: Option<SenderState>,
    receiver: Option<ReceiverState>,
}

/// All parts, at work.
pub(crate) struct Node {
    roles: Roles,
    store: Option<StorePorts>,
    intake: Option<Arc<dyn Intake>>,
    works: Works,
    serves: Serves,
    metrics: ApiMetrics,
    /// No token is asked for on the sender's routes.
    is_sender_open: bool,
    draining: CancellationToken,
}

/// Admission on a node that does not deliver: it cannot know how far deliveries lag, and what waits is bounded by the
/// store's own limits.
struct Unmeasured;

impl Admission for Unmeasured {
    fn admit(&self) -> BoxFuture<'_, hookfast_core::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_open(&self) -> bool {
        true
    }
}

/// A node being put together.
struct Site<'c> {
    config: &'c Config,
    rules: AddressRules,
    roles: Roles,
    around: Surroundings,
    admission: Arc<dyn Admission>,
    log: Option<LogPorts>,
    registry: Registry,
}

impl Ground {
    /// Opens the store for a server with these roles, or with none for a command that uses it for a moment. The store's
    /// own tasks run on the runtime this is called on. Blocks while an embedded store recovers.
    pub(crate) async fn open(
        config: &Config,
        roles: Roles,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, hookfast_store::Error> {
        let around = Surroundings { clock, ids: Arc::new(IdGenerator::new()), observer };
        if !roles.needs_store() {
            return Ok(Self { roles, around, dispatcher: None, store: None });
        }
        let dispatcher = roles.engine.then(|| Dispatcher::new(engine_config(config), Arc::clone(&around.clock)));
        let mut dispatch: Arc<dyn Dispatch> = match &dispatcher {
            Some(dispatcher) => Arc::clone(dispatcher) as _,
            None => Arc::new(NoDispatch),
        };
        if let Some(observer) = &around.observer {
            dispatch = Arc::new(ObservedDispatch { inner: dispatch, observer: Arc::clone(observer) });
        }
        let store = store::open(config, roles, Arc::clone(&around.clock), Arc::clone(&around.ids), dispatch).await?;
        Ok(Self { roles, around, dispatcher, store: Some(store) })
    }

    /// The open store.
    pub(crate) fn store(&self) -> Option<&StorePorts> {
        self.store.as_ref()
    }

    /// A node that works, its deliveries on the runtime of `delivery`, for a server that listens on `bound`.
    pub(crate) async fn serve(self, config: &Config, bound: SocketAddr, delivery: &Handle) -> anyhow::Result<Node> {
        let rules = address_rules(config, bound)?;
        let mut works = Works::default();
        let mut engine_metrics = Metrics::default();
        if let (Some(dispatcher), Some(store)) = (&self.dispatcher, &self.store) {
            let clock = Arc::clone(&self.around.clock);
            let sink = Arc::new(HttpSink::new(sink_config(config, rules.clone())?, clock)?);
            let ports = EnginePorts {
                queue: Arc::clone(&store.queue),
                sink: Arc::clone(&sink) as Arc<dyn Sink>,
                ids: Arc::clone(&self.around.ids),
            };
            works.engine = Some(Engine::start(Arc::clone(dispatcher), ports, delivery)?);
            works.sink = Some(sink);
            engine_metrics = dispatcher.metrics().clone();
        }
        if let Some(store) = self.store.as_ref().filter(|_| self.roles.maintenance) {
            works.duties = Some(Duties::start(Arc::clone(&store.maintenance), engine_metrics.clone(), delivery));
        }
        let log = needs_log(config, self.roles).then(|| log::open(config)).transpose()?;
        let is_sender_open = config.is_sender_open(bound);
        let node = self.join(config, rules, log, &engine_metrics, works, Some(delivery)).await?;
        Ok(Node { is_sender_open, ..node })
    }

    /// A node that does nothing by itself: for a command that uses the store for a moment.
    pub(crate) async fn command(self, config: &Config) -> anyhow::Result<Node> {
        let rules = address_rules(config, config.server.listen)?;
        self.join(config, rules, None, &Metrics::default(), Works::default(), None).await
    }

    async fn join(
        self,
        config: &Config,
        rules: AddressRules,
        log: Option<LogPorts>,
        engine_metrics: &Metrics,
        mut works: Works,
        delivery: Option<&Handle>,
    ) -> anyhow::Result<Node> {
        let Self { roles, around, dispatcher, store } = self;
        let admission: Arc<dyn Admission> = match dispatcher {
            Some(dispatcher) => dispatcher,
            None => Arc::new(Unmeasured),
        };
        let registry = Registry::default();
        let mut site = Site { config, rules, roles, around, admission, log, registry };
        site.register(engine_metrics, &works);
        let metrics = ApiMetrics::register(&mut site.registry);
        let intake = store.as_ref().map(|store| site.intake(store));
        let mut receiver = None;
        if let Some(delivery) = delivery {
            if let (Some(store), Some(intake)) = (&store, &intake) {
                site.start(store, intake, &mut works.sources, delivery).await?;
            }
            if roles.receiver {
                let direct = store.as_ref().zip(intake.as_ref());
                let log = site.log.as_ref();
                receiver = Some(receiver::Unfinished::new(config, log, direct, &mut site.registry).await?);
            }
        }
        let draining = CancellationToken::new();
        let serves = site.serves((store.as_ref(), intake.as_ref()), receiver, &works, &metrics, &draining);
        Ok(Node { roles, store, intake, works, serves, metrics, is_sender_open: false, draining })
    }
}

/// Does a node with these roles append to the log, or read it?
fn needs_log(config: &Config, roles: Roles) -> bool {
    let takes_in = roles.api || roles.sources || roles.sender;
    roles.consumer
        || (roles.receiver && !config.kafka.brokers.is_empty())
        || (takes_in && config.server.intake == IntakeBy::Log)
}

impl Site<'_> {
    fn ours(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix("hookfast")
    }

    fn register(&mut self, engine_metrics: &Metrics, works: &Works) {
        let node = [("name", node_name(self.config, self.roles)), ("roles", self.roles.words().join(","))];
        let log = self.log.clone();
        let ours = self.ours();
        ours.register("build", "Which hookfast this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        ours.register("node", "Which node this is, and what it does", Info::new(node));
        engine_metrics.register(ours);
        if let Some(sink) = &works.sink {
            ours.register_collector(Box::new(SinkCollector(Arc::clone(sink))));
        }
        if let Some(log) = log {
            log.register(ours);
        }
    }

    /// The one road in: into the store, or by the log.
    fn intake(&mut self, store: &StorePorts) -> Arc<dyn Intake> {
        let (ids, clock) = (Arc::clone(&self.around.ids), Arc::clone(&self.around.clock));
        let config = IntakeConfig { body_bytes_max: size(self.config.server.body_bytes_max) };
        let log = self.log.as_ref().filter(|_| self.config.server.intake == IntakeBy::Log);
        let mut intake: Arc<dyn Intake> = if let Some(log) = log {
            let topic = &self.config.kafka.intake_topic;
            let by_log = LogIntake::new(Arc::clone(&log.log), topic, ids, clock, config);
            by_log.metrics().register(self.registry.sub_registry_with_prefix("hookfast"));
            Arc::new(by_log)
        } else {
            let direct = DirectIntake::new(Arc::clone(&store.accept), Arc::clone(&self.admission), ids, clock, config);
            direct.metrics().register(self.ours());
            Arc::new(direct)
        };
        if let Some(observer) = &self.around.observer {
            intake = Arc::new(ObservedIntake { inner: intake, observer: Arc::clone(observer) });
        }
        intake
    }

    /// Starts what brings events in by itself.
    async fn start(
        &mut self,
        store: &StorePorts,
        intake: &Arc<dyn Intake>,
        sources: &mut Sources,
        delivery: &Handle,
    ) -> anyhow::Result<()> {
        if self.roles.sender || self.roles.consumer {
            sources::prepare(store.consume.as_ref()).await?;
        }
        let (config, around) = (self.config, &self.around);
        let ours = self.registry.sub_registry_with_prefix("hookfast");
        if self.roles.sources {
            sources.start(config, around, store, intake, &self.rules, ours)?;
        }
        if let Some(log) = self.log.as_ref().filter(|_| self.roles.consumer) {
            sources.consume(config, around, (store, log), &self.admission, ours, delivery).await?;
        }
        Ok(())
    }

    /// What is served; the registry is complete now.
    fn serves(
        self,
        (store, intake): (Option<&StorePorts>, Option<&Arc<dyn Intake>>),
        receiver: Option<receiver::Unfinished>,
        works: &Works,
        metrics: &ApiMetrics,
        draining: &CancellationToken,
    ) -> Serves {
        let Self { config, rules, roles, around, registry, log, .. } = self;
        let log = log.filter(|_| config.server.intake == IntakeBy::Log).map(|ports| ports.log);
        let registry = Arc::new(registry);
        let api = store.zip(intake).map(|(store, intake)| ApiState {
            ports: api_ports(store, intake),
            clock: Arc::clone(&around.clock),
            ids: around.ids,
            config: api_config(config, rules),
            metrics: metrics.clone(),
            log: log.clone(),
            registry: Arc::clone(&registry),
            draining: draining.clone(),
        });
        let sender = api.as_ref().zip(store).filter(|_| roles.sender);
        let changed = &works.sources.emitters_changed;
        Serves {
            sender: sender.map(|(api, store)| sender_state(config, api, store, changed)),
            receiver: receiver.map(|one| one.finish(around.clock, metrics.clone(), registry, draining.clone())),
            api,
        }
    }
}

impl Node {
    /// The store of a node that has one, as commands reach it.
    pub(crate) fn api(&self) -> Option<&ApiState> {
        self.serves.api.as_ref()
    }

    /// Everything it serves on one listener.
    pub(crate) fn routes(&self, access: Access) -> Router {
        let Serves { api, sender, receiver } = &self.serves;
        let Some(api) = api else {
            return receiver.clone().map_or_else(Router::new, receiver_router);
        };
        let mut more = Router::new();
        if let Some(sender) = sender {
            let access = if self.is_sender_open { Access::Trusted(owner()) } else { access.clone() };
            more = more.merge(sender_routes(sender.clone(), access));
        } else if self.roles.api || self.roles == Roles::NONE {
            more = more.merge(root_route());
        }
        if let Some(receiver) = receiver {
            more = more.merge(receiver_routes(receiver.clone()));
        }
        if sender.is_some() || receiver.is_some() {
            more = more.merge(ping_route());
        }
        let is_command = self.roles == Roles::NONE;
        if self.roles.api || is_command {
            router_with(api.clone(), access, more)
        } else {
            health_router_with(api.clone(), more)
        }
    }

    /// The counters of its listeners.
    pub(crate) fn metrics(&self) -> &ApiMetrics {
        &self.metrics
    }

    /// Says that it will end soon.
    pub(crate) fn drain(&self) {
        self.draining.cancel();
    }

    /// The one road in, for sources within the process.
    pub(crate) fn intake(&self) -> Option<Arc<dyn Intake>> {
        self.intake.clone()
    }

    /// Ends what brings events in, then deliveries, both within `drain_ms`, then closes the store: when this returns,
    /// everything is on disk.
    pub(crate) async fn close(self, drain_ms: u64) {
        let deadline = Instant::now() + Duration::from_millis(drain_ms);
        let Self { store, works, .. } = self;
        let Works { engine, duties, sources, .. } = works;
        let end_duties = async {
            if let Some(duties) = duties {
                duties.stop(DUTY_STEP_MAX).await;
            }
        };
        let end_engine = async {
            sources.end(deadline.saturating_duration_since(Instant::now())).await;
            if let Some(engine) = engine {
                drain(engine, deadline.saturating_duration_since(Instant::now())).await;
            }
        };
        tokio::join!(end_duties, end_engine);
        if let Some(store) = store {
            store.close().await;
        }
    }
}

async fn drain(engine: Engine, patience: Duration) {
    let Drained { cut_off, unsettled } = engine.drain(patience).await;
    if cut_off + unsettled > 0 {
        tracing::warn!(cut_off, unsettled, "not everything ended in time; it is delivered after the next start");
    }
}

fn sender_state(config: &Config, api: &ApiState, store: &StorePorts, changed: &Arc<Notify>) -> SenderState {
    SenderState {
        api: api.clone(),
        emitters: Arc::clone(&store.emitters),
        changed: Arc::clone(changed),
        config: SenderConfig {
            secret: config.sender.secret.first().cloned(),
            webhooks_max: config.sender.webhooks_max,
        },
    }
}

fn api_ports(store: &StorePorts, intake: &Arc<dyn Intake>) -> Ports {
    Ports {
        intake: Arc::clone(intake),
        applications: Arc::clone(&store.applications),
        endpoints: Arc::clone(&store.endpoints),
        event_types: Arc::clone(&store.event_types),
        tokens: Arc::clone(&store.tokens),
        reading: Arc::clone(&store.reading),
        replays: Arc::clone(&store.replays),
        maintenance: Arc::clone(&store.maintenance),
    }
}

/// What sends, for one try by hand: it and the rules it keeps, as a server with this configuration has them.
pub(crate) fn sink(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<(HttpSink, AddressRules)> {
    let rules = address_rules(config, config.server.listen)?;
    Ok((HttpSink::new(sink_config(config, rules.clone())?, clock)?, rules))
}

/// A limit in the width of this machine.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn retry_policy(config: &Config) -> RetryPolicy {
    RetryPolicy { delays_ms: config.retry.delays.clone(), jitter: config.retry.jitter }
}

fn engine_config(config: &Config) -> EngineConfig {
    let delivery = &config.delivery;
    EngineConfig {
        retry: retry_policy(config),
        in_flight_max: count(delivery.in_flight_max),
        in_flight_per_endpoint_max: count(delivery.in_flight_per_endpoint_max),
        memory_slots: delivery.memory_slots,
        memory_bytes_max: size(delivery.memory_bytes_max),
        spill_after_ms: delivery.spill_after_ms,
        disable_after_ms: delivery.disable_after_ms,
        breaker_gap_ms_max: delivery.breaker_gap_ms_max,
        admission_lag_ms: delivery.admission_lag_ms,
        admission_wait_ms: delivery.admission_wait_ms,
        ..EngineConfig::default()
    }
}

/// The certificates of a file that a setting names.
fn read_pem(setting: &str, path: Option<&Path>) -> anyhow::Result<Option<String>> {
    path.map(|path| std::fs::read_to_string(path).with_context(|| format!("{setting}: {}", path.display()))).transpose()
}

fn address_rules(config: &Config, bound: SocketAddr) -> anyhow::Result<AddressRules> {
    let networks = config.delivery.allow_networks.clone();
    let mut own = config.service_addresses();
    own.push(bound);
    Ok(AddressRules::new(networks, config.may_deliver_to_loopback(bound), own)?)
}

fn sink_config(config: &Config, rules: AddressRules) -> anyhow::Result<HttpSinkConfig> {
    let delivery = &config.delivery;
    Ok(HttpSinkConfig {
        header_family: match delivery.header_family {
            HeaderFamily::Standard => hookfast_sinks::HeaderFamily::Standard,
            HeaderFamily::Svix => hookfast_sinks::HeaderFamily::Svix,
            HeaderFamily::Both => hookfast_sinks::HeaderFamily::Both,
        },
        connect_timeout_ms: delivery.connect_timeout_ms,
        dns_timeout_ms: delivery.connect_timeout_ms,
        timeout_ms: delivery.timeout_ms,
        https_only: delivery.https_only,
        extra_ca_pem: read_pem("delivery.extra_ca_file", delivery.extra_ca_file.as_deref())?,
        idle_per_endpoint_max: delivery.in_flight_per_endpoint_max,
        rules,
        ..HttpSinkConfig::default()
    })
}

fn api_config(config: &Config, rules: AddressRules) -> ApiConfig {
    ApiConfig {
        body_bytes_max: size(config.server.body_bytes_max),
        body_timeout_ms: config.server.body_timeout_ms,
        jwt_secret: config.auth.jwt_secret.clone(),
        https_only: config.delivery.https_only,
        address_rules: rules,
        ..ApiConfig::default()
    }
}
