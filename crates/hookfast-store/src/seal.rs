//! Secrets at rest: AES-256-GCM under a configured key, or plain when none is configured. Knows no store.
//!
//! Format: one byte 0 and the plain bytes, or one byte 1, a random 96-bit nonce and the sealed bytes with their
//! tag. The place a secret belongs to is authenticated with it, so that rows cannot be swapped.

use crate::{Error, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// Seals and opens secrets.
#[derive(Debug)]
pub struct Sealer {
    key: Option<LessSafeKey>,
}

impl Sealer {
    /// With a key text of any form (32 random characters or more are advised), or without.
    ///
    /// # Errors
    /// [`Error::Seal`] when the key cannot be used.
    pub fn new(key: Option<&str>) -> Result<Self> {
        let key = key
            .map(|text| {
                let digest = Sha256::digest(text.as_bytes());
                UnboundKey::new(&AES_256_GCM, &digest).map(LessSafeKey::new)
            })
            .transpose()
            .map_err(|_| Error::Seal { reason: "the key cannot be used" })?;
        Ok(Self { key })
    }

    /// Is a key configured?
    #[must_use]
    pub fn seals(&self) -> bool {
        self.key.is_some()
    }

    /// Seals `plain`, which belongs to `place`.
    ///
    /// # Errors
    /// [`Error::Seal`] when there is no randomness to be had.
    pub fn seal(&self, place: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let Some(key) = &self.key else {
            return Ok([&[PLAIN], plain].concat());
        };
        let mut nonce = [0u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Error::Seal { reason: "no randomness" })?;
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut sealed)
            .map_err(|_| Error::Seal { reason: "sealing failed" })?;
        Ok([&[SEALED], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Sealer::seal`] made for the same place.
    ///
    /// # Errors
    /// [`Error::Seal`] when it was sealed with another key or for another place, was cut short, or no key is there.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let wrong = Error::Seal { reason: "they were sealed with another key, or are damaged" };
        match sealed.split_first() {
            Some((&PLAIN, plain)) => Ok(plain.to_vec()),
            Some((&SEALED, rest)) => {
                let key = self.key.as_ref().ok_or(Error::Seal { reason: "they are sealed and no key was given" })?;
                let Some((nonce, body)) = rest.split_at_checked(NONCE_LEN) else { return Err(wrong) };
                let Ok(nonce) = Nonce::try_assume_unique_for_key(nonce) else { return Err(wrong) };
                let mut body = body.to_vec();
                match key.open_in_place(nonce, Aad::from(place), &mut body) {
                    Ok(plain) => Ok(plain.to_vec()),
                    Err(_) => Err(wrong),
                }
            }
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_secrets_open_only_with_their_key_and_at_their_place() {
        let sealer = Sealer::new(Some("correct horse battery staple")).unwrap();
        let sealed = sealer.seal(b"ep_1", b"whsec_x").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"whsec_x"));
        assert_eq!(sealer.open(b"ep_1", &sealed).unwrap(), b"whsec_x");
        assert!(sealer.open(b"ep_2", &sealed).is_err());
        assert!(Sealer::new(Some("another")).unwrap().open(b"ep_1", &sealed).is_err());
        assert!(Sealer::new(None).unwrap().open(b"ep_1", &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(sealer.open(b"ep_1", &sealed[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn without_a_key_secrets_are_kept_as_they_are_and_stay_readable_when_a_key_comes() {
        let plain = Sealer::new(None).unwrap().seal(b"ep_1", b"whsec_x").unwrap();
        assert_eq!(Sealer::new(Some("k")).unwrap().open(b"ep_1", &plain).unwrap(), b"whsec_x");
    }
}
