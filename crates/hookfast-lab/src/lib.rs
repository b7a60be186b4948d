//! The lab: receivers that behave and misbehave, load, and the producer–oracle–judge rig.
//!
//! `listen`, `demo`, `bench` and the tests stand on it. It sees a server only from outside, by its API and by what
//! arrives at the receivers; it must not know the store, the engine or any other member but core and signing.

pub mod client;
pub mod error;
pub mod journal;
pub mod judge;
pub mod key;
pub mod load;
pub mod payments;
pub mod process;
pub mod receiver;
pub mod time;
mod wire;

pub use error::{Error, Result};
pub use key::EventKey;
pub use time::LabClock;
