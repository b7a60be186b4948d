//! Ends what has been due for longer than its endpoint's retry window, because the endpoint stayed down or disabled.

use super::{Walk, Work, ends};
use crate::postgres::Shared;
use crate::postgres::db::{Run, Tx};
use crate::{Result, columns};
use hookfast_core::delivery::{Cause, DeliveryState};
use tokio_postgres::types::Type;

const ROWS_PER_STEP: i64 = 200;

pub(super) async fn step(tx: &Tx<'_>, shared: &Shared) -> Result<Work> {
    let walk = Walk::begin(tx, "expire").await?;
    let troubled = tx
        .rows(
            "SELECT no, retry FROM hookfast.endpoints WHERE no > $1 AND deleted_at IS NULL
               AND (disabled IS NOT NULL OR failing_since IS NOT NULL) ORDER BY no LIMIT $2",
            &[(&walk.after, Type::INT8), (&(Walk::PAGE as i64), Type::INT8)],
        )
        .await?;
    let now = shared.clock.now();
    let (mut page, mut before) = (Vec::with_capacity(troubled.len()), Vec::with_capacity(troubled.len()));
    for row in &troubled {
        let own = row.try_get::<_, Option<&str>>(1)?.map(columns::retry_from).transpose()?;
        page.push(row.try_get::<_, i64>(0)?);
        before.push(now.minus_ms(own.as_ref().unwrap_or(&shared.config.retry).window_ms()).0);
    }
    let waiting = tx
        .rows(
            "SELECT q.* FROM unnest($1::bigint[], $2::bigint[]) AS t (endpoint, before) CROSS JOIN LATERAL (
               SELECT event, endpoint, run, order_key FROM hookfast.queue
               WHERE endpoint = t.endpoint AND due < t.before AND lease_owner IS NULL
               ORDER BY due LIMIT $3) q
             LIMIT $3",
            &[(&page, Type::INT8_ARRAY), (&before, Type::INT8_ARRAY), (&ROWS_PER_STEP, Type::INT8)],
        )
        .await?;
    let work = ends::end(tx, shared, &waiting, DeliveryState::Dead, Cause::EndpointDown).await?;
    let more = if work.rows > 0 { true } else { walk.done(tx, &page).await? };
    Ok(Work { more, ..work })
}
