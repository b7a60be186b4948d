//! Making events durable: routing, the columns of a batch, and what became of each event.

use super::consume::{InvoiceColumns, Marks};
use super::inbox::{AcceptCommand, FromLog};
use super::key_days::{self, KeyDays};
use super::routes::{AppRoutes, Routed};
use super::statement::Statement;
use super::wire::Uuid;
use super::{codec, ordering};
use crate::columns;
use hookfast_core::delivery::DeliveryKey;
use hookfast_core::invoice::InvoiceEvent;
use hookfast_core::limits::ROUTED_INLINE_MAX;
use hookfast_core::model::{Endpoint, NewEvent, Trigger};
use hookfast_core::ports::{Accepted, Delivery, Dispatch, Hold, Outgoing, Wanted};
use hookfast_core::{Error, UnixMs};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_postgres::types::Type;

/// Events named in one hand-off row.
const HANDOFF_EVENTS_MAX: usize = 100;

/// What a caller hears of an event.
pub(crate) type Answer = hookfast_core::Result<Accepted>;

/// An event on its way into the store, and whose it is.
pub(crate) struct Item {
    pub(crate) event: NewEvent,
    /// What it changes in the table of invoices.
    pub(crate) invoice: Option<InvoiceEvent>,
    command: usize,
    at: usize,
}

/// A command, and what became of its events so far.
struct Waiting {
    reply: Option<oneshot::Sender<Vec<Answer>>>,
    from_log: Option<Box<FromLog>>,
    answers: Vec<Option<Answer>>,
}

/// Those who wait for events of one turn of the writer.
pub(crate) struct Replies {
    waiting: Vec<Waiting>,
}

impl Replies {
    /// Takes commands apart.
    pub(crate) fn take(commands: Vec<AcceptCommand>) -> (Self, Vec<Item>) {
        let mut items = Vec::new();
        let mut waiting = Vec::with_capacity(commands.len());
        for (command, AcceptCommand { events, mut from_log, reply }) in commands.into_iter().enumerate() {
            let answers = vec![None; events.len()];
            let mut invoices = from_log.as_mut().map(|from| std::mem::take(&mut from.invoices)).into_iter().flatten();
            let item = |(at, event)| Item { event, invoice: invoices.next().flatten(), command, at };
            items.extend(events.into_iter().enumerate().map(item));
            waiting.push(Waiting { reply: Some(reply), from_log, answers });
        }
        (Self { waiting }, items)
    }

    /// Positions of the log that a commit of this batch may keep: of the commands that it has all events of.
    pub(crate) fn mark(&self, batch: &mut AcceptBatch) {
        for (command, waiting) in self.waiting.iter().enumerate() {
            let Some(from) = &waiting.from_log else { continue };
            let ids = || batch.items.iter().filter(|item| item.command == command).map(|item| item.event.id.into());
            if ids().count() == waiting.answers.len() {
                batch.marks.add(from, ids());
            }
        }
    }

    /// What became of an event; its command is answered with the last one.
    pub(crate) fn put(&mut self, item: &Item, answer: Answer) {
        let Some(Waiting { reply, answers, .. }) = self.waiting.get_mut(item.command) else { return };
        if let Some(place) = answers.get_mut(item.at) {
            *place = Some(answer);
        }
        if answers.iter().all(Option::is_some)
            && let Some(reply) = reply.take()
        {
            let _ = reply.send(answers.drain(..).flatten().collect());
        }
    }

    /// Answers every command that still waits. Its events may be stored all the same.
    pub(crate) fn give_up(&mut self, error: &Error) {
        for Waiting { reply, answers, .. } in &mut self.waiting {
            if let Some(reply) = reply.take() {
                let _ = reply.send(answers.drain(..).map(|one| one.unwrap_or_else(|| Err(error.clone()))).collect());
            }
        }
    }
}

/// One routed pair.
struct Pair {
    event: Arc<Outgoing>,
    retention_days: u16,
    routed: Routed,
}

/// Events that are committed together, as columns.
#[derive(Default)]
pub(crate) struct AcceptBatch {
    pub(crate) items: Vec<Item>,
    /// How far the log was read.
    pub(crate) marks: Marks,
    pairs: Vec<Pair>,
    granted: Vec<bool>,
    keys: HashSet<[u8; 16]>,
    key_days: KeyDays,
    uids: HashSet<(i64, String)>,
    ids: Vec<Uuid>,
    /// Of each event, its application by number.
    pub(crate) apps: Vec<i64>,
    versions: Vec<i64>,
    days_kept: Vec<i16>,
    channels: Vec<Option<String>>,
    routed: Vec<Vec<u8>>,
    today: Vec<i32>,
    fanouts: Vec<Uuid>,
    queue: QueueColumns,
    /// Rows of endpoints that keep order: they go through the queue.
    pub(crate) ordered: ordering::NewRows,
    handoff_batches: Vec<i64>,
    handoff_events: Vec<Uuid>,
    /// Of each pair with a slot, its hand-off row.
    handoff_of: Vec<u64>,
}

