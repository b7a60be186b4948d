//! Ends what has been due for longer than its endpoint's retry window, because the endpoint stayed down or disabled.

use crate::Result;
use crate::sqlite::recovery::{self, End};
use crate::sqlite::routes;
use crate::sqlite::writer::JobTx;
use hookfast_core::delivery::{Cause, DeliveryState};

const ROWS_PER_STEP: usize = 200;

pub(super) fn step(tx: &mut JobTx<'_>) -> Result<(u64, bool)> {
    let troubled: Vec<i64> = tx
        .conn
        .prepare_cached(
            "SELECT no FROM endpoints WHERE deleted_at IS NULL AND (disabled IS NOT NULL OR failing_since IS NOT NULL)",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let now = tx.shared.clock.now();
    let mut ended = 0;
    for endpoint in troubled {
        let Some(configured) = routes::endpoint_by_number(tx.conn, &tx.shared.sealer, endpoint)? else { continue };
        let window_ms = configured.retry.unwrap_or_else(|| tx.shared.config.retry.clone()).window_ms();
        let rows: Vec<(i64, u32, u32)> = tx
            .conn
            .prepare_cached(
                "SELECT event, run, tries FROM queue WHERE endpoint = ?1 AND due < ?2 ORDER BY due LIMIT ?3",
            )?
            .query_map((endpoint, now.minus_ms(window_ms).0, ROWS_PER_STEP), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (event, run, tries) in rows {
            if !tx.held.has(endpoint, event, run) {
                let end = End { state: DeliveryState::Dead, cause: Cause::EndpointDown, run, tries };
                recovery::end_in_turn(tx, (event, endpoint), end, now)?;
                ended += 1;
            }
        }
        if ended as usize >= ROWS_PER_STEP {
            return Ok((ended, true));
        }
    }
    Ok((ended, false))
}
