//! Making events durable: caller keys, routing, the event row, and a place for each of its deliveries.

use super::inbox::AcceptCommand;
use super::writer::Writer;
use crate::Result;
use crate::sqlite::ordering::{self, PARKED};
use crate::sqlite::routes::{AppRoutes, Routed};
use crate::sqlite::{codec, dedupe};
use hookfast_core::delivery::DeliveryKey;
use hookfast_core::limits::ROUTED_INLINE_MAX;
use hookfast_core::model::{CallerKey, Endpoint, Name, NewEvent, Route, Trigger};
use hookfast_core::ports::{Accepted, Delivery, Hold, Outgoing, Wanted};
use hookfast_core::{Error, EventId, UnixMs, ordering as core_ordering, routing};
use rusqlite::OptionalExtension;
use std::sync::Arc;

/// Events named in one hand-off row.
const HANDOFF_EVENTS_MAX: usize = 100;

/// One routed pair whose place is not decided yet.
pub(crate) struct Pair {
    event: Arc<Outgoing>,
    retention_days: u16,
    routed: Routed,
}

/// What a commit of accepts leaves to be done after it.
#[derive(Default)]
pub(crate) struct AcceptEffects {
    pub(crate) results: Vec<Vec<hookfast_core::Result<Accepted>>>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) granted: Vec<bool>,
    pub(crate) hand_over: Vec<(Arc<Endpoint>, Delivery)>,
    pub(crate) queued: Vec<(Arc<Endpoint>, UnixMs)>,
    /// Number of a new hand-off row, and its pairs.
    pub(crate) handoffs: Vec<(u64, u32)>,
    pub(crate) events: u64,
    /// The row of the newest event.
    pub(crate) newest: i64,
    /// Keys that came with them.
    pub(crate) keys: Vec<[u8; 16]>,
}

fn not_found(what: &'static str) -> Error {
    Error::NotFound { what }
}

fn same_key_other_body(code: &'static str) -> Error {
    Error::Conflict { code, reason: "the same key was used before with another body".to_owned() }
}

