//! Claiming queue rows. In this store a lease is memory of the one process that has the directory: a claim writes
//! nothing, and everything is free at once when the process ends.

use super::writer::Writer;
use crate::Result;
use crate::sqlite::ordering::Ended;
use crate::sqlite::{codec, routes};
use hookfast_core::delivery::{Cause, DeliveryKey, DeliveryState};
use hookfast_core::model::Trigger;
use hookfast_core::ports::{Claim, ClaimWanted, Delivery, Hold, Outgoing, Waiting};
use hookfast_core::{EndpointId, EventId, UnixMs};
use rusqlite::OptionalExtension;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bodies read for one claim.
const CLAIM_BYTES_MAX: usize = 16 << 20;

/// A read that must be in step with settling, so the writer does it.
#[derive(Debug)]
pub(crate) enum ClaimCommand {
    /// Rows for the engine.
    Claim { wanted: Vec<ClaimWanted>, now: UnixMs, reply: oneshot::Sender<Result<Vec<Claim>>> },
    /// Endpoints with rows.
    Waiting { after: Option<EndpointId>, limit: u32, reply: oneshot::Sender<Result<Vec<Waiting>>> },
}

/// Rows in the engine's hands: endpoint number → (event row, run) → lease number.
#[derive(Debug, Default)]
pub(crate) struct Held {
    rows: HashMap<i64, HashMap<(i64, u32), u64>>,
    last_lease: u64,
}

impl Held {
    /// Is this row in the engine's hands?
    pub(crate) fn has(&self, endpoint: i64, event: i64, run: u32) -> bool {
        self.lease(endpoint, event, run).is_some()
    }

    /// So many rows.
    pub(crate) fn count(&self) -> u64 {
        self.rows.values().map(|rows| rows.len() as u64).sum()
    }

    pub(crate) fn lease(&self, endpoint: i64, event: i64, run: u32) -> Option<u64> {
        self.rows.get(&endpoint)?.get(&(event, run)).copied()
    }

    fn take(&mut self, endpoint: i64, event: i64, run: u32) -> u64 {
        self.last_lease += 1;
        self.rows.entry(endpoint).or_default().insert((event, run), self.last_lease);
        self.last_lease
    }

    pub(crate) fn release(&mut self, endpoint: i64, event: i64, run: u32) {
        if let Some(rows) = self.rows.get_mut(&endpoint) {
            rows.remove(&(event, run));
            if rows.is_empty() {
                self.rows.remove(&endpoint);
            }
        }
    }
}

struct QueueRow {
    event: i64,
    run: u32,
    due: i64,
    tries: u32,
    crashes: u32,
    manual: bool,
}

