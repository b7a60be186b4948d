//! One membership of a group: what the log says, and the next batch, which is read while the last one is stored. Must
//! not know how a batch is stored.

use super::batch::{Batch, Read};
use super::storing::{Positions, store};
use super::waiting::{Halt, Outcome, Patience};
use super::{OnOutOfRange, Shared};
use hookfast_core::Result;
use hookfast_core::ports::{Assigned, BoxFuture, LogEntry, LogNews, LogReader};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Records asked for at a time: a batch may be larger than `batch_bytes_max` by so many.
const READ_RECORDS_MAX: usize = 100;
/// How long the log is asked while there is nothing else to do.
const IDLE: Duration = Duration::from_secs(1);
/// How long leaving the group may take.
const CLOSE_MAX: Duration = Duration::from_secs(10);

type Stored = Outcome<Positions>;

/// A member of the group.
pub(super) struct Reading {
    shared: Arc<Shared>,
    reader: Box<dyn LogReader>,
    /// Partitions that are this member's.
    held: BTreeSet<i32>,
    /// What was read, and waits to be stored.
    batch: Batch,
    /// The batch before it, on its way into the store.
    storing: Option<BoxFuture<'static, Stored>>,
    /// While the log is away it is not asked before this moment.
    not_before: Option<Instant>,
    patience: Patience,
}

impl Reading {
    pub(super) fn new(shared: Arc<Shared>, reader: Box<dyn LogReader>) -> Self {
        Self {
            shared,
            reader,
            held: BTreeSet::new(),
            batch: Batch::default(),
            storing: None,
            not_before: None,
            patience: Patience::default(),
        }
    }

    /// Reads until it is stopped or cannot go on. Then the batch under way is ended; what was read beyond it is read
    /// again by whoever comes next.
    pub(super) async fn run(mut self) -> Halt {
        let halt = loop {
            if let Err(halt) = self.step().await {
                break halt;
            }
        };
        // Its own end, if it has one, is the reason already known, or comes again when the batch does.
        let _ = self.end_storing().await;
        self.lose(&self.held.iter().copied().collect::<Vec<_>>());
        if tokio::time::timeout(CLOSE_MAX, self.reader.close()).await.is_err() {
            tracing::warn!(topic = self.shared.consumer.topic, "leaving the group took too long");
        }
        halt
    }

