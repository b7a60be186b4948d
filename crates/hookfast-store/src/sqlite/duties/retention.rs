//! Deletes what has passed its retention: first what is unfinished ends as dead, a day later the history goes.

use crate::Result;
use crate::sqlite::recovery::{self, End};
use crate::sqlite::writer::JobTx;
use crate::sqlite::{codec, dedupe, ordering};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::{EventId, UnixMs};
use rusqlite::OptionalExtension;
use std::sync::atomic::Ordering;

const EVENTS_PER_STEP: usize = 500;
const ROWS_PER_STEP: usize = 500;
const DAY_MS: u64 = 86_400_000;
/// Pages given back to the file system in one step.
const PAGES_PER_STEP: usize = 200;

pub(super) fn step(tx: &mut JobTx<'_>) -> Result<(u64, bool)> {
    let now = tx.shared.clock.now();
    let mut rows = 0;
    let mut more = false;
    let shared = tx.shared;
    for days in &shared.config.retention_classes_days {
        let kept_ms = u64::from(*days) * DAY_MS;
        let expired = end_unfinished(tx, *days, now.minus_ms(kept_ms), now)?;
        let (deleted, behind) = delete_history(tx, *days, now.minus_ms(kept_ms + DAY_MS))?;
        rows += expired + deleted;
        more |= behind || expired as usize >= ROWS_PER_STEP;
    }
    let keys = delete_keys(tx, now)?;
    Ok((rows + keys, more || keys as usize >= ROWS_PER_STEP))
}

fn end_unfinished(tx: &mut JobTx<'_>, days: u16, before: UnixMs, now: UnixMs) -> Result<u64> {
    let before = codec::row_id(EventId::lowest_at(before).high());
    let waiting: Vec<(i64, i64, u32, u32)> = tx
        .conn
        .prepare_cached(
            "SELECT q.event, q.endpoint, q.run, q.tries FROM queue q JOIN events e ON e.id = q.event
             WHERE q.event < ?1 AND e.retention_days = ?2 LIMIT ?3",
        )?
        .query_map((before, days, ROWS_PER_STEP), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut ended = 0;
    for (event, endpoint, run, tries) in waiting {
        if !tx.held.has(endpoint, event, run) {
            let end = End { state: DeliveryState::Dead, cause: Cause::Expired, run, tries };
            recovery::end_in_turn(tx, (event, endpoint), end, now)?;
            ended += 1;
        }
    }
    for endpoint in ordering::unblock_expired(tx.conn, days, before, ROWS_PER_STEP, now)? {
        tx.queued.push((endpoint, now));
    }
    Ok(ended)
}

/// Walks the events of all classes once for each class, behind a cursor; deletes those of this class.
fn delete_history(tx: &JobTx<'_>, days: u16, before: UnixMs) -> Result<(u64, bool)> {
    let name = format!("retention_{days}");
    let cursor: i64 = tx
        .conn
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([&name], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let until = codec::row_id(EventId::lowest_at(before).high());
    let last: Option<(i64, usize)> = tx
        .conn
        .prepare_cached(
            "SELECT max(id), count(*) FROM (SELECT id FROM events WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3)",
        )?
        .query_row((cursor, until, EVENTS_PER_STEP), |row| {
            Ok(row.get::<_, Option<i64>>(0)?.map(|last| (last, row.get(1).unwrap_or(0))))
        })?;
    let Some((last, seen)) = last else { return Ok((0, false)) };
    for table in ["deliveries", "attempts"] {
        let sql = format!(
            "DELETE FROM {table} WHERE event IN
             (SELECT id FROM events WHERE id > ?1 AND id <= ?2 AND retention_days = ?3)"
        );
        tx.conn.prepare_cached(&sql)?.execute((cursor, last, days))?;
    }
    let deleted = tx
        .conn
        .prepare_cached("DELETE FROM events WHERE id > ?1 AND id <= ?2 AND retention_days = ?3")?
        .execute((cursor, last, days))?;
    tx.conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute((&name, last))?;
    tx.shared.counters.purged_events.fetch_add(deleted as u64, Ordering::Relaxed);
    Ok((deleted as u64, seen == EVENTS_PER_STEP))
}

/// Caller keys of days that are over, with stats and finished tasks nobody asks for any more.
fn delete_keys(tx: &JobTx<'_>, now: UnixMs) -> Result<u64> {
    let oldest = dedupe::day(now) - 1;
    let keys = tx
        .conn
        .prepare_cached("DELETE FROM dedupe WHERE (day, key) IN (SELECT day, key FROM dedupe WHERE day < ?1 LIMIT ?2)")?
        .execute((oldest, ROWS_PER_STEP))?;
    if keys == 0 {
        let longest = tx.shared.config.retention_classes_days.iter().max().copied().unwrap_or(0);
        let before = now.minus_ms(u64::from(longest) * DAY_MS);
        tx.conn
            .prepare_cached(
                "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE status <> 0 AND updated_at < ?1 LIMIT ?2)",
            )?
            .execute((before.0, ROWS_PER_STEP))?;
        tx.conn
            .prepare_cached(
                "DELETE FROM stats WHERE (endpoint, hour) IN (SELECT endpoint, hour FROM stats WHERE hour < ?1 LIMIT ?2)",
            )?
            .execute((before.0.div_euclid(3_600_000), ROWS_PER_STEP))?;
        give_pages_back(tx)?;
    }
    Ok(keys as u64)
}

/// Pages freed by deleting are used again first; only a large surplus is given back to the file system.
fn give_pages_back(tx: &JobTx<'_>) -> Result<()> {
    let free: usize = tx.conn.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    let all: usize = tx.conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if free > PAGES_PER_STEP && free > all / 4 {
        tx.conn.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})"))?;
    }
    Ok(())
}
