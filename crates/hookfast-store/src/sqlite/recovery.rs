//! What happens at open, before anything is served: a new incarnation, and every pair that the last one had in
//! memory only becomes a queue row. Knows neither id order nor time: the hand-off rows name what may be missing.

use crate::failpoint;
use crate::sqlite::codec;
use crate::sqlite::ordering::{self, Ended, Place};
use crate::sqlite::writer::JobTx;
use crate::{Result, Sealer};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::{AttemptId, IdGenerator, UnixMs};
use rusqlite::{Connection, OptionalExtension};

/// Hand-off rows worked on in one transaction.
const ROWS_PER_STEP: usize = 50;

/// Finds out at start, not at the first delivery, that secrets cannot be opened.
pub(crate) fn check_seal(conn: &Connection, sealer: &Sealer) -> Result<()> {
    let sql = format!("SELECT {} FROM endpoints e JOIN applications a ON a.no = e.app LIMIT 1", codec::ENDPOINT);
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    rows.next()?.map(|row| codec::endpoint(row, sealer)).transpose().map(|_| ())
}

/// New ids are higher than every id in the store, whatever the clock says now.
pub(crate) fn resume_ids(conn: &Connection, ids: &IdGenerator) -> Result<()> {
    let highest = "SELECT max(high) FROM (
        SELECT max(id) AS high FROM events
        UNION ALL SELECT (SELECT max(attempt) FROM deliveries WHERE endpoint = no) FROM endpoints
        UNION ALL SELECT (SELECT max(id) FROM attempts WHERE endpoint = no) FROM endpoints)";
    let highest: Option<i64> = conn.query_row(highest, [], |row| row.get(0))?;
    ids.resume_after(highest.unwrap_or(0).cast_unsigned());
    for table in ["applications", "endpoints", "tokens", "tasks"] {
        let highest: Option<[u8; 16]> =
            conn.query_row(&format!("SELECT max(id) FROM {table}"), [], |row| row.get(0))?;
        ids.resume_after(AttemptId::from_u128(u128::from_be_bytes(highest.unwrap_or_default())).high());
    }
    Ok(())
}

/// Raises the incarnation; durable when this returns.
pub(crate) fn begin_incarnation(conn: &Connection) -> Result<i64> {
    let sql = "UPDATE meta SET value = value + 1 WHERE key = 'incarnation' RETURNING value";
    Ok(conn.query_row(sql, [], |row| row.get(0))?)
}

/// Queues every pair named by a hand-off row that has no row of its own; returns how many.
pub(crate) fn queue_lost_pairs(conn: &Connection, ids: &IdGenerator, now: UnixMs) -> Result<u64> {
    let mut recovered = 0;
    loop {
        let tx = conn.unchecked_transaction()?;
        let rows: Vec<Vec<u8>> = tx
            .prepare_cached("DELETE FROM handoff WHERE no IN (SELECT no FROM handoff LIMIT ?1) RETURNING events")?
            .query_map([ROWS_PER_STEP], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if rows.is_empty() {
            return Ok(recovered);
        }
        for events in &rows {
            for event in handoff_events(events) {
                recovered += queue_missing(&tx, event, ids, now)?;
            }
        }
        failpoint::reach("recovery.before_commit");
        tx.commit()?;
    }
}

/// The events that a hand-off row names.
pub(crate) fn handoff_events(packed: &[u8]) -> impl Iterator<Item = i64> + '_ {
    packed.as_chunks::<8>().0.iter().map(|event| i64::from_be_bytes(*event))
}

