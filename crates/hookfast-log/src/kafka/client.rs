//! The settings of the three kinds of clients, and what every client says. Must not know what they are used for.

use super::config::KafkaConfig;
use hookfast_core::{Error, Result};
use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use std::sync::Arc;
use std::time::Duration;

/// A request that a broker does not answer for so long is given up with its connection.
const SOCKET_TIMEOUT_MS: u32 = 10_000;
/// A lost connection is tried again after so long at first, and at most.
const RECONNECT_MS: u32 = 100;
const RECONNECT_MS_MAX: u32 = 500;
/// A topic that is unknown for so long does not exist; before, it may be new and not known to every broker.
const UNKNOWN_TOPIC_MS: u32 = 2_000;
/// A batch is sent when it has so many bytes, so that no broker's own limit (1 MiB) refuses it for its size.
const BATCH_BYTES: u32 = 1_000_000;
/// What Kafka adds to a record, at most.
const FRAME_BYTES: usize = 1_024;
/// How often readers count how far they are behind.
const STATISTICS_MS: u32 = 5_000;
/// A reader whose thread does not move for so long is taken for dead.
const POLL_MS_MAX: u32 = 300_000;
/// Nobody is called back, nothing is asked for longer than this.
pub(super) const ASK: Duration = Duration::from_secs(5);

/// The group that looking into a topic names because the client wants one; nobody ever joins it.
const LOOKING: &str = "hookfast.looking";

fn basis(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    let brokers: Vec<&str> = config.brokers.split(',').map(str::trim).collect();
    client
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", &config.client_id)
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("socket.timeout.ms", SOCKET_TIMEOUT_MS.to_string())
        .set("reconnect.backoff.ms", RECONNECT_MS.to_string())
        .set("reconnect.backoff.max.ms", RECONNECT_MS_MAX.to_string())
        .set("log.connection.close", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    let protocol = match (&config.sasl, &config.tls) {
        (None, None) => "plaintext",
        (None, Some(_)) => "ssl",
        (Some(_), None) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if let Some(sasl) = &config.sasl {
        client
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.reveal());
    }
    if let Some(tls) = &config.tls {
        let authorities = tls.ca_file.as_ref().map_or("probe".into(), |file| file.to_string_lossy());
        client.set("ssl.ca.location", authorities.as_ref());
    }
    client
}

/// For appending: acknowledged by every replica in sync, once, in order.
pub(super) fn producer(config: &KafkaConfig) -> ClientConfig {
    let mut client = basis(config);
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", config.append_timeout_ms.to_string())
        .set("message.max.bytes", (config.record_bytes_max + FRAME_BYTES).to_string())
        .set("batch.size", BATCH_BYTES.to_string())
        .set("linger.ms", config.linger_ms.to_string())
        .set("queue.buffering.max.messages", config.buffer_records_max.to_string())
        .set("queue.buffering.max.kbytes", config.buffer_bytes_max.div_ceil(1024).to_string())
        .set("topic.metadata.propagation.max.ms", UNKNOWN_TOPIC_MS.to_string())
        .set("topic.metadata.refresh.fast.interval.ms", "100")
        // As the clients in Java do, so that everybody finds a key in the same partition.
        .set("partitioner", "murmur2_random");
    client
}

/// For reading as a member of `group`. Rebalancing is eager, as it is with the members of other makes that a group may
/// have already.
pub(super) fn member(config: &KafkaConfig, group: &str) -> ClientConfig {
    let mut client = fetching(config);
    client
        .set("group.id", group)
        .set("partition.assignment.strategy", "range,roundrobin")
        .set("session.timeout.ms", config.session_timeout_ms.to_string())
        .set("heartbeat.interval.ms", (config.session_timeout_ms / 4).to_string())
        .set("max.poll.interval.ms", POLL_MS_MAX.max(config.session_timeout_ms).to_string())
        .set("statistics.interval.ms", STATISTICS_MS.to_string());
    client
}

/// For looking at what there is: joins no group, commits nothing.
pub(super) fn looker(config: &KafkaConfig) -> ClientConfig {
    let mut client = fetching(config);
    client.set("group.id", LOOKING).set("enable.partition.eof", "true");
    client
}

fn fetching(config: &KafkaConfig) -> ClientConfig {
    let mut client = basis(config);
    client
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        // Where the log no longer has what comes next, reading stops instead of jumping.
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", config.fetch_bytes_max.div_ceil(1024).to_string())
        // When that much is held, it is looked again after so long; the default is a second.
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.error.backoff.ms", "100");
    client
}

/// The largest batch that a topic must take for records of `config` to fit.
pub(super) fn topic_bytes_max(config: &KafkaConfig) -> usize {
    (config.record_bytes_max + FRAME_BYTES).max(1_048_588)
}

/// Makes a client of these settings.
pub(super) fn make<C: rdkafka::ClientContext, T: FromClientConfigAndContext<C>>(
    settings: &ClientConfig,
    context: C,
) -> Result<T> {
    settings
        .create_with_context(context)
        .map_err(|error| Error::Terminal { reason: format!("the client for Kafka cannot be made: {error}") })
}

/// What a client says goes to the log of the process. Its complaints repeat themselves while a broker is away, and
/// are told once by who uses the client; so here they are for looking closer.
pub(super) fn said(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(target: "hookfast_log::client", ?level, facility, "{message}");
}

/// Runs what blocks on a thread for it.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(Error::Unavailable { reason: format!("asking Kafka failed: {error}") }))
}

/// The context of clients that are only asked.
#[derive(Clone, Default)]
pub(super) struct Quiet(pub(super) Arc<std::sync::Mutex<String>>);

impl rdkafka::ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        said(level, facility, message);
    }

    fn error(&self, _: rdkafka::error::KafkaError, reason: &str) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = reason.to_owned();
    }
}

impl rdkafka::consumer::ConsumerContext for Quiet {}
