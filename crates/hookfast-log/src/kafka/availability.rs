//! Whether brokers answer: learned from what is acknowledged, from what the client complains of, and by asking. Must not
//! know what is appended.

use super::append::Appender;
use super::metrics::Metrics;
use hookfast_core::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Brokers that were silent for so long are asked whether they are there.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// While no topic is known the question is about all of them, so it is asked more seldom.
const ASK_ALL_AFTER: Duration = Duration::from_secs(10);
/// Brokers that answered nothing for so long are taken for away.
const SILENT_MAX: Duration = Duration::from_millis(2_500);
/// How long one question waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Between two questions while nobody answers.
const PAUSE: Duration = Duration::from_millis(100);

/// What is known of the brokers.
pub(super) struct Availability {
    brokers: String,
    metrics: Metrics,
    since: Instant,
    available: AtomicBool,
    /// Milliseconds from `since` to the last answer.
    answered_at: AtomicU64,
    /// What is asked about.
    topic: OnceLock<Arc<str>>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// The client raised an alarm that was not looked into yet.
    alarmed: bool,
    /// The last complaint.
    complaint: String,
}

impl Availability {
    pub(super) fn new(brokers: String, metrics: Metrics) -> Self {
        metrics.available(false);
        Self {
            brokers,
            metrics,
            since: Instant::now(),
            available: AtomicBool::new(false),
            answered_at: AtomicU64::new(0),
            topic: OnceLock::new(),
            state: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    pub(super) fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    /// Why an append is refused.
    pub(super) fn refusal(&self) -> Error {
        let complaint = self.lock().complaint.clone();
        let because = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
        Error::Unavailable { reason: format!("no Kafka broker answers ({}){because}", self.brokers) }
    }

    /// A broker answered.
    pub(super) fn answered(&self) {
        self.answered_at.store(self.now_ms(), Ordering::Relaxed);
        if !self.is_available() && !self.available.swap(true, Ordering::Relaxed) {
            self.metrics.available(true);
            self.lock().complaint.clear();
            tracing::info!(brokers = %self.brokers, "Kafka answers");
        }
    }

    /// The client complains.
    pub(super) fn complaint(&self, reason: &str) {
        self.lock().complaint = reason.to_owned();
    }

    /// A question had no answer. What the client complains of by itself says more.
    fn no_answer(&self, reason: &str) {
        let mut state = self.lock();
        if state.complaint.is_empty() {
            state.complaint = reason.to_owned();
        }
    }

    /// The client says that no broker is connected, or that it cannot go on.
    pub(super) fn alarm(&self) {
        self.lock().alarmed = true;
        self.wake.notify_all();
    }

    /// No broker is there: appending is refused from now on.
    pub(super) fn away(&self) {
        if self.available.swap(false, Ordering::Relaxed) {
            self.metrics.available(false);
            let complaint = self.lock().complaint.clone();
            tracing::warn!(brokers = %self.brokers, complaint, "Kafka does not answer: appending is refused");
        }
    }

    /// From now on the brokers are asked about this topic, which is cheaper than about all.
    pub(super) fn asks_of(&self, topic: &str) {
        self.topic.get_or_init(|| topic.into());
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn silence(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.answered_at.load(Ordering::Relaxed)))
    }

    /// Waits until there is something to ask, and says about what; `None` at the end.
    fn next_question(&self) -> Option<Option<Arc<str>>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let patience = if self.topic.get().is_some() { ASK_AFTER } else { ASK_ALL_AFTER };
            let rest = if self.is_available() { patience.saturating_sub(self.silence()) } else { Duration::ZERO };
            if std::mem::take(&mut state.alarmed) || rest.is_zero() {
                return Some(self.topic.get().cloned());
            }
            state = self.wake.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn pause(&self) {
        let state = self.lock();
        if !state.stopped {
            drop(self.wake.wait_timeout(state, PAUSE));
        }
    }
}

/// Asks the brokers, on a thread of its own, until `stop` is called or the appender is gone. Replaces a producer that
/// cannot go on.
pub(super) fn watch(availability: Arc<Availability>, appender: Weak<Appender>) -> Result<()> {
    let watch = move || {
        while let Some(topic) = availability.next_question() {
            let Some(appender) = appender.upgrade() else { return };
            appender.replace_if_broken();
            match appender.ask(topic.as_deref(), ANSWER_WITHIN) {
                Ok(()) => availability.answered(),
                Err(error) => {
                    availability.no_answer(&error.to_string());
                    if availability.silence() >= SILENT_MAX {
                        availability.away();
                    }
                    // Appender gone: the thread must not hold the last one over a pause.
                    drop(appender);
                    availability.pause();
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("kafka-watch".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(|error| Error::Terminal { reason: format!("no thread can be started: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_away_until_somebody_answers_and_says_why() {
        let availability = Availability::new("b:1".to_owned(), Metrics::default());
        assert!(!availability.is_available());
        availability.complaint("connection refused");
        availability.no_answer("timed out");
        let reason = || availability.refusal().to_string();
        assert_eq!(reason(), "no Kafka broker answers (b:1): connection refused");
        availability.answered();
        assert!(availability.is_available());
        availability.away();
        assert!(!availability.is_available());
        assert_eq!(reason(), "no Kafka broker answers (b:1)", "what was is no reason any more");
        availability.no_answer("timed out");
        assert_eq!(reason(), "no Kafka broker answers (b:1): timed out");
    }

    #[test]
    fn while_nobody_answers_it_is_asked_at_once_and_at_the_end_no_more() {
        let availability = Availability::new("b:1".to_owned(), Metrics::default());
        assert_eq!(availability.next_question(), Some(None));
        availability.asks_of("first");
        availability.asks_of("second");
        assert_eq!(availability.next_question(), Some(Some("first".into())));
        availability.answered();
        availability.alarm();
        assert_eq!(availability.next_question(), Some(Some("first".into())), "an alarm is looked into at once");
        availability.stop();
        assert_eq!(availability.next_question(), None);
    }
}
