//! The embedded store keeps every promise of the conformance suite.

use hookfast_core::ports::BoxFuture;
use hookfast_store::sqlite::{SqliteConfig, SqliteStore};
use hookfast_testkit::{Backend, Opened, Place, backend::OpenError, conformance_suite};
use std::sync::Arc;
struct SqliteBackend;
impl Backend for SqliteBackend {
    const EXCLUSIVE: bool = true;
    const ORDERS: bool = true;
    type Ground = ();
    fn ground() {}
    fn open((): &(), place: Place) -> BoxFuture<'static, Result<Opened, OpenError>> {
        Box::pin(async move {
            let fatal = Arc::new(|what: &str| eprintln!("FATAL {what}"));
            let mut config = SqliteConfig::new(place.dir);
            config.disk_reserve_bytes = 1 << 20;
            let store = SqliteStore::open(config, place.clock, place.ids, place.dispatch, fatal)?;
            let closing = Arc::clone(&store);
            Ok(Opened::new(&store, move || closing.close()))
        })
    }
}
conformance_suite!(SqliteBackend);
