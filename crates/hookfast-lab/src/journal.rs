//! What arrived at the receivers, written down before it is answered. Knows no sockets and judges nothing.

use crate::key::KeyHash;
use crate::{Error, EventKey, Result};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A path of a receiver, as the journal counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u32);

/// What a receiver found out about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Signature {
    /// No secret was given for the path.
    Unchecked = 0,
    /// It verifies.
    Good = 1,
    /// It is missing, wrong or too old.
    Bad = 2,
}

/// One request that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which event.
    pub event: EventKey,
    /// When it had arrived whole, in µs since the epoch.
    pub at_us: u64,
    /// From the intended send time in the body to here; [`Entry::NONE`] when the body carries none.
    pub lag_us: u32,
    /// From its arrival until its answer was sent or its connection broke; [`Entry::NONE`] before that.
    pub open_us: u32,
    /// Where it arrived.
    pub path: PathId,
    /// Which arrival of this event at this path, from 1.
    pub ordinal: u32,
    /// The status that the receiver set out to answer; 0 when it set out to misbehave instead.
    pub status: u16,
    /// Its signature.
    pub signature: Signature,
}

impl Entry {
    /// No value.
    pub const NONE: u32 = u32::MAX;

    /// The receiver accepted it (and so wants it no more).
    #[must_use]
    pub fn accepted(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Was its request open at `time_us`, or ended less than `before_us` earlier?
    #[must_use]
    pub fn in_flight_at(&self, time_us: u64, before_us: u64) -> bool {
        let ended = self.answered_us().unwrap_or(u64::MAX);
        self.at_us <= time_us && ended.saturating_add(before_us) >= time_us
    }

    /// When its answer was sent, in µs of the journal's clock; `None`: never.
    #[must_use]
    pub fn answered_us(&self) -> Option<u64> {
        (self.open_us != Self::NONE).then(|| self.at_us + u64::from(self.open_us))
    }
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    /// Counted when `entries` is full.
    dropped: u64,
    ordinals: HashMap<(u128, u32), u32, KeyHash>,
    ordinals_before: HashMap<(u128, u32), u32, KeyHash>,
    paths: Vec<Arc<str>>,
    path_ids: HashMap<Arc<str>, PathId>,
    file: Option<File>,
    line: String,
}

/// The log of one or several receivers. Cloning it shares it.
///
/// Memory is bounded by `entries_max`: beyond it arrivals are counted in [`Journal::dropped`] only, and a judge must
/// then refuse to judge.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    entries_max: usize,
}

/// How many (event, path) counters are kept at least, however few entries are.
const ORDINALS_MIN: usize = 1 << 16;

