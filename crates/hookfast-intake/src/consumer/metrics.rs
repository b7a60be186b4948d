//! What consumers count. Must not know who reads it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Topic {
    topic: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Caused {
    topic: String,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Partition {
    topic: String,
    partition: i32,
}

/// Counters of consumers; one set for all topics of a process. Cheap to clone: clones share their values.
#[derive(Clone, Debug)]
pub struct ConsumerMetrics {
    stored: Family<Topic, Counter>,
    repeated: Family<Topic, Counter>,
    retried: Family<Caused, Counter>,
    dead: Family<Caused, Counter>,
    retry_counts_wrong: Family<Topic, Counter>,
    passed_over: Family<Topic, Counter>,
    store_waits: Family<Topic, Counter>,
    log_waits: Family<Topic, Counter>,
    admission_waits: Family<Topic, Counter>,
    seconds: Family<Topic, Histogram>,
    partitions: Family<Topic, Gauge>,
    working: Family<Topic, Gauge>,
    out_of_range: Family<Partition, Gauge>,
}

impl Default for ConsumerMetrics {
    fn default() -> Self {
        Self {
            stored: Family::default(),
            repeated: Family::default(),
            retried: Family::default(),
            dead: Family::default(),
            retry_counts_wrong: Family::default(),
            passed_over: Family::default(),
            store_waits: Family::default(),
            log_waits: Family::default(),
            admission_waits: Family::default(),
            // 1 ms to 33 s: a commit in memory up to an outage.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 16))),
            partitions: Family::default(),
            working: Family::default(),
            out_of_range: Family::default(),
        }
    }
}

impl ConsumerMetrics {
    /// Adds them to a registry; names carry no prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("consumer_stored", "Events read from the log and stored", self.stored.clone());
        registry.register("consumer_repeated", "Events read that were stored before", self.repeated.clone());
        registry.register("consumer_retried", "Records appended to their topic again, by cause", self.retried.clone());
        registry.register("consumer_dead", "Records appended to the dead-letter topic, by cause", self.dead.clone());
        let wrong = self.retry_counts_wrong.clone();
        registry.register("consumer_retry_counts_wrong", "Headers retry_count that are no number", wrong);
        let passed = self.passed_over.clone();
        registry.register("consumer_passed_over", "Records that were gone, or passed over, out of range", passed);
        registry.register("consumer_store_waits", "Waits because the store was away", self.store_waits.clone());
        registry.register("consumer_log_waits", "Waits because the log was away", self.log_waits.clone());
        let waits = self.admission_waits.clone();
        registry.register("consumer_admission_waits", "Waits because deliveries lagged behind", waits);
        let seconds = self.seconds.clone();
        registry.register("consumer_batch_seconds", "From a batch read to its position kept, waits included", seconds);
        registry.register("consumer_partitions", "Partitions that are read by this process", self.partitions.clone());
        registry.register("consumer_working", "1 while the consumer is a member of its group", self.working.clone());
        let gone = self.out_of_range.clone();
        registry.register("consumer_out_of_range", "1 while a partition waits for a decision: see the log", gone);
    }

    pub(super) fn answered(&self, topic: &str, stored: u64, repeated: u64) {
        self.stored.get_or_create(&of(topic)).inc_by(stored);
        self.repeated.get_or_create(&of(topic)).inc_by(repeated);
    }

    /// `is_number`: its header `retry_count` was one, or was not there.
    pub(super) fn retried(&self, topic: &str, cause: &'static str, is_number: bool) {
        self.retried.get_or_create(&Caused { topic: topic.to_owned(), cause }).inc();
        self.retry_count(topic, is_number);
    }

    /// As [`Self::retried`].
    pub(super) fn dead(&self, topic: &str, cause: &'static str, is_number: bool) {
        self.dead.get_or_create(&Caused { topic: topic.to_owned(), cause }).inc();
        self.retry_count(topic, is_number);
    }

    fn retry_count(&self, topic: &str, is_number: bool) {
        if !is_number {
            self.retry_counts_wrong.get_or_create(&of(topic)).inc();
        }
    }

    pub(super) fn passed_over(&self, topic: &str, records: u64) {
        self.passed_over.get_or_create(&of(topic)).inc_by(records);
    }

    pub(super) fn store_wait(&self, topic: &str) {
        self.store_waits.get_or_create(&of(topic)).inc();
    }

    pub(super) fn log_wait(&self, topic: &str) {
        self.log_waits.get_or_create(&of(topic)).inc();
    }

    pub(super) fn admission_wait(&self, topic: &str) {
        self.admission_waits.get_or_create(&of(topic)).inc();
    }

    pub(super) fn batch(&self, topic: &str, took: Duration) {
        self.seconds.get_or_create(&of(topic)).observe(took.as_secs_f64());
    }

    pub(super) fn partitions(&self, topic: &str, count: usize) {
        self.partitions.get_or_create(&of(topic)).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn working(&self, topic: &str, is_working: bool) {
        self.working.get_or_create(&of(topic)).set(is_working.into());
        if !is_working {
            self.partitions(topic, 0);
        }
    }

    pub(super) fn out_of_range(&self, topic: &str, partition: i32, is_so: bool) {
        let partition = Partition { topic: topic.to_owned(), partition };
        if is_so {
            self.out_of_range.get_or_create(&partition).set(1);
        } else {
            self.out_of_range.remove(&partition);
        }
    }
}

fn of(topic: &str) -> Topic {
    Topic { topic: topic.to_owned() }
}
