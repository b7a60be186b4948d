//! What the sink counts about its connections. Must not know how metrics are exported.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts since the sink was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpSinkMetrics {
    /// Connections made, TLS handshake included.
    pub connections_opened: u64,
    /// Tries that began on a connection kept from an earlier one.
    pub connections_reused: u64,
    /// Kept connections that the receiver closed as they were used again; the try went on over a fresh one.
    pub connections_stale: u64,
    /// Connections that are kept unused now.
    pub connections_idle: u64,
    /// Names that were resolved.
    pub dns_lookups: u64,
    /// Dials that ended because the name could not be resolved.
    pub dials_failed_dns: u64,
    /// Dials that ended because an address may not be dialled.
    pub dials_blocked: u64,
    /// Dials that ended without a connection.
    pub dials_failed_connect: u64,
    /// Dials that ended in the TLS handshake.
    pub dials_failed_tls: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) opened: AtomicU64,
    pub(super) reused: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) idle: AtomicUsize,
    pub(super) dns_lookups: AtomicU64,
    pub(super) failed_dns: AtomicU64,
    pub(super) blocked: AtomicU64,
    pub(super) failed_connect: AtomicU64,
    pub(super) failed_tls: AtomicU64,
}

impl Counters {
    pub(super) fn snapshot(&self) -> HttpSinkMetrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HttpSinkMetrics {
            connections_opened: read(&self.opened),
            connections_reused: read(&self.reused),
            connections_stale: read(&self.stale),
            connections_idle: self.idle.load(Ordering::Relaxed) as u64,
            dns_lookups: read(&self.dns_lookups),
            dials_failed_dns: read(&self.failed_dns),
            dials_blocked: read(&self.blocked),
            dials_failed_connect: read(&self.failed_connect),
            dials_failed_tls: read(&self.failed_tls),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
