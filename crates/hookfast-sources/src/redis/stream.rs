//! Reads the stream as its consumer group: first what this reader took and did not acknowledge, then what others left,
//! then what is new; and counts what the stream dropped in between. Must not know what entries mean.

use super::connect::Connection;
use super::entries::{Entry, START, Standing, of_claim, of_read};
use super::metrics::{Metrics, gauge};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, RedisResult, Value};
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// So long a call waits for a new entry.
pub(super) const BLOCK: Duration = Duration::from_secs(1);
/// Entries of one call.
const ENTRIES_MAX: usize = 128;

/// What is read, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) stream: String,
    pub(super) group: String,
    /// The same in every life and on every node of an installation, as one of them reads at a time: what one of them
    /// left unacknowledged is the next one's own.
    pub(super) consumer: String,
    pub(super) claim_after_ms: u64,
}

impl Reading {
    /// Reads until something fails; it never ends by itself. What was read goes to `entries`.
    pub(super) async fn run(
        &self,
        connection: Connection,
        entries: &mpsc::Sender<Entry>,
        metrics: &Metrics,
    ) -> RedisError {
        let mut reader = Reader { reading: self, redis: connection.redis.clone(), entries, metrics };
        let mut is_first = true;
        loop {
            let ended = match reader.ensure_group(is_first).await {
                Ok(()) => reader.read().await,
                Err(error) => Err(error),
            };
            is_first = false;
            match ended {
                Err(error) if is_gone(&error) => {}
                Err(error) => return error,
                Ok(never) => match never {},
            }
        }
    }

    /// Ends entries: they are durable elsewhere.
    pub(super) async fn acknowledge(&self, redis: &mut MultiplexedConnection, ids: &[String]) -> RedisResult<()> {
        redis::cmd("XACK").arg(&self.stream).arg(&self.group).arg(ids).query_async(redis).await
    }

    /// How far the group is, for the metrics.
    pub(super) async fn observe(&self, redis: &mut MultiplexedConnection, metrics: &Metrics) -> RedisResult<()> {
        let groups: RedisResult<Value> = redis::cmd("XINFO").arg("GROUPS").arg(&self.stream).query_async(redis).await;
        let groups = match groups {
            // Whoever reads makes it.
            Err(error) if is_gone(&error) => return Ok(()),
            other => other?,
        };
        if let Some(standing) = Standing::of(Value::Nil, groups, &self.group) {
            let number = |number: u64| gauge(usize::try_from(number).unwrap_or(usize::MAX));
            metrics.lag.set(standing.lag.map_or(-1, number));
            metrics.pending.set(number(standing.pending));
        }
        Ok(())
    }
}

/// One connection that reads.
struct Reader<'a> {
    reading: &'a Reading,
    redis: MultiplexedConnection,
    entries: &'a mpsc::Sender<Entry>,
    metrics: &'a Metrics,
}

