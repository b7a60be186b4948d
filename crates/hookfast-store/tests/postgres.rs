//! The store for several nodes keeps every promise of the conformance suite.

#![expect(clippy::unwrap_used, reason = "the lints spare test functions, not what they call")]

use hookfast_core::model::SecretText;
use hookfast_core::ports::BoxFuture;
use hookfast_store::postgres::{PostgresConfig, PostgresStore};
use hookfast_testkit::postgres::{TestDatabase, database};
use hookfast_testkit::{Backend, Opened, Place, backend::OpenError, conformance_suite};
use std::sync::{Arc, OnceLock};
struct PostgresBackend;
impl Backend for PostgresBackend {
    const EXCLUSIVE: bool = false;
    const ORDERS: bool = true;
    type Ground = TestDatabase;
    fn can_run() -> bool {
        static RUNS: OnceLock<bool> = OnceLock::new();
        *RUNS.get_or_init(|| database().is_some())
    }
    fn ground() -> TestDatabase {
        database().unwrap()
    }
    fn open(ground: &TestDatabase, place: Place) -> BoxFuture<'static, Result<Opened, OpenError>> {
        open(ground, place, |_| {})
    }
}

/// Opens the store on this ground, configured for tests and then as told.
fn open(
    ground: &TestDatabase,
    place: Place,
    change: impl FnOnce(&mut PostgresConfig),
) -> BoxFuture<'static, Result<Opened, OpenError>> {
    let mut config = PostgresConfig::new(SecretText::new(ground.url()));
    config.connections_max = 4;
    change(&mut config);
    Box::pin(async move {
        let fatal = Arc::new(|what: &str| eprintln!("FATAL {what}"));
        let store = PostgresStore::open(config, place.clock, place.ids, place.dispatch, fatal).await?;
        let closing = Arc::clone(&store);
        Ok(Opened::new(&store, move || closing.close()))
    })
}
conformance_suite!(PostgresBackend);

#[path = "postgres/duties.rs"]
mod own_duties;

#[path = "postgres/claiming.rs"]
mod own_claiming;

#[path = "postgres/configuring.rs"]
mod own_configuring;

#[path = "postgres/fencing.rs"]
mod own_fencing;

#[path = "postgres/midnight.rs"]
mod own_midnight;

#[path = "postgres/ordering.rs"]
mod own_ordering;

#[path = "postgres/throttling.rs"]
mod own_throttling;

#[path = "postgres/consuming.rs"]
mod own_consuming;

#[path = "postgres/migrating.rs"]
mod own_migrating;