impl Journal {
    /// A journal in memory of at most `entries_max` entries (48 bytes each); 0 keeps only the ordinals of the newest
    /// arrivals.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self { inner: Arc::default(), entries_max }
    }

    /// The same, with room made for `expected` entries, so that no growing falls into a measurement.
    #[must_use]
    pub fn with_room(entries_max: usize, expected: usize) -> Self {
        let journal = Self::new(entries_max);
        let expected = expected.min(entries_max);
        let mut inner = journal.lock();
        inner.entries.reserve(expected);
        inner.ordinals.reserve(expected);
        drop(inner);
        journal
    }

    /// A journal that also appends a line per arrival to `file`, so that a judge in another process can read it.
    /// The line is in the system's hands before the request is answered.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn with_file(entries_max: usize, file: &Path) -> Result<Self> {
        let open = File::options().create(true).append(true).open(file);
        let open = open.map_err(Error::io(format!("journal {}", file.display())))?;
        let journal = Self::new(entries_max);
        journal.lock().file = Some(open);
        Ok(journal)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic between two plain assignments leaves nothing half-done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a path, given at its first use.
    #[must_use]
    pub fn path_id(&self, path: &str) -> PathId {
        let mut inner = self.lock();
        if let Some(id) = inner.path_ids.get(path) {
            return *id;
        }
        let id = PathId(u32::try_from(inner.paths.len()).unwrap_or(u32::MAX));
        let path: Arc<str> = path.into();
        inner.paths.push(path.clone());
        inner.path_ids.insert(path, id);
        id
    }

    /// The path of a number.
    #[must_use]
    pub fn path(&self, id: PathId) -> Option<Arc<str>> {
        self.lock().paths.get(id.0 as usize).cloned()
    }

    /// Writes an arrival down: `entry` without its ordinal and status, which `plan` decides from the ordinal.
    /// Answers the ordinal, and a ticket for [`Journal::ended`] when it was kept.
    pub fn record(&self, mut entry: Entry, plan: impl FnOnce(u32) -> u16) -> (u32, Option<usize>) {
        let mut inner = self.lock();
        entry.ordinal = inner.next_ordinal(entry.event, entry.path, self.entries_max.max(ORDINALS_MIN));
        entry.status = plan(entry.ordinal);
        inner.append_to_file(&entry);
        if inner.entries.len() >= self.entries_max {
            inner.dropped += 1;
            return (entry.ordinal, None);
        }
        inner.entries.push(entry);
        (entry.ordinal, Some(inner.entries.len() - 1))
    }

    /// Notes that the exchange of the arrival with this ticket ended at `now_us`.
    pub fn ended(&self, ticket: usize, now_us: u64) {
        if let Some(entry) = self.lock().entries.get_mut(ticket) {
            entry.open_us = us_between(entry.at_us, now_us);
        }
    }

    /// How many arrivals it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Nothing has arrived (or nothing is kept).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Arrivals that found no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Reads the entries from number `from` on.
    pub fn read<T>(&self, from: usize, reader: impl FnOnce(&[Entry]) -> T) -> T {
        reader(self.lock().entries.get(from..).unwrap_or_default())
    }

    /// A copy of all entries.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    /// Reads a file written by [`Journal::with_file`]; a torn last line is left out. Arrivals count as ended at once,
    /// as the file does not say when they were.
    ///
    /// # Errors
    /// When the file cannot be read, or a line that is not the last is not one of a journal.
    pub fn load(file: &Path) -> Result<Self> {
        let what = || format!("journal {}", file.display());
        let mut lines = BufReader::new(File::open(file).map_err(Error::io(what()))?).lines().peekable();
        let journal = Self::new(usize::MAX);
        while let Some(line) = lines.next() {
            let line = line.map_err(Error::io(what()))?;
            match journal.parse_line(&line) {
                Some(entry) => {
                    let mut inner = journal.lock();
                    inner.next_ordinal(entry.event, entry.path, usize::MAX);
                    inner.entries.push(entry);
                }
                None if lines.peek().is_none() => break,
                None => {
                    let reason = format!("{}: expected a line of a journal, found {line:?}", file.display());
                    return Err(Error::Invalid { field: "journal", reason });
                }
            }
        }
        Ok(journal)
    }

    fn parse_line(&self, line: &str) -> Option<Entry> {
        let mut words = line.strip_suffix(" .")?.splitn(7, ' ');
        let at_us = words.next()?.parse().ok()?;
        let event = EventKey::from_u128(u128::from_str_radix(words.next()?, 16).ok()?);
        let ordinal = words.next()?.parse().ok()?;
        let status = words.next()?.parse().ok()?;
        let signature = match words.next()? {
            "0" => Signature::Unchecked,
            "1" => Signature::Good,
            "2" => Signature::Bad,
            _ => return None,
        };
        let lag_us = words.next()?.parse().ok()?;
        let path = self.path_id(words.next()?);
        let open_us = if status == 0 { Entry::NONE } else { 0 };
        Some(Entry { event, at_us, lag_us, open_us, path, ordinal, status, signature })
    }
}