impl Reader<'_> {
    /// The group begins with the oldest entry that there is.
    async fn ensure_group(&mut self, is_first: bool) -> RedisResult<()> {
        let Reading { stream, group, .. } = self.reading;
        let mut make = redis::cmd("XGROUP");
        make.arg("CREATE").arg(stream).arg(group).arg(START).arg("MKSTREAM");
        match make.query_async(&mut self.redis).await {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
            Ok(()) if !is_first => {
                let anew = "the stream or its group was deleted; reading begins with its oldest entry";
                tracing::error!(stream, group, "{anew}");
                Ok(())
            }
            other => other,
        }
    }

    async fn read(&mut self) -> RedisResult<Infallible> {
        self.pending().await?;
        let look = Duration::from_millis(self.reading.claim_after_ms / 2);
        let mut looked_at: Option<Instant> = None;
        loop {
            if looked_at.is_none_or(|at| at.elapsed() >= look) {
                self.stale().await?;
                looked_at = Some(Instant::now());
            }
            let (latest, found) = self.new_entries().await?;
            if found.is_empty() {
                self.wait(&latest).await?;
            }
            self.pass_on(found).await?;
        }
    }

    /// What this consumer took in an earlier life, and did not acknowledge.
    async fn pending(&mut self) -> RedisResult<()> {
        let mut after = START.to_owned();
        loop {
            let found = of_read(self.read_group(&after).query_async(&mut self.redis).await?);
            let Some(last) = found.last() else { return Ok(()) };
            after.clone_from(&last.id);
            self.pass_on(found).await?;
        }
    }

    /// What any consumer took and did not acknowledge for long.
    async fn stale(&mut self) -> RedisResult<()> {
        let Reading { stream, group, consumer, claim_after_ms } = self.reading;
        let mut after = START.to_owned();
        loop {
            let mut claim = redis::cmd("XAUTOCLAIM");
            claim.arg(stream).arg(group).arg(consumer).arg(*claim_after_ms).arg(&after);
            let (next, found) = of_claim(claim.arg("COUNT").arg(ENTRIES_MAX).query_async(&mut self.redis).await?);
            self.pass_on(found).await?;
            if next == START {
                return Ok(());
            }
            after = next;
        }
    }

    /// New entries, and the stream's latest. How far the group is, is asked in the same moment, so that every entry that
    /// was dropped before it could be read is counted, and counted once.
    async fn new_entries(&mut self) -> RedisResult<(String, Vec<Entry>)> {
        let stream_name = &self.reading.stream;
        let mut ask = redis::pipe();
        ask.atomic();
        ask.cmd("XINFO").arg("STREAM").arg(stream_name).cmd("XINFO").arg("GROUPS").arg(stream_name);
        ask.add_command(self.read_group(">"));
        let (stream, groups, found): (Value, Value, Value) = ask.query_async(&mut self.redis).await?;
        let found = of_read(found);
        let Some(standing) = Standing::of(stream, groups, &self.reading.group) else {
            return Ok((START.to_owned(), found));
        };
        let gap = standing.gap();
        if gap > 0 {
            self.metrics.gaps.inc_by(gap);
            let dropped = "the stream dropped entries before they were read: let it keep more (MAXLEN)";
            tracing::error!(stream = stream_name, entries = gap, "{dropped}");
        }
        let is_new_group = standing.read.is_none() && standing.last == START;
        if let Some(removed) = standing.removed.filter(|_| gap > 0 || is_new_group) {
            // The server does not count what it dropped as read, and would be told of it again and again.
            let last = found.last().map_or(standing.last.as_str(), |entry| entry.id.as_str());
            self.count_as_read(last, removed + found.len() as u64).await?;
        }
        Ok((standing.latest, found))
    }

    /// The group is at the entry `last`, behind `read` entries.
    async fn count_as_read(&mut self, last: &str, read: u64) -> RedisResult<()> {
        let Reading { stream, group, .. } = self.reading;
        let mut set = redis::cmd("XGROUP");
        set.arg("SETID").arg(stream).arg(group).arg(last).arg("ENTRIESREAD").arg(read);
        set.query_async(&mut self.redis).await
    }

    fn read_group(&self, after: &str) -> Cmd {
        let Reading { stream, group, consumer, .. } = self.reading;
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(group).arg(consumer).arg("COUNT").arg(ENTRIES_MAX);
        read.arg("STREAMS").arg(stream).arg(after);
        read
    }

    /// Waits until there is an entry behind `latest`, or for a moment. It is not taken by this.
    async fn wait(&mut self, latest: &str) -> RedisResult<()> {
        let block_ms = u64::try_from(BLOCK.as_millis()).unwrap_or(1000);
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(block_ms).arg("STREAMS").arg(&self.reading.stream).arg(latest);
        read.query_async::<Value>(&mut self.redis).await.map(|_| ())
    }

    /// Hands entries over, as fast as they are taken. Those that are gone from the stream are counted and ended.
    async fn pass_on(&mut self, found: Vec<Entry>) -> RedisResult<()> {
        let mut gone = Vec::new();
        for entry in found {
            if entry.message.is_none() {
                gone.push(entry.id);
            } else if self.entries.send(entry).await.is_err() {
                // Nobody takes any more: the end.
                return std::future::pending().await;
            }
        }
        if !gone.is_empty() {
            self.metrics.gaps.inc_by(gone.len() as u64);
            let (stream, entries) = (&self.reading.stream, gone.len());
            tracing::error!(stream, entries, "the stream dropped entries before they were acknowledged");
            self.reading.acknowledge(&mut self.redis, &gone).await?;
        }
        Ok(())
    }
}

/// The stream or the group is not there.
fn is_gone(error: &RedisError) -> bool {
    let text = error.to_string();
    text.contains("NOGROUP") || text.contains("no such key")
}
