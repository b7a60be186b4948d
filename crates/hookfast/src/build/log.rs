//! The configured log behind its ports. The only place that names its back-end.

use crate::config::Config;
use crate::exit::{Exit, Failure};
use hookfast_core::ports::{Log, LogReaders};
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// An open log, behind every port of one.
#[derive(Clone)]
pub(crate) struct LogPorts {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) readers: Arc<dyn LogReaders>,
    register: Arc<dyn Fn(&mut Registry) + Send + Sync>,
}

impl LogPorts {
    /// Adds what it counts to a registry.
    pub(super) fn register(&self, registry: &mut Registry) {
        (self.register)(registry);
    }
}

/// Sets up the configured log; it does not wait for a broker.
///
/// # Errors
/// When none is configured, when this binary was built without it, or when a setting does not fit.
#[cfg(feature = "kafka")]
pub(crate) fn open(config: &Config) -> anyhow::Result<LogPorts> {
    use hookfast_log::kafka::{KafkaConfig, KafkaLog, Metrics, Sasl, SaslMechanism, Tls};
    let kafka = brokers(config)?;
    let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mechanism = match kafka.sasl_mechanism {
        "PLAIN" => SaslMechanism::Plain,
        "SCRAM-SHA-256" => SaslMechanism::ScramSha256,
        _ => SaslMechanism::ScramSha512,
    };
    let sasl = kafka.username.clone().zip(kafka.password.clone());
    let metrics = Metrics::default();
    let log = KafkaLog::open(
        KafkaConfig {
            buffer_bytes_max: usize::try_from(kafka.buffer_bytes_max).unwrap_or(usize::MAX),
            append_timeout_ms: u32::try_from(kafka.append_timeout_ms).unwrap_or(u32::MAX),
            // A record is a body and what stands around it.
            record_bytes_max: usize::try_from(config.server.body_bytes_max).unwrap_or(usize::MAX) + (512 << 10),
            create_topics: kafka.create_topics,
            partitions: narrow(kafka.partitions),
            replication: u16::try_from(kafka.replication).unwrap_or(u16::MAX),
            flush_messages: kafka.flush_messages.map(narrow),
            sasl: sasl.map(|(username, password)| Sasl { mechanism, username, password }),
            tls: kafka.tls.then(|| Tls { ca_file: kafka.tls_ca_file.clone() }),
            ..KafkaConfig::new(kafka.brokers.join(","))
        },
        metrics.clone(),
    )
    .map_err(|error| Failure::new(Exit::Usage, format!("kafka: {error}")))?;
    let log = Arc::new(log);
    let register = Arc::new(move |registry: &mut Registry| metrics.register(registry));
    Ok(LogPorts { log: Arc::clone(&log) as _, readers: log, register })
}

/// This binary was built without a log.
#[cfg(not(feature = "kafka"))]
pub(crate) fn open(config: &Config) -> anyhow::Result<LogPorts> {
    brokers(config)?;
    let why = "this hookfast was built without Kafka; one with it: cargo build --release --features kafka, or the \
               container image (docs/guides/kafka.md)";
    Err(Failure::new(Exit::Usage, why))
}

fn brokers(config: &Config) -> anyhow::Result<&crate::config::Kafka> {
    if config.kafka.brokers.is_empty() {
        return Err(Failure::new(Exit::Usage, "Kafka is needed: say where it is with kafka.brokers or KAFKA_ADDR"));
    }
    Ok(&config.kafka)
}
