//! Endpoint secrets as the API takes, makes and shows them. Must not print one.

use crate::auth::opaque::fill_random;
use crate::error::ApiError;
use crate::extract::{Fields, Given, Problem};
use hookfast_core::model::SecretText;
use hookfast_signing::Secret;

/// Longest text that is looked at.
const SECRET_CHARS_MAX: usize = 256;

/// Reads a secret that the caller chose, in its normal form: `whsec_…`, `whsk_…`, or base64 without a prefix.
pub(crate) fn read(fields: &mut Fields<'_>, name: &str) -> Option<SecretText> {
    let Given::Value(text) = fields.text(name, |text| parse(text).map(|_| ())) else { return None };
    parse(&text).ok().map(|secret| SecretText::new(secret.to_text().as_str()))
}

/// The message never repeats what came.
fn parse(text: &str) -> Result<Secret, Problem> {
    if text.len() > SECRET_CHARS_MAX {
        let msg = format!("expected at most {SECRET_CHARS_MAX} characters, got {}", text.len());
        return Err(Problem::new("too_long", msg));
    }
    Secret::parse_prefix_optional(text).map_err(|error| {
        let expected = "expected `whsec_` and base64 of 24 to 75 bytes, or `whsk_` and base64 of an ed25519 key pair";
        Problem::new("value_error", format!("{expected}; {error}"))
    })
}

/// A new random secret.
///
/// # Errors
/// When the system has no randomness to give.
pub(crate) fn generate() -> Result<SecretText, ApiError> {
    let mut random = [0u8; 32];
    fill_random(&mut random)?;
    Ok(SecretText::new(Secret::new_symmetric(random).to_text().as_str()))
}

/// What a receiver verifies with: the secret itself, or of a key pair the public key alone.
pub(crate) fn shown(secret: &SecretText) -> String {
    let public = Secret::parse(secret.reveal()).ok().and_then(|secret| secret.public_key());
    public.map_or_else(|| secret.reveal().to_owned(), |key| key.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> Result<Option<SecretText>, ApiError> {
        let body = serde_json::json!({ "secret": text }).to_string();
        let mut fields = Fields::parse(body.as_bytes()).unwrap();
        let secret = read(&mut fields, "secret");
        fields.finish().map(|()| secret)
    }

    #[test]
    fn secrets_are_read_in_each_form_and_refused_without_being_repeated() {
        let plain = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let secret = read_one(plain).unwrap().unwrap();
        assert_eq!(secret.reveal(), format!("whsec_{plain}"));
        assert_eq!(read_one(&format!("whsec_{plain}")).unwrap(), Some(secret));
        for wrong in ["whsec_c2hvcnQ=", "my very own password", "", "whsk_AAAA"] {
            let text = format!("{:?}", read_one(wrong).unwrap_err());
            assert!(text.contains("expected `whsec_`") && !text.contains("password"), "{text}");
        }
    }

    #[test]
    fn a_new_secret_signs_and_a_key_pair_shows_its_public_half() {
        let secret = generate().unwrap();
        assert!(Secret::parse(secret.reveal()).is_ok());
        assert_eq!(shown(&secret), secret.reveal());
        let pair = SecretText::new(Secret::new_asymmetric([7; 32]).to_text().as_str());
        assert!(shown(&pair).starts_with("whpk_"));
    }
}
