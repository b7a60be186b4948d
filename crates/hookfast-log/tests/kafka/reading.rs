//! Reading as the one member of a group: from where it was told, everything, once.

use crate::{append_all, assigned, entries, news, number, open, reader_of_all, record};
use hookfast_core::ErrorKind;
use hookfast_core::ports::{Log as _, LogNews, LogReaders as _};
use hookfast_testkit::kafka::{KafkaServer, append_with_header, kafka, unique};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

#[test]
fn nothing_is_read_before_it_is_said_where() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic(1);
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        append_all(&log, &topic, 0..10).await;
        let mut reader = log.reader(&topic, &unique("group")).unwrap();
        let given = assigned(reader.as_mut()).await;
        assert_eq!(given.iter().map(|given| (given.partition, given.committed)).collect::<Vec<_>>(), [(0, None)]);
        assert_eq!(reader.next(10, Duration::from_secs(1)).await, Ok(LogNews::Idle));
        reader.start_at(vec![(0, Some(4)), (7, Some(1))]).await.unwrap();
        let read = entries(reader.as_mut(), 6).await;
        assert_eq!(read.iter().map(number).collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9]);
        reader.close().await;
    });
}

#[test]
fn the_group_remembers_how_far_it_came() {
    let Some(kafka) = kafka() else { return };
    let (topic, group) = (kafka.topic(1), unique("group"));
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        append_all(&log, &topic, 0..10).await;
        let mut reader = log.reader(&topic, &group).unwrap();
        assigned(reader.as_mut()).await;
        reader.note(&[(0, 3)]);
        reader.note(&[(0, 7)]);
        reader.close().await;
        let mut reader = log.reader(&topic, &group).unwrap();
        assert_eq!(assigned(reader.as_mut()).await[0].committed, Some(7));
        reader.close().await;
    });
}

#[test]
fn a_reader_may_be_told_to_go_back() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic(1);
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        append_all(&log, &topic, 0..5).await;
        let mut reader = reader_of_all(&log, &topic).await;
        assert_eq!(entries(reader.as_mut(), 5).await.len(), 5);
        reader.start_at(vec![(0, Some(3))]).await.unwrap();
        assert_eq!(entries(reader.as_mut(), 2).await.iter().map(number).collect::<Vec<_>>(), [3, 4]);
        reader.close().await;
    });
}

#[test]
fn a_call_that_is_dropped_takes_nothing_with_it() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic(1);
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        let mut reader = reader_of_all(&log, &topic).await;
        let appending = tokio::spawn({
            let (log, topic) = (log.clone(), topic.clone());
            async move { append_all(&log, &topic, 0..2_000).await }
        });
        let mut read = Vec::new();
        while read.len() < 2_000 {
            let most = fastrand::usize(1..7);
            let next = reader.next(most, Duration::from_secs(5));
            // Most calls are dropped before they are ready.
            let Ok(next) = tokio::time::timeout(Duration::from_micros(fastrand::u64(0..500)), next).await else {
                continue;
            };
            if let LogNews::Entries(entries) = next.unwrap() {
                assert!((1..=most).contains(&entries.len()));
                read.extend(entries.iter().map(number));
            }
        }
        appending.await.unwrap();
        assert!(read.into_iter().eq(0..2_000), "all of it, once, in order");
        reader.close().await;
    });
}

#[test]
fn a_position_that_is_gone_is_told_and_not_jumped_over() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic(2);
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        let partition = log.append(record(&topic, "key", "0")).await.unwrap().partition;
        append_all(&log, &topic, 1..10).await;
        delete_records(kafka.address(), &topic, partition, 6).await;
        let mut reader = log.reader(&topic, &unique("group")).unwrap();
        assigned(reader.as_mut()).await;
        reader.start_at(vec![(partition, Some(2)), (1 - partition, None)]).await.unwrap();
        let gone = LogNews::OutOfRange { partition, wanted: 2, earliest: 6, end: 10 };
        assert_eq!(news(reader.as_mut()).await.unwrap(), gone);
        assert_eq!(reader.next(10, Duration::from_secs(1)).await, Ok(LogNews::Idle), "nothing is read of it");
        reader.start_at(vec![(partition, Some(6))]).await.unwrap();
        assert_eq!(entries(reader.as_mut(), 4).await.iter().map(number).collect::<Vec<_>>(), [6, 7, 8, 9]);
        reader.start_at(vec![(partition, Some(11))]).await.unwrap();
        let ahead = LogNews::OutOfRange { partition, wanted: 11, earliest: 6, end: 10 };
        assert_eq!(news(reader.as_mut()).await.unwrap(), ahead);
        reader.start_at(vec![(partition, None)]).await.unwrap();
        assert_eq!(entries(reader.as_mut(), 4).await.len(), 4);
        reader.close().await;
    });
}

async fn delete_records(address: &str, topic: &str, partition: i32, before: i64) {
    let admin: AdminClient<DefaultClientContext> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
}

#[test]
fn a_header_whose_name_is_no_text_stops_nobody() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic(1);
    append_with_header(kafka.address(), &topic, b"kind", b"0");
    append_with_header(kafka.address(), &topic, &[0xff, 0xfe], b"1");
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        append_all(&log, &topic, 2..3).await;
        let mut reader = reader_of_all(&log, &topic).await;
        let read = entries(reader.as_mut(), 3).await;
        assert!(read.iter().map(number).eq(0..3));
        let names = |at: usize| read[at].headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        assert_eq!((names(0), names(1)), (vec!["kind"], vec!["(not UTF-8)"]));
        reader.close().await;
    });
}

#[test]
fn a_topic_that_is_missing_is_told() {
    let Some(kafka) = kafka() else { return };
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        let mut reader = log.reader(&unique("missing"), &unique("group")).unwrap();
        assert_eq!(news(reader.as_mut()).await.unwrap_err().kind(), ErrorKind::NotFound);
        reader.close().await;
        assert_eq!(log.reader("topic", "").err().unwrap().kind(), ErrorKind::Invalid);
    });
}

#[test]
fn reading_goes_on_behind_a_killed_broker_without_gap_or_repeat() {
    let Some(mut server) = KafkaServer::start() else { return };
    let topic = server.topic(1);
    hookfast_testkit::run(async {
        let log = open(&server.address(), |_| {}).await;
        append_all(&log, &topic, 0..100).await;
        let mut reader = reader_of_all(&log, &topic).await;
        let mut read = entries(reader.as_mut(), 50).await;
        server.kill();
        // The rest may lie ready; then the log is away.
        loop {
            match reader.next(100, Duration::from_secs(5)).await {
                Ok(LogNews::Entries(entries)) => read.extend(entries),
                Ok(LogNews::Idle) => {}
                Ok(other) => panic!("{other:?}"),
                Err(error) => break assert_eq!(error.kind(), ErrorKind::Retryable),
            }
        }
        server.restart();
        crate::available(&log).await;
        append_all(&log, &topic, 100..150).await;
        let mut told = read.last().unwrap().at.offset + 1;
        while read.len() < 150 {
            match news(reader.as_mut()).await.unwrap() {
                LogNews::Entries(entries) => {
                    read.extend(entries);
                    told = read.last().unwrap().at.offset + 1;
                }
                // The broker may have forgotten its members.
                LogNews::Assigned(_) => reader.start_at(vec![(0, Some(told))]).await.unwrap(),
                LogNews::Revoked(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(read.iter().map(number).eq(0..150), "all of it, once, in order");
        reader.close().await;
    });
}
