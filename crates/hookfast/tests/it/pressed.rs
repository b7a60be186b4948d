//! A database that is there and will not do what it is asked: no connection is to be had, every one is cut off again and
//! again, a table is locked. Nobody dies, so nothing may be lost or come twice.

use crate::cluster::{Cluster, more};
use crate::rig::{torture, until};
use crate::talk::call;
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::{PostgresServer, database};
use serde_json::json;
use std::time::{Duration, Instant};

const BEHAVIOURS: [Behaviour; 2] = [Behaviour::Ok, Behaviour::FailFirst(1)];
/// How often all connections are cut off, and for how long in the ordinary test command.
const CUT_EVERY: Duration = Duration::from_secs(2);
const CUT_FOR: Duration = Duration::from_secs(12);
const CUT_OFF: &str = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'nodes'";

/// A server on which the nodes are no superusers, and the URL they use.
fn with_a_role() -> Option<(PostgresServer, String)> {
    let server = PostgresServer::start()?;
    server.psql("create role nodes login; alter database postgres owner to nodes").unwrap();
    let url = server.url().replacen("postgres@", "nodes@", 1);
    Some((server, url))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_go_on_with_the_connections_they_have_and_recover_when_there_are_none() {
    let Some((server, url)) = with_a_role() else { return };
    let cluster = Cluster::start(&url, 2, &BEHAVIOURS, &[]).await;
    let loads = cluster.load(4);
    more(&loads, 50).await;
    // The error is the same as that of a server whose connections are used up.
    server.psql("alter role nodes connection limit 0").unwrap();
    more(&loads, 50).await;
    server.psql(CUT_OFF).unwrap();
    let client = cluster.rig.client();
    until("a refusal", || async {
        call(&client, "POST", "/api/v1/app", Some(json!({ "name": "shop" }))).await.0 == 503
    })
    .await;
    server.psql("alter role nodes connection limit -1").unwrap();
    more(&loads, 50).await;
    cluster.assert_sound_without_repeats(loads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_connections_are_cut_off_every_two_seconds_lose_and_repeat_nothing() {
    let Some((server, url)) = with_a_role() else { return };
    let cluster = Cluster::start(&url, 2, &BEHAVIOURS, &[]).await;
    let loads = cluster.load(2);
    let (started, limit) = (Instant::now(), torture().unwrap_or(CUT_FOR));
    let mut tick = tokio::time::interval(CUT_EVERY);
    while started.elapsed() < limit {
        tick.tick().await;
        server.psql(CUT_OFF).unwrap();
    }
    more(&loads, 20).await;
    cluster.assert_sound_without_repeats(loads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_on_the_queue_holds_up_deliveries_and_loses_nothing() {
    let Some(database) = database() else { return };
    let cluster = Cluster::start(&database.url(), 2, &BEHAVIOURS, &[]).await;
    let loads = cluster.load(4);
    more(&loads, 50).await;
    let locked = tokio::task::spawn_blocking(move || {
        database.psql("lock table hookfast.queue in access exclusive mode; select pg_sleep(3)").unwrap();
        database
    });
    let _database = locked.await.unwrap();
    more(&loads, 50).await;
    cluster.assert_sound_without_repeats(loads).await;
}
