//! Reading what happened. Each answer comes from one snapshot.

mod attempts;
mod destinations;
mod ended;
mod events;

use crate::page::PageSql;
use crate::sqlite::{SqliteStore, codec, configuration, disk};
use crate::{Error, Result};
use hookfast_core::model::{Attempt, Event};
use hookfast_core::ports::{
    AttemptFilter, BoxFuture, Destination, EndedDelivery, EndedFilter, EndpointStats, EventFilter, Found, Page, PageOf,
    Reading, StoreTotals, Thing,
};
use hookfast_core::{AppId, AttemptId, EndpointId, Error as PortError, EventId, OrgId, UnixMs};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const HOUR_MS: i64 = 3_600_000;

/// The number of a live application.
fn app_number(conn: &Connection, app: AppId) -> Result<i64> {
    let sql = "SELECT no FROM applications WHERE id = ?1 AND deleted_at IS NULL";
    let found: Option<i64> =
        conn.prepare_cached(sql)?.query_row([codec::id_bytes(app)], |row| row.get(0)).optional()?;
    found.ok_or(Error::Port(PortError::NotFound { what: "application" }))
}

fn stats(conn: &Connection, no: i64, since: UnixMs, until: UnixMs) -> Result<EndpointStats> {
    let hours = (since.0.div_euclid(HOUR_MS), until.0.div_euclid(HOUR_MS));
    let (success, fail, cancelled) = conn
        .prepare_cached(
            "SELECT coalesce(sum(success), 0), coalesce(sum(fail), 0), coalesce(sum(cancelled), 0) FROM stats
             WHERE endpoint = ?1 AND hour BETWEEN ?2 AND ?3",
        )?
        .query_row((no, hours.0, hours.1), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (pending, retrying) = conn
        .prepare_cached(
            "SELECT coalesce(sum(tries = 0), 0), coalesce(sum(tries > 0), 0) FROM
             (SELECT tries FROM queue WHERE endpoint = ?1 LIMIT 100000)",
        )?
        .query_row([no], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(EndpointStats { success, fail, pending, retrying, cancelled })
}

fn owner(conn: &Connection, org: &str, thing: Thing) -> Result<AppId> {
    const APP: &str = "SELECT a.id FROM applications a WHERE a.org = ?1 AND a.deleted_at IS NULL AND a.no =";
    let id = |row: &rusqlite::Row<'_>| row.get::<_, [u8; 16]>(0);
    let (what, found) = match thing {
        Thing::Event(event) => {
            let sql = format!("{APP} (SELECT app FROM events WHERE id = ?2 AND low = ?3)");
            let params = (org, codec::row_id(event.high()), event.low().cast_signed());
            ("message", conn.prepare_cached(&sql)?.query_row(params, id).optional()?)
        }
        Thing::Endpoint(endpoint) => {
            let sql = format!("{APP} (SELECT app FROM endpoints WHERE id = ?2 AND deleted_at IS NULL)");
            ("endpoint", conn.prepare_cached(&sql)?.query_row((org, codec::id_bytes(endpoint)), id).optional()?)
        }
    };
    let id = found.ok_or(Error::Port(PortError::NotFound { what }))?;
    Ok(AppId::from_u128(u128::from_be_bytes(id)))
}

/// Where a page of a list stops looking, in its table or tables: what `parts` say of the application or endpoint `?1` and
/// of keys from `?2` on and before `?3`.
fn stop(
    conn: &Connection,
    plan: &PageSql,
    parts: &[String],
    (of, (low, end)): (i64, (i64, i64)),
) -> Result<Option<i64>> {
    let mut statement = conn.prepare_cached(&plan.stop(parts))?;
    Ok(statement.query_row((of, low, end), |row| row.get(0)).optional()?)
}

impl Reading for SqliteStore {
    fn event<'a>(&'a self, app: AppId, reference: &'a str) -> BoxFuture<'a, hookfast_core::Result<Event>> {
        let wanted = reference.to_owned();
        self.readers.read(move |conn| events::find(conn, app, &wanted))
    }

    fn events(
        &self,
        app: AppId,
        filter: EventFilter,
        page: Page<EventId>,
    ) -> BoxFuture<'_, hookfast_core::Result<Found<Event, EventId>>> {
        self.readers.read(move |conn| events::list(conn, app, &filter, &page))
    }

    fn destinations(&self, app: AppId, event: EventId) -> BoxFuture<'_, hookfast_core::Result<Vec<Destination>>> {
        let shared = Arc::clone(&self.shared);
        self.readers.read(move |conn| destinations::list(conn, &shared.sealer, app, event))
    }

    fn attempts_of_event(
        &self,
        app: AppId,
        event: EventId,
        filter: AttemptFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, hookfast_core::Result<PageOf<Attempt>>> {
        self.readers.read(move |conn| attempts::of_event(conn, app, event, &filter, &page))
    }

    fn attempts_of_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: AttemptFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, hookfast_core::Result<Found<Attempt, AttemptId>>> {
        self.readers.read(move |conn| {
            let no = configuration::number(conn, app, endpoint)?;
            attempts::of_endpoint(conn, no, &filter, &page)
        })
    }

    fn attempt(&self, app: AppId, event: EventId, attempt: AttemptId) -> BoxFuture<'_, hookfast_core::Result<Attempt>> {
        self.readers.read(move |conn| attempts::one(conn, app, event, attempt))
    }

    fn endpoint_stats(
        &self,
        app: AppId,
        endpoint: EndpointId,
        since: UnixMs,
        until: UnixMs,
    ) -> BoxFuture<'_, hookfast_core::Result<EndpointStats>> {
        self.readers.read(move |conn| stats(conn, configuration::number(conn, app, endpoint)?, since, until))
    }

    fn ended(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: EndedFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, hookfast_core::Result<Found<EndedDelivery, AttemptId>>> {
        self.readers.read(move |conn| ended::list(conn, configuration::number(conn, app, endpoint)?, &filter, &page))
    }

    fn oldest_waiting(&self, app: AppId, endpoint: EndpointId) -> BoxFuture<'_, hookfast_core::Result<Option<UnixMs>>> {
        self.readers.read(move |conn| {
            let no = configuration::number(conn, app, endpoint)?;
            let sql = "SELECT min(event) FROM (SELECT event FROM queue WHERE endpoint = ?1 ORDER BY due LIMIT 100000)";
            let oldest: Option<i64> = conn.prepare_cached(sql)?.query_row([no], |row| row.get(0))?;
            Ok(oldest.map(|high| EventId::from_halves(high.cast_unsigned(), 0).time()))
        })
    }

    fn owner<'a>(&'a self, org: &'a OrgId, thing: Thing) -> BoxFuture<'a, hookfast_core::Result<AppId>> {
        let org = org.to_string();
        self.readers.read(move |conn| owner(conn, &org, thing))
    }

    fn totals(&self) -> BoxFuture<'_, hookfast_core::Result<StoreTotals>> {
        let shared = Arc::clone(&self.shared);
        self.readers.read(move |conn| {
            let counters = &shared.counters;
            Ok(StoreTotals {
                queue_rows: conn
                    .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM queue LIMIT 1000000)")?
                    .query_row([], |row| row.get(0))?,
                disk_bytes: disk::used_bytes(&shared.config.dir),
                disk_free_bytes: disk::free_bytes(&shared.config.dir),
                incarnation: shared.incarnation,
                recovered: counters.recovered.load(Ordering::Relaxed),
                strays: counters.strays.load(Ordering::Relaxed),
                purged_events: counters.purged_events.load(Ordering::Relaxed),
                commits: counters.commits.load(Ordering::Relaxed),
            })
        })
    }
}
