//! Order among the rows of one key at one endpoint: only the first is due, the others are parked until it has ended. Must
//! not know how a key is found.
//!
//! Whoever adds a row of a key, ends one, holds the key up or frees it has [`lock`]ed the key in an earlier statement of the
//! same transaction, and [`promote`]s in a later one: a statement that waited for a lock still sees what was there before it
//! waited, and would find two first rows or none. Endpoints are locked before keys, keys in one order.

use super::db::{Run, Session, Tx};
use super::routes::Routed;
use super::statement::{self, Statement};
use super::wire::Uuid;
use super::{Shared, codec, node};
use crate::{Error, Result};
use hookfast_core::delivery::{Cause, DeliveryState};
use hookfast_core::model::{NewEvent, OnDead};
use hookfast_core::{UnixMs, ordering};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// When a parked row is due: never, until it is the first of its key.
pub(crate) const PARKED: i64 = i64::MAX;

/// A key at an endpoint, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) endpoint: i64,
    pub(crate) hash: [u8; 16],
}

impl Key {
    /// From a column `order_key`; `None` for a row without order.
    pub(crate) fn read(row: &Row, column: usize, endpoint: i64) -> Result<Option<Self>> {
        let Some(hash) = row.try_get::<_, Option<&[u8]>>(column)? else { return Ok(None) };
        let hash = hash.try_into().map_err(|_| Error::Damaged { what: "ordering key" })?;
        Ok(Some(Self { endpoint, hash }))
    }
}

/// Keys that a transaction touches.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// With the number of rows it may add.
    keys: BTreeMap<Key, i64>,
    /// Endpoints that are asked what a dead delivery means to them.
    asked: BTreeSet<i64>,
}

impl Keys {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn touch(&mut self, key: Key) {
        self.keys.entry(key).or_default();
    }

    /// A row of this key ends; does that hold the key up, if the endpoint wants it so?
    pub(crate) fn end(&mut self, key: Key, holds: bool) {
        self.touch(key);
        if holds {
            self.asked.insert(key.endpoint);
        }
    }

    fn add_row(&mut self, key: Key) {
        *self.keys.entry(key).or_default() += 1;
    }

    fn endpoints(&self) -> Vec<i64> {
        self.keys.keys().map(|key| key.endpoint).collect()
    }

    /// For a statement that must touch no other keys.
    pub(crate) fn hashes(&self) -> Vec<Vec<u8>> {
        self.keys.keys().map(|key| key.hash.to_vec()).collect()
    }
}

/// May such an end hold up a key?
pub(crate) fn may_hold(state: DeliveryState, cause: Cause) -> bool {
    state == DeliveryState::Dead && ordering::blocks(OnDead::Block, cause)
}

/// Locks keys until the transaction ends, and counts their new rows. It holds the fence first: what a frozen node has
/// locked is free again once it is declared dead.
///
/// # Errors
/// [`Error::Fenced`] when this node was declared dead.
pub(crate) async fn lock(tx: &Tx<'_>, incarnation: i64, keys: &Keys) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    if !keys.asked.is_empty() {
        node::fence(tx, incarnation).await?;
        let asked: Vec<i64> = keys.asked.iter().copied().collect();
        // Who changes what a dead delivery means here waits, and then finds the keys that are held up.
        let sql = "SELECT FROM hookfast.endpoints WHERE no = ANY($1) ORDER BY no FOR SHARE";
        tx.rows(sql, &[(&asked, Type::INT8_ARRAY)]).await?;
    }
    let rows: Vec<i64> = keys.keys.values().copied().collect();
    let sql = statement::fence()
        + " INSERT INTO hookfast.ordering AS o (endpoint, key, last_no)
            SELECT k.endpoint, k.key, k.rows FROM me, unnest($2::int8[], $3::bytea[], $4::int8[]) AS k (endpoint, key, rows)
            ORDER BY k.endpoint, k.key
            ON CONFLICT (endpoint, key) DO UPDATE SET last_no = o.last_no + excluded.last_no";
    let locked = tx
        .change(
            &sql,
            &[
                (&incarnation, Type::INT8),
                (&keys.endpoints(), Type::INT8_ARRAY),
                (&keys.hashes(), Type::BYTEA_ARRAY),
                (&rows, Type::INT8_ARRAY),
            ],
        )
        .await?;
    if locked == 0 { Err(Error::Fenced) } else { Ok(()) }
}

/// The first row of each key, found by the index; it is due now if it was parked and nothing holds the key up. Answers where
/// one is due: also when it was before, since whoever made it so may not have heard of it. A key without rows is forgotten.
const PROMOTE: &str = "WITH h AS MATERIALIZED (
     SELECT k.endpoint, k.key, q.event, q.run, q.due, q.lease_owner,
       EXISTS (SELECT FROM hookfast.blocked b WHERE b.endpoint = k.endpoint AND b.key = k.key) AS is_blocked
     FROM unnest($1::int8[], $2::bytea[]) AS k (endpoint, key) LEFT JOIN LATERAL (
       SELECT event, run, due, lease_owner FROM hookfast.queue
       WHERE endpoint = k.endpoint AND order_key = k.key ORDER BY order_no LIMIT 1) q ON true),
   p AS (
     UPDATE hookfast.queue q SET due = $3 FROM h
     WHERE q.event = h.event AND q.endpoint = h.endpoint AND q.run = h.run AND h.due = $4 AND NOT h.is_blocked
     RETURNING q.endpoint),
   f AS (
     DELETE FROM hookfast.ordering o USING h
     WHERE o.endpoint = h.endpoint AND o.key = h.key AND h.event IS NULL AND NOT h.is_blocked)
   SELECT endpoint FROM p UNION SELECT endpoint FROM h WHERE due <= $3 AND lease_owner IS NULL";

