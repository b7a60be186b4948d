//! A database that is there and will not do what it is asked: no connection is to be had, every one is cut off again and
//! again, a table is locked. Nobody dies, so nothing may be lost or come twice.

use crate::cli::{failure, run};
use crate::cluster::{Cluster, more};
use crate::rig::{torture, until};
use crate::talk::{Bare, call, status};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::{Crowd, PostgresServer, database};
use serde_json::json;
use std::time::{Duration, Instant};

const BEHAVIOURS: [Behaviour; 2] = [Behaviour::Ok, Behaviour::FailFirst(1)];
/// How often all connections are cut off, and for how long in the ordinary test command.
const CUT_EVERY: Duration = Duration::from_secs(2);
const CUT_FOR: Duration = Duration::from_secs(12);
const CUT_OFF: &str = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'nodes'";

/// Exit code of who could not reach the store.
const AWAY: i32 = 6;
/// Nodes work again so soon after they could.
const RECOVERY_MAX: Duration = Duration::from_secs(3);

/// A server on which the nodes are no superusers, and the URL they use.
fn with_a_role(settings: &[&str]) -> Option<(PostgresServer, String)> {
    let server = PostgresServer::start_with(settings)?;
    server.psql("create role nodes login; alter database postgres owner to nodes").unwrap();
    let url = server.url().replacen("postgres@", "nodes@", 1);
    Some((server, url))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_go_on_with_the_connections_they_have_and_recover_when_there_are_none() {
    let Some((server, url)) = with_a_role(&[]) else { return };
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

/// What a node answers to an event, head and body.
async fn post(cluster: &Cluster, node: usize) -> String {
    let (app, token) = (&cluster.rig.app, &cluster.rig.token);
    let body = r#"{"eventType":"asked.directly","payload":{}}"#;
    let head = format!("POST /api/v1/app/{app}/msg HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
    let length = body.len();
    let more = format!("content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    Bare::exchange(cluster.listening()[node], format!("{head}{more}{body}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_outlast_others_who_take_every_connection_of_the_server() {
    let Some((server, url)) = with_a_role(&["max_connections=20"]) else { return };
    server.psql("create role crowd login").unwrap();
    let others = server.url().replacen("postgres@", "crowd@", 1);
    let few = [("HOOKFAST_STORE__CONNECTIONS_MAX", "2")];
    let cluster = Cluster::start(&url, 2, &BEHAVIOURS, &few).await;
    let loads = cluster.load(4);
    more(&loads, 50).await;
    let crowd = Crowd::that_fills(&others);
    assert!(!crowd.is_empty());
    // With what they hold they go on; who comes now is told why it cannot be.
    more(&loads, 50).await;
    let (code, said) = failure(&run(&["serve", "--store", &url, "--listen", "127.0.0.1:0", "--log-level", "off"]));
    assert_eq!(code, Some(AWAY), "{said}");
    assert!(said.contains("connection") && said.contains("raise max_connections"), "{said}");
    // What they hold is taken too, and nobody but the crowd gets it.
    server.psql("alter role nodes connection limit 0").unwrap();
    server.psql(CUT_OFF).unwrap();
    let rest = Crowd::that_fills(&others);
    server.psql("alter role nodes connection limit -1").unwrap();
    assert!(crowd.len() + rest.len() >= 15, "{} and {}", crowd.len(), rest.len());
    for node in 0..2 {
        until("a refusal", || async {
            let answer = post(&cluster, node).await;
            status(&answer) == 503 && answer.to_ascii_lowercase().contains("\r\nretry-after: ")
        })
        .await;
    }
    drop((crowd, rest));
    let free = Instant::now();
    for node in 0..2 {
        until("an event to be accepted", || async { status(&post(&cluster, node).await) == 202 }).await;
    }
    let took = free.elapsed();
    eprintln!("both nodes accepted again {took:?} after connections were free");
    assert!(took < RECOVERY_MAX, "nodes accepted again only after {took:?}");
    more(&loads, 50).await;
    cluster.assert_sound_without_repeats(loads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_connections_are_cut_off_every_two_seconds_lose_and_repeat_nothing() {
    let Some((server, url)) = with_a_role(&[]) else { return };
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
