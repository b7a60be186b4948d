//! Idempotency keys of the newest events, in memory until they are moved into the `dedupe` table.
//!
//! A key is durable in its event's own row. The table is clustered by key, so single inserts would each dirty a page of
//! their own; keys are moved there later, sorted, a few neighbours with each commit. What is not moved yet is read back
//! from the event rows behind a cursor when the store is opened.

use crate::Result;
use crate::caller_keys;
use crate::sqlite::{codec, dedupe};
use hookfast_core::EventId;
use hookfast_core::model::CallerKey;
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;

/// With so many keys in memory a new move begins.
const MOVE_AT_KEYS: usize = 32 << 10;
/// After so many events a move begins even with few keys, so that opening has little to read.
const MOVE_AT_EVENTS: u64 = 64 << 10;
/// With so many keys in memory new ones go straight into the table.
const KEYS_MAX: usize = 256 << 10;
/// Keys moved with one commit.
const KEYS_PER_COMMIT: usize = 64;

const CURSOR: &str = "keys_moved";

#[derive(Clone, Copy, Debug)]
struct Recent {
    body_hash: [u8; 16],
    event: EventId,
}

/// The keys in memory, and the move under way.
#[derive(Debug, Default)]
pub(crate) struct RecentKeys {
    keys: HashMap<[u8; 16], Recent>,
    /// Being moved: sorted, taken from the end.
    moving: Vec<[u8; 16]>,
    /// When `moving` is empty, every key of events up to this row is in the table.
    moving_until: i64,
    newest: i64,
    events: u64,
}

impl RecentKeys {
    /// Reads back what was not moved.
    pub(crate) fn load(conn: &Connection) -> Result<Self> {
        let cursor: Option<i64> =
            conn.query_row("SELECT value FROM meta WHERE key = ?1", [CURSOR], |row| row.get(0)).optional()?;
        let mut recent = Self::default();
        let mut statement =
            conn.prepare("SELECT id, low, key_hash, key_body FROM events WHERE id > ?1 AND key_hash IS NOT NULL")?;
        let mut rows = statement.query([cursor.unwrap_or(0)])?;
        while let Some(row) = rows.next()? {
            let (high, low): (i64, i64) = (row.get(0)?, row.get(1)?);
            let key = CallerKey { key_hash: row.get(2)?, body_hash: row.get(3)? };
            recent.insert(&key, EventId::from_halves(high.cast_unsigned(), low.cast_unsigned()));
        }
        Ok(recent)
    }

    /// Moves all of them into the table, where nobody uses the store.
    pub(crate) fn move_all(conn: &Connection) -> Result<()> {
        let mut recent = Self::load(conn)?;
        recent.begin_move();
        let tx = conn.unchecked_transaction()?;
        loop {
            let moved = recent.write_some(&tx)?;
            recent.moved(moved);
            if moved == 0 {
                return Ok(tx.commit()?);
            }
        }
    }

    fn begin_move(&mut self) {
        self.moving = self.keys.keys().copied().collect();
        self.moving.sort_unstable_by(|a, b| b.cmp(a));
        self.moving_until = self.newest;
        self.events = 0;
    }

    /// The event that this key stands for, if it is here and still remembered on day `today`.
    ///
    /// # Errors
    /// `Conflict` when it came with another body.
    pub(crate) fn find(&self, today: i64, key: &CallerKey) -> Result<Option<EventId>> {
        match self.keys.get(&key.key_hash) {
            Some(recent) if dedupe::day(recent.event.time()) < today - 1 => Ok(None),
            Some(recent) => Ok(Some(caller_keys::same_body(key, &recent.body_hash, recent.event)?)),
            None => Ok(None),
        }
    }

    /// There is room for another key.
    pub(crate) fn has_room(&self) -> bool {
        self.keys.len() < KEYS_MAX
    }

    pub(crate) fn insert(&mut self, key: &CallerKey, event: EventId) {
        self.newest = self.newest.max(codec::row_id(event.high()));
        self.keys.insert(key.key_hash, Recent { body_hash: key.body_hash, event });
    }

    /// The transaction that these keys came in was undone.
    pub(crate) fn forget(&mut self, keys: &[[u8; 16]]) {
        for key in keys {
            self.keys.remove(key);
        }
    }

