//! Who can do something about a store that does not open: the one who named it, the one who runs the server, or time.

use crate::Error;
use tokio_postgres::error::SqlState;

/// Why a store does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The server cannot be reached or takes no more connections: the same may succeed later.
    Away,
    /// What names it is wrong, or names a server on which the promises could not be kept.
    Named,
    /// There is no such database.
    Missing,
    /// The server does not let this user in, or not do this.
    Denied,
    /// Everything else.
    Store,
}

impl Error {
    /// Who is to blame that a store does not open.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Connect { .. } => Blame::Named,
            Self::Busy | Self::Silent => Blame::Away,
            Self::Postgres(error) => of_driver(error),
            _ => Blame::Store,
        }
    }
}

fn of_driver(error: &tokio_postgres::Error) -> Blame {
    match error.code() {
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => Blame::Missing,
        // The whole class of refused authorizations.
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE || code.code().starts_with("28") => Blame::Denied,
        Some(_) if crate::postgres::classify(error) == crate::postgres::Class::Lost => Blame::Away,
        Some(_) => Blame::Store,
        None => without_answer(error),
    }
}

/// The server said nothing: it is away, or the two cannot agree on how to talk (TLS, a password that is asked for).
fn without_answer(error: &tokio_postgres::Error) -> Blame {
    let Some(cause) = std::error::Error::source(error) else { return Blame::Away };
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => Blame::Named,
        Some(_) => Blame::Away,
        None => Blame::Named,
    }
}
