//! Checks every routed pair once, an hour after its event came: one without a row that nobody has in memory is a
//! stray. It is queued, and counted with an alarm: 0 is expected.

use super::{Work, cursor, set_cursor};
use crate::Result;
use crate::postgres::Shared;
use crate::postgres::db::{Run, Tx};
use crate::postgres::missing::{self, Made};
use crate::postgres::wire::Uuid;
use hookfast_core::EventId;
use std::collections::HashSet;
use tokio_postgres::types::Type;

const CURSOR: &str = "audit";
const EVENTS_PER_STEP: i64 = 1_000;
const AGE_MS: u64 = 3_600_000;

pub(super) async fn step(tx: &Tx<'_>, shared: &Shared) -> Result<Work> {
    let until: Uuid = EventId::lowest_at(shared.clock.now().minus_ms(AGE_MS)).into();
    let after = cursor(tx, CURSOR).await?;
    let rows = tx
        .rows(
            "SELECT id FROM hookfast.events WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3",
            &[(&after, Type::UUID), (&until, Type::UUID), (&EVENTS_PER_STEP, Type::INT8)],
        )
        .await?;
    let events = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>>>()?;
    let Some(last) = events.last() else { return Ok(Work::default()) };
    let made = check(tx, shared, &events).await?;
    set_cursor(tx, CURSOR, *last).await?;
    let more = events.len() as i64 == EVENTS_PER_STEP;
    Ok(Work { rows: made.pairs, more, strays: made.pairs, endpoints: made.endpoints, ..Work::default() })
}

/// Checks the events of one class in a range once more before they go. Answers `None` when all were.
pub(super) async fn check_range(
    tx: &Tx<'_>,
    shared: &Shared,
    class: i16,
    name: &str,
    (from, to): (Uuid, Uuid),
) -> Result<Option<Work>> {
    let after = cursor(tx, name).await?.max(Uuid(from.0.saturating_sub(1)));
    let rows = tx
        .rows(
            "SELECT id FROM hookfast.events WHERE retention_days = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4",
            &[(&class, Type::INT2), (&after, Type::UUID), (&to, Type::UUID), (&EVENTS_PER_STEP, Type::INT8)],
        )
        .await?;
    let events = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>>>()?;
    let Some(last) = events.last() else { return Ok(None) };
    let made = check(tx, shared, &events).await?;
    set_cursor(tx, name, *last).await?;
    Ok(Some(Work { rows: made.pairs, more: true, strays: made.pairs, endpoints: made.endpoints, ..Work::default() }))
}

/// Queues strays among these events. Those named by a hand-off row are left to the node that has them in memory, or to the
/// rescue if it is dead. Hand-off rows are read first: a row that is gone by then has left others behind.
async fn check(tx: &Tx<'_>, shared: &Shared, events: &[Uuid]) -> Result<Made> {
    let in_memory = tx
        .rows(
            "SELECT e.id FROM hookfast.handoff h CROSS JOIN LATERAL unnest(h.events) AS e (id) WHERE e.id = ANY($1)",
            &[(&events, Type::UUID_ARRAY)],
        )
        .await?;
    let in_memory = in_memory.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<HashSet<Uuid>>>()?;
    let others: Vec<Uuid> = events.iter().filter(|event| !in_memory.contains(*event)).copied().collect();
    missing::find(tx, shared, &others).await
}
