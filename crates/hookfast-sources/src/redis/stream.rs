//! Reads the stream as its consumer group: first what this reader took and did not acknowledge, then what others left,
//! then what is new; and counts what the stream dropped in between. Must not know what entries mean.

use super::connect::Connection;
use super::entries::{Entry, START, Standing, of_claim, of_read};
use super::metrics::{Metrics, gauge};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, RedisResult, Value};
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
        mut connection: Connection,
        entries: &mpsc::Sender<Entry>,
        metrics: &Metrics,
    ) -> RedisError {
        let redis = &mut connection.redis;
        let mut is_first = true;
        loop {
            let ended = match self.ensure_group(redis, is_first).await {
                Ok(()) => self.read(redis, entries, metrics).await,
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

    /// The group begins with the oldest entry that there is.
    async fn ensure_group(&self, redis: &mut MultiplexedConnection, is_first: bool) -> RedisResult<()> {
        let made: RedisResult<()> = redis::cmd("XGROUP")
            .arg("CREATE")
            .arg(&self.stream)
            .arg(&self.group)
            .arg(START)
            .arg("MKSTREAM")
            .query_async(redis)
            .await;
        match made {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
            Ok(()) if !is_first => {
                let (stream, group) = (&self.stream, &self.group);
                tracing::error!(
                    stream,
                    group,
                    "the stream or its group was deleted; reading begins with its oldest entry"
                );
                Ok(())
            }
            other => other,
        }
    }

    async fn read(
        &self,
        redis: &mut MultiplexedConnection,
        entries: &mpsc::Sender<Entry>,
        metrics: &Metrics,
    ) -> RedisResult<std::convert::Infallible> {
        self.pending(redis, entries, metrics).await?;
        let mut looked_at: Option<Instant> = None;
        loop {
            let look = Duration::from_millis(self.claim_after_ms / 2);
            if looked_at.is_none_or(|at| at.elapsed() >= look) {
                self.stale(redis, entries, metrics).await?;
                looked_at = Some(Instant::now());
            }
            let (latest, found) = self.new_entries(redis, metrics).await?;
            if found.is_empty() {
                self.wait(redis, &latest).await?;
            }
            self.pass_on(redis, found, entries, metrics).await?;
        }
    }

    /// What this consumer took in an earlier life, and did not acknowledge.
    async fn pending(
        &self,
        redis: &mut MultiplexedConnection,
        entries: &mpsc::Sender<Entry>,
        metrics: &Metrics,
    ) -> RedisResult<()> {
        let mut after = START.to_owned();
        loop {
            let found = of_read(self.read_group(&after).query_async(redis).await?);
            let Some(last) = found.last() else { return Ok(()) };
            after.clone_from(&last.id);
            self.pass_on(redis, found, entries, metrics).await?;
        }
    }

    /// What any consumer took and did not acknowledge for long.
    async fn stale(
        &self,
        redis: &mut MultiplexedConnection,
        entries: &mpsc::Sender<Entry>,
        metrics: &Metrics,
    ) -> RedisResult<()> {
        let mut after = START.to_owned();
        loop {
            let mut claim = redis::cmd("XAUTOCLAIM");
            claim.arg(&self.stream).arg(&self.group).arg(&self.consumer).arg(self.claim_after_ms).arg(&after);
            let (next, found) = of_claim(claim.arg("COUNT").arg(ENTRIES_MAX).query_async(redis).await?);
            self.pass_on(redis, found, entries, metrics).await?;
            if next == START {
                return Ok(());
            }
            after = next;
        }
    }

    /// New entries, and the stream's latest. How far the group is, is asked in the same moment, so that every entry that
    /// was dropped before it could be read is counted, and counted once.
    async fn new_entries(
        &self,
        redis: &mut MultiplexedConnection,
        metrics: &Metrics,
    ) -> RedisResult<(String, Vec<Entry>)> {
        let mut ask = redis::pipe();
        ask.atomic();
        ask.cmd("XINFO").arg("STREAM").arg(&self.stream).cmd("XINFO").arg("GROUPS").arg(&self.stream);
        ask.add_command(self.read_group(">"));
        let (stream, groups, found): (Value, Value, Value) = ask.query_async(redis).await?;
        let found = of_read(found);
        let Some(standing) = Standing::of(stream, groups, &self.group) else { return Ok((START.to_owned(), found)) };
        let gap = standing.gap();
        let is_new_group = standing.read.is_none() && standing.last == START;
        if gap > 0 {
            metrics.gaps.inc_by(gap);
            let stream = &self.stream;
            tracing::error!(
                stream,
                entries = gap,
                "the stream dropped entries before they were read: let it keep more (MAXLEN)"
            );
        }
        if gap > 0 || is_new_group {
            // The server does not count what it dropped as read, and would be told of it again and again.
            let last = found.last().map_or(standing.last.as_str(), |entry| entry.id.as_str());
            let read = standing.removed.unwrap_or(0) + found.len() as u64;
            self.correct(redis, last, read, standing.removed.is_some()).await?;
        }
        Ok((standing.latest, found))
    }

    async fn correct(&self, redis: &mut MultiplexedConnection, last: &str, read: u64, counts: bool) -> RedisResult<()> {
        if !counts {
            return Ok(());
        }
        let mut set = redis::cmd("XGROUP");
        set.arg("SETID").arg(&self.stream).arg(&self.group).arg(last).arg("ENTRIESREAD").arg(read);
        set.query_async(redis).await
    }

    fn read_group(&self, after: &str) -> Cmd {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group).arg(&self.consumer).arg("COUNT").arg(ENTRIES_MAX);
        read.arg("STREAMS").arg(&self.stream).arg(after);
        read
    }

    /// Waits until there is an entry behind `latest`, or for a moment. It is not taken by this.
    async fn wait(&self, redis: &mut MultiplexedConnection, latest: &str) -> RedisResult<()> {
        let block_ms = u64::try_from(BLOCK.as_millis()).unwrap_or(1000);
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(block_ms).arg("STREAMS").arg(&self.stream).arg(latest);
        read.query_async::<Value>(redis).await.map(|_| ())
    }

    /// Hands entries over, as fast as they are taken. Those that are gone from the stream are counted and ended.
    async fn pass_on(
        &self,
        redis: &mut MultiplexedConnection,
        found: Vec<Entry>,
        entries: &mpsc::Sender<Entry>,
        metrics: &Metrics,
    ) -> RedisResult<()> {
        let mut gone = Vec::new();
        for entry in found {
            if entry.message.is_none() {
                gone.push(entry.id);
            } else if entries.send(entry).await.is_err() {
                // Nobody takes any more: the end.
                return std::future::pending().await;
            }
        }
        if !gone.is_empty() {
            metrics.gaps.inc_by(gone.len() as u64);
            let stream = &self.stream;
            tracing::error!(stream, entries = gone.len(), "the stream dropped entries before they were acknowledged");
            self.acknowledge(redis, &gone).await?;
        }
        Ok(())
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

/// The stream or the group is not there.
fn is_gone(error: &RedisError) -> bool {
    let text = error.to_string();
    text.contains("NOGROUP") || text.contains("no such key")
}
