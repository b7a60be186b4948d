//! Writing what deliveries came to, in the same commits as accepts.

use super::writer::Writer;
use crate::Result;
use crate::sqlite::codec;
use crate::sqlite::ordering::{self, Ended, Place};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::{Attempt, Trigger};
use hookfast_core::ports::{Hold, Outcome, Settlement};
use hookfast_core::{AttemptId, UnixMs};
use rusqlite::OptionalExtension;
use std::collections::HashMap;

/// URLs whose number is kept in memory.
const URLS_MAX: usize = 10_000;
const HOUR_MS: i64 = 3_600_000;

/// What a commit of settlements leaves to be done after it.
#[derive(Default)]
pub(crate) struct SettleEffects {
    /// Rows no longer in the engine's hands.
    released: Vec<(i64, i64, u32)>,
    /// One entry per settled pair of a hand-off row.
    handoffs: Vec<u64>,
    /// Settlements that came too late: the pair had gone on without them.
    pub(crate) stale: u64,
    counts: HashMap<(i64, i64), (u32, u32, u32)>,
    /// Endpoints whose next row of a key is due now that the one before it has ended.
    pub(crate) queued: Vec<(i64, UnixMs)>,
}

impl Writer<'_> {
    /// Runs inside a transaction; what it puts into `effects` counts only once that is committed.
    pub(crate) fn settle_all(&mut self, settlements: &[Settlement], effects: &mut SettleEffects) -> Result<()> {
        for settlement in settlements {
            self.settle_one(settlement, effects)?;
        }
        for ((endpoint, hour), (success, fail, cancelled)) in &effects.counts {
            self.hot.stats_add.execute((endpoint, hour, success, fail, cancelled))?;
        }
        Ok(())
    }

    /// The commit has happened.
    pub(crate) fn settle_done(&mut self, effects: SettleEffects) {
        for (endpoint, event, run) in effects.released {
            self.held.release(endpoint, event, run);
        }
        for handoff in effects.handoffs {
            self.handoffs.settled(handoff);
        }
        self.shared.counters.stale.fetch_add(effects.stale, std::sync::atomic::Ordering::Relaxed);
    }

    fn settle_one(&mut self, settlement: &Settlement, effects: &mut SettleEffects) -> Result<()> {
        let key = settlement.key;
        let event = codec::row_id(key.event.high());
        let Some(endpoint) = self.routes.number(self.conn, key.endpoint)? else {
            effects.stale += 1;
            return Ok(());
        };
        if let Some(attempt) = &settlement.attempt {
            let hour = attempt.id.time().0.div_euclid(HOUR_MS);
            let counts = effects.counts.entry((endpoint, hour)).or_default();
            if attempt.cause == Cause::Ok { counts.0 += 1 } else { counts.1 += 1 }
        }
        let valid = match settlement.hold {
            Hold::Memory { handoff } => {
                effects.handoffs.push(handoff);
                true
            }
            Hold::Queue { lease_no } => self.held.lease(endpoint, event, key.run) == Some(lease_no),
        };
        if !valid {
            effects.stale += 1;
            return self.keep_attempt(settlement, event, endpoint);
        }
        let queued = matches!(settlement.hold, Hold::Queue { .. });
        if queued {
            effects.released.push((endpoint, event, key.run));
        }
        match settlement.outcome {
            Outcome::End(state, cause) => {
                if queued {
                    let end = Ended { event, endpoint, state, cause };
                    self.end_row(end, key.run)?.into_iter().for_each(|row| effects.queued.push(row));
                }
                if state == DeliveryState::Cancelled {
                    let hour = self.shared.clock.now().0.div_euclid(HOUR_MS);
                    effects.counts.entry((endpoint, hour)).or_default().2 += 1;
                }
                self.end(settlement, event, endpoint, state, cause)
            }
            Outcome::Retry { due } => {
                self.keep_attempt(settlement, event, endpoint)?;
                self.requeue(settlement, event, endpoint, due)
            }
            Outcome::Wait { due } => self.requeue(settlement, event, endpoint, due),
        }
    }

    /// Deletes the queue row of a run that ended; answers its endpoint when the next row of its key is due now.
    pub(crate) fn end_row(&mut self, end: Ended, run: u32) -> Result<Option<(i64, UnixMs)>> {
        let row = (end.event, end.endpoint, run);
        let place = self.hot.queue_delete.query_row(row, Place::read).optional()?.flatten();
        let Some(place) = place else { return Ok(None) };
        let now = self.shared.clock.now();
        Ok(ordering::ended(self.conn, end, place, now)?.then_some((end.endpoint, now)))
    }

    fn end(
        &mut self,
        settlement: &Settlement,
        event: i64,
        endpoint: i64,
        state: DeliveryState,
        cause: Cause,
    ) -> Result<()> {
        let inside = settlement.attempt.as_ref().filter(|attempt| attempt.number == 1);
        let last = match &settlement.attempt {
            Some(attempt) => codec::row_id(attempt.id.high()),
            None => codec::row_id(AttemptId::from_u128(self.shared.ids.next(self.shared.clock.now())).high()),
        };
        let url = inside.map(|attempt| self.url_number(&attempt.url)).transpose()?;
        self.hot.delivery_insert.execute(rusqlite::params![
            event,
            endpoint,
            settlement.key.run,
            codec::state_code(state),
            cause.code(),
            settlement.tries,
            last,
            inside.map(|attempt| attempt.id.low().cast_signed()),
            inside.map(|attempt| attempt.status),
            inside.map(|attempt| attempt.duration_ms),
            inside.map(|attempt| attempt.trigger == Trigger::Manual),
            url,
            inside.map(|attempt| attempt.excerpt.as_str()).filter(|excerpt| !excerpt.is_empty()),
        ])?;
        if inside.is_none() { self.keep_attempt(settlement, event, endpoint) } else { Ok(()) }
    }

    fn requeue(&mut self, settlement: &Settlement, event: i64, endpoint: i64, due: UnixMs) -> Result<()> {
        let cause = settlement.attempt.as_ref().map(|attempt| attempt.cause.code());
        let key = settlement.key;
        if let Hold::Queue { .. } = settlement.hold {
            let row = (due.0, settlement.tries, settlement.crashes, cause, event, endpoint, key.run);
            self.hot.queue_update.execute(row)?;
        } else {
            let row = (event, endpoint, key.run, due.0, settlement.tries, settlement.crashes, cause, false);
            self.hot.queue_insert.execute(row)?;
        }
        Ok(())
    }

    fn keep_attempt(&mut self, settlement: &Settlement, event: i64, endpoint: i64) -> Result<()> {
        let Some(attempt) = &settlement.attempt else { return Ok(()) };
        let Attempt { id, run, number, cause, status, duration_ms, .. } = attempt;
        let url = self.url_number(&attempt.url)?;
        self.hot.attempt_insert.execute(rusqlite::params![
            event,
            endpoint,
            codec::row_id(id.high()),
            id.low().cast_signed(),
            run,
            number,
            cause.code(),
            status,
            duration_ms,
            attempt.trigger == Trigger::Manual,
            url,
            Some(attempt.excerpt.as_str()).filter(|excerpt| !excerpt.is_empty()),
        ])?;
        Ok(())
    }

    fn url_number(&mut self, url: &str) -> Result<i64> {
        if let Some(no) = self.urls.get(url) {
            return Ok(*no);
        }
        let find = "SELECT no FROM urls WHERE url = ?1";
        let found: Option<i64> = self.conn.prepare_cached(find)?.query_row([url], |row| row.get(0)).optional()?;
        let no = match found {
            Some(no) => no,
            None => {
                self.conn.prepare_cached("INSERT INTO urls (url) VALUES (?1)")?.execute([url])?;
                self.conn.last_insert_rowid()
            }
        };
        if self.urls.len() >= URLS_MAX {
            self.urls.clear();
        }
        self.urls.insert(url.to_owned(), no);
        Ok(no)
    }
}
