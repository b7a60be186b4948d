//! For unit tests alone: a clock that stands still, and small logs and stores in memory. The real ones are tried
//! elsewhere.

use bytes::Bytes;
use hookfast_core::model::{Origin, Route};
use hookfast_core::ports::{BoxFuture, Log, LogEntry, LogPosition, LogReader, LogReaders, LogRecord, Submission};
use hookfast_core::{AppId, Clock, Error, Result, UnixMs};
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

/// Stands still.
pub(crate) struct ManualClock;

impl Clock for ManualClock {
    fn now(&self) -> UnixMs {
        UnixMs(1_700_000_000_000)
    }

    fn wall(&self) -> UnixMs {
        self.now()
    }
}

/// A submission with this body.
pub(crate) fn submission(body: &str) -> Submission {
    Submission {
        app: AppId::from_u128(1),
        route: Route::Match,
        event_type: "a".into(),
        uid: None,
        channels: vec!["c".into()],
        ordering_key: None,
        body: body.to_owned().into(),
        content_type: None,
        idempotency: None,
        origin: Origin::of("api"),
    }
}

/// A record that was read there.
pub(crate) fn entry(partition: i32, offset: i64, value: &str) -> LogEntry {
    LogEntry {
        at: LogPosition { partition, offset },
        appended_at: None,
        key: Some(Bytes::from_static(b"key")),
        value: Some(value.to_owned().into()),
        headers: Vec::new(),
    }
}

/// A log in memory. Records go to partitions in turn.
pub(crate) struct MemoryLog {
    partitions: usize,
    topics: Mutex<HashMap<String, Vec<LogRecord>>>,
    failures: Mutex<HashMap<String, VecDeque<Error>>>,
    script: Mutex<Option<Box<dyn LogReader>>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::with_partitions(1)
    }
}

impl MemoryLog {
    pub(crate) fn with_partitions(partitions: usize) -> Self {
        Self { partitions, topics: Mutex::default(), failures: Mutex::default(), script: Mutex::default() }
    }

    /// Everything appended to a topic, in that order.
    pub(crate) fn records(&self, topic: &str) -> Vec<LogRecord> {
        self.topics.lock().unwrap().get(topic).cloned().unwrap_or_default()
    }

    /// The next append to this topic that nothing else is said of fails so.
    pub(crate) fn fail_next(&self, topic: &str, error: Error) {
        self.failures.lock().unwrap().entry(topic.to_owned()).or_default().push_back(error);
    }

    /// What the next reader says.
    pub(crate) fn script(&self, reader: Box<dyn LogReader>) {
        *self.script.lock().unwrap() = Some(reader);
    }
}

impl Log for MemoryLog {
    fn append(&self, record: LogRecord) -> BoxFuture<'_, Result<LogPosition>> {
        let topic = record.topic.to_string();
        if let Some(error) = self.failures.lock().unwrap().get_mut(&topic).and_then(VecDeque::pop_front) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let mut topics = self.topics.lock().unwrap();
        let records = topics.entry(topic).or_default();
        let at = position(records.len(), self.partitions);
        records.push(record);
        Box::pin(std::future::ready(Ok(at)))
    }

    fn is_available(&self) -> bool {
        true
    }
}

fn position(number: usize, partitions: usize) -> LogPosition {
    LogPosition {
        partition: i32::try_from(number % partitions).unwrap(),
        offset: i64::try_from(number / partitions).unwrap(),
    }
}

impl LogReaders for MemoryLog {
    fn reader(&self, _topic: &str, _group: &str) -> Result<Box<dyn LogReader>> {
        let none = || Error::Unavailable { reason: "no reader in the script".into() };
        self.script.lock().unwrap().take().ok_or_else(none)
    }

    fn ensure_topic<'a>(&'a self, _topic: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn peek<'a>(&'a self, topic: &'a str, from: Vec<(i32, i64)>, max: usize) -> BoxFuture<'a, Result<Vec<LogEntry>>> {
        let from: HashMap<i32, i64> = from.into_iter().collect();
        let mut entries: Vec<LogEntry> = Vec::new();
        for (number, record) in self.records(topic).into_iter().enumerate() {
            let at = position(number, self.partitions);
            if at.offset >= from.get(&at.partition).copied().unwrap_or(0) {
                let (value, headers) = (Some(record.value), record.headers);
                entries.push(LogEntry { at, appended_at: None, key: record.key, value, headers });
            }
        }
        // One partition after the other, which is the hardest for whoever looks for the last.
        entries.sort_by_key(|entry| (entry.at.partition, entry.at.offset));
        entries.truncate(max);
        Box::pin(std::future::ready(Ok(entries)))
    }
}
