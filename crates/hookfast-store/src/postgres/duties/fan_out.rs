//! Makes the queue rows of events with very many endpoints, some at a time.

use super::Work;
use crate::postgres::db::{Run, Tx};
use crate::postgres::missing::{self, Pair};
use crate::postgres::wire::Uuid;
use crate::postgres::{Shared, codec};
use crate::{Result, columns};
use tokio_postgres::types::Type;

const ROWS_PER_STEP: usize = 500;

pub(super) async fn step(tx: &Tx<'_>, shared: &Shared) -> Result<Work> {
    let found = tx
        .opt(
            "SELECT f.event, f.next, e.retention_days, e.routed
             FROM (SELECT event, next FROM hookfast.fanout ORDER BY event LIMIT 1) f
             LEFT JOIN hookfast.events e ON e.id = f.event",
            &[],
        )
        .await?;
    let Some(found) = found else { return Ok(Work::default()) };
    let event: Uuid = found.try_get(0)?;
    let next: usize = codec::narrow(found.try_get::<_, i32>(1)?)?;
    let retention_days: i16 = found.try_get::<_, Option<i16>>(2)?.unwrap_or_default();
    let routed = columns::get_numbers(found.try_get::<_, Option<&[u8]>>(3)?.unwrap_or_default())?;
    let end = routed.len().min(next + ROWS_PER_STEP);
    let some = routed.get(next..end).unwrap_or_default();
    let pairs: Vec<Pair> = some.iter().map(|endpoint| Pair { event, endpoint: *endpoint, retention_days }).collect();
    let made = missing::queue(tx, shared, &pairs).await?;
    if end >= routed.len() {
        tx.change("DELETE FROM hookfast.fanout WHERE event = $1", &[(&event, Type::UUID)]).await?;
    } else {
        let end: i32 = codec::narrow(end)?;
        let sql = "UPDATE hookfast.fanout SET next = $2 WHERE event = $1";
        tx.change(sql, &[(&event, Type::UUID), (&end, Type::INT4)]).await?;
    }
    Ok(Work { rows: pairs.len() as u64, more: true, endpoints: made.endpoints, ..Work::default() })
}
