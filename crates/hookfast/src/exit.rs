//! What a command ends with: documented exit codes, and the error that carries one.

use std::fmt;
use std::process::ExitCode;

/// How a command failed. Its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was tried and did not succeed.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Usage = 2,
    /// The thing named does not exist.
    NotFound = 3,
    /// The token, or who the store is opened as, is missing, wrong, or not allowed this.
    Refused = 4,
    /// It contradicts something that exists.
    Conflict = 5,
    /// The server, or the store's, cannot be reached or is overloaded: the same command may succeed later.
    Unavailable = 6,
}

impl Exit {
    /// Every code with its meaning, for help and docs.
    pub(crate) const MEANINGS: &'static [(u8, &'static str)] = &[
        (0, "done"),
        (1, "failed"),
        (2, "wrong command line or configuration; nothing was done"),
        (3, "the thing named does not exist"),
        (4, "the token, or user and password of the store, are missing, wrong, or not allowed this"),
        (5, "it contradicts something that exists"),
        (6, "the server, or the database of the store, cannot be reached or is overloaded; try again later"),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    /// An error that ends the command with this code.
    #[expect(clippy::new_ret_no_self, reason = "it is only ever needed as an anyhow error")]
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { exit, text: text.into() })
    }

    /// The code an error asks for.
    pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
        error.chain().find_map(|cause| cause.downcast_ref::<Self>()).map_or(Exit::Failed, |failure| failure.exit)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}
