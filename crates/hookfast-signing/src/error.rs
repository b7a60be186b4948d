//! What can be wrong with a secret, with what is to be signed, or with a signature. Must never hold a secret.

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Somebody's configuration or input is wrong.
    Invalid,
    /// The request is not from whom it claims to be, or not fresh.
    Refused,
}

/// An error of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A secret or key does not start as it should.
    #[error("a secret starts with whsec_ or whsk_, a public key with whpk_")]
    Prefix,
    /// A secret or key is not standard base64 with padding.
    #[error("what follows the prefix must be standard base64 with its padding")]
    Base64,
    /// A secret or key has the wrong length.
    #[error("a whsec_ secret has 24 to 75 bytes, a whsk_ key 32 or 64, a whpk_ key 32")]
    Length,
    /// The two halves of a `whsk_` key do not belong together, or a public key is no point of the curve.
    #[error("the key is not a valid ed25519 key")]
    Key,
    /// An id may not be signed or verified.
    #[error("an id has 1 to 256 printable ASCII characters and no full stop")]
    Id,
    /// A timestamp may not be signed or verified.
    #[error("a timestamp is a number of seconds, in digits alone")]
    Timestamp,
    /// A header is missing or empty.
    #[error("header {0} is missing")]
    MissingHeader(&'static str),
    /// A header came twice.
    #[error("header {0} came more than once")]
    RepeatedHeader(&'static str),
    /// A header is not text or too long.
    #[error("header {0} cannot be read")]
    UnreadableHeader(&'static str),
    /// The timestamp is too far in the past.
    #[error("the timestamp is too old")]
    TooOld,
    /// The timestamp is too far in the future.
    #[error("the timestamp is too far in the future")]
    TooNew,
    /// No signature matches.
    #[error("no signature matches")]
    NoMatch,
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Prefix | Self::Base64 | Self::Length | Self::Key | Self::Id | Self::Timestamp => ErrorKind::Invalid,
            Self::MissingHeader(_) | Self::RepeatedHeader(_) | Self::UnreadableHeader(_) => ErrorKind::Refused,
            Self::TooOld | Self::TooNew | Self::NoMatch => ErrorKind::Refused,
        }
    }
}
