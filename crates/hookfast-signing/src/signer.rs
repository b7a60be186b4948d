//! Makes signatures. Must not know which headers carry them.

use crate::Error;
use crate::content::Content;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Signs with one secret. Made once per secret: it holds the state after the key, so that a signature costs the
/// hashing of its content alone.
#[derive(Clone)]
pub struct Signer(Kind);

#[derive(Clone)]
enum Kind {
    Symmetric(Box<Hmac<Sha256>>),
    Asymmetric(Box<SigningKey>),
}

impl Signer {
    pub(crate) fn symmetric(key: &[u8]) -> Self {
        Self(Kind::Symmetric(Box::new(keyed(key))))
    }

    pub(crate) fn asymmetric(key: &SigningKey) -> Self {
        Self(Kind::Asymmetric(Box::new(key.clone())))
    }

    /// Appends `v1,<base64>` or `v1a,<base64>` to `out`. `timestamp` is in seconds, as the text that is sent.
    ///
    /// # Errors
    /// When the id or the timestamp may not be signed; `out` is unchanged then.
    pub fn sign_into(&self, out: &mut String, id: &str, timestamp: &str, body: &[u8]) -> Result<(), Error> {
        self.append(out, &Content::new(id, timestamp, body)?);
        Ok(())
    }

    fn append(&self, out: &mut String, content: &Content<'_>) {
        match &self.0 {
            Kind::Symmetric(keyed) => {
                out.push_str("v1,");
                STANDARD.encode_string(content.mac(keyed), out);
            }
            Kind::Asymmetric(key) => {
                out.push_str("v1a,");
                STANDARD.encode_string(key.sign(&content.joined()).to_bytes(), out);
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

/// Appends the signatures of several secrets, with one space between them: what a receiver gets while a secret
/// rotates.
///
/// # Errors
/// When the id or the timestamp may not be signed; `out` is unchanged then.
pub fn sign_all_into<'a>(
    signers: impl IntoIterator<Item = &'a Signer>,
    out: &mut String,
    id: &str,
    timestamp: &str,
    body: &[u8],
) -> Result<(), Error> {
    let content = Content::new(id, timestamp, body)?;
    for (index, signer) in signers.into_iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        signer.append(out, &content);
    }
    Ok(())
}

/// HMAC-SHA256 after its key: one longer than a block is hashed first, as the standard says.
pub(crate) fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    if key.len() <= block.len() {
        block[..key.len()].copy_from_slice(key);
    } else {
        let hashed = Sha256::digest(key);
        block[..hashed.len()].copy_from_slice(&hashed);
    }
    Hmac::<Sha256>::new(&block)
}
