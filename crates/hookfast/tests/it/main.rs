//! Integration tests of the binary: one program, a module for each subject.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the lints spare test functions, not what they call")]

mod backup;
mod bouncer;
mod cli;
mod cluster;
#[cfg(feature = "kafka")]
mod consumer;
mod copy;
mod crash;
mod dead_letters;
mod deploy;
mod disk;
mod doctor;
mod doctor_postgres;
mod document;
mod examples;
mod explain;
#[cfg(feature = "failpoints")]
mod failpoints;
mod faults;
mod fuzz;
mod guides;
#[cfg(feature = "kafka")]
mod handlers;
mod lives;
mod manual;
mod order;
mod postgres;
mod postgres_refused;
mod posting;
mod power;
mod pressed;
mod receivers;
mod receiving;
mod redis;
mod rig;
mod rolling;
mod same_key;
mod sdk;
mod sender;
mod signature;
mod strange;
mod sweep;
mod talk;
mod things;
mod throttling;
mod trouble;
mod verifying;
