//! Where received webhooks go: into the log as they came, or, without a log, into the store as events of an application.
//! Must not know how they were received.

use crate::naming::{received_by, uid_of};
use bytes::Bytes;
use hookfast_core::model::{Origin, Route};
use hookfast_core::ports::{BoxFuture, Inbound, Intake, Log, LogRecord, Received, Submission};
use hookfast_core::{AppId, Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// The header of a record that says by which source it came.
pub(crate) const SOURCE: &str = "source";

/// Appends what is received to the log: the sender's id is the key, the bytes that came are the value. The same webhook
/// again is a second record, which whoever reads the topic knows by its key.
pub struct LogInbound {
    log: Arc<dyn Log>,
    topics: HashMap<Arc<str>, Arc<str>>,
}

impl LogInbound {
    /// Each source of `topics` has the topic that its webhooks go to.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, topics: HashMap<Arc<str>, Arc<str>>) -> Self {
        Self { log, topics }
    }
}

impl Inbound for LogInbound {
    fn receive(&self, received: Received) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let topic = self.topics.get(&received.source).ok_or_else(|| unknown(&received.source))?;
            let record = LogRecord {
                topic: Arc::clone(topic),
                key: Some(Bytes::from(received.event_id)),
                value: received.body,
                headers: vec![(SOURCE.to_owned(), Bytes::copy_from_slice(received.source.as_bytes()))],
            };
            match self.log.append(record).await {
                Ok(_) => Ok(()),
                // Whoever sent it cannot help it, and may send it again when the topic is there.
                Err(Error::NotFound { what }) => {
                    Err(Error::Unavailable { reason: format!("{what} `{topic}` does not exist") })
                }
                Err(error) => Err(error),
            }
        })
    }

    fn is_available(&self) -> bool {
        self.log.is_available()
    }
}

/// Makes what is received events of an application, through the one road in. The sender's id is the event's uid: the same
/// webhook again is a repeat, and with another body a conflict.
pub struct DirectInbound {
    intake: Arc<dyn Intake>,
    /// Of each source.
    to: HashMap<Arc<str>, (AppId, Origin)>,
}

impl DirectInbound {
    /// Each source of `apps` has the application whose events its webhooks become. Ids are told from each other within
    /// an application, so sources of different senders should not share one.
    #[must_use]
    pub fn new(intake: Arc<dyn Intake>, apps: HashMap<Arc<str>, AppId>) -> Self {
        let with_origin = |(source, app): (Arc<str>, AppId)| (Arc::clone(&source), (app, received_by(&source)));
        Self { intake, to: apps.into_iter().map(with_origin).collect() }
    }
}

impl Inbound for DirectInbound {
    fn receive(&self, received: Received) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let (app, origin) = self.to.get(&received.source).ok_or_else(|| unknown(&received.source))?;
            let event = Submission {
                app: *app,
                route: Route::Match,
                uid: Some(uid_of(&received.event_id)),
                event_type: received.event_type,
                channels: Vec::new(),
                ordering_key: None,
                body: received.body,
                content_type: None,
                idempotency: None,
                origin: origin.clone(),
            };
            match self.intake.submit(event).await {
                Ok(_) => Ok(()),
                Err(Error::NotFound { what }) => {
                    let source = &received.source;
                    Err(Error::Unavailable {
                        reason: format!("the {what} of source `{source}` does not exist any more"),
                    })
                }
                Err(error) => Err(error),
            }
        })
    }

    /// The store says so itself when it is asked.
    fn is_available(&self) -> bool {
        true
    }
}

fn unknown(source: &str) -> Error {
    Error::Terminal { reason: format!("nothing is said about where source `{source}` goes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MemoryLog, submission};
    use hookfast_core::EventId;
    use hookfast_core::ports::Accepted;
    use std::sync::Mutex;

    fn received(event_id: &str, body: &'static str) -> Received {
        let body = Bytes::from_static(body.as_bytes());
        Received { source: "shop".into(), event_id: event_id.into(), event_type: "PAID".into(), body }
    }

    #[tokio::test]
    async fn the_log_has_it_as_it_came_under_the_senders_id() {
        let log = Arc::new(MemoryLog::default());
        let inbound = LogInbound::new(log.clone(), HashMap::from([("shop".into(), "orders".into())]));
        inbound.receive(received("e1", "one")).await.unwrap();
        assert!(inbound.is_available());
        let headers = vec![("source".to_owned(), Bytes::from_static(b"shop"))];
        let key = Some(Bytes::from_static(b"e1"));
        let value = Bytes::from_static(b"one");
        assert_eq!(log.records("orders"), [LogRecord { topic: "orders".into(), key, value, headers }]);
    }

    #[tokio::test]
    async fn what_the_log_refuses_is_not_accepted() {
        let log = Arc::new(MemoryLog::default());
        let inbound = LogInbound::new(log.clone(), HashMap::from([("shop".into(), "orders".into())]));
        log.fail_next("orders", Error::NotFound { what: "topic" });
        let missing = Error::Unavailable { reason: "topic `orders` does not exist".into() };
        assert_eq!(inbound.receive(received("e1", "one")).await, Err(missing));
        let overloaded = Error::Overloaded { reason: "the buffer is full", retry_after_ms: 1 };
        log.fail_next("orders", overloaded.clone());
        assert_eq!(inbound.receive(received("e1", "one")).await, Err(overloaded));
        assert!(log.records("orders").is_empty());
        let stray = Received { source: "other".into(), ..received("e1", "one") };
        assert!(matches!(inbound.receive(stray).await, Err(Error::Terminal { .. })));
    }

    /// Keeps submissions, and answers as it is told.
    #[derive(Default)]
    struct Scripted {
        kept: Mutex<Vec<Submission>>,
        refusal: Mutex<Option<Error>>,
    }

    impl Intake for Scripted {
        fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>> {
            let repeat = Accepted { id: EventId::from_u128(1), repeat: true };
            self.kept.lock().unwrap().push(event);
            let refusal = self.refusal.lock().unwrap().take();
            Box::pin(std::future::ready(refusal.map_or(Ok(repeat), Err)))
        }
    }

    #[tokio::test]
    async fn without_a_log_it_is_an_event_that_is_known_again() {
        let intake = Arc::new(Scripted::default());
        let app = AppId::from_u128(1);
        let inbound = DirectInbound::new(intake.clone(), HashMap::from([("shop".into(), app)]));
        assert!(inbound.is_available());
        inbound.receive(received("e1", "one")).await.unwrap();
        inbound.receive(received("an id of its own", "one")).await.unwrap();
        let kept = intake.kept.lock().unwrap().clone();
        let uid = |at: usize| kept[at].uid.clone().unwrap();
        assert_eq!((uid(0).as_str(), uid(1).len()), ("e1", 64));
        let plain = submission("one");
        assert_eq!((kept[0].app, &kept[0].route, &kept[0].body), (plain.app, &plain.route, &plain.body));
        assert_eq!((kept[0].event_type.as_str(), &kept[0].origin), ("PAID", &Origin::of("receiver:shop")));
        let conflict = Error::Conflict { code: "event_exists", reason: "another body".into() };
        for (refusal, answer) in [
            (conflict.clone(), conflict),
            (
                Error::NotFound { what: "application" },
                Error::Unavailable { reason: "the application of source `shop` does not exist any more".into() },
            ),
        ] {
            *intake.refusal.lock().unwrap() = Some(refusal);
            assert_eq!(inbound.receive(received("e1", "one")).await, Err(answer));
        }
    }
}
