//! The thread that reads: polls the client, follows the group, and puts down batches while there is room for them. Must
//! not know who takes them.

use super::Item;
use super::inbox::{Inbox, Wishes};
use super::partitions::Partitions;
use super::record;
use crate::kafka::client;
use crate::kafka::config::KafkaConfig;
use crate::kafka::failure;
use crate::kafka::metrics::Metrics;
use hookfast_core::ports::{Assigned, LogNews};
use hookfast_core::{Error, Result};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// A wish waits at most so long while there is nothing to read.
const POLL: Duration = Duration::from_millis(20);
/// Most of one batch.
const BATCH_ENTRIES_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// When nothing was taken for so long, reading stops, so that the client can be polled for the group alone.
const STALL_AFTER: Duration = Duration::from_secs(1);
/// One question to the brokers blocks the thread for so long at most; then it is asked again.
const ASK: Duration = Duration::from_secs(1);
/// Between two questions that failed.
const ASK_AGAIN: Duration = Duration::from_millis(250);

type Consumer = BaseConsumer<Member>;

/// What the group decided, in order.
enum Change {
    Assigned(Vec<i32>),
    Revoked,
}

/// Hears what the client says.
struct Member {
    topic: String,
    metrics: Metrics,
    changes: Mutex<Vec<Change>>,
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::said(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "hookfast_log::client", %error, "{reason}");
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        for (partition, of) in topic.partitions.iter().filter(|(partition, _)| **partition >= 0) {
            // Before the first record of it is handed over, it is where it fetches.
            let at = if of.app_offset >= 0 { of.app_offset } else { of.next_offset };
            let known = of.fetch_state == "active" && of.hi_offset >= 0 && at >= 0;
            self.metrics.lag(&self.topic, *partition, known.then_some((of.hi_offset - at).max(0)));
        }
    }
}

impl ConsumerContext for Member {
    /// The group's assignment is taken over with nothing in it: a partition is given to the client only when it is
    /// known where to begin, so nothing is read before.
    fn rebalance(&self, consumer: &Consumer, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if assigned { consumer.assign(&TopicPartitionList::new()) } else { consumer.unassign() };
        if let Err(error) = done {
            tracing::warn!(topic = %self.topic, %error, "the group's decision cannot be taken over");
        }
        let change = if assigned {
            let mut partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
            partitions.sort_unstable();
            Change::Assigned(partitions)
        } else {
            Change::Revoked
        };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(topic = %self.topic, %error, "the group's offsets were not taken");
        }
    }
}

/// What runs on the thread.
pub(super) struct Worker {
    consumer: Consumer,
    topic: String,
    metrics: Metrics,
    inbox: Arc<Inbox>,
    put: mpsc::Sender<Item>,
    /// News that found no room yet; records are never among them.
    waiting: VecDeque<Item>,
    partitions: Partitions,
    assignment: u64,
    /// Assigned, and it is not known yet how far the group came.
    to_announce: Option<Vec<i32>>,
    /// Some partition stopped because its position is not there any more.
    to_locate: bool,
    /// The client did not take the last assignment.
    to_assign: bool,
    /// Nothing is read because nobody takes it.
    stalled: bool,
    /// When a question may be asked again.
    ask_at: Instant,
}

