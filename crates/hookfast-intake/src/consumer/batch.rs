//! What was read and is not being stored yet. Must not know where it comes from, nor where it goes.

use super::decode::Decoded;
use hookfast_core::Result;
use hookfast_core::ports::LogEntry;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// A record with what it says, or with what is wrong with it.
pub(super) struct Read {
    pub(super) entry: LogEntry,
    pub(super) decoded: Result<Decoded>,
}

/// Records in the order they were read.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Read>,
    pub(super) bytes: usize,
    /// When the first of them came.
    pub(super) since: Option<Instant>,
}

impl Batch {
    /// Adds a record.
    pub(super) fn push(&mut self, read: Read) {
        self.since.get_or_insert_with(Instant::now);
        self.bytes += weight(&read.entry);
        self.records.push(read);
    }

    /// Drops what was read of these partitions: it is somebody else's now.
    pub(super) fn forget(&mut self, partitions: &[i32]) {
        self.records.retain(|read| !partitions.contains(&read.entry.at.partition));
        self.bytes = self.records.iter().map(|read| weight(&read.entry)).sum();
        if self.records.is_empty() {
            self.since = None;
        }
    }

    /// Of each partition, the offset behind the last record.
    pub(super) fn positions(&self) -> Vec<(i32, i64)> {
        let ends = self.records.iter().map(|read| (read.entry.at.partition, read.entry.at.offset + 1));
        // A later record of a partition replaces an earlier one.
        ends.collect::<BTreeMap<i32, i64>>().into_iter().collect()
    }
}

/// The bytes a record takes.
fn weight(entry: &LogEntry) -> usize {
    let headers: usize = entry.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    headers + entry.value.as_ref().map_or(0, bytes::Bytes::len) + entry.key.as_ref().map_or(0, bytes::Bytes::len)
}
