//! Integration tests of the binary: one program, a module for each subject.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the lints spare test functions, not what they call")]

mod cli;
mod cluster;
mod crash;
mod disk;
mod doctor;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod lives;
mod manual;
mod order;
mod postgres;
mod postgres_refused;
mod power;
mod receivers;
mod rig;
mod sdk;
mod signature;
mod talk;
mod trouble;
