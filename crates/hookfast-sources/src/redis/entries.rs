//! What Redis answers about streams, read into what is needed of it. Pure.

use bytes::Bytes;
use redis::Value;
use std::collections::HashMap;

/// The field of an entry that holds the message.
pub(super) const FIELD: &str = "payload";

/// An entry of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number.
    pub(super) id: String,
    /// The message in it; `None` when the stream does not have the entry any more.
    pub(super) message: Option<Bytes>,
}

/// Entries as `XREADGROUP` and `XREAD` answer, of one stream.
pub(super) fn of_read(answer: Value) -> Vec<Entry> {
    let rows = match answer {
        Value::Map(streams) => streams.into_iter().next().map(|(_, rows)| rows),
        // As older servers say it: a list of pairs.
        Value::Array(mut streams) if !streams.is_empty() => match streams.swap_remove(0) {
            Value::Array(pair) => pair.into_iter().nth(1),
            _ => None,
        },
        _ => None,
    };
    rows.map_or_else(Vec::new, of_rows)
}

/// Entries as `XAUTOCLAIM` answers: where to go on, what was claimed, and what the stream does not have any more.
pub(super) fn of_claim(answer: Value) -> (String, Vec<Entry>) {
    let Value::Array(parts) = answer else { return (START.to_owned(), Vec::new()) };
    let mut parts = parts.into_iter();
    let next = parts.next().and_then(text).unwrap_or_else(|| START.to_owned());
    let mut entries = parts.next().map_or_else(Vec::new, of_rows);
    if let Some(Value::Array(gone)) = parts.next() {
        entries.extend(gone.into_iter().filter_map(text).map(|id| Entry { id, message: None }));
    }
    (next, entries)
}

/// Where a walk over pending entries begins, and what says that it is over.
pub(super) const START: &str = "0-0";

fn of_rows(rows: Value) -> Vec<Entry> {
    let Value::Array(rows) = rows else { return Vec::new() };
    let entry = |row| {
        let Value::Array(row) = row else { return None };
        let mut row = row.into_iter();
        let id = row.next().and_then(text)?;
        Some(Entry { id, message: row.next().and_then(message) })
    };
    rows.into_iter().filter_map(entry).collect()
}

/// The message in an entry's fields. Fields without it are passed on as they are, so that they are kept as something
/// that cannot be read.
fn message(fields: Value) -> Option<Bytes> {
    let pairs: Vec<(Value, Value)> = match fields {
        Value::Map(pairs) => pairs,
        Value::Array(flat) => {
            let mut flat = flat.into_iter();
            std::iter::from_fn(|| Some((flat.next()?, flat.next()?))).collect()
        }
        _ => return None,
    };
    let mut others = Vec::new();
    for (name, value) in pairs {
        let (Value::BulkString(name), Value::BulkString(value)) = (name, value) else { continue };
        if name == FIELD.as_bytes() {
            return Some(value.into());
        }
        others.extend([&b"field "[..], &name, b": ", &value, b"\n"].concat());
    }
    Some([b"an entry without the field payload\n", &others[..]].concat().into())
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

/// How far a group is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Entries that the stream lost at its beginning, ever; `None` before version 7.
    pub(super) removed: Option<u64>,
    /// The number of its latest entry, whether it is still there or not.
    pub(super) latest: String,
    /// Entries before the place where the group reads on, ever; `None` when the server does not know.
    pub(super) read: Option<u64>,
    /// The entry that the group read last.
    pub(super) last: String,
    /// Entries not read; `None` when the server does not know.
    pub(super) lag: Option<u64>,
    /// Entries read and not acknowledged.
    pub(super) pending: u64,
}

