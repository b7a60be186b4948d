//! Opaque access tokens: `hf_`, 43 random characters, 6 characters of checksum. Only their hash is ever kept.

use crate::error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What every token starts with.
pub(crate) const PREFIX: &str = "hf_";
const RANDOM_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;

/// A new token.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn generate() -> Result<String, ApiError> {
    let mut random = [0u8; 32];
    fill_random(&mut random)?;
    let mut text = String::with_capacity(PREFIX.len() + RANDOM_CHARS + CHECK_CHARS);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(random, &mut text);
    let check = checksum(&text);
    text.push_str(&check);
    Ok(text)
}

/// Fills bytes from the system's cryptographic source.
///
/// # Errors
/// When it has none to give.
pub(crate) fn fill_random(out: &mut [u8]) -> Result<(), ApiError> {
    aws_lc_rs::rand::fill(out).map_err(|_| {
        tracing::error!("the system gives no random bytes");
        ApiError::internal()
    })
}

/// What is kept of a token.
pub(crate) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Does the checksum match? Says nothing about whether the token exists.
pub(crate) fn is_well_formed(text: &str) -> bool {
    let at = PREFIX.len() + RANDOM_CHARS;
    let parts = (text.get(..at), text.get(at..));
    matches!(parts, (Some(front), Some(check)) if front.starts_with(PREFIX) && checksum(front) == check)
}

fn checksum(front: &str) -> String {
    let mut hash = Sha256::new();
    hash.update("checksum of ");
    hash.update(front);
    let mut text = URL_SAFE_NO_PAD.encode(&hash.finalize()[..6]);
    text.truncate(CHECK_CHARS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_token_is_well_formed_and_no_other_text_is() {
        let token = generate().unwrap();
        assert_eq!(token.len(), 52);
        assert!(is_well_formed(&token) && generate().unwrap() != token);
        for at in 3..token.len() {
            let mut wrong = token.clone().into_bytes();
            wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
            assert!(!is_well_formed(std::str::from_utf8(&wrong).unwrap()), "character {at}");
        }
        assert!(!is_well_formed(&token[..51]) && !is_well_formed(&format!("{token}A")));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            prop_assert!(!is_well_formed(&text));
            let prefixed = format!("hf_{text}");
            prop_assert!(!is_well_formed(&prefixed));
        }
    }
}
