//! The supervisor against a list kept in memory and an intake that takes everything.

use super::*;
use bytes::Bytes;
use hookfast_core::invoice::InvoiceEvent;
use hookfast_core::model::Route;
use hookfast_core::ports::{Created, NewEmitter};
use hookfast_core::{AppId, EventId};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

const APP: AppId = AppId::from_u128(1);
const ENDPOINT: EndpointId = EndpointId::from_u128(2);
const STARTED_AT: UnixMs = UnixMs(1_700_000_000_000);

/// Its uid and its body.
type Event = (String, Bytes);

/// What stands around a supervisor, and all that it did.
struct Ground {
    clock: Arc<TestClock>,
    rows: Mutex<Vec<RunningEmitter>>,
    is_away: AtomicBool,
    owned: AtomicBool,
    acts: AtomicBool,
    refuses: AtomicBool,
    events: Mutex<Vec<Event>>,
    changed: Arc<Notify>,
}

/// Goes with the tests' clock.
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> UnixMs {
        STARTED_AT.plus_ms(u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
    fn wall(&self) -> UnixMs {
        self.now()
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Emitters for Ground {
    fn start_emitter(&self, new: NewEmitter) -> BoxFuture<'_, Result<Created<RunningEmitter>>> {
        let value = RunningEmitter {
            spec: new,
            progress: EmitterProgress::default(),
            started_at: self.clock.now(),
            is_paused: false,
        };
        self.rows().push(value.clone());
        ready(Ok(Created { value, is_new: true }))
    }

    fn stop_emitter(&self, _: AppId, endpoint: EndpointId) -> BoxFuture<'_, Result<Option<RunningEmitter>>> {
        self.rows().retain(|one| one.spec.endpoint != endpoint);
        ready(Ok(None))
    }

    fn emitters(&self) -> BoxFuture<'_, Result<Vec<RunningEmitter>>> {
        ready(Ok(self.rows().clone()))
    }

    fn emitted(&self, progress: Vec<(EndpointId, UnixMs, EmitterProgress)>) -> BoxFuture<'_, Result<()>> {
        if self.is_away.load(Ordering::Relaxed) {
            return ready(Err(Error::Unavailable { reason: "away".to_owned() }));
        }
        let mut rows = self.rows();
        for (endpoint, started_at, progress) in progress {
            for one in rows.iter_mut().filter(|one| (one.spec.endpoint, one.started_at) == (endpoint, started_at)) {
                assert!(progress.made >= one.progress.made && progress.skipped_ms >= one.progress.skipped_ms);
                one.progress = progress;
            }
        }
        rows.retain(|one| one.spec.count.is_none_or(|count| one.progress.made < count));
        ready(Ok(()))
    }
}

impl Exclusive for Ground {
    fn hold<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool>> {
        ready(Ok(self.owned.load(Ordering::Relaxed)))
    }

    fn release<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        self.owned.store(false, Ordering::Relaxed);
        ready(Ok(()))
    }

    fn may_act(&self) -> bool {
        self.acts.load(Ordering::Relaxed)
    }
}

impl Intake for Ground {
    fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>> {
        if self.refuses.load(Ordering::Relaxed) {
            return ready(Err(Error::NotFound { what: "endpoint" }));
        }
        assert_eq!((event.app, event.route), (APP, Route::Endpoint(ENDPOINT)));
        self.events.lock().unwrap().push((event.uid.unwrap(), event.body));
        ready(Ok(Accepted { id: EventId::from_u128(1), repeat: false }))
    }
}

impl Ground {
    /// A node that may run one emitter of 20 events a second.
    async fn with(count: Option<u64>) -> Arc<Self> {
        let ground = Arc::new(Self {
            clock: Arc::new(TestClock(Instant::now())),
            rows: Mutex::default(),
            is_away: AtomicBool::new(false),
            owned: AtomicBool::new(true),
            acts: AtomicBool::new(true),
            refuses: AtomicBool::new(false),
            events: Mutex::default(),
            changed: Arc::default(),
        });
        let spec = NewEmitter { app: APP, endpoint: ENDPOINT, interval_ns: 50_000_000, count, event_types: Vec::new() };
        ground.start_emitter(spec).await.unwrap();
        ground
    }

