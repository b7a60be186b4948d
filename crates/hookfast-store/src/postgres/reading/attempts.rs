//! Attempts: those inside their delivery and those with a row of their own, read as one list by id.

use super::{events, number, stop};
use crate::page::PageSql;
use crate::postgres::db::{Params, Run as _, Session};
use crate::postgres::wire::Uuid;
use crate::postgres::{Shared, codec};
use crate::{Error, Result, columns};
use hookfast_core::model::{Attempt, Trigger};
use hookfast_core::ports::{AttemptFilter, Found, Page, PageOf};
use hookfast_core::{AppId, AttemptId, EndpointId, Error as PortError, EventId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Both kinds with the same columns.
const INSIDE: &str =
    "SELECT x.event, x.endpoint, x.attempt AS id, x.run, 1 AS number, x.cause, x.status, x.duration_ms,
    x.manual, x.url, x.excerpt FROM hookfast.deliveries x WHERE x.status IS NOT NULL";
const OWN: &str =
    "SELECT x.event, x.endpoint, x.id, x.run, x.number, x.cause, x.status, x.duration_ms, x.manual, x.url,
    x.excerpt FROM hookfast.attempts x WHERE true";

/// What [`read`] reads of both kinds together, called `t`.
const COLUMNS: &str = "SELECT t.event, p.id, t.id, t.run, t.number, t.cause, t.status, t.duration_ms, t.manual, u.url,
    t.excerpt";
const JOINS: &str = "JOIN hookfast.endpoints p ON p.no = t.endpoint LEFT JOIN hookfast.urls u ON u.no = t.url";

/// A success is cause 0.
const FILTER: &str = "AND ($4 IS NULL OR (x.cause = 0) = $4) AND ($5 IS NULL OR x.status / 100 * 100 = $5)
    AND ($6 IS NULL OR x.endpoint = $6)";
/// What is asked of the event, as a value: only so it is looked up row by row. Left out where nothing is asked, since
/// planning it takes longer than the rest.
const EVENT_FILTER: &str =
    "AND (SELECT ($7 IS NULL OR v.event_type = ANY($7)) AND ($8 IS NULL OR v.channels::jsonb ? $8)
    FROM hookfast.events v WHERE v.id = x.event AND v.retention_days = x.retention_days)";

fn read(row: &Row) -> Result<Attempt> {
    let excerpt: Option<&[u8]> = row.try_get(10)?;
    let manual: bool = row.try_get(8)?;
    Ok(Attempt {
        event: row.try_get::<_, Uuid>(0)?.into(),
        endpoint: row.try_get::<_, Uuid>(1)?.into(),
        id: row.try_get::<_, Uuid>(2)?.into(),
        run: codec::narrow(row.try_get::<_, i32>(3)?)?,
        number: codec::narrow(row.try_get::<_, i32>(4)?)?,
        cause: columns::cause_from(codec::narrow(row.try_get::<_, i16>(5)?)?)?,
        status: codec::narrow(row.try_get::<_, i16>(6)?)?,
        duration_ms: codec::narrow(row.try_get::<_, i32>(7)?)?,
        url: row.try_get::<_, Option<String>>(9)?.unwrap_or_default(),
        excerpt: excerpt.map(String::from_utf8_lossy).unwrap_or_default().into_owned(),
        trigger: if manual { Trigger::Manual } else { Trigger::Scheduled },
    })
}

/// Both kinds, each limited and ordered by its own index before they are merged. `scope` is the column that `$1` is
/// about.
fn sql(scope: &str, succeeded: Option<bool>, event_filter: &str, order: &str) -> String {
    let state = columns::state_of_attempts("x.state", succeeded);
    let half = |base: &str, key: &str, more: &str| {
        format!(
            "({base} AND {more} AND x.{scope} = $1 AND x.{key} >= $2 AND x.{key} < $3 {FILTER} {event_filter}
              ORDER BY x.{key} {order} LIMIT $9)"
        )
    };
    let (inside, own) = (half(INSIDE, "attempt", &state), half(OWN, "id", "true"));
    format!("{COLUMNS} FROM ({inside} UNION ALL {own}) t {JOINS} ORDER BY t.id {order} LIMIT $9")
}

