//! Secrets and public keys: their text forms, strictly read. Must not print a secret.

use crate::{Error, SECRET_BYTES_MAX, SECRET_BYTES_MIN, Signer, VerifyingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use std::fmt;
use zeroize::Zeroizing;

const SYMMETRIC: &str = "whsec_";
const ASYMMETRIC: &str = "whsk_";
const PUBLIC: &str = "whpk_";

/// What signs: a symmetric secret (`whsec_…`) or an ed25519 key pair (`whsk_…`). Wiped from memory when dropped;
/// its Debug form shows nothing.
#[derive(Clone)]
pub struct Secret(Kind);

#[derive(Clone)]
enum Kind {
    Symmetric(Zeroizing<Vec<u8>>),
    Asymmetric(Box<SigningKey>),
}

impl Secret {
    /// Reads `whsec_` + base64 of 24 to 75 bytes, or `whsk_` + base64 of 64 bytes (a 32-byte seed and its public
    /// key, which must belong together) or of the 32-byte seed alone.
    ///
    /// The base64 is the standard one, with padding and without stray bits: lenient readers disagree about others.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(encoded) = text.strip_prefix(SYMMETRIC) {
            return Self::symmetric(encoded);
        }
        let encoded = text.strip_prefix(ASYMMETRIC).ok_or(Error::Prefix)?;
        let bytes = decode(encoded)?;
        let key = match bytes.len() {
            64 => {
                let pair: Zeroizing<[u8; 64]> = Zeroizing::new(bytes.as_slice().try_into().map_err(|_| Error::Length)?);
                SigningKey::from_keypair_bytes(&pair).map_err(|_| Error::Key)?
            }
            32 => SigningKey::from_bytes(bytes.as_slice().try_into().map_err(|_| Error::Length)?),
            _ => return Err(Error::Length),
        };
        Ok(Self(Kind::Asymmetric(Box::new(key))))
    }

    /// The same, but text without a prefix is read as a symmetric secret.
    ///
    /// # Errors
    /// As [`Secret::parse`].
    pub fn parse_prefix_optional(text: &str) -> Result<Self, Error> {
        if text.starts_with(SYMMETRIC) || text.starts_with(ASYMMETRIC) {
            Self::parse(text)
        } else {
            Self::symmetric(text)
        }
    }

    /// A symmetric secret of these bytes, of any length but zero: for keys that are not written as `whsec_…`.
    ///
    /// # Errors
    /// When there are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::Length);
        }
        Ok(Self(Kind::Symmetric(Zeroizing::new(bytes.to_vec()))))
    }

    /// A new symmetric secret of 32 random bytes, which the caller must take from a cryptographic source.
    #[must_use]
    pub fn new_symmetric(random: [u8; 32]) -> Self {
        Self(Kind::Symmetric(Zeroizing::new(random.to_vec())))
    }

    /// A new key pair from 32 random bytes, which the caller must take from a cryptographic source.
    #[must_use]
    pub fn new_asymmetric(random: [u8; 32]) -> Self {
        Self(Kind::Asymmetric(Box::new(SigningKey::from_bytes(&random))))
    }

    /// Its text form: `whsec_…`, or `whsk_…` of seed and public key.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let (prefix, bytes) = match &self.0 {
            Kind::Symmetric(bytes) => (SYMMETRIC, bytes.clone()),
            Kind::Asymmetric(key) => (ASYMMETRIC, Zeroizing::new(key.to_keypair_bytes().to_vec())),
        };
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + bytes.len().div_ceil(3) * 4));
        text.push_str(prefix);
        STANDARD.encode_string(bytes.as_slice(), &mut text);
        text
    }

    /// The public key of a key pair, to be handed to receivers; a symmetric secret has none.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        match &self.0 {
            Kind::Symmetric(_) => None,
            Kind::Asymmetric(key) => Some(PublicKey(key.verifying_key())),
        }
    }

    /// What signs with it; keyed once, so keep it.
    #[must_use]
    pub fn signer(&self) -> Signer {
        match &self.0 {
            Kind::Symmetric(bytes) => Signer::symmetric(bytes),
            Kind::Asymmetric(key) => Signer::asymmetric(key),
        }
    }

    /// What verifies what it signs; keyed once, so keep it.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Kind::Symmetric(bytes) => VerifyingKey::symmetric(bytes),
            Kind::Asymmetric(key) => VerifyingKey::asymmetric(key.verifying_key()),
        }
    }

    fn symmetric(encoded: &str) -> Result<Self, Error> {
        let bytes = decode(encoded)?;
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err(Error::Length);
        }
        Ok(Self(Kind::Symmetric(bytes)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The public half of a key pair: `whpk_` + base64 of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Reads `whpk_…`.
    ///
    /// # Errors
    /// When it is anything else, or no point that an honest key pair has.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bytes = decode(text.strip_prefix(PUBLIC).ok_or(Error::Prefix)?)?;
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| Error::Length)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| Error::Key)?;
        if key.is_weak() { Err(Error::Key) } else { Ok(Self(key)) }
    }

    /// What verifies with it.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::asymmetric(self.0)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

