//! Reading what happened. Each answer comes from one snapshot: what belongs together is read by one statement.

mod attempts;
mod destinations;
mod ended;
mod events;

use super::configuration::{app_number, number};
use super::db::{Params, Run as _, Session};
use super::{PostgresStore, Shared};
use crate::page::PageSql;
use crate::postgres::codec;
use crate::postgres::wire::Uuid;
use crate::{Error, Result};
use hookfast_core::model::{Attempt, Event};
use hookfast_core::ports::{
    AttemptFilter, BoxFuture, Destination, EndedDelivery, EndedFilter, EndpointStats, EventFilter, Found, Page, PageOf,
    Reading, StoreTotals, Thing,
};
use hookfast_core::{AppId, AttemptId, EndpointId, Error as PortError, EventId, OrgId, UnixMs};
use std::sync::atomic::Ordering;
use tokio_postgres::types::Type;

const HOUR_MS: i64 = 3_600_000;

/// The hour of a time, as columns have it.
fn hour(time: UnixMs) -> i32 {
    i32::try_from(time.0.div_euclid(HOUR_MS)).unwrap_or(if time.0 < 0 { i32::MIN } else { i32::MAX })
}

/// What was counted up already and what was not; the queue's free rows and its leased ones, each by its own index.
const STATS: &str = "SELECT t.success, t.fail, t.cancelled, q.pending, q.retrying FROM
    (SELECT coalesce(sum(success), 0)::int8 AS success, coalesce(sum(fail), 0)::int8 AS fail,
       coalesce(sum(cancelled), 0)::int8 AS cancelled FROM
       (SELECT success, fail, cancelled FROM hookfast.stats WHERE endpoint = $1 AND hour BETWEEN $2 AND $3
        UNION ALL
        SELECT success, fail, cancelled FROM hookfast.stats_log WHERE endpoint = $1 AND hour BETWEEN $2 AND $3) s) t,
    (SELECT count(*) FILTER (WHERE tries = 0) AS pending, count(*) FILTER (WHERE tries > 0) AS retrying FROM
       ((SELECT tries FROM hookfast.queue WHERE endpoint = $1 AND lease_owner IS NULL LIMIT 100000)
        UNION ALL
        (SELECT tries FROM hookfast.queue WHERE endpoint = $1 AND lease_owner IS NOT NULL LIMIT 100000)) w) q";

async fn stats(
    shared: &Shared,
    app: AppId,
    endpoint: EndpointId,
    since: UnixMs,
    until: UnixMs,
) -> Result<EndpointStats> {
    let session = shared.db.session().await?;
    let no = number(&session, app, endpoint).await?;
    let params: Params<'_> = &[(&no, Type::INT8), (&hour(since), Type::INT4), (&hour(until), Type::INT4)];
    let row = session.one(STATS, params).await?;
    let count = |index: usize| codec::narrow::<i64, u64>(row.try_get(index)?);
    Ok(EndpointStats {
        success: count(0)?,
        fail: count(1)?,
        cancelled: count(2)?,
        pending: count(3)?,
        retrying: count(4)?,
    })
}

/// The size is that of the whole database: adding up tables would wait for each that is being dropped.
async fn totals(shared: &Shared) -> Result<StoreTotals> {
    let sql = "SELECT (SELECT count(*) FROM (SELECT FROM hookfast.queue LIMIT 1000000) q),
               pg_database_size(current_database())";
    let row = shared.db.session().await?.one(sql, &[]).await?;
    let counters = &shared.counters;
    Ok(StoreTotals {
        queue_rows: codec::narrow::<i64, u64>(row.try_get(0)?)?,
        disk_bytes: codec::narrow::<i64, u64>(row.try_get(1)?)?,
        // The server does not say.
        disk_free_bytes: None,
        incarnation: shared.incarnation.cast_unsigned(),
        recovered: counters.recovered.load(Ordering::Relaxed),
        strays: counters.strays.load(Ordering::Relaxed),
        purged_events: counters.purged_events.load(Ordering::Relaxed),
        commits: counters.commits.load(Ordering::Relaxed),
    })
}

/// The free rows by the index of those that are due, the leased ones by the other.
const OLDEST_WAITING: &str = "SELECT event FROM
    ((SELECT event FROM hookfast.queue WHERE endpoint = $1 AND lease_owner IS NULL ORDER BY due LIMIT 100000)
     UNION ALL
     (SELECT event FROM hookfast.queue WHERE endpoint = $1 AND lease_owner IS NOT NULL LIMIT 100000)) w
    ORDER BY event LIMIT 1";

async fn oldest_waiting(shared: &Shared, app: AppId, endpoint: EndpointId) -> Result<Option<UnixMs>> {
    let session = shared.db.session().await?;
    let no = number(&session, app, endpoint).await?;
    let row = session.opt(OLDEST_WAITING, &[(&no, Type::INT8)]).await?;
    row.map(|row| Ok(EventId::from(row.try_get::<_, Uuid>(0)?).time())).transpose()
}

