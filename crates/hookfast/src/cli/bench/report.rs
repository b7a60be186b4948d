//! The figures of a run, and how several runs are summed up and shown. Measures nothing.

use super::setting::Setting;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What one run came to. Times are from the outside: as a producer and a receiver see them.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Measurement {
    /// From the first event sent to the last delivery received.
    pub(super) seconds: f64,
    pub(super) accepted: u64,
    pub(super) accepted_per_s: f64,
    /// Arrivals that receivers accepted.
    pub(super) delivered: u64,
    pub(super) delivered_per_s: f64,
    pub(super) accept_p50_ms: f64,
    pub(super) accept_p99_ms: f64,
    pub(super) accept_max_ms: f64,
    /// From the intended time of sending to the arrival at a healthy endpoint.
    pub(super) receive_p50_ms: f64,
    pub(super) receive_p99_ms: f64,
    pub(super) receive_max_ms: f64,
    pub(super) server_cpu_us_per_delivery: Option<f64>,
    /// CPU of the processes of PostgreSQL.
    pub(super) database_cpu_us_per_delivery: Option<f64>,
    /// SQL statements, as PostgreSQL counts them.
    pub(super) statements_per_delivery: Option<f64>,
    pub(super) harness_cpu_us_per_delivery: f64,
    /// Server CPU ÷ (load + receivers) CPU: what can be compared between noisy moments.
    pub(super) cpu_ratio: Option<f64>,
    pub(super) rss_peak_mib: Option<f64>,
    pub(super) disk_bytes_per_event: Option<f64>,
    pub(super) fdatasync_p50_ms: Option<f64>,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) unknown: u64,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    /// Accepted events at endpoints that did not accept them, in a state that accounts for them.
    pub(super) waiting_or_ended: u64,
    /// Those of which the server was not asked, as there were too many.
    pub(super) not_asked: u64,
}

/// How a figure is shown: its key, its words, its unit, its decimals.
const ROWS: &[(&str, &str, &str, usize)] = &[
    ("accepted_per_s", "accepted durably", "/s", 0),
    ("delivered_per_s", "delivered", "/s", 0),
    ("accept_p50_ms", "accept p50", "ms", 2),
    ("accept_p99_ms", "accept p99", "ms", 2),
    ("accept_max_ms", "accept max", "ms", 2),
    ("receive_p50_ms", "accept to receiver p50", "ms", 2),
    ("receive_p99_ms", "accept to receiver p99", "ms", 2),
    ("receive_max_ms", "accept to receiver max", "ms", 2),
    ("server_cpu_us_per_delivery", "server CPU per delivery", "µs", 1),
    ("database_cpu_us_per_delivery", "PostgreSQL CPU per delivery", "µs", 1),
    ("statements_per_delivery", "SQL statements per delivery", "", 3),
    ("harness_cpu_us_per_delivery", "load + receivers CPU per delivery", "µs", 1),
    ("cpu_ratio", "server CPU ÷ load + receivers CPU", "", 2),
    ("rss_peak_mib", "server memory, peak", "MiB", 0),
    ("disk_bytes_per_event", "on disk per event", "bytes", 0),
    ("fdatasync_p50_ms", "the disk's fdatasync p50", "ms", 3),
    ("seconds", "took", "s", 1),
    ("accepted", "events accepted", "", 0),
    ("delivered", "deliveries", "", 0),
    ("refused", "refused (429, 503)", "", 0),
    ("failed", "failed", "", 0),
    ("unknown", "without an answer", "", 0),
    ("waiting_or_ended", "not accepted by their receiver, accounted for", "", 0),
    ("not_asked", "the same, not asked about", "", 0),
    ("lost", "lost", "", 0),
    ("repeated", "repeated", "", 0),
];

/// Shown even when they are 0.
const ALWAYS: &[&str] = &["lost", "repeated"];

/// All runs of one setting.
pub(super) struct Report {
    setting: Value,
    runs: Vec<Map<String, Value>>,
}

