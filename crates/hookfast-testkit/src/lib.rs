//! For tests only: the suite that every store must pass, a dispatch that records, a clock that is moved by hand, and
//! how a test says that it was skipped. It names no back-end: those come to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "this is test code: it fails by panicking"
)]

pub mod backend;
pub mod clock;
pub mod conformance;
pub mod dispatch;
pub mod kafka;
pub mod nginx;
pub mod paging;
pub mod postgres;
pub mod redis;
mod skip;
pub mod world;

pub use backend::{Backend, Opened, Place};
pub use clock::ManualClock;
pub use dispatch::{Grants, RecordingDispatch};
pub use skip::skip;
pub use world::World;

/// Runs a test's future on a runtime of its own with two workers.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}
