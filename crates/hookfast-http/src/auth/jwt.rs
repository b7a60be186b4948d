//! HS256 tokens: `sub` is an organisation (`org_…`), or an application (`app_…`) with its organisation in `org`.
//! Time comes in; `iss` and `aud` are not looked at; no other algorithm is accepted.

use hookfast_core::model::{Principal, Scope, SecretText};
use hookfast_core::{AppId, OrgId, UnixMs};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    org: Option<String>,
    // Numbers of seconds, which some makers write with a fraction.
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// Checks tokens against one secret.
pub(crate) struct JwtChecker {
    key: DecodingKey,
    validation: Validation,
    secret_hash: [u8; 32],
}

impl fmt::Debug for JwtChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtChecker(***)")
    }
}

impl JwtChecker {
    pub(crate) fn new(secret: &SecretText) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // The times are judged below, by the clock that was passed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self {
            key: DecodingKey::from_secret(secret.reveal().as_bytes()),
            validation,
            secret_hash: Sha256::digest(secret.reveal()).into(),
        }
    }

    /// Who the token stands for; else a sentence that says what is wrong with it.
    pub(crate) fn check(&self, text: &str, wall: UnixMs) -> Result<Principal, &'static str> {
        let claims = match decode::<Claims>(text, &self.key, &self.validation) {
            Ok(data) => data.claims,
            Err(_) if self.is_secret(text) => {
                return Err("this is the secret that signs tokens, not a token: make one with `hookfast token create`");
            }
            Err(error) => return Err(refusal(error.kind())),
        };
        let now_s = wall.secs() as f64;
        if claims.exp.is_some_and(|exp| exp <= now_s) {
            return Err("the token has expired");
        }
        if claims.nbf.is_some_and(|nbf| nbf > now_s) {
            return Err("the token is not valid yet");
        }
        principal_of(&claims)
    }

    /// By hash, so that the time it takes tells nothing about the secret.
    fn is_secret(&self, text: &str) -> bool {
        <[u8; 32]>::from(Sha256::digest(text)) == self.secret_hash
    }
}

fn principal_of(claims: &Claims) -> Result<Principal, &'static str> {
    let sub = claims.sub.as_deref().unwrap_or("");
    if let Ok(org) = sub.parse::<OrgId>() {
        return Ok(Principal { org, scope: Scope::Org });
    }
    if !sub.starts_with(AppId::PREFIX) {
        return Err("the token's `sub` is neither an organisation (org_…) nor an application (app_…)");
    }
    match claims.org.as_deref().map(str::parse::<OrgId>) {
        Some(Ok(org)) => Ok(Principal { org, scope: Scope::App(sub.into()) }),
        _ => Err("the token's `sub` is an application, but its `org` is not an organisation (org_…)"),
    }
}

fn refusal(kind: &jsonwebtoken::errors::ErrorKind) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match kind {
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "the token's algorithm is not HS256"
        }
        ErrorKind::InvalidSignature => "the token's signature does not match",
        ErrorKind::Json(_) => "the token's header or claims are not what a token has",
        _ => "the token is neither one of this server's (hf_…) nor a signed one (three parts with dots)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const ORG: &str = "org_23rb8YdGqMT0qIzpgGwdXfHirMu";
    const APP: &str = "app_0000000000000000000042";
    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn checker() -> JwtChecker {
        JwtChecker::new(&SecretText::new("a secret"))
    }

    fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn check(claims: &Value) -> Result<Principal, &'static str> {
        checker().check(&signed(Algorithm::HS256, "a secret", claims), NOW)
    }

    #[test]
    fn an_organisation_and_an_application_are_known() {
        let org: OrgId = ORG.parse().unwrap();
        let claims = json!({"sub": ORG, "iss": "anybody", "aud": "anything", "iat": 1, "exp": 1_700_000_001});
        assert_eq!(check(&claims), Ok(Principal { org: org.clone(), scope: Scope::Org }));
        let claims = json!({"sub": APP, "org": ORG, "exp": 1_700_000_000.5});
        assert_eq!(check(&claims), Ok(Principal { org, scope: Scope::App(APP.into()) }));
    }

    #[test]
    fn wrong_tokens_are_told_what_is_wrong() {
        let wrong = |claims: Value, part: &str| {
            let error = check(&claims).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        wrong(json!({"sub": ORG, "exp": 1_700_000_000}), "expired");
        wrong(json!({"sub": ORG, "nbf": 1_700_000_001}), "not valid yet");
        wrong(json!({"sub": "user_1"}), "neither");
        wrong(json!({}), "neither");
        wrong(json!({"sub": APP}), "`org`");
        wrong(json!({"sub": APP, "org": "nobody"}), "`org`");
        wrong(json!({"sub": 5}), "claims");
        let by = |text: &str| checker().check(text, NOW).unwrap_err();
        assert!(by(&signed(Algorithm::HS256, "another", &json!({"sub": ORG}))).contains("signature"));
        assert!(by(&signed(Algorithm::HS512, "a secret", &json!({"sub": ORG}))).contains("HS256"));
        assert!(by("eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcmdfMSJ9.").len() > 10);
        assert!(by("a secret").contains("secret that signs"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}", header in "[A-Za-z0-9_-]{0,40}", claims in "[A-Za-z0-9_-]{0,40}") {
            prop_assert!(checker().check(&text, NOW).is_err());
            let dotted = format!("{header}.{claims}.{text}");
            prop_assert!(checker().check(&dotted, NOW).is_err());
        }
    }
}