impl Report {
    pub(super) fn new(setting: &Setting, runs: Vec<Measurement>) -> Self {
        let figures = |run: &Measurement| match serde_json::to_value(run) {
            Ok(Value::Object(figures)) => figures,
            _ => Map::new(),
        };
        Self { setting: setting.to_json(), runs: runs.iter().map(figures).collect() }
    }

    /// The figures of a key in all runs, smallest first.
    fn sorted(&self, key: &str) -> Vec<f64> {
        let mut figures: Vec<f64> = self.runs.iter().filter_map(|run| run.get(key)?.as_f64()).collect();
        figures.sort_by(f64::total_cmp);
        figures
    }

    pub(super) fn to_json(&self) -> anyhow::Result<String> {
        let of_all = |pick: fn(&[f64]) -> Option<f64>| {
            let figure = |(key, ..): &(&str, &str, &str, usize)| ((*key).to_owned(), json!(pick(&self.sorted(key))));
            Value::Object(ROWS.iter().map(figure).collect())
        };
        let report = json!({
            "hookfast": env!("CARGO_PKG_VERSION"),
            "setting": self.setting,
            "median": of_all(median),
            "min": of_all(|figures| figures.first().copied()),
            "max": of_all(|figures| figures.last().copied()),
            "runs": self.runs,
        });
        Ok(serde_json::to_string_pretty(&report)?)
    }

    pub(super) fn to_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let several = self.runs.len() > 1;
        if several {
            table.set_header([format!("median of {} runs", self.runs.len()).as_str(), "", "", "min", "max"]);
        }
        for (key, words, unit, decimals) in ROWS {
            let figures = self.sorted(key);
            let (Some(middle), Some(low), Some(high)) = (median(&figures), figures.first(), figures.last()) else {
                continue;
            };
            let quiet = matches!(*key, "refused" | "failed" | "unknown" | "waiting_or_ended" | "not_asked");
            if quiet && *high == 0.0 && !ALWAYS.contains(key) {
                continue;
            }
            let mut row = vec![(*words).to_owned(), grouped(middle, *decimals), (*unit).to_owned()];
            if several {
                row.extend([grouped(*low, *decimals), grouped(*high, *decimals)]);
            }
            table.add_row(row);
        }
        for column in [1, 3, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!("{}\n{table}", self.headline())
    }

    fn headline(&self) -> String {
        let of = |key: &str| &self.setting[key];
        let pace = match of("rate").as_f64() {
            Some(rate) => format!("open loop, {rate} events/s for {} s", of("seconds")),
            None => format!("closed loop, {} events over {} connections", of("events"), of("concurrency")),
        };
        let key = if of("idempotency_key") == true { "with" } else { "without" };
        let mut line = format!("{pace}, {}-byte payloads, {key} idempotency keys", of("payload_bytes"));
        for (key, words) in [("fan_out", "fan-out"), ("endpoints", "endpoints"), ("history", "history")] {
            if of(key).as_u64().is_some_and(|count| count > 1) {
                line.push_str(&format!(", {words} {}", of(key)));
            }
        }
        for key in ["hanging", "failing", "slow"] {
            if let Some(share) = of(key).as_f64().filter(|share| *share > 0.0) {
                line.push_str(&format!(", {:.0} % {key}", share * 100.0));
            }
        }
        line
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}

/// A number with its thousands apart: `18,250`.
fn grouped(figure: f64, decimals: usize) -> String {
    let text = format!("{figure:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    fraction.map_or_else(|| out.clone(), |fraction| format!("{out}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_numbers_read_well() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
        let texts = [(1_234_567.0, 0), (999.0, 0), (18_250.5, 2), (0.041, 3)].map(|(n, d)| grouped(n, d));
        assert_eq!(texts, ["1,234,567", "999", "18,250.50", "0.041"]);
    }

    #[test]
    fn every_figure_has_a_row() {
        let Ok(Value::Object(figures)) = serde_json::to_value(Measurement::default()) else { panic!("an object") };
        for key in figures.keys() {
            assert!(ROWS.iter().any(|(row, ..)| row == key), "{key}");
        }
        assert_eq!(figures.len(), ROWS.len());
    }
}
