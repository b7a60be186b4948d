//! What can go wrong when the engine is set up. At work it answers through its ports.

use hookfast_core::ErrorKind;

/// An error of the engine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A dispatcher serves one engine, once.
    #[error("this dispatcher was given to an engine before")]
    AlreadyStarted,
}

impl Error {
    /// What the caller can do about it.
    #[must_use]
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::AlreadyStarted => ErrorKind::Terminal,
        }
    }
}