/// The first row of each locked key is due now, if it was parked and nothing holds the key up. Answers the endpoints where
/// one is due.
pub(crate) async fn promote(tx: &Tx<'_>, keys: &Keys, now: UnixMs) -> Result<BTreeSet<i64>> {
    if keys.is_empty() {
        return Ok(BTreeSet::new());
    }
    let params: super::db::Params<'_> = &[
        (&keys.endpoints(), Type::INT8_ARRAY),
        (&keys.hashes(), Type::BYTEA_ARRAY),
        (&now.0, Type::INT8),
        (&PARKED, Type::INT8),
    ];
    let rows = tx.rows(PROMOTE, params).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Sends a commit: as it is, or between locks and promotion when it touches keys. Answers its row, and the endpoints where
/// the first row of a key is due.
pub(crate) async fn send(
    session: &mut Session,
    shared: &Shared,
    statement: &Statement<'_>,
    keys: &Keys,
) -> Result<(Row, BTreeSet<i64>)> {
    if keys.is_empty() {
        let row = session.one(statement.sql(), statement.params()).await?;
        return Ok((row, BTreeSet::new()));
    }
    let tx = session.begin().await?;
    lock(&tx, shared.incarnation, keys).await?;
    let row = tx.one(statement.sql(), statement.params()).await?;
    let due = promote(&tx, keys, shared.clock.now()).await?;
    tx.commit().await?;
    Ok((row, due))
}

/// New rows of events at endpoints that keep their order, as columns.
#[derive(Debug, Default)]
pub(crate) struct NewRows {
    events: Vec<Uuid>,
    days_kept: Vec<i16>,
    keys: Vec<Key>,
    endpoints: Vec<i64>,
    hashes: Vec<Vec<u8>>,
}

impl NewRows {
    /// Takes those of an event's endpoints that keep its order; answers the others.
    pub(crate) fn take(&mut self, event: &NewEvent, retention_days: u16, mut routed: Vec<Routed>) -> Vec<Routed> {
        routed.retain(|one| {
            let Some(hash) = ordering::key(&one.endpoint, event) else { return true };
            self.events.push(event.id.into());
            self.days_kept.push(codec::class(retention_days));
            self.keys.push(Key { endpoint: one.no, hash });
            self.endpoints.push(one.no);
            self.hashes.push(hash.to_vec());
            false
        });
        routed
    }

    pub(crate) fn count(&self, keys: &mut Keys) {
        self.keys.iter().for_each(|key| keys.add_row(*key));
    }

    /// Adds the part that stores them, parked, for the events of the part `e`. They are numbered as they were accepted, up
    /// to the number that locking has counted.
    pub(crate) fn write<'a>(&'a self, statement: &mut Statement<'a>) {
        if self.events.is_empty() {
            return;
        }
        statement.part(
            "qo AS (INSERT INTO hookfast.queue (event, endpoint, run, retention_days, due, tries, crashes, manual,
               order_key, order_no)
               SELECT p.event, p.endpoint, 0, p.days, @, 0, 0, false, p.key, o.last_no
                 - count(*) OVER (PARTITION BY p.endpoint, p.key)
                 + row_number() OVER (PARTITION BY p.endpoint, p.key ORDER BY p.at)
               FROM unnest(@, @, @, @) WITH ORDINALITY AS p(event, endpoint, days, key, at)
               JOIN e ON e.id = p.event JOIN hookfast.ordering o ON o.endpoint = p.endpoint AND o.key = p.key
               ON CONFLICT DO NOTHING)",
            &[
                (&PARKED, Type::INT8),
                (&self.events, Type::UUID_ARRAY),
                (&self.endpoints, Type::INT8_ARRAY),
                (&self.days_kept, Type::INT2_ARRAY),
                (&self.hashes, Type::BYTEA_ARRAY),
            ],
        );
    }
}

/// Ends of rows that have a key, as columns.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    events: Vec<Uuid>,
    endpoints: Vec<i64>,
    runs: Vec<i32>,
    holds: Vec<bool>,
    keys: Vec<Key>,
}

impl Ends {
    pub(crate) fn add(&mut self, event: Uuid, run: i32, key: Key, holds: bool) {
        self.events.push(event);
        self.endpoints.push(key.endpoint);
        self.runs.push(run);
        self.holds.push(holds);
        self.keys.push(key);
    }

    pub(crate) fn count(&self, keys: &mut Keys) {
        self.keys.iter().zip(&self.holds).for_each(|(key, holds)| keys.end(*key, *holds));
    }

