//! How far each delivery of an event came.

use super::events;
use crate::sqlite::ordering::PARKED;
use crate::sqlite::{codec, routes};
use crate::{Result, Sealer};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::ports::Destination;
use hookfast_core::{AppId, EventId, UnixMs};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

/// Destinations answered at most.
const DESTINATIONS_MAX: usize = 10_000;

struct Standing {
    state: DeliveryState,
    cause: Option<u8>,
    tries: u32,
    run: u32,
    due: Option<i64>,
}

pub(super) fn list(conn: &Connection, sealer: &Sealer, app: AppId, event: EventId) -> Result<Vec<Destination>> {
    let (high, routed) = events::routed(conn, app, event)?;
    let mut endpoints = routed;
    let replayed = "SELECT endpoint FROM queue WHERE event = ?1 UNION SELECT endpoint FROM deliveries WHERE event = ?1";
    let mut statement = conn.prepare_cached(replayed)?;
    for no in statement.query_map([high], |row| row.get(0))? {
        let no = no?;
        if !endpoints.contains(&no) {
            endpoints.push(no);
        }
    }
    let mut destinations = Vec::with_capacity(endpoints.len());
    for no in endpoints.into_iter().take(DESTINATIONS_MAX) {
        let Some(endpoint) = routes::endpoint_ever(conn, sealer, no)? else { continue };
        let standing = standing(conn, high, no)?;
        destinations.push(Destination {
            endpoint: Arc::new(endpoint),
            state: standing.state,
            cause: standing.cause.map(codec::cause_from).transpose()?,
            tries: standing.tries,
            run: standing.run,
            next_due: standing.due.map(UnixMs).filter(|due| *due != PARKED),
        });
    }
    Ok(destinations)
}

/// The latest run of a pair: queued, ended, or without rows and so in memory.
fn standing(conn: &Connection, event: i64, endpoint: i64) -> Result<Standing> {
    let queued = conn
        .prepare_cached(
            "SELECT run, tries, due, cause FROM queue WHERE event = ?1 AND endpoint = ?2 ORDER BY run DESC LIMIT 1",
        )?
        .query_row((event, endpoint), |row| {
            let tries: u32 = row.get(1)?;
            let state = if tries == 0 { DeliveryState::Pending } else { DeliveryState::Retrying };
            Ok(Standing { state, cause: row.get(3)?, tries, run: row.get(0)?, due: Some(row.get(2)?) })
        })
        .optional()?;
    if let Some(queued) = queued {
        return Ok(queued);
    }
    let ended: Option<(i64, u8, u32, u32)> = conn
        .prepare_cached(
            "SELECT state, cause, tries, run FROM deliveries WHERE event = ?1 AND endpoint = ?2
             ORDER BY run DESC LIMIT 1",
        )?
        .query_row((event, endpoint), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    Ok(match ended {
        Some((state, cause, tries, run)) => {
            Standing { state: codec::state_from(state)?, cause: Some(cause), tries, run, due: None }
        }
        None => Standing { state: DeliveryState::Pending, cause: None, tries: 0, run: 0, due: None },
    })
}
