//! Background work, in steps small enough not to be felt. Each step is one transaction of the node that owns the duty; a
//! duty is taken over when its owner has ended. Must not know who calls the steps, nor how often.

mod audit;
mod cancel;
mod ends;
mod expire;
mod fan_out;
mod leftovers;
mod retention;
mod roll_up;
mod tables;

use super::changes::News;
use super::db::{Run, Session};
use super::exclusive::owns;
use super::wire::Uuid;
use super::{PostgresStore, Shared, codec, missing, node, replay};
use crate::{Error, Result};
use hookfast_core::UnixMs;
use hookfast_core::ports::{BoxFuture, Duty, Maintenance, Node, NodeState, Step};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
pub(crate) use tables::make_partitions;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Nodes in one list.
const NODES_MAX: i64 = 1_000;
const DAY_MS: u64 = 86_400_000;

/// What a step did, to be told once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Rows it changed.
    pub(crate) rows: u64,
    /// There is more to do now.
    pub(crate) more: bool,
    /// Endpoints, by number, with new rows in the queue.
    pub(crate) endpoints: BTreeSet<i64>,
    /// Pairs without rows that nobody had in memory.
    pub(crate) strays: u64,
    /// Events that are gone for ever.
    pub(crate) purged: u64,
}

/// Asks in one round trip whether a live node owns a duty, and whether there is something to do.
macro_rules! look {
    ($work:literal) => {
        concat!(
            "SELECT (SELECT d.owner FROM hookfast.duties d JOIN hookfast.nodes n ON n.incarnation = d.owner
               WHERE d.name = $1 AND n.state = 0), ",
            $work
        )
    };
}

fn look(duty: Duty) -> &'static str {
    match duty {
        Duty::FanOut => look!("EXISTS (SELECT FROM hookfast.fanout)"),
        Duty::Tasks => look!("EXISTS (SELECT FROM hookfast.tasks WHERE status = 0)"),
        Duty::Cancel => look!("EXISTS (SELECT FROM hookfast.cancels)"),
        Duty::RollUp => look!("EXISTS (SELECT FROM hookfast.stats_log)"),
        Duty::Retention | Duty::Expire | Duty::Audit | Duty::Partitions => look!("true"),
    }
}

async fn step(shared: &Shared, duty: Duty) -> Result<Step> {
    let mut session = shared.db.session().await?;
    // Most looks find nothing: they write nothing, not even the fence.
    let seen = session.one(look(duty), &[(&duty.as_str(), Type::TEXT)]).await?;
    match (seen.try_get::<_, Option<i64>>(0)?, seen.try_get(1)?) {
        (Some(owner), _) if owner != shared.incarnation => return Ok(Step::default()),
        (Some(_), false) => return Ok(Step::default()),
        _ => {}
    }
    let tx = session.begin().await?;
    node::fence(&tx, shared.incarnation).await?;
    if !owns(&tx, shared, duty.as_str()).await? {
        return Ok(Step::default());
    }
    let work = match duty {
        Duty::Retention => retention::step(&tx, shared).await?,
        Duty::FanOut => fan_out::step(&tx, shared).await?,
        Duty::Cancel => cancel::step(&tx, shared).await?,
        Duty::Expire => expire::step(&tx, shared).await?,
        Duty::Tasks => replay::step(&tx, shared).await?,
        Duty::Audit => audit::step(&tx, shared).await?,
        Duty::RollUp => roll_up::step(&tx).await?,
        // Makes its tables one transaction each, below.
        Duty::Partitions => Work::default(),
    };
    tx.commit().await?;
    let mut rows = work.rows;
    if duty == Duty::Partitions {
        rows += make_partitions(&mut session, &shared.config.retention_classes_days, shared.clock.now()).await?;
        tables::report_rest(&session).await?;
    }
    tell(shared, &session, &work).await;
    Ok(Step { rows, more: work.more })
}

async fn tell(shared: &Shared, session: &Session, work: &Work) {
    if work.strays > 0 {
        let strays = work.strays;
        tracing::error!(strays, "deliveries without rows were found and queued: please report this");
        shared.counters.strays.fetch_add(strays, Ordering::Relaxed);
    }
    shared.counters.purged_events.fetch_add(work.purged, Ordering::Relaxed);
    missing::wake(shared, session, &work.endpoints, News::Queued).await;
}

