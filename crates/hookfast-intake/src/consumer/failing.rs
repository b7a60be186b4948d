//! What becomes of a record that could not be processed: the record that tries it again, or its dead letter. Pure; must
//! not know how either is appended.

use bytes::Bytes;
use hookfast_core::Error;
use hookfast_core::ports::{LogEntry, LogRecord};
use std::sync::Arc;

/// How often a record was tried again.
pub(crate) const RETRY_COUNT: &str = "retry_count";
/// What went wrong last, as a sentence.
pub(crate) const ERROR: &str = "error";
/// Why a dead letter is dead, as a word.
pub(crate) const CAUSE: &str = "cause";
/// Where a dead letter stood: the topic,
pub(crate) const ORIGIN_TOPIC: &str = "origin_topic";
/// the partition,
pub(crate) const ORIGIN_PARTITION: &str = "origin_partition";
/// the offset, and
pub(crate) const ORIGIN_OFFSET: &str = "origin_offset";
/// when it was appended there, in milliseconds since the epoch.
pub(crate) const ORIGIN_TIMESTAMP: &str = "origin_timestamp";
/// What stood in `retry_count` when that was no number.
const RETRY_COUNT_WAS: &str = "retry_count_was";
/// Says that a dead letter has no value because the log does not take one so large; it lies at its origin.
const VALUE_LEFT: &str = "value_left_at_origin";

/// Headers that are written anew.
const OURS: [&str; 8] =
    [RETRY_COUNT, ERROR, CAUSE, ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, ORIGIN_TIMESTAMP, VALUE_LEFT];
/// Of a sentence so many characters go into a header.
const ERROR_CHARS_MAX: usize = 500;
/// Of a `retry_count` that is no number, so many bytes.
const WAS_BYTES_MAX: usize = 64;

/// A record that could not be processed.
pub(super) struct Failed {
    pub(super) entry: LogEntry,
    pub(super) cause: &'static str,
    /// A sentence.
    pub(super) error: String,
    /// May another try succeed?
    pub(super) may_succeed: bool,
}

impl Failed {
    /// One that cannot be read.
    pub(super) fn undecodable(entry: LogEntry, error: &Error) -> Self {
        Self { entry, cause: "undecodable", error: error.to_string(), may_succeed: false }
    }

    /// One that was refused on purpose.
    pub(super) fn injected(entry: LogEntry) -> Self {
        let error = "refused on purpose: a failure rate is configured".to_owned();
        Self { entry, cause: "injected", error, may_succeed: true }
    }

    /// One that the store refuses, if the fault is its own and not the store's.
    pub(super) fn cause_of(error: &Error) -> Option<&'static str> {
        match error {
            Error::Invalid { .. } => Some("invalid"),
            Error::NotFound { .. } => Some("not_found"),
            Error::Conflict { .. } => Some("conflict"),
            Error::Overloaded { .. } | Error::Unavailable { .. } | Error::Terminal { .. } => None,
        }
    }

    /// How often it was tried again before, and whether its header says so in a way that can be read.
    pub(super) fn retries(&self) -> (u32, bool) {
        let Some(header) = last_header(&self.entry.headers, RETRY_COUNT) else { return (0, true) };
        let number = std::str::from_utf8(header).ok().and_then(|text| text.trim().parse().ok());
        (number.unwrap_or(0), number.is_some())
    }

    /// The record that tries it again.
    pub(super) fn again(&self, topic: &Arc<str>) -> LogRecord {
        let (retries, _) = self.retries();
        let mut headers = self.headers_with(retries.saturating_add(1));
        headers.push((ERROR.to_owned(), self.sentence()));
        self.record(topic, headers)
    }

    /// Its dead letter.
    pub(super) fn dead_letter(&self, topic: &Arc<str>, origin: &str) -> LogRecord {
        let (retries, _) = self.retries();
        let mut headers = self.headers_with(retries);
        let mut add = |name: &str, value: Bytes| headers.push((name.to_owned(), value));
        add(CAUSE, Bytes::from_static(self.cause.as_bytes()));
        add(ERROR, self.sentence());
        add(ORIGIN_TOPIC, origin.to_owned().into());
        add(ORIGIN_PARTITION, self.entry.at.partition.to_string().into());
        add(ORIGIN_OFFSET, self.entry.at.offset.to_string().into());
        if let Some(at) = self.entry.appended_at {
            add(ORIGIN_TIMESTAMP, at.0.to_string().into());
        }
        self.record(topic, headers)
    }

    fn record(&self, topic: &Arc<str>, headers: Vec<(String, Bytes)>) -> LogRecord {
        let value = self.entry.value.clone().unwrap_or_default();
        LogRecord { topic: Arc::clone(topic), key: self.entry.key.clone(), value, headers }
    }

    /// The headers of others, with this count of retries.
    fn headers_with(&self, retries: u32) -> Vec<(String, Bytes)> {
        let mut headers = self.entry.headers.clone();
        headers.retain(|(name, _)| !OURS.contains(&name.as_str()));
        headers.push((RETRY_COUNT.to_owned(), retries.to_string().into()));
        if let (Some(was), (_, false)) = (last_header(&self.entry.headers, RETRY_COUNT), self.retries()) {
            headers.push((RETRY_COUNT_WAS.to_owned(), was.slice(..was.len().min(WAS_BYTES_MAX))));
        }
        headers
    }

    fn sentence(&self) -> Bytes {
        self.error.chars().take(ERROR_CHARS_MAX).collect::<String>().into()
    }
}

