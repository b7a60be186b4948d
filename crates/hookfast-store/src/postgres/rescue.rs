//! What ended incarnations held comes back: every pair that they had in memory only becomes a queue row, and rows leased to
//! them are free again. Knows neither id order nor time; each step is a transaction of its own, safe for several nodes at
//! once and after a crash in the middle.

use super::changes::News;
use super::db::Run;
use super::wire::Uuid;
use super::{Shared, missing, node};
use crate::Result;
use std::sync::atomic::Ordering;
use tokio_postgres::types::Type;

/// Hand-off rows, of up to 100 events each, and leases freed in one step.
const HANDOFFS_PER_STEP: i64 = 10;
const LEASES_PER_STEP: i64 = 1_000;

/// Not in the statement that declares a node dead: that one would not see what was committed while it waited.
fn handoffs_per_step() -> i64 {
    if crate::failpoint::planted("recover_in_declaration") { 0 } else { HANDOFFS_PER_STEP }
}

/// Takes some of it back. `true` when there may be more.
pub(crate) async fn step(shared: &Shared) -> Result<bool> {
    let mut session = shared.db.session().await?;
    let ended = session
        .rows(
            // Not EXISTS: the planner would make of it a look at the whole queue.
            "SELECT n.incarnation FROM hookfast.nodes n WHERE n.state <> 0 AND coalesce(
               (SELECT true FROM hookfast.handoff h WHERE h.incarnation = n.incarnation LIMIT 1),
               (SELECT true FROM hookfast.queue q WHERE q.lease_owner = n.incarnation LIMIT 1), false)",
            &[],
        )
        .await?;
    if ended.is_empty() {
        return Ok(false);
    }
    let ended = ended.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<i64>>>()?;
    let tx = session.begin().await?;
    node::fence(&tx, shared.incarnation).await?;
    let taken = tx
        .rows(
            "DELETE FROM hookfast.handoff h USING (
               SELECT incarnation, batch FROM hookfast.handoff WHERE incarnation = ANY($1)
               LIMIT $2 FOR UPDATE SKIP LOCKED) t
             WHERE h.incarnation = t.incarnation AND h.batch = t.batch RETURNING h.events",
            &[(&ended, Type::INT8_ARRAY), (&handoffs_per_step(), Type::INT8)],
        )
        .await?;
    let mut events: Vec<Uuid> = Vec::new();
    for row in &taken {
        events.extend(row.try_get::<_, Vec<Uuid>>(0)?);
    }
    let mut made = missing::find(&tx, shared, &events).await?;
    let freed = tx
        .rows(
            "UPDATE hookfast.queue q SET lease_owner = NULL FROM (
               SELECT event, endpoint, run FROM hookfast.queue WHERE lease_owner = ANY($1)
               LIMIT $2 FOR UPDATE SKIP LOCKED) f
             WHERE q.event = f.event AND q.endpoint = f.endpoint AND q.run = f.run RETURNING q.endpoint",
            &[(&ended, Type::INT8_ARRAY), (&LEASES_PER_STEP, Type::INT8)],
        )
        .await?;
    for row in &freed {
        made.endpoints.insert(row.try_get(0)?);
    }
    tx.commit().await?;
    if made.pairs > 0 || !freed.is_empty() {
        tracing::info!(queued = made.pairs, freed = freed.len(), "took over what an ended node held");
        shared.counters.recovered.fetch_add(made.pairs, Ordering::Relaxed);
    }
    // At once, also by a node that does not deliver: nobody else looks at these rows for some seconds.
    missing::wake(shared, &session, &made.endpoints, News::GivenBack).await;
    Ok(!taken.is_empty() || !freed.is_empty())
}
