//! Asking for deliveries to be made again: one at once, many by a durable task.

use crate::sqlite::configuration::{self, made_before, remember};
use crate::sqlite::writer::JobTx;
use crate::sqlite::{SqliteStore, codec, ordering};
use crate::{Error, Result};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::CallerKey;
use hookfast_core::ports::{BoxFuture, Replays, Task, TaskKind, TaskStatus};
use hookfast_core::{AppId, EndpointId, Error as PortError, EventId, OrgId, TaskId, UnixMs};
use rusqlite::{Connection, OptionalExtension};

/// Deliveries looked at in one step of a task.
const ROWS_PER_STEP: usize = 500;

fn not_found(what: &'static str) -> Error {
    PortError::NotFound { what }.into()
}

fn resend(tx: &mut JobTx<'_>, app: AppId, event: EventId, endpoint: EndpointId, key: Option<&CallerKey>) -> Result<()> {
    if made_before(tx, key)?.is_some() {
        return Ok(());
    }
    let no = configuration::number(tx.conn, app, endpoint)?;
    let high = codec::row_id(event.high());
    let found: Option<(bool, Vec<u8>)> = tx
        .conn
        .prepare_cached(
            "SELECT e.body IS NOT NULL, e.routed FROM events e JOIN applications a ON a.no = e.app
             WHERE e.id = ?1 AND e.low = ?2 AND a.id = ?3",
        )?
        .query_row((high, event.low().cast_signed(), codec::id_bytes(app)), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (has_body, routed) = found.ok_or_else(|| not_found("message"))?;
    if !has_body {
        let reason = "the payload of this message was deleted".to_owned();
        return Err(PortError::Conflict { code: "missing_payload", reason }.into());
    }
    if configuration::is_disabled(tx.conn, no)? {
        let reason = "the endpoint is disabled: enable it first".to_owned();
        return Err(PortError::Conflict { code: "endpoint_disabled", reason }.into());
    }
    let was_routed = codec::get_numbers(&routed)?.contains(&no);
    queue_next_run(tx, high, no, was_routed)?;
    remember(tx, key, codec::id_bytes(event))
}

/// Queues the next run unless an earlier one is unfinished. It goes at once, also where order is kept; one that holds up
/// its key takes the place it had.
fn queue_next_run(tx: &mut JobTx<'_>, event: i64, endpoint: i64, was_routed: bool) -> Result<bool> {
    let queued: bool = tx
        .conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM queue WHERE event = ?1 AND endpoint = ?2)")?
        .query_row((event, endpoint), |row| row.get(0))?;
    let last: Option<u32> = tx
        .conn
        .prepare_cached("SELECT max(run) FROM deliveries WHERE event = ?1 AND endpoint = ?2")?
        .query_row((event, endpoint), |row| row.get(0))?;
    if queued || (was_routed && last.is_none()) {
        return Ok(false);
    }
    // An endpoint that the event was never routed to begins with run 1: run 0 stays what routing decided.
    let run = last.unwrap_or(0) + 1;
    let now = tx.shared.clock.now();
    let place = ordering::place_of_replay(tx.conn, event, endpoint)?;
    tx.conn
        .prepare_cached(
            "INSERT INTO queue (event, endpoint, run, due, tries, crashes, manual, order_key, order_no)
             VALUES (?1, ?2, ?3, ?4, 0, 0, 1, ?5, ?6)",
        )?
        .execute((event, endpoint, run, now.0, place.map(|place| place.key), place.map(|place| place.no)))?;
    tx.queued.push((endpoint, now));
    Ok(true)
}

fn status_from(code: i64) -> TaskStatus {
    match code {
        0 => TaskStatus::Running,
        1 => TaskStatus::Finished,
        _ => TaskStatus::Failed,
    }
}

fn task(conn: &Connection, id: TaskId) -> Result<Task> {
    let found = conn
        .prepare_cached("SELECT status, queued, updated_at FROM tasks WHERE id = ?1")?
        .query_row([codec::id_bytes(id)], |row| {
            Ok(Task {
                id,
                kind: TaskKind::Recover,
                status: status_from(row.get(0)?),
                queued: row.get(1)?,
                updated_at: UnixMs(row.get(2)?),
            })
        })
        .optional()?;
    found.ok_or_else(|| not_found("task"))
}

