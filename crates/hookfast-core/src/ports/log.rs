//! The log: an optional durable buffer in front of the store. Its topics are read by consumers that share them by
//! partition. Must not know what its records mean.

use super::BoxFuture;
use crate::{Result, UnixMs};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A record to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Where to.
    pub topic: Arc<str>,
    /// Records with the same key stay in order; `None` spreads them.
    pub key: Option<Bytes>,
    /// What it says.
    pub value: Bytes,
    /// Beside it.
    pub headers: Vec<(String, Bytes)>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    /// The partition of its topic.
    pub partition: i32,
    /// Its number there.
    pub offset: i64,
}

/// Appending to the log.
pub trait Log: Send + Sync {
    /// Appends one record.
    ///
    /// `Ok`: every replica in sync has it (`acks=all`), and it is there once although the producer tried again. Errors:
    /// `Overloaded` when the buffer is full; `Unavailable` at once while no broker answers, or after
    /// `append_timeout_ms`, and then the record may be there all the same; `Invalid` when it is too large; `NotFound`
    /// when the topic does not exist; `Terminal` when it is not allowed. Cancel-safe: dropping the future does not
    /// undo what was sent.
    fn append(&self, record: LogRecord) -> BoxFuture<'_, Result<LogPosition>>;

    /// Did a broker answer lately? While `false`, [`Log::append`] refuses at once; asking again is cheap.
    fn is_available(&self) -> bool;
}

/// A record as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub at: LogPosition,
    /// When it was appended, if the log says.
    pub appended_at: Option<UnixMs>,
    /// Its key.
    pub key: Option<Bytes>,
    /// What it says; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Beside it; a name may come twice.
    pub headers: Vec<(String, Bytes)>,
}

/// A partition that is this reader's now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Which.
    pub partition: i32,
    /// Where the log itself thinks that its group goes on; `None` when it does not know.
    pub committed: Option<i64>,
}

/// What a reader has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogNews {
    /// These are this reader's from now on. Nothing is read of them until [`LogReader::start_at`] says where.
    Assigned(Vec<Assigned>),
    /// These are somebody else's from now on: what was read of them and is not stored is read by the new owner.
    Revoked(Vec<i32>),
    /// Records, in order within each partition; never empty.
    Entries(Vec<LogEntry>),
    /// The position of this partition is not in the log any more (it was deleted by the log's own retention, or the
    /// topic was made anew). Nothing more is read of it until [`LogReader::start_at`] is told where to go on.
    OutOfRange {
        /// Which.
        partition: i32,
        /// Where reading was to go on.
        wanted: i64,
        /// The earliest record there is.
        earliest: i64,
        /// One behind the latest.
        end: i64,
    },
    /// Nothing within the time given.
    Idle,
}

/// One member of a group that reads a topic.
pub trait LogReader: Send {
    /// What there is next: at most `entries_max` records, waiting at most `wait` for the first. A record that was not
    /// answered here yet is never skipped. Errors: `Unavailable` while the log is away (call again; it reconnects by
    /// itself); `NotFound` and `Terminal` when waiting will not help. Cancel-safe.
    fn next(&mut self, entries_max: usize, wait: Duration) -> BoxFuture<'_, Result<LogNews>>;

    /// Begins (or goes on) to read assigned partitions, each at an offset; `None` is the earliest there is. Partitions
    /// that are not this reader's any more are passed over.
    fn start_at(&mut self, positions: Vec<(i32, Option<i64>)>) -> BoxFuture<'_, Result<()>>;

    /// Tells the log how far the group came, for the log's own tools; nothing depends on it. Never blocks.
    fn note(&mut self, positions: &[(i32, i64)]);

    /// Leaves the group, so that others take over at once.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Reading the log.
pub trait LogReaders: Send + Sync {
    /// A new member of a group. Errors: `Invalid` for a name the log would not take.
    fn reader(&self, topic: &str, group: &str) -> Result<Box<dyn LogReader>>;

    /// Sees to it that a topic exists. Errors: `NotFound` when it does not and may not be made, with what to do;
    /// `Unavailable`; `Terminal`.
    fn ensure_topic<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Records of a topic as they stand, for looking at: from each partition's earliest (or `from`) on, at most `max`.
    /// Joins no group and moves nothing.
    fn peek<'a>(&'a self, topic: &'a str, from: Vec<(i32, i64)>, max: usize) -> BoxFuture<'a, Result<Vec<LogEntry>>>;
}
