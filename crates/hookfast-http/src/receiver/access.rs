//! Callers known by a bearer token or an API key: compared as hashes, all of them, in constant time. Must not tell
//! which one came close.

use crate::auth::{bearer, opaque};
use crate::error::ApiError;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use hookfast_core::model::SecretText;
use http::{HeaderMap, HeaderName};

/// What a caller shows. With both kinds either will do; with none nothing is asked.
#[derive(Debug)]
pub(super) struct Passes {
    bearer: Vec<[u8; 32]>,
    api_key: Option<(HeaderName, Vec<[u8; 32]>)>,
}

impl Passes {
    pub(super) fn new(bearer_tokens: &[SecretText], api_keys: Option<(HeaderName, &[SecretText])>) -> Self {
        Self { bearer: hashes(bearer_tokens), api_key: api_keys.map(|(name, keys)| (name, hashes(keys))) }
    }

    /// 401 for who shows none that is known.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.bearer.is_empty() && self.api_key.is_none() {
            return Ok(());
        }
        let by_token = !self.bearer.is_empty() && bearer(headers).is_ok_and(|token| is_known(&self.bearer, token));
        let by_key = self.api_key.as_ref().is_some_and(|(name, keys)| {
            let mut values = headers.get_all(name).iter();
            let only = values.next().filter(|_| values.next().is_none());
            only.and_then(|value| value.to_str().ok()).is_some_and(|key| is_known(keys, key.trim()))
        });
        if by_token || by_key { Ok(()) } else { Err(ApiError::unauthenticated(self.wanted())) }
    }

    fn wanted(&self) -> String {
        let token = (!self.bearer.is_empty()).then(|| "`authorization: Bearer <token>` with a token".to_owned());
        let key = self.api_key.as_ref().map(|(name, _)| format!("`{name}: <key>` with a key"));
        let wanted: Vec<String> = token.into_iter().chain(key).collect();
        format!("expected the header {} of this source", wanted.join(", or "))
    }
}

fn hashes(secrets: &[SecretText]) -> Vec<[u8; 32]> {
    secrets.iter().map(|secret| opaque::hash(secret.reveal())).collect()
}

/// Looks at all of them, whichever matches.
fn is_known(known: &[[u8; 32]], shown: &str) -> bool {
    let shown = opaque::hash(shown);
    known.iter().fold(false, |found, one| verify_slices_are_equal(one, &shown).is_ok() | found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn a_token_or_a_key_passes_and_nothing_else_does() {
        let secrets = ["one", "two"].map(SecretText::new);
        let name = HeaderName::from_static("x-api-key");
        let (tokens, keys) = (Passes::new(&secrets, None), Passes::new(&[], Some((name.clone(), &secrets))));
        let both = Passes::new(&secrets[..1], Some((name, &secrets[1..])));
        let bearer = headers(&[("authorization", "Bearer two")]);
        let key = headers(&[("x-api-key", "two")]);
        assert!(tokens.check(&bearer).is_ok() && keys.check(&key).is_ok() && both.check(&key).is_ok());
        for (passes, shown) in [(&tokens, &key), (&keys, &bearer), (&both, &bearer)] {
            passes.check(shown).unwrap_err();
        }
        for wrong in
            [&[][..], &[("x-api-key", "three")], &[("x-api-key", "")], &[("x-api-key", "two"), ("x-api-key", "two")]]
        {
            let wrong = wrong.iter().fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(*name, HeaderValue::from_static(value));
                map
            });
            keys.check(&wrong).unwrap_err();
        }
        assert!(both.wanted().contains("Bearer") && both.wanted().contains("x-api-key"));
        assert!(Passes::new(&[], None).check(&HeaderMap::new()).is_ok());
    }
}
