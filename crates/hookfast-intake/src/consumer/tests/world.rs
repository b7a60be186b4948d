//! A consumer between a log and a store in memory, which do what a test tells them.

use crate::consumer::{ConsumerConfig, ConsumerMetrics, ConsumerPorts, ConsumerTask, Decoded, Decoder};
use crate::naming::named;
use crate::testing::{MemoryLog, entry, submission};
use hookfast_core::ports::Submission;
use hookfast_core::ports::{
    Accepted, Admission, Assigned, BoxFuture, Consume, ConsumeAnswer, Consumed, Consumer, LogEntry, LogNews, LogReader,
};
use hookfast_core::{Error, EventId, Result};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

pub(super) const TOPIC: &str = "t";
pub(super) const DEAD: &str = "t.dlq";

pub(super) fn away() -> Error {
    Error::Unavailable { reason: "away".into() }
}

pub(super) fn conflict() -> Error {
    Error::Conflict { code: "event_exists", reason: "another body".into() }
}

/// The value is the uid; one that begins with `?` cannot be read.
pub(super) struct Texts;

impl Decoder for Texts {
    fn decode(&self, entry: &LogEntry) -> Result<Decoded> {
        let text = String::from_utf8(entry.value.clone().unwrap_or_default().to_vec()).unwrap();
        if text.starts_with('?') {
            return Err(Error::invalid("value", "expected a text that can be read"));
        }
        let id = (u128::from(entry.at.partition.unsigned_abs()) << 64) | u128::from(entry.at.offset.unsigned_abs());
        let submission = Submission { uid: Some(text.clone()), ..submission(&text) };
        Ok(Decoded { event: named(submission, EventId::from_u128(id)), invoice: None })
    }

    fn projects(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Told {
    /// By uid, or id where there is none: the body, and how often it was stored.
    events: BTreeMap<String, (Vec<u8>, u32)>,
    positions: BTreeMap<i32, i64>,
    /// The uids of each call.
    calls: Vec<Vec<String>>,
    /// The next calls fail so.
    failing: VecDeque<Error>,
    /// The next times, events with this uid are answered so.
    refusing: HashMap<String, VecDeque<Error>>,
}

/// A store in memory that knows an event again.
#[derive(Default)]
pub(super) struct MemoryStore {
    told: Mutex<Told>,
    shut: AtomicBool,
    opened: Notify,
}

impl MemoryStore {
    pub(super) fn fail_next(&self, error: Error) {
        self.told.lock().unwrap().failing.push_back(error);
    }

    pub(super) fn refuse_next(&self, uid: &str, error: Error) {
        self.told.lock().unwrap().refusing.entry(uid.to_owned()).or_default().push_back(error);
    }

    pub(super) fn keep(&self, partition: i32, next: i64) {
        self.told.lock().unwrap().positions.insert(partition, next);
    }

    /// Calls wait until it is opened again.
    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    pub(super) fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
        self.opened.notify_waiters();
    }

    pub(super) fn calls(&self) -> Vec<Vec<String>> {
        self.told.lock().unwrap().calls.clone()
    }

    pub(super) fn position(&self, partition: i32) -> Option<i64> {
        self.told.lock().unwrap().positions.get(&partition).copied()
    }

    /// What is stored, each of it once.
    pub(super) fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let told = self.told.lock().unwrap();
        assert!(told.events.values().all(|(_, times)| *times == 1), "{:?}", told.events);
        told.events.iter().map(|(uid, (body, _))| (uid.clone(), body.clone())).collect()
    }

    pub(super) fn has(&self, uids: &[&str]) -> bool {
        self.stored().keys().map(String::as_str).eq(uids.iter().copied())
    }
}

fn advance(told: &mut Told, positions: &[(i32, i64)]) {
    for (partition, next) in positions {
        let kept = told.positions.entry(*partition).or_default();
        *kept = (*kept).max(*next);
    }
}

