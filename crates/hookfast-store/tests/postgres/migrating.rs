//! Nodes that start at once on an empty database: one migrates it, the others find what it did.
#![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

use super::PostgresBackend;
use hookfast_core::model::SecretText;
use hookfast_store::postgres::{PostgresConfig, PostgresStore};
use hookfast_testkit::postgres::Crowd;
use hookfast_testkit::world::eventually;
use hookfast_testkit::{Backend as _, run};
use tokio::task::JoinSet;

const NODES: usize = 12;
/// The lock of who migrates, as it is in the store.
const HOLD: &str = "select pg_advisory_xact_lock(x'686f6f6b6661'::int8)";
const WAITING: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                       and database = (select oid from pg_database where datname = current_database())";

#[test]
fn nodes_that_find_an_empty_database_at_once_migrate_it_once() {
    if !PostgresBackend::can_run() {
        return;
    }
    run(async {
        let ground = PostgresBackend::ground();
        let before = Crowd::in_a_transaction(&ground.url(), HOLD);
        let mut nodes = JoinSet::new();
        for _ in 0..NODES {
            let config = PostgresConfig::new(SecretText::new(ground.url()));
            nodes.spawn(async move { PostgresStore::migrate(&config).await });
        }
        eventually("nodes that have seen no schema", async || {
            (ground.psql(WAITING).unwrap() == NODES.to_string()).then_some(())
        })
        .await;
        drop(before);
        for outcome in nodes.join_all().await {
            assert!(outcome.unwrap().is_current());
        }
    });
}
