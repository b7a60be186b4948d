//! The error every port answers with. Other crates turn their own errors into it at their edge.

/// What a caller can do about an error. The engine and the API branch on this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later.
    Retryable,
    /// The same call will never succeed.
    Terminal,
    /// It contradicts something that exists.
    Conflict,
    /// The thing named does not exist.
    NotFound,
    /// Refused to protect the service; try again after a while.
    Overloaded,
    /// The input is wrong.
    Invalid,
}

impl ErrorKind {
    /// The word for it in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "unavailable",
            Self::Terminal => "terminal",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Overloaded => "overloaded",
            Self::Invalid => "invalid",
        }
    }
}

/// An error at a port of the house.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One field of the input is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// Path of the field, dotted.
        field: String,
        /// What was expected and what came.
        reason: String,
    },
    /// The named thing does not exist (or belongs to somebody else).
    #[error("{what} not found")]
    NotFound {
        /// The kind of thing: `application`, `endpoint`, …
        what: &'static str,
    },
    /// It contradicts something that exists.
    #[error("{reason}")]
    Conflict {
        /// A stable machine-readable code.
        code: &'static str,
        /// What it contradicts.
        reason: String,
    },
    /// Refused to protect the service.
    #[error("{reason}")]
    Overloaded {
        /// Which limit was reached.
        reason: &'static str,
        /// When it makes sense to try again.
        retry_after_ms: u64,
    },
    /// A component is away; the same call may succeed later.
    #[error("{reason}")]
    Unavailable {
        /// Which component, and how it failed.
        reason: String,
    },
    /// The same call will never succeed.
    #[error("{reason}")]
    Terminal {
        /// What is wrong.
        reason: String,
    },
}

/// Result at a port.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A wrong field.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Unavailable { .. } => ErrorKind::Retryable,
            Self::Terminal { .. } => ErrorKind::Terminal,
        }
    }
}
