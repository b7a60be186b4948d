//! Checks signatures: strictly, in constant time, within bounds. Must not take a key from the request.

use crate::Error;
use crate::content::Content;
use crate::signer::keyed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// How far a timestamp may lie from now, in seconds, either way; exactly so far is still good.
pub const TOLERANCE_S: u64 = 300;
/// Of a signature header this many items are looked at; a sender with the most old secrets sends 11.
pub const ITEMS_MAX: usize = 16;
/// Longest signature header that is read.
pub const HEADER_BYTES_MAX: usize = 4096;

/// The two families of header names: id, timestamp, signature.
const FAMILIES: [[&str; 3]; 2] =
    [["webhook-id", "webhook-timestamp", "webhook-signature"], ["svix-id", "svix-timestamp", "svix-signature"]];

/// The three headers that say what was signed, and how.
#[derive(Clone, Copy, Debug)]
pub struct SignatureHeaders<'a> {
    /// Names the event; the same on every try.
    pub id: &'a str,
    /// Time of the try in seconds, as text.
    pub timestamp: &'a str,
    /// Signatures with spaces between them.
    pub signature: &'a str,
}

impl<'a> SignatureHeaders<'a> {
    /// Finds the headers among those of a request, whatever the case of their names: the `webhook-*` family if it is
    /// whole, else the `svix-*` one.
    ///
    /// # Errors
    /// When neither is whole, when one came twice, or one is not text.
    pub fn find<N: AsRef<str>>(headers: impl IntoIterator<Item = (N, &'a [u8])>) -> Result<Self, Error> {
        let mut found = [[None; 3]; 2];
        for (name, value) in headers {
            for (family, names) in FAMILIES.iter().enumerate() {
                for (index, wanted) in names.iter().enumerate() {
                    if name.as_ref().eq_ignore_ascii_case(wanted) && found[family][index].replace(value).is_some() {
                        return Err(Error::RepeatedHeader(wanted));
                    }
                }
            }
        }
        let is_whole = |family: usize| !found[family].contains(&None);
        let has_some = |family: usize| found[family].iter().any(Option::is_some);
        let chosen = usize::from(!is_whole(0) && (is_whole(1) || (has_some(1) && !has_some(0))));
        let [id, timestamp, signature] = [0, 1, 2].map(|index| text(found[chosen][index], FAMILIES[chosen][index]));
        Ok(Self { id: id?, timestamp: timestamp?, signature: signature? })
    }
}

fn text<'a>(value: Option<&'a [u8]>, name: &'static str) -> Result<&'a str, Error> {
    match value {
        None | Some([]) => Err(Error::MissingHeader(name)),
        Some(value) if value.len() > HEADER_BYTES_MAX => Err(Error::UnreadableHeader(name)),
        Some(value) => std::str::from_utf8(value).map_err(|_| Error::UnreadableHeader(name)),
    }
}

/// What one signature is checked with: a symmetric secret or a public key.
#[derive(Clone)]
pub struct VerifyingKey(Kind);

#[derive(Clone)]
enum Kind {
    Symmetric(Box<Hmac<Sha256>>),
    Asymmetric(Box<ed25519_dalek::VerifyingKey>),
}

impl VerifyingKey {
    pub(crate) fn symmetric(key: &[u8]) -> Self {
        Self(Kind::Symmetric(Box::new(keyed(key))))
    }

    pub(crate) fn asymmetric(key: ed25519_dalek::VerifyingKey) -> Self {
        Self(Kind::Asymmetric(Box::new(key)))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(***)")
    }
}

/// Checks requests against the keys that are trusted at the time (several, while one rotates).
#[derive(Clone, Debug)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    tolerance_s: u64,
}

impl Verifier {
    /// A verifier that trusts these keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        Self { keys: keys.into_iter().collect(), tolerance_s: TOLERANCE_S }
    }

    /// Another tolerance for the age of requests, in seconds.
    #[must_use]
    pub fn with_tolerance_s(mut self, tolerance_s: u64) -> Self {
        self.tolerance_s = tolerance_s;
        self
    }

    /// Is this request signed by one of the keys, and fresh at `now_s` (seconds since the epoch)?
    ///
    /// Items of unknown versions and malformed items are passed over. An error's text is fit for an answer.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, headers: &SignatureHeaders<'_>, body: &[u8], now_s: i64) -> Result<(), Error> {
        let content = Content::new(headers.id, headers.timestamp, body)?;
        let signed_s = content.seconds()?;
        if now_s.abs_diff(signed_s) > self.tolerance_s {
            return Err(if signed_s < now_s { Error::TooOld } else { Error::TooNew });
        }
        self.verify_content(&content, headers.signature)
    }

    /// The same without a look at the age. Whoever uses it accepts replays: it is for inspecting kept requests.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify_of_any_age(&self, headers: &SignatureHeaders<'_>, body: &[u8]) -> Result<(), Error> {
        self.verify_content(&Content::new(headers.id, headers.timestamp, body)?, headers.signature)
    }

    fn verify_content(&self, content: &Content<'_>, signature: &str) -> Result<(), Error> {
        if signature.len() > HEADER_BYTES_MAX {
            return Err(Error::UnreadableHeader(FAMILIES[0][2]));
        }
        let (symmetric, asymmetric) = decode_items(signature);
        let matches = self.keys.iter().any(|key| match &key.0 {
            Kind::Symmetric(keyed) if !symmetric.is_empty() => {
                let mac = content.mac(keyed);
                symmetric.iter().any(|claimed| bool::from(mac.ct_eq(claimed)))
            }
            Kind::Asymmetric(key) if !asymmetric.is_empty() => {
                let joined = content.joined();
                asymmetric.iter().any(|claimed| key.verify_strict(&joined, &claimed.into()).is_ok())
            }
            Kind::Symmetric(_) | Kind::Asymmetric(_) => false,
        });
        if matches { Ok(()) } else { Err(Error::NoMatch) }
    }
}

/// The well-formed items of a signature header, by version.
fn decode_items(signature: &str) -> (Vec<[u8; 32]>, Vec<[u8; 64]>) {
    let (mut symmetric, mut asymmetric) = (Vec::new(), Vec::new());
    for item in signature.split(' ').filter(|item| !item.is_empty()).take(ITEMS_MAX) {
        match item.split_once(',') {
            Some(("v1", encoded)) => symmetric.extend(decode(encoded)),
            Some(("v1a", encoded)) => asymmetric.extend(decode(encoded)),
            _ => {}
        }
    }
    (symmetric, asymmetric)
}

/// Exactly `N` bytes in canonical base64.
fn decode<const N: usize>(encoded: &str) -> Option<[u8; N]> {
    if encoded.len() != N.div_ceil(3) * 4 {
        return None;
    }
    STANDARD.decode(encoded).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
