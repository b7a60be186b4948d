//! What the demo counts: every acceptance and every settlement, as they become durable. Draws nothing.

use crate::observe::Observer;
use hookfast_core::delivery::{Cause, DeliveryKey, DeliveryState};
use hookfast_core::ports::{Accepted, Outcome, Settlement, Submission};
use hookfast_core::{Clock, EndpointId, EventId, UnixMs};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rates and latencies are of the last so many milliseconds.
pub(super) const WINDOW_MS: u64 = 5_000;
/// Latencies kept per endpoint.
const LATENCIES_MAX: usize = 10_000;
/// Deliveries waiting for a retry that are told apart.
const RETRYING_MAX: usize = 200_000;
/// Dead letters that are told apart, so that a replay takes them off the count.
const DEAD_MAX: usize = 500_000;
/// Lines kept about what happened.
const LINES_MAX: usize = 64;
/// One kind of news from one endpoint gets a line at most so often.
const LINE_GAP_MS: u64 = 900;
/// Events whose types are remembered for the lines.
const TYPES_MAX: usize = 4_096;

/// A count with its recent rate.
#[derive(Debug, Default)]
struct Counter {
    total: u64,
    /// Counts by buckets of 500 ms: start and count.
    recent: VecDeque<(i64, u64)>,
}

impl Counter {
    const BUCKET_MS: i64 = 500;

    fn add(&mut self, now: UnixMs) {
        self.total += 1;
        let bucket = now.0 - now.0.rem_euclid(Self::BUCKET_MS);
        match self.recent.back_mut() {
            Some((start, count)) if *start == bucket => *count += 1,
            _ => self.recent.push_back((bucket, 1)),
        }
        let oldest = now.minus_ms(2 * WINDOW_MS).0;
        while self.recent.front().is_some_and(|(start, _)| *start < oldest) {
            self.recent.pop_front();
        }
    }

    /// Per second, over the window or the time since `start`; the bucket being filled does not count.
    fn rate(&self, now: UnixMs, start: UnixMs) -> f64 {
        let end = now.0 - now.0.rem_euclid(Self::BUCKET_MS);
        let window = i64::try_from(WINDOW_MS).unwrap_or(i64::MAX);
        let from = (end - window).max(start.0);
        let span = end - from;
        if span < Self::BUCKET_MS {
            return 0.0;
        }
        let first = from - from.rem_euclid(Self::BUCKET_MS);
        let count: u64 = self.recent.iter().filter(|(at, _)| (first..end).contains(at)).map(|(_, count)| count).sum();
        count as f64 * 1000.0 / span as f64
    }
}

/// Latencies of the window.
#[derive(Debug, Default)]
struct Latencies {
    recent: VecDeque<(UnixMs, u32)>,
}

impl Latencies {
    fn add(&mut self, now: UnixMs, ms: u32) {
        if self.recent.len() == LATENCIES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((now, ms));
    }

    fn within(&self, now: UnixMs) -> impl Iterator<Item = u32> {
        let oldest = now.minus_ms(WINDOW_MS);
        self.recent.iter().filter(move |(at, _)| *at >= oldest).map(|(_, ms)| *ms)
    }
}

/// The median and the 99th percentile, in milliseconds.
pub(super) type Quantiles = Option<(u32, u32)>;

fn quantiles(values: impl Iterator<Item = u32>) -> Quantiles {
    let mut sorted: Vec<u32> = values.collect();
    sorted.sort_unstable();
    let at = |share: f64| sorted.get((sorted.len().saturating_sub(1) as f64 * share).round() as usize).copied();
    Some((at(0.5)?, at(0.99)?))
}

#[derive(Debug, Default)]
struct PerEndpoint {
    delivered: u64,
    dead: u64,
    retrying: u64,
    tries: Counter,
    failed: Counter,
    latencies: Latencies,
}

