//! Is a received request signed by somebody who knows a secret of its source? Says what is wrong with it, and never
//! which secret came close.
//!
//! Three families of headers are known: `webhook-*` and `svix-*` (Standard Webhooks: id and time are signed with the
//! body) and `x-webhook-signature` (the body alone). A family is there when its signature header is. Every family that
//! is there must hold, and one at least must be there: a good signature does not excuse a wrong one beside it.

use hookfast_core::model::SecretText;
use hookfast_core::{Error, UnixMs};
use hookfast_signing::{BodyHexKey, HEADER_BYTES_MAX, PublicKey, Secret, SignatureHeaders, Verifier, VerifyingKey};
use http::{HeaderMap, HeaderName};

/// The families that sign id and time: id, timestamp, signature.
const FAMILIES: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("webhook-id"),
        HeaderName::from_static("webhook-timestamp"),
        HeaderName::from_static("webhook-signature"),
    ],
    [
        HeaderName::from_static("svix-id"),
        HeaderName::from_static("svix-timestamp"),
        HeaderName::from_static("svix-signature"),
    ],
];
const BODY_HEX: HeaderName = HeaderName::from_static(BodyHexKey::HEADER);
const PUBLIC: &str = "whpk_";
const MS_PER_S: u64 = 1000;

/// Which signatures a source asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureRule {
    /// Any family suffices.
    Any,
    /// `webhook-*` or `svix-*`. `x-webhook-signature` does not suffice: it never grows old, so whoever has seen a
    /// request could send it again without the other headers.
    Standard,
    /// None: callers are known by their token or key alone.
    None,
}

/// The secrets of a source, ready to verify.
#[derive(Debug)]
pub(super) struct Keys {
    verifier: Verifier,
    /// Public keys have none: everybody knows them.
    body_hex: Vec<BodyHexKey>,
    rule: SignatureRule,
    tolerance_s: u64,
}

/// The keys of one secret.
///
/// `whpk_…` is a public key. Everything else is a secret, of which both forms are made that a sender makes of the same
/// text: for `x-webhook-signature` the bytes of the text; for the other families what `whsec_…` or `whsk_…` encode, and
/// of any other text its bytes.
fn keys_of(text: &str) -> Result<(VerifyingKey, Option<BodyHexKey>), hookfast_signing::Error> {
    if text.starts_with(PUBLIC) {
        return Ok((PublicKey::parse(text)?.verifying_key(), None));
    }
    let secret = Secret::parse(text).or_else(|_| Secret::from_bytes(text.as_bytes()))?;
    Ok((secret.verifying_key(), Some(BodyHexKey::new(text)?)))
}

/// What is wrong with a secret, if anything is.
pub(super) fn secret_fault(secret: &SecretText) -> Option<String> {
    keys_of(secret.reveal()).err().map(|error| error.to_string())
}

impl Keys {
    /// `None` when no signature is asked for.
    pub(super) fn new(secrets: &[SecretText], rule: SignatureRule, tolerance_ms: u64) -> Result<Option<Self>, Error> {
        if rule == SignatureRule::None {
            return Ok(None);
        }
        let (mut verifying, mut body_hex) = (Vec::new(), Vec::new());
        for secret in secrets {
            let keys = keys_of(secret.reveal()).map_err(|error| Error::invalid("secrets", error.to_string()))?;
            verifying.push(keys.0);
            body_hex.extend(keys.1);
        }
        let tolerance_s = tolerance_ms.div_ceil(MS_PER_S);
        let verifier = Verifier::new(verifying).with_tolerance_s(tolerance_s);
        Ok(Some(Self { verifier, body_hex, rule, tolerance_s }))
    }