impl Writer<'_> {
    pub(crate) fn claim(&mut self, command: ClaimCommand) {
        match command {
            ClaimCommand::Claim { wanted, now, reply } => {
                let claims = wanted.iter().map(|one| self.claim_one(*one, now)).collect();
                if let Err(Ok(claims)) = reply.send(claims) {
                    self.give_back(&claims);
                }
            }
            ClaimCommand::Waiting { after, limit, reply } => {
                let _ = reply.send(self.waiting(after, limit));
            }
        }
    }

    /// Nobody waits for these any more.
    fn give_back(&mut self, claims: &[Claim]) {
        for delivery in claims.iter().flat_map(|claim| &claim.deliveries) {
            if let Ok(Some(no)) = self.routes.number(self.conn, delivery.key.endpoint) {
                self.held.release(no, codec::row_id(delivery.key.event.high()), delivery.key.run);
            }
        }
    }

    fn claim_one(&mut self, wanted: ClaimWanted, now: UnixMs) -> Result<Claim> {
        let mut claim =
            Claim { endpoint: wanted.endpoint, deliveries: Vec::new(), next_due: None, elsewhere_until: None };
        let Some(no) = self.routes.number(self.conn, wanted.endpoint)? else { return Ok(claim) };
        let (rows, next_due) = self.due_rows(no, wanted.rows_max, now)?;
        claim.next_due = next_due;
        let mut bytes = 0;
        for row in rows {
            let Some((event, retention_days)) = self.outgoing(row.event)? else {
                // Its event is gone: nothing can be sent, and nobody could read how it ended.
                self.drop_row(no, &row)?;
                continue;
            };
            bytes += event.body_bytes();
            if bytes > CLAIM_BYTES_MAX && !claim.deliveries.is_empty() {
                claim.next_due = Some(UnixMs(row.due));
                break;
            }
            let lease_no = self.held.take(no, row.event, row.run);
            claim.deliveries.push(Delivery {
                key: DeliveryKey { event: event.id, endpoint: wanted.endpoint, run: row.run },
                event: Arc::new(event),
                hold: Hold::Queue { lease_no },
                tries: row.tries,
                crashes: row.crashes,
                due: UnixMs(row.due),
                trigger: if row.manual { Trigger::Manual } else { Trigger::Scheduled },
                retention_days,
            });
        }
        Ok(claim)
    }

    /// Drops a row whose event is gone; what was parked behind it goes on.
    fn drop_row(&mut self, endpoint: i64, row: &QueueRow) -> Result<()> {
        let (event, run) = (row.event, row.run);
        let end = Ended { event, endpoint, state: DeliveryState::Dead, cause: Cause::Expired };
        let next = self.transaction(|writer| writer.end_row(end, run))?;
        self.tell_queued(next.as_slice())
    }

    /// Up to `rows_max` due rows that nobody holds, and when the one after them is due. Parked rows do not
    /// count.
    fn due_rows(&mut self, no: i64, rows_max: u32, now: UnixMs) -> Result<(Vec<QueueRow>, Option<UnixMs>)> {
        let mut found = Vec::new();
        let mut rows = self.hot.queue_by_due.query([no])?;
        while let Some(row) = rows.next()? {
            let next = QueueRow {
                event: row.get(0)?,
                run: row.get(1)?,
                due: row.get(2)?,
                tries: row.get(3)?,
                crashes: row.get(4)?,
                manual: row.get(5)?,
            };
            if self.held.has(no, next.event, next.run) {
                continue;
            }
            if next.due > now.0 || found.len() >= rows_max as usize {
                return Ok((found, Some(UnixMs(next.due))));
            }
            found.push(next);
        }
        Ok((found, None))
    }

    fn outgoing(&mut self, event: i64) -> Result<Option<(Outgoing, u16)>> {
        let read = |row: &rusqlite::Row<'_>| {
            let low: i64 = row.get(0)?;
            let body: Option<Vec<u8>> = row.get(3)?;
            let outgoing = Outgoing {
                id: EventId::from_halves(event.cast_unsigned(), low.cast_unsigned()),
                event_type: row.get(1)?,
                content_type: row.get(2)?,
                body: body.map(Into::into),
            };
            Ok((outgoing, row.get(4)?))
        };
        Ok(self.hot.event_outgoing.query_row([event], read).optional()?)
    }

    /// Endpoints with rows that nobody holds, in the order of their numbers.
    fn waiting(&mut self, after: Option<EndpointId>, limit: u32) -> Result<Vec<Waiting>> {
        let mut last = match after {
            Some(endpoint) => self.routes.number(self.conn, endpoint)?.unwrap_or(0),
            None => 0,
        };
        let mut found = Vec::new();
        while found.len() < limit as usize {
            let next: Option<i64> = self
                .conn
                .prepare_cached("SELECT min(endpoint) FROM queue WHERE endpoint > ?1")?
                .query_row([last], |row| row.get(0))?;
            let Some(no) = next else { break };
            last = no;
            let (_, Some(due)) = self.due_rows(no, 0, UnixMs::MAX)? else { continue };
            if let Some(endpoint) = routes::endpoint_by_number(self.conn, &self.shared.sealer, no)? {
                found.push(Waiting { endpoint: Arc::new(endpoint), due });
            }
        }
        Ok(found)
    }
}
