//! Lists over the API: which part of them, page by page, and times as people type them. Knows nothing of what is listed.

use crate::client::{Api, segment};
use crate::config::duration_ms;
use crate::exit::{Exit, Failure};
use http::Method;
use serde_json::{Value, json};

/// Greatest page that the API gives.
const PAGE_MAX: usize = 250;
/// Most items that `--all` shows.
const ALL_MAX: usize = 100_000;

/// Which part of a list.
#[derive(Debug, clap::Args)]
pub(super) struct Paging {
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Show all, up to 100,000
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on after an earlier list: the `iterator` of its answer
    #[arg(long, value_name = "ITERATOR")]
    iterator: Option<String>,
}

impl Paging {
    /// How many to show at most.
    pub(super) fn wanted(&self) -> usize {
        if self.all { ALL_MAX } else { usize::try_from(self.limit).unwrap_or(ALL_MAX) }
    }

    /// Where to go on, as an earlier answer said.
    pub(super) fn iterator(&self) -> Option<&str> {
        self.iterator.as_deref()
    }
}

/// One page that a list came to: `data`, `iterator` and `done`, as the API has them.
///
/// # Errors
/// Those of the API.
pub(super) async fn fetch(
    api: &Api,
    path: &str,
    query: &[(&str, Option<String>)],
    paging: &Paging,
) -> anyhow::Result<Value> {
    let wanted = paging.wanted();
    let filters = filters(query);
    let mut data: Vec<Value> = Vec::new();
    let mut iterator = paging.iterator.clone();
    let mut done = false;
    while !done && data.len() < wanted {
        let limit = (wanted - data.len()).min(PAGE_MAX);
        let mut page = page(api, path, &filters, limit, iterator.as_deref()).await?;
        done = page["done"] != false;
        if let Value::Array(items) = page["data"].take() {
            data.extend(items);
        }
        // A page that is empty has another behind it where the server stopped looking.
        iterator = page["iterator"].as_str().map(str::to_owned);
        done |= iterator.is_none();
    }
    if !done {
        let next = iterator.as_deref().unwrap_or_default();
        eprintln!("there are more: --all, or --iterator {next}");
    }
    Ok(json!({ "data": data, "iterator": iterator, "done": done }))
}

/// Hands every item of a list over, however many there are; one page of them is in memory at a time.
///
/// # Errors
/// Those of the API, and the first of `take`, which ends it.
pub(super) async fn each(
    api: &Api,
    path: &str,
    query: &[(&str, Option<String>)],
    mut take: impl FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let filters = filters(query);
    let mut iterator: Option<String> = None;
    loop {
        let page = page(api, path, &filters, PAGE_MAX, iterator.as_deref()).await?;
        items(&page).try_for_each(&mut take)?;
        match page["iterator"].as_str() {
            Some(next) if page["done"] == false => iterator = Some(next.to_owned()),
            _ => return Ok(()),
        }
    }
}

/// One page of a list, behind `from` if that is given, of at most so many items.
///
/// # Errors
/// Those of the API.
pub(super) async fn page_of(
    api: &Api,
    path: &str,
    query: &[(&str, Option<String>)],
    limit: usize,
    from: Option<&str>,
) -> anyhow::Result<Value> {
    page(api, path, &filters(query), limit.min(PAGE_MAX), from).await
}

fn filters(query: &[(&str, Option<String>)]) -> String {
    let given = query.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    given.map(|(name, value)| format!("&{name}={}", segment(value))).collect()
}

async fn page(api: &Api, path: &str, filters: &str, limit: usize, from: Option<&str>) -> anyhow::Result<Value> {
    let from = from.map_or_else(String::new, |from| format!("&iterator={}", segment(from)));
    api.json(Method::GET, &format!("{path}?limit={limit}{from}{filters}"), None).await
}

/// The items of an answer.
pub(super) fn items(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["data"].as_array().into_iter().flatten()
}

/// A field as a cell of a table; lists with commas, nothing for null.
pub(super) fn cell(item: &Value, key: &str) -> String {
    match &item[key] {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A point in time on the command line: RFC 3339, or how long ago.
pub(super) fn parse_time(text: &str) -> Result<String, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.to_string());
    }
    let ago = duration_ms(text).and_then(|ms| i64::try_from(ms).ok());
    let at = ago.and_then(|ms| jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_millis(ms)).ok());
    at.map(|at| at.to_string())
        .ok_or_else(|| "expected a time such as 2026-10-20T10:00:00Z, or how long ago, such as 30m, 2h, 7d".into())
}

/// The failure of a command that was given nothing to do.
pub(super) fn nothing_asked(what: &str) -> anyhow::Error {
    Failure::new(Exit::Usage, format!("nothing to do: say {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_points_or_ages() {
        assert_eq!(parse_time("2026-10-20T10:00:00Z").as_deref(), Ok("2026-10-20T10:00:00Z"));
        let ago: jiff::Timestamp = parse_time("2h").unwrap().parse().unwrap();
        let seconds = jiff::Timestamp::now().duration_since(ago).as_secs();
        assert!((7_200..7_260).contains(&seconds), "{seconds}");
        for wrong in ["", "noon", "2x", "999999999999999d"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cells_are_one_line() {
        let item = json!({ "a": "x\ny", "b": ["p", "q"], "c": null, "d": 7 });
        assert_eq!(["a", "b", "c", "d"].map(|key| cell(&item, key)), ["x y", "p,q", "", "7"]);
    }
}