    /// So many events were committed, the newest in this row.
    pub(crate) fn committed(&mut self, events: u64, newest: i64) {
        self.events += events;
        self.newest = self.newest.max(newest);
        if self.moving.is_empty() && (self.keys.len() >= MOVE_AT_KEYS || self.events >= MOVE_AT_EVENTS) {
            self.begin_move();
        }
    }

    /// Writes the next few keys into the table, within the caller's transaction; answers how many.
    pub(crate) fn write_some(&self, conn: &Connection) -> Result<usize> {
        let count = self.moving.len().min(KEYS_PER_COMMIT);
        if count == 0 {
            return Ok(0);
        }
        let mut insert = conn.prepare_cached(dedupe::INSERT_MOVED)?;
        for key in self.moving.iter().rev().take(count) {
            if let Some(recent) = self.keys.get(key) {
                let day = dedupe::day(recent.event.time());
                insert.execute((day, key, recent.body_hash, codec::id_bytes(recent.event)))?;
            }
        }
        if count == self.moving.len() {
            conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
                .execute((CURSOR, self.moving_until))?;
        }
        Ok(count)
    }

    /// The transaction of [`RecentKeys::write_some`] was committed.
    pub(crate) fn moved(&mut self, count: usize) {
        for key in self.moving.drain(self.moving.len() - count..) {
            self.keys.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;
    use hookfast_core::{IdGenerator, UnixMs};

    fn key(number: u64) -> CallerKey {
        let mut key_hash = [0; 16];
        key_hash[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        CallerKey { key_hash, body_hash: [7; 16] }
    }

    #[test]
    fn every_key_is_found_before_while_and_after_it_is_moved_and_after_a_reopen_in_the_middle() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn).unwrap();
        let ids = IdGenerator::new();
        let now = UnixMs(1_700_000_000_000);
        let today = dedupe::day(now);
        let mut recent = RecentKeys::default();
        let count = MOVE_AT_KEYS as u64 + 10;
        for number in 0..count {
            let event = EventId::from_u128(ids.next(now));
            conn.prepare_cached(
                "INSERT INTO events (id, low, app, incarnation, retention_days, event_type, key_hash, key_body, routed)
                 VALUES (?1, ?2, 1, 1, 30, 't', ?3, ?4, x'')",
            )
            .unwrap()
            .execute((codec::row_id(event.high()), event.low().cast_signed(), key(number).key_hash, [7u8; 16]))
            .unwrap();
            recent.insert(&key(number), event);
            recent.committed(1, codec::row_id(event.high()));
        }
        let all_found = |recent: &RecentKeys| {
            let mut find = conn.prepare(dedupe::FIND).unwrap();
            (0..count).all(|number| {
                let here = recent.find(today, &key(number)).unwrap().is_some();
                here || dedupe::find(&mut find, today, &key(number)).unwrap().is_some()
            })
        };
        assert!(!recent.moving.is_empty(), "a move must have begun");
        assert!(all_found(&recent));
        for _ in 0..100 {
            let moved = recent.write_some(&conn).unwrap();
            recent.moved(moved);
        }
        assert!(all_found(&recent));
        let mut recent = RecentKeys::load(&conn).unwrap();
        assert!(all_found(&recent));
        recent.committed(0, 0);
        loop {
            let moved = recent.write_some(&conn).unwrap();
            recent.moved(moved);
            if moved == 0 {
                break;
            }
        }
        assert!(recent.keys.is_empty());
        assert!(all_found(&recent));
        let reopened = RecentKeys::load(&conn).unwrap();
        assert!(reopened.keys.is_empty(), "what was moved is not read back");
        let other = CallerKey { body_hash: [8; 16], ..key(3) };
        assert!(dedupe::find(&mut conn.prepare(dedupe::FIND).unwrap(), today, &other).is_err());
    }

    #[test]
    fn another_body_is_a_conflict_and_an_old_key_is_forgotten() {
        let mut recent = RecentKeys::default();
        let event = EventId::from_u128(IdGenerator::new().next(UnixMs(1_700_000_000_000)));
        recent.insert(&key(1), event);
        let today = dedupe::day(event.time());
        assert_eq!(recent.find(today, &key(1)).unwrap(), Some(event));
        assert!(recent.find(today, &CallerKey { body_hash: [8; 16], ..key(1) }).is_err());
        assert_eq!(recent.find(today + 2, &key(1)).unwrap(), None);
        recent.forget(&[key(1).key_hash]);
        assert_eq!(recent.find(today, &key(1)).unwrap(), None);
    }
}