impl Inner {
    fn next_ordinal(&mut self, event: EventKey, path: PathId, ordinals_max: usize) -> u32 {
        let key = (event.as_u128(), path.0);
        if self.ordinals.len() >= ordinals_max {
            self.ordinals_before = std::mem::take(&mut self.ordinals);
        }
        let before = if self.ordinals_before.is_empty() { None } else { self.ordinals_before.get(&key).copied() };
        let count = self.ordinals.entry(key).or_insert(before.unwrap_or(0));
        *count += 1;
        *count
    }

    fn append_to_file(&mut self, entry: &Entry) {
        let Some(file) = &mut self.file else { return };
        let path = self.paths.get(entry.path.0 as usize).map_or("?", |path| path);
        self.line.clear();
        let Entry { event, at_us, lag_us, ordinal, status, signature, .. } = *entry;
        let (event, signature) = (event.as_u128(), signature as u8);
        let written = writeln!(self.line, "{at_us} {event:032x} {ordinal} {status} {signature} {lag_us} {path} .");
        if written.is_err() || file.write_all(self.line.as_bytes()).is_err() {
            // An arrival that could not be written must not pass as complete evidence.
            self.dropped += 1;
        }
    }
}

/// Microseconds between two points, capped below [`Entry::NONE`].
pub(crate) fn us_between(from_us: u64, to_us: u64) -> u32 {
    u32::try_from(to_us.saturating_sub(from_us)).unwrap_or(Entry::NONE).min(Entry::NONE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(journal: &Journal, event: u128, path: &str) -> Entry {
        Entry {
            event: EventKey::from_u128(event),
            at_us: 1000,
            lag_us: 7,
            open_us: Entry::NONE,
            path: journal.path_id(path),
            ordinal: 0,
            status: 0,
            signature: Signature::Good,
        }
    }

    #[test]
    fn arrivals_are_counted_per_event_and_path() {
        let journal = Journal::new(10);
        let count = |event, path| journal.record(arrival(&journal, event, path), |_| 200).0;
        assert_eq!([count(1, "/a"), count(1, "/a"), count(1, "/b"), count(2, "/a"), count(1, "/a")], [1, 2, 1, 1, 3]);
    }

    #[test]
    fn it_is_bounded_and_says_what_it_left_out() {
        let journal = Journal::new(2);
        for event in 0..5 {
            journal.record(arrival(&journal, event, "/"), |_| 200);
        }
        assert_eq!((journal.len(), journal.dropped()), (2, 3));
    }

    #[test]
    fn ordinals_survive_one_generation() {
        let mut inner = Inner::default();
        let path = PathId(0);
        for event in 0..4u128 {
            inner.next_ordinal(EventKey::from_u128(event), path, 4);
        }
        assert_eq!(inner.next_ordinal(EventKey::from_u128(2), path, 4), 2);
        assert!(inner.ordinals.len() <= 4 && inner.ordinals_before.len() <= 4);
    }

    #[test]
    fn the_file_reads_back_without_its_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("journal");
        let journal = Journal::with_file(10, &file).unwrap();
        journal.record(arrival(&journal, 5, "/with a space"), |_| 200);
        journal.record(arrival(&journal, 6, "/b"), |_| 0);
        std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"1000 00").unwrap();
        let back = Journal::load(&file).unwrap();
        let (first, second) = back.read(0, |entries| (entries[0], entries[1]));
        assert_eq!(back.len(), 2);
        assert_eq!(back.path(first.path).as_deref(), Some("/with a space"));
        assert_eq!((first.event.as_u128(), first.status, first.open_us), (5, 200, 0));
        assert_eq!((second.event.as_u128(), second.open_us), (6, Entry::NONE));
    }

    #[test]
    fn in_flight_means_open_or_just_answered() {
        let journal = Journal::new(1);
        let mut entry = arrival(&journal, 1, "/");
        entry.open_us = 500;
        assert!(entry.in_flight_at(1200, 0) && !entry.in_flight_at(1600, 0) && entry.in_flight_at(1600, 100));
        assert!(!entry.in_flight_at(999, 100));
        entry.open_us = Entry::NONE;
        assert!(entry.in_flight_at(u64::MAX / 2, 0));
    }
}
