//! What can be wrong when a sink is made. What goes wrong in a try is an outcome, not an error.

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration is wrong.
    Invalid,
    /// It will never work on this machine.
    Terminal,
}

/// A sink could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The extra certificate authorities cannot be read.
    #[error("the extra certificate authorities must be certificates in PEM form: {0}")]
    ExtraCa(String),
    /// The user agent cannot be a header.
    #[error("the user agent must consist of printable ASCII characters")]
    UserAgent,
    /// TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The resolver could not be set up.
    #[error("the resolver could not be set up: {0}")]
    Resolver(String),
}

impl Error {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ExtraCa(_) | Self::UserAgent => ErrorKind::Invalid,
            Self::Tls(_) | Self::Resolver(_) => ErrorKind::Terminal,
        }
    }
}
