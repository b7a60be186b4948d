//! What intake counts. Must not know who reads it.

use hookfast_core::ports::Accepted;
use hookfast_core::{ErrorKind, Result};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refused {
    kind: &'static str,
}

/// Counters of accepting. Cheap to clone: clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    accepted: Counter,
    repeated: Counter,
    refused: Family<Refused, Counter>,
    seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            repeated: Counter::default(),
            refused: Family::default(),
            // 0.25 ms to 8 s: a commit in memory up to a disk in trouble.
            seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
        }
    }
}

impl Metrics {
    /// Adds them to a registry; names carry no prefix.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("events_accepted", "Events made durable", self.accepted.clone());
        registry.register(
            "events_repeated",
            "Submissions answered as repeats of an earlier one",
            self.repeated.clone(),
        );
        registry.register("events_refused", "Submissions refused, by kind of error", self.refused.clone());
        registry.register("accept_seconds", "From submission to durable, waiting included", self.seconds.clone());
    }

    /// Counts what a submission came to.
    pub(crate) fn answered(&self, answer: &Result<Accepted>, took: Duration) {
        match answer {
            Ok(accepted) => {
                if accepted.repeat { &self.repeated } else { &self.accepted }.inc();
                self.seconds.observe(took.as_secs_f64());
            }
            Err(error) => self.refused(error.kind()),
        }
    }

    fn refused(&self, kind: ErrorKind) {
        self.refused.get_or_create(&Refused { kind: kind.as_str() }).inc();
    }
}
