//! Ends of deliveries that nobody tried at their end. Must not know why they end.

use crate::postgres::db::{Run, Tx};
use crate::postgres::wire::Uuid;
use crate::postgres::{Shared, codec, missing};
use crate::{Result, columns};
use hookfast_core::delivery::{Cause, DeliveryState};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// A row that was leased meanwhile is being tried: its settlement comes. The first end of a run wins.
const END: &str = "
    WITH gone AS (
      DELETE FROM hookfast.queue q
      USING unnest($1::uuid[], $2::bigint[], $3::integer[], $4::uuid[]) AS w (event, endpoint, run, attempt)
      WHERE q.event = w.event AND q.endpoint = w.endpoint AND q.run = w.run AND q.lease_owner IS NULL
      RETURNING q.event, q.endpoint, q.run, q.retention_days, q.tries, w.attempt),
    ended AS (
      INSERT INTO hookfast.deliveries (event, endpoint, run, retention_days, state, cause, tries, attempt)
      SELECT event, endpoint, run, retention_days, $5, $6, tries, attempt FROM gone
      ON CONFLICT DO NOTHING RETURNING endpoint),
    counted AS (
      INSERT INTO hookfast.stats_log (endpoint, hour, success, fail, cancelled)
      SELECT endpoint, $7, 0, 0, count(*) FROM ended WHERE $8 GROUP BY endpoint)
    SELECT count(*) FROM gone";

/// Ends queue rows, given as event, endpoint and run in their first three columns; those that are leased stay. Answers how
/// many ended.
pub(super) async fn end(tx: &Tx<'_>, shared: &Shared, rows: &[Row], state: DeliveryState, cause: Cause) -> Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let events = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>>>()?;
    let endpoints = rows.iter().map(|row| Ok(row.try_get(1)?)).collect::<Result<Vec<i64>>>()?;
    let runs = rows.iter().map(|row| Ok(row.try_get(2)?)).collect::<Result<Vec<i32>>>()?;
    let now = shared.clock.now();
    let attempts = missing::new_attempts(shared, now, rows.len());
    let code: i16 = codec::narrow(columns::state_code(state))?;
    let ended = tx
        .one(
            END,
            &[
                (&events, Type::UUID_ARRAY),
                (&endpoints, Type::INT8_ARRAY),
                (&runs, Type::INT4_ARRAY),
                (&attempts, Type::UUID_ARRAY),
                (&code, Type::INT2),
                (&i16::from(cause.code()), Type::INT2),
                (&missing::hour(now), Type::INT4),
                (&(state == DeliveryState::Cancelled), Type::BOOL),
            ],
        )
        .await?;
    codec::narrow(ended.try_get::<_, i64>(0)?)
}
