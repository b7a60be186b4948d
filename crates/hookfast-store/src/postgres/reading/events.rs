//! Events, one and many.

use super::{app_number, stop};
use crate::page::PageSql;
use crate::postgres::Shared;
use crate::postgres::db::{Params, Run};
use crate::postgres::wire::Uuid;
use crate::{Error, Result, columns};
use hookfast_core::model::{Event, Origin};
use hookfast_core::ports::{EventFilter, Found, Page};
use hookfast_core::{AppId, Error as PortError, EventId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const COLUMNS: &str = "v.id, v.event_type, v.uid, v.channels, v.content_type";
const REST: &str = "v.body, v.source, v.accepted_by";
const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "message" });

/// An event from [`COLUMNS`], and its body and origin behind them. Lists leave the origin out.
fn read(row: &Row, app: AppId) -> Result<Event> {
    let channels: Option<&str> = row.try_get(3)?;
    let body: Option<Vec<u8>> = row.try_get(5)?;
    Ok(Event {
        id: row.try_get::<_, Uuid>(0)?.into(),
        app,
        event_type: row.try_get(1)?,
        uid: row.try_get(2)?,
        channels: channels.map_or(Ok(Vec::new()), |text| columns::from_json(text, "channels"))?,
        content_type: row.try_get(4)?,
        body: body.map(Into::into),
        origin: Origin::kept(row.try_get(6)?, row.try_get(7)?),
    })
}

/// By id, else by the caller's own uid.
pub(super) async fn find(shared: &Shared, app: AppId, reference: &str) -> Result<Event> {
    let session = shared.db.session().await?;
    let no = app_number(&session, app).await?;
    let row = match reference.parse::<EventId>() {
        Ok(id) => {
            let sql = format!("SELECT {COLUMNS}, {REST} FROM hookfast.events v WHERE v.id = $1 AND v.app = $2");
            session.opt(&sql, &[(&Uuid::from(id), Type::UUID), (&no, Type::INT8)]).await?
        }
        Err(_) => {
            let sql = format!(
                "SELECT {COLUMNS}, {REST} FROM hookfast.uids u JOIN hookfast.events v ON v.id = u.event
                 WHERE u.app = $2 AND u.uid = $1 AND v.app = $2"
            );
            session.opt(&sql, &[(&reference, Type::TEXT), (&no, Type::INT8)]).await?
        }
    };
    read(&row.ok_or(NOT_FOUND)?, app)
}

/// The endpoints that an event of this application was routed to, by number.
pub(super) async fn routed(run: &impl Run, app: AppId, event: EventId) -> Result<Vec<i64>> {
    let no = app_number(run, app).await?;
    let sql = "SELECT routed FROM hookfast.events WHERE id = $1 AND app = $2";
    let row = run.opt(sql, &[(&Uuid::from(event), Type::UUID), (&no, Type::INT8)]).await?;
    columns::get_numbers(row.ok_or(NOT_FOUND)?.try_get(0)?)
}

/// Which rows a list looks at.
const STOP: &str = "SELECT v.id AS stop FROM hookfast.events v WHERE v.app = $1 AND v.id >= $2 AND v.id < $3";

/// Events of an application by id.
pub(super) async fn list(
    shared: &Shared,
    app: AppId,
    filter: &EventFilter,
    page: &Page<EventId>,
) -> Result<Found<Event, EventId>> {
    let plan = PageSql::new(page);
    let between = (EventId::lowest_at(filter.after).into(), EventId::lowest_at(filter.before).into());
    let sql = format!(
        "SELECT {COLUMNS}, {body}, NULL, NULL FROM hookfast.events v WHERE v.app = $1 AND v.id >= $2 AND v.id < $3
         AND ($4 IS NULL OR v.event_type = ANY($4)) AND ($5 IS NULL OR v.channels::jsonb ? $5)
         ORDER BY v.id {order} LIMIT $6",
        body = if filter.with_body { "v.body" } else { "NULL::bytea" },
        order = plan.order,
    );
    let types = (!filter.event_types.is_empty()).then_some(&filter.event_types);
    let session = shared.db.session().await?;
    let no = app_number(&session, app).await?;
    let behind = plan.behind(page.after.map(Uuid::from), between);
    let stop = if types.is_some() || filter.channel.is_some() {
        stop(&session, &plan, &[STOP.to_owned()], (no, behind)).await?
    } else {
        None
    };
    let (low, end) = plan.up_to(stop, behind);
    let params: Params<'_> = &[
        (&no, Type::INT8),
        (&low, Type::UUID),
        (&end, Type::UUID),
        (&types, Type::TEXT_ARRAY),
        (&filter.channel, Type::TEXT),
        (&plan.rows(), Type::INT8),
    ];
    let rows = session.rows(&sql, params).await?;
    let items = rows.iter().map(|row| read(row, app)).collect::<Result<_>>()?;
    Ok(plan.found(items, stop.map(Into::into)))
}
