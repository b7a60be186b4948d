//! Ends what waits in the queue for deleted endpoints.

use crate::Result;
use crate::sqlite::recovery::{self, End};
use crate::sqlite::writer::JobTx;
use hookfast_core::delivery::{Cause, DeliveryState};
use rusqlite::OptionalExtension;

const ROWS_PER_STEP: usize = 500;

pub(super) fn step(tx: &mut JobTx<'_>) -> Result<(u64, bool)> {
    let found: Option<i64> =
        tx.conn.prepare_cached("SELECT endpoint FROM cancels LIMIT 1")?.query_row([], |row| row.get(0)).optional()?;
    let Some(endpoint) = found else { return Ok((0, false)) };
    let rows: Vec<(i64, u32, u32)> = tx
        .conn
        .prepare_cached("SELECT event, run, tries FROM queue WHERE endpoint = ?1 LIMIT ?2")?
        .query_map((endpoint, ROWS_PER_STEP), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if rows.is_empty() {
        for table in ["cancels", "blocked"] {
            tx.conn.prepare_cached(&format!("DELETE FROM {table} WHERE endpoint = ?1"))?.execute([endpoint])?;
        }
        return Ok((0, true));
    }
    let now = tx.shared.clock.now();
    let mut ended = 0;
    for (event, run, tries) in rows {
        // A row in the engine's hands is being tried just now: its settlement comes, and the next step looks again.
        if !tx.held.has(endpoint, event, run) {
            let end = End { state: DeliveryState::Cancelled, cause: Cause::EndpointDeleted, run, tries };
            recovery::end_without_try(tx.conn, (event, endpoint), end, &tx.shared.ids, now)?;
            ended += 1;
        }
    }
    Ok((ended, ended > 0))
}
