//! Asking for deliveries to be made again: one at once, many by a durable task.

use super::changes::News;
use super::db::{Run, Tx};
use super::duties::Work;
use super::wire::Uuid;
use super::{PostgresStore, Shared, codec, keys, missing, node, ordering};
use crate::{Error, Result, columns};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::CallerKey;
use hookfast_core::ports::{BoxFuture, Replays, Task, TaskKind, TaskStatus};
use hookfast_core::{AppId, EndpointId, Error as PortError, EventId, OrgId, TaskId, UnixMs};
use std::collections::BTreeSet;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Deliveries looked at in one step of a task.
const ROWS_PER_STEP: i64 = 1_000;

fn not_found(what: &'static str) -> Error {
    PortError::NotFound { what }.into()
}

/// The number of a live endpoint, and whether it is disabled.
async fn endpoint(run: &impl Run, app: AppId, id: EndpointId) -> Result<(i64, bool)> {
    let found = run
        .opt(
            "SELECT e.no, e.disabled IS NOT NULL FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app
             WHERE e.id = $1 AND a.id = $2 AND e.deleted_at IS NULL",
            &[(&Uuid::from(id), Type::UUID), (&Uuid::from(app), Type::UUID)],
        )
        .await?;
    let found = found.ok_or_else(|| not_found("endpoint"))?;
    Ok((found.try_get(0)?, found.try_get(1)?))
}

/// What a resend must know of an event.
struct Replayable {
    id: Uuid,
    retention_days: i16,
    routed: Vec<i64>,
}

async fn replayable(run: &impl Run, app: AppId, event: EventId) -> Result<Replayable> {
    let id = Uuid::from(event);
    let found = run
        .opt(
            "SELECT e.retention_days, e.body IS NOT NULL, e.routed
             FROM hookfast.events e JOIN hookfast.applications a ON a.no = e.app WHERE e.id = $1 AND a.id = $2",
            &[(&id, Type::UUID), (&Uuid::from(app), Type::UUID)],
        )
        .await?;
    let found = found.ok_or_else(|| not_found("message"))?;
    if !found.try_get::<_, bool>(1)? {
        let reason = "the payload of this message was deleted".to_owned();
        return Err(PortError::Conflict { code: "missing_payload", reason }.into());
    }
    let routed = columns::get_numbers(found.try_get(2)?)?;
    Ok(Replayable { id, retention_days: found.try_get(0)?, routed })
}

async fn resend(
    shared: &Shared,
    (app, event): (AppId, EventId),
    to: EndpointId,
    key: Option<&CallerKey>,
) -> Result<()> {
    let mut session = shared.db.session().await?;
    let tx = session.begin().await?;
    if keys::made_before(shared, &tx, key).await?.is_some() {
        return Ok(());
    }
    node::fence(&tx, shared.incarnation).await?;
    lock_pair(&tx, event, to).await?;
    let (no, is_disabled) = endpoint(&tx, app, to).await?;
    let event = replayable(&tx, app, event).await?;
    if is_disabled {
        let reason = "the endpoint is disabled: enable it first".to_owned();
        return Err(PortError::Conflict { code: "endpoint_disabled", reason }.into());
    }
    let queued = queue_next_run(&tx, shared, &event, no).await?;
    keys::remember(shared, &tx, key, event.id).await?;
    tx.commit().await?;
    if queued {
        missing::wake(shared, &session, &BTreeSet::from([no]), News::Queued).await;
    }
    Ok(())
}

/// Who resends the same pair at the same time waits, on whichever node, and then sees the run that is queued.
async fn lock_pair(tx: &Tx<'_>, event: EventId, endpoint: EndpointId) -> Result<()> {
    // The ends of ids are random; two pairs with the same numbers only wait for each other.
    let half = |low: u64| (low as u32).cast_signed();
    let sql = "SELECT pg_advisory_xact_lock($1, $2)";
    tx.one(sql, &[(&half(event.low()), Type::INT4), (&half(endpoint.low()), Type::INT4)]).await.map(drop)
}

