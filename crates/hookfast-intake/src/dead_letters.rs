//! The dead letters of a topic: looking at them, and appending them to it again. Must not know which log, nor what the
//! records mean.
//!
//! What was replayed is remembered in the dead-letter topic itself, by a record that names the letters: it lives as long as
//! they do, and whoever replays next knows of it. A crash between the replay and that record repeats the replay, which
//! does no harm: the store knows an event again by its id or uid.

use crate::consumer::{
    CAUSE, DEAD_LETTERS_SUFFIX, ERROR, ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TIMESTAMP, ORIGIN_TOPIC, RETRY_COUNT,
    last_header,
};
use bytes::Bytes;
use futures_util::future::join_all;
use hookfast_core::ports::{Log, LogEntry, LogPosition, LogReaders, LogRecord};
use hookfast_core::{Error, Result, UnixMs};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Where a replayed record lay among the dead letters.
const REPLAYED_FROM: &str = "replayed_from";
/// Marks a record that names letters which were replayed; its value is one `partition:offset` a line.
const REPLAYED: &str = "replayed";
/// Headers of a dead letter that its replay does not keep.
const DROPPED: [&str; 8] =
    [RETRY_COUNT, ERROR, CAUSE, ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, ORIGIN_TIMESTAMP, REPLAYED_FROM];
/// Records that are read, or replayed, at a time.
const PAGE_RECORDS: usize = 100;
/// Replayed letters that are remembered while the topic is looked through.
const REPLAYED_MAX: usize = 1_000_000;

/// Positions of a topic that are known: of each partition, the offset that comes next.
type Positions = BTreeMap<i32, i64>;

/// A record that could not be processed.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The record as it lies in the dead-letter topic.
    pub entry: LogEntry,
    /// It was appended to its own topic again.
    pub is_replayed: bool,
}

impl DeadLetter {
    /// Why it is here, as a word.
    #[must_use]
    pub fn cause(&self) -> String {
        self.text(CAUSE).unwrap_or_default()
    }

    /// What went wrong, as a sentence.
    #[must_use]
    pub fn error(&self) -> String {
        self.text(ERROR).unwrap_or_default()
    }

    /// How often it had been tried again.
    #[must_use]
    pub fn retry_count(&self) -> u32 {
        self.number(RETRY_COUNT).and_then(|count| count.try_into().ok()).unwrap_or(0)
    }

    /// The topic it stood in, as its header says.
    #[must_use]
    pub fn origin_topic(&self) -> Option<String> {
        self.text(ORIGIN_TOPIC)
    }

    /// Where it stood there.
    #[must_use]
    pub fn origin(&self) -> Option<LogPosition> {
        let partition = self.number(ORIGIN_PARTITION)?.try_into().ok()?;
        Some(LogPosition { partition, offset: self.number(ORIGIN_OFFSET)? })
    }

    /// When it was appended there.
    #[must_use]
    pub fn origin_timestamp(&self) -> Option<UnixMs> {
        self.number(ORIGIN_TIMESTAMP).map(UnixMs)
    }

    fn text(&self, name: &str) -> Option<String> {
        last_header(&self.entry.headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }
}

/// What one look through the topic found.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    replayed: HashSet<(i32, i64)>,
    ends: Positions,
}

/// A part of the list of dead letters.
#[derive(Clone, Debug, Default)]
pub struct LetterPage {
    /// In order within each partition; may be empty although more follow.
    pub letters: Vec<DeadLetter>,
    /// Where the next part begins: of each partition seen, the offset that comes next.
    pub next: Vec<(i32, i64)>,
    /// There is nothing more.
    pub is_last: bool,
}

/// Which dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one.
    All,
    /// The one that lies there.
    At(LogPosition),
    /// Those with this cause.
    Cause(String),
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Appended again now (or to be, if it is only looked at).
    pub replayed: u64,
    /// Passed over: they were replayed before.
    pub before: u64,
    /// Passed over: they have no value, for it was too large for the dead-letter topic. It lies at their origin.
    pub without_value: u64,
}

/// The dead letters of one topic.
pub struct DeadLetters {
    log: Arc<dyn Log>,
    readers: Arc<dyn LogReaders>,
    origin: Arc<str>,
    topic: Arc<str>,
}

