//! What the log counts. Must not know who reads it.

use hookfast_core::ErrorKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Failed {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    topic: String,
    partition: i32,
}

/// Counters of the log. Cheap to clone: clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    appended: Counter,
    failed: Family<Failed, Counter>,
    append_seconds: Histogram,
    available: Gauge,
    restarts: Counter,
    lag: Family<Of, Gauge>,
    out_of_range: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            appended: Counter::default(),
            failed: Family::default(),
            // 0.25 ms to 8 s: from a broker that answers from memory to the time-out.
            append_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            available: Gauge::default(),
            restarts: Counter::default(),
            lag: Family::default(),
            out_of_range: Counter::default(),
        }
    }
}

impl Metrics {
    /// Adds them to a registry; names carry no prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("log_appended", "Records that the log acknowledged", self.appended.clone());
        registry.register("log_append_failed", "Appends that failed, by kind of error", self.failed.clone());
        registry.register("log_append_seconds", "From append to acknowledgement", self.append_seconds.clone());
        registry.register("log_available", "1 while a broker answers", self.available.clone());
        registry.register(
            "log_producer_restarts",
            "Producers replaced after an error that they cannot go on from: an alarm",
            self.restarts.clone(),
        );
        registry.register("log_reader_lag", "Records behind the end, of partitions read here", self.lag.clone());
        registry.register(
            "log_reader_out_of_range",
            "Partitions that stopped because the log no longer has what comes next: an alarm",
            self.out_of_range.clone(),
        );
    }

    pub(super) fn appended(&self, seconds: f64) {
        self.appended.inc();
        self.append_seconds.observe(seconds);
    }

    pub(super) fn failed(&self, kind: ErrorKind) {
        self.failed.get_or_create(&Failed { kind: kind.as_str() }).inc();
    }

    pub(super) fn available(&self, is: bool) {
        self.available.set(i64::from(is));
    }

    pub(super) fn restarted(&self) {
        self.restarts.inc();
    }

    /// How far the reader of a partition is behind; `None` when it is not read here any more.
    pub(super) fn lag(&self, topic: &str, partition: i32, records: Option<i64>) {
        let of = Of { topic: topic.to_owned(), partition };
        match records {
            Some(records) => {
                self.lag.get_or_create(&of).set(records);
            }
            None => {
                self.lag.remove(&of);
            }
        }
    }

    pub(super) fn out_of_range(&self) {
        self.out_of_range.inc();
    }
}
