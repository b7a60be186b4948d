//! Checks every routed pair once, an hour after its event came: one without a row that nobody has in memory is a
//! stray. It is queued, and counted with an alarm: 0 is expected.

use crate::Result;
use crate::sqlite::writer::JobTx;
use crate::sqlite::{codec, recovery};
use hookfast_core::EventId;
use rusqlite::OptionalExtension;
use std::collections::HashSet;
use std::sync::atomic::Ordering;

const EVENTS_PER_STEP: usize = 250;
const AGE_MS: u64 = 3_600_000;

pub(super) fn step(tx: &mut JobTx<'_>) -> Result<(u64, bool)> {
    let cursor: i64 = tx
        .conn
        .prepare_cached("SELECT value FROM meta WHERE key = 'audited'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let now = tx.shared.clock.now();
    let until = codec::row_id(EventId::lowest_at(now.minus_ms(AGE_MS)).high());
    let events: Vec<i64> = tx
        .conn
        .prepare_cached("SELECT id FROM events WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3")?
        .query_map((cursor, until, EVENTS_PER_STEP), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let Some(last) = events.last().copied() else { return Ok((0, false)) };
    let mut strays = 0;
    let in_memory = in_memory(tx)?;
    for event in events.iter().filter(|event| !in_memory.contains(*event)) {
        strays += recovery::queue_missing(tx.conn, *event, &tx.shared.ids, now)?;
    }
    tx.conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('audited', ?1)")?.execute([last])?;
    if strays > 0 {
        tracing::error!(strays, "deliveries without rows were found and queued: please report this");
        tx.shared.counters.strays.fetch_add(strays, Ordering::Relaxed);
    }
    Ok((strays, events.len() == EVENTS_PER_STEP))
}

/// Events that this incarnation still answers for in memory, however old: those in its hand-off rows. As many as
/// there are memory slots at most.
fn in_memory(tx: &JobTx<'_>) -> Result<HashSet<i64>> {
    let mut statement = tx.conn.prepare_cached("SELECT events FROM handoff")?;
    let mut rows = statement.query([])?;
    let mut events = HashSet::new();
    while let Some(row) = rows.next()? {
        let packed: Vec<u8> = row.get(0)?;
        events.extend(recovery::handoff_events(&packed));
    }
    Ok(events)
}
