//! What waits for the writer: filled by many, taken whole by one task. Must not know the database.

use hookfast_core::invoice::InvoiceEvent;
use hookfast_core::model::NewEvent;
use hookfast_core::ports::{Accepted, Consumer, Settlement};
use hookfast_core::{Error, Result};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Events that may wait for a commit.
const ACCEPTS_MAX: usize = 16 << 10;
/// Bytes of bodies that may wait for a commit.
const ACCEPT_BYTES_MAX: usize = 128 << 20;
/// Events in one commit, and bytes of their bodies.
const BATCH_EVENTS_MAX: usize = 1024;
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Settlements in one commit; so many no longer wait for company.
const BATCH_SETTLEMENTS_MAX: usize = 1024;
const SETTLEMENTS_FULL: usize = 512;

/// Events to be made durable together, and who waits for them.
#[derive(Debug)]
pub(crate) struct AcceptCommand {
    pub(crate) events: Vec<NewEvent>,
    /// They were read from the log.
    pub(crate) from_log: Option<Box<FromLog>>,
    pub(crate) reply: oneshot::Sender<Vec<Result<Accepted>>>,
}

/// What comes with events that were read from the log.
#[derive(Debug)]
pub(crate) struct FromLog {
    pub(crate) consumer: Consumer,
    pub(crate) positions: Vec<(i32, i64)>,
    /// As many as events, or none at all.
    pub(crate) invoices: Vec<Option<InvoiceEvent>>,
    /// Set before the reply when the positions were kept with the events.
    pub(crate) advanced: Arc<AtomicBool>,
}

impl AcceptCommand {
    fn bytes(&self) -> usize {
        self.events.iter().map(|event| event.body.len()).sum()
    }
}

/// What the writer does next.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) accepts: Vec<AcceptCommand>,
    pub(crate) settlements: Vec<Settlement>,
}

#[derive(Default)]
struct Waiting {
    work: Work,
    accept_bytes: usize,
    accept_events: usize,
    settle_since: Option<Instant>,
    closed: bool,
}

/// The writer's queue.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    emptied: Notify,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn accept(&self, command: AcceptCommand) -> Result<()> {
        let bytes = command.bytes();
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(super::closing());
        }
        if waiting.accept_events >= ACCEPTS_MAX || waiting.accept_bytes + bytes > ACCEPT_BYTES_MAX {
            return Err(Error::Overloaded { reason: "too many events wait to be stored", retry_after_ms: 1_000 });
        }
        waiting.accept_events += command.events.len();
        waiting.accept_bytes += bytes;
        waiting.work.accepts.push(command);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// Settlements are taken even while closing: they belong to work that was begun.
    pub(crate) fn settle(&self, settlements: Vec<Settlement>) {
        // Woken for nothing, the writer would take it for the end.
        if settlements.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        let before = waiting.work.settlements.len();
        waiting.settle_since.get_or_insert_with(Instant::now);
        waiting.work.settlements.extend(settlements);
        let wake = before == 0 || (before < SETTLEMENTS_FULL && waiting.work.settlements.len() >= SETTLEMENTS_FULL);
        drop(waiting);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Puts settlements that could not be written back in front.
    pub(crate) fn settle_again(&self, mut settlements: Vec<Settlement>) {
        let mut waiting = self.lock();
        settlements.append(&mut waiting.work.settlements);
        waiting.work.settlements = settlements;
        waiting.settle_since.get_or_insert_with(Instant::now);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Refuses every accept that waits.
    pub(crate) fn refuse(&self, error: &Error) {
        let refused = {
            let mut waiting = self.lock();
            (waiting.accept_events, waiting.accept_bytes) = (0, 0);
            std::mem::take(&mut waiting.work.accepts)
        };
        for command in refused {
            let _ = command.reply.send(command.events.iter().map(|_| Err(error.clone())).collect());
        }
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Returns once the writer has ended.
    pub(crate) async fn closed_and_empty(&self) {
        self.emptied.notified().await;
    }

    /// The writer has ended.
    pub(crate) fn ended(&self) {
        self.emptied.notify_one();
    }

    /// Waits for work and takes it: accepts at once, settlements alone after `settle_delay` in the hope of company.
    /// `None` when closed and empty.
    pub(crate) async fn take(&self, settle_delay: Duration) -> Option<Work> {
        loop {
            let until = {
                let mut waiting = self.lock();
                let due = waiting.settle_since.map(|since| since + settle_delay);
                let full = waiting.work.settlements.len() >= SETTLEMENTS_FULL;
                if full
                    || waiting.closed
                    || !waiting.work.accepts.is_empty()
                    || due.is_some_and(|due| due <= Instant::now())
                {
                    let work = waiting.cut();
                    let idle = work.accepts.is_empty() && work.settlements.is_empty();
                    return if idle { None } else { Some(work) };
                }
                due
            };
            match until {
                Some(due) => drop(tokio::time::timeout_at(due, self.wake.notified()).await),
                None => self.wake.notified().await,
            }
        }
    }
}

impl Waiting {
    /// Takes as much as one commit should have.
    fn cut(&mut self) -> Work {
        let mut work = std::mem::take(&mut self.work);
        let (mut events, mut bytes) = (0, 0);
        let fits = work.accepts.iter().take_while(|command| {
            let first = events == 0;
            events += command.events.len();
            bytes += command.bytes();
            first || (events <= BATCH_EVENTS_MAX && bytes <= BATCH_BYTES_MAX)
        });
        let fits = fits.count();
        self.work.accepts = work.accepts.split_off(fits);
        self.accept_events = self.work.accepts.iter().map(|command| command.events.len()).sum();
        self.accept_bytes = self.work.accepts.iter().map(AcceptCommand::bytes).sum();
        if work.settlements.len() > BATCH_SETTLEMENTS_MAX {
            self.work.settlements = work.settlements.split_off(BATCH_SETTLEMENTS_MAX);
        }
        self.settle_since = if self.work.settlements.is_empty() { None } else { self.settle_since };
        work
    }
}
