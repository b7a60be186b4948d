//! The API's own counters, and the `/metrics` page: the registry that was passed in, and the store's totals. Knows no
//! other part's metrics.

use crate::router::Shared;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookfast_core::ports::StoreTotals;
use http::{StatusCode, header};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt::Write;
use std::sync::Arc;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counters of the API and its listeners. Clones count together.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    answers: Family<[(&'static str, &'static str); 1], Counter>,
    /// The members of `answers`, so that counting needs no look-up.
    classes: [Counter; 5],
    panics: Counter,
    /// Connections that are open.
    pub(crate) connections: Gauge,
    /// Connections that were answered with 503 or dropped, since there were too many.
    pub(crate) refused: Counter,
}

impl Default for ApiMetrics {
    fn default() -> Self {
        let answers = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let classes = CLASSES.map(|class| answers.get_or_create(&[("status", class)]).clone());
        Self {
            answers,
            classes,
            panics: Counter::default(),
            connections: Gauge::default(),
            refused: Counter::default(),
        }
    }
}

impl ApiMetrics {
    /// New counters that `registry` shows.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("hookfast_http_responses", "Answers by class of status", metrics.answers.clone());
        registry.register("hookfast_http_panics", "Handlers that panicked; 0 is expected", metrics.panics.clone());
        registry.register("hookfast_http_connections", "Open connections", metrics.connections.clone());
        registry.register(
            "hookfast_http_connections_refused",
            "Connections refused because there were too many",
            metrics.refused.clone(),
        );
        metrics
    }

    pub(crate) fn count_answer(&self, status: StatusCode) {
        if let Some(counter) = self.classes.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            counter.inc();
        }
    }

    pub(crate) fn count_panic(&self) {
        self.panics.inc();
    }

    #[cfg(test)]
    pub(crate) fn panics(&self) -> u64 {
        self.panics.get()
    }
}

/// `GET /metrics`.
pub(crate) async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    let totals = shared.api.ports.reading.totals().await.ok();
    answer(page(&shared.api.registry, |text| store(text, totals)))
}

/// `GET /metrics` of a node without a store.
pub(crate) fn scrape_registry(registry: &Registry) -> Response {
    answer(page(registry, |_| Ok(())))
}

fn answer(page: Result<String, std::fmt::Error>) -> Response {
    match page {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => crate::ApiError::internal().into_response(),
    }
}

fn page(registry: &Registry, more: impl FnOnce(&mut String) -> std::fmt::Result) -> Result<String, std::fmt::Error> {
    let mut text = String::with_capacity(16 << 10);
    encode_registry(&mut text, registry)?;
    more(&mut text)?;
    encode_eof(&mut text)?;
    Ok(text)
}

fn store(text: &mut String, totals: Option<StoreTotals>) -> std::fmt::Result {
    gauge(text, "store_up", "1 when the store answers", u64::from(totals.is_some()))?;
    if let Some(totals) = totals {
        gauge(text, "store_queue_rows", "Rows in the queue", totals.queue_rows)?;
        gauge(text, "store_disk_bytes", "Bytes of the store on disk", totals.disk_bytes)?;
        if let Some(free) = totals.disk_free_bytes {
            gauge(text, "store_disk_free_bytes", "Bytes free on the store's disk", free)?;
        }
        gauge(text, "store_incarnation", "Incarnation of this node", totals.incarnation)?;
        counter(text, "store_recovered", "Deliveries queued at start after a crash", totals.recovered)?;
        counter(text, "store_strays", "Deliveries found without rows; 0 is expected", totals.strays)?;
        counter(text, "store_purged_events", "Events deleted by retention", totals.purged_events)?;
        counter(text, "store_commits", "Commits", totals.commits)?;
    }
    Ok(())
}

fn gauge(text: &mut String, name: &str, help: &str, value: u64) -> std::fmt::Result {
    writeln!(text, "# HELP hookfast_{name} {help}.\n# TYPE hookfast_{name} gauge\nhookfast_{name} {value}")
}

fn counter(text: &mut String, name: &str, help: &str, value: u64) -> std::fmt::Result {
    writeln!(text, "# HELP hookfast_{name} {help}.\n# TYPE hookfast_{name} counter\nhookfast_{name}_total {value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_counters_and_ends_as_the_format_wants() {
        let mut registry = Registry::default();
        let metrics = ApiMetrics::register(&mut registry);
        metrics.count_answer(StatusCode::ACCEPTED);
        metrics.count_answer(StatusCode::NOT_FOUND);
        metrics.count_answer(StatusCode::NOT_FOUND);
        let totals = StoreTotals { queue_rows: 7, strays: 0, ..StoreTotals::default() };
        let text = page(&registry, |text| store(text, Some(totals))).unwrap();
        for line in [
            "hookfast_http_responses_total{status=\"2xx\"} 1",
            "hookfast_http_responses_total{status=\"4xx\"} 2",
            "hookfast_store_queue_rows 7",
            "hookfast_store_strays_total 0",
            "hookfast_store_up 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(page(&registry, |text| store(text, None)).unwrap().contains("hookfast_store_up 0"));
    }
}
