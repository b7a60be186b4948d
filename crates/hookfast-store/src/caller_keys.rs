//! What a caller key that came before means, whatever the database.

use hookfast_core::model::CallerKey;
use hookfast_core::{Error, Result};

/// What a key that was found stands for.
///
/// # Errors
/// `Conflict` when it came with another body.
pub(crate) fn same_body<T>(key: &CallerKey, body_hash: &[u8], object: T) -> Result<T> {
    if key.body_hash == body_hash {
        return Ok(object);
    }
    let reason = "this idempotency key was used before with another body".to_owned();
    Err(Error::Conflict { code: "idempotency_conflict", reason })
}
