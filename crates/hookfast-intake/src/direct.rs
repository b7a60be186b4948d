//! Intake without a log: straight into the store. Must not know which store, nor who submits.

use crate::Metrics;
use crate::check::check;
use crate::naming::named;
use hookfast_core::limits::BODY_BYTES_MAX;
use hookfast_core::ports::{Accept, Accepted, Admission, BoxFuture, Intake, Submission};
use hookfast_core::{Clock, Error, EventId, IdGenerator, Result};
use std::sync::Arc;
use std::time::Instant;

/// Settings of intake.
#[derive(Clone, Debug)]
pub struct IntakeConfig {
    /// Greatest body of an event, in bytes.
    pub body_bytes_max: usize,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self { body_bytes_max: BODY_BYTES_MAX }
    }
}

/// Checks submissions and commits each one through the store.
pub struct DirectIntake {
    store: Arc<dyn Accept>,
    admission: Arc<dyn Admission>,
    ids: Arc<IdGenerator>,
    clock: Arc<dyn Clock>,
    config: IntakeConfig,
    metrics: Metrics,
}

impl DirectIntake {
    /// Joins the store below to the engine's admission beside it.
    #[must_use]
    pub fn new(
        store: Arc<dyn Accept>,
        admission: Arc<dyn Admission>,
        ids: Arc<IdGenerator>,
        clock: Arc<dyn Clock>,
        config: IntakeConfig,
    ) -> Self {
        Self { store, admission, ids, clock, config, metrics: Metrics::default() }
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    async fn accept(&self, event: Submission) -> Result<Accepted> {
        check(&event, self.config.body_bytes_max)?;
        if !self.admission.is_open() {
            self.admission.admit().await?;
        }
        // The id is made after the wait: its time is when the event was accepted.
        let id = EventId::from_u128(self.ids.next(self.clock.now()));
        let new = named(event, id);
        let mut answers = self.store.accept(vec![new]).await;
        answers.pop().unwrap_or_else(|| Err(Error::Unavailable { reason: "the store gave no answer".into() }))
    }
}

impl Intake for DirectIntake {
    fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>> {
        Box::pin(async move {
            let start = Instant::now();
            let answer = self.accept(event).await;
            self.metrics.answered(&answer, start.elapsed());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hookfast_core::model::{NewEvent, Origin, Route};
    use hookfast_core::{AppId, UnixMs};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Fixed;
    impl Clock for Fixed {
        fn now(&self) -> UnixMs {
            UnixMs(1_700_000_000_000)
        }
        fn wall(&self) -> UnixMs {
            self.now()
        }
    }

    #[derive(Default)]
    struct Kept(Mutex<Vec<NewEvent>>);
    impl Accept for Kept {
        fn accept(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Vec<Result<Accepted>>> {
            let answers = events.iter().map(|event| Ok(Accepted { id: event.id, repeat: false })).collect();
            self.0.lock().unwrap().extend(events);
            Box::pin(std::future::ready(answers))
        }
    }

    #[derive(Default)]
    struct Door {
        closed: AtomicBool,
        refuses: AtomicBool,
        asked: AtomicBool,
    }
    impl Admission for Door {
        fn admit(&self) -> BoxFuture<'_, Result<()>> {
            self.asked.store(true, Ordering::Relaxed);
            let refusal = Error::Overloaded { reason: "deliveries lag behind", retry_after_ms: 1000 };
            Box::pin(std::future::ready(if self.refuses.load(Ordering::Relaxed) { Err(refusal) } else { Ok(()) }))
        }
        fn is_open(&self) -> bool {
            !self.closed.load(Ordering::Relaxed)
        }
    }

    fn intake(store: &Arc<Kept>, door: &Arc<Door>) -> DirectIntake {
        let ids = Arc::new(IdGenerator::new());
        DirectIntake::new(store.clone(), door.clone(), ids, Arc::new(Fixed), IntakeConfig::default())
    }

    fn submission(uid: Option<&str>) -> Submission {
        Submission {
            app: AppId::from_u128(1),
            route: Route::Match,
            event_type: "a".into(),
            uid: uid.map(Into::into),
            channels: vec!["c".into()],
            ordering_key: None,
            body: Bytes::from_static(b"body"),
            content_type: None,
            idempotency: None,
            origin: Origin::of("api"),
        }
    }

    fn exposed(intake: &DirectIntake) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        intake.metrics().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[tokio::test]
    async fn an_event_is_stored_as_it_came_with_an_id_of_its_time() {
        let (store, door) = (Arc::new(Kept::default()), Arc::new(Door::default()));
        let intake = intake(&store, &door);
        let plain = intake.submit(submission(None)).await.unwrap();
        intake.submit(submission(Some("key"))).await.unwrap();
        let kept = store.0.lock().unwrap();
        assert_eq!(kept[0].id, plain.id);
        assert_eq!(plain.id.time(), UnixMs(1_700_000_000_000));
        assert_eq!((kept[0].body.as_ref(), kept[0].channels.len()), (b"body".as_ref(), 1));
        assert_eq!(kept[0].origin, Some(Origin::of("api")));
        assert_eq!(kept[0].body_hash, [0; 16]);
        assert_ne!(kept[1].body_hash, [0; 16]);
        assert!(!door.asked.load(Ordering::Relaxed), "an open door is not asked");
        assert!(exposed(&intake).contains("events_accepted_total 2"), "{}", exposed(&intake));
    }

    #[tokio::test]
    async fn what_is_refused_is_not_stored_and_is_counted() {
        let (store, door) = (Arc::new(Kept::default()), Arc::new(Door::default()));
        let intake = intake(&store, &door);
        assert!(matches!(intake.submit(submission(Some("msg_x"))).await, Err(Error::Invalid { .. })));
        door.closed.store(true, Ordering::Relaxed);
        door.refuses.store(true, Ordering::Relaxed);
        assert!(matches!(intake.submit(submission(None)).await, Err(Error::Overloaded { .. })));
        assert!(store.0.lock().unwrap().is_empty());
        let text = exposed(&intake);
        assert!(text.contains("events_refused_total{kind=\"invalid\"} 1"), "{text}");
        assert!(text.contains("events_refused_total{kind=\"overloaded\"} 1"), "{text}");
    }
}