    fn rows(&self) -> MutexGuard<'_, Vec<RunningEmitter>> {
        self.rows.lock().unwrap()
    }

    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    fn uids(&self) -> Vec<String> {
        self.events().into_iter().map(|(uid, _)| uid).collect()
    }

    fn made(&self) -> usize {
        usize::try_from(self.rows()[0].progress.made).unwrap()
    }

    fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    fn run(self: &Arc<Self>) -> (JoinHandle<()>, CancellationToken) {
        let (clock, changed) = (Arc::clone(&self.clock) as _, Arc::clone(&self.changed));
        let ports = (Arc::clone(self) as _, Arc::clone(self) as _, Arc::clone(self) as _);
        let supervisor = EmitterSupervisor::new(ports.0, ports.1, ports.2, clock, changed);
        let stop = CancellationToken::new();
        (tokio::spawn(supervisor.run(stop.clone())), stop)
    }

    /// Waits, on the tests' clock, until it is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain until {what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_runs_to_its_count_and_is_gone() {
    let ground = Ground::with(Some(30)).await;
    let (running, stop) = ground.run();
    ground.until("some are told", |ground| ground.rows().first().is_some_and(|one| one.progress.made > 10)).await;
    ground.until("it is gone", |ground| ground.rows().is_empty()).await;
    let uids = ground.uids();
    assert_eq!((uids.len(), uids.iter().collect::<HashSet<_>>().len()), (30, 30));
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn at_a_stop_all_is_told_and_the_next_node_goes_on_behind_it() {
    let ground = Ground::with(None).await;
    let (running, stop) = ground.run();
    ground.until("some are made", |ground| ground.uids().len() > 25).await;
    stop.cancel();
    running.await.unwrap();
    assert!(!ground.owned.load(Ordering::Relaxed), "it is released");
    let made = ground.uids();
    assert_eq!((ground.made(), ground.rows()[0].progress.unsure), (made.len(), 0));
    ground.owned.store(true, Ordering::Relaxed);
    let _running = ground.run();
    ground.until("more are made", |ground| ground.uids().len() > made.len() + 25).await;
    let all = ground.uids();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "none is made twice");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_what_was_not_told_is_made_again_to_the_byte_and_the_pause_is_skipped() {
    let ground = Ground::with(None).await;
    let (running, _stop) = ground.run();
    ground.until("some are told", |ground| ground.made() > 0).await;
    ground.set_away(true);
    let told = ground.made();
    tokio::time::sleep(Duration::from_secs(60)).await;
    running.abort();
    assert!(running.await.is_err());
    let before = ground.events();
    let untold = before.len() - told;
    assert!((20..=40).contains(&untold), "{untold} were made of the two seconds that may not be told");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    ground.events.lock().unwrap().clear();
    ground.set_away(false);
    let _running = ground.run();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = ground.events();
    assert_eq!(before[told..], after[..untold]);
    assert!((200..=300).contains(&after.len()), "{} were made in ten seconds: an hour is not made up for", after.len());
    let all: HashSet<Event> = before.into_iter().chain(after.clone()).collect();
    let uids: HashSet<&String> = all.iter().map(|(uid, _)| uid).collect();
    assert_eq!(uids.len(), all.len(), "no event has two bodies");
    let time = |event: &Event| InvoiceEvent::parse(&event.1).unwrap().timestamp_us;
    let (last, now) = (time(after.last().unwrap()), ground.clock.now().0 * 1000);
    assert!((now - 1_000_000..=now).contains(&last), "it tells the time again");
    assert!(after.windows(2).all(|two| time(&two[0]) < time(&two[1])));
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_at_a_stop_may_be_there_all_the_same() {
    let ground = Ground::with(None).await;
    let (running, stop) = ground.run();
    ground.until("some are made", |ground| ground.uids().len() > 5).await;
    ground.acts.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    running.await.unwrap();
    let progress = ground.rows()[0].progress;
    assert_eq!(progress.made, ground.uids().len() as u64);
    assert!((1..=8).contains(&progress.unsure), "{progress:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_by_a_node_that_does_not_hold_the_work_or_may_not_act() {
    let ground = Ground::with(None).await;
    ground.owned.store(false, Ordering::Relaxed);
    let (_running, _stop) = ground.run();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ground.uids().len(), 0);
    ground.acts.store(false, Ordering::Relaxed);
    ground.owned.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ground.uids().len(), 0);
    ground.acts.store(true, Ordering::Relaxed);
    ground.until("it is made up for", |ground| ground.uids().len() > 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_one_makes_nothing_and_goes_on_behind_itself() {
    let ground = Ground::with(Some(40)).await;
    let (_running, _stop) = ground.run();
    ground.until("some are made", |ground| ground.uids().len() > 5).await;
    ground.rows()[0].is_paused = true;
    ground.changed.notify_one();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let made = ground.uids().len();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((ground.uids().len(), ground.made()), (made, made));
    ground.rows()[0].is_paused = false;
    ground.until("it is gone", |ground| ground.rows().is_empty()).await;
    let uids = ground.uids();
    assert_eq!((uids.len(), uids.iter().collect::<HashSet<_>>().len()), (40, 40));
}

#[tokio::test(start_paused = true)]
async fn a_stop_told_through_this_node_is_heard_at_once() {
    let ground = Ground::with(None).await;
    let (_running, _stop) = ground.run();
    ground.until("some are made", |ground| ground.uids().len() > 5).await;
    ground.stop_emitter(APP, ENDPOINT).await.unwrap();
    ground.changed.notify_one();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let made = ground.uids().len();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ground.uids().len(), made);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_go_on_is_tried_again_later_while_it_is_listed() {
    let ground = Ground::with(Some(3)).await;
    ground.refuses.store(true, Ordering::Relaxed);
    let (_running, _stop) = ground.run();
    tokio::time::sleep(Duration::from_secs(10)).await;
    ground.refuses.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ground.uids().len(), 0, "not every half second");
    ground.until("it is gone", |ground| ground.rows().is_empty()).await;
    assert_eq!(ground.uids().len(), 3);
}