/// What kind of news a line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum News {
    /// The first try did it.
    Delivered,
    /// A later try did it.
    Recovered,
    /// A try failed, another will follow.
    Retry,
    /// The last try failed.
    Dead,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// When.
    pub(super) at: UnixMs,
    /// What.
    pub(super) news: News,
    /// Which event.
    pub(super) event: EventId,
    /// Its type, if it is still remembered.
    pub(super) event_type: Option<Arc<str>>,
    /// Index of the endpoint.
    pub(super) endpoint: usize,
    /// How the try went.
    pub(super) detail: String,
}

#[derive(Debug)]
struct Inner {
    start: UnixMs,
    endpoints: Vec<PerEndpoint>,
    index: HashMap<EndpointId, usize>,
    accepted: Counter,
    delivered: Counter,
    dead: Counter,
    retrying: HashSet<DeliveryKey>,
    dead_letters: HashSet<(EventId, EndpointId)>,
    types: VecDeque<(EventId, Arc<str>)>,
    lines: VecDeque<Line>,
    last_line: HashMap<(usize, News), UnixMs>,
}

/// Counts what the observer is told.
pub(super) struct Stats {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

/// One endpoint's row.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) delivered: u64,
    pub(super) retrying: u64,
    pub(super) dead: u64,
    pub(super) tries_per_s: f64,
    /// Of the tries in the window, this share failed.
    pub(super) failed_share: f64,
    pub(super) latency: Quantiles,
}

/// Everything, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) running_ms: u64,
    pub(super) accepted: (u64, f64),
    pub(super) delivered: (u64, f64),
    pub(super) dead: (u64, f64),
    pub(super) retrying: usize,
    pub(super) latency: Quantiles,
    pub(super) rows: Vec<Row>,
    /// Newest last.
    pub(super) lines: Vec<Line>,
}

impl Stats {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            start: clock.now(),
            endpoints: Vec::new(),
            index: HashMap::new(),
            accepted: Counter::default(),
            delivered: Counter::default(),
            dead: Counter::default(),
            retrying: HashSet::new(),
            dead_letters: HashSet::new(),
            types: VecDeque::new(),
            lines: VecDeque::new(),
            last_line: HashMap::new(),
        };
        Self { clock, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this endpoint is counted, as the next row.
    pub(super) fn watch(&self, endpoint: EndpointId) {
        let mut inner = self.lock();
        let at = inner.endpoints.len();
        inner.endpoints.push(PerEndpoint::default());
        inner.index.insert(endpoint, at);
    }

    /// The clock starts to run for rates.
    pub(super) fn begin(&self) {
        self.lock().start = self.clock.now();
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let now = self.clock.now();
        let inner = self.lock();
        let counted = |counter: &Counter| (counter.total, counter.rate(now, inner.start));
        let row = |one: &PerEndpoint| {
            let (tries, failed) = (one.tries.rate(now, inner.start), one.failed.rate(now, inner.start));
            Row {
                delivered: one.delivered,
                retrying: one.retrying,
                dead: one.dead,
                tries_per_s: tries,
                failed_share: if tries > 0.0 { failed / tries } else { 0.0 },
                latency: quantiles(one.latencies.within(now)),
            }
        };
        Snapshot {
            running_ms: now.since(inner.start),
            accepted: counted(&inner.accepted),
            delivered: counted(&inner.delivered),
            dead: (inner.endpoints.iter().map(|one| one.dead).sum(), inner.dead.rate(now, inner.start)),
            retrying: inner.retrying.len(),
            latency: quantiles(inner.endpoints.iter().flat_map(|one| one.latencies.within(now))),
            rows: inner.endpoints.iter().map(row).collect(),
            lines: inner.lines.iter().cloned().collect(),
        }
    }
}

impl Observer for Stats {
    fn accepted(&self, event: &Submission, accepted: Accepted) {
        if accepted.repeat {
            return;
        }
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.accepted.add(now);
        if inner.types.len() == TYPES_MAX {
            inner.types.pop_front();
        }
        inner.types.push_back((accepted.id, event.event_type.as_str().into()));
    }

    fn settled(&self, settlements: &[Settlement]) {
        let now = self.clock.now();
        let mut inner = self.lock();
        for settlement in settlements {
            inner.settled(settlement, now);
        }
    }
}

