//! Nodes that end in order while others go on: what they held is free at once, and nothing is sent twice.

use crate::cluster::{Cluster, more, stop};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::database;
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
