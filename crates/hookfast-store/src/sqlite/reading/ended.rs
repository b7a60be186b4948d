//! Deliveries of an endpoint whose latest run has ended.

use super::stop;
use crate::Result;
use crate::columns::{may_be, state_is};
use crate::page::PageSql;
use crate::sqlite::codec;
use hookfast_core::delivery::Cause;
use hookfast_core::ports::{EndedDelivery, EndedFilter, Found, Page};
use hookfast_core::{AttemptId, EventId};
use rusqlite::{Connection, Row};

fn read(row: &Row<'_>) -> Result<EndedDelivery> {
    let (event, event_low): (i64, i64) = (row.get(0)?, row.get(1)?);
    let (ended, ended_low): (i64, Option<i64>) = (row.get(8)?, row.get(9)?);
    Ok(EndedDelivery {
        event: EventId::from_halves(event.cast_unsigned(), event_low.cast_unsigned()),
        event_type: row.get(2)?,
        uid: row.get(3)?,
        state: codec::state_from(row.get(4)?)?,
        cause: codec::cause_from(row.get(5)?)?,
        tries: row.get(6)?,
        run: row.get(7)?,
        ended: AttemptId::from_halves(ended.cast_unsigned(), ended_low.unwrap_or(0).cast_unsigned()),
    })
}

pub(super) fn list(
    conn: &Connection,
    endpoint: i64,
    filter: &EndedFilter,
    page: &Page<AttemptId>,
) -> Result<Found<EndedDelivery, AttemptId>> {
    let plan = PageSql::new(page);
    let sql = format!(
        "SELECT d.event, e.low, e.event_type, e.uid, d.state, d.cause, d.tries, d.run, d.attempt, d.attempt_low
         FROM deliveries d JOIN events e ON e.id = d.event
         WHERE d.endpoint = ?1 AND {state} AND (?7 IS NULL OR d.cause = ?7) AND d.event >= ?2 AND d.event < ?3
           AND d.attempt >= ?4 AND d.attempt < ?5
           AND NOT EXISTS (SELECT 1 FROM deliveries l WHERE l.event = d.event AND l.endpoint = ?1 AND l.run > d.run)
           AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.event = d.event AND q.endpoint = ?1)
         ORDER BY d.attempt {order} LIMIT ?6",
        state = state_is("d.state", filter.state),
        order = plan.order,
    );
    let part = format!(
        "SELECT attempt AS stop FROM deliveries WHERE endpoint = ?1 AND {} AND attempt >= ?2 AND attempt < ?3",
        may_be("state", filter.state),
    );
    let behind = plan.behind(page.after.map(|id| codec::row_id(id.high())), (i64::MIN, i64::MAX));
    let stop = stop(conn, &plan, &[part], (endpoint, behind))?;
    let (low, end) = plan.up_to(stop, behind);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((
        endpoint,
        codec::row_id(EventId::lowest_at(filter.after).high()),
        codec::row_id(EventId::lowest_at(filter.before).high()),
        low,
        end,
        plan.rows(),
        filter.cause.map(Cause::code),
    ))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(row)?);
    }
    Ok(plan.found(items, stop.map(|high| AttemptId::from_halves(high.cast_unsigned(), 0))))
}
