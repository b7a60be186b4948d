//! What has passed its retention goes: first what is unfinished ends as dead, a day later whole tables are dropped, after a
//! last audit of what they hold.

use super::tables::{Tables, drop_tables};
use super::{DAY_MS, Work, audit, cursor, ends, leftovers, set_cursor};
use crate::Result;
use crate::postgres::db::{Run, Tx};
use crate::postgres::partitions::{self, HISTORY, day, lowest_of_day, width_days};
use crate::postgres::wire::Uuid;
use crate::postgres::{Shared, codec, ordering};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::{EventId, UnixMs};
use tokio_postgres::types::Type;

const ROWS_PER_STEP: i64 = 500;
/// After a lock that could not be had: each wait for one holds up whoever comes later.
const BLOCKED_PAUSE_MS: u64 = 600_000;

pub(super) async fn step(tx: &Tx<'_>, shared: &Shared) -> Result<Work> {
    let now = shared.clock.now();
    let tables = Tables::read(tx).await?;
    for class in tables.classes() {
        let work = end_unfinished(tx, shared, class, now).await?;
        // One class in a step: the keys of a second one would be locked out of order.
        if work.rows > 0 || !work.endpoints.is_empty() {
            return Ok(Work { more: true, ..work });
        }
    }
    for class in tables.classes() {
        if let Some(work) = drop_oldest(tx, shared, &tables, class, now).await? {
            return Ok(work);
        }
    }
    leftovers::step(tx, &tables, now).await
}

async fn end_unfinished(tx: &Tx<'_>, shared: &Shared, class: u16, now: UnixMs) -> Result<Work> {
    let before: Uuid = EventId::lowest_at(now.minus_ms(u64::from(class) * DAY_MS)).into();
    let waiting = tx
        .rows(
            "SELECT event, endpoint, run, order_key FROM hookfast.queue WHERE event < $1 AND retention_days = $2
               AND lease_owner IS NULL ORDER BY event LIMIT $3",
            &[(&before, Type::UUID), (&codec::class(class), Type::INT2), (&ROWS_PER_STEP, Type::INT8)],
        )
        .await?;
    let Some(oldest) = waiting.first() else {
        let endpoints = ordering::free_older(tx, shared, codec::class(class), before, ROWS_PER_STEP).await?;
        return Ok(Work { endpoints, ..Work::default() });
    };
    if oldest.try_get::<_, Uuid>(0)? < lowest_of_day(day(now) - i64::from(class) - 1) {
        // It ends late: its end is to be seen for a day all the same.
        postpone(tx, &class.to_string(), now.plus_ms(DAY_MS)).await?;
    }
    ends::end(tx, shared, &waiting, DeliveryState::Dead, Cause::Expired).await
}

/// Audits the oldest tables of a class a little further, then drops them; `None` when they must stay for now.
async fn drop_oldest(tx: &Tx<'_>, shared: &Shared, tables: &Tables, class: u16, now: UnixMs) -> Result<Option<Work>> {
    let Some(first) = tables.oldest(class) else { return Ok(None) };
    let end = first + width_days(class);
    if end + i64::from(class) + 1 > day(now) || is_postponed(tx, &class.to_string(), now).await? {
        return Ok(None);
    }
    let (from, to) = (lowest_of_day(first), lowest_of_day(end));
    let days = codec::class(class);
    let range: crate::postgres::db::Params<'_> = &[(&days, Type::INT2), (&from, Type::UUID), (&to, Type::UUID)];
    // Only leased ones can be left: they are being tried, and end when they come back.
    let sql = "SELECT EXISTS (SELECT FROM hookfast.queue WHERE retention_days = $1 AND event >= $2 AND event < $3)";
    if tx.one(sql, range).await?.try_get(0)? {
        return Ok(None);
    }
    if let Some(work) = audit::check_range(tx, shared, days, &format!("drop_{class}"), (from, to)).await? {
        return Ok(Some(work));
    }
    // Where the days have no table of events, theirs stand in the default table and are counted when they go from there.
    let events: i64 = if tables.has(&partitions::name("events", class, first)) {
        let sql = "SELECT count(*) FROM hookfast.events WHERE retention_days = $1 AND id >= $2 AND id < $3";
        tx.one(sql, range).await?.try_get(0)?
    } else {
        0
    };
    let names = HISTORY.map(|table| partitions::name(table, class, first));
    if !drop_or_postpone(tx, &class.to_string(), &names, now).await? {
        return Ok(None);
    }
    add_purged(tx, class, events).await?;
    let events = codec::narrow(events)?;
    Ok(Some(Work { rows: events, more: true, purged: events, ..Work::default() }))
}

/// Counts events that are gone for ever.
pub(super) async fn add_purged(tx: &Tx<'_>, class: u16, events: i64) -> Result<()> {
    if events == 0 {
        return Ok(());
    }
    tx.change(
        "INSERT INTO hookfast.purged AS p (retention_days, events) VALUES ($1, $2)
         ON CONFLICT (retention_days) DO UPDATE SET events = p.events + $2",
        &[(&codec::class(class), Type::INT2), (&events, Type::INT8)],
    )
    .await?;
    Ok(())
}

/// Drops tables, after which the transaction must end soon; `false` when that must wait.
pub(super) async fn drop_or_postpone(tx: &Tx<'_>, what: &str, names: &[String], now: UnixMs) -> Result<bool> {
    let dropped = drop_tables(tx, names).await?;
    if !dropped {
        postpone(tx, what, now.plus_ms(BLOCKED_PAUSE_MS)).await?;
    }
    Ok(dropped)
}

async fn postpone(tx: &Tx<'_>, what: &str, until: UnixMs) -> Result<()> {
    set_cursor(tx, &format!("keep_{what}"), EventId::lowest_at(until).into()).await
}

/// Must the tables stay, although their time has come?
pub(super) async fn is_postponed(tx: &Tx<'_>, what: &str, now: UnixMs) -> Result<bool> {
    Ok(cursor(tx, &format!("keep_{what}")).await? > EventId::lowest_at(now).into())
}
