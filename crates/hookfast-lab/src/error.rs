//! What can go wrong in the lab. Knows nothing of who asked.

use hookfast_core::ErrorKind;
use std::io;

/// A failure of the rig itself, or of a call it made; what a server under test does wrong is a finding of the judge.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and to what.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// An HTTP exchange broke before its end; it may have had its effect.
    #[error("{what}: {reason}")]
    Exchange {
        /// What was called.
        what: String,
        /// How it broke.
        reason: String,
    },
    /// The server answered, but not as the call needs it.
    #[error("{what}: status {status}: {body}")]
    Answer {
        /// What was called.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// Something given to the lab is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// What is wrong.
        field: &'static str,
        /// What was expected and what came.
        reason: String,
    },
    /// A child process did not become ready, or ended when it should not.
    #[error("server process: {reason}")]
    Process {
        /// What happened, with the end of its log.
        reason: String,
    },
}

/// Result in the lab.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Exchange { .. } => ErrorKind::Retryable,
            Self::Answer { status, .. } => match status {
                404 => ErrorKind::NotFound,
                409 => ErrorKind::Conflict,
                429 | 503 => ErrorKind::Overloaded,
                400..=499 => ErrorKind::Invalid,
                _ => ErrorKind::Retryable,
            },
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Process { .. } => ErrorKind::Terminal,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