    /// Adds the parts that hold up keys and free them, behind the part `qe`, which deleted the rows.
    pub(crate) fn write<'a>(&'a self, statement: &mut Statement<'a>) {
        if self.events.is_empty() {
            return;
        }
        let ordered = "ordered AS (SELECT q.*, s.holds FROM qe q JOIN unnest(@, @, @, @)
             AS s(event, endpoint, run, holds) USING (event, endpoint, run)),\n";
        statement.part(
            &[ordered, HOLD_UP].concat(),
            &[
                (&self.events, Type::UUID_ARRAY),
                (&self.endpoints, Type::INT8_ARRAY),
                (&self.runs, Type::INT4_ARRAY),
                (&self.holds, Type::BOOL_ARRAY),
            ],
        );
    }
}

/// Parts of a statement behind one named `ordered`, of rows that it deleted: what died holds up its key where that is
/// wanted, every other end frees the key if it was this event that held it up.
pub(crate) const HOLD_UP: &str = "
    judged AS MATERIALIZED (
      SELECT o.event, o.endpoint, o.retention_days, o.order_key, o.order_no, o.holds AND EXISTS (
        SELECT FROM hookfast.endpoints n WHERE n.no = o.endpoint AND n.deleted_at IS NULL AND n.on_dead = 'block')
        AS blocks FROM ordered o WHERE o.order_key IS NOT NULL),
    held_up AS (
      INSERT INTO hookfast.blocked (endpoint, key, event, retention_days, order_no)
      SELECT endpoint, order_key, event, retention_days, order_no FROM judged WHERE blocks
      ON CONFLICT (endpoint, key) DO UPDATE
        SET event = excluded.event, retention_days = excluded.retention_days, order_no = excluded.order_no),
    freed AS (
      DELETE FROM hookfast.blocked b USING judged j
      WHERE NOT j.blocks AND b.endpoint = j.endpoint AND b.key = j.order_key AND b.event = j.event)";

/// Locks the keys that these events hold up at an endpoint: their replays take the places they had.
pub(crate) async fn lock_held_up(tx: &Tx<'_>, shared: &Shared, endpoint: i64, events: &[Uuid]) -> Result<Keys> {
    let sql = "SELECT key FROM hookfast.blocked WHERE event = ANY($1) AND endpoint = $2";
    let keys =
        read_keys(&tx.rows(sql, &[(&events, Type::UUID_ARRAY), (&endpoint, Type::INT8)]).await?, |_| Ok(endpoint))?;
    lock(tx, shared.incarnation, &keys).await?;
    Ok(keys)
}

/// Dead deliveries of this endpoint hold up nothing any more. The endpoint must be locked. Answers where something is due
/// now.
pub(crate) async fn free_endpoint(tx: &Tx<'_>, shared: &Shared, endpoint: i64) -> Result<BTreeSet<i64>> {
    let sql = "SELECT key FROM hookfast.blocked WHERE endpoint = $1";
    let keys = read_keys(&tx.rows(sql, &[(&endpoint, Type::INT8)]).await?, |_| Ok(endpoint))?;
    free(tx, shared, &keys, Uuid::MAX).await
}

/// Keys held up by events of this retention class that are older than `before`: these events are about to go, so nobody can
/// replay them. Answers where something is due now.
pub(crate) async fn free_older(
    tx: &Tx<'_>,
    shared: &Shared,
    class: i16,
    before: Uuid,
    rows_max: i64,
) -> Result<BTreeSet<i64>> {
    let sql = "SELECT key, endpoint FROM hookfast.blocked WHERE event < $1 AND retention_days = $2 LIMIT $3";
    let rows = tx.rows(sql, &[(&before, Type::UUID), (&class, Type::INT2), (&rows_max, Type::INT8)]).await?;
    let keys = read_keys(&rows, |row| Ok(row.try_get(1)?))?;
    free(tx, shared, &keys, before).await
}

fn read_keys(rows: &[Row], endpoint: impl Fn(&Row) -> Result<i64>) -> Result<Keys> {
    let mut keys = Keys::default();
    for row in rows {
        Key::read(row, 0, endpoint(row)?)?.into_iter().for_each(|key| keys.touch(key));
    }
    Ok(keys)
}

/// What holds up these keys, if it is older than `before`, does so no longer.
async fn free(tx: &Tx<'_>, shared: &Shared, keys: &Keys, before: Uuid) -> Result<BTreeSet<i64>> {
    if keys.is_empty() {
        return Ok(BTreeSet::new());
    }
    lock(tx, shared.incarnation, keys).await?;
    tx.change(
        "DELETE FROM hookfast.blocked b USING unnest($1::int8[], $2::bytea[]) AS k (endpoint, key)
         WHERE b.endpoint = k.endpoint AND b.key = k.key AND b.event < $3",
        &[(&keys.endpoints(), Type::INT8_ARRAY), (&keys.hashes(), Type::BYTEA_ARRAY), (&before, Type::UUID)],
    )
    .await?;
    promote(tx, keys, shared.clock.now()).await
}