    /// Waits for one thing to happen, and does what it asks for.
    async fn step(&mut self) -> Outcome<()> {
        if self.storing.is_none() && self.is_due() {
            let batch = std::mem::take(&mut self.batch);
            self.storing = Some(Box::pin(store(Arc::clone(&self.shared), batch)));
        }
        let (room, wait) = (self.room(), self.wait());
        tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => Err(Halt::Stopped),
            stored = ended(self.storing.as_mut()) => self.stored(stored),
            news = next(self.reader.as_mut(), self.not_before, room, wait), if room > 0 => self.hear(news).await,
        }
    }

    /// How many records may be read now.
    fn room(&self) -> usize {
        let config = &self.shared.config;
        if self.batch.bytes >= config.batch_bytes_max {
            return 0;
        }
        config.batch_events_max.max(1).saturating_sub(self.batch.records.len()).min(READ_RECORDS_MAX)
    }

    /// How long the batch still waits for more; `None` while it is empty.
    fn remaining(&self) -> Option<Duration> {
        let wait = Duration::from_millis(self.shared.config.batch_wait_ms);
        self.batch.since.map(|since| wait.saturating_sub(since.elapsed()))
    }

    fn is_due(&self) -> bool {
        self.remaining().is_some_and(|remaining| remaining.is_zero() || self.room() == 0)
    }

    fn wait(&self) -> Duration {
        match self.remaining() {
            Some(remaining) if self.storing.is_none() => remaining,
            _ => IDLE,
        }
    }

    fn stored(&mut self, stored: Stored) -> Outcome<()> {
        self.storing = None;
        self.reader.note(&stored?);
        Ok(())
    }

    async fn end_storing(&mut self) -> Outcome<()> {
        match self.storing.as_mut() {
            None => Ok(()),
            Some(storing) => {
                let stored = storing.await;
                self.stored(stored)
            }
        }
    }

    async fn hear(&mut self, news: Result<LogNews>) -> Outcome<()> {
        match news {
            Err(error) => {
                self.shared.log_is_away(&error)?;
                self.not_before = Some(Instant::now() + self.patience.next());
                return Ok(());
            }
            Ok(LogNews::Idle) => {}
            Ok(LogNews::Entries(entries)) => self.keep(entries),
            Ok(LogNews::Assigned(assigned)) => self.begin(assigned).await?,
            Ok(LogNews::Revoked(partitions)) => self.lose(&partitions),
            Ok(LogNews::OutOfRange { partition, wanted, earliest, end }) => {
                self.out_of_range(partition, wanted, earliest, end).await?;
            }
        }
        self.not_before = None;
        self.patience = Patience::default();
        Ok(())
    }

    fn keep(&mut self, entries: Vec<LogEntry>) {
        for entry in entries {
            let decoded = self.shared.ports.decoder.decode(&entry);
            self.batch.push(Read { entry, decoded });
        }
    }

    /// Goes on with new partitions where the store says, else where the log says, else at the earliest.
    async fn begin(&mut self, assigned: Vec<Assigned>) -> Outcome<()> {
        // It may have records of theirs, from before they were somebody else's for a while.
        self.end_storing().await?;
        let kept = positions(&self.shared).await?;
        let start = |one: &Assigned| (one.partition, kept.get(&one.partition).copied().or(one.committed));
        let starts: Vec<(i32, Option<i64>)> = assigned.iter().map(start).collect();
        tracing::info!(topic = self.shared.consumer.topic, ?starts, "reading partitions");
        self.held.extend(assigned.iter().map(|one| one.partition));
        self.shared.metrics.partitions(&self.shared.consumer.topic, self.held.len());
        self.start_at(starts).await
    }

    async fn start_at(&mut self, starts: Vec<(i32, Option<i64>)>) -> Outcome<()> {
        let mut patience = Patience::default();
        while let Err(error) = self.reader.start_at(starts.clone()).await {
            self.shared.log_is_away(&error)?;
            patience.wait(&self.shared.stop).await?;
        }
        Ok(())
    }

    /// Lets go of partitions. What is being stored of them may end: positions only grow, whoever comes late.
    fn lose(&mut self, partitions: &[i32]) {
        let topic = &self.shared.consumer.topic;
        self.batch.forget(partitions);
        for partition in partitions {
            self.held.remove(partition);
            self.shared.metrics.out_of_range(topic, *partition, false);
        }
        self.shared.metrics.partitions(topic, self.held.len());
    }

    /// The log has no longer what comes next in a partition.
    async fn out_of_range(&mut self, partition: i32, wanted: i64, earliest: i64, end: i64) -> Outcome<()> {
        let topic = self.shared.consumer.topic.clone();
        if wanted > end {
            // Positions only grow: whatever is read now would be passed over after the next start.
            self.shared.metrics.out_of_range(&topic, partition, true);
            tracing::error!(
                topic,
                partition,
                wanted,
                end,
                "the topic ends before the position that was reached: it was made anew, or a broker lost what it had \
                 acknowledged. The partition is not read. Name another consumer group to read the topic from its start"
            );
            return Ok(());
        }
        let (start, passed_over) = match self.shared.config.on_out_of_range {
            OnOutOfRange::Stop => {
                self.shared.metrics.out_of_range(&topic, partition, true);
                tracing::error!(
                    topic,
                    partition,
                    wanted,
                    earliest,
                    lost = earliest - wanted,
                    "the log has deleted records before they were read (its retention is shorter than the outage was). The \
                     partition is not read. To go on set on_out_of_range to `earliest`, which loses these, or to \
                     `latest`, which passes over the rest too, and start again"
                );
                return Ok(());
            }
            OnOutOfRange::Earliest => (earliest, earliest - wanted),
            OnOutOfRange::Latest => (end, end - wanted),
        };
        tracing::error!(
            topic,
            partition,
            wanted,
            start,
            lost = passed_over,
            "records were lost: going on as configured"
        );
        self.shared.metrics.passed_over(&topic, u64::try_from(passed_over).unwrap_or(0));
        self.start_at(vec![(partition, Some(start))]).await
    }
}

/// Where the store says that the group goes on.
async fn positions(shared: &Shared) -> Outcome<BTreeMap<i32, i64>> {
    let mut patience = Patience::default();
    loop {
        match shared.ports.store.positions(&shared.consumer).await {
            Ok(positions) => return Ok(positions.into_iter().collect()),
            Err(error) => shared.store_is_away(&error),
        }
        patience.wait(&shared.stop).await?;
    }
}

async fn ended(storing: Option<&mut BoxFuture<'static, Stored>>) -> Stored {
    match storing {
        Some(storing) => storing.await,
        None => std::future::pending().await,
    }
}

async fn next(reader: &mut dyn LogReader, not_before: Option<Instant>, room: usize, wait: Duration) -> Result<LogNews> {
    if let Some(moment) = not_before {
        sleep_until(moment).await;
    }
    reader.next(room, wait).await
}