impl DeadLetters {
    /// Those of `topic`, which may also be named as the dead-letter topic itself.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, readers: Arc<dyn LogReaders>, topic: &str) -> Self {
        let origin = topic.strip_suffix(DEAD_LETTERS_SUFFIX).unwrap_or(topic);
        Self { log, readers, origin: origin.into(), topic: format!("{origin}{DEAD_LETTERS_SUFFIX}").into() }
    }

    /// The topic they lie in.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Reads the whole topic once: which were replayed, and where it ends. Errors: as of [`LogReaders::peek`].
    pub async fn overview(&self) -> Result<Overview> {
        let mut overview = Overview::default();
        loop {
            let entries = self.read(&overview.ends, PAGE_RECORDS).await?;
            if entries.is_empty() {
                return Ok(overview);
            }
            pass(&mut overview.ends, &entries);
            overview.replayed.extend(entries.iter().filter(|entry| is_mark(entry)).flat_map(named));
            if overview.replayed.len() > REPLAYED_MAX {
                let reason = format!("{}: more than {REPLAYED_MAX} replayed letters lie there", self.topic);
                return Err(Error::Terminal { reason });
            }
        }
    }

    /// A few of them, at most `max`, from the earliest on or where an earlier part ended. Errors: as of
    /// [`LogReaders::peek`].
    pub async fn list(&self, overview: &Overview, from: &[(i32, i64)], max: usize) -> Result<LetterPage> {
        let mut next: Positions = from.iter().copied().collect();
        let entries = self.read(&next, max.min(PAGE_RECORDS)).await?;
        pass(&mut next, &entries);
        let is_last = entries.is_empty();
        Ok(LetterPage { letters: overview.letters(entries).collect(), next: next.into_iter().collect(), is_last })
    }

    /// The one that lies there. Errors: `NotFound`; as of [`LogReaders::peek`].
    pub async fn get(&self, overview: &Overview, at: LogPosition) -> Result<DeadLetter> {
        // Of the other partitions nothing is wanted.
        let mut from: Positions = overview.ends.keys().map(|partition| (*partition, i64::MAX)).collect();
        from.insert(at.partition, at.offset);
        let found = overview.letters(self.read(&from, 1).await?).find(|letter| letter.entry.at == at);
        found.ok_or(Error::NotFound { what: "dead letter" })
    }

    /// Appends them to their topic again, as if they had never been tried, and remembers it: what was replayed is passed
    /// over from then on. Letters that came after the overview are left. `only_look` changes nothing. `progress` is told
    /// after each step. Errors: `NotFound` when one is asked for that is not there; as of [`LogReaders::peek`] and
    /// [`Log::append`], and then what was replayed until then is remembered.
    pub async fn replay(
        &self,
        overview: &Overview,
        which: &Which,
        only_look: bool,
        mut progress: impl FnMut(Replayed),
    ) -> Result<Replayed> {
        let mut sum = Replayed::default();
        let mut next = Positions::new();
        if let Which::At(at) = which {
            self.step(vec![self.get(overview, *at).await?], only_look, &mut sum).await?;
            return Ok(sum);
        }
        loop {
            let mut entries = self.read(&next, PAGE_RECORDS).await?;
            if entries.is_empty() {
                return Ok(sum);
            }
            pass(&mut next, &entries);
            for late in entries.extract_if(.., |entry| !overview.covers(entry.at)) {
                // What was replayed may fail again, and come back here for ever.
                next.insert(late.at.partition, i64::MAX);
            }
            let wanted = |letter: &DeadLetter| match which {
                Which::Cause(cause) => letter.cause() == *cause,
                Which::All | Which::At(_) => true,
            };
            self.step(overview.letters(entries).filter(wanted).collect(), only_look, &mut sum).await?;
            progress(sum);
        }
    }

    /// Replays a few.
    async fn step(&self, letters: Vec<DeadLetter>, only_look: bool, sum: &mut Replayed) -> Result<()> {
        let mut records = Vec::with_capacity(letters.len());
        for letter in letters {
            if letter.is_replayed {
                sum.before += 1;
            } else if letter.entry.value.as_ref().is_none_or(Bytes::is_empty) {
                sum.without_value += 1;
            } else {
                records.push((letter.entry.at, self.again(letter.entry)));
            }
        }
        if only_look || records.is_empty() {
            sum.replayed += records.len() as u64;
            return Ok(());
        }
        let appends = records.into_iter().map(|(at, record)| async move { self.log.append(record).await.map(|_| at) });
        let (mut done, mut fault) = (Vec::new(), None);
        for outcome in join_all(appends).await {
            match outcome {
                Ok(at) => done.push(at),
                Err(error) => fault = Some(error),
            }
        }
        sum.replayed += done.len() as u64;
        self.remember(&done).await?;
        fault.map_or(Ok(()), Err)
    }

    /// The record that a letter becomes.
    fn again(&self, letter: LogEntry) -> LogRecord {
        let mut headers = letter.headers;
        headers.retain(|(name, _)| !DROPPED.contains(&name.as_str()));
        let from = format!("{}/{}", self.topic, name(letter.at));
        headers.push((RETRY_COUNT.to_owned(), "0".into()));
        headers.push((REPLAYED_FROM.to_owned(), from.into()));
        let value = letter.value.unwrap_or_default();
        LogRecord { topic: Arc::clone(&self.origin), key: letter.key, value, headers }
    }

    /// Writes down which were replayed.
    async fn remember(&self, letters: &[LogPosition]) -> Result<()> {
        if letters.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = letters.iter().copied().map(name).collect();
        let headers = vec![(REPLAYED.to_owned(), letters.len().to_string().into())];
        let record = LogRecord { topic: Arc::clone(&self.topic), key: None, value: names.join("\n").into(), headers };
        self.log.append(record).await.map(drop)
    }

    async fn read(&self, from: &Positions, max: usize) -> Result<Vec<LogEntry>> {
        let from = from.iter().map(|(partition, offset)| (*partition, *offset)).collect();
        self.readers.peek(&self.topic, from, max).await
    }
}

