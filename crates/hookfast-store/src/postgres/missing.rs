//! Queue rows for routed pairs that have none: of events that a dead node had in memory, of events with very many
//! endpoints, of strays. Must not know why a pair has no row.

use super::changes::News;
use super::db::{Run, Session, Tx};
use super::wire::Uuid;
use super::{Shared, codec, routes};
use crate::{Result, columns};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::{AttemptId, UnixMs};
use std::collections::BTreeSet;
use tokio_postgres::types::Type;

/// Pairs looked at by one statement.
const PAIRS_PER_STATEMENT: usize = 4_000;
const HOUR_MS: i64 = 3_600_000;

/// An event and one endpoint it was routed to, by number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) event: Uuid,
    pub(crate) endpoint: i64,
    pub(crate) retention_days: i16,
}

/// What became of pairs without rows.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Pairs that were queued, or ended because their endpoint is gone.
    pub(crate) pairs: u64,
    /// Endpoints, by number, that have something to do now: for [`wake`], after the commit.
    pub(crate) endpoints: BTreeSet<i64>,
}

/// The hour that something is counted in.
pub(crate) fn hour(time: UnixMs) -> i32 {
    i32::try_from(time.0.div_euclid(HOUR_MS)).unwrap_or(i32::MAX)
}

/// Queues every routed pair of these events that has neither a delivery nor a queue row, or ends it when its endpoint is
/// gone. Events whose rows are still being made elsewhere are left alone.
pub(crate) async fn find(tx: &Tx<'_>, shared: &Shared, events: &[Uuid]) -> Result<Made> {
    let (Some(first), Some(last)) = (events.iter().min(), events.iter().max()) else { return Ok(Made::default()) };
    // The bounds say nothing new; tables are ruled out by them, which a list cannot do.
    let rows = tx
        .rows(
            "SELECT e.id, e.retention_days, e.routed FROM hookfast.events e
             WHERE e.id = ANY($1) AND e.id >= $2 AND e.id <= $3
               AND NOT EXISTS (SELECT 1 FROM hookfast.fanout f WHERE f.event = e.id)",
            &[(&events, Type::UUID_ARRAY), (first, Type::UUID), (last, Type::UUID)],
        )
        .await?;
    let mut pairs = Vec::with_capacity(rows.len());
    for row in &rows {
        let (event, retention_days) = (row.try_get(0)?, row.try_get(1)?);
        let routed = columns::get_numbers(row.try_get(2)?)?;
        pairs.extend(routed.into_iter().map(|endpoint| Pair { event, endpoint, retention_days }));
    }
    queue(tx, shared, &pairs).await
}

/// Makes the first queue row of each pair that has no row at all, or ends it when its endpoint is gone.
pub(crate) async fn queue(tx: &Tx<'_>, shared: &Shared, pairs: &[Pair]) -> Result<Made> {
    let mut made = Made::default();
    for some in pairs.chunks(PAIRS_PER_STATEMENT) {
        for row in queue_some(tx, shared, some).await? {
            made.pairs += 1;
            if row.try_get(1)? {
                made.endpoints.insert(row.try_get(0)?);
            }
        }
    }
    Ok(made)
}

/// What is there already is looked for pair by pair (a scalar subquery is never turned into a join), so that whole
/// tables are never read. One statement, so that a row that becomes a delivery meanwhile is seen as one or the other.
const QUEUE: &str = "
    WITH missing AS (
      SELECT p.*, EXISTS (SELECT 1 FROM hookfast.endpoints n WHERE n.no = p.endpoint AND n.deleted_at IS NULL) AS live
      FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::uuid[]) AS p (event, endpoint, days, attempt)
      WHERE (SELECT d.run FROM hookfast.deliveries d
             WHERE d.event = p.event AND d.endpoint = p.endpoint AND d.retention_days = p.days LIMIT 1) IS NULL
        AND (SELECT q.run FROM hookfast.queue q WHERE q.event = p.event AND q.endpoint = p.endpoint LIMIT 1) IS NULL),
    queued AS (
      INSERT INTO hookfast.queue (event, endpoint, run, retention_days, due, tries, crashes, manual)
      SELECT event, endpoint, 0, days, $5, 0, 0, false FROM missing WHERE live ORDER BY event, endpoint
      ON CONFLICT DO NOTHING RETURNING endpoint),
    ended AS (
      INSERT INTO hookfast.deliveries (event, endpoint, run, retention_days, state, cause, tries, attempt)
      SELECT event, endpoint, 0, days, $6, $7, 0, attempt FROM missing WHERE NOT live
      ON CONFLICT DO NOTHING RETURNING endpoint),
    counted AS (
      INSERT INTO hookfast.stats_log (endpoint, hour, success, fail, cancelled)
      SELECT endpoint, $8, 0, 0, count(*) FROM ended GROUP BY endpoint)
    SELECT endpoint, true FROM queued UNION ALL SELECT endpoint, false FROM ended";

async fn queue_some(tx: &Tx<'_>, shared: &Shared, pairs: &[Pair]) -> Result<Vec<tokio_postgres::Row>> {
    let now = shared.clock.now();
    let events: Vec<Uuid> = pairs.iter().map(|pair| pair.event).collect();
    let endpoints: Vec<i64> = pairs.iter().map(|pair| pair.endpoint).collect();
    let days: Vec<i16> = pairs.iter().map(|pair| pair.retention_days).collect();
    let attempts = new_attempts(shared, now, pairs.len());
    let state: i16 = codec::narrow(columns::state_code(DeliveryState::Cancelled))?;
    let cause = i16::from(Cause::EndpointDeleted.code());
    tx.rows(
        QUEUE,
        &[
            (&events, Type::UUID_ARRAY),
            (&endpoints, Type::INT8_ARRAY),
            (&days, Type::INT2_ARRAY),
            (&attempts, Type::UUID_ARRAY),
            (&now.0, Type::INT8),
            (&state, Type::INT2),
            (&cause, Type::INT2),
            (&hour(now), Type::INT4),
        ],
    )
    .await
}

/// Places in the order of attempts for ends that nobody tried.
pub(crate) fn new_attempts(shared: &Shared, now: UnixMs, count: usize) -> Vec<Uuid> {
    (0..count).map(|_| AttemptId::from_u128(shared.ids.next(now)).into()).collect()
}

/// Tells whoever delivers that rows were committed for these endpoints. Not told is not lost, only later.
pub(crate) async fn wake(shared: &Shared, session: &Session, endpoints: &BTreeSet<i64>, news: News) {
    if endpoints.is_empty() {
        return;
    }
    let numbers: Vec<i64> = endpoints.iter().copied().collect();
    match routes::endpoints_by_number(session, &shared.sealer, &numbers, false).await {
        Ok(found) => {
            let now = shared.clock.now();
            let waiting: Vec<_> = found.into_iter().map(|one| (one.endpoint, now)).collect();
            shared.queued(&waiting, numbers, news);
        }
        Err(error) => tracing::debug!(%error, "new rows could not be announced"),
    }
}