    /// Do the signatures hold for these bytes at this time? The error is what to tell the caller.
    pub(super) fn check(&self, headers: &HeaderMap, body: &[u8], now: UnixMs) -> Result<(), String> {
        let mut suffices = false;
        for family in FAMILIES.iter().filter(|[.., signature]| headers.contains_key(signature)) {
            self.standard(family, headers, body, now.secs())?;
            suffices = true;
        }
        // With public keys alone it cannot be judged, and does not count.
        if headers.contains_key(BODY_HEX) && !self.body_hex.is_empty() {
            self.body_hex(headers, body)?;
            suffices |= self.rule == SignatureRule::Any;
        }
        if suffices { Ok(()) } else { Err(self.wanted()) }
    }

    fn wanted(&self) -> String {
        let standard = "the headers webhook-id, webhook-timestamp and webhook-signature (or svix-id, svix-timestamp and \
                        svix-signature)";
        match self.rule {
            SignatureRule::Any => format!("the request is not signed: expected {standard}, or {BODY_HEX}"),
            _ => format!("the request is not signed with its time: expected {standard}"),
        }
    }

    fn standard(&self, family: &[HeaderName; 3], headers: &HeaderMap, body: &[u8], now_s: i64) -> Result<(), String> {
        use hookfast_signing::Error;
        let of = |name| headers.get_all(name).iter().map(move |value| (name, value.as_bytes()));
        let found = SignatureHeaders::find(family.iter().flat_map(of)).map_err(|error| error.to_string())?;
        let [_, timestamp, signature] = family;
        self.verifier.verify(&found, body, now_s).map_err(|error| match (error, found.timestamp.parse::<i64>()) {
            (Error::TooOld, Ok(signed_s)) => format!(
                "{timestamp} is {} s old and at most {} s are accepted: sign each try anew, and do not repeat old requests",
                now_s.abs_diff(signed_s),
                self.tolerance_s
            ),
            (Error::TooNew, Ok(signed_s)) => format!(
                "{timestamp} lies {} s ahead and at most {} s are accepted: set the sender's clock",
                now_s.abs_diff(signed_s),
                self.tolerance_s
            ),
            (Error::NoMatch, _) => mismatch(signature),
            (error, _) => error.to_string(),
        })
    }

    fn body_hex(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let mut values = headers.get_all(BODY_HEX).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(format!("header {BODY_HEX} came more than once"));
        };
        let text = value.to_str().ok().filter(|text| text.len() <= HEADER_BYTES_MAX).unwrap_or_default();
        let holds = self.body_hex.iter().any(|key| key.verify(text, body).is_ok());
        if holds { Ok(()) } else { Err(mismatch(&BODY_HEX)) }
    }
}