/// A dead letter without its value, for a log that does not take it whole; `None` when it has none.
pub(super) fn without_value(letter: &LogRecord) -> Option<LogRecord> {
    if letter.value.is_empty() {
        return None;
    }
    let mut headers = letter.headers.clone();
    headers.push((VALUE_LEFT.to_owned(), "too large".into()));
    Some(LogRecord { value: Bytes::new(), headers, ..letter.clone() })
}

/// The last header of this name, which is the one in force.
pub(crate) fn last_header<'a>(headers: &'a [(String, Bytes)], name: &str) -> Option<&'a Bytes> {
    headers.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry;
    use hookfast_core::UnixMs;
    use proptest::prelude::*;

    fn failed(retry_count: &[&str]) -> Failed {
        let mut entry = entry(2, 17, "value");
        entry.appended_at = Some(UnixMs(1_700_000_000_000));
        entry.headers = vec![("trace".to_owned(), "t".into()), (ERROR.to_owned(), "the last one".into())];
        entry.headers.extend(retry_count.iter().map(|text| (RETRY_COUNT.to_owned(), (*text).to_owned().into())));
        Failed { entry, cause: "conflict", error: "x".repeat(2 * ERROR_CHARS_MAX), may_succeed: true }
    }

    fn texts(record: &LogRecord) -> Vec<(&str, &str)> {
        record.headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect()
    }

    #[test]
    fn a_retry_keeps_what_is_not_ours_and_counts_one_more() {
        let again = failed(&["1", "2"]).again(&"topic".into());
        let error = "x".repeat(ERROR_CHARS_MAX);
        assert_eq!(texts(&again), [("trace", "t"), (RETRY_COUNT, "3"), (ERROR, error.as_str())]);
        assert_eq!((again.key.as_deref(), again.value.as_ref()), (Some(b"key".as_ref()), b"value".as_ref()));
    }

    #[test]
    fn a_count_that_is_no_number_is_none_and_is_noted() {
        let again = failed(&["many"]).again(&"topic".into());
        assert_eq!(texts(&again)[1..3], [(RETRY_COUNT, "1"), (RETRY_COUNT_WAS, "many")]);
        for (count, read) in [("-1", (0, false)), ("99999999999", (0, false)), (" 2 ", (2, true)), ("", (0, false))] {
            assert_eq!(failed(&[count]).retries(), read, "{count}");
        }
        assert_eq!(failed(&[]).retries(), (0, true));
    }

    #[test]
    fn a_dead_letter_says_why_and_where_it_stood() {
        let letter = failed(&["3"]).dead_letter(&"t.dlq".into(), "t");
        let texts = texts(&letter);
        let ours = [(CAUSE, "conflict"), (ORIGIN_TOPIC, "t"), (ORIGIN_PARTITION, "2"), (ORIGIN_OFFSET, "17")];
        for header in ours.into_iter().chain([(ORIGIN_TIMESTAMP, "1700000000000"), (RETRY_COUNT, "3"), ("trace", "t")])
        {
            assert!(texts.contains(&header), "{header:?}: {texts:?}");
        }
        let small = without_value(&letter).unwrap();
        assert!(small.value.is_empty() && without_value(&small).is_none());
    }

    proptest! {
        #[test]
        fn no_header_panics(name in "retry_count|cause|x", value: Vec<u8>) {
            let mut failed = failed(&[]);
            failed.entry.headers.push((name, value.into()));
            failed.again(&"t".into());
            failed.dead_letter(&"t.dlq".into(), "t");
        }
    }
}
