//! Shows on `/metrics` what the HTTP sink counts about its connections.

use hookfast_sinks::HttpSink;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

/// Reads the sink's counters at each scrape.
pub(crate) struct SinkCollector(pub(crate) Arc<HttpSink>);

impl fmt::Debug for SinkCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkCollector")
    }
}

impl Collector for SinkCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.metrics();
        let counters = [
            ("connections_opened", "Connections made to receivers", now.connections_opened),
            ("connections_reused", "Tries on a connection kept from an earlier one", now.connections_reused),
            ("connections_stale", "Kept connections that the receiver had closed", now.connections_stale),
            ("dns_lookups", "Names resolved", now.dns_lookups),
            ("dials_failed_dns", "Dials without an address", now.dials_failed_dns),
            ("dials_blocked", "Dials of addresses that may not be dialled", now.dials_blocked),
            ("dials_failed_connect", "Dials without a connection", now.dials_failed_connect),
            ("dials_failed_tls", "Dials that failed in TLS", now.dials_failed_tls),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let idle = ConstGauge::new(i64::try_from(now.connections_idle).unwrap_or(i64::MAX));
        let help = "Connections kept unused";
        idle.encode(encoder.encode_descriptor("connections_idle", help, None, idle.metric_type())?)
    }
}
