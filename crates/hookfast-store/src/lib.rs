//! What hookfast remembers: configuration, events, queue, history. The only room that knows SQL.
//!
//! A back-end implements the store's ports of `hookfast-core`; [`sqlite`] is the embedded default,
//! [`postgres`] the one for several nodes.

mod blame;
mod caller_keys;
mod columns;
mod copy;
mod directory;
mod edit;
mod emitters;
mod error;
mod failpoint;
mod handoffs;
mod migrations;
mod page;
pub mod postgres;
mod seal;
pub mod sqlite;

pub use blame::Blame;
pub use copy::{Copied, CopiedTable, CopyProgress, copy};
pub use error::{Error, Result};
pub use seal::Sealer;
