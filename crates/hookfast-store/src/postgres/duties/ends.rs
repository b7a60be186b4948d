//! Ends of deliveries that nobody tried at their end. Must not know why they end.

use super::Work;
use crate::postgres::db::{Run, Tx};
use crate::postgres::ordering::{self, HOLD_UP, Key, Keys};
use crate::postgres::wire::Uuid;
use crate::postgres::{Shared, codec, missing};
use crate::{Result, columns};
use hookfast_core::delivery::{Cause, DeliveryState};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// A row that was leased meanwhile is being tried: its settlement comes. The first end of a run wins.
const END: &str = "
    WITH ordered AS (
      DELETE FROM hookfast.queue q
      USING unnest($1::uuid[], $2::bigint[], $3::integer[], $4::uuid[]) AS w (event, endpoint, run, attempt)
      WHERE q.event = w.event AND q.endpoint = w.endpoint AND q.run = w.run AND q.lease_owner IS NULL
      RETURNING q.event, q.endpoint, q.run, q.retention_days, q.tries, w.attempt, q.order_key, q.order_no, $9 AS holds),
    ended AS (
      INSERT INTO hookfast.deliveries (event, endpoint, run, retention_days, state, cause, tries, attempt)
      SELECT event, endpoint, run, retention_days, $5, $6, tries, attempt FROM ordered
      ON CONFLICT DO NOTHING RETURNING endpoint),
    counted AS (
      INSERT INTO hookfast.stats_log (endpoint, hour, success, fail, cancelled)
      SELECT endpoint, $7, 0, 0, count(*) FROM ended WHERE $8 GROUP BY endpoint),";

/// Ends queue rows, given as event, endpoint, run and ordering key in their first four columns, none of them locked; those
/// that are leased stay. Answers how many ended, and where the next of a key is due.
pub(super) async fn end(
    tx: &Tx<'_>,
    shared: &Shared,
    rows: &[Row],
    state: DeliveryState,
    cause: Cause,
) -> Result<Work> {
    if rows.is_empty() {
        return Ok(Work::default());
    }
    let events = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>>>()?;
    let endpoints = rows.iter().map(|row| Ok(row.try_get(1)?)).collect::<Result<Vec<i64>>>()?;
    let runs = rows.iter().map(|row| Ok(row.try_get(2)?)).collect::<Result<Vec<i32>>>()?;
    let (holds, mut keys) = (ordering::may_hold(state, cause), Keys::default());
    for (row, endpoint) in rows.iter().zip(&endpoints) {
        Key::read(row, 3, *endpoint)?.into_iter().for_each(|key| keys.end(key, holds));
    }
    ordering::lock(tx, shared.incarnation, &keys).await?;
    let now = shared.clock.now();
    let attempts = missing::new_attempts(shared, now, rows.len());
    let code: i16 = codec::narrow(columns::state_code(state))?;
    let ended = tx
        .one(
            &[END, HOLD_UP, " SELECT count(*) FROM ordered"].concat(),
            &[
                (&events, Type::UUID_ARRAY),
                (&endpoints, Type::INT8_ARRAY),
                (&runs, Type::INT4_ARRAY),
                (&attempts, Type::UUID_ARRAY),
                (&code, Type::INT2),
                (&i16::from(cause.code()), Type::INT2),
                (&missing::hour(now), Type::INT4),
                (&(state == DeliveryState::Cancelled), Type::BOOL),
                (&holds, Type::BOOL),
            ],
        )
        .await?;
    let rows = codec::narrow(ended.try_get::<_, i64>(0)?)?;
    Ok(Work { rows, endpoints: ordering::promote(tx, &keys, now).await?, ..Work::default() })
}
