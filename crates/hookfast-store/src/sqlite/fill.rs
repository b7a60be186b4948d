//! Filling a store with finished history, so that its speed can be measured when it is old and large.

use crate::Result;
use crate::sqlite::writer::JobTx;
use crate::sqlite::{SqliteStore, codec};
use hookfast_core::{AppId, EndpointId, Error as PortError, EventId, IdGenerator, UnixMs};
use rusqlite::OptionalExtension;

/// Events written in one transaction.
const EVENTS_PER_STEP: u64 = 5_000;

/// Finished history to be made up.
#[derive(Clone, Copy, Debug)]
pub struct FillPlan {
    /// Whose.
    pub app: AppId,
    /// Delivered to whom.
    pub endpoint: EndpointId,
    /// How many events.
    pub events: u64,
    /// When the first was accepted; they are spread evenly up to `until`.
    pub from: UnixMs,
    /// When the last was accepted.
    pub until: UnixMs,
    /// Size of each body.
    pub body_bytes: usize,
}

impl SqliteStore {
    /// Writes events that were delivered at the first try, in steps; `progress` hears how many are there.
    ///
    /// # Errors
    /// `NotFound` for an unknown endpoint, or what the store says.
    pub async fn fill(&self, plan: FillPlan, mut progress: impl FnMut(u64)) -> hookfast_core::Result<()> {
        // Ids of the past come from a generator of their own: the store's never goes back.
        let ids = std::sync::Arc::new(IdGenerator::new());
        let mut done = 0;
        while done < plan.events {
            let count = EVENTS_PER_STEP.min(plan.events - done);
            let step_ids = std::sync::Arc::clone(&ids);
            self.write(move |tx| write_step(tx, &plan, &step_ids, done, count)).await?;
            done += count;
            progress(done);
        }
        Ok(())
    }
}

fn write_step(tx: &JobTx<'_>, plan: &FillPlan, ids: &IdGenerator, first: u64, count: u64) -> Result<()> {
    let found: Option<(i64, i64, u16)> = tx
        .conn
        .prepare_cached(
            "SELECT a.no, e.no, a.retention_days FROM applications a JOIN endpoints e ON e.app = a.no
             WHERE a.id = ?1 AND e.id = ?2",
        )?
        .query_row((codec::id_bytes(plan.app), codec::id_bytes(plan.endpoint)), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (app, endpoint, days) = found.ok_or(PortError::NotFound { what: "endpoint" })?;
    let routed = codec::put_numbers([endpoint]);
    let body = vec![b'x'; plan.body_bytes];
    let span_ms = plan.until.since(plan.from).max(1);
    let mut event_insert = tx.conn.prepare_cached(
        "INSERT INTO events (id, low, app, incarnation, retention_days, event_type, routed, body)
         VALUES (?1, ?2, ?3, 0, ?4, 'history.filled', ?5, ?6)",
    )?;
    let mut delivery_insert = tx.conn.prepare_cached(
        "INSERT INTO deliveries (event, endpoint, run, state, cause, tries, attempt, attempt_low, status, duration_ms,
         manual, url) VALUES (?1, ?2, 0, 2, 0, 1, ?3, ?4, 200, 1, 0, 0)",
    )?;
    for n in first..first + count {
        let at_ms = u128::from(span_ms) * u128::from(n) / u128::from(plan.events.max(1));
        let at = plan.from.plus_ms(u64::try_from(at_ms).unwrap_or(span_ms));
        let event = EventId::from_u128(ids.next(at));
        let attempt = EventId::from_u128(ids.next(at));
        let (high, low) = (codec::row_id(event.high()), event.low().cast_signed());
        event_insert.execute((high, low, app, days, &routed, &body))?;
        let attempt_row = codec::row_id(attempt.high());
        delivery_insert.execute((high, endpoint, attempt_row, attempt.low().cast_signed()))?;
    }
    Ok(())
}