async fn list(
    session: &Session,
    (scope, of): (&str, (&(dyn tokio_postgres::types::ToSql + Sync), Type)),
    only: Option<i64>,
    filter: &AttemptFilter,
    plan: &PageSql,
    (low, end): (Uuid, Uuid),
) -> Result<Vec<Attempt>> {
    let class = filter.status_class.map(|class| i16::try_from(class).unwrap_or(i16::MAX));
    let types = (!filter.event_types.is_empty()).then_some(&filter.event_types);
    let params: Params<'_> = &[
        of,
        (&low, Type::UUID),
        (&end, Type::UUID),
        (&filter.succeeded, Type::BOOL),
        (&class, Type::INT2),
        (&only, Type::INT8),
        (&types, Type::TEXT_ARRAY),
        (&filter.channel, Type::TEXT),
        (&plan.rows(), Type::INT8),
    ];
    let event_filter = if types.is_none() && filter.channel.is_none() { "" } else { EVENT_FILTER };
    let rows = session.rows(&sql(scope, filter.succeeded, event_filter, plan.order), params).await?;
    rows.iter().map(read).collect()
}

/// The attempts that a page may have.
fn keys(plan: &PageSql, filter: &AttemptFilter, page: &Page<AttemptId>) -> (Uuid, Uuid) {
    let between = [filter.after, filter.before].map(|time| Uuid::from(AttemptId::lowest_at(time)));
    plan.behind(page.after.map(Uuid::from), between.into())
}

/// Attempts of an event by id.
pub(super) async fn of_event(
    shared: &Shared,
    app: AppId,
    event: EventId,
    filter: &AttemptFilter,
    page: &Page<AttemptId>,
) -> Result<PageOf<Attempt>> {
    let session = shared.db.session().await?;
    events::routed(&session, app, event).await?;
    let only = match filter.endpoint {
        Some(endpoint) => Some(number(&session, app, endpoint).await?),
        None => None,
    };
    let plan = PageSql::new(page);
    let keys = keys(&plan, filter, page);
    Ok(plan.page(list(&session, ("event", (&Uuid::from(event), Type::UUID)), only, filter, &plan, keys).await?))
}

/// Attempts to an endpoint by id.
pub(super) async fn of_endpoint(
    shared: &Shared,
    app: AppId,
    endpoint: EndpointId,
    filter: &AttemptFilter,
    page: &Page<AttemptId>,
) -> Result<Found<Attempt, AttemptId>> {
    let session = shared.db.session().await?;
    let no = number(&session, app, endpoint).await?;
    let plan = PageSql::new(page);
    let keys = keys(&plan, filter, page);
    let state = columns::state_of_attempts("x.state", filter.succeeded);
    let part = |key: &str, table: &str, state: &str| {
        format!(
            "SELECT x.{key} AS stop FROM hookfast.{table} x
             WHERE x.endpoint = $1 AND {state} AND x.{key} >= $2 AND x.{key} < $3"
        )
    };
    let parts = [part("attempt", "deliveries", &state), part("id", "attempts", "true")];
    let stop = stop(&session, &plan, &parts, (no, keys)).await?;
    let keys = plan.up_to(stop, keys);
    let found = list(&session, ("endpoint", (&no, Type::INT8)), None, filter, &plan, keys).await?;
    Ok(plan.found(found, stop.map(Into::into)))
}

/// One attempt of an event.
pub(super) async fn one(shared: &Shared, app: AppId, event: EventId, attempt: AttemptId) -> Result<Attempt> {
    let session = shared.db.session().await?;
    events::routed(&session, app, event).await?;
    let sql = format!(
        "{COLUMNS} FROM ({INSIDE} AND x.event = $1 AND x.attempt = $2
           UNION ALL {OWN} AND x.event = $1 AND x.id = $2) t {JOINS}"
    );
    let params: Params<'_> = &[(&Uuid::from(event), Type::UUID), (&Uuid::from(attempt), Type::UUID)];
    let row = session.opt(&sql, params).await?;
    read(&row.ok_or(Error::Port(PortError::NotFound { what: "attempt" }))?)
}