#[derive(Default)]
struct QueueColumns {
    events: Vec<Uuid>,
    endpoints: Vec<i64>,
    days_kept: Vec<i16>,
    dues: Vec<i64>,
}

/// What is to be done for a batch that is durable.
#[derive(Default)]
pub(crate) struct Placed {
    pub(crate) hand_over: Vec<(Arc<Endpoint>, Delivery)>,
    pub(crate) queued: Vec<(Arc<Endpoint>, UnixMs)>,
    pub(crate) queued_numbers: Vec<i64>,
    /// Number of a hand-off row, and its pairs.
    pub(crate) handoffs: Vec<(u64, u32)>,
}

/// Whether an event is among those of a batch.
pub(crate) enum Added {
    Yes,
    /// Another one of the batch has its key or uid.
    Repeat(Item),
    /// It cannot be stored at all.
    Refused(Item, Error),
}

impl AcceptBatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an event, routed by these routes.
    pub(crate) fn add(&mut self, item: Item, app: &AppRoutes) -> Added {
        let event = &item.event;
        let uid = event.uid.clone().map(|uid| (app.no, uid));
        if event.idempotency.is_some_and(|key| self.keys.contains(&key))
            || uid.as_ref().is_some_and(|uid| self.uids.contains(uid))
        {
            return Added::Repeat(item);
        }
        let routed = match app.route(event) {
            Ok(routed) => routed,
            Err(error) => return Added::Refused(item, error),
        };
        let channels = if event.channels.is_empty() { Ok(None) } else { columns::json(&event.channels).map(Some) };
        let channels = match channels {
            Ok(channels) => channels,
            Err(error) => return Added::Refused(item, error.into()),
        };
        if let Some(key) = event.idempotency {
            self.keys.insert(key);
            self.key_days.add(event.id.time());
        }
        self.uids.extend(uid);
        self.ids.push(event.id.into());
        self.apps.push(app.no);
        self.versions.push(app.version);
        self.days_kept.push(codec::class(app.retention_days));
        self.channels.push(channels);
        self.routed.push(columns::put_numbers(routed.iter().map(|one| one.no)));
        self.today.push(today(event));
        let is_inline = routed.len() <= ROUTED_INLINE_MAX;
        let routed = self.ordered.take(event, app.retention_days, routed);
        if !is_inline {
            self.fanouts.push(event.id.into());
        } else if !routed.is_empty() {
            let outgoing = Arc::new(Outgoing {
                id: event.id,
                event_type: event.event_type.clone(),
                content_type: event.content_type.clone(),
                body: Some(event.body.clone()),
            });
            let retention_days = app.retention_days;
            let pair = |routed| Pair { event: Arc::clone(&outgoing), retention_days, routed };
            self.pairs.extend(routed.into_iter().map(pair));
        }
        self.items.push(item);
        Added::Yes
    }

    /// Asks for memory slots, and gives each pair its place: a hand-off row or a row of the queue.
    pub(crate) fn place(&mut self, dispatch: &dyn Dispatch, next_handoff: &mut u64) {
        let mut granted = Vec::with_capacity(self.pairs.len());
        dispatch.reserve(&wanted(&self.pairs), &mut granted);
        granted.resize(self.pairs.len(), false);
        self.granted = granted;
        let (mut last, mut in_row) = (None, 0);
        for (pair, granted) in self.pairs.iter().zip(&self.granted) {
            let event = Uuid::from(pair.event.id);
            if !granted {
                self.queue.events.push(event);
                self.queue.endpoints.push(pair.routed.no);
                self.queue.days_kept.push(codec::class(pair.retention_days));
                self.queue.dues.push(pair.event.id.time().0);
                continue;
            }
            if last != Some(event) {
                if last.is_none() || in_row >= HANDOFF_EVENTS_MAX {
                    *next_handoff += 1;
                    in_row = 0;
                }
                self.handoff_batches.push(next_handoff.cast_signed());
                self.handoff_events.push(event);
                last = Some(event);
                in_row += 1;
            }
            self.handoff_of.push(*next_handoff);
        }
    }

    /// Adds the parts that store this batch. They answer `e`: the ids that were stored.
    pub(crate) fn write<'a>(&'a self, statement: &mut Statement<'a>, columns: &'a EventColumns<'a>) {
        let with_uids = !self.uids.is_empty();
        statement.part(
            "i AS MATERIALIZED (SELECT t.* FROM me, unnest(@, @, @, @, @, @, @, @, @, @, @, @, @, @, @, @, @)
               AS t(id, app, version, days, event_type, uid, body_hash, channels, ordering_key, content_type, routed,
                    body, today, key, key_body, source, accepted_by)
               JOIN hookfast.applications a ON a.no = t.app AND a.version = t.version AND a.deleted_at IS NULL)",
            &[
                (&self.ids, Type::UUID_ARRAY),
                (&self.apps, Type::INT8_ARRAY),
                (&self.versions, Type::INT8_ARRAY),
                (&self.days_kept, Type::INT2_ARRAY),
                (&columns.event_types, Type::TEXT_ARRAY),
                (&columns.uids, Type::TEXT_ARRAY),
                (&columns.body_hashes, Type::BYTEA_ARRAY),
                (&self.channels, Type::TEXT_ARRAY),
                (&columns.ordering_keys, Type::TEXT_ARRAY),
                (&columns.content_types, Type::TEXT_ARRAY),
                (&self.routed, Type::BYTEA_ARRAY),
                (&columns.bodies, Type::BYTEA_ARRAY),
                (&self.today, Type::INT4_ARRAY),
                (&columns.keys, Type::BYTEA_ARRAY),
                (&columns.key_bodies, Type::BYTEA_ARRAY),
                (&columns.sources, Type::TEXT_ARRAY),
                (&columns.accepted_by, Type::TEXT_ARRAY),
            ],
        );
        let with_keys = self.key_days.write(statement);
        let key_is_free = if with_keys { "(i.key IS NULL OR i.key IN (SELECT key FROM k))" } else { "true" };
        if with_uids {
            statement.part(
                &format!(
                    "u AS (INSERT INTO hookfast.uids (app, uid, event, body)
                       SELECT i.app, i.uid, i.id, i.body_hash FROM i WHERE i.uid IS NOT NULL AND {key_is_free}
                       ORDER BY i.app, i.uid ON CONFLICT DO NOTHING RETURNING event)"
                ),
                &[],
            );
        }
        let uid_is_free = if with_uids { "(i.uid IS NULL OR i.id IN (SELECT event FROM u))" } else { "true" };
        statement.part(
            &format!(
                "e AS (INSERT INTO hookfast.events (id, retention_days, app, incarnation, event_type, uid, channels,
                   ordering_key, content_type, routed, body, source, accepted_by)
                   SELECT i.id, i.days, i.app, $1, i.event_type, i.uid, i.channels, i.ordering_key, i.content_type,
                     i.routed, i.body, i.source, i.accepted_by FROM i WHERE {key_is_free} AND {uid_is_free}
                   ON CONFLICT DO NOTHING RETURNING id)"
            ),
            &[],
        );
        columns.invoices.write(statement);
        self.marks.write(statement);
        self.write_places(statement);
    }

    fn write_places<'a>(&'a self, statement: &mut Statement<'a>) {
        if !self.queue.events.is_empty() {
            statement.part(
                "qn AS (INSERT INTO hookfast.queue (event, endpoint, run, retention_days, due, tries, crashes, manual)
                   SELECT p.event, p.endpoint, 0, p.days, p.due, 0, 0, false
                   FROM unnest(@, @, @, @) AS p(event, endpoint, days, due) JOIN e ON e.id = p.event
                   ON CONFLICT DO NOTHING)",
                &[
                    (&self.queue.events, Type::UUID_ARRAY),
                    (&self.queue.endpoints, Type::INT8_ARRAY),
                    (&self.queue.days_kept, Type::INT2_ARRAY),
                    (&self.queue.dues, Type::INT8_ARRAY),
                ],
            );
        }
        self.ordered.write(statement);
        if !self.handoff_events.is_empty() && !crate::failpoint::planted("no_handoff_row") {
            statement.part(
                "h AS (INSERT INTO hookfast.handoff (incarnation, batch, events)
                   SELECT $1, b.batch, array_agg(b.event) FROM me, unnest(@, @) AS b(batch, event) GROUP BY b.batch
                   ON CONFLICT DO NOTHING)",
                &[(&self.handoff_batches, Type::INT8_ARRAY), (&self.handoff_events, Type::UUID_ARRAY)],
            );
        }
        if !self.fanouts.is_empty() {
            statement.part(
                "f AS (INSERT INTO hookfast.fanout (event, next)
                   SELECT x.event, 0 FROM unnest(@) AS x(event) JOIN e ON e.id = x.event ON CONFLICT DO NOTHING)",
                &[(&self.fanouts, Type::UUID_ARRAY)],
            );
        }
    }

    /// The commit failed, or it stored nothing of these: gives their slots back.
    pub(crate) fn unreserve(&self, dispatch: &dyn Dispatch, stored: impl Fn(Uuid) -> bool) {
        let lost = |pair: &Pair| !stored(pair.event.id.into());
        let granted: Vec<bool> =
            self.pairs.iter().zip(&self.granted).map(|(pair, granted)| *granted && lost(pair)).collect();
        if granted.contains(&true) {
            dispatch.unreserve(&wanted(&self.pairs), &granted);
        }
    }

    /// What is to be done for the events that were stored.
    pub(crate) fn placed(&self, stored: impl Fn(Uuid) -> bool) -> Placed {
        let mut placed = Placed::default();
        let mut handoffs = self.handoff_of.iter();
        for (pair, granted) in self.pairs.iter().zip(&self.granted) {
            let handoff = if *granted { handoffs.next().copied() } else { None };
            let is_stored = stored(pair.event.id.into());
            if let Some(handoff) = handoff {
                match placed.handoffs.last_mut().filter(|(last, _)| *last == handoff) {
                    Some((_, pairs)) => *pairs += u32::from(is_stored),
                    None => placed.handoffs.push((handoff, u32::from(is_stored))),
                }
            }
            if !is_stored {
                continue;
            }
            let due = pair.event.id.time();
            let endpoint = Arc::clone(&pair.routed.endpoint);
            let Some(handoff) = handoff else {
                placed.queued.push((endpoint, due));
                placed.queued_numbers.push(pair.routed.no);
                continue;
            };
            let delivery = Delivery {
                key: DeliveryKey { event: pair.event.id, endpoint: endpoint.id, run: 0 },
                event: Arc::clone(&pair.event),
                hold: Hold::Memory { handoff },
                tries: 0,
                crashes: 0,
                due,
                trigger: Trigger::Scheduled,
                retention_days: pair.retention_days,
            };
            placed.hand_over.push((endpoint, delivery));
        }
        placed
    }
}

