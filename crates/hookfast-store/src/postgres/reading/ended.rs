//! Deliveries of an endpoint whose latest run has ended.

use super::{number, stop};
use crate::Result;
use crate::columns::{self, may_be, state_is};
use crate::page::PageSql;
use crate::postgres::db::{Params, Run as _};
use crate::postgres::wire::Uuid;
use crate::postgres::{Shared, codec};
use hookfast_core::ports::{EndedDelivery, EndedFilter, Found, Page};
use hookfast_core::{AppId, AttemptId, EndpointId, EventId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

fn read(row: &Row) -> Result<EndedDelivery> {
    Ok(EndedDelivery {
        event: row.try_get::<_, Uuid>(0)?.into(),
        event_type: row.try_get(1)?,
        uid: row.try_get(2)?,
        state: columns::state_from(row.try_get::<_, i16>(3)?.into())?,
        cause: columns::cause_from(codec::narrow(row.try_get::<_, i16>(4)?)?)?,
        tries: codec::narrow(row.try_get::<_, i32>(5)?)?,
        run: codec::narrow(row.try_get::<_, i32>(6)?)?,
        ended: row.try_get::<_, Uuid>(7)?.into(),
    })
}

pub(super) async fn list(
    shared: &Shared,
    app: AppId,
    endpoint: EndpointId,
    filter: &EndedFilter,
    page: &Page<AttemptId>,
) -> Result<Found<EndedDelivery, AttemptId>> {
    let session = shared.db.session().await?;
    let no = number(&session, app, endpoint).await?;
    let plan = PageSql::new(page);
    let part = format!(
        "SELECT d.attempt AS stop FROM hookfast.deliveries d
         WHERE d.endpoint = $1 AND {} AND d.attempt >= $2 AND d.attempt < $3",
        may_be("d.state", filter.state),
    );
    let behind = plan.behind(page.after.map(Uuid::from), (Uuid::MIN, Uuid::MAX));
    let stop = stop(&session, &plan, &[part], (no, behind)).await?;
    let (low, end) = plan.up_to(stop, behind);
    let (after, before): (Uuid, Uuid) =
        (EventId::lowest_at(filter.after).into(), EventId::lowest_at(filter.before).into());
    let sql = format!(
        "SELECT d.event, e.event_type, e.uid, d.state, d.cause, d.tries, d.run, d.attempt FROM (
           SELECT d.* FROM hookfast.deliveries d
           WHERE d.endpoint = $1 AND {state} AND ($7 IS NULL OR d.cause = $7)
             AND d.event >= $2 AND d.event < $3 AND d.attempt >= $4 AND d.attempt < $5
             AND NOT EXISTS (SELECT FROM hookfast.deliveries l
               WHERE l.event = d.event AND l.endpoint = $1 AND l.retention_days = d.retention_days AND l.run > d.run)
             AND NOT EXISTS (SELECT FROM hookfast.queue q WHERE q.event = d.event AND q.endpoint = $1)
           ORDER BY d.attempt {order} LIMIT $6) d
         JOIN hookfast.events e ON e.id = d.event AND e.retention_days = d.retention_days
         ORDER BY d.attempt {order}",
        state = state_is("d.state", filter.state),
        order = plan.order,
    );
    let params: Params<'_> = &[
        (&no, Type::INT8),
        (&after, Type::UUID),
        (&before, Type::UUID),
        (&low, Type::UUID),
        (&end, Type::UUID),
        (&plan.rows(), Type::INT8),
        (&filter.cause.map(|cause| i16::from(cause.code())), Type::INT2),
    ];
    let items = session.rows(&sql, params).await?.iter().map(read).collect::<Result<_>>()?;
    Ok(plan.found(items, stop.map(Into::into)))
}