impl Inner {
    fn settled(&mut self, settlement: &Settlement, now: UnixMs) {
        let key = settlement.key;
        let Some(&at) = self.index.get(&key.endpoint) else { return };
        let one = &mut self.endpoints[at];
        if let Some(attempt) = &settlement.attempt {
            one.tries.add(now);
            if attempt.cause != Cause::Ok {
                one.failed.add(now);
            }
        }
        if key.run > 0 && self.dead_letters.remove(&(key.event, key.endpoint)) {
            // It was replayed: what counts is how the new run ends.
            one.dead -= 1;
        }
        let news = match settlement.outcome {
            Outcome::Wait { .. } => return,
            Outcome::Retry { .. } => {
                if self.retrying.len() < RETRYING_MAX && self.retrying.insert(key) {
                    one.retrying += 1;
                }
                News::Retry
            }
            Outcome::End(state, _) => {
                if self.retrying.remove(&key) {
                    one.retrying -= 1;
                }
                match state {
                    DeliveryState::Delivered => {
                        one.delivered += 1;
                        self.delivered.add(now);
                        if settlement.tries <= 1 && key.run == 0 {
                            one.latencies.add(now, u32::try_from(latency_ms(settlement, now)).unwrap_or(u32::MAX));
                            News::Delivered
                        } else {
                            News::Recovered
                        }
                    }
                    DeliveryState::Dead => {
                        one.dead += 1;
                        self.dead.add(now);
                        if self.dead_letters.len() < DEAD_MAX {
                            self.dead_letters.insert((key.event, key.endpoint));
                        }
                        News::Dead
                    }
                    _ => return,
                }
            }
        };
        self.line(settlement, news, at, now);
    }

    fn line(&mut self, settlement: &Settlement, news: News, endpoint: usize, now: UnixMs) {
        let last = self.last_line.get(&(endpoint, news));
        if last.is_some_and(|last| now.since(*last) < LINE_GAP_MS) {
            return;
        }
        self.last_line.insert((endpoint, news), now);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        let event = settlement.key.event;
        let event_type = self.types.iter().rev().find(|(id, _)| *id == event).map(|(_, kind)| Arc::clone(kind));
        self.lines.push_back(Line { at: now, news, event, event_type, endpoint, detail: detail(settlement, now) });
    }
}

/// From the acceptance of the event to the end of the try; becoming durable afterwards does not count.
fn latency_ms(settlement: &Settlement, now: UnixMs) -> u64 {
    let end = settlement.attempt.as_ref().map_or(now, |attempt| attempt.id.time());
    end.since(settlement.key.event.time())
}

/// How the try went, in a few words.
fn detail(settlement: &Settlement, now: UnixMs) -> String {
    let tries = settlement.tries;
    let how = match &settlement.attempt {
        Some(attempt) if attempt.status != 0 => attempt.status.to_string(),
        Some(attempt) => words(attempt.cause).into(),
        None => "no try".into(),
    };
    match settlement.outcome {
        Outcome::Retry { due } => format!("{how}, try {tries}, next in {}", seconds(due.since(now))),
        Outcome::End(DeliveryState::Delivered, _) if tries > 1 => format!("{how} at try {tries}"),
        Outcome::End(DeliveryState::Delivered, _) => {
            format!("{how} after {} ms", latency_ms(settlement, now))
        }
        Outcome::End(..) => format!("{how}, given up after {tries} tries"),
        Outcome::Wait { .. } => how,
    }
}

