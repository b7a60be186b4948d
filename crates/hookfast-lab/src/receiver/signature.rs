//! Verifies what a receiver gets, as a receiver's owner would: by the signing crate alone. Knows no sockets.

use crate::wire::Fields;
use crate::{Error, Result};
use hookfast_signing::{PublicKey, Secret, SignatureHeaders, Verifier};

/// Verifies requests with one secret or public key.
pub(super) struct Checker(Verifier);

impl Checker {
    /// `whsec_…`, `whsk_…` or `whpk_…`; the prefix of the first may be missing.
    pub(super) fn new(secret: &str) -> Result<Self> {
        let key = if secret.starts_with("whpk_") {
            PublicKey::parse(secret).map(|key| key.verifying_key())
        } else {
            Secret::parse_prefix_optional(secret).map(|secret| secret.verifying_key())
        };
        let key = key.map_err(|error| Error::Invalid { field: "secret", reason: error.to_string() })?;
        Ok(Self(Verifier::new([key])))
    }

    /// What is wrong with the signature of a request that arrived at `now_us`, if anything.
    pub(super) fn fault(&self, fields: Fields<'_>, body: &[u8], now_us: u64) -> Option<String> {
        let named = fields.iter().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
        let now_s = i64::try_from(now_us / 1_000_000).unwrap_or(i64::MAX);
        let verdict = SignatureHeaders::find(named).and_then(|headers| self.0.verify(&headers, body, now_s));
        verdict.err().map(|error| error.to_string())
    }
}
