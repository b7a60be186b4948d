//! Adds up what was counted commit by commit. Whoever reads adds both tables, so nothing is counted twice or missed.

use super::Work;
use crate::Result;
use crate::postgres::codec;
use crate::postgres::db::{Run, Tx};
use tokio_postgres::types::Type;

const ROWS_PER_STEP: i64 = 5_000;

pub(super) async fn step(tx: &Tx<'_>) -> Result<Work> {
    let taken = tx
        .one(
            "WITH taken AS (
               DELETE FROM hookfast.stats_log WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM hookfast.stats_log LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING *),
             added AS (
               INSERT INTO hookfast.stats AS s (endpoint, hour, success, fail, cancelled)
               SELECT endpoint, hour, sum(success), sum(fail), sum(cancelled) FROM taken
               GROUP BY endpoint, hour ORDER BY endpoint, hour
               ON CONFLICT (endpoint, hour) DO UPDATE SET success = s.success + excluded.success,
                 fail = s.fail + excluded.fail, cancelled = s.cancelled + excluded.cancelled)
             SELECT count(*) FROM taken",
            &[(&ROWS_PER_STEP, Type::INT8)],
        )
        .await?;
    let rows: i64 = taken.try_get(0)?;
    Ok(Work { rows: codec::narrow(rows)?, more: rows >= ROWS_PER_STEP, ..Work::default() })
}
