//! Caller keys: same key and same body answers with the first one's object, another body is a conflict.
//!
//! Keys are kept by the day they were used, so a whole day goes in one range and needs no index on time; a key is
//! remembered for at least 24 h and at most 48 h.

use crate::Result;
use crate::caller_keys;
use hookfast_core::UnixMs;
use hookfast_core::limits::IDEMPOTENCY_MS;
use hookfast_core::model::CallerKey;
use rusqlite::{OptionalExtension, Statement};

pub(crate) const FIND: &str = "SELECT body, object FROM dedupe WHERE day = ?1 AND key = ?2";
/// A move that was cut off by a crash begins anew.
pub(crate) const INSERT_MOVED: &str = "INSERT OR IGNORE INTO dedupe (day, key, body, object) VALUES (?1, ?2, ?3, ?4)";
pub(crate) const INSERT: &str = "INSERT INTO dedupe (day, key, body, object) VALUES (?1, ?2, ?3, ?4)";

/// The day a time belongs to.
pub(crate) fn day(time: UnixMs) -> i64 {
    time.0.div_euclid(IDEMPOTENCY_MS.cast_signed())
}

/// What the key stands for, if it was used before.
pub(crate) fn find(statement: &mut Statement<'_>, today: i64, key: &CallerKey) -> Result<Option<[u8; 16]>> {
    for day in [today, today - 1] {
        let found: Option<([u8; 16], [u8; 16])> =
            statement.query_row((day, key.key_hash.as_slice()), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((body, object)) = found {
            return Ok(Some(caller_keys::same_body(key, &body, object)?));
        }
    }
    Ok(None)
}

/// Remembers what the key stands for.
pub(crate) fn insert(statement: &mut Statement<'_>, today: i64, key: &CallerKey, object: &[u8; 16]) -> Result<()> {
    statement.execute((today, key.key_hash.as_slice(), key.body_hash.as_slice(), object.as_slice()))?;
    Ok(())
}
