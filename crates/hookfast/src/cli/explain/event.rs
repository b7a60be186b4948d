//! The story of an event as text. Must not ask anybody anything.

use super::words::{attempt, cause, disabled, endpoint, items, joined, printable, text};
use serde_json::Value;
use std::fmt::Write as _;

/// Tells the story; `flags` is what leads further commands to the same server.
pub(super) fn tell(story: &Value, flags: &str) -> String {
    let mut out = String::new();
    let mut destinations: Vec<&Value> = items(story, "destinations").collect();
    // What needs somebody comes first.
    destinations.sort_by_key(|one| match text(one, "state") {
        "dead" | "cancelled" => 0,
        "retrying" => 1,
        "pending" => 2,
        _ => 3,
    });
    for one in &destinations {
        tell_destination(&mut out, story, one, flags);
    }
    for one in items(story, "refused") {
        tell_refused(&mut out, story, one, flags);
    }
    let total = |key: &str| story[key].as_u64().unwrap_or(0);
    let shown = destinations.len() + items(story, "refused").count();
    let left = (total("destinationCount") + total("refusedCount")).saturating_sub(shown as u64);
    if left > 0 {
        let _ = writeln!(out, "And {left} further endpoints, which are not shown.");
    }
    if shown == 0 {
        let app = text(story, "appId");
        let _ = writeln!(out, "Not delivered: its application has no endpoint.");
        let _ = writeln!(out, "  mend:  hookfast endpoint create URL --app {app}{flags}");
    }
    about(&mut out, story, flags);
    out
}

/// The event itself.
fn about(out: &mut String, story: &Value, flags: &str) {
    let own = match text(story, "eventId") {
        "" => String::new(),
        own => format!(", {own}"),
    };
    let channels = match joined(story, "channels") {
        none if none.is_empty() => none,
        some => format!(" on {some}"),
    };
    let (id, kind, app) = (text(story, "id"), text(story, "eventType"), text(story, "appId"));
    let (at, through) = (text(story, "acceptedAt"), origin(story));
    let _ = writeln!(out, "{id} ({kind}{own}) of {app}{channels} was accepted at {at}{through}.");
    if story["attemptsCut"] == true {
        let _ = writeln!(out, "Older attempts are not shown: hookfast attempt list --event {id}{flags}");
    }
}

/// Through which source, and by whom, as far as that was kept.
fn origin(story: &Value) -> String {
    let (source, by) = (printable(text(story, "source")), printable(text(story, "acceptedBy")));
    let by = match by.strip_prefix("jwt:") {
        Some(subject) => format!(" by a signed token of {subject}"),
        None if by.starts_with("tok_") => format!(" by token {by}"),
        None if by.is_empty() => String::new(),
        None => format!(" by {by}"),
    };
    if source.is_empty() { String::new() } else { format!(" through {source}{by}") }
}

fn tell_destination(out: &mut String, story: &Value, one: &Value, flags: &str) {
    let last = items(one, "attempts").next_back();
    let status = last.and_then(|last| last["responseStatusCode"].as_u64()).unwrap_or(0);
    let why = cause(text(one, "cause"), status);
    let tries = one["tries"].as_u64().unwrap_or(0);
    let counted = if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
    let to = endpoint(one);
    let next = match text(one, "nextAttempt") {
        "" => "the next try is on its way".to_owned(),
        at => format!("the next try is due at {at}"),
    };
    let held = one["disabled"] == true;
    let _ = match text(one, "state") {
        "delivered" => writeln!(out, "Delivered to {to}: it answered {status} ({counted})."),
        "dead" => writeln!(out, "Not delivered to {to}: {why}; given up after {counted}."),
        "cancelled" => writeln!(out, "Not delivered to {to}: {why}."),
        _ if held => writeln!(out, "Not delivered to {to}: it is disabled {}; this waits.", disabled(one)),
        "retrying" => writeln!(out, "Not delivered to {to} yet: {why} ({counted}); {next}."),
        _ => writeln!(out, "Not delivered to {to} yet: {next}."),
    };
    mend_destination(out, story, one, flags);
    for (at, one) in items(one, "attempts").enumerate() {
        attempt(out, &format!("try {}", at + 1), one);
    }
}

/// What to type for one that has not arrived.
fn mend_destination(out: &mut String, story: &Value, one: &Value, flags: &str) {
    let (id, state) = (text(one, "id"), text(one, "state"));
    if one["deleted"] == true || state == "delivered" || (state == "pending" && one["disabled"] != true) {
        return;
    }
    if one["disabled"] == true {
        let _ = writeln!(out, "  mend:  hookfast endpoint enable {id}{flags}");
    } else {
        let _ = match text(one, "cause") {
            "blocked_address" => writeln!(
                out,
                "  mend:  hookfast endpoint change {id} --to URL{flags}\n  \
                 or:    allow its network in the server's configuration: delivery.allow_networks"
            ),
            "redirect" | "request" | "dns" | "gone" => {
                writeln!(out, "  mend:  hookfast endpoint change {id} --to URL{flags}")
            }
            _ => writeln!(out, "  mend:  see to the receiver, or: hookfast endpoint change {id} --to URL{flags}"),
        };
    }
    if matches!(state, "dead" | "cancelled") {
        replay(out, story, id, flags);
    } else {
        let _ = writeln!(out, "  then:  nothing, it is tried again by itself");
    }
}

fn replay(out: &mut String, story: &Value, endpoint: &str, flags: &str) {
    let id = text(story, "id");
    let _ = if story["payloadKept"] == true {
        writeln!(out, "  then:  hookfast event replay {id} --endpoint {endpoint}{flags}")
    } else {
        writeln!(out, "  then:  send it anew: its payload is no longer kept")
    };
}

fn tell_refused(out: &mut String, story: &Value, one: &Value, flags: &str) {
    let (id, kind) = (text(one, "id"), text(story, "eventType"));
    let mut why = Vec::new();
    let mut mends = Vec::new();
    for reason in items(one, "reasons").filter_map(Value::as_str) {
        why.push(match reason {
            "created_later" => format!("it was made later, at {}", text(one, "createdAt")),
            "disabled" => {
                mends.push(format!("hookfast endpoint enable {id}{flags}"));
                format!("it is disabled {}", disabled(one))
            }
            "event_type" => {
                mends.push(format!("hookfast endpoint change {id} --add-type {kind}{flags}"));
                format!("its filter wants only {}, and this is {kind}", joined(one, "eventTypes"))
            }
            "channel" => {
                let channels = joined(story, "channels");
                let (flag, sent) = match channels.split(", ").next() {
                    Some(first) if !first.is_empty() => (format!("--add-channel {first}"), format!("on {channels}")),
                    _ => ("--all-channels".to_owned(), "on none".to_owned()),
                };
                mends.push(format!("hookfast endpoint change {id} {flag}{flags}"));
                format!("its filter wants only the channels {}, and this was sent {sent}", joined(one, "channels"))
            }
            "changed_later" => format!("it was changed at {}; since then it wants such", text(one, "updatedAt")),
            _ => "the event was sent to another endpoint alone".to_owned(),
        });
    }
    let _ = writeln!(out, "Not delivered to {}: {}.", endpoint(one), why.join("; and "));
    for mend in mends {
        let _ = writeln!(out, "  mend:  {mend}");
    }
    replay(out, story, id, flags);
}
