//! What the Redis source counts. Must not know who reads it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Channel,
    Stream,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is durable.
    Accepted,
    /// It was before.
    Repeated,
    /// It cannot be delivered: what came is durable, with why.
    Rejected,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Taken {
    via: &'static str,
    outcome: &'static str,
}

/// Counters of the Redis source. Cheap to clone: clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    taken: Family<Taken, Counter>,
    pub(super) waits: Counter,
    pub(super) overflowed: Counter,
    pub(super) gaps: Counter,
    pub(super) connects: Counter,
    unsubscribed: Counter<f64, AtomicU64>,
    pub(super) subscribed: Gauge,
    pub(super) holds: Gauge,
    pub(super) lag: Gauge,
    pub(super) pending: Gauge,
    pub(super) in_flight: Gauge,
    pub(super) endpoints: Gauge,
}

impl Metrics {
    /// Adds them to a registry; names carry no prefix but `redis`.
    pub fn register(&self, registry: &mut Registry) {
        let redis = registry.sub_registry_with_prefix("redis");
        redis.register("messages", "Messages taken, by the way they came and what became of them", self.taken.clone());
        redis.register("waits", "Times that a message had to wait because it was not accepted yet", self.waits.clone());
        let help = "Messages of the channel that found the buffer full and are lost";
        redis.register("channel_overflowed", help, self.overflowed.clone());
        let help = "Entries that the stream dropped before they were read or acknowledged";
        redis.register("stream_gap_entries", help, self.gaps.clone());
        redis.register("connects", "Connections made to a master", self.connects.clone());
        let help = "Time in which nobody listened on the channel: what was published then is lost";
        redis.register("channel_unsubscribed_seconds", help, self.unsubscribed.clone());
        redis.register("channel_subscribed", "1 while this node listens on the channel", self.subscribed.clone());
        redis.register("holder", "1 while reading Redis is this node's work", self.holds.clone());
        redis.register("stream_lag_entries", "Entries of the stream that the group has not read", self.lag.clone());
        let help = "Entries that were read and not acknowledged";
        redis.register("stream_pending_entries", help, self.pending.clone());
        redis.register("in_flight", "Messages on their way to be durable", self.in_flight.clone());
        redis.register("endpoints", "Endpoints made for URLs in messages", self.endpoints.clone());
    }

    pub(super) fn took(&self, via: Via, outcome: Outcome) {
        let via = match via {
            Via::Channel => "channel",
            Via::Stream => "stream",
        };
        let outcome = match outcome {
            Outcome::Accepted => "accepted",
            Outcome::Repeated => "repeated",
            Outcome::Rejected => "rejected",
        };
        self.taken.get_or_create(&Taken { via, outcome }).inc();
    }

    pub(super) fn unsubscribed_for(&self, time: Duration) {
        self.unsubscribed.inc_by(time.as_secs_f64());
    }
}

/// A number for a gauge.
pub(super) fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
