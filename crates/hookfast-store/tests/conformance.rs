//! The embedded store keeps every promise of the conformance suite.

use hookfast_core::ports::BoxFuture;
use hookfast_store::sqlite::{SqliteConfig, SqliteStore};
use hookfast_testkit::conformance::too_many;
use hookfast_testkit::{Backend, Grants, Opened, Place, World, backend::OpenError, conformance_suite, run};
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

#[test]
fn no_more_emitters_run_than_may() {
    run(async {
        let world = World::<SqliteBackend>::new(Grants::None).await;
        let app = world.app().await.id;
        let first = world.endpoint(app).await.id;
        too_many::start(&world, app, first).await.unwrap();
        let conn = rusqlite::Connection::open(world.place().dir.join("store.db")).unwrap();
        let fill = format!(
            "WITH RECURSIVE n(n) AS (SELECT 1001 UNION ALL SELECT n + 1 FROM n LIMIT {})
             INSERT INTO endpoints (no, id, app, url, description, version, metadata, headers, secrets, signing,
               created_at, updated_at)
             SELECT n, randomblob(16), app, url, description, version, metadata, headers, secrets, signing, created_at,
               updated_at FROM endpoints JOIN n WHERE no = 1;
             INSERT INTO emitters SELECT no, 1, NULL, '[]', 0, 0, 0, no FROM endpoints WHERE no > 1000",
            too_many::THERE - 1
        );
        conn.execute_batch(&fill).unwrap();
        too_many::no_more_emitters_run_than_may(&world, app, first).await;
    });
}
