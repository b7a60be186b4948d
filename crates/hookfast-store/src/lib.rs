//! What hookfast remembers: configuration, events, queue, history. The only room that knows SQL.
//!
//! A back-end implements the store's ports of `hookfast-core`; [`sqlite`] is the embedded default.

mod error;
mod seal;
pub mod sqlite;

pub use error::{Error, Result};
pub use seal::Sealer;
