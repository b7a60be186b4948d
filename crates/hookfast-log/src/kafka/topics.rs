//! Seeing to it that a topic exists. Must not know what it is for.

use super::client::{self, ASK, Quiet};
use super::config::KafkaConfig;
use super::failure;
use hookfast_core::{Error, Result};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at a topic that was just made.
const PAUSE: Duration = Duration::from_millis(50);

/// What a broker says of a topic.
#[derive(PartialEq)]
enum There {
    Yes,
    /// It exists, and some partition has no leader yet.
    NotYet,
    No,
}

/// See [`hookfast_core::ports::LogReaders::ensure_topic`].
pub(super) async fn ensure(config: &Arc<KafkaConfig>, topic: &str) -> Result<()> {
    match look_off_thread(config, topic, false).await? {
        There::Yes | There::NotYet => return Ok(()),
        There::No if !config.create_topics => {
            tracing::error!(topic, "the topic does not exist; make it with `{}`", command(config, topic));
            return Err(Error::NotFound { what: MISSING });
        }
        There::No => {}
    }
    create(config, topic).await?;
    match look_off_thread(config, topic, true).await? {
        There::Yes => Ok(()),
        _ => {
            Err(Error::Unavailable { reason: format!("topic `{topic}` was made and the brokers do not offer it yet") })
        }
    }
}

const MISSING: &str = "topic of the log (make it with `kafka-topics.sh --create`, or let it be made with \
                       `kafka.create_topics = true`; the whole command is in the server's log)";

/// Looks, or looks until the topic can be used.
async fn look_off_thread(config: &Arc<KafkaConfig>, topic: &str, patient: bool) -> Result<There> {
    let (config, topic) = (Arc::clone(config), topic.to_owned());
    client::off_thread(move || {
        let said = Quiet::default();
        let client: BaseConsumer<Quiet> = client::make(&client::looker(&config), said.clone())?;
        let started = Instant::now();
        loop {
            let there = look(&client, &topic).map_err(|error| explained(&error, &said))?;
            if !patient || there == There::Yes || started.elapsed() > ASK {
                return Ok(there);
            }
            std::thread::sleep(PAUSE);
        }
    })
    .await
}

/// The client's error with what it complained of meanwhile, which often says more.
fn explained(error: &KafkaError, said: &Quiet) -> Error {
    let complaint = said.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    match failure::of("asking Kafka", error) {
        Error::Unavailable { reason } if !complaint.is_empty() => {
            Error::Unavailable { reason: format!("{reason}: {complaint}") }
        }
        other => other,
    }
}

fn look(client: &BaseConsumer<Quiet>, topic: &str) -> std::result::Result<There, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), ASK)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(There::No) };
    match found.error() {
        Some(
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        ) => Ok(There::No),
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) => Ok(There::NotYet),
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        None if found.partitions().is_empty() => Ok(There::NotYet),
        None if found.partitions().iter().any(|partition| partition.leader() < 0) => Ok(There::NotYet),
        None => Ok(There::Yes),
    }
}

async fn create(config: &KafkaConfig, topic: &str) -> Result<()> {
    let client: AdminClient<Quiet> = client::make(&client::producer(config), Quiet::default())?;
    let settings = settings(config);
    let partitions = i32::try_from(config.partitions).unwrap_or(i32::MAX);
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(i32::from(config.replication)));
    for (name, value) in &settings {
        new = new.set(name, value);
    }
    let options = AdminOptions::new().request_timeout(Some(ASK)).operation_timeout(Some(ASK));
    let made = client.create_topics([&new], &options).await;
    let made =
        made.map_err(|error| Error::Unavailable { reason: format!("topic `{topic}` cannot be made: {error}") })?;
    match made.into_iter().next() {
        Some(Ok(_)) => {
            tracing::info!(topic, partitions, replication = config.replication, "made a topic");
            Ok(())
        }
        // Another node was faster.
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(refused(config, topic, code)),
        None => Err(Error::Unavailable { reason: format!("topic `{topic}` cannot be made: no answer") }),
    }
}

fn refused(config: &KafkaConfig, topic: &str, code: RDKafkaErrorCode) -> Error {
    use RDKafkaErrorCode as Code;
    match code {
        Code::RequestTimedOut | Code::NotController | Code::OperationTimedOut | Code::BrokerTransportFailure => {
            Error::Unavailable { reason: format!("topic `{topic}` cannot be made: {code}") }
        }
        _ => {
            let by_hand = command(config, topic);
            let reason = format!("the brokers refuse to make topic `{topic}`: {code}; make it with `{by_hand}`");
            Error::Terminal { reason }
        }
    }
}

/// What a topic is made with, beside its partitions and replicas.
fn settings(config: &KafkaConfig) -> Vec<(&'static str, String)> {
    let mut settings = vec![("max.message.bytes", client::topic_bytes_max(config).to_string())];
    if config.replication >= 3 {
        settings.push(("min.insync.replicas", "2".to_owned()));
    }
    if let Some(messages) = config.flush_messages {
        settings.push(("flush.messages", messages.to_string()));
    }
    settings
}

/// What an administrator types to make the same topic.
fn command(config: &KafkaConfig, topic: &str) -> String {
    let KafkaConfig { brokers, partitions, replication, .. } = config;
    let settings = settings(config).into_iter().map(|(name, value)| format!(" --config {name}={value}"));
    let settings: String = settings.collect();
    format!(
        "kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions {partitions} \
         --replication-factor {replication}{settings}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_type_makes_the_same_topic() {
        let mut config = KafkaConfig::new("k:9092");
        let plain = "kafka-topics.sh --bootstrap-server k:9092 --create --topic t --partitions 6 \
                     --replication-factor 1 --config max.message.bytes=1573888";
        assert_eq!(command(&config, "t"), plain);
        (config.replication, config.flush_messages, config.record_bytes_max) = (3, Some(1), 1_000);
        let safe = "kafka-topics.sh --bootstrap-server k:9092 --create --topic t --partitions 6 \
                    --replication-factor 3 --config max.message.bytes=1048588 --config min.insync.replicas=2 \
                    --config flush.messages=1";
        assert_eq!(command(&config, "t"), safe);
    }

    #[test]
    fn a_refusal_says_what_to_type_and_a_hiccup_does_not() {
        let config = KafkaConfig::new("k:9092");
        let Error::Terminal { reason } = refused(&config, "t", RDKafkaErrorCode::ClusterAuthorizationFailed) else {
            panic!()
        };
        assert!(reason.contains("make it with `kafka-topics.sh --bootstrap-server k:9092"), "{reason}");
        let hiccup = refused(&config, "t", RDKafkaErrorCode::RequestTimedOut);
        assert!(matches!(hiccup, Error::Unavailable { .. }));
    }
}
