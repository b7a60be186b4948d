//! Emitters, kept until they are stopped or have made all their events, whichever node runs them.

use super::configuration::number;
use super::db::{Params, Run, Tx};
use super::wire::Uuid;
use super::{PostgresStore, Shared, node};
use crate::emitters::{EmitterColumns, check_count, stored};
use crate::{Error, Result, columns};
use hookfast_core::ports::{BoxFuture, Created, EmitterProgress, Emitters, NewEmitter, RunningEmitter};
use hookfast_core::{AppId, EndpointId, Error as PortError, UnixMs};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Any number: who starts an emitter holds this lock, so that they are counted one after the other.
const LOCK: i64 = 0x686f_6f6b_656d;

macro_rules! select {
    ($filter:literal) => {
        concat!(
            "SELECT a.id, e.id, m.interval_ns, m.count, m.event_types, m.made, m.skipped_ms, m.unsure, m.started_at,
               e.disabled IS NOT NULL
             FROM hookfast.emitters m JOIN hookfast.endpoints e ON e.no = m.endpoint
             JOIN hookfast.applications a ON a.no = e.app
             WHERE e.deleted_at IS NULL AND ",
            $filter,
            " ORDER BY m.started_at, m.endpoint"
        )
    };
}

fn read(row: &Row) -> Result<RunningEmitter> {
    let columns = EmitterColumns {
        app: row.try_get::<_, Uuid>(0)?.into(),
        endpoint: row.try_get::<_, Uuid>(1)?.into(),
        interval_ns: row.try_get(2)?,
        count: row.try_get(3)?,
        event_types: row.try_get(4)?,
        made: row.try_get(5)?,
        skipped_ms: row.try_get(6)?,
        unsure: row.try_get(7)?,
        started_at: row.try_get(8)?,
        is_paused: row.try_get(9)?,
    };
    columns.read()
}

async fn of_endpoint(run: &impl Run, no: i64) -> Result<Option<RunningEmitter>> {
    run.opt(select!("m.endpoint = $1"), &[(&no, Type::INT8)]).await?.as_ref().map(read).transpose()
}

async fn start(shared: &Shared, new: &NewEmitter) -> Result<Created<RunningEmitter>> {
    let mut session = shared.db.session().await?;
    let tx = session.begin().await?;
    node::fence(&tx, shared.incarnation).await?;
    // A statement of its own: the next ones see what was committed while this one waited.
    tx.one("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    let no = number(&tx, new.app, new.endpoint).await?;
    if let Some(value) = of_endpoint(&tx, no).await? {
        return Ok(Created { value, is_new: false });
    }
    insert(&tx, no, new, shared.clock.now()).await?;
    let value = of_endpoint(&tx, no).await?.ok_or(Error::Port(PortError::NotFound { what: "endpoint" }))?;
    tx.commit().await?;
    Ok(Created { value, is_new: true })
}

async fn insert(tx: &Tx<'_>, no: i64, new: &NewEmitter, now: UnixMs) -> Result<()> {
    tx.change(
        "DELETE FROM hookfast.emitters m USING hookfast.endpoints e WHERE e.no = m.endpoint AND e.deleted_at IS NOT NULL",
        &[],
    )
    .await?;
    check_count(tx.one("SELECT count(*) FROM hookfast.emitters", &[]).await?.try_get(0)?)?;
    let params: Params<'_> = &[
        (&no, Type::INT8),
        (&stored(new.interval_ns), Type::INT8),
        (&new.count.map(stored), Type::INT8),
        (&columns::json(&new.event_types)?, Type::TEXT),
        (&now.0, Type::INT8),
    ];
    let sql = "INSERT INTO hookfast.emitters
                 (endpoint, interval_ns, count, event_types, made, skipped_ms, unsure, started_at)
               VALUES ($1, $2, $3, $4, 0, 0, 0, $5)";
    tx.change(sql, params).await.map(drop)
}

async fn stop(shared: &Shared, app: AppId, endpoint: EndpointId) -> Result<Option<RunningEmitter>> {
    let mut session = shared.db.session().await?;
    let tx = session.begin().await?;
    node::fence(&tx, shared.incarnation).await?;
    let no = match number(&tx, app, endpoint).await {
        Err(Error::Port(PortError::NotFound { .. })) => return Ok(None),
        found => found?,
    };
    let was = of_endpoint(&tx, no).await?;
    tx.change("DELETE FROM hookfast.emitters WHERE endpoint = $1", &[(&no, Type::INT8)]).await?;
    tx.commit().await?;
    Ok(was)
}

async fn list(shared: &Shared) -> Result<Vec<RunningEmitter>> {
    shared.db.session().await?.rows(select!("true"), &[]).await?.iter().map(read).collect()
}

async fn keep(shared: &Shared, progress: Vec<(EndpointId, UnixMs, EmitterProgress)>) -> Result<()> {
    let endpoints: Vec<Uuid> = progress.iter().map(|(endpoint, ..)| Uuid::from(*endpoint)).collect();
    let starts: Vec<i64> = progress.iter().map(|(_, started_at, _)| started_at.0).collect();
    let numbers = |of: fn(&EmitterProgress) -> u64| progress.iter().map(|(.., one)| stored(of(one))).collect();
    let made: Vec<i64> = numbers(|one| one.made);
    let skipped_ms: Vec<i64> = numbers(|one| one.skipped_ms);
    let unsure: Vec<i64> = numbers(|one| one.unsure);
    let mut session = shared.db.session().await?;
    let tx = session.begin().await?;
    node::fence(&tx, shared.incarnation).await?;
    tx.change(
        "UPDATE hookfast.emitters m SET made = greatest(m.made, p.made),
           skipped_ms = greatest(m.skipped_ms, p.skipped_ms), unsure = p.unsure
         FROM unnest($1::uuid[], $2::int8[], $3::int8[], $4::int8[], $5::int8[])
           AS p(endpoint, started_at, made, skipped_ms, unsure)
         JOIN hookfast.endpoints e ON e.id = p.endpoint
         WHERE m.endpoint = e.no AND m.started_at = p.started_at",
        &[
            (&endpoints, Type::UUID_ARRAY),
            (&starts, Type::INT8_ARRAY),
            (&made, Type::INT8_ARRAY),
            (&skipped_ms, Type::INT8_ARRAY),
            (&unsure, Type::INT8_ARRAY),
        ],
    )
    .await?;
    tx.change("DELETE FROM hookfast.emitters WHERE made >= count", &[]).await?;
    tx.commit().await
}

impl Emitters for PostgresStore {
    fn start_emitter(&self, new: NewEmitter) -> BoxFuture<'_, hookfast_core::Result<Created<RunningEmitter>>> {
        Box::pin(async move { Ok(start(&self.shared, &new).await?) })
    }

    fn stop_emitter(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> BoxFuture<'_, hookfast_core::Result<Option<RunningEmitter>>> {
        Box::pin(async move { Ok(stop(&self.shared, app, endpoint).await?) })
    }

    fn emitters(&self) -> BoxFuture<'_, hookfast_core::Result<Vec<RunningEmitter>>> {
        Box::pin(async move { Ok(list(&self.shared).await?) })
    }

    fn emitted(
        &self,
        progress: Vec<(EndpointId, UnixMs, EmitterProgress)>,
    ) -> BoxFuture<'_, hookfast_core::Result<()>> {
        Box::pin(async move { Ok(keep(&self.shared, progress).await?) })
    }
}
