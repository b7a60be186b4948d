//! How far each delivery of an event came.

use super::events;
use crate::postgres::db::{Run, Session};
use crate::postgres::ordering::PARKED;
use crate::postgres::wire::Uuid;
use crate::postgres::{Shared, codec, routes};
use crate::{Result, columns};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::ports::Destination;
use hookfast_core::{AppId, EventId, UnixMs};
use std::collections::{HashMap, HashSet};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Destinations answered at most.
const DESTINATIONS_MAX: usize = 10_000;

/// Of each endpoint the latest run. Where a run has both, it has ended: its row is dropped when it is claimed. A
/// parked row has no next try yet.
const STANDINGS: &str = "SELECT DISTINCT ON (endpoint) endpoint, state, cause, tries, run, due FROM
    (SELECT endpoint, state, cause, tries, run, NULL::int8 AS due FROM hookfast.deliveries WHERE event = $1
     UNION ALL
     SELECT endpoint, NULL, cause, tries, run, nullif(due, $2) FROM hookfast.queue WHERE event = $1) t
    ORDER BY endpoint, run DESC, state NULLS LAST";

struct Standing {
    state: DeliveryState,
    cause: Option<Cause>,
    tries: u32,
    run: u32,
    due: Option<UnixMs>,
}

/// Without rows it is in memory.
const IN_MEMORY: Standing = Standing { state: DeliveryState::Pending, cause: None, tries: 0, run: 0, due: None };

fn standing(row: &Row) -> Result<(i64, Standing)> {
    let tries = codec::narrow(row.try_get::<_, i32>(3)?)?;
    let cause = row.try_get::<_, Option<i16>>(2)?.map(|code| columns::cause_from(codec::narrow(code)?)).transpose()?;
    let state = match row.try_get::<_, Option<i16>>(1)? {
        Some(code) => columns::state_from(code.into())?,
        None if tries == 0 => DeliveryState::Pending,
        None => DeliveryState::Retrying,
    };
    let run = codec::narrow(row.try_get::<_, i32>(4)?)?;
    let due = row.try_get::<_, Option<i64>>(5)?.map(UnixMs);
    Ok((row.try_get(0)?, Standing { state, cause, tries, run, due }))
}

async fn standings(session: &Session, event: EventId) -> Result<Vec<(i64, Standing)>> {
    let rows = session.rows(STANDINGS, &[(&Uuid::from(event), Type::UUID), (&PARKED, Type::INT8)]).await?;
    rows.iter().map(standing).collect()
}

pub(super) async fn list(shared: &Shared, app: AppId, event: EventId) -> Result<Vec<Destination>> {
    let session = shared.db.session().await?;
    // Never changes, so it may be older than the rows.
    let mut numbers = events::routed(&session, app, event).await?;
    let standings = standings(&session, event).await?;
    let routed: HashSet<i64> = numbers.iter().copied().collect();
    numbers.extend(standings.iter().map(|(no, _)| *no).filter(|no| !routed.contains(no)));
    numbers.truncate(DESTINATIONS_MAX);
    let found = routes::endpoints_by_number(&session, &shared.sealer, &numbers, true).await?;
    let mut endpoints: HashMap<i64, _> = found.into_iter().map(|one| (one.no, one.endpoint)).collect();
    let mut standings: HashMap<i64, Standing> = standings.into_iter().collect();
    let destination = |no: &i64| {
        let endpoint = endpoints.remove(no)?;
        let standing = standings.remove(no).unwrap_or(IN_MEMORY);
        Some(Destination {
            endpoint,
            state: standing.state,
            cause: standing.cause,
            tries: standing.tries,
            run: standing.run,
            next_due: standing.due,
        })
    };
    Ok(numbers.iter().filter_map(destination).collect())
}
