//! Configuration: applications, endpoints, event types, tokens.

mod applications;
mod endpoints;
mod event_types;
mod tokens;

pub(crate) use endpoints::{is_disabled, mark, number};

use crate::Result;
use crate::sqlite::dedupe;
use crate::sqlite::writer::JobTx;
use hookfast_core::model::CallerKey;

/// What an earlier call with the same key made, if there was one.
pub(crate) fn made_before(tx: &JobTx<'_>, key: Option<&CallerKey>) -> Result<Option<[u8; 16]>> {
    let Some(key) = key else { return Ok(None) };
    let mut statement = tx.conn.prepare_cached(dedupe::FIND)?;
    dedupe::find(&mut statement, dedupe::day(tx.shared.clock.now()), key)
}

/// Remembers what this call made under its key.
pub(crate) fn remember(tx: &JobTx<'_>, key: Option<&CallerKey>, object: [u8; 16]) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    let mut statement = tx.conn.prepare_cached(dedupe::INSERT)?;
    dedupe::insert(&mut statement, dedupe::day(tx.shared.clock.now()), key, &object)
}
