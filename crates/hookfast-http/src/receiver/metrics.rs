//! What is counted of receiving. Must not know who reads it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Both come from fixed sets: configured names, and codes of answers.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    source: Arc<str>,
    outcome: Cow<'static, str>,
}

/// Counters of receiving. Clones count together.
#[derive(Clone, Debug)]
pub struct ReceiverMetrics {
    received: Family<Labels, Counter>,
    seconds: Histogram,
}

impl Default for ReceiverMetrics {
    fn default() -> Self {
        // 0.25 ms to 8 s: a log in memory up to one in trouble.
        Self { received: Family::default(), seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)) }
    }
}

impl ReceiverMetrics {
    /// New counters that `registry` shows.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let received = metrics.received.clone();
        registry.register("hookfast_received", "Webhooks received, by source and what came of them", received);
        let seconds = metrics.seconds.clone();
        registry.register("hookfast_receive_seconds", "From the head of an accepted request to its answer", seconds);
        metrics
    }

    pub(super) fn accepted(&self, source: &Arc<str>, took: Duration) {
        self.count(source, Cow::Borrowed("accepted"));
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn refused(&self, source: &Arc<str>, code: Cow<'static, str>) {
        self.count(source, code);
    }

    fn count(&self, source: &Arc<str>, outcome: Cow<'static, str>) {
        self.received.get_or_create(&Labels { source: Arc::clone(source), outcome }).inc();
    }
}