fn mismatch(header: &HeaderName) -> String {
    format!("{header} matches no secret of this source: sign the bytes of the body as they are sent, with its secret")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const SECRET: &str = "any text, as the first system has it";
    const NOW: UnixMs = UnixMs(1_700_000_000_000);

    fn keys(rule: SignatureRule) -> Keys {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SECRET].map(SecretText::new);
        Keys::new(&secrets, rule, 300_000).unwrap().unwrap()
    }

    fn signed(text: &str, family: usize, age_s: i64, body: &[u8]) -> Vec<(HeaderName, String)> {
        let signer = Secret::parse(text).or_else(|_| Secret::from_bytes(text.as_bytes())).unwrap().signer();
        let (mut signature, timestamp) = (String::new(), (NOW.secs() - age_s).to_string());
        signer.sign_into(&mut signature, "id", &timestamp, body).unwrap();
        FAMILIES[family].iter().cloned().zip(["id".to_owned(), timestamp, signature]).collect()
    }

    fn hex(text: &str, body: &[u8]) -> Vec<(HeaderName, String)> {
        let mut signature = String::new();
        BodyHexKey::new(text).unwrap().sign_into(&mut signature, body);
        vec![(BODY_HEX, signature)]
    }

    fn check(keys: &Keys, headers: &[Vec<(HeaderName, String)>]) -> Result<(), String> {
        let headers = headers.iter().flatten();
        let headers = headers.map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        keys.check(&HeaderMap::from_iter(headers), b"body", NOW)
    }

    #[test]
    fn each_family_and_each_secret_suffices() {
        let keys = keys(SignatureRule::Any);
        for text in [SECRET, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            for headers in [signed(text, 0, 0, b"body"), signed(text, 1, 0, b"body"), hex(text, b"body")] {
                assert_eq!(check(&keys, &[headers]), Ok(()), "{text}");
            }
            let all = [signed(text, 0, 300, b"body"), signed(text, 1, -300, b"body"), hex(text, b"body")];
            assert_eq!(check(&keys, &all), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_wrong_one_beside_a_good_one_is_refused() {
        let keys = keys(SignatureRule::Any);
        let (good, plain) = (signed(SECRET, 0, 0, b"body"), hex(SECRET, b"body"));
        let wrong = [signed(SECRET, 1, 0, b"another"), signed("other", 1, 0, b"body"), hex("other", b"body")];
        for wrong in wrong {
            let error = check(&keys, &[good.clone(), wrong.clone()]).unwrap_err();
            assert!(error.contains("matches no secret"), "{error}");
            check(&keys, &[wrong]).unwrap_err();
        }
        let old = signed(SECRET, 1, 301, b"body");
        assert!(check(&keys, &[plain, old]).unwrap_err().contains("svix-timestamp is 301 s old and at most 300 s"));
        let ahead = check(&keys, &[signed(SECRET, 0, -4000, b"body")]).unwrap_err();
        assert!(ahead.contains("webhook-timestamp lies 4000 s ahead"), "{ahead}");
    }

    #[test]
    fn a_family_is_whole_and_comes_once() {
        let keys = keys(SignatureRule::Any);
        let mut halved = signed(SECRET, 0, 0, b"body");
        let twice = [halved.clone(), halved.clone()];
        assert_eq!(check(&keys, &twice).unwrap_err(), "header webhook-id came more than once");
        halved.remove(1);
        assert_eq!(check(&keys, &[halved.clone()]).unwrap_err(), "header webhook-timestamp is missing");
        halved.truncate(1);
        assert!(check(&keys, &[halved.clone()]).unwrap_err().starts_with("the request is not signed"));
        // An id alone claims nothing.
        assert_eq!(check(&keys, &[halved, hex(SECRET, b"body")]), Ok(()));
        let plain = [hex(SECRET, b"body"), hex(SECRET, b"body")];
        assert!(check(&keys, &plain).unwrap_err().contains("more than once"));
    }

    #[test]
    fn where_time_must_be_signed_the_plain_signature_does_not_suffice() {
        let keys = keys(SignatureRule::Standard);
        let plain = hex(SECRET, b"body");
        assert!(check(&keys, std::slice::from_ref(&plain)).unwrap_err().contains("not signed with its time"));
        assert_eq!(check(&keys, &[plain, signed(SECRET, 0, 0, b"body")]), Ok(()));
        check(&keys, &[hex("other", b"body"), signed(SECRET, 0, 0, b"body")]).unwrap_err();
    }

    #[test]
    fn a_public_key_is_no_secret() {
        let secret = Secret::new_asymmetric([7; 32]);
        let public = secret.public_key().unwrap().to_string();
        let keys = Keys::new(&[SecretText::new(public.as_str())], SignatureRule::Any, 300_000).unwrap().unwrap();
        assert_eq!(check(&keys, &[signed(&secret.to_text(), 0, 0, b"body")]), Ok(()));
        check(&keys, &[hex(&public, b"body")]).unwrap_err();
        check(&keys, &[signed(SECRET, 0, 0, b"body")]).unwrap_err();
        assert!(secret_fault(&SecretText::new("whpk_x")).is_some() && secret_fault(&SecretText::new("")).is_some());
        assert_eq!(secret_fault(&SecretText::new(SECRET)), None);
    }
}
