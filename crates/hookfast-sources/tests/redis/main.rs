//! The Redis source against a real Redis. What is behind the ports is in memory here: it records, and is away when a test
//! says so.
#![expect(clippy::unwrap_used, reason = "the lints spare test functions, not what they call")]

mod behind;
mod bench;
mod failing;
mod masters;
mod reading;
