//! Appending while all is well, and what is refused. Knows nothing of readers.

use crate::{append_all, open, record, text};
use bytes::Bytes;
use hookfast_core::ports::{Log as _, LogReaders as _, LogRecord};
use hookfast_core::{Error, ErrorKind};
use hookfast_testkit::kafka::{KafkaServer, kafka, unique};
use std::time::{Duration, Instant};

#[test]
fn an_append_answers_where_the_record_stands() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic(3);
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |_| {}).await;
        let mut whole = record(&topic, "a", "first");
        whole.headers = vec![("kind".to_owned(), Bytes::from_static(b"x")), ("kind".to_owned(), Bytes::new())];
        let first = log.append(whole.clone()).await.unwrap();
        let second = log.append(record(&topic, "a", "second")).await.unwrap();
        assert_eq!((second.partition, second.offset), (first.partition, first.offset + 1), "one key keeps its order");
        let keyless = LogRecord { key: None, ..record(&topic, "", "third") };
        let third = log.append(keyless).await.unwrap();
        let all = log.peek(&topic, Vec::new(), 10).await.unwrap();
        let find = |at| all.iter().find(|entry| entry.at == at).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(find(first).headers, whole.headers);
        assert_eq!(find(first).key, whole.key);
        assert!(find(first).appended_at.is_some());
        assert_eq!((text(find(second)), text(find(third))), ("second", "third"));
        assert_eq!(find(third).key, None);
    });
}

#[test]
fn what_is_wrong_with_a_record_is_told() {
    let Some(kafka) = kafka() else { return };
    let topic = kafka.topic(1);
    hookfast_testkit::run(async {
        let log = open(kafka.address(), |config| config.record_bytes_max = 2_000_000).await;
        let refused = |record| async { log.append(record).await.unwrap_err() };
        let too_large = refused(record(&topic, "a", vec![0; 2_000_000])).await;
        assert!(matches!(too_large, Error::Invalid { .. }), "{too_large:?}");
        // The topic was made with the broker's own limit, which is lower than ours.
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1_500_000).collect();
        let larger_than_the_topic_takes = refused(record(&topic, "a", noise)).await;
        assert!(matches!(larger_than_the_topic_takes, Error::Invalid { .. }), "{larger_than_the_topic_takes:?}");
        assert_eq!(refused(record("no good name", "a", "x")).await.kind(), ErrorKind::Invalid);
        assert_eq!(refused(record(&unique("missing"), "a", "x")).await.kind(), ErrorKind::NotFound);
        // None of this harms the next one.
        assert_eq!(log.append(record(&topic, "a", "good")).await.unwrap().offset, 0);
    });
}

#[test]
fn a_full_buffer_refuses_at_once_and_keeps_what_it_holds() {
    let Some(server) = KafkaServer::start() else { return };
    let topic = server.topic(1);
    hookfast_testkit::run(async {
        let log = open(&server.address(), |config| {
            config.buffer_records_max = 10;
            config.append_timeout_ms = 60_000;
        })
        .await;
        append_all(&log, &topic, 0..1).await;
        server.freeze();
        let appends: Vec<_> = (0..30)
            .map(|value| {
                let (log, record) = (log.clone(), record(&topic, "key", value.to_string()));
                tokio::spawn(async move { (Instant::now(), log.append(record).await, Instant::now()) })
            })
            .collect();
        let refused = || appends.iter().filter(|append| append.is_finished()).count();
        crate::eventually("what finds no room is answered", || refused() == 20).await;
        server.thaw();
        let (mut held, mut refused) = (0, 0);
        for append in appends {
            match append.await.unwrap() {
                (_, Ok(_), _) => held += 1,
                (from, Err(Error::Overloaded { retry_after_ms: 1.., .. }), to) => {
                    assert!(to - from < Duration::from_secs(10), "it must not wait");
                    refused += 1;
                }
                (_, other, _) => panic!("{other:?}"),
            }
        }
        assert_eq!((held, refused), (10, 20));
        assert_eq!(log.peek(&topic, Vec::new(), 100).await.unwrap().len(), 11);
    });
}
