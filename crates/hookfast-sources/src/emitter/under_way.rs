//! Events on their way to intake: each is tried again until it is durable, and how far they came is known. Must not know
//! when the next one is due.

use super::Counters;
use super::progress::Progress;
use hookfast_core::ports::{Intake, Submission};
use hookfast_core::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// First wait after intake refused an event; it doubles up to [`BACKOFF_MS_MAX`].
const BACKOFF_MS_MIN: u64 = 50;
/// Longest such wait.
const BACKOFF_MS_MAX: u64 = 5_000;

/// What became of one event: its number when it is durable, `None` when it was given up because the emitter stops.
type Ended = Result<Option<u64>>;

/// Events that are being submitted.
pub(super) struct UnderWay {
    intake: Arc<dyn Intake>,
    counters: Arc<Counters>,
    tasks: JoinSet<Ended>,
    progress: Progress,
}

impl UnderWay {
    /// None yet; so many were made before.
    pub(super) fn new(intake: Arc<dyn Intake>, counters: Arc<Counters>, made: u64) -> Self {
        Self { intake, counters, tasks: JoinSet::new(), progress: Progress::from(made) }
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// How many are durable without a gap.
    pub(super) fn made(&self) -> u64 {
        self.progress.made()
    }

    pub(super) fn submit(&mut self, number: u64, event: Submission, stop: &CancellationToken) {
        let (intake, counters, stop) = (Arc::clone(&self.intake), Arc::clone(&self.counters), stop.clone());
        self.tasks.spawn(async move {
            let is_durable = submit(intake, counters, event, stop).await?;
            Ok(is_durable.then_some(number))
        });
    }

    /// Waits until one has ended, or the emitter stops. Cancel-safe.
    pub(super) async fn next_ended(&mut self, stop: &CancellationToken) -> Result<()> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            Some(ended) = self.tasks.join_next() => self.note(ended),
            else => Ok(()),
        }
    }

    /// Waits for all of them, which is not long when the emitter stops. Cancel-safe.
    pub(super) async fn all_ended(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            outcome = outcome.and(self.note(ended));
        }
        outcome
    }

    fn note(&mut self, ended: std::result::Result<Ended, JoinError>) -> Result<()> {
        let ended =
            ended.unwrap_or_else(|lost| Err(Error::Terminal { reason: format!("an emitting task was lost: {lost}") }));
        if let Some(number) = ended? {
            self.progress.done(number);
        }
        Ok(())
    }
}

/// One event until it is durable; `false` when it was given up because the emitter stops. Its own id makes trying again
/// safe: intake knows it when it comes twice.
async fn submit(
    intake: Arc<dyn Intake>,
    counters: Arc<Counters>,
    event: Submission,
    stop: CancellationToken,
) -> Result<bool> {
    let mut wait_ms = BACKOFF_MS_MIN;
    loop {
        let error = match intake.submit(event.clone()).await {
            Ok(_) => {
                counters.accepted.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
            Err(error) => error,
        };
        if !matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::Retryable) {
            counters.failed.fetch_add(1, Ordering::Relaxed);
            return Err(error);
        }
        counters.refused.fetch_add(1, Ordering::Relaxed);
        let asked_ms = if let Error::Overloaded { retry_after_ms, .. } = error { retry_after_ms } else { 0 };
        tokio::select! {
            () = stop.cancelled() => {
                counters.failed.fetch_add(1, Ordering::Relaxed);
                return Ok(false);
            }
            () = tokio::time::sleep(Duration::from_millis(wait_ms.max(asked_ms).min(BACKOFF_MS_MAX))) => {}
        }
        wait_ms = (wait_ms * 2).min(BACKOFF_MS_MAX);
    }
}
