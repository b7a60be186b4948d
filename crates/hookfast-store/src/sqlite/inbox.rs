//! What waits for the writer: filled by many, taken whole by one thread.

use super::writer::Job;
use crate::sqlite::claim::ClaimCommand;
use hookfast_core::model::NewEvent;
use hookfast_core::ports::{Accepted, Settlement};
use hookfast_core::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Events that may wait for a commit.
const ACCEPTS_MAX: usize = 16 << 10;
/// Bytes of bodies that may wait for a commit.
const ACCEPT_BYTES_MAX: usize = 128 << 20;
/// Configuration changes and maintenance steps that may wait.
const JOBS_MAX: usize = 4 << 10;
/// Events in one commit.
const BATCH_EVENTS_MAX: usize = 2048;
/// Settlements waiting for company go ahead when they are this many.
const SETTLEMENTS_FULL: usize = 512;

/// Events to be made durable together, and who waits for them.
#[derive(Debug)]
pub(crate) struct AcceptCommand {
    pub(crate) events: Vec<NewEvent>,
    pub(crate) reply: oneshot::Sender<Vec<Result<Accepted>>>,
}

/// What the writer does next.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) accepts: Vec<AcceptCommand>,
    pub(crate) settlements: Vec<Settlement>,
    pub(crate) claims: Vec<ClaimCommand>,
    pub(crate) jobs: Vec<Job>,
}

#[derive(Default)]
struct Waiting {
    work: Work,
    later: VecDeque<Job>,
    accept_bytes: usize,
    accept_events: usize,
    settle_since: Option<Instant>,
    closed: bool,
}

impl Waiting {
    fn urgent(&self) -> bool {
        !self.work.accepts.is_empty()
            || !self.work.claims.is_empty()
            || !self.later.is_empty()
            || self.work.settlements.len() >= SETTLEMENTS_FULL
            || self.closed
    }
}

/// The writer's queue.
#[derive(Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

fn overloaded(reason: &'static str) -> Error {
    Error::Overloaded { reason, retry_after_ms: 1_000 }
}

fn closed() -> Error {
    Error::Unavailable { reason: "the store is closing".to_owned() }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn accept(&self, command: AcceptCommand) -> Result<()> {
        let bytes: usize = command.events.iter().map(|event| event.body.len()).sum();
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(closed());
        }
        if waiting.accept_events >= ACCEPTS_MAX || waiting.accept_bytes + bytes > ACCEPT_BYTES_MAX {
            return Err(overloaded("too many events wait to be stored"));
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
        let mut waiting = self.lock();
        let wake = waiting.work.settlements.is_empty()
            || waiting.work.settlements.len() + settlements.len() >= SETTLEMENTS_FULL;
        waiting.settle_since.get_or_insert_with(Instant::now);
        if waiting.work.settlements.is_empty() {
            waiting.work.settlements = settlements;
        } else {
            waiting.work.settlements.extend(settlements);
        }
        drop(waiting);
        if wake {
            self.wake.notify_one();
        }
    }

    pub(crate) fn claim(&self, command: ClaimCommand) -> Result<()> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(closed());
        }
        waiting.work.claims.push(command);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn job(&self, job: Job) -> Result<()> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(closed());
        }
        if waiting.later.len() >= JOBS_MAX {
            return Err(overloaded("too many changes wait to be stored"));
        }
        waiting.later.push_back(job);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for work and takes it: accepts at once, settlements alone after `settle_delay` in the hope of company,
    /// and at most one job a turn, so that changes cannot hold events up. `None` when closed and empty.
    pub(crate) fn take(&self, settle_delay: Duration) -> Option<Work> {
        let mut waiting = self.lock();
        loop {
            if waiting.urgent() {
                break;
            }
            let age = waiting.settle_since.map(|since| since.elapsed());
            waiting = match age {
                Some(age) if age >= settle_delay => break,
                Some(age) => {
                    self.wake.wait_timeout(waiting, settle_delay - age).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
        let mut work = std::mem::take(&mut waiting.work);
        waiting.settle_since = None;
        waiting.accept_bytes = 0;
        waiting.accept_events = 0;
        let events = work.accepts.iter().scan(0, |sum, command| {
            *sum += command.events.len();
            Some(*sum)
        });
        let fits = events.take_while(|sum| *sum <= BATCH_EVENTS_MAX).count().max(1);
        if fits < work.accepts.len() {
            let rest = work.accepts.split_off(fits);
            waiting.accept_events = rest.iter().map(|command| command.events.len()).sum();
            waiting.accept_bytes = rest.iter().flat_map(|command| &command.events).map(|event| event.body.len()).sum();
            waiting.work.accepts = rest;
        }
        work.jobs.extend(waiting.later.pop_front());
        let idle =
            work.accepts.is_empty() && work.settlements.is_empty() && work.claims.is_empty() && work.jobs.is_empty();
        if idle { None } else { Some(work) }
    }
}