/// The columns that are borrowed from the events.
pub(crate) struct EventColumns<'a> {
    event_types: Vec<&'a str>,
    uids: Vec<Option<&'a str>>,
    body_hashes: Vec<&'a [u8]>,
    ordering_keys: Vec<Option<&'a str>>,
    content_types: Vec<Option<&'a str>>,
    bodies: Vec<&'a [u8]>,
    keys: Vec<Option<&'a [u8]>>,
    key_bodies: Vec<Option<&'a [u8]>>,
    sources: Vec<Option<&'a str>>,
    accepted_by: Vec<Option<&'a str>>,
    invoices: InvoiceColumns<'a>,
}

impl<'a> EventColumns<'a> {
    /// `projection` is the part that changes the table of invoices.
    pub(crate) fn of(items: &'a [Item], projection: Option<&'a str>) -> Self {
        let events = || items.iter().map(|item| &item.event);
        let origins = || events().map(|event| event.origin.as_ref());
        Self {
            event_types: events().map(|event| event.event_type.as_str()).collect(),
            uids: events().map(|event| event.uid.as_deref()).collect(),
            body_hashes: events().map(|event| event.body_hash.as_slice()).collect(),
            ordering_keys: events().map(|event| event.ordering_key.as_deref()).collect(),
            content_types: events().map(|event| event.content_type.as_deref()).collect(),
            bodies: events().map(|event| event.body.as_ref()).collect(),
            keys: events().map(|event| event.idempotency.as_ref().map(<[u8; 16]>::as_slice)).collect(),
            key_bodies: events()
                .map(|event| event.idempotency.is_some().then_some(event.body_hash.as_slice()))
                .collect(),
            sources: origins().map(|origin| Some(origin?.source.as_str())).collect(),
            accepted_by: origins().map(|origin| Some(origin?.by.as_ref()?.as_str())).collect(),
            invoices: InvoiceColumns::of(items, projection),
        }
    }
}

fn wanted(pairs: &[Pair]) -> Vec<Wanted<'_>> {
    pairs.iter().map(|pair| Wanted { endpoint: &pair.routed.endpoint, body_bytes: pair.event.body_bytes() }).collect()
}

/// The day that an event's caller key is kept under.
pub(crate) fn today(event: &NewEvent) -> i32 {
    key_days::day(event.id.time())
}
