//! What can go wrong in a store, and what it means at the ports.

use crate::postgres::Class;
use hookfast_core::ErrorKind;
use std::path::PathBuf;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be made or written.
    #[error("data directory {path} cannot be used: {source}", path = path.display())]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process holds the data directory.
    #[error("data directory {path} is in use by another hookfast process{holder}", path = path.display(), holder = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked {
        /// Which one.
        path: PathBuf,
        /// Who holds it, if it said so.
        pid: Option<u32>,
    },
    /// The store was written by a newer hookfast.
    #[error("the store has schema {found}, this binary knows up to {known}: use a newer hookfast")]
    NewerSchema {
        /// Version found.
        found: u32,
        /// Newest version known.
        known: u32,
    },
    /// A migration that was applied differs from the one in this binary.
    #[error("migration {version} in the store differs from the one in this binary")]
    ChangedMigration {
        /// Which one.
        version: u32,
    },
    /// The linked SQLite is too old to be trusted with a WAL.
    #[error("SQLite {found} is linked, at least 3.51.3 is needed")]
    OldSqlite {
        /// Version found.
        found: &'static str,
    },
    /// Another incarnation took the store over.
    #[error("the store was opened by a newer incarnation of this node")]
    Fenced,
    /// The secrets of the store are sealed with another key, or sealed and no key was given.
    #[error("secrets in the store cannot be read: {reason}")]
    Seal {
        /// Why.
        reason: &'static str,
    },
    /// A row does not read as what it should be.
    #[error("the store holds a damaged {what}")]
    Damaged {
        /// What kind of thing.
        what: &'static str,
    },
    /// A file could not be read or written.
    #[error("store file: {0}")]
    Io(#[from] std::io::Error),
    /// The database said no.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The database server cannot be used.
    #[error("PostgreSQL: {reason}")]
    Connect {
        /// Why, and what to do.
        reason: String,
    },
    /// Every connection to the database server is in use.
    #[error("all connections to PostgreSQL are in use")]
    Busy,
    /// The database server did not answer in time.
    #[error("PostgreSQL does not answer")]
    Silent,
    /// The database server said no, or went away.
    #[error("PostgreSQL: {}", crate::postgres::describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The schema is older than this binary, and it was told not to change it.
    #[error("the store has schema {found}, this binary needs {known}: run `hookfast migrate up`")]
    OlderSchema {
        /// Version found.
        found: u32,
        /// Version needed.
        known: u32,
    },
    /// An error meant for the caller.
    #[error(transparent)]
    Port(#[from] hookfast_core::Error),
}

/// Result within the store.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What can be done about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Port(error) => error.kind(),
            Self::Sqlite(_) if self.is_disk_full() => ErrorKind::Overloaded,
            Self::Sqlite(_) if self.is_busy() => ErrorKind::Retryable,
            Self::Connect { .. } | Self::Silent => ErrorKind::Retryable,
            Self::Busy => ErrorKind::Overloaded,
            Self::Postgres(error) => match crate::postgres::classify(error) {
                Class::Lost | Class::Again => ErrorKind::Retryable,
                Class::Full => ErrorKind::Overloaded,
                Class::Data => ErrorKind::Invalid,
                Class::Refused => ErrorKind::Terminal,
            },
            _ => ErrorKind::Terminal,
        }
    }

    fn sqlite_code(&self) -> Option<rusqlite::ErrorCode> {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => Some(failure.code),
            _ => None,
        }
    }

    /// The disk is full: what was asked for was not done, and may be later.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.sqlite_code() == Some(rusqlite::ErrorCode::DiskFull)
    }

    /// Somebody else holds the database, or a statement took too long.
    pub(crate) fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, OperationInterrupted};
        matches!(self.sqlite_code(), Some(DatabaseBusy | DatabaseLocked | OperationInterrupted))
    }

    /// After this nothing the process believes about its store can be trusted: it must end.
    pub(crate) fn is_fatal(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, DatabaseCorrupt, NotADatabase, ReadOnly, SystemIoFailure};
        matches!(self, Self::Fenced)
            || matches!(
                self.sqlite_code(),
                Some(SystemIoFailure | DatabaseCorrupt | NotADatabase | CannotOpen | ReadOnly)
            )
    }
}

impl From<Error> for hookfast_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Port(error) => error,
            error if error.is_disk_full() => Self::Overloaded { reason: "the disk is full", retry_after_ms: 5_000 },
            Error::Sqlite(rusqlite::Error::SqliteFailure(failure, _))
                if failure.code == rusqlite::ErrorCode::OperationInterrupted =>
            {
                Self::Overloaded { reason: "the query took too long: narrow it", retry_after_ms: 1_000 }
            }
            error if error.is_busy() => Self::Unavailable { reason: error.to_string() },
            Error::Busy => {
                Self::Overloaded { reason: "all connections to PostgreSQL are in use", retry_after_ms: 1_000 }
            }
            Error::Postgres(_) if error.kind() == ErrorKind::Overloaded => {
                Self::Overloaded { reason: "the disk of the database is full", retry_after_ms: 5_000 }
            }
            Error::Postgres(_) if error.kind() == ErrorKind::Invalid => {
                Self::invalid("body", format!("cannot be stored: {error}"))
            }
            error if error.kind() == ErrorKind::Retryable => Self::Unavailable { reason: error.to_string() },
            error => Self::Terminal { reason: error.to_string() },
        }
    }
}