/// Why there was no status, in words.
fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Dns => "no address",
        Cause::Connect => "no connection",
        Cause::Reset => "connection broke",
        Cause::BlockedAddress => "blocked address",
        other => other.as_str(),
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_core::AttemptId;
    use hookfast_core::model::{Attempt, Trigger};
    use hookfast_core::ports::Hold;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> UnixMs {
            UnixMs(self.0.load(Ordering::Relaxed))
        }
        fn wall(&self) -> UnixMs {
            self.now()
        }
    }

    const START: i64 = 1_700_000_000_000;

    fn settlement(event: EventId, tries: u32, cause: Cause, outcome: Outcome) -> Settlement {
        let endpoint = EndpointId::from_u128(7);
        let attempt = Attempt {
            id: AttemptId::lowest_at(UnixMs(START + 7)),
            event,
            endpoint,
            run: 0,
            number: tries,
            url: String::new(),
            cause,
            status: if cause == Cause::Ok { 200 } else { 503 },
            duration_ms: 1,
            excerpt: String::new(),
            trigger: Trigger::Scheduled,
        };
        Settlement {
            key: DeliveryKey { event, endpoint, run: 0 },
            hold: Hold::Memory { handoff: 1 },
            attempt: Some(attempt),
            tries,
            crashes: 0,
            outcome,
            body_bytes: 0,
            retention_days: 30,
        }
    }

    #[test]
    fn counts_follow_each_delivery_from_retry_to_end() {
        let clock = Arc::new(Hand(AtomicI64::new(START)));
        let stats = Stats::new(Arc::clone(&clock) as Arc<dyn Clock>);
        stats.watch(EndpointId::from_u128(7));
        let event = |n: u128| EventId::from_u128(EventId::lowest_at(UnixMs(START)).as_u128() + n);
        let retry = Outcome::Retry { due: UnixMs(START + 500) };
        let end = |state, cause| Outcome::End(state, cause);
        stats.settled(&[settlement(event(1), 1, Cause::Status, retry), settlement(event(2), 1, Cause::Status, retry)]);
        let now = stats.snapshot();
        assert_eq!((now.retrying, now.rows[0].retrying), (2, 2));
        clock.0.store(START + 1200, Ordering::Relaxed);
        stats.settled(&[
            settlement(event(1), 2, Cause::Ok, end(DeliveryState::Delivered, Cause::Ok)),
            settlement(event(2), 2, Cause::Status, end(DeliveryState::Dead, Cause::Status)),
            settlement(event(3), 1, Cause::Ok, end(DeliveryState::Delivered, Cause::Ok)),
        ]);
        let now = stats.snapshot();
        assert_eq!((now.retrying, now.delivered.0, now.dead.0), (0, 2, 1));
        assert_eq!(now.latency, Some((7, 7)), "only first tries count, up to the end of the try");
        let told: Vec<(News, String)> = now.lines.iter().map(|line| (line.news, line.detail.clone())).collect();
        assert_eq!(
            told,
            [
                (News::Retry, "503, try 1, next in 0.5 s".to_owned()),
                (News::Recovered, "200 at try 2".to_owned()),
                (News::Dead, "503, given up after 2 tries".to_owned()),
                (News::Delivered, "200 after 7 ms".to_owned()),
            ]
        );
    }

    #[test]
    fn a_replayed_dead_letter_is_counted_as_its_new_run_ends() {
        let clock = Arc::new(Hand(AtomicI64::new(START)));
        let stats = Stats::new(clock);
        stats.watch(EndpointId::from_u128(7));
        let event = EventId::lowest_at(UnixMs(START));
        let dead = settlement(event, 2, Cause::Connect, Outcome::End(DeliveryState::Dead, Cause::Connect));
        stats.settled(std::slice::from_ref(&dead));
        assert_eq!(stats.snapshot().dead.0, 1);
        let mut replayed = settlement(event, 1, Cause::Ok, Outcome::End(DeliveryState::Delivered, Cause::Ok));
        replayed.key.run = 1;
        stats.settled(&[replayed]);
        let now = stats.snapshot();
        assert_eq!((now.dead.0, now.rows[0].dead, now.delivered.0), (0, 0, 1));
    }

    #[test]
    fn rates_are_of_the_window() {
        let mut counter = Counter::default();
        for tick in 0..200 {
            counter.add(UnixMs(START + tick * 50));
        }
        let rate = counter.rate(UnixMs(START + 10_000), UnixMs(START));
        assert!((19.9..=20.1).contains(&rate), "{rate}");
        assert!(counter.rate(UnixMs(START + 60_000), UnixMs(START)).abs() < 0.01);
    }
}
