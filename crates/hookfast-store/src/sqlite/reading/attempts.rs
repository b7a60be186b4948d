//! Attempts: those inside their delivery and those with a row of their own, read as one list by id.

use super::{events, stop};
use crate::columns::state_of_attempts;
use crate::page::PageSql;
use crate::sqlite::codec;
use crate::{Error, Result};
use hookfast_core::model::{Attempt, Trigger};
use hookfast_core::ports::{AttemptFilter, Found, Page, PageOf};
use hookfast_core::{AppId, AttemptId, EndpointId, Error as PortError, EventId};
use rusqlite::{Connection, Row, ToSql};

/// Both kinds with the same columns. `high` and `low` are the attempt's id; `key` is the attempt's row key.
const INSIDE: &str = "SELECT d.event, d.endpoint, d.attempt AS high, d.attempt_low AS low, d.run, 1 AS number, d.cause,
    d.status, d.duration_ms, d.manual, d.url, d.excerpt FROM deliveries d WHERE d.attempt_low IS NOT NULL";
const OWN: &str = "SELECT a.event, a.endpoint, a.id AS high, a.low, a.run, a.number, a.cause, a.status, a.duration_ms,
    a.manual, a.url, a.excerpt FROM attempts a WHERE 1";

fn read(row: &Row<'_>) -> Result<Attempt> {
    let (high, low): (i64, i64) = (row.get("high")?, row.get("low")?);
    let (event, event_low): (i64, i64) = (row.get("event")?, row.get("event_low")?);
    let endpoint: [u8; 16] = row.get("endpoint_id")?;
    let excerpt: Option<String> = row.get("excerpt")?;
    let manual: bool = row.get("manual")?;
    Ok(Attempt {
        id: AttemptId::from_halves(high.cast_unsigned(), low.cast_unsigned()),
        event: EventId::from_halves(event.cast_unsigned(), event_low.cast_unsigned()),
        endpoint: EndpointId::from_u128(u128::from_be_bytes(endpoint)),
        run: row.get("run")?,
        number: row.get("number")?,
        url: row.get::<_, Option<String>>("url_text")?.unwrap_or_default(),
        cause: codec::cause_from(row.get("cause")?)?,
        status: row.get("status")?,
        duration_ms: row.get("duration_ms")?,
        excerpt: excerpt.unwrap_or_default(),
        trigger: if manual { Trigger::Manual } else { Trigger::Scheduled },
    })
}

/// Both kinds, each limited and ordered by its own index before they are merged.
fn sql(own_scope: &str, inside_scope: &str, filter: &str, plan: &PageSql) -> String {
    let half = |base: &str, key: &str, scope: &str, alias: &str| {
        format!(
            "SELECT * FROM ({base} AND {scope} AND {key} >= :low AND {key} < :end
               {filter}
             ORDER BY {key} {order} LIMIT :rows)",
            filter = filter.replace("{alias}", alias),
            order = plan.order,
        )
    };
    format!(
        "SELECT t.*, e.low AS event_low, p.id AS endpoint_id, u.url AS url_text
         FROM ({} UNION ALL {}) t JOIN events e ON e.id = t.event JOIN endpoints p ON p.no = t.endpoint
         LEFT JOIN urls u ON u.no = t.url ORDER BY high {} LIMIT :rows",
        half(INSIDE, "d.attempt", inside_scope, "d"),
        half(OWN, "a.id", own_scope, "a"),
        plan.order,
    )
}

/// A success is cause 0.
const FILTER: &str = "AND (:succeeded IS NULL OR ({alias}.cause = 0) = :succeeded)
    AND (:status IS NULL OR {alias}.status / 100 * 100 = :status)
    AND (:endpoint_only IS NULL OR {alias}.endpoint = :endpoint_only)
    AND (:types IS NULL AND :channel IS NULL OR EXISTS (SELECT 1 FROM events v WHERE v.id = {alias}.event
      AND (:types IS NULL OR v.event_type IN (SELECT value FROM json_each(:types)))
      AND (:channel IS NULL OR EXISTS (SELECT 1 FROM json_each(v.channels) WHERE value = :channel))))";

fn sql_of(scope: &str, filter: &AttemptFilter, plan: &PageSql) -> String {
    let state = state_of_attempts("d.state", filter.succeeded);
    sql(&format!("a.{scope} = :scope"), &format!("d.{scope} = :scope AND {state}"), FILTER, plan)
}

