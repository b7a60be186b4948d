//! The story of an endpoint as text. Must not ask anybody anything.

use super::words::{attempt, cause, disabled, endpoint, items, joined, text};
use serde_json::Value;
use std::fmt::Write as _;

/// Tells the story; `flags` is what leads further commands to the same server.
pub(super) fn tell(story: &Value, flags: &str) -> String {
    let mut out = String::new();
    let (id, since) = (text(story, "id"), text(story, "failingSince"));
    let newest = items(story, "attempts").next();
    let _ = match text(story, "health") {
        "disabled" => {
            let _ = writeln!(out, "{} gets nothing: it is disabled {}.", endpoint(story), disabled(story));
            let _ = writeln!(out, "  mend:  hookfast endpoint enable {id}{flags}");
            writeln!(out, "  then:  hookfast dlq replay {id} --since 1d{flags}")
        }
        "failing" => {
            let why = newest.map_or_else(String::new, |newest| {
                let status = newest["responseStatusCode"].as_u64().unwrap_or(0);
                format!(": {}", cause(text(newest, "cause"), status))
            });
            let _ = writeln!(out, "{} has only failed since {since}{why}.", endpoint(story));
            writeln!(out, "  Until it succeeds it is tried less often, so that others do not wait for it.")
        }
        _ if newest.is_none() => writeln!(out, "{} is enabled; nothing was sent to it lately.", endpoint(story)),
        _ => writeln!(out, "{} is well.", endpoint(story)),
    };
    for (key, what) in [("eventTypes", "event types"), ("channels", "channels")] {
        if story[key].is_array() {
            let _ = writeln!(out, "It wants only the {what} {}.", joined(story, key));
        }
    }
    if let Some(rate) = story["throttleRate"].as_u64() {
        let _ = writeln!(out, "It gets at most {rate} deliveries in a second.");
    }
    if let Some(rate) = story["appThrottleRate"].as_u64() {
        let _ = writeln!(out, "All endpoints of its application together get at most {rate} deliveries in a second.");
    }
    waiting(&mut out, story);
    newest_attempts(&mut out, story);
    out
}

fn waiting(out: &mut String, story: &Value) {
    let count = |key: &str| story[key].as_u64().unwrap_or(0);
    let (pending, retrying) = (count("pending"), count("retrying"));
    let _ = match text(story, "oldestWaiting") {
        "" => writeln!(out, "Nothing waits for it in the queue."),
        oldest => writeln!(
            out,
            "In the queue {pending} wait for their first try and {retrying} to be tried again; the oldest was \
             accepted at {oldest}."
        ),
    };
}

fn newest_attempts(out: &mut String, story: &Value) {
    let count = |key: &str| story[key].as_u64().unwrap_or(0);
    let _ = writeln!(
        out,
        "In the last 24 hours {} attempts succeeded and {} failed; the newest attempts:",
        count("successes"),
        count("failures")
    );
    for one in items(story, "attempts") {
        attempt(out, text(one, "msgId"), one);
    }
}