/// How far a walk over the store came; before everything when it did not begin.
async fn cursor(run: &impl Run, name: &str) -> Result<Uuid> {
    let found = run.opt("SELECT at FROM hookfast.cursors WHERE name = $1", &[(&name, Type::TEXT)]).await?;
    found.map_or(Ok(Uuid::MIN), |row| Ok(row.try_get(0)?))
}

async fn set_cursor(run: &impl Run, name: &str, at: Uuid) -> Result<()> {
    let sql = "INSERT INTO hookfast.cursors (name, at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET at = $2";
    run.change(sql, &[(&name, Type::TEXT), (&at, Type::UUID)]).await.map(drop)
}

/// A walk over endpoints, a page of their numbers at a time. A page is looked at until nothing of it is left to do.
struct Walk {
    name: &'static str,
    after: i64,
}

impl Walk {
    /// Endpoints of one page.
    const PAGE: usize = 1_000;

    async fn begin(run: &impl Run, name: &'static str) -> Result<Self> {
        let at = cursor(run, name).await?;
        Ok(Self { name, after: codec::narrow(at.0)? })
    }

    /// Goes on behind a page of which everything is done. Answers whether pages are left.
    async fn done(self, run: &impl Run, page: &[i64]) -> Result<bool> {
        let last = page.last().filter(|_| page.len() >= Self::PAGE).copied();
        let next = last.unwrap_or(0);
        if next != self.after {
            set_cursor(run, self.name, Uuid(codec::narrow(next)?)).await?;
        }
        Ok(last.is_some())
    }
}

async fn nodes(shared: &Shared) -> Result<Vec<Node>> {
    let session = shared.db.session().await?;
    let since = shared.clock.now().minus_ms(DAY_MS).0;
    let rows = session
        .rows(
            "SELECT n.incarnation, n.name, n.version, n.state, n.started_at, coalesce(b.seen_at, n.started_at),
               (SELECT count(*) FROM hookfast.queue q WHERE q.lease_owner = n.incarnation),
               ARRAY(SELECT d.name FROM hookfast.duties d WHERE d.owner = n.incarnation AND n.state = 0
                 AND d.name NOT LIKE 'throttle:%' ORDER BY d.name),
               (SELECT count(*) FROM hookfast.duties d WHERE d.owner = n.incarnation AND n.state = 0
                 AND d.name LIKE 'throttle:%'),
               n.roles
             FROM hookfast.nodes n LEFT JOIN hookfast.beats b USING (incarnation)
             WHERE n.state = 0 OR n.ended_at > $1 ORDER BY n.incarnation DESC LIMIT $2",
            &[(&since, Type::INT8), (&NODES_MAX, Type::INT8)],
        )
        .await?;
    rows.iter().map(read_node).collect()
}

fn read_node(row: &Row) -> Result<Node> {
    let (mut duties, throttles): (Vec<String>, i64) = (row.try_get(7)?, row.try_get(8)?);
    if throttles > 0 {
        duties.push(format!("throttles: {throttles}"));
    }
    Ok(Node {
        incarnation: codec::narrow(row.try_get::<_, i64>(0)?)?,
        name: row.try_get(1)?,
        version: row.try_get(2)?,
        state: match row.try_get::<_, i16>(3)? {
            0 => NodeState::Alive,
            1 => NodeState::Stopped,
            2 => NodeState::Dead,
            _ => return Err(Error::Damaged { what: "state of a node" }),
        },
        started_at: UnixMs(row.try_get(4)?),
        seen_at: UnixMs(row.try_get(5)?),
        claimed: codec::narrow(row.try_get::<_, i64>(6)?)?,
        roles: row.try_get(9)?,
        duties,
    })
}

impl Maintenance for PostgresStore {
    fn step(&self, duty: Duty) -> BoxFuture<'_, hookfast_core::Result<Step>> {
        Box::pin(async move { Ok(step(&self.shared, duty).await?) })
    }

    fn nodes(&self) -> BoxFuture<'_, hookfast_core::Result<Vec<Node>>> {
        Box::pin(async move { Ok(nodes(&self.shared).await?) })
    }

    fn ping(&self) -> BoxFuture<'_, hookfast_core::Result<()>> {
        Box::pin(async move {
            if self.shared.is_away() {
                return Err(super::away());
            }
            let ping = async { self.shared.db.session().await?.one("SELECT 1", &[]).await };
            Ok(ping.await.map(drop)?)
        })
    }
}