/// The attempts that a page may have.
fn keys(plan: &PageSql, filter: &AttemptFilter, page: &Page<AttemptId>) -> (i64, i64) {
    let between = [filter.after, filter.before].map(|time| codec::row_id(AttemptId::lowest_at(time).high()));
    plan.behind(page.after.map(|id| codec::row_id(id.high())), between.into())
}

fn list(
    conn: &Connection,
    scope: (&str, i64),
    endpoint_only: Option<i64>,
    filter: &AttemptFilter,
    plan: &PageSql,
    (low, end): (i64, i64),
) -> Result<Vec<Attempt>> {
    let sql = sql_of(scope.0, filter, plan);
    let types = if filter.event_types.is_empty() { None } else { Some(codec::json(&filter.event_types)?) };
    let params: &[(&str, &dyn ToSql)] = &[
        (":scope", &scope.1),
        (":low", &low),
        (":end", &end),
        (":succeeded", &filter.succeeded),
        (":status", &filter.status_class),
        (":endpoint_only", &endpoint_only),
        (":types", &types),
        (":channel", &filter.channel),
        (":rows", &plan.rows()),
    ];
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(row)?);
    }
    Ok(items)
}

/// Attempts of an event by id.
pub(super) fn of_event(
    conn: &Connection,
    app: AppId,
    event: EventId,
    filter: &AttemptFilter,
    page: &Page<AttemptId>,
) -> Result<PageOf<Attempt>> {
    let (high, _) = events::routed(conn, app, event)?;
    let only = match filter.endpoint {
        Some(endpoint) => Some(crate::sqlite::configuration::number(conn, app, endpoint)?),
        None => None,
    };
    let plan = PageSql::new(page);
    let keys = keys(&plan, filter, page);
    Ok(plan.page(list(conn, ("event", high), only, filter, &plan, keys)?))
}

/// Attempts to an endpoint by id.
pub(super) fn of_endpoint(
    conn: &Connection,
    endpoint: i64,
    filter: &AttemptFilter,
    page: &Page<AttemptId>,
) -> Result<Found<Attempt, AttemptId>> {
    let plan = PageSql::new(page);
    let keys = keys(&plan, filter, page);
    let state = state_of_attempts("state", filter.succeeded);
    let part = |key: &str, table: &str, state: &str| {
        format!("SELECT {key} AS stop FROM {table} WHERE endpoint = ?1 AND {state} AND {key} >= ?2 AND {key} < ?3")
    };
    let parts = [part("attempt", "deliveries", &state), part("id", "attempts", "true")];
    let stop = stop(conn, &plan, &parts, (endpoint, keys))?;
    let found = list(conn, ("endpoint", endpoint), None, filter, &plan, plan.up_to(stop, keys))?;
    Ok(plan.found(found, stop.map(|high| AttemptId::from_halves(high.cast_unsigned(), 0))))
}

/// One attempt of an event.
pub(super) fn one(conn: &Connection, app: AppId, event: EventId, attempt: AttemptId) -> Result<Attempt> {
    let (high, _) = events::routed(conn, app, event)?;
    let sql = format!(
        "SELECT t.*, e.low AS event_low, p.id AS endpoint_id, u.url AS url_text FROM
           ({INSIDE} AND d.event = ?1 AND d.attempt = ?2 AND d.attempt_low = ?3
            UNION ALL {OWN} AND a.event = ?1 AND a.id = ?2 AND a.low = ?3) t
         JOIN events e ON e.id = t.event JOIN endpoints p ON p.no = t.endpoint LEFT JOIN urls u ON u.no = t.url",
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((high, codec::row_id(attempt.high()), attempt.low().cast_signed()))?;
    match rows.next()? {
        Some(row) => read(row),
        None => Err(Error::Port(PortError::NotFound { what: "attempt" })),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

    use super::*;
    use crate::sqlite::schema;
    use hookfast_testkit::world::{any_attempt, first_page};

    #[test]
    fn failures_among_many_successes_are_found_by_their_index() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn).unwrap();
        let page = first_page::<AttemptId>();
        for (succeeded, index) in [(Some(false), "deliveries_undelivered"), (Some(true), "deliveries_endpoint")] {
            let filter = AttemptFilter { succeeded, ..any_attempt() };
            let sql = sql_of("endpoint", &filter, &PageSql::new(&page));
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let mut rows = plan.raw_query();
            let mut steps: Vec<String> = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get(3).unwrap());
            }
            assert!(steps.iter().any(|step| step.contains(&format!("SEARCH d USING INDEX {index} "))), "{steps:#?}");
        }
    }
}
