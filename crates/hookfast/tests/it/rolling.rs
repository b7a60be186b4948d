//! Nodes that end in order while others go on: what they held is free at once, and nothing is sent twice. And nodes that go
//! on while a newer version changes the schema under them.

use crate::cli::{failure, hookfast, run, text};
use crate::cluster::{Cluster, more, stop};
use crate::rig::until;
use crate::talk::{call, get};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::{Crowd, TestDatabase, database};
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;

/// Whatever waited for a lease to end would wait longer than a test does.
const LONG_LEASE: (&str, &str) = ("HOOKFAST_STORE__LEASE_MS", "60s");
/// Everything is born as a row of the queue, and claimed.
const NO_MEMORY: (&str, &str) = ("HOOKFAST_DELIVERY__MEMORY_SLOTS", "0");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_node_had_claimed_is_delivered_by_another_at_once() {
    let Some(database) = database() else { return };
    let behaviours = [Behaviour::Ok, Behaviour::Delay(20), Behaviour::FailFirst(1)];
    let mut cluster = Cluster::start(&database.url(), 2, &behaviours, &[LONG_LEASE, NO_MEMORY]).await;
    let loads = cluster.load(8);
    more(&loads, 200).await;
    cluster.terminate(1).await;
    let report = stop(loads).await;
    let missing = cluster.rig.delivered_within(&report, Duration::from_secs(20)).await;
    assert_eq!(missing, 0, "pairs were held for a node that had ended");
    cluster.rig.assert_sound(&report).await;
    assert_eq!(cluster.rig.judge(&report).await.0.repeats.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_three_nodes_loses_nothing_and_repeats_nothing() {
    let Some(database) = database() else { return };
    let behaviours = [Behaviour::Ok, Behaviour::Delay(20), Behaviour::FailFirst(1)];
    let mut cluster = Cluster::start(&database.url(), 3, &behaviours, &[LONG_LEASE]).await;
    let loads = cluster.load(4);
    for number in 0..cluster.nodes() {
        more(&loads, 20).await;
        cluster.terminate(number).await;
        cluster.restart(number).await;
    }
    more(&loads, 20).await;
    cluster.assert_sound_without_repeats(loads).await;
}

/// What a newer version does to a schema while nodes of this one work on it: it adds what they need not know, to one table
/// after the other, and says so.
fn expand(database: &TestDatabase) {
    let tables = "select relname from pg_class where relnamespace = 'hookfast'::regnamespace and relkind in ('r', 'p')
                  and not relispartition and relname <> 'migrations' order by relname";
    let tables = database.psql(tables).unwrap();
    assert!(tables.lines().count() > 20, "{tables}");
    for table in tables.lines() {
        let sql = format!(
            "set local lock_timeout = '800ms';
             alter table hookfast.{table} add column later text, add column how_many bigint not null default 0"
        );
        let is_done = (0..20).any(|_| database.psql(&sql).is_ok());
        assert!(is_done, "{table} was in use all the time");
    }
    let row = "insert into hookfast.migrations (version, name, checksum) values (9999, 'later', '')";
    database.psql(row).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_go_on_under_a_newer_schema_and_one_that_starts_refuses_it() {
    let Some(database) = database() else { return };
    let behaviours = [Behaviour::Ok, Behaviour::Delay(20), Behaviour::FailFirst(1)];
    let mut cluster = Cluster::start(&database.url(), 2, &behaviours, &[LONG_LEASE]).await;
    let loads = cluster.load(4);
    more(&loads, 50).await;
    expand(&database);
    more(&loads, 100).await;
    let client = cluster.rig.client();
    let (status, app) = call(&client, "POST", "/api/v1/app", Some(json!({ "name": "shop" }))).await;
    assert_eq!(status, 201, "{app}");
    let app = app["id"].as_str().unwrap();
    let endpoint = json!({ "url": cluster.rig.receiver.url("/late") });
    let (status, endpoint) = call(&client, "POST", &format!("/api/v1/app/{app}/endpoint"), Some(endpoint)).await;
    assert_eq!(status, 201, "{endpoint}");
    let nodes = get(&client, "/api/v1/hookfast/node").await;
    assert_eq!(nodes["data"].as_array().unwrap().iter().filter(|node| node["state"] == "alive").count(), 2);
    cluster.terminate(1).await;
    let words = ["serve", "--store", &database.url(), "--listen", "127.0.0.1:0", "--log-level", "off"];
    let (code, said) = failure(&run(&words));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the store has schema 9999") && said.contains("use a newer hookfast"), "{said}");
    let report = stop(loads).await;
    cluster.rig.assert_sound(&report).await;
    assert_eq!(cluster.rig.judge(&report).await.0.repeats.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_waits_for_a_table_does_not_hold_up_the_nodes_at_work() {
    let Some(database) = database() else { return };
    let cluster = Cluster::start(&database.url(), 1, &[Behaviour::Ok], &[LONG_LEASE]).await;
    let loads = cluster.load(4);
    more(&loads, 50).await;
    // As the version before left it. The node does not use the column again.
    database.psql("alter table hookfast.nodes drop column roles").unwrap();
    database.psql("delete from hookfast.migrations where name = 'roles'").unwrap();
    // As a dump does, for hours.
    let dump = Crowd::in_a_transaction(&database.url(), "lock table hookfast.nodes in access share mode");
    let mut migrate = hookfast(&["migrate", "up", "--store", &database.url()]);
    let migrate = migrate.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
                 and query like '%ALTER TABLE nodes%'";
    until("the migration to wait", || async { database.psql(waits).unwrap() != "0" }).await;
    more(&loads, 200).await;
    drop(dump);
    let output = migrate.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).trim_end().ends_with(", current"), "{}", text(&output.stdout));
    more(&loads, 50).await;
    cluster.assert_sound_without_repeats(loads).await;
}
