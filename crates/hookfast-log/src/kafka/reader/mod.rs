//! One member of a group, as its caller sees it: asks the thread that reads, and hands over what it put down. Must not
//! know how a partition is read.

mod inbox;
mod partitions;
mod record;
mod worker;

use super::config::KafkaConfig;
use super::metrics::Metrics;
use hookfast_core::ports::{BoxFuture, LogEntry, LogNews, LogReader};
use hookfast_core::{Error, Result};
use inbox::Inbox;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use worker::Worker;

pub(super) use record::entry;

/// So many batches lie ready at most.
const BATCHES_MAX: usize = 4;
/// Leaving a group takes a moment; a client that hangs is left behind after so long.
const CLOSE_WITHIN: Duration = Duration::from_secs(8);

/// What the thread puts down.
struct Item {
    /// Of which assignment it is: of an earlier one than the current, records are not handed over any more.
    assignment: u64,
    news: Result<LogNews>,
}

/// See [`LogReader`].
pub(super) struct Reader {
    inbox: Arc<Inbox>,
    items: mpsc::Receiver<Item>,
    ended: oneshot::Receiver<()>,
    /// Taken from `items` and not handed over yet: at most one item, and the rest of one batch.
    held: Option<Item>,
    rest: VecDeque<LogEntry>,
    /// The assignment that `rest` is of, and the last one that was handed over.
    rest_of: u64,
    told: u64,
}

impl Reader {
    /// Joins the group, on a thread of its own. Errors: `Terminal` when there can be no client or thread.
    pub(super) fn start(config: &KafkaConfig, metrics: Metrics, topic: &str, group: &str) -> Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let (put, items) = mpsc::channel(BATCHES_MAX);
        let (end, ended) = oneshot::channel();
        let worker = Worker::new(config, metrics, topic, group, Arc::clone(&inbox), put)?;
        let run = move || {
            worker.run();
            // Nobody may wait for it any more.
            let _ = end.send(());
        };
        let thread = std::thread::Builder::new().name("kafka-reader".to_owned()).spawn(run);
        thread.map_err(|error| Error::Terminal { reason: format!("no thread can be started: {error}") })?;
        Ok(Self { inbox, items, ended, held: None, rest: VecDeque::new(), rest_of: 0, told: 0 })
    }

    /// What can be handed over without waiting.
    fn take(&mut self, entries_max: usize) -> Option<Result<LogNews>> {
        let current = self.inbox.assignment();
        let mut entries = Vec::new();
        loop {
            if self.rest_of == current {
                let more = (entries_max - entries.len()).min(self.rest.len());
                entries.extend(self.rest.drain(..more));
            } else {
                self.rest.clear();
            }
            if entries.len() == entries_max {
                break;
            }
            let Some(item) = self.held.take().or_else(|| self.items.try_recv().ok()) else { break };
            self.inbox.taken();
            match item.news {
                Ok(LogNews::Entries(batch)) => {
                    self.rest = batch.into();
                    self.rest_of = item.assignment;
                }
                _ if !entries.is_empty() => {
                    self.held = Some(item);
                    break;
                }
                news => {
                    if let Ok(LogNews::Assigned(_)) = &news {
                        self.told = item.assignment;
                    }
                    return Some(news);
                }
            }
        }
        (!entries.is_empty()).then_some(Ok(LogNews::Entries(entries)))
    }
}

impl LogReader for Reader {
    fn next(&mut self, entries_max: usize, wait: Duration) -> BoxFuture<'_, Result<LogNews>> {
        Box::pin(async move {
            let until = tokio::time::Instant::now() + wait;
            loop {
                if let Some(news) = self.take(entries_max.max(1)) {
                    return news;
                }
                match tokio::time::timeout_at(until, self.items.recv()).await {
                    Ok(Some(item)) => self.held = Some(item),
                    Ok(None) => return Err(Error::Terminal { reason: "reading from Kafka has ended".to_owned() }),
                    Err(_) => return self.inbox.away().map_or(Ok(LogNews::Idle), Err),
                }
            }
        })
    }

    fn start_at(&mut self, positions: Vec<(i32, Option<i64>)>) -> BoxFuture<'_, Result<()>> {
        self.inbox.start_at(self.told, positions);
        Box::pin(std::future::ready(Ok(())))
    }

    fn note(&mut self, positions: &[(i32, i64)]) {
        self.inbox.note(positions);
    }

    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.inbox.close();
            if tokio::time::timeout(CLOSE_WITHIN, &mut self.ended).await.is_err() {
                tracing::warn!("a reader of Kafka does not end: it is left behind, its group misses it in a while");
            }
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
