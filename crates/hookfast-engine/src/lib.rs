//! The engine: from stored delivery to settled delivery. Fair queues per endpoint, limits in flight, pacing of what
//! fails, retries, claiming, admission, and the loop that runs the store's background work.
//!
//! It knows the store and the sink by their ports alone: no SQL, no HTTP. Its invariants:
//!
//! - Every delivery handed over or claimed is settled exactly once, also when its task panics or is lost.
//! - What is held in memory is bounded; a slot is free only when its settlement is confirmed durable.
//! - Nothing waits for one endpoint on behalf of another.

mod admission;
mod agenda;
mod apps;
mod background;
mod claimer;
mod config;
mod dispatcher;
mod engine;
mod error;
mod flow;
mod health;
mod lane;
mod lanes;
mod maintenance;
mod metrics;
mod permits;
mod rate;
mod stall;
mod state;
mod throttle;
mod worker;

pub use config::EngineConfig;
pub use dispatcher::Dispatcher;
pub use engine::{Drained, Engine, EnginePorts};
pub use error::Error;
pub use maintenance::Duties;
pub use metrics::Metrics;