impl Standing {
    /// From `XINFO STREAM` and `XINFO GROUPS`; `None` when the group does not exist.
    pub(super) fn of(stream: Value, groups: Value, group: &str) -> Option<Self> {
        let stream = named(stream);
        let Value::Array(groups) = groups else { return None };
        let is_it =
            |fields: &HashMap<String, Value>| fields.get("name").cloned().and_then(text).as_deref() == Some(group);
        let group = groups.into_iter().map(named).find(is_it)?;
        let removed = number(&stream, "entries-added")
            .map(|added| added.saturating_sub(number(&stream, "length").unwrap_or(added)));
        let word = |fields: &HashMap<String, Value>, name| fields.get(name).cloned().and_then(text);
        Some(Self {
            removed,
            latest: word(&stream, "last-generated-id").unwrap_or_else(|| START.to_owned()),
            read: number(&group, "entries-read"),
            last: word(&group, "last-delivered-id").unwrap_or_else(|| START.to_owned()),
            lag: number(&group, "lag"),
            pending: number(&group, "pending").unwrap_or(0),
        })
    }

    /// How many entries the stream lost that the group had not read.
    pub(super) fn gap(&self) -> u64 {
        match (self.removed, self.read) {
            (Some(removed), Some(read)) => removed.saturating_sub(read),
            _ => 0,
        }
    }
}

fn named(fields: Value) -> HashMap<String, Value> {
    match fields {
        Value::Map(pairs) => pairs.into_iter().filter_map(|(name, value)| Some((text(name)?, value))).collect(),
        Value::Array(flat) => {
            let mut flat = flat.into_iter();
            std::iter::from_fn(|| Some((flat.next()?, flat.next()?)))
                .filter_map(|(name, value)| Some((text(name)?, value)))
                .collect()
        }
        _ => HashMap::new(),
    }
}

fn number(fields: &HashMap<String, Value>, name: &str) -> Option<u64> {
    match fields.get(name)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn row(id: &str, fields: Value) -> Value {
        Value::Array(vec![bulk(id), fields])
    }

    #[test]
    fn entries_are_read_from_both_forms_of_an_answer() {
        let rows = || {
            let fields = Value::Array(vec![bulk("other"), bulk("1"), bulk("payload"), bulk("{}")]);
            Value::Array(vec![row("1-0", fields), row("2-0", Value::Nil)])
        };
        let expected = [("1-0", Some("{}")), ("2-0", None)]
            .map(|(id, message)| Entry { id: id.into(), message: message.map(Bytes::from) });
        assert_eq!(of_read(Value::Map(vec![(bulk("payments"), rows())])), expected);
        assert_eq!(of_read(Value::Array(vec![Value::Array(vec![bulk("payments"), rows()])])), expected);
        assert_eq!(of_read(Value::Nil), []);
        let claimed = Value::Array(vec![bulk("3-0"), rows(), Value::Array(vec![bulk("9-0")])]);
        let (next, entries) = of_claim(claimed);
        assert_eq!((next.as_str(), entries.len(), entries[2].id.as_str()), ("3-0", 3, "9-0"));
    }

    #[test]
    fn an_entry_without_its_field_is_passed_on_to_be_refused() {
        let fields = Value::Array(vec![bulk("url"), bulk("http://a")]);
        let entries = of_read(Value::Map(vec![(bulk("s"), Value::Array(vec![row("1-0", fields)]))]));
        let text = String::from_utf8(entries[0].message.clone().unwrap().to_vec()).unwrap();
        assert_eq!(text, "an entry without the field payload\nfield url: http://a\n");
    }

    #[test]
    fn a_gap_is_what_was_removed_and_not_read() {
        let stream = |added, length| {
            Value::Map(vec![
                (bulk("length"), Value::Int(length)),
                (bulk("last-generated-id"), bulk("9-0")),
                (bulk("entries-added"), Value::Int(added)),
            ])
        };
        let groups = |read| {
            let other = Value::Map(vec![(bulk("name"), bulk("other"))]);
            let ours = vec![(bulk("name"), bulk("g")), (bulk("entries-read"), read), (bulk("lag"), Value::Nil)];
            Value::Array(vec![other, Value::Map(ours)])
        };
        let gap = |stream, read| Standing::of(stream, groups(read), "g").unwrap().gap();
        assert_eq!(gap(stream(100, 40), Value::Int(50)), 10);
        assert_eq!(gap(stream(100, 40), Value::Int(60)), 0);
        assert_eq!(gap(stream(100, 40), Value::Nil), 0);
        assert_eq!(Standing::of(stream(1, 1), groups(Value::Nil), "h"), None);
    }
}