fn recover(
    tx: &mut JobTx<'_>,
    (app, endpoint): (AppId, EndpointId),
    since: UnixMs,
    until: UnixMs,
    key: Option<&CallerKey>,
) -> Result<Task> {
    if let Some(before) = made_before(tx, key)? {
        return task(tx.conn, TaskId::from_u128(u128::from_be_bytes(before)));
    }
    let no = configuration::number(tx.conn, app, endpoint)?;
    let now = tx.shared.clock.now();
    let id = TaskId::from_u128(tx.shared.ids.next(now));
    let (from, to) = (EventId::lowest_at(since).high(), EventId::lowest_at(until).high());
    tx.conn
        .prepare_cached(
            "INSERT INTO tasks (id, kind, app, endpoint, since, until, cursor, status, queued, updated_at)
             SELECT ?1, 0, app, no, ?3, ?4, ?3, 0, 0, ?5 FROM endpoints WHERE no = ?2",
        )?
        .execute((codec::id_bytes(id), no, codec::row_id(from), codec::row_id(to), now.0))?;
    remember(tx, key, codec::id_bytes(id))?;
    task(tx.conn, id)
}

struct Running {
    id: [u8; 16],
    endpoint: i64,
    since: i64,
    until: i64,
    cursor: i64,
}

/// One step of the oldest running task. Answers rows queued and whether there is more.
pub(crate) fn step(tx: &mut JobTx<'_>) -> Result<(u64, bool)> {
    let running = tx
        .conn
        .prepare_cached("SELECT id, endpoint, since, until, cursor FROM tasks WHERE status = 0 ORDER BY id LIMIT 1")?
        .query_row([], |row| {
            Ok(Running {
                id: row.get(0)?,
                endpoint: row.get(1)?,
                since: row.get(2)?,
                until: row.get(3)?,
                cursor: row.get(4)?,
            })
        })
        .optional()?;
    let Some(running) = running else { return Ok((0, false)) };
    // What died again since the task began is not its business: it would go round for ever.
    let began = codec::row_id(TaskId::from_u128(u128::from_be_bytes(running.id)).high());
    // No delivery ends before its event was accepted, so ends at or after `since` hold every event at or after it.
    let rows: Vec<(i64, i64, i64)> = tx
        .conn
        .prepare_cached(
            "SELECT attempt, event, state FROM deliveries WHERE endpoint = ?1 AND attempt >= ?2 AND attempt < ?4
             ORDER BY attempt LIMIT ?3",
        )?
        .query_map((running.endpoint, running.cursor, ROWS_PER_STEP, began), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let finished = rows.len() < ROWS_PER_STEP;
    let mut queued = 0;
    for (_, event, state) in &rows {
        let wanted = *state == codec::state_code(DeliveryState::Dead) && (running.since..running.until).contains(event);
        if wanted && is_latest_dead(tx.conn, *event, running.endpoint)? {
            queued += u64::from(queue_next_run(tx, *event, running.endpoint, true)?);
        }
    }
    let cursor = rows.last().map_or(running.cursor, |(attempt, _, _)| attempt + 1);
    let now = tx.shared.clock.now().0;
    tx.conn
        .prepare_cached(
            "UPDATE tasks SET cursor = ?2, status = ?3, queued = queued + ?4, updated_at = ?5 WHERE id = ?1",
        )?
        .execute((running.id, cursor, i64::from(finished), queued, now))?;
    Ok((queued, true))
}

/// Its latest run ended as dead, and its body is there.
fn is_latest_dead(conn: &Connection, event: i64, endpoint: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM events WHERE id = ?1 AND body IS NOT NULL) AND ?3 =
             (SELECT state FROM deliveries WHERE event = ?1 AND endpoint = ?2 ORDER BY run DESC LIMIT 1)",
        )?
        .query_row((event, endpoint, codec::state_code(DeliveryState::Dead)), |row| row.get(0))?)
}

impl Replays for SqliteStore {
    fn resend(
        &self,
        app: AppId,
        event: EventId,
        endpoint: EndpointId,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |tx| resend(tx, app, event, endpoint, key.as_ref()))
    }

    fn recover(
        &self,
        app: AppId,
        endpoint: EndpointId,
        since: UnixMs,
        until: UnixMs,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Task>> {
        self.write(move |tx| recover(tx, (app, endpoint), since, until, key.as_ref()))
    }

    fn task<'a>(&'a self, org: &'a OrgId, id: TaskId) -> BoxFuture<'a, hookfast_core::Result<Task>> {
        let org = org.clone();
        self.readers.read(move |conn| {
            let sql = "SELECT EXISTS (SELECT 1 FROM tasks t JOIN applications a ON a.no = t.app
                       WHERE t.id = ?1 AND a.org = ?2)";
            let is_theirs: bool =
                conn.prepare_cached(sql)?.query_row((codec::id_bytes(id), org.as_str()), |row| row.get(0))?;
            if is_theirs { task(conn, id) } else { Err(not_found("task")) }
        })
    }
}
