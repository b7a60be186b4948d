//! Makes the queue rows of events with very many endpoints, some at a time.

use crate::Result;
use crate::sqlite::writer::JobTx;
use crate::sqlite::{codec, recovery};
use rusqlite::OptionalExtension;

const ROWS_PER_STEP: usize = 250;

pub(super) fn step(tx: &mut JobTx<'_>) -> Result<(u64, bool)> {
    let found: Option<(i64, usize, Option<Vec<u8>>)> = tx
        .conn
        .prepare_cached("SELECT f.event, f.next, e.routed FROM fanout f LEFT JOIN events e ON e.id = f.event LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((event, next, routed)) = found else { return Ok((0, false)) };
    let routed = codec::get_numbers(&routed.unwrap_or_default())?;
    let now = tx.shared.clock.now();
    let end = routed.len().min(next + ROWS_PER_STEP);
    for endpoint in routed.get(next..end).unwrap_or_default() {
        // Those that keep its order have it already.
        if !recovery::is_known(tx.conn, event, *endpoint)?
            && recovery::queue_or_cancel(tx.conn, (event, *endpoint), &tx.shared.ids, now)?
        {
            tx.queued.push((*endpoint, now));
        }
    }
    if end >= routed.len() {
        tx.conn.prepare_cached("DELETE FROM fanout WHERE event = ?1")?.execute([event])?;
    } else {
        tx.conn.prepare_cached("UPDATE fanout SET next = ?2 WHERE event = ?1")?.execute((event, end))?;
    }
    Ok(((end.saturating_sub(next)) as u64, true))
}
