//! Integration tests of the binary: one program, a module for each subject.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the lints spare test functions, not what they call")]

mod cli;
mod crash;
mod disk;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod lives;
mod power;
mod receivers;
mod rig;
mod sdk;
mod talk;
mod trouble;