async fn owner(shared: &Shared, org: &OrgId, thing: Thing) -> Result<AppId> {
    const APP: &str = "SELECT a.id FROM hookfast.applications a WHERE a.org = $1 AND a.deleted_at IS NULL AND a.no =";
    let (what, id, inner) = match thing {
        Thing::Event(event) => ("message", Uuid::from(event), "SELECT app FROM hookfast.events WHERE id = $2"),
        Thing::Endpoint(endpoint) => {
            let sql = "SELECT app FROM hookfast.endpoints WHERE id = $2 AND deleted_at IS NULL";
            ("endpoint", Uuid::from(endpoint), sql)
        }
    };
    let params: Params<'_> = &[(&org.as_str(), Type::TEXT), (&id, Type::UUID)];
    let row = shared.db.session().await?.opt(&format!("{APP} ({inner})"), params).await?;
    let row = row.ok_or(Error::Port(PortError::NotFound { what }))?;
    Ok(row.try_get::<_, Uuid>(0)?.into())
}

/// Where a page of a list stops looking, in its table or tables: what `parts` say of the application or endpoint `$1` and
/// of keys from `$2` on and before `$3`.
async fn stop(
    session: &Session,
    plan: &PageSql,
    parts: &[String],
    (of, (low, end)): (i64, (Uuid, Uuid)),
) -> Result<Option<Uuid>> {
    let params: Params<'_> = &[(&of, Type::INT8), (&low, Type::UUID), (&end, Type::UUID)];
    let row = session.opt(&plan.stop(parts), params).await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

impl Reading for PostgresStore {
    fn event<'a>(&'a self, app: AppId, reference: &'a str) -> BoxFuture<'a, hookfast_core::Result<Event>> {
        Box::pin(async move { Ok(events::find(&self.shared, app, reference).await?) })
    }

    fn events(
        &self,
        app: AppId,
        filter: EventFilter,
        page: Page<EventId>,
    ) -> BoxFuture<'_, hookfast_core::Result<Found<Event, EventId>>> {
        Box::pin(async move { Ok(events::list(&self.shared, app, &filter, &page).await?) })
    }

    fn destinations(&self, app: AppId, event: EventId) -> BoxFuture<'_, hookfast_core::Result<Vec<Destination>>> {
        Box::pin(async move { Ok(destinations::list(&self.shared, app, event).await?) })
    }

    fn attempts_of_event(
        &self,
        app: AppId,
        event: EventId,
        filter: AttemptFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, hookfast_core::Result<PageOf<Attempt>>> {
        Box::pin(async move { Ok(attempts::of_event(&self.shared, app, event, &filter, &page).await?) })
    }

    fn attempts_of_endpoint(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: AttemptFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, hookfast_core::Result<Found<Attempt, AttemptId>>> {
        Box::pin(async move { Ok(attempts::of_endpoint(&self.shared, app, endpoint, &filter, &page).await?) })
    }

    fn attempt(&self, app: AppId, event: EventId, attempt: AttemptId) -> BoxFuture<'_, hookfast_core::Result<Attempt>> {
        Box::pin(async move { Ok(attempts::one(&self.shared, app, event, attempt).await?) })
    }

    fn endpoint_stats(
        &self,
        app: AppId,
        endpoint: EndpointId,
        since: UnixMs,
        until: UnixMs,
    ) -> BoxFuture<'_, hookfast_core::Result<EndpointStats>> {
        Box::pin(async move { Ok(stats(&self.shared, app, endpoint, since, until).await?) })
    }

    fn ended(
        &self,
        app: AppId,
        endpoint: EndpointId,
        filter: EndedFilter,
        page: Page<AttemptId>,
    ) -> BoxFuture<'_, hookfast_core::Result<Found<EndedDelivery, AttemptId>>> {
        Box::pin(async move { Ok(ended::list(&self.shared, app, endpoint, &filter, &page).await?) })
    }

    fn oldest_waiting(&self, app: AppId, endpoint: EndpointId) -> BoxFuture<'_, hookfast_core::Result<Option<UnixMs>>> {
        Box::pin(async move { Ok(oldest_waiting(&self.shared, app, endpoint).await?) })
    }

    fn owner<'a>(&'a self, org: &'a OrgId, thing: Thing) -> BoxFuture<'a, hookfast_core::Result<AppId>> {
        Box::pin(async move { Ok(owner(&self.shared, org, thing).await?) })
    }

    fn totals(&self) -> BoxFuture<'_, hookfast_core::Result<StoreTotals>> {
        Box::pin(async move { Ok(totals(&self.shared).await?) })
    }
}
