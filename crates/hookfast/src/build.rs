//! The graph of parts, built once from top to bottom. The only place that names concrete parts; the stores among them are
//! named in `store`.

mod store;

use crate::config::{Config, HeaderFamily, Roles};
use crate::metrics::SinkCollector;
use crate::observe::{ObservedDispatch, ObservedIntake, Observer};
use anyhow::Context as _;
use hookfast_core::address::AddressRules;
use hookfast_core::ports::{Admission, BoxFuture, Dispatch, Intake, NoDispatch, Sink};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{Clock, IdGenerator};
use hookfast_engine::{Dispatcher, Drained, Duties, Engine, EngineConfig, EnginePorts, Metrics};
use hookfast_http::{ApiConfig, ApiMetrics, ApiState, Ports};
use hookfast_intake::{DirectIntake, IntakeConfig};
use hookfast_sinks::{HttpSink, HttpSinkConfig};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use store::{
    COMMAND, Schema, StorePorts, copy, embedded, failure as store_failure, migrate, node_name, schema,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// So long the end waits for a step of background work that is under way.
const DUTY_STEP_MAX: Duration = Duration::from_secs(5);

/// The parts that come first: the store is open, and a data directory, if there is one, is ours.
pub(crate) struct Ground {
    roles: Roles,
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    /// The memory of the engine, on a node that delivers.
    dispatcher: Option<Arc<Dispatcher>>,
    store: StorePorts,
    observer: Option<Arc<dyn Observer>>,
}

/// What works by itself.
#[derive(Default)]
struct Works {
    engine: Option<Engine>,
    sink: Option<Arc<HttpSink>>,
    duties: Option<Duties>,
}

/// All parts, at work.
pub(crate) struct Node {
    store: StorePorts,
    intake: Arc<dyn Intake>,
    works: Works,
    state: ApiState,
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

impl Ground {
    /// Opens the store for a server with these roles, or with none for a command that uses it for a moment. The store's
    /// own tasks run on the runtime this is called on. Blocks while an embedded store recovers.
    pub(crate) async fn open(
        config: &Config,
        roles: Roles,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, hookfast_store::Error> {
        let ids = Arc::new(IdGenerator::new());
        let dispatcher = roles.engine.then(|| Dispatcher::new(engine_config(config), Arc::clone(&clock)));
        let mut dispatch: Arc<dyn Dispatch> = match &dispatcher {
            Some(dispatcher) => Arc::clone(dispatcher) as _,
            None => Arc::new(NoDispatch),
        };
        if let Some(observer) = &observer {
            dispatch = Arc::new(ObservedDispatch { inner: dispatch, observer: Arc::clone(observer) });
        }
        let store = store::open(config, roles, Arc::clone(&clock), Arc::clone(&ids), dispatch).await?;
        Ok(Self { roles, clock, ids, dispatcher, store, observer })
    }

    /// The open store.
    pub(crate) fn store(&self) -> &StorePorts {
        &self.store
    }

    /// A node that works, on the runtime of `delivery`, for a server that listens on `bound`.
    pub(crate) fn serve(self, config: &Config, bound: SocketAddr, delivery: &Handle) -> anyhow::Result<Node> {
        let rules = address_rules(config, bound)?;
        let mut works = Works::default();
        if let Some(dispatcher) = &self.dispatcher {
            let sink = Arc::new(HttpSink::new(sink_config(config, rules.clone())?, Arc::clone(&self.clock))?);
            let ports = EnginePorts {
                queue: Arc::clone(&self.store.queue),
                sink: Arc::clone(&sink) as Arc<dyn Sink>,
                ids: Arc::clone(&self.ids),
            };
            works.engine = Some(Engine::start(Arc::clone(dispatcher), ports, delivery)?);
            works.sink = Some(sink);
        }
        let metrics = self.dispatcher.as_ref().map_or_else(Metrics::default, |dispatcher| dispatcher.metrics().clone());
        if self.roles.maintenance {
            works.duties = Some(Duties::start(Arc::clone(&self.store.maintenance), metrics.clone(), delivery));
        }
        Ok(self.join(config, rules, &metrics, works))
    }

    /// A node that does nothing by itself: for a command that uses the store for a moment.
    pub(crate) fn command(self, config: &Config) -> anyhow::Result<Node> {
        let rules = address_rules(config, config.server.listen)?;
        Ok(self.join(config, rules, &Metrics::default(), Works::default()))
    }

    fn join(self, config: &Config, rules: AddressRules, engine_metrics: &Metrics, works: Works) -> Node {
        let Self { roles, clock, ids, dispatcher, store, observer } = self;
        let admission: Arc<dyn Admission> = match dispatcher {
            Some(dispatcher) => dispatcher,
            None => Arc::new(Unmeasured),
        };
        let direct = DirectIntake::new(
            Arc::clone(&store.accept),
            admission,
            Arc::clone(&ids),
            Arc::clone(&clock),
            IntakeConfig { body_bytes_max: size(config.server.body_bytes_max) },
        );
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix("hookfast");
        ours.register("build", "Which hookfast this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let node = [("name", node_name(config, roles)), ("roles", roles.words().join(","))];
        ours.register("node", "Which node this is, and what it does", Info::new(node));
        direct.metrics().register(ours);
        engine_metrics.register(ours);
        if let Some(sink) = &works.sink {
            ours.register_collector(Box::new(SinkCollector(Arc::clone(sink))));
        }
        let metrics = ApiMetrics::register(&mut registry);
        let mut intake: Arc<dyn Intake> = Arc::new(direct);
        if let Some(observer) = observer {
            intake = Arc::new(ObservedIntake { inner: intake, observer });
        }
        let state = ApiState {
            ports: api_ports(&store, &intake),
            clock,
            ids,
            config: api_config(config, rules),
            metrics,
            registry: Arc::new(registry),
            draining: CancellationToken::new(),
        };
        Node { store, intake, works, state }
    }
}

impl Node {
    /// What routers are built from.
    pub(crate) fn state(&self) -> &ApiState {
        &self.state
    }

    /// The one road in, for sources within the process.
    pub(crate) fn intake(&self) -> Arc<dyn Intake> {
        Arc::clone(&self.intake)
    }

    /// Ends deliveries within `drain_ms`, then closes the store: when this returns, everything is on disk.
    pub(crate) async fn close(self, drain_ms: u64) {
        let Self { store, works, .. } = self;
        let Works { engine, duties, .. } = works;
        let end_duties = async {
            if let Some(duties) = duties {
                duties.stop(DUTY_STEP_MAX).await;
            }
        };
        let end_engine = async {
            if let Some(engine) = engine {
                drain(engine, drain_ms).await;
            }
        };
        tokio::join!(end_duties, end_engine);
        store.close().await;
    }
}

async fn drain(engine: Engine, drain_ms: u64) {
    let Drained { cut_off, unsettled } = engine.drain(Duration::from_millis(drain_ms)).await;
    if cut_off + unsettled > 0 {
        tracing::warn!(cut_off, unsettled, "not everything ended in time; it is delivered after the next start");
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

fn address_rules(config: &Config, bound: SocketAddr) -> anyhow::Result<AddressRules> {
    let networks = config.delivery.allow_networks.clone();
    Ok(AddressRules::new(networks, config.may_deliver_to_loopback(bound), vec![bound])?)
}

fn sink_config(config: &Config, rules: AddressRules) -> anyhow::Result<HttpSinkConfig> {
    let delivery = &config.delivery;
    let read = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("delivery.extra_ca_file: {}", path.display()))
    };
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
        extra_ca_pem: delivery.extra_ca_file.as_ref().map(read).transpose()?,
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