fn decode(encoded: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Nothing valid is longer; this bounds the work before the length is known.
    if encoded.len() > 2 * SECRET_BYTES_MAX {
        return Err(Error::Length);
    }
    STANDARD.decode(encoded).map(Zeroizing::new).map_err(|_| Error::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLIC_TEXT: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

    #[test]
    fn a_key_pair_has_its_published_public_key() {
        let secret = Secret::parse(PAIR).unwrap();
        assert_eq!(secret.public_key().unwrap().to_string(), PUBLIC_TEXT);
        assert_eq!(secret.to_text().as_str(), PAIR);
        assert_eq!(PublicKey::parse(PUBLIC_TEXT).unwrap(), secret.public_key().unwrap());
    }

    #[test]
    fn a_seed_alone_is_the_same_key_pair() {
        let bytes = STANDARD.decode(PAIR.strip_prefix("whsk_").unwrap()).unwrap();
        let seed = format!("whsk_{}", STANDARD.encode(&bytes[..32]));
        assert_eq!(Secret::parse(&seed).unwrap().to_text().as_str(), PAIR);
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        let mut bytes = STANDARD.decode(PAIR.strip_prefix("whsk_").unwrap()).unwrap();
        bytes[0] ^= 1;
        assert_eq!(Secret::parse(&format!("whsk_{}", STANDARD.encode(&bytes))).err(), Some(Error::Key));
    }

    #[test]
    fn the_range_of_lengths_is_kept() {
        for (len, good) in [(0, false), (1, false), (23, false), (24, true), (64, true), (75, true), (76, false)] {
            let text = format!("whsec_{}", STANDARD.encode(vec![7u8; len]));
            assert_eq!(Secret::parse(&text).is_ok(), good, "{len}");
        }
        for len in [0, 31, 33, 63, 65] {
            let text = format!("whsk_{}", STANDARD.encode(vec![7u8; len]));
            assert!(Secret::parse(&text).is_err(), "{len}");
        }
    }

    #[test]
    fn the_prefix_is_optional_only_where_said() {
        let bare = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(Secret::parse(bare).err(), Some(Error::Prefix));
        assert_eq!(Secret::parse_prefix_optional(bare).unwrap().to_text().as_str(), format!("whsec_{bare}"));
        for text in ["", "whsec_", "whsk_", "whpk_", PUBLIC_TEXT] {
            assert!(Secret::parse(text).is_err() && Secret::parse_prefix_optional(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lenient_base64_is_refused() {
        for text in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr==",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
            "whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert_eq!(Secret::parse(text).err(), Some(Error::Base64), "{text:?}");
        }
        assert!(Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBg==").is_ok());
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::parse(PAIR).unwrap()), "Secret(***)");
        let signer = format!("{:?}", Secret::parse(PAIR).unwrap().signer());
        assert_eq!(signer, "Signer(***)");
    }

    proptest! {
        #[test]
        fn text_round_trips(random: [u8; 32]) {
            for secret in [Secret::new_symmetric(random), Secret::new_asymmetric(random)] {
                let text = secret.to_text();
                let again = Secret::parse(&text).unwrap().to_text();
                prop_assert_eq!(again.as_str(), text.as_str());
            }
        }

        #[test]
        fn no_text_panics(text in "(whsec_|whsk_|whpk_)?\\PC{0,120}") {
            let _ = Secret::parse(&text);
            let _ = Secret::parse_prefix_optional(&text);
            let _ = PublicKey::parse(&text);
        }
    }
}
