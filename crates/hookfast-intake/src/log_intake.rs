//! Intake through the log: accepted is what the log has. Must not know which log, nor who reads it.

use crate::check::check;
use crate::envelope::encode;
use crate::naming::named;
use crate::{IntakeConfig, Metrics};
use bytes::Bytes;
use hookfast_core::ports::{Accepted, BoxFuture, Intake, Log, LogRecord, Submission};
use hookfast_core::{Clock, EventId, IdGenerator, Result};
use std::sync::Arc;
use std::time::Instant;

/// Checks submissions and appends each one to the log.
///
/// Events with the same ordering key stay in order. What only the store can know is found out when it is stored: whether
/// the application and the endpoint exist, and whether a caller key was seen before. So the answer is never
/// `NotFound`, `Conflict` or a repeat; an event that cannot be stored becomes a dead letter of the topic. Nothing waits
/// for deliveries here: the consumer does.
pub struct LogIntake {
    log: Arc<dyn Log>,
    topic: Arc<str>,
    ids: Arc<IdGenerator>,
    clock: Arc<dyn Clock>,
    config: IntakeConfig,
    metrics: Metrics,
}

impl LogIntake {
    /// Joins it to a topic of the log below.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        topic: &str,
        ids: Arc<IdGenerator>,
        clock: Arc<dyn Clock>,
        config: IntakeConfig,
    ) -> Self {
        Self { log, topic: topic.into(), ids, clock, config, metrics: Metrics::default() }
    }

    /// What it counts: as direct intake does.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    async fn append(&self, event: Submission) -> Result<Accepted> {
        check(&event, self.config.body_bytes_max)?;
        let new = named(event, EventId::from_u128(self.ids.next(self.clock.now())));
        let id = new.id;
        let key = new.ordering_key.clone().unwrap_or_else(|| id.to_string());
        let record = LogRecord {
            topic: Arc::clone(&self.topic),
            key: Some(Bytes::from(key)),
            value: encode(&new)?,
            headers: Vec::new(),
        };
        self.log.append(record).await?;
        Ok(Accepted { id, repeat: false })
    }
}

impl Intake for LogIntake {
    fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>> {
        Box::pin(async move {
            let start = Instant::now();
            let answer = self.append(event).await;
            self.metrics.answered(&answer, start.elapsed());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::decode;
    use crate::testing::{ManualClock, MemoryLog, submission};
    use hookfast_core::{Error, UnixMs};

    const INTAKE_TOPIC: &str = "intake";

    fn intake(log: &Arc<MemoryLog>) -> LogIntake {
        let ids = Arc::new(IdGenerator::new());
        LogIntake::new(log.clone(), INTAKE_TOPIC, ids, Arc::new(ManualClock), IntakeConfig::default())
    }

    #[tokio::test]
    async fn an_accepted_event_lies_in_the_log_as_it_came() {
        let log = Arc::new(MemoryLog::default());
        let intake = intake(&log);
        let plain = intake.submit(submission("one")).await.unwrap();
        let ordered = Submission { ordering_key: Some("k".into()), uid: Some("two".into()), ..submission("two") };
        intake.submit(ordered).await.unwrap();
        let records = log.records(INTAKE_TOPIC);
        let events: Vec<_> = records.iter().map(|record| decode(&record.value, 1024).unwrap()).collect();
        assert_eq!((events[0].id, plain.repeat), (plain.id, false));
        assert_eq!(plain.id.time(), UnixMs(1_700_000_000_000));
        assert_eq!((events[0].body.as_ref(), events[1].body.as_ref()), (b"one".as_ref(), b"two".as_ref()));
        assert_eq!(records[0].key.as_deref(), Some(plain.id.to_string().as_bytes()));
        assert_eq!(records[1].key.as_deref(), Some(b"k".as_ref()));
        assert_ne!(events[1].body_hash, [0; 16]);
    }

    #[tokio::test]
    async fn what_is_wrong_or_finds_no_log_is_refused() {
        let log = Arc::new(MemoryLog::default());
        let intake = intake(&log);
        let wrong = Submission { event_type: "a b".into(), ..submission("one") };
        assert!(matches!(intake.submit(wrong).await, Err(Error::Invalid { .. })));
        log.fail_next(INTAKE_TOPIC, Error::Unavailable { reason: "no broker".into() });
        assert!(matches!(intake.submit(submission("one")).await, Err(Error::Unavailable { .. })));
        assert!(log.records(INTAKE_TOPIC).is_empty());
    }
}