/// Queues the next run unless an earlier one is unfinished. It goes at once, also where order is kept; one that holds up its
/// key takes the place it had. One that came to hold up its key just now had not ended when this began. An endpoint that the event was never routed to begins with run
/// 1: run 0 stays what routing decided.
async fn queue_next_run(tx: &Tx<'_>, shared: &Shared, event: &Replayable, endpoint: i64) -> Result<bool> {
    let was_routed = event.routed.contains(&endpoint);
    let keys = ordering::lock_held_up(tx, shared, endpoint, &[event.id]).await?;
    let queued = tx
        .change(
            "INSERT INTO hookfast.queue (event, endpoint, run, retention_days, due, tries, crashes, manual,
               order_key, order_no)
             SELECT $1, $2, coalesce(last.run, 0) + 1, $3, $4, 0, 0, true, b.key, b.order_no
             FROM (SELECT max(d.run) AS run FROM hookfast.deliveries d
                   WHERE d.event = $1 AND d.endpoint = $2 AND d.retention_days = $3) last
             LEFT JOIN hookfast.blocked b ON b.event = $1 AND b.endpoint = $2
             WHERE (b.key IS NULL OR b.key = ANY($6)) AND (last.run IS NOT NULL OR NOT $5)
               AND NOT EXISTS (SELECT FROM hookfast.queue q WHERE q.event = $1 AND q.endpoint = $2)
             ON CONFLICT DO NOTHING",
            &[
                (&event.id, Type::UUID),
                (&endpoint, Type::INT8),
                (&event.retention_days, Type::INT2),
                (&shared.clock.now().0, Type::INT8),
                (&was_routed, Type::BOOL),
                (&keys.hashes(), Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    ordering::promote(tx, &keys, shared.clock.now()).await?;
    Ok(queued > 0)
}

const TASK: &str = "SELECT t.id, t.status, t.queued, t.updated_at
     FROM hookfast.tasks t JOIN hookfast.applications a ON a.no = t.app
     WHERE t.id = $1 AND ($2::text IS NULL OR a.org = $2)";

async fn task(run: &impl Run, id: Uuid, org: Option<&OrgId>) -> Result<Task> {
    let org = org.map(OrgId::as_str);
    let found = run.opt(TASK, &[(&id, Type::UUID), (&org, Type::TEXT)]).await?;
    found.as_ref().map_or_else(|| Err(not_found("task")), read_task)
}

fn read_task(row: &Row) -> Result<Task> {
    Ok(Task {
        id: row.try_get::<_, Uuid>(0)?.into(),
        kind: TaskKind::Recover,
        status: match row.try_get::<_, i16>(1)? {
            0 => TaskStatus::Running,
            1 => TaskStatus::Finished,
            _ => TaskStatus::Failed,
        },
        queued: codec::narrow(row.try_get::<_, i64>(2)?)?,
        updated_at: UnixMs(row.try_get(3)?),
    })
}

async fn recover(
    shared: &Shared,
    (app, to): (AppId, EndpointId),
    (since, until): (UnixMs, UnixMs),
    key: Option<&CallerKey>,
) -> Result<Task> {
    let mut session = shared.db.session().await?;
    let tx = session.begin().await?;
    if let Some(before) = keys::made_before(shared, &tx, key).await? {
        return task(&tx, before, None).await;
    }
    let (no, _) = endpoint(&tx, app, to).await?;
    let now = shared.clock.now();
    let id = Uuid::from(TaskId::from_u128(shared.ids.next(now)));
    let (from, to) = (Uuid::from(EventId::lowest_at(since)), Uuid::from(EventId::lowest_at(until)));
    tx.change(
        "INSERT INTO hookfast.tasks (id, kind, app, endpoint, since, until, cursor, status, queued, updated_at)
         SELECT $1, 0, app, no, $3, $4, $3, 0, 0, $5 FROM hookfast.endpoints WHERE no = $2",
        &[(&id, Type::UUID), (&no, Type::INT8), (&from, Type::UUID), (&to, Type::UUID), (&now.0, Type::INT8)],
    )
    .await?;
    keys::remember(shared, &tx, key, id).await?;
    let task = task(&tx, id, None).await?;
    tx.commit().await?;
    Ok(task)
}

struct Running {
    id: Uuid,
    endpoint: i64,
    since: Uuid,
    until: Uuid,
    cursor: Uuid,
}

fn read_running(row: &Row) -> Result<Running> {
    Ok(Running {
        id: row.try_get(0)?,
        endpoint: row.try_get(1)?,
        since: row.try_get(2)?,
        until: row.try_get(3)?,
        cursor: row.try_get(4)?,
    })
}

/// One step of the oldest running task.
pub(crate) async fn step(tx: &Tx<'_>, shared: &Shared) -> Result<Work> {
    let running = tx
        .opt(
            "SELECT t.id, t.endpoint, t.since, t.until, t.cursor,
               EXISTS (SELECT FROM hookfast.endpoints e WHERE e.no = t.endpoint AND e.deleted_at IS NULL)
             FROM hookfast.tasks t WHERE t.status = 0 ORDER BY t.id LIMIT 1",
            &[],
        )
        .await?;
    let Some(row) = running else { return Ok(Work::default()) };
    let running = read_running(&row)?;
    if !row.try_get::<_, bool>(5)? {
        advance(tx, shared, &running, running.cursor, TaskStatus::Failed, 0).await?;
        return Ok(Work { more: true, ..Work::default() });
    }
    // No delivery ends before its event was accepted, so ends at or after `since` hold every event at or after it. What
    // died again since the task began is not its business: it would go round for ever.
    let ends = tx
        .rows(
            "SELECT attempt, event, retention_days, state FROM hookfast.deliveries
             WHERE endpoint = $1 AND attempt >= $2 AND attempt < $3 ORDER BY attempt LIMIT $4",
            &[
                (&running.endpoint, Type::INT8),
                (&running.cursor, Type::UUID),
                (&running.id, Type::UUID),
                (&ROWS_PER_STEP, Type::INT8),
            ],
        )
        .await?;
    let queued = queue_dead(tx, shared, &running, &ends).await?;
    let last = ends.last().map(|row| row.try_get::<_, Uuid>(0)).transpose()?;
    let cursor = last.map_or(running.cursor, |last| Uuid(last.0.saturating_add(1)));
    let is_finished = (ends.len() as i64) < ROWS_PER_STEP;
    let status = if is_finished { TaskStatus::Finished } else { TaskStatus::Running };
    advance(tx, shared, &running, cursor, status, queued).await?;
    let endpoints = if queued > 0 { BTreeSet::from([running.endpoint]) } else { BTreeSet::new() };
    Ok(Work { rows: queued, more: true, endpoints, ..Work::default() })
}

/// Queues the next run of those whose latest run ended as dead, whose body is there and whose event came in time. A run that
/// a resend has queued, and that ended, since this looked is queued once more in vain: claiming drops rows of ended runs.
async fn queue_dead(tx: &Tx<'_>, shared: &Shared, running: &Running, ends: &[Row]) -> Result<u64> {
    let dead: i16 = codec::narrow(columns::state_code(DeliveryState::Dead))?;
    let (mut events, mut classes) = (Vec::new(), Vec::new());
    for row in ends {
        let (event, state): (Uuid, i16) = (row.try_get(1)?, row.try_get(3)?);
        if state == dead && (running.since..running.until).contains(&event) {
            events.push(event);
            classes.push(row.try_get::<_, i16>(2)?);
        }
    }
    if events.is_empty() {
        return Ok(0);
    }
    let keys = ordering::lock_held_up(tx, shared, running.endpoint, &events).await?;
    let queued = tx
        .change(
            "INSERT INTO hookfast.queue (event, endpoint, run, retention_days, due, tries, crashes, manual,
           order_key, order_no)
         SELECT w.event, $1, last.run + 1, w.days, $2, 0, 0, true, b.key, b.order_no
         FROM unnest($3::uuid[], $4::smallint[]) AS w (event, days) CROSS JOIN LATERAL (
           SELECT d.run, d.state FROM hookfast.deliveries d
           WHERE d.event = w.event AND d.endpoint = $1 AND d.retention_days = w.days ORDER BY d.run DESC LIMIT 1) last
         LEFT JOIN hookfast.blocked b ON b.event = w.event AND b.endpoint = $1
         WHERE last.state = $5 AND (b.key IS NULL OR b.key = ANY($6))
           AND (SELECT e.body IS NOT NULL FROM hookfast.events e WHERE e.id = w.event AND e.retention_days = w.days)
           AND (SELECT q.run FROM hookfast.queue q WHERE q.event = w.event AND q.endpoint = $1 LIMIT 1) IS NULL
         ON CONFLICT DO NOTHING",
            &[
                (&running.endpoint, Type::INT8),
                (&shared.clock.now().0, Type::INT8),
                (&events, Type::UUID_ARRAY),
                (&classes, Type::INT2_ARRAY),
                (&dead, Type::INT2),
                (&keys.hashes(), Type::BYTEA_ARRAY),
            ],
        )
        .await?;
    ordering::promote(tx, &keys, shared.clock.now()).await?;
    Ok(queued)
}

async fn advance(
    tx: &Tx<'_>,
    shared: &Shared,
    running: &Running,
    cursor: Uuid,
    status: TaskStatus,
    queued: u64,
) -> Result<()> {
    let status = match status {
        TaskStatus::Running => 0i16,
        TaskStatus::Finished => 1,
        TaskStatus::Failed => 2,
    };
    let queued: i64 = codec::narrow(queued)?;
    tx.change(
        "UPDATE hookfast.tasks SET cursor = $2, status = $3, queued = queued + $4, updated_at = $5 WHERE id = $1",
        &[
            (&running.id, Type::UUID),
            (&cursor, Type::UUID),
            (&status, Type::INT2),
            (&queued, Type::INT8),
            (&shared.clock.now().0, Type::INT8),
        ],
    )
    .await?;
    Ok(())
}

impl Replays for PostgresStore {
    fn resend(
        &self,
        app: AppId,
        event: EventId,
        endpoint: EndpointId,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<()>> {
        Box::pin(async move { Ok(resend(&self.shared, (app, event), endpoint, key.as_ref()).await?) })
    }

    fn recover(
        &self,
        app: AppId,
        endpoint: EndpointId,
        since: UnixMs,
        until: UnixMs,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Task>> {
        Box::pin(async move { Ok(recover(&self.shared, (app, endpoint), (since, until), key.as_ref()).await?) })
    }

    fn task<'a>(&'a self, org: &'a OrgId, id: TaskId) -> BoxFuture<'a, hookfast_core::Result<Task>> {
        Box::pin(async move {
            let task = async { task(&self.shared.db.session().await?, id.into(), Some(org)).await };
            Ok(task.await?)
        })
    }
}