impl Writer<'_> {
    /// Runs inside a transaction; what it puts into `effects` counts only once that is committed.
    pub(crate) fn accept_all(&mut self, accepts: &[AcceptCommand], effects: &mut AcceptEffects) -> Result<()> {
        for command in accepts {
            let mut results = Vec::with_capacity(command.events.len());
            for event in &command.events {
                results.push(match self.accept_one(event, effects) {
                    Ok(accepted) => Ok(accepted),
                    Err(crate::Error::Port(refused)) => Err(refused),
                    Err(error) => return Err(error),
                });
            }
            effects.results.push(results);
        }
        self.place(effects)
    }

    fn accept_one(&mut self, event: &NewEvent, effects: &mut AcceptEffects) -> Result<Accepted> {
        let key = event.idempotency.map(|key_hash| CallerKey { key_hash, body_hash: event.body_hash });
        let today = dedupe::day(event.id.time());
        if let Some(key) = &key
            && let Some(id) = self.same_key(today, key)?
        {
            return Ok(Accepted { id, repeat: true });
        }
        let app = self.routes.app(self.conn, &self.shared.sealer, event.app)?.ok_or(not_found("application"))?;
        if let Some(uid) = &event.uid
            && let Some(accepted) = self.same_uid(app.no, uid, event)?
        {
            return Ok(accepted);
        }
        let routed = route(&app, event)?;
        let kept_in_row = key.filter(|_| self.keys.has_room());
        self.insert_event(event, &app, &routed, kept_in_row.as_ref())?;
        match (&kept_in_row, &key) {
            (Some(key), _) => {
                self.keys.insert(key, event.id);
                effects.keys.push(key.key_hash);
            }
            (None, Some(key)) => {
                dedupe::insert(&mut self.hot.dedupe_insert, today, key, &codec::id_bytes(event.id))?;
            }
            (None, None) => {}
        }
        effects.events += 1;
        effects.newest = effects.newest.max(codec::row_id(event.id.high()));
        let is_inline = routed.len() <= ROUTED_INLINE_MAX;
        let routed = self.place_ordered(event, routed, effects)?;
        if !is_inline {
            let sql = "INSERT INTO fanout (event, next) VALUES (?1, 0)";
            self.conn.prepare_cached(sql)?.execute([codec::row_id(event.id.high())])?;
        } else if !routed.is_empty() {
            let outgoing = Arc::new(Outgoing {
                id: event.id,
                event_type: event.event_type.clone(),
                content_type: event.content_type.clone(),
                body: Some(event.body.clone()),
            });
            let retention_days = app.retention_days;
            let pair = |routed: Routed| Pair { event: Arc::clone(&outgoing), retention_days, routed };
            effects.pairs.extend(routed.into_iter().map(pair));
        }
        Ok(Accepted { id: event.id, repeat: false })
    }

    /// Makes the rows of endpoints that keep the order of this event; answers the others. These go through the queue,
    /// and take their number in the order here, where it is the order of acceptance.
    fn place_ordered(
        &mut self,
        event: &NewEvent,
        routed: Vec<Routed>,
        effects: &mut AcceptEffects,
    ) -> Result<Vec<Routed>> {
        let mut unordered = Vec::with_capacity(routed.len());
        for one in routed {
            let Some(key) = core_ordering::key(&one.endpoint, event) else {
                unordered.push(one);
                continue;
            };
            let is_first = !ordering::is_busy(self.conn, one.no, &key)?;
            let due = if is_first { event.id.time() } else { PARKED };
            let row = codec::row_id(event.id.high());
            self.hot.queue_insert_ordered.execute((row, one.no, due.0, key, self.next_order))?;
            self.next_order += 1;
            if is_first {
                effects.queued.push((one.endpoint, due));
            }
        }
        Ok(unordered)
    }

    fn same_key(&mut self, today: i64, key: &CallerKey) -> Result<Option<EventId>> {
        if let Some(recent) = self.keys.find(today, key)? {
            return Ok(Some(recent));
        }
        let moved = dedupe::find(&mut self.hot.dedupe_find, today, key)?;
        Ok(moved.map(|id| EventId::from_u128(u128::from_be_bytes(id))))
    }

    fn same_uid(&self, app: i64, uid: &str, event: &NewEvent) -> Result<Option<Accepted>> {
        let found: Option<(i64, i64, [u8; 16])> = self
            .conn
            .prepare_cached("SELECT id, low, body_hash FROM events WHERE app = ?1 AND uid = ?2")?
            .query_row((app, uid), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        match found {
            None => Ok(None),
            Some((_, _, hash)) if hash != event.body_hash => Err(same_key_other_body("event_exists").into()),
            Some((high, low, _)) => {
                let id = EventId::from_halves(high.cast_unsigned(), low.cast_unsigned());
                Ok(Some(Accepted { id, repeat: true }))
            }
        }
    }

    fn insert_event(
        &mut self,
        event: &NewEvent,
        app: &AppRoutes,
        routed: &[Routed],
        key: Option<&CallerKey>,
    ) -> Result<()> {
        let channels = if event.channels.is_empty() { None } else { Some(codec::json(&event.channels)?) };
        let body_hash = event.uid.as_ref().map(|_| event.body_hash);
        self.hot.event_insert.execute(rusqlite::params![
            codec::row_id(event.id.high()),
            event.id.low().cast_signed(),
            app.no,
            self.incarnation,
            app.retention_days,
            event.event_type,
            event.uid,
            body_hash,
            channels,
            event.ordering_key,
            event.content_type,
            codec::put_numbers(routed.iter().map(|one| one.no)),
            event.body.as_ref(),
            key.map(|key| key.key_hash),
            key.map(|key| key.body_hash),
            event.origin.as_ref().map(|origin| origin.source.as_str()),
            event.origin.as_ref().and_then(|origin| origin.by.as_ref()).map(Name::as_str),
        ])?;
        Ok(())
    }

    /// Each pair gets a memory slot, remembered by a hand-off row, or a row in the queue.
    fn place(&mut self, effects: &mut AcceptEffects) -> Result<()> {
        let wanted = wanted(&effects.pairs);
        self.dispatch.reserve(&wanted, &mut effects.granted);
        effects.granted.resize(effects.pairs.len(), false);
        let mut batch: Vec<u8> = Vec::new();
        let mut pairs_in_batch = 0u32;
        let mut last_event = None;
        for (pair, granted) in effects.pairs.iter().zip(&effects.granted) {
            let event = codec::row_id(pair.event.id.high());
            let due = pair.event.id.time();
            if !*granted {
                self.hot.queue_insert.execute((event, pair.routed.no, 0, due.0, 0, 0, None::<u8>, false))?;
                effects.queued.push((Arc::clone(&pair.routed.endpoint), due));
                continue;
            }
            if last_event != Some(event) {
                if batch.len() >= HANDOFF_EVENTS_MAX * 8 {
                    self.write_handoff(&mut batch, &mut pairs_in_batch, &mut effects.handoffs)?;
                }
                batch.extend_from_slice(&event.to_be_bytes());
                last_event = Some(event);
            }
            pairs_in_batch += 1;
            let delivery = Delivery {
                key: DeliveryKey { event: pair.event.id, endpoint: pair.routed.endpoint.id, run: 0 },
                event: Arc::clone(&pair.event),
                hold: Hold::Memory { handoff: self.next_handoff },
                tries: 0,
                crashes: 0,
                due,
                trigger: Trigger::Scheduled,
                retention_days: pair.retention_days,
            };
            effects.hand_over.push((Arc::clone(&pair.routed.endpoint), delivery));
        }
        if !batch.is_empty() {
            self.write_handoff(&mut batch, &mut pairs_in_batch, &mut effects.handoffs)?;
        }
        Ok(())
    }

    fn write_handoff(&mut self, events: &mut Vec<u8>, pairs: &mut u32, handoffs: &mut Vec<(u64, u32)>) -> Result<()> {
        if !crate::failpoint::planted("no_handoff_row") {
            self.hot.handoff_insert.execute((self.next_handoff.cast_signed(), events.as_slice()))?;
        }
        handoffs.push((self.next_handoff, *pairs));
        self.next_handoff += 1;
        events.clear();
        *pairs = 0;
        Ok(())
    }
}

/// What the pairs ask the engine for.
pub(crate) fn wanted(pairs: &[Pair]) -> Vec<Wanted<'_>> {
    pairs.iter().map(|pair| Wanted { endpoint: &pair.routed.endpoint, body_bytes: pair.event.body_bytes() }).collect()
}

fn route(app: &AppRoutes, event: &NewEvent) -> Result<Vec<Routed>> {
    match event.route {
        Route::Match => {
            let wants = |one: &&Routed| routing::wants(&one.endpoint, &event.event_type, &event.channels);
            Ok(app.endpoints.iter().filter(wants).cloned().collect())
        }
        Route::Endpoint(id) => {
            let found = app.endpoints.iter().find(|one| one.endpoint.id == id).ok_or(not_found("endpoint"))?;
            Ok(if found.endpoint.disabled.is_some() { Vec::new() } else { vec![found.clone()] })
        }
    }
}
