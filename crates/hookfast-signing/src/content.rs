//! What is signed: `{id}.{timestamp}.{body}`, and which ids and timestamps may stand in it. Must not know keys.

use crate::{Error, ID_BYTES_MAX};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The signed content, in its three parts.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    id: &'a str,
    timestamp: &'a str,
    body: &'a [u8],
}

impl<'a> Content<'a> {
    /// A full stop separates the parts, so an id with one could be read in two ways.
    pub(crate) fn new(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> Result<Self, Error> {
        let id_is_good =
            (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
        if !id_is_good {
            return Err(Error::Id);
        }
        // 19 digits always fit into an i64 or are refused by the parser that compares them with the time.
        if !(1..=19).contains(&timestamp.len()) || !timestamp.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::Timestamp);
        }
        Ok(Self { id, timestamp, body })
    }

    /// HMAC-SHA256 of the content, from a state that already holds the key.
    pub(crate) fn mac(&self, keyed: &Hmac<Sha256>) -> [u8; 32] {
        let mut mac = keyed.clone();
        mac.update(self.id.as_bytes());
        mac.update(b".");
        mac.update(self.timestamp.as_bytes());
        mac.update(b".");
        mac.update(self.body);
        mac.finalize().into_bytes().into()
    }

    /// The content in one piece, as ed25519 needs it.
    pub(crate) fn joined(&self) -> Vec<u8> {
        let mut joined = Vec::with_capacity(self.id.len() + self.timestamp.len() + self.body.len() + 2);
        joined.extend_from_slice(self.id.as_bytes());
        joined.push(b'.');
        joined.extend_from_slice(self.timestamp.as_bytes());
        joined.push(b'.');
        joined.extend_from_slice(self.body);
        joined
    }

    /// The timestamp as a number.
    pub(crate) fn seconds(&self) -> Result<i64, Error> {
        self.timestamp.parse().map_err(|_| Error::Timestamp)
    }
}
