//! What goes row by row: history in default tables, caller keys and uids, old stats and tasks, changes every node has read,
//! nodes that ended.

use super::retention::{add_purged, drop_or_postpone, is_postponed};
use super::tables::Tables;
use super::{DAY_MS, Work, cursor, set_cursor};
use crate::Result;
use crate::postgres::codec;
use crate::postgres::db::{Params, Run, Tx};
use crate::postgres::partitions::{HISTORY, day, id_column, lowest_of_day};
use crate::postgres::wire::Uuid;
use hookfast_core::{EventId, UnixMs};
use tokio_postgres::types::Type;

const ROWS_PER_STEP: i64 = 500;
/// Stats are many and small.
const STATS_PER_STEP: i64 = 5_000;
const HOUR_MS: i64 = 3_600_000;
/// Events live up to so many days longer than their class says: their table's other days, and the day of grace.
const LONGER_DAYS: u64 = 8;

/// A step of each kind; dropping a table comes last.
pub(super) async fn step(tx: &Tx<'_>, tables: &Tables, now: UnixMs) -> Result<Work> {
    let mut work = Work::default();
    for class in tables.classes() {
        let events = delete_rest(tx, class, now, &mut work).await?;
        add_purged(tx, class, codec::narrow(events)?).await?;
        work.purged += events;
    }
    let longest_ms = u64::from(tables.classes().last().copied().unwrap_or_default()) * DAY_MS;
    let uids_before: Uuid = EventId::lowest_at(now.minus_ms(longest_ms + LONGER_DAYS * DAY_MS)).into();
    let uids = "DELETE FROM hookfast.uids WHERE ctid = ANY(ARRAY(
                  SELECT ctid FROM hookfast.uids WHERE event < $1 LIMIT $2))";
    delete(tx, &mut work, uids, &[(&uids_before, Type::UUID), (&ROWS_PER_STEP, Type::INT8)]).await?;
    let changes = "DELETE FROM hookfast.changes WHERE no IN (
                     SELECT no FROM hookfast.changes WHERE at < now() - interval '5 minutes' LIMIT $1)";
    delete(tx, &mut work, changes, &[(&ROWS_PER_STEP, Type::INT8)]).await?;
    forget_nodes(tx, now).await?;
    delete_daily(tx, now, now.minus_ms(longest_ms), &mut work).await?;
    delete_keys(tx, tables, now, &mut work).await?;
    Ok(work)
}

/// Runs a statement that deletes at most as many rows as its last parameter says.
async fn delete(tx: &Tx<'_>, work: &mut Work, sql: &str, params: Params<'_>) -> Result<u64> {
    let rows = tx.change(sql, params).await?;
    work.rows += rows;
    work.more |= rows >= ROWS_PER_STEP as u64;
    Ok(rows)
}

/// History that found no table of its days; how many events.
async fn delete_rest(tx: &Tx<'_>, class: u16, now: UnixMs, work: &mut Work) -> Result<u64> {
    let before: Uuid = EventId::lowest_at(now.minus_ms((u64::from(class) + 1) * DAY_MS)).into();
    let mut events = 0;
    for table in HISTORY {
        let (rest, id) = (format!("hookfast.{table}_{class}_rest"), id_column(table));
        let sql = format!(
            "DELETE FROM {rest} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {rest} WHERE {id} < $1 ORDER BY {id} LIMIT $2))"
        );
        let rows = delete(tx, work, &sql, &[(&before, Type::UUID), (&ROWS_PER_STEP, Type::INT8)]).await?;
        events += if table == "events" { rows } else { 0 };
    }
    Ok(events)
}

/// Nodes that ended more than a day ago and have left nothing behind. The highest id ever made is kept: new ones go on
/// behind it.
async fn forget_nodes(tx: &Tx<'_>, now: UnixMs) -> Result<()> {
    tx.change(
        "WITH gone AS (
           DELETE FROM hookfast.nodes n WHERE n.state <> 0 AND n.ended_at < $1
             AND NOT EXISTS (SELECT FROM hookfast.handoff h WHERE h.incarnation = n.incarnation)
             AND NOT EXISTS (SELECT FROM hookfast.queue q WHERE q.lease_owner = n.incarnation)
             AND NOT EXISTS (SELECT FROM hookfast.beats b WHERE b.incarnation = n.incarnation
               AND b.last_id = (SELECT max(last_id) FROM hookfast.beats))
           RETURNING n.incarnation)
         DELETE FROM hookfast.beats b USING gone WHERE b.incarnation = gone.incarnation",
        &[(&now.minus_ms(DAY_MS).0, Type::INT8)],
    )
    .await?;
    Ok(())
}

/// Stats and finished tasks that nobody asks for any more: no index finds them, so they are looked for once a day.
async fn delete_daily(tx: &Tx<'_>, now: UnixMs, before: UnixMs, work: &mut Work) -> Result<()> {
    let today = lowest_of_day(day(now));
    if cursor(tx, "daily").await? >= today {
        return Ok(());
    }
    let tasks = "DELETE FROM hookfast.tasks WHERE ctid = ANY(ARRAY(
                   SELECT ctid FROM hookfast.tasks WHERE status <> 0 AND updated_at < $1 LIMIT $2))";
    let tasks = tx.change(tasks, &[(&before.0, Type::INT8), (&ROWS_PER_STEP, Type::INT8)]).await?;
    let hour = i32::try_from(before.0.div_euclid(HOUR_MS)).unwrap_or(i32::MAX);
    let stats = "DELETE FROM hookfast.stats WHERE ctid = ANY(ARRAY(
                   SELECT ctid FROM hookfast.stats WHERE hour < $1 LIMIT $2))";
    let stats = tx.change(stats, &[(&hour, Type::INT4), (&STATS_PER_STEP, Type::INT8)]).await?;
    work.rows += tasks + stats;
    if tasks < ROWS_PER_STEP as u64 && stats < STATS_PER_STEP as u64 {
        return set_cursor(tx, "daily", today).await;
    }
    work.more = true;
    Ok(())
}

/// Caller keys of days that are over: they are remembered today and tomorrow.
async fn delete_keys(tx: &Tx<'_>, tables: &Tables, now: UnixMs, work: &mut Work) -> Result<()> {
    let oldest = day(now) - 1;
    let rest = "DELETE FROM hookfast.dedupe_rest WHERE ctid = ANY(ARRAY(
                  SELECT ctid FROM hookfast.dedupe_rest WHERE day < $1 LIMIT $2))";
    let before = i32::try_from(oldest).unwrap_or(i32::MAX);
    delete(tx, work, rest, &[(&before, Type::INT4), (&ROWS_PER_STEP, Type::INT8)]).await?;
    let Some(day) = tables.oldest_keys().filter(|day| *day < oldest) else { return Ok(()) };
    if !is_postponed(tx, "keys", now).await? && drop_or_postpone(tx, "keys", &[format!("dedupe_{day}")], now).await? {
        work.more = true;
    }
    Ok(())
}
