//! Topics: those that are missing, those that are made, and looking into them.

use crate::{append_all, number, open, open_at_once, record};
use hookfast_core::ports::{Log as _, LogReaders as _};
use hookfast_core::{Error, ErrorKind};
use hookfast_testkit::kafka::{kafka, unique};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

#[test]
fn a_missing_topic_is_made_with_its_settings_when_it_may_be() {
    let Some(kafka) = kafka() else { return };
    let topic = unique("made");
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |config| {
            config.partitions = 4;
            config.flush_messages = Some(1);
        })
        .await;
        log.ensure_topic(&topic).await.unwrap();
        log.ensure_topic(&topic).await.unwrap();
        let at = log.append(record(&topic, "a", "usable at once")).await.unwrap();
        assert!((0..4).contains(&at.partition));
        let admin: AdminClient<DefaultClientContext> =
            rdkafka::ClientConfig::new().set("bootstrap.servers", kafka.address()).create().unwrap();
        let asked = [ResourceSpecifier::Topic(&topic)];
        let described = admin.describe_configs(&asked, &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        let setting = |name| described.get(name).and_then(|entry| entry.value.clone());
        assert_eq!(setting("flush.messages").as_deref(), Some("1"));
        assert_eq!(setting("max.message.bytes").as_deref(), Some("1573888"));
        // A record as large as ours may be fits.
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1_572_000).collect();
        log.append(record(&topic, "a", noise)).await.unwrap();
    });
}

#[test]
fn a_missing_topic_is_told_when_it_may_not_be_made() {
    let Some(kafka) = kafka() else { return };
    let (missing, there) = (unique("missing"), kafka.topic(1));
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |config| config.create_topics = false).await;
        let error = log.ensure_topic(&missing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("kafka-topics.sh --create"), "{error}");
        assert_eq!(log.peek(&missing, Vec::new(), 1).await.unwrap_err().kind(), ErrorKind::NotFound);
        log.ensure_topic(&there).await.unwrap();
    });
}

#[test]
fn more_replicas_than_brokers_is_told_with_what_to_type() {
    let Some(kafka) = kafka() else { return };
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |config| config.replication = 3).await;
        let error = log.ensure_topic(&unique("made")).await.unwrap_err();
        let Error::Terminal { reason } = &error else { panic!("{error:?}") };
        assert!(reason.contains("--replication-factor 3") && reason.contains("min.insync.replicas=2"), "{reason}");
    });
}

#[test]
fn without_a_broker_a_topic_can_be_neither_looked_at_nor_made() {
    // Nothing listens on this port.
    let log = open_at_once("127.0.0.1:1", |_| {});
    hookfast_testkit::run(async {
        let error = log.ensure_topic("any").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retryable);
    });
}

#[test]
fn looking_into_a_topic_goes_partition_by_partition_and_moves_nothing() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic(2);
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        assert_eq!(log.peek(&topic, Vec::new(), 5).await.unwrap(), []);
        let keys: Vec<String> = (0..20).map(|key| format!("key {key}")).collect();
        for (value, key) in keys.iter().enumerate() {
            log.append(record(&topic, key, value.to_string())).await.unwrap();
        }
        let all = log.peek(&topic, Vec::new(), 100).await.unwrap();
        assert_eq!(all.len(), 20);
        assert!(all.is_sorted_by_key(|entry| (entry.at.partition, entry.at.offset)));
        assert!(all[0].at.partition == 0 && all[19].at.partition == 1, "both have some");
        assert_eq!(log.peek(&topic, Vec::new(), 100).await.unwrap(), all, "looking again shows the same");
        let first = log.peek(&topic, Vec::new(), 3).await.unwrap();
        assert_eq!(first, all[..3]);
        let next = log.peek(&topic, vec![(0, first[2].at.offset + 1)], 100).await.unwrap();
        assert_eq!(next, all[3..], "it goes on where the last entry says");
        assert_eq!(log.peek(&topic, vec![(0, 1_000), (1, 1_000)], 100).await.unwrap(), []);
        append_all(&log, &topic, 100..101).await;
        let again = log.peek(&topic, Vec::new(), 100).await.unwrap();
        assert_eq!(again.iter().filter(|entry| number(entry) == 100).count(), 1);
    });
}
