//! The words of stories: causes as sentences, times and answers on one line. Must not ask anybody anything.

use serde_json::Value;
use std::fmt::Write as _;

/// Characters of an answer that are shown.
const EXCERPT_CHARS_MAX: usize = 120;

/// A field that is text; empty when it is not there.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The items of a list.
pub(super) fn items<'a>(value: &'a Value, key: &str) -> impl DoubleEndedIterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// A list of texts with commas.
pub(super) fn joined(value: &Value, key: &str) -> String {
    items(value, key).filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// An endpoint with its URL.
pub(super) fn endpoint(value: &Value) -> String {
    format!("{} ({})", text(value, "id"), printable(text(value, "url")))
}

/// One line without what a terminal would act upon.
pub(super) fn printable(text: &str) -> String {
    let line = text.trim().replace(|c: char| c.is_control(), " ");
    match line.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// What came of a try, or why a delivery ended, as the end of a sentence. `status` is that of the last answer.
pub(super) fn cause(cause: &str, status: u64) -> String {
    let fixed = match cause {
        "status" => return format!("it answered {status}"),
        "redirect" => return format!("it answered {status}, a redirect, and redirects are not followed"),
        "gone" => "it answered 410: it wants nothing more",
        "throttled" => return format!("it answered {status}: it is overloaded"),
        "dns" => "its host name cannot be resolved",
        "connect" => "no connection can be made",
        "tls" => "the TLS handshake fails",
        "timeout" => "no whole answer came in time",
        "reset" => "the connection broke before the answer",
        "protocol" => "its answer is not HTTP",
        "blocked_address" => "its address is blocked, nothing may be sent there",
        "request" => "no request can be made from its URL, headers and secret",
        "crashed" => "the server died with it too often",
        "endpoint_down" => "the endpoint was down or disabled for too long",
        "expired" => "it became older than events are kept",
        "endpoint_deleted" => "the endpoint was deleted",
        "payload_deleted" => "its payload was deleted before it could be sent",
        other => return format!("cause: {other}"),
    };
    fixed.to_owned()
}

/// Why an endpoint is disabled, in brackets.
pub(super) fn disabled(endpoint: &Value) -> String {
    match text(endpoint, "disabledReason") {
        "by_owner" => "(by its owner)".to_owned(),
        "gone" => "(it answered 410 Gone)".to_owned(),
        "failing" => match text(endpoint, "failingSince") {
            "" => "(it failed for too long)".to_owned(),
            since => format!("(it has only failed since {since})"),
        },
        other => format!("({other})"),
    }
}

/// One attempt on one line. `first` is what it is called.
pub(super) fn attempt(out: &mut String, first: &str, attempt: &Value) {
    let status = match attempt["responseStatusCode"].as_u64() {
        Some(status) if status > 0 => format!(" {status}"),
        _ => String::new(),
    };
    let took = attempt["responseDurationMs"].as_u64().unwrap_or(0);
    let answer = printable(text(attempt, "response"));
    let answer = if answer.is_empty() { answer } else { format!("  {answer}") };
    let (at, cause) = (text(attempt, "timestamp"), text(attempt, "cause"));
    let _ = writeln!(out, "  {first}  {at}  {cause}{status}  {took} ms{answer}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_core::delivery::Cause;

    #[test]
    fn every_cause_has_a_sentence() {
        for one in Cause::ALL.iter().filter(|one| **one != Cause::Ok) {
            assert!(!cause(one.as_str(), 500).starts_with("cause: "), "{one:?}");
        }
    }

    #[test]
    fn what_a_receiver_answers_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc"), "a [2Jb  c");
        assert_eq!(printable(&"é".repeat(200)).chars().count(), EXCERPT_CHARS_MAX + 1);
    }
}
