//! Events, one and many.

use super::{app_number, stop};
use crate::page::PageSql;
use crate::sqlite::codec;
use crate::{Error, Result};
use hookfast_core::model::{Event, Origin};
use hookfast_core::ports::{EventFilter, Found, Page};
use hookfast_core::{AppId, Error as PortError, EventId};
use rusqlite::{Connection, Row};

const COLUMNS: &str = "id, low, event_type, uid, channels, content_type";
const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "message" });

/// An event from [`COLUMNS`], and its body and origin behind them. Lists leave both out: they lie on further pages.
fn read(row: &Row<'_>, app: AppId) -> Result<Event> {
    let (high, low): (i64, i64) = (row.get(0)?, row.get(1)?);
    let channels: Option<String> = row.get(4)?;
    let body: Option<Vec<u8>> = row.get(6)?;
    let (source, by): (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
    Ok(Event {
        id: EventId::from_halves(high.cast_unsigned(), low.cast_unsigned()),
        app,
        event_type: row.get(2)?,
        uid: row.get(3)?,
        channels: channels.as_deref().map_or(Ok(Vec::new()), |text| codec::from_json(text, "channels"))?,
        content_type: row.get(5)?,
        body: body.map(Into::into),
        origin: Origin::kept(source.as_deref(), by.as_deref()),
    })
}

/// By id, else by the caller's own uid.
pub(super) fn find(conn: &Connection, app: AppId, reference: &str) -> Result<Event> {
    let no = app_number(conn, app)?;
    let read_one = |filter: &str, params: &[&dyn rusqlite::ToSql]| -> Result<Option<Event>> {
        let sql = format!("SELECT {COLUMNS}, body, source, accepted_by FROM events WHERE app = ?1 AND {filter}");
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(|row| read(row, app)).transpose()
    };
    let found = match reference.parse::<EventId>() {
        Ok(id) => {
            let (high, low) = (codec::row_id(id.high()), id.low().cast_signed());
            read_one("id = ?2 AND low = ?3", &[&no, &high, &low])?
        }
        Err(_) => read_one("uid = ?2", &[&no, &reference])?,
    };
    found.ok_or(NOT_FOUND)
}

/// The row id of an event of this application, with its routed endpoints.
pub(super) fn routed(conn: &Connection, app: AppId, event: EventId) -> Result<(i64, Vec<i64>)> {
    let no = app_number(conn, app)?;
    let high = codec::row_id(event.high());
    let mut statement = conn.prepare_cached("SELECT routed FROM events WHERE id = ?1 AND low = ?2 AND app = ?3")?;
    let mut rows = statement.query((high, event.low().cast_signed(), no))?;
    match rows.next()? {
        Some(row) => {
            let routed: Vec<u8> = row.get(0)?;
            Ok((high, codec::get_numbers(&routed)?))
        }
        None => Err(NOT_FOUND),
    }
}

/// Which rows a list looks at.
const STOP: &str = "SELECT id AS stop FROM events WHERE app = ?1 AND id >= ?2 AND id < ?3";

/// Events of an application by id.
pub(super) fn list(
    conn: &Connection,
    app: AppId,
    filter: &EventFilter,
    page: &Page<EventId>,
) -> Result<Found<Event, EventId>> {
    let no = app_number(conn, app)?;
    let plan = PageSql::new(page);
    let sql = format!(
        "SELECT {COLUMNS}, {body}, NULL, NULL FROM events WHERE app = ?1 AND id >= ?2 AND id < ?3
         AND (?4 IS NULL OR event_type IN (SELECT value FROM json_each(?4)))
         AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(channels) WHERE value = ?5))
         ORDER BY id {order} LIMIT ?6",
        body = if filter.with_body { "body" } else { "NULL" },
        order = plan.order,
    );
    let types = if filter.event_types.is_empty() { None } else { Some(codec::json(&filter.event_types)?) };
    let between = [filter.after, filter.before].map(|time| codec::row_id(EventId::lowest_at(time).high()));
    let behind = plan.behind(page.after.map(|id| codec::row_id(id.high())), between.into());
    let stop = if types.is_some() || filter.channel.is_some() {
        stop(conn, &plan, &[STOP.to_owned()], (no, behind))?
    } else {
        None
    };
    let (low, end) = plan.up_to(stop, behind);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((no, low, end, types, &filter.channel, plan.rows()))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(row, app)?);
    }
    Ok(plan.found(items, stop.map(|high| EventId::from_halves(high.cast_unsigned(), 0))))
}
