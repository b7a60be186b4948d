//! Idempotency keys: what the caller sent, hashed with who calls what. The store remembers the hashes.

use crate::auth::Caller;
use crate::error::ApiError;
use hookfast_core::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use hookfast_core::model::{CallerKey, Scope};
use http::request::Parts;
use sha2::{Digest, Sha256};

const HEADER: &str = "idempotency-key";

/// The hash of a caller's idempotency key and its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(pub(crate) [u8; 16]);

impl IdempotencyKey {
    /// Reads the header of a request whose caller is known.
    ///
    /// # Errors
    /// 400 when the key is empty or longer than 256 bytes.
    pub(crate) fn of(parts: &Parts) -> Result<Option<Self>, ApiError> {
        let Some(key) = parts.headers.get(HEADER) else { return Ok(None) };
        if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            let detail = format!("{HEADER}: expected 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes, got {}", key.len());
            return Err(ApiError::bad_request("invalid_idempotency_key", detail));
        }
        let principal = &Caller::of(parts)?.principal;
        let scope = match &principal.scope {
            Scope::Org => "",
            Scope::App(app) => app,
        };
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let mut hash = Sha256::new();
        for part in
            [principal.org.as_str().as_bytes(), scope.as_bytes(), key.as_bytes(), parts.method.as_str().as_bytes()]
        {
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            hash.update(part);
        }
        hash.update(target);
        Ok(Some(Self(first_half(hash.finalize().into()))))
    }

    /// Together with the hash of what is asked for.
    pub(crate) fn with_body(self, body: &[u8]) -> CallerKey {
        CallerKey { key_hash: self.0, body_hash: first_half(Sha256::digest(body).into()) }
    }
}

fn first_half(hash: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_core::OrgId;
    use hookfast_core::model::{Origin, Principal};
    use std::collections::HashSet;

    fn hash(org: &str, scope: Scope, key: &str, method: &str, target: &str) -> Option<[u8; 16]> {
        let request = http::Request::builder().method(method).uri(target).header(HEADER, key).body(()).unwrap();
        let mut parts = request.into_parts().0;
        let principal = Principal { org: org.parse::<OrgId>().unwrap(), scope };
        parts.extensions.insert(Caller { principal, origin: Origin::of("api") });
        IdempotencyKey::of(&parts).ok()?.map(|key| key.0)
    }

    #[test]
    fn the_same_call_has_the_same_hash_and_any_other_another() {
        let base = || hash("org_a", Scope::Org, "k", "POST", "/api/v1/app?x=1");
        assert!(base().is_some());
        assert_eq!(base(), base());
        let others = [
            base(),
            hash("org_b", Scope::Org, "k", "POST", "/api/v1/app?x=1"),
            hash("org_a", Scope::App("k".into()), "k", "POST", "/api/v1/app?x=1"),
            hash("org_a", Scope::Org, "l", "POST", "/api/v1/app?x=1"),
            hash("org_a", Scope::Org, "k", "PUT", "/api/v1/app?x=1"),
            hash("org_a", Scope::Org, "k", "POST", "/api/v1/app?x=2"),
            hash("org_a", Scope::Org, "k", "POST", "/api/v1/app"),
        ];
        assert_eq!(others.iter().collect::<HashSet<_>>().len(), others.len());
    }

    #[test]
    fn a_key_has_1_to_256_bytes() {
        assert!(hash("org_a", Scope::Org, &"k".repeat(256), "POST", "/").is_some());
        assert!(hash("org_a", Scope::Org, &"k".repeat(257), "POST", "/").is_none());
        assert!(hash("org_a", Scope::Org, "", "POST", "/").is_none());
    }
}
