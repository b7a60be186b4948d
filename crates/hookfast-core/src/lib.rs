//! The words, the ports and the pure rules of hookfast.
//!
//! Every other member depends on this crate and this crate depends on none of them: it does no I/O, knows no
//! runtime, no SQL, no HTTP, and has no clock of its own. Time comes in as [`UnixMs`], chance as numbers.

pub mod address;
pub mod clock;
pub mod delivery;
pub mod error;
pub mod headers;
pub mod ids;
pub mod invoice;
pub mod limits;
pub mod model;
pub mod ordering;
pub mod ports;
pub mod retry;
pub mod routing;

pub use clock::{Clock, UnixMs};
pub use error::{Error, ErrorKind, Result};
pub use ids::{AppId, AttemptId, EndpointId, EventId, IdGenerator, OrgId, TaskId, TokenId};
