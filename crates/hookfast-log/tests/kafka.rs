//! The log keeps its promises on real Kafka: brokers are killed, frozen and started again.

#![expect(clippy::unwrap_used, reason = "the lints spare test functions, not what they call")]

#[path = "kafka/appending.rs"]
mod appending;
#[path = "kafka/failing.rs"]
mod failing;
#[path = "kafka/measuring.rs"]
mod measuring;
#[path = "kafka/reading.rs"]
mod reading;
#[path = "kafka/sharing.rs"]
mod sharing;
#[path = "kafka/topics.rs"]
mod topics;

use bytes::Bytes;
use hookfast_core::ports::{Assigned, Log as _, LogEntry, LogNews, LogReader, LogReaders as _, LogRecord};
use hookfast_core::{Error, Result};
use hookfast_log::kafka::{KafkaConfig, KafkaLog, Metrics};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nothing here takes this long, the start of a killed broker included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A log on the broker at `address`, configured for tests and then as told, once it is available.
async fn open(address: &str, change: impl FnOnce(&mut KafkaConfig)) -> Arc<KafkaLog> {
    let log = Arc::new(open_at_once(address, change));
    available(&log).await;
    log
}

fn open_at_once(address: &str, change: impl FnOnce(&mut KafkaConfig)) -> KafkaLog {
    let mut config = KafkaConfig::new(address);
    config.session_timeout_ms = 6_000;
    change(&mut config);
    KafkaLog::open(config, Metrics::default()).unwrap()
}

async fn available(log: &KafkaLog) {
    eventually("the log is available", || log.is_available()).await;
}

/// There is no signal for it, so it is looked at until it is so.
async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn record(topic: &str, key: &str, value: impl Into<Bytes>) -> LogRecord {
    LogRecord {
        topic: topic.into(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: value.into(),
        headers: Vec::new(),
    }
}

/// Appends `values` one after the other under one key: they stand in one partition, in this order.
async fn append_all(log: &KafkaLog, topic: &str, values: impl IntoIterator<Item = u32>) {
    for value in values {
        log.append(record(topic, "key", value.to_string())).await.unwrap();
    }
}

fn text(entry: &LogEntry) -> &str {
    std::str::from_utf8(entry.value.as_ref().unwrap()).unwrap()
}

fn number(entry: &LogEntry) -> u32 {
    text(entry).parse().unwrap()
}

/// What the reader says next, other than that there is nothing, or that the log is away.
async fn news(reader: &mut dyn LogReader) -> Result<LogNews> {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "nothing to read within {PATIENCE:?}");
        match reader.next(100, Duration::from_millis(500)).await {
            Ok(LogNews::Idle) | Err(Error::Unavailable { .. }) => {}
            other => return other,
        }
    }
}

async fn assigned(reader: &mut dyn LogReader) -> Vec<Assigned> {
    match news(reader).await.unwrap() {
        LogNews::Assigned(assigned) => assigned,
        other => panic!("expected an assignment, heard {other:?}"),
    }
}

/// Waits for an assignment of `partitions`, whatever is given and taken before.
async fn assigned_all(reader: &mut dyn LogReader, partitions: &[i32]) {
    loop {
        match news(reader).await.unwrap() {
            LogNews::Assigned(given) if given.iter().map(|given| given.partition).eq(partitions.iter().copied()) => {
                return;
            }
            LogNews::Assigned(_) | LogNews::Revoked(_) => {}
            other => panic!("expected an assignment of {partitions:?}, heard {other:?}"),
        }
    }
}

async fn entries(reader: &mut dyn LogReader, count: usize) -> Vec<LogEntry> {
    let mut read = Vec::new();
    while read.len() < count {
        match news(reader).await.unwrap() {
            LogNews::Entries(entries) => read.extend(entries),
            other => panic!("expected entries, heard {other:?}"),
        }
    }
    read
}

/// A member that is the only one of a group of its own, assigned and told to read all from the earliest.
async fn reader_of_all(log: &KafkaLog, topic: &str) -> Box<dyn LogReader> {
    let mut reader = log.reader(topic, &hookfast_testkit::kafka::unique("group")).unwrap();
    let all = assigned(reader.as_mut()).await;
    reader.start_at(all.iter().map(|assigned| (assigned.partition, None)).collect()).await.unwrap();
    reader
}
