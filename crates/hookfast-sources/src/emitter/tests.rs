//! The emitter against a scripted intake.

use super::*;
use hookfast_core::ports::{Accepted, BoxFuture};
use hookfast_core::{Error, EventId};
use std::collections::HashSet;
use std::sync::Mutex;
use tokio::sync::Notify;

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> UnixMs {
        UnixMs(1_700_000_000_000)
    }
    fn wall(&self) -> UnixMs {
        self.now()
    }
}

/// Answers with what the script says for the n-th call.
struct Scripted {
    calls: Mutex<Vec<Submission>>,
    script: fn(usize) -> Result<()>,
    called: Notify,
    gate: Option<tokio::sync::Semaphore>,
}

impl Scripted {
    fn new(script: fn(usize) -> Result<()>, gate: Option<usize>) -> Arc<Self> {
        let gate = gate.map(tokio::sync::Semaphore::new);
        Arc::new(Self { calls: Mutex::default(), script, called: Notify::new(), gate })
    }

    fn calls(&self) -> Vec<Submission> {
        self.calls.lock().unwrap().clone()
    }
}

impl Intake for Scripted {
    fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>> {
        Box::pin(async move {
            let at = {
                let mut calls = self.calls.lock().unwrap();
                calls.push(event);
                calls.len() - 1
            };
            self.called.notify_one();
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            (self.script)(at).map(|()| Accepted { id: EventId::from_u128(at as u128), repeat: false })
        })
    }
}

fn config(count: Option<u64>) -> EmitterConfig {
    EmitterConfig {
        app: AppId::from_u128(1),
        route: Route::Match,
        pace: Pace::PerSecond(10_000.0),
        count,
        name: b"test".to_vec(),
        in_flight_max: 4,
        invoices: 3,
        stages: Vec::new(),
        type_prefix: "invoice.".into(),
        origin: Origin::of("emitter:test"),
    }
}

fn emitter(count: Option<u64>, intake: &Arc<Scripted>) -> Emitter {
    let intake: Arc<dyn Intake> = Arc::clone(intake) as Arc<dyn Intake>;
    Emitter::new(config(count), intake, Arc::new(StillClock)).unwrap()
}

#[tokio::test]
async fn it_ends_after_its_count_with_as_many_different_events() {
    let intake = Scripted::new(|_| Ok(()), None);
    let emitter = emitter(Some(25), &intake);
    let counters = emitter.counters();
    emitter.run(CancellationToken::new()).await.unwrap();
    let calls = intake.calls();
    assert_eq!((calls.len(), counters.accepted()), (25, 25));
    assert_eq!(calls.iter().map(|event| event.uid.clone()).collect::<HashSet<_>>().len(), 25);
    assert!(calls.iter().all(|event| event.event_type.starts_with("invoice.")));
}

#[tokio::test]
async fn not_now_is_tried_again_with_the_same_event() {
    let not_now = |at| if at == 0 { Err(Error::Unavailable { reason: "away".into() }) } else { Ok(()) };
    let intake = Scripted::new(not_now, None);
    let emitter = emitter(Some(1), &intake);
    let counters = emitter.counters();
    emitter.run(CancellationToken::new()).await.unwrap();
    let calls = intake.calls();
    assert_eq!((calls.len(), counters.accepted(), counters.refused()), (2, 1, 1));
    assert_eq!((&calls[0].uid, &calls[0].body), (&calls[1].uid, &calls[1].body));
}

#[tokio::test]
async fn what_will_never_be_taken_ends_it() {
    let intake = Scripted::new(|_| Err(Error::NotFound { what: "application" }), None);
    let emitter = emitter(None, &intake);
    let counters = emitter.counters();
    let error = emitter.run(CancellationToken::new()).await.unwrap_err();
    assert_eq!(error, Error::NotFound { what: "application" });
    assert!(counters.failed() >= 1);
}

#[tokio::test]
async fn no_more_than_allowed_are_under_way_and_stopping_waits_for_them() {
    let intake = Scripted::new(|_| Ok(()), Some(0));
    let emitter = emitter(None, &intake);
    let (counters, stop) = (emitter.counters(), CancellationToken::new());
    let running = tokio::spawn(emitter.run(stop.clone()));
    while intake.calls().len() < 4 {
        intake.called.notified().await;
    }
    stop.cancel();
    // All four stand at the gate and no fifth came, though thousands were due.
    assert_eq!(intake.calls().len(), 4);
    intake.gate.as_ref().unwrap().add_permits(4);
    running.await.unwrap().unwrap();
    assert_eq!((intake.calls().len(), counters.accepted()), (4, 4));
}
