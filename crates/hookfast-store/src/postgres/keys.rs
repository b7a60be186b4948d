//! Caller keys of configuration calls and resends: a repeat answers with what the first call made. Must not know what that
//! is. Keys of events come with their batch, in `accept`.

use super::db::{Run as _, Tx};
use super::wire::Uuid;
use super::{Shared, key_days};
use crate::{Result, caller_keys};
use hookfast_core::model::CallerKey;
use tokio_postgres::types::Type;

fn today(shared: &Shared) -> i32 {
    key_days::day(shared.clock.now())
}

/// What an earlier call with the same key made, if there was one. Another call with this key that is under way is waited
/// for, so ask before any row is locked.
///
/// # Errors
/// `Conflict` when the key came with another body.
pub(crate) async fn made_before(shared: &Shared, tx: &Tx<'_>, key: Option<&CallerKey>) -> Result<Option<Uuid>> {
    let Some(key) = key else { return Ok(None) };
    let hash = key.key_hash.as_slice();
    let half = i64::from_be_bytes(*key.key_hash.first_chunk().unwrap_or(&[0; 8]));
    // A statement of its own: the next one sees what was committed while this one waited.
    tx.one("SELECT pg_advisory_xact_lock($1)", &[(&half, Type::INT8)]).await?;
    // The clocks of two nodes may be on two sides of midnight.
    let sql = "SELECT body, object FROM hookfast.dedupe WHERE key = $1 AND day BETWEEN $2 - 1 AND $2 + 1
               ORDER BY day DESC LIMIT 1";
    let Some(row) = tx.opt(sql, &[(&hash, Type::BYTEA), (&today(shared), Type::INT4)]).await? else { return Ok(None) };
    Ok(Some(caller_keys::same_body(key, row.try_get(0)?, row.try_get(1)?)?))
}

/// Remembers what this call made under its key.
pub(crate) async fn remember(
    shared: &Shared,
    tx: &Tx<'_>,
    key: Option<&CallerKey>,
    object: impl Into<Uuid>,
) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    let (hash, body, object) = (key.key_hash.as_slice(), key.body_hash.as_slice(), object.into());
    tx.change(
        "INSERT INTO hookfast.dedupe (day, key, body, object) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        &[(&today(shared), Type::INT4), (&hash, Type::BYTEA), (&body, Type::BYTEA), (&object, Type::UUID)],
    )
    .await?;
    Ok(())
}
