//! Order among the rows of one key at one endpoint: only the first is due, the others are parked until it has ended.
//! Everything here runs inside the transaction that adds or ends a row. Must not know how a key is found.

use crate::Result;
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::OnDead;
use hookfast_core::{UnixMs, ordering};
use rusqlite::{Connection, OptionalExtension, Row};

/// When a parked row is due: never, until it is the first of its key.
pub(crate) const PARKED: UnixMs = UnixMs::MAX;

const IS_BUSY: &str = "SELECT EXISTS (SELECT 1 FROM queue WHERE endpoint = ?1 AND order_key = ?2)
    OR EXISTS (SELECT 1 FROM blocked WHERE endpoint = ?1 AND order_key = ?2)";

const PROMOTE: &str = "UPDATE queue SET due = ?3 WHERE due = ?4 AND (event, endpoint, run) =
      (SELECT event, endpoint, run FROM queue WHERE endpoint = ?1 AND order_key = ?2 ORDER BY order_no LIMIT 1)
    AND NOT EXISTS (SELECT 1 FROM blocked WHERE endpoint = ?1 AND order_key = ?2)";

/// By itself the planner would walk over all keys that the endpoint has held up.
const HELD_UP_BY: &str =
    "SELECT order_key, order_no FROM blocked INDEXED BY blocked_event WHERE event = ?1 AND endpoint = ?2";

/// Where a row stands in the order of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) key: [u8; 16],
    pub(crate) no: i64,
}

impl Place {
    /// From the columns `order_key` and `order_no`, which are the first two; `None` for a row without order.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        Ok(match row.get(0)? {
            Some(key) => Some(Self { key, no: row.get(1)? }),
            None => None,
        })
    }
}

/// An end of a row that had a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) event: i64,
    pub(crate) endpoint: i64,
    pub(crate) state: DeliveryState,
    pub(crate) cause: Cause,
}

/// Must a new row of this key wait for others?
pub(crate) fn is_busy(conn: &Connection, endpoint: i64, key: &[u8; 16]) -> Result<bool> {
    Ok(conn.prepare_cached(IS_BUSY)?.query_row((endpoint, key), |row| row.get(0))?)
}

/// A row has ended and is deleted: the next one of its key is due now, unless this one holds it up. True when one is.
pub(crate) fn ended(conn: &Connection, row: Ended, place: Place, now: UnixMs) -> Result<bool> {
    let Ended { event, endpoint, state, cause } = row;
    if state == DeliveryState::Dead && blocks(conn, endpoint, cause)? {
        conn.prepare_cached(
            "INSERT OR REPLACE INTO blocked (endpoint, order_key, event, order_no) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((endpoint, place.key, event, place.no))?;
        return Ok(false);
    }
    conn.prepare_cached("DELETE FROM blocked WHERE endpoint = ?1 AND order_key = ?2 AND event = ?3")?
        .execute((endpoint, place.key, event))?;
    promote(conn, endpoint, &place.key, now)
}

fn blocks(conn: &Connection, endpoint: i64, cause: Cause) -> Result<bool> {
    let on_dead: Option<String> = conn
        .prepare_cached("SELECT on_dead FROM endpoints WHERE no = ?1 AND deleted_at IS NULL")?
        .query_row([endpoint], |row| row.get(0))
        .optional()?
        .flatten();
    Ok(on_dead.as_deref().and_then(OnDead::parse).is_some_and(|on_dead| ordering::blocks(on_dead, cause)))
}

/// The first row of a key is due now, if it was parked and nothing holds the key up.
fn promote(conn: &Connection, endpoint: i64, key: &[u8; 16], now: UnixMs) -> Result<bool> {
    Ok(conn.prepare_cached(PROMOTE)?.execute((endpoint, key, now.0, PARKED.0))? > 0)
}

/// The place that a replay of this event takes: its own, when it holds up its key.
pub(crate) fn place_of_replay(conn: &Connection, event: i64, endpoint: i64) -> Result<Option<Place>> {
    let found = conn.prepare_cached(HELD_UP_BY)?.query_row((event, endpoint), Place::read).optional()?;
    Ok(found.flatten())
}

/// Dead deliveries of this endpoint hold up nothing any more. True when something is due now.
pub(crate) fn unblock_endpoint(conn: &Connection, endpoint: i64, now: UnixMs) -> Result<bool> {
    let keys: Vec<[u8; 16]> = conn
        .prepare_cached("DELETE FROM blocked WHERE endpoint = ?1 RETURNING order_key")?
        .query_map([endpoint], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut due = false;
    for key in keys {
        due |= promote(conn, endpoint, &key, now)?;
    }
    Ok(due)
}

/// Keys held up by events of this retention class that are older than the row `before`: these events are about to go,
/// so nobody can replay them. Answers the endpoints where something is due now.
pub(crate) fn unblock_expired(
    conn: &Connection,
    days: u16,
    before: i64,
    rows_max: usize,
    now: UnixMs,
) -> Result<Vec<i64>> {
    let held_up: Vec<(i64, [u8; 16])> = conn
        .prepare_cached(
            "DELETE FROM blocked WHERE (endpoint, order_key) IN
               (SELECT b.endpoint, b.order_key FROM blocked b LEFT JOIN events e ON e.id = b.event
                WHERE b.event < ?1 AND coalesce(e.retention_days, ?2) = ?2 LIMIT ?3)
             RETURNING endpoint, order_key",
        )?
        .query_map((before, days, rows_max), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut due = Vec::new();
    for (endpoint, key) in held_up {
        if promote(conn, endpoint, &key, now)? {
            due.push(endpoint);
        }
    }
    Ok(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    /// However many rows wait behind a key and however many keys are held up, what is asked costs a few steps in an
    /// index.
    #[test]
    fn every_question_about_a_key_goes_by_an_index() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn).unwrap();
        let claim = "SELECT event FROM queue WHERE endpoint = ?1 AND due < ?2 ORDER BY due";
        let (row, first) =
            ("PRIMARY KEY (event=? AND endpoint=? AND run=?)", "queue_order (endpoint=? AND order_key=?)");
        let held_up = "PRIMARY KEY (endpoint=? AND order_key=?)";
        for (sql, ways) in [
            (IS_BUSY, vec![first, held_up]),
            (PROMOTE, vec![row, first, held_up]),
            (HELD_UP_BY, vec!["blocked_event (event=? AND endpoint=?)"]),
            (claim, vec!["queue_due (endpoint=? AND due<?)"]),
        ] {
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let mut rows = plan.raw_query();
            let mut steps: Vec<String> = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get(3).unwrap());
            }
            let reads: Vec<_> =
                steps.iter().filter(|step| step.contains(" USING ") || step.contains(" B-TREE")).collect();
            let good = |way: &&str| reads.iter().any(|step| step.contains(*way));
            assert!(reads.len() == ways.len() && ways.iter().all(good), "{sql}: {steps:?}");
            assert!(!steps.iter().any(|step| step.starts_with("SCAN ") && step != "SCAN CONSTANT ROW"), "{steps:?}");
        }
    }
}