impl Overview {
    fn covers(&self, at: LogPosition) -> bool {
        self.ends.get(&at.partition).is_some_and(|end| at.offset < *end)
    }

    fn letters(&self, entries: Vec<LogEntry>) -> impl Iterator<Item = DeadLetter> {
        let letters = entries.into_iter().filter(|entry| !is_mark(entry));
        letters.map(|entry| {
            let is_replayed = self.replayed.contains(&(entry.at.partition, entry.at.offset));
            DeadLetter { entry, is_replayed }
        })
    }
}

/// Moves positions behind what was read.
fn pass(next: &mut Positions, entries: &[LogEntry]) {
    next.extend(entries.iter().map(|entry| (entry.at.partition, entry.at.offset + 1)));
}

fn is_mark(entry: &LogEntry) -> bool {
    last_header(&entry.headers, REPLAYED).is_some()
}

/// The letters that a mark names.
fn named(mark: &LogEntry) -> Vec<(i32, i64)> {
    let text = mark.value.as_ref().map(|value| String::from_utf8_lossy(value)).unwrap_or_default();
    text.lines().filter_map(parse).collect()
}

fn name(at: LogPosition) -> String {
    format!("{}:{}", at.partition, at.offset)
}

fn parse(text: &str) -> Option<(i32, i64)> {
    let (partition, offset) = text.split_once(':')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryLog;

    const TOPIC: &str = "t";

    /// A topic with dead letters, three in one partition and one in another; the causes as given.
    async fn dead(causes: &[&str]) -> (Arc<MemoryLog>, DeadLetters) {
        let log = Arc::new(MemoryLog::with_partitions(2));
        for (number, cause) in causes.iter().enumerate() {
            let header = |name: &str, value: &str| (name.to_owned(), Bytes::from(value.to_owned()));
            let headers = vec![
                header("trace", "t"),
                header(CAUSE, cause),
                header(ERROR, "a sentence"),
                header(RETRY_COUNT, "3"),
                header(ORIGIN_PARTITION, "1"),
                header(ORIGIN_OFFSET, "7"),
            ];
            let (topic, value) = (Arc::from("t.dlq"), format!("value {number}").into());
            let key = Some(Bytes::from(format!("key {number}")));
            log.append(LogRecord { topic, key, value, headers }).await.unwrap();
        }
        let letters = DeadLetters::new(log.clone(), log.clone(), TOPIC);
        (log, letters)
    }

    async fn replay(letters: &DeadLetters, which: &Which, only_look: bool) -> Result<Replayed> {
        letters.replay(&letters.overview().await?, which, only_look, |_| ()).await
    }

    #[tokio::test]
    async fn letters_are_listed_page_by_page_with_their_cause() {
        let causes: Vec<&str> = (0..250).map(|number| if number % 2 == 0 { "conflict" } else { "invalid" }).collect();
        let (_log, letters) = dead(&causes).await;
        let (mut seen, mut from, overview) = (HashSet::new(), Vec::new(), letters.overview().await.unwrap());
        loop {
            let page = letters.list(&overview, &from, 70).await.unwrap();
            assert!(page.letters.len() <= 70);
            seen.extend(page.letters.iter().map(|letter| (letter.entry.at.partition, letter.entry.at.offset)));
            from = page.next;
            if page.is_last {
                break;
            }
        }
        assert_eq!(seen.len(), 250);
        let one = &letters.list(&overview, &[], 1).await.unwrap().letters[0];
        assert_eq!((one.cause().as_str(), one.error().as_str(), one.retry_count()), ("conflict", "a sentence", 3));
        assert_eq!(one.origin(), Some(LogPosition { partition: 1, offset: 7 }));
        assert_eq!(letters.get(&overview, one.entry.at).await.unwrap().entry, one.entry);
        let nowhere = LogPosition { partition: 0, offset: 10_000 };
        assert!(matches!(letters.get(&overview, nowhere).await, Err(Error::NotFound { .. })));
    }

    #[tokio::test]
    async fn a_replay_begins_anew_and_is_not_repeated() {
        let (log, letters) = dead(&["conflict", "invalid", "conflict"]).await;
        let conflicts = Which::Cause("conflict".to_owned());
        let looked = replay(&letters, &conflicts, true).await.unwrap();
        assert_eq!((looked.replayed, log.records(TOPIC).len()), (2, 0));
        let done = replay(&letters, &conflicts, false).await.unwrap();
        assert_eq!((done.replayed, done.before), (2, 0));
        let records = log.records(TOPIC);
        let headers: Vec<&str> = records[0].headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(headers, ["trace", RETRY_COUNT, REPLAYED_FROM]);
        assert_eq!(last_header(&records[0].headers, RETRY_COUNT).unwrap().as_ref(), b"0");
        assert_eq!(records[0].key.as_deref(), Some(b"key 0".as_ref()));
        let all = replay(&letters, &Which::All, false).await.unwrap();
        assert_eq!((all.replayed, all.before, log.records(TOPIC).len()), (1, 2, 3));
        let page = letters.list(&letters.overview().await.unwrap(), &[], 10).await.unwrap();
        assert!(page.letters.len() == 3 && page.letters.iter().all(|letter| letter.is_replayed));
        let again = replay(&letters, &Which::At(page.letters[0].entry.at), false).await.unwrap();
        assert_eq!((again.replayed, again.before), (0, 1));
    }

    #[tokio::test]
    async fn what_dies_again_while_it_is_replayed_is_left_for_the_next_time() {
        let (log, letters) = dead(&["conflict"; 3]).await;
        let overview = letters.overview().await.unwrap();
        let headers = vec![(CAUSE.to_owned(), "conflict".into())];
        let late = LogRecord { topic: "t.dlq".into(), key: None, value: "late".into(), headers };
        for _ in 0..2 {
            log.append(late.clone()).await.unwrap();
        }
        let done = letters.replay(&overview, &Which::All, false, |_| ()).await.unwrap();
        assert_eq!((done.replayed, log.records(TOPIC).len()), (3, 3));
    }

    #[tokio::test]
    async fn what_was_replayed_before_a_failure_is_remembered() {
        let (log, letters) = dead(&["conflict", "conflict", "conflict"]).await;
        log.fail_next(TOPIC, Error::Unavailable { reason: "no broker".into() });
        assert!(matches!(replay(&letters, &Which::All, false).await, Err(Error::Unavailable { .. })));
        let rest = replay(&letters, &Which::All, false).await.unwrap();
        assert_eq!((rest.replayed, rest.before, log.records(TOPIC).len()), (1, 2, 3));
    }
}