impl Worker {
    pub(super) fn new(
        config: &KafkaConfig,
        metrics: Metrics,
        topic: &str,
        group: &str,
        inbox: Arc<Inbox>,
        put: mpsc::Sender<Item>,
    ) -> Result<Self> {
        let member = Member { topic: topic.to_owned(), metrics: metrics.clone(), changes: Mutex::default() };
        let consumer: Consumer = client::make(&client::member(config, group), member)?;
        consumer.subscribe(&[topic]).map_err(|error| failure::of("joining the group", &error))?;
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            metrics,
            inbox,
            put,
            waiting: VecDeque::new(),
            partitions: Partitions::default(),
            assignment: 0,
            to_announce: None,
            to_locate: false,
            to_assign: false,
            stalled: false,
            ask_at: Instant::now(),
        })
    }

    /// Until it is to close, or nobody listens any more. Then it leaves the group.
    pub(super) fn run(mut self) {
        let mut full_since = None;
        loop {
            let wishes = self.inbox.wishes();
            let close = wishes.close || self.put.is_closed();
            self.fulfil(wishes);
            if close {
                break;
            }
            self.put_waiting();
            if Instant::now() >= self.ask_at {
                self.ask();
            }
            let put = self.put.clone();
            match put.try_reserve() {
                Ok(room) if self.waiting.is_empty() => {
                    full_since = None;
                    self.set_stalled(false);
                    if let Some(item) = self.read() {
                        room.send(item);
                    }
                }
                _ => {
                    let since = *full_since.get_or_insert_with(Instant::now);
                    match STALL_AFTER.checked_sub(since.elapsed()) {
                        Some(rest) => self.inbox.wait(rest),
                        None => {
                            self.set_stalled(true);
                            if !self.to_assign {
                                // Nothing is assigned, so this serves the group alone.
                                self.read();
                            }
                            self.inbox.wait(POLL);
                        }
                    }
                }
            }
        }
        for partition in self.partitions.revoke() {
            self.metrics.lag(&self.topic, partition, None);
        }
    }

    fn fulfil(&mut self, wishes: Wishes) {
        if !wishes.notes.is_empty() {
            let mut list = TopicPartitionList::new();
            // Of others another member tells.
            for (partition, next) in wishes.notes.into_iter().filter(|(partition, _)| self.partitions.has(*partition)) {
                // It refuses offsets below zero only: those are nothing to tell.
                let _ = list.add_partition_offset(&self.topic, partition, Offset::Offset(next));
            }
            if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
                tracing::debug!(topic = %self.topic, %error, "the group's offsets were not taken");
            }
        }
        if wishes.assignment == self.assignment && self.partitions.start(wishes.starts) {
            self.assign();
        }
    }

    /// Has the client read what is to be read, from where it is to be read. It drops what it fetched ahead.
    fn assign(&mut self) {
        let list = if self.stalled { TopicPartitionList::new() } else { self.partitions.list(&self.topic) };
        let assigned = self.consumer.assign(&list);
        self.to_assign = assigned.is_err();
        if let Err(error) = assigned {
            tracing::warn!(topic = %self.topic, %error, "partitions cannot be read; it is tried again");
            self.ask_at = Instant::now() + ASK_AGAIN;
        }
    }

    fn set_stalled(&mut self, stalled: bool) {
        if self.stalled != stalled {
            self.stalled = stalled;
            if self.partitions.reading().next().is_some() {
                self.assign();
            }
        }
    }

    /// Polls the client: the next batch, or an error. Follows the group on the way.
    fn read(&mut self) -> Option<Item> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        while entries.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
            let patience = if entries.is_empty() { POLL } else { Duration::ZERO };
            let polled = self.consumer.poll(patience).map(|polled| polled.map(|message| record::entry(&message)));
            let changes = std::mem::take(&mut *lock(&self.consumer.context().changes));
            if !changes.is_empty() {
                // What was read before is of an assignment that is over.
                entries.clear();
                changes.into_iter().for_each(|change| self.follow(change));
                break;
            }
            match polled {
                None => break,
                Some(Ok(entry)) => {
                    if self.partitions.read(entry.at.partition, entry.at.offset) {
                        bytes += record::bytes(&entry);
                        entries.push(entry);
                    }
                }
                Some(Err(error)) => {
                    self.complain(&error);
                    break;
                }
            }
        }
        if entries.is_empty() {
            return None;
        }
        self.inbox.set_away(None);
        Some(Item { assignment: self.assignment, news: Ok(LogNews::Entries(entries)) })
    }

    fn follow(&mut self, change: Change) {
        self.assignment = self.inbox.next_assignment();
        let mut gone: BTreeSet<i32> = self.partitions.revoke().into_iter().collect();
        for partition in &gone {
            self.metrics.lag(&self.topic, *partition, None);
        }
        // What nobody heard yet about the partitions that go need not be told any more, but that they go.
        let mut unheard: BTreeSet<i32> = self.to_announce.take().into_iter().flatten().collect();
        let mut gone_before = BTreeSet::new();
        for item in std::mem::take(&mut self.waiting) {
            match item.news {
                Ok(LogNews::Revoked(partitions)) => gone_before.extend(partitions),
                Ok(LogNews::Assigned(assigned)) => unheard.extend(assigned.iter().map(|assigned| assigned.partition)),
                _ => {}
            }
        }
        gone.retain(|partition| !unheard.contains(partition));
        gone.extend(gone_before);
        self.to_assign = false;
        self.to_locate = false;
        if !gone.is_empty() {
            self.tell(Ok(LogNews::Revoked(gone.into_iter().collect())));
        }
        if let Change::Assigned(partitions) = change
            && !partitions.is_empty()
        {
            self.partitions.assign(&partitions);
            self.to_announce = Some(partitions);
            self.ask_at = Instant::now();
        }
    }

    fn complain(&mut self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::LogTruncation) => self.to_locate = true,
            _ => match failure::of("reading from Kafka", error) {
                away @ Error::Unavailable { .. } => self.inbox.set_away(Some(away)),
                other => {
                    let told = self.waiting.iter().any(|item| item.news.as_ref().is_err_and(|told| *told == other));
                    if !told {
                        self.tell(Err(other));
                    }
                }
            },
        }
    }

    /// Asks the brokers what has to be known before it goes on.
    fn ask(&mut self) {
        if self.to_assign {
            self.assign();
        }
        let asked = if self.to_announce.is_some() {
            self.announce()
        } else if self.to_locate {
            self.locate()
        } else if self.inbox.away().is_some() {
            self.consumer.fetch_metadata(Some(&self.topic), ASK).map(drop)
        } else {
            return;
        };
        match asked {
            Ok(()) => self.inbox.set_away(None),
            Err(error) => {
                self.inbox.set_away(Some(failure::of("asking Kafka", &error)));
                self.ask_at = Instant::now() + ASK_AGAIN;
            }
        }
    }

    /// Says what was assigned, when it is known how far the group came.
    fn announce(&mut self) -> KafkaResult<()> {
        if let Some(partitions) = self.to_announce.take() {
            match self.committed(&partitions) {
                Ok(assigned) => self.tell(Ok(LogNews::Assigned(assigned))),
                Err(error) => {
                    self.to_announce = Some(partitions);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn committed(&self, partitions: &[i32]) -> KafkaResult<Vec<Assigned>> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        let answer = self.consumer.committed_offsets(list, ASK)?;
        let assigned = answer.elements().into_iter().map(|element| {
            element.error()?;
            let committed = if let Offset::Offset(offset) = element.offset() { Some(offset) } else { None };
            Ok(Assigned { partition: element.partition(), committed })
        });
        assigned.collect()
    }

    /// Finds the partitions whose position is not in the log any more, and says so. The others go on where they were.
    fn locate(&mut self) -> KafkaResult<()> {
        let reading: Vec<_> = self.partitions.reading().collect();
        let mut lost = Vec::new();
        for (partition, next) in reading {
            let Some(wanted) = next else { continue };
            let (earliest, end) = self.consumer.fetch_watermarks(&self.topic, partition, ASK)?;
            if wanted < earliest || wanted > end {
                lost.push(LogNews::OutOfRange { partition, wanted, earliest, end });
            }
        }
        self.to_locate = false;
        for news in lost {
            if let LogNews::OutOfRange { partition, wanted, earliest, end } = news {
                self.metrics.out_of_range();
                tracing::error!(topic = %self.topic, partition, wanted, earliest, end, "the log has not what comes next");
                self.partitions.stop(partition);
            }
            self.tell(Ok(news));
        }
        self.assign();
        // Where none is out of range the same question comes up again at once if nothing changed.
        self.ask_at = Instant::now() + ASK_AGAIN;
        Ok(())
    }

    fn tell(&mut self, news: Result<LogNews>) {
        self.waiting.push_back(Item { assignment: self.assignment, news });
        self.put_waiting();
    }

    fn put_waiting(&mut self) {
        while let Some(item) = self.waiting.pop_front() {
            match self.put.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(item)) => {
                    self.waiting.push_front(item);
                    return;
                }
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
