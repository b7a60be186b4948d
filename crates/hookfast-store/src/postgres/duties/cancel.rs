//! Ends what waits in the queue for deleted endpoints.

use super::{Walk, Work, ends};
use crate::Result;
use crate::postgres::Shared;
use crate::postgres::db::{Run, Tx};
use hookfast_core::delivery::{Cause, DeliveryState};
use tokio_postgres::types::Type;

const ROWS_PER_STEP: i64 = 500;
/// A deleted endpoint is looked after for so long: an accept that was under way on another node may still have queued a
/// row, and what a node had in memory is settled late.
const LOOKED_AFTER_MS: u64 = 600_000;

pub(super) async fn step(tx: &Tx<'_>, shared: &Shared) -> Result<Work> {
    let walk = Walk::begin(tx, "cancel").await?;
    let sql = "SELECT endpoint FROM hookfast.cancels WHERE endpoint > $1 ORDER BY endpoint LIMIT $2";
    let found = tx.rows(sql, &[(&walk.after, Type::INT8), (&(Walk::PAGE as i64), Type::INT8)]).await?;
    let page = found.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    let waiting = tx
        .rows(
            "SELECT q.* FROM unnest($1::bigint[]) AS c (endpoint) CROSS JOIN LATERAL (
               SELECT event, endpoint, run, order_key FROM hookfast.queue
               WHERE endpoint = c.endpoint AND lease_owner IS NULL LIMIT $2) q
             LIMIT $2",
            &[(&page, Type::INT8_ARRAY), (&ROWS_PER_STEP, Type::INT8)],
        )
        .await?;
    let work = ends::end(tx, shared, &waiting, DeliveryState::Cancelled, Cause::EndpointDeleted).await?;
    if work.rows > 0 {
        return Ok(Work { more: true, ..work });
    }
    forget(tx, shared, &page).await?;
    Ok(Work { more: walk.done(tx, &page).await?, ..Work::default() })
}

/// Endpoints that were deleted long ago and have no rows, leased ones included, need nobody any more.
async fn forget(tx: &Tx<'_>, shared: &Shared, page: &[i64]) -> Result<()> {
    let before = shared.clock.now().minus_ms(LOOKED_AFTER_MS).0;
    // Two questions about the queue, since each of its indexes holds either what is leased or what is not.
    tx.change(
        "WITH gone AS (DELETE FROM hookfast.cancels c WHERE endpoint = ANY($1) AND deleted_at < $2
           AND NOT EXISTS (SELECT FROM hookfast.queue q WHERE q.endpoint = c.endpoint AND q.lease_owner IS NULL)
           AND NOT EXISTS (SELECT FROM hookfast.queue q WHERE q.endpoint = c.endpoint AND q.lease_owner IS NOT NULL)
           RETURNING endpoint),
         held_up AS (DELETE FROM hookfast.blocked b USING gone WHERE b.endpoint = gone.endpoint),
         throttled AS (
           DELETE FROM hookfast.duties d USING gone JOIN hookfast.endpoints n ON n.no = gone.endpoint
           JOIN hookfast.applications a ON a.no = n.app
           WHERE d.name = 'throttle:' || n.no OR (a.deleted_at IS NOT NULL AND d.name = 'throttle:app:' || a.no))
         DELETE FROM hookfast.ordering o USING gone WHERE o.endpoint = gone.endpoint",
        &[(&page, Type::INT8_ARRAY), (&before, Type::INT8)],
    )
    .await?;
    Ok(())
}
