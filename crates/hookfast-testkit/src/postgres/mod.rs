//! Real PostgreSQL for tests: an empty database on the server that all tests share, private servers for faults, a
//! pooler in front, a standby behind, clients that are in the way. Knows nothing of the store; SQL goes through `psql`.

mod bouncer;
mod crowd;
mod database;
pub(crate) mod programs;
mod server;
mod standby;

pub use bouncer::PgBouncer;
pub use crowd::Crowd;
pub use database::{TestDatabase, database};
pub use server::PostgresServer;
pub use standby::Standby;
