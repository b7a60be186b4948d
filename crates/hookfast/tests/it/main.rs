//! Integration tests of the binary: one program, a module for each subject.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the lints spare test functions, not what they call")]

mod bouncer;
mod cli;
mod cluster;
mod copy;
mod crash;
mod disk;
mod doctor;
mod explain;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod lives;
mod manual;
mod order;
mod postgres;
mod postgres_refused;
mod power;
mod pressed;
mod receivers;
mod rig;
mod rolling;
mod same_key;
mod sdk;
mod signature;
mod talk;
mod things;
mod trouble;
