//! The graph of parts, built once from top to bottom. The only place that names concrete back-ends.

use crate::config::{Config, HeaderFamily};
use crate::metrics::SinkCollector;
use crate::observe::{ObservedDispatch, ObservedIntake, Observer};
use crate::signals::exit_now;
use anyhow::Context as _;
use hookfast_core::address::AddressRules;
use hookfast_core::ports::{Dispatch, Intake, Sink};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{Clock, IdGenerator};
use hookfast_engine::{Dispatcher, Drained, Engine, EngineConfig, EnginePorts};
use hookfast_http::{ApiConfig, ApiMetrics, ApiState, Ports};
use hookfast_intake::{DirectIntake, IntakeConfig};
use hookfast_sinks::{HttpSink, HttpSinkConfig};
use hookfast_store::sqlite::{FatalHook, SqliteConfig, SqliteStore};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Exit code when the store can no longer be trusted.
const STORE_FAILED: i32 = 1;

/// The parts that come first: the store is open and the data directory is ours.
pub(crate) struct Ground {
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    dispatcher: Arc<Dispatcher>,
    store: Arc<SqliteStore>,
    observer: Option<Arc<dyn Observer>>,
}

/// All parts, at work.
pub(crate) struct Node {
    store: Arc<SqliteStore>,
    intake: Arc<dyn Intake>,
    engine: Option<Engine>,
    state: ApiState,
}

impl Ground {
    /// Takes the data directory and opens the store. Blocks while the store recovers.
    pub(crate) fn open(
        config: &Config,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Self, hookfast_store::Error> {
        let ids = Arc::new(IdGenerator::new());
        let dispatcher = Dispatcher::new(engine_config(config), Arc::clone(&clock));
        let mut dispatch: Arc<dyn Dispatch> = Arc::clone(&dispatcher) as _;
        if let Some(observer) = &observer {
            dispatch = Arc::new(ObservedDispatch { inner: dispatch, observer: Arc::clone(observer) });
        }
        let fatal: FatalHook = Arc::new(|why| {
            tracing::error!(why, "the store failed: exiting, so that nothing more is answered");
            exit_now(STORE_FAILED);
        });
        let store = SqliteStore::open(sqlite_config(config), Arc::clone(&clock), Arc::clone(&ids), dispatch, fatal)?;
        Ok(Self { clock, ids, dispatcher, store, observer })
    }

    /// The store, for what no port offers.
    pub(crate) fn store(&self) -> &Arc<SqliteStore> {
        &self.store
    }

    /// A node that delivers, on the runtime of `delivery`, for a server that listens on `bound`.
    pub(crate) fn serve(self, config: &Config, bound: SocketAddr, delivery: &Handle) -> anyhow::Result<Node> {
        let rules = address_rules(config, bound)?;
        let sink = Arc::new(HttpSink::new(sink_config(config, rules.clone())?, Arc::clone(&self.clock))?);
        let ports = EnginePorts {
            queue: Arc::clone(&self.store) as _,
            maintenance: Arc::clone(&self.store) as _,
            sink: Arc::clone(&sink) as Arc<dyn Sink>,
            ids: Arc::clone(&self.ids),
        };
        let engine = Engine::start(Arc::clone(&self.dispatcher), ports, delivery)?;
        self.join(config, rules, Some(engine), Some(sink))
    }

    /// A node that delivers nothing: for a command that has taken the data directory for a moment.
    pub(crate) fn command(self, config: &Config) -> anyhow::Result<Node> {
        let rules = address_rules(config, config.server.listen)?;
        self.join(config, rules, None, None)
    }

    fn join(
        self,
        config: &Config,
        rules: AddressRules,
        engine: Option<Engine>,
        sink: Option<Arc<HttpSink>>,
    ) -> anyhow::Result<Node> {
        let Self { clock, ids, dispatcher, store, observer } = self;
        let direct = DirectIntake::new(
            Arc::clone(&store) as _,
            Arc::clone(&dispatcher) as _,
            Arc::clone(&ids),
            Arc::clone(&clock),
            IntakeConfig { body_bytes_max: size(config.server.body_bytes_max) },
        );
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix("hookfast");
        ours.register("build", "Which hookfast this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        direct.metrics().register(ours);
        dispatcher.metrics().register(ours);
        if let Some(sink) = sink {
            ours.register_collector(Box::new(SinkCollector(sink)));
        }
        let metrics = ApiMetrics::register(&mut registry);
        let mut intake: Arc<dyn Intake> = Arc::new(direct);
        if let Some(observer) = observer {
            intake = Arc::new(ObservedIntake { inner: intake, observer });
        }
        let state = ApiState {
            ports: Ports {
                intake: Arc::clone(&intake),
                applications: Arc::clone(&store) as _,
                endpoints: Arc::clone(&store) as _,
                event_types: Arc::clone(&store) as _,
                tokens: Arc::clone(&store) as _,
                reading: Arc::clone(&store) as _,
                replays: Arc::clone(&store) as _,
                maintenance: Arc::clone(&store) as _,
            },
            clock,
            ids,
            config: api_config(config, rules),
            metrics,
            registry: Arc::new(registry),
            draining: CancellationToken::new(),
        };
        Ok(Node { store, intake, engine, state })
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
    pub(crate) async fn close(mut self, drain_ms: u64) {
        if let Some(engine) = self.engine.take() {
            let Drained { cut_off, unsettled } = engine.drain(Duration::from_millis(drain_ms)).await;
            if cut_off + unsettled > 0 {
                tracing::warn!(
                    cut_off,
                    unsettled,
                    "not everything ended in time; it is delivered after the next start"
                );
            }
        }
        // Joining the writer blocks; nothing else is left to do on this runtime but to wait for it.
        let store = Arc::clone(&self.store);
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::error!("the store panicked while it closed");
        }
    }
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

fn sqlite_config(config: &Config) -> SqliteConfig {
    SqliteConfig {
        secret_key: config.store.secret_key.clone(),
        disk_reserve_bytes: config.store.disk_reserve_bytes,
        retention_days_default: config.store.retention_days_default,
        retry: retry_policy(config),
        ..SqliteConfig::new(config.server.data_dir.clone())
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