/// Queues every routed pair of an event that has neither a delivery nor a queue row; returns how many.
pub(crate) fn queue_missing(conn: &Connection, event: i64, ids: &IdGenerator, now: UnixMs) -> Result<u64> {
    let sql = "SELECT routed FROM events WHERE id = ?1 AND id NOT IN (SELECT event FROM fanout)";
    let routed: Option<Vec<u8>> = conn.prepare_cached(sql)?.query_row([event], |row| row.get(0)).optional()?;
    let Some(routed) = routed else { return Ok(0) };
    let mut missing = 0;
    for endpoint in codec::get_numbers(&routed)? {
        if !is_known(conn, event, endpoint)? {
            missing += 1;
            queue_or_cancel(conn, (event, endpoint), ids, now)?;
        }
    }
    Ok(missing)
}

/// Has this pair a delivery or a queue row?
pub(crate) fn is_known(conn: &Connection, event: i64, endpoint: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1 AND endpoint = ?2)
                 OR EXISTS (SELECT 1 FROM queue WHERE event = ?1 AND endpoint = ?2)",
        )?
        .query_row((event, endpoint), |row| row.get(0))?)
}

/// Makes the first queue row of a pair, or ends it when its endpoint is gone. Answers whether it was queued.
pub(crate) fn queue_or_cancel(
    conn: &Connection,
    (event, endpoint): (i64, i64),
    ids: &IdGenerator,
    now: UnixMs,
) -> Result<bool> {
    let live: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM endpoints WHERE no = ?1 AND deleted_at IS NULL)")?
        .query_row([endpoint], |row| row.get(0))?;
    if live {
        conn.prepare_cached(
            "INSERT OR IGNORE INTO queue (event, endpoint, run, due, tries, crashes, manual)
             VALUES (?1, ?2, 0, ?3, 0, 0, 0)",
        )?
        .execute((event, endpoint, now.0))?;
    } else {
        let end = End { state: DeliveryState::Cancelled, cause: Cause::EndpointDeleted, run: 0, tries: 0 };
        end_without_try(conn, (event, endpoint), end, ids, now)?;
    }
    Ok(live)
}

/// How a delivery ends that nobody tried at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) state: DeliveryState,
    pub(crate) cause: Cause,
    pub(crate) run: u32,
    pub(crate) tries: u32,
}

/// Writes an end and deletes the queue row, whose place in the order of its key is answered. Its place in the order of
/// attempts is an id of its own.
pub(crate) fn end_without_try(
    conn: &Connection,
    (event, endpoint): (i64, i64),
    end: End,
    ids: &IdGenerator,
    now: UnixMs,
) -> Result<Option<Place>> {
    let sql = "DELETE FROM queue WHERE event = ?1 AND endpoint = ?2 AND run = ?3 RETURNING order_key, order_no";
    let place = conn.prepare_cached(sql)?.query_row((event, endpoint, end.run), Place::read).optional()?.flatten();
    conn.prepare_cached(
        "INSERT OR IGNORE INTO deliveries (event, endpoint, run, state, cause, tries, attempt)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        event,
        endpoint,
        end.run,
        codec::state_code(end.state),
        end.cause.code(),
        end.tries,
        codec::row_id(AttemptId::from_u128(ids.next(now)).high()),
    ))?;
    if end.state == DeliveryState::Cancelled {
        conn.prepare_cached(
            "INSERT INTO stats (endpoint, hour, success, fail, cancelled) VALUES (?1, ?2, 0, 0, 1)
             ON CONFLICT (endpoint, hour) DO UPDATE SET cancelled = cancelled + 1",
        )?
        .execute((endpoint, now.0.div_euclid(3_600_000)))?;
    }
    Ok(place)
}

/// As [`end_without_try`], as one step of a job; what was parked behind the row goes on.
pub(crate) fn end_in_turn(tx: &mut JobTx<'_>, (event, endpoint): (i64, i64), end: End, now: UnixMs) -> Result<()> {
    let place = end_without_try(tx.conn, (event, endpoint), end, &tx.shared.ids, now)?;
    let Some(place) = place else { return Ok(()) };
    let ended = Ended { event, endpoint, state: end.state, cause: end.cause };
    if ordering::ended(tx.conn, ended, place, now)? {
        tx.queued.push((endpoint, now));
    }
    Ok(())
}
