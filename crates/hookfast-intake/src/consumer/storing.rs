//! One batch on its way into the store: its events, then what becomes of those that failed, then its positions. Must not
//! know how it was read.

use super::Shared;
use super::batch::Batch;
use super::decode::Decoded;
use super::failing::{Failed, without_value};
use super::waiting::{Halt, Outcome, Patience};
use futures_util::future::join_all;
use hookfast_core::ports::{Accepted, Consumed, LogEntry, LogRecord};
use hookfast_core::{Error, Result};
use std::sync::Arc;
use tokio::time::Instant;

/// Of each partition, the offset of the record that comes next.
pub(super) type Positions = Vec<(i32, i64)>;

struct Storing {
    shared: Arc<Shared>,
    positions: Positions,
    /// Not stored yet.
    waiting: Vec<(LogEntry, Decoded)>,
    failed: Vec<Failed>,
    /// The store keeps the positions.
    advanced: bool,
}

/// Stores a batch, whatever it takes; when this answers, its positions are kept. Ends early, with nothing lost, only when
/// the consumer is stopped or cannot go on. Not cancel-safe, as the store is not: await it to the end.
pub(super) async fn store(shared: Arc<Shared>, batch: Batch) -> Outcome<Positions> {
    let start = Instant::now();
    let mut storing = Storing::new(shared, batch);
    storing.store().await?;
    storing.bury().await?;
    storing.advance().await?;
    storing.shared.metrics.batch(&storing.shared.consumer.topic, start.elapsed());
    Ok(storing.positions)
}

impl Storing {
    fn new(shared: Arc<Shared>, batch: Batch) -> Self {
        let positions = batch.positions();
        let (mut waiting, mut failed) = (Vec::with_capacity(batch.records.len()), Vec::new());
        for read in batch.records {
            match read.decoded {
                Err(error) => failed.push(Failed::undecodable(read.entry, &error)),
                Ok(_) if fastrand::f64() < shared.config.fail_rate => failed.push(Failed::injected(read.entry)),
                Ok(decoded) => waiting.push((read.entry, decoded)),
            }
        }
        Self { shared, positions, waiting, failed, advanced: false }
    }

    /// Until every event is stored, or has failed by its own fault.
    async fn store(&mut self) -> Outcome<()> {
        let mut patience = Patience::default();
        while !self.waiting.is_empty() {
            self.admitted().await?;
            if let Err(error) = self.try_once().await {
                self.shared.store_is_away(&error);
                patience.wait(&self.shared.stop).await?;
            }
        }
        Ok(())
    }

    /// Waits while deliveries lag behind.
    async fn admitted(&self) -> Outcome<()> {
        let admission = &self.shared.ports.admission;
        let mut patience = Patience::default();
        while !admission.is_open() {
            let answer = tokio::select! {
                () = self.shared.stop.cancelled() => return Err(Halt::Stopped),
                answer = admission.admit() => answer,
            };
            if answer.is_ok() {
                break;
            }
            self.shared.metrics.admission_wait(&self.shared.consumer.topic);
            patience.wait(&self.shared.stop).await?;
        }
        Ok(())
    }

    /// One try of all that waits. The error, if any, is the store's own, and what waits is tried again.
    async fn try_once(&mut self) -> Result<()> {
        // Positions may go along only while nothing has failed: that must be durable elsewhere before they move.
        let is_whole = self.failed.is_empty();
        let batch = Consumed {
            consumer: self.shared.consumer.clone(),
            positions: if is_whole { self.positions.clone() } else { Vec::new() },
            events: self.waiting.iter().map(|(_, decoded)| decoded.event.clone()).collect(),
            invoices: if self.shared.ports.decoder.projects() {
                self.waiting.iter().map(|(_, decoded)| decoded.invoice.clone()).collect()
            } else {
                Vec::new()
            },
        };
        let answer = self.shared.ports.store.consume(batch).await?;
        self.advanced = is_whole && answer.advanced;
        self.sort_out(answer.answers)
    }

    /// What is stored is done, what failed by its own fault is set aside, the rest goes on waiting.
    fn sort_out(&mut self, answers: Vec<Result<Accepted>>) -> Result<()> {
        let (mut stored, mut repeated) = (0, 0);
        let mut away = None;
        let mut answers = answers.into_iter();
        for (entry, decoded) in std::mem::take(&mut self.waiting) {
            let silence = || Err(Error::Unavailable { reason: "the store gave no answer".to_owned() });
            match answers.next().unwrap_or_else(silence) {
                Ok(Accepted { repeat: true, .. }) => repeated += 1,
                Ok(_) => stored += 1,
                Err(error) => match Failed::cause_of(&error) {
                    Some(cause) => {
                        self.failed.push(Failed { entry, cause, error: error.to_string(), may_succeed: true });
                    }
                    None => {
                        self.waiting.push((entry, decoded));
                        away = Some(error);
                    }
                },
            }
        }
        self.shared.metrics.answered(&self.shared.consumer.topic, stored, repeated);
        away.map_or(Ok(()), Err)
    }

    /// Until the log has acknowledged what becomes of everything that failed.
    async fn bury(&mut self) -> Outcome<()> {
        let mut patience = Patience::default();
        while !self.failed.is_empty() {
            let outcomes = join_all(self.failed.iter().map(|failed| self.pass_on(failed))).await;
            let mut away = None;
            let mut outcomes = outcomes.into_iter();
            self.failed.retain(|_| {
                let Some(Err(error)) = outcomes.next() else { return false };
                away = Some(error);
                true
            });
            if let Some(error) = away {
                self.shared.log_is_away(&error)?;
                patience.wait(&self.shared.stop).await?;
            }
        }
        Ok(())
    }

    /// Appends what becomes of one record.
    async fn pass_on(&self, failed: &Failed) -> Result<()> {
        let Shared { consumer, config, metrics, .. } = self.shared.as_ref();
        let (retries, is_number) = failed.retries();
        if failed.may_succeed && retries < config.retries_max {
            match self.append(failed.again(&self.shared.topic)).await {
                // With one header more it is too large; it has a place among the dead letters.
                Err(Error::Invalid { .. }) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    metrics.retried(&consumer.topic, failed.cause, is_number);
                    return Ok(());
                }
            }
        }
        let letter = failed.dead_letter(&self.shared.dead_letters, &consumer.topic);
        match (self.append(letter.clone()).await, without_value(&letter)) {
            (Err(Error::Invalid { .. }), Some(small)) => self.append(small).await?,
            (answer, _) => answer?,
        }
        metrics.dead(&consumer.topic, failed.cause, is_number);
        let at = failed.entry.at;
        tracing::warn!(
            topic = consumer.topic,
            partition = at.partition,
            offset = at.offset,
            cause = failed.cause,
            error = failed.error,
            "a record could not be processed: it is a dead letter now"
        );
        Ok(())
    }

    async fn append(&self, record: LogRecord) -> Result<()> {
        self.shared.ports.log.append(record).await.map(drop)
    }

    /// Until the positions are kept.
    async fn advance(&mut self) -> Outcome<()> {
        let mut patience = Patience::default();
        while !self.advanced {
            match self.shared.ports.store.advance(&self.shared.consumer, &self.positions).await {
                Ok(()) => self.advanced = true,
                Err(error) => {
                    self.shared.store_is_away(&error);
                    patience.wait(&self.shared.stop).await?;
                }
            }
        }
        Ok(())
    }
}
