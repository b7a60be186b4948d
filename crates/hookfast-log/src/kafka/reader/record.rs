//! From the client's message to an entry of the log. Must not know who reads it.

use bytes::Bytes;
use hookfast_core::UnixMs;
use hookfast_core::ports::{LogEntry, LogPosition};
use rdkafka::Message as _;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// In place of a header's name that is no text.
const NO_TEXT: &str = "(not UTF-8)";

/// Copies a message out of the client's memory.
pub(in crate::kafka) fn entry(message: &BorrowedMessage<'_>) -> LogEntry {
    LogEntry {
        at: LogPosition { partition: message.partition(), offset: message.offset() },
        appended_at: message.timestamp().to_millis().map(UnixMs),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: message.headers().map(copied).unwrap_or_default(),
    }
}

/// Its size, about.
pub(super) fn bytes(entry: &LogEntry) -> usize {
    let headers: usize = entry.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let key = entry.key.as_ref().map_or(0, Bytes::len);
    size_of::<LogEntry>() + key + entry.value.as_ref().map_or(0, Bytes::len) + headers
}

fn copied(headers: &BorrowedHeaders) -> Vec<(String, Bytes)> {
    let read = |at| {
        // Anybody may append anything, and the client panics at a name that is no text.
        let header = catch_unwind(AssertUnwindSafe(|| headers.get(at)));
        let Ok(header) = header else { return (NO_TEXT.to_owned(), Bytes::new()) };
        (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
    };
    (0..headers.count()).map(read).collect()
}
