//! The receiver: its sources, and the door behind them: the log where there is one, else the store.

use super::log::LogPorts;
use super::{size, sources};
use crate::config::Config;
use hookfast_core::Clock;
use hookfast_core::ports::{Inbound, Intake};
use hookfast_http::{ApiMetrics, ReceiverConfig, ReceiverMetrics, ReceiverState, Sources};
use hookfast_intake::{DirectInbound, LogInbound};
use prometheus_client::registry::Registry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A receiver that lacks only what the whole node shares.
pub(super) struct Unfinished {
    inbound: Arc<dyn Inbound>,
    sources: Arc<Sources>,
    config: ReceiverConfig,
    metrics: ReceiverMetrics,
}

impl Unfinished {
    /// What is received goes to the log, or, without one, to the store by the one road in.
    pub(super) async fn new(
        config: &Config,
        log: Option<&LogPorts>,
        direct: Option<(&super::StorePorts, &Arc<dyn Intake>)>,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let sources = Sources::new(&config.sources(), config.receiver.clients_max)?;
        let inbound: Arc<dyn Inbound> = match (log, direct) {
            (Some(log), _) => by_log(config, log).await,
            (None, Some((store, intake))) => {
                let mut apps = HashMap::new();
                for name in sources.names() {
                    let app = sources::application(store, &format!("receiver.{name}")).await?;
                    apps.insert(Arc::clone(name), app);
                }
                Arc::new(DirectInbound::new(Arc::clone(intake), apps))
            }
            // The configuration was checked.
            (None, None) => anyhow::bail!("a receiver needs a store or a log"),
        };
        Ok(Self {
            inbound,
            sources: Arc::new(sources),
            config: ReceiverConfig {
                body_bytes_max: size(config.server.body_bytes_max),
                body_timeout_ms: config.server.body_timeout_ms,
                trusted_proxies: config.server.trusted_proxies.clone(),
                ..ReceiverConfig::default()
            },
            metrics: ReceiverMetrics::register(registry),
        })
    }

    pub(super) fn finish(
        self,
        clock: Arc<dyn Clock>,
        http_metrics: ApiMetrics,
        registry: Arc<Registry>,
        draining: CancellationToken,
    ) -> ReceiverState {
        let Self { inbound, sources, config, metrics } = self;
        ReceiverState { inbound, sources, clock, config, metrics, http_metrics, registry, draining }
    }
}

/// Topics are made now where they can be; a log that is away is no reason not to start: requests are refused meanwhile.
async fn by_log(config: &Config, log: &LogPorts) -> Arc<dyn Inbound> {
    let topics = config.source_topics();
    for topic in topics.values().collect::<BTreeSet<_>>() {
        if let Err(error) = log.readers.ensure_topic(topic).await {
            tracing::warn!(%topic, %error, "the topic could not be looked for");
        }
    }
    Arc::new(LogInbound::new(Arc::clone(&log.log), topics))
}