impl Consume for MemoryStore {
    fn prepare(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn positions<'a>(&'a self, _consumer: &'a Consumer) -> BoxFuture<'a, Result<Vec<(i32, i64)>>> {
        let positions = self.told.lock().unwrap().positions.clone().into_iter().collect();
        Box::pin(std::future::ready(Ok(positions)))
    }

    fn consume(&self, batch: Consumed) -> BoxFuture<'_, Result<ConsumeAnswer>> {
        Box::pin(async move {
            let uids = batch.events.iter().map(|event| event.uid.clone().unwrap_or_else(|| event.id.to_string()));
            let uids: Vec<String> = uids.collect();
            self.told.lock().unwrap().calls.push(uids.clone());
            let mut opened = std::pin::pin!(self.opened.notified());
            opened.as_mut().enable();
            if self.shut.load(Ordering::Relaxed) {
                opened.await;
            }
            let mut told = self.told.lock().unwrap();
            if let Some(error) = told.failing.pop_front() {
                return Err(error);
            }
            let mut answers = Vec::new();
            for (uid, event) in uids.into_iter().zip(&batch.events) {
                let refusal = told.refusing.get_mut(&uid).and_then(VecDeque::pop_front);
                answers.push(match (refusal, told.events.get(&uid)) {
                    (Some(error), _) => Err(error),
                    (None, Some((body, _))) if *body != event.body => Err(conflict()),
                    (None, Some(_)) => Ok(Accepted { id: event.id, repeat: true }),
                    (None, None) => {
                        told.events.insert(uid, (event.body.to_vec(), 1));
                        Ok(Accepted { id: event.id, repeat: false })
                    }
                });
            }
            let advanced = answers.iter().all(Result::is_ok);
            if advanced {
                advance(&mut told, &batch.positions);
            }
            Ok(ConsumeAnswer { answers, advanced })
        })
    }

    fn advance<'a>(&'a self, _: &'a Consumer, positions: &'a [(i32, i64)]) -> BoxFuture<'a, Result<()>> {
        let mut told = self.told.lock().unwrap();
        let outcome = told.failing.pop_front().map_or(Ok(()), Err);
        if outcome.is_ok() {
            advance(&mut told, positions);
        }
        Box::pin(std::future::ready(outcome))
    }
}

/// What a reader was told.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) starts: Vec<(i32, Option<i64>)>,
    pub(super) noted: Vec<(i32, i64)>,
    pub(super) closed: bool,
    /// Most records asked for.
    pub(super) asked_max: usize,
}

struct ScriptedReader {
    news: mpsc::Receiver<Result<LogNews>>,
    heard: Arc<Mutex<Heard>>,
}

impl ScriptedReader {
    fn ask(&self, entries_max: usize) {
        let mut heard = self.heard.lock().unwrap();
        heard.asked_max = heard.asked_max.max(entries_max);
    }
}

impl LogReader for ScriptedReader {
    fn next(&mut self, entries_max: usize, wait: Duration) -> BoxFuture<'_, Result<LogNews>> {
        Box::pin(async move {
            self.ask(entries_max);
            match tokio::time::timeout(wait, self.news.recv()).await {
                Ok(Some(news)) => news,
                Ok(None) => std::future::pending().await,
                Err(_) => Ok(LogNews::Idle),
            }
        })
    }

    fn start_at(&mut self, positions: Vec<(i32, Option<i64>)>) -> BoxFuture<'_, Result<()>> {
        self.heard.lock().unwrap().starts.extend(positions);
        Box::pin(std::future::ready(Ok(())))
    }

    fn note(&mut self, positions: &[(i32, i64)]) {
        self.heard.lock().unwrap().noted.extend(positions);
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.heard.lock().unwrap().closed = true;
        Box::pin(std::future::ready(()))
    }
}

/// Deliveries that keep up, or lag.
#[derive(Default)]
pub(super) struct Door {
    pub(super) lags: AtomicBool,
}

impl Admission for Door {
    fn admit(&self) -> BoxFuture<'_, Result<()>> {
        let refusal = Error::Overloaded { reason: "deliveries lag behind", retry_after_ms: 1000 };
        Box::pin(std::future::ready(if self.is_open() { Ok(()) } else { Err(refusal) }))
    }

    fn is_open(&self) -> bool {
        !self.lags.load(Ordering::Relaxed)
    }
}

/// All of it.
pub(super) struct World {
    pub(super) log: Arc<MemoryLog>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) door: Arc<Door>,
    pub(super) heard: Arc<Mutex<Heard>>,
    says: mpsc::Sender<Result<LogNews>>,
    metrics: ConsumerMetrics,
    task: ConsumerTask,
}

impl World {
    pub(super) fn start() -> Self {
        Self::start_with(|_| ())
    }

    pub(super) fn start_with(configure: impl FnOnce(&mut ConsumerConfig)) -> Self {
        Self::start_on(Arc::default(), Arc::new(Texts), configure)
    }

    pub(super) fn start_on(
        store: Arc<MemoryStore>,
        decoder: Arc<dyn Decoder>,
        configure: impl FnOnce(&mut ConsumerConfig),
    ) -> Self {
        let mut config = ConsumerConfig::new(TOPIC, "g");
        configure(&mut config);
        let (log, door) = (Arc::new(MemoryLog::default()), Arc::new(Door::default()));
        let (says, heard) = reader_of(&log);
        let ports = ConsumerPorts {
            log: log.clone(),
            readers: log.clone(),
            store: store.clone(),
            admission: door.clone(),
            decoder,
        };
        let metrics = ConsumerMetrics::default();
        let task = ConsumerTask::start(ports, config, metrics.clone(), &Handle::current());
        Self { log, store, door, heard, says, metrics, task }
    }

    /// Another reader for when the first one has failed.
    pub(super) fn next_reader(&mut self) {
        (self.says, self.heard) = reader_of(&self.log);
    }

    pub(super) async fn say(&self, news: LogNews) {
        self.says.send(Ok(news)).await.unwrap();
    }

    pub(super) async fn fail(&self, error: Error) {
        self.says.send(Err(error)).await.unwrap();
    }

    pub(super) async fn assign(&self, partitions: &[i32]) {
        let assigned = partitions.iter().map(|partition| Assigned { partition: *partition, committed: None }).collect();
        self.say(LogNews::Assigned(assigned)).await;
    }

    /// Records of a partition, from an offset on.
    pub(super) async fn entries(&self, partition: i32, offset: i64, values: &[&str]) {
        let entries = (offset..).zip(values).map(|(offset, value)| entry(partition, offset, value)).collect();
        self.say(LogNews::Entries(entries)).await;
    }

    pub(super) async fn until(&self, what: &str, check: impl Fn(&Self) -> bool) {
        let mut rounds = 0;
        while !check(self) {
            rounds += 1;
            assert!(rounds < 60_000, "waited for: {what}");
            // Time is paused: it passes when everybody waits.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) async fn until_position(&self, partition: i32, next: i64) {
        self.until("the position", |world| world.store.position(partition) == Some(next)).await;
    }

    /// Waits until everything that was said has been heard, and nothing is left to do.
    pub(super) async fn quiet(&self) {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }

    /// The value of a metric; the empty text when it was never set.
    pub(super) fn metric(&self, name: &str) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
    }

    pub(super) async fn stop(self) {
        self.task.stop(Duration::from_secs(60)).await;
    }
}

fn reader_of(log: &MemoryLog) -> (mpsc::Sender<Result<LogNews>>, Arc<Mutex<Heard>>) {
    let (says, news) = mpsc::channel(1000);
    let heard = Arc::new(Mutex::new(Heard::default()));
    log.script(Box::new(ScriptedReader { news, heard: Arc::clone(&heard) }));
    (says, heard)
}
