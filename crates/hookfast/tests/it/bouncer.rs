//! Nodes behind pgbouncer, which gives each transaction another session: without prepared statements and notifications
//! everything is as it is without it.

use crate::cluster::{Cluster, goes_on, more};
use crate::rig::seeded;
use crate::talk::{call, send, standing, until_state};
use hookfast_lab::client::{ApplicationIn, EndpointIn};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::postgres::{PgBouncer, TestDatabase, database};
use serde_json::{Value, json};
use std::time::Instant;

const THROUGH: [(&str, &str); 2] = [("HOOKFAST_STORE__PREPARED", "false"), ("HOOKFAST_STORE__NOTIFICATIONS", "false")];

/// Nodes that see their database only through a pooler.
async fn behind_a_pooler(nodes: usize, behaviours: &[Behaviour]) -> Option<(TestDatabase, PgBouncer, Cluster)> {
    let database = database()?;
    let bouncer = PgBouncer::start(&database.url())?;
    let cluster = Cluster::start(bouncer.url(), nodes, behaviours, &THROUGH).await;
    Some((database, bouncer, cluster))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_behind_a_pooler_deliver_each_event_once() {
    let behaviours = [Behaviour::Ok, Behaviour::FailFirst(1)];
    let Some((_database, _bouncer, cluster)) = behind_a_pooler(2, &behaviours).await else { return };
    let loads = cluster.load(8);
    more(&loads, 200).await;
    cluster.assert_sound_without_repeats(loads).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_behind_a_pooler_configures_holds_for_the_next_event_of_the_other() {
    let Some((_database, _bouncer, cluster)) = behind_a_pooler(2, &[]).await else { return };
    let token = &cluster.rig.token;
    let nodes = [cluster.node(0).client(token).unwrap(), cluster.node(1).client(token).unwrap()];
    let app = nodes[0].create_application(&ApplicationIn { name: "shop".into(), uid: None }).await.unwrap().id;
    for number in 0..20 {
        let (here, there) = (&nodes[number % 2], &nodes[(number + 1) % 2]);
        let endpoint = EndpointIn { url: cluster.rig.receiver.url("/hook"), ..EndpointIn::default() };
        let endpoint = here.create_endpoint(&app, &endpoint).await.unwrap().id;
        let event = send(there, &app, &json!({ "number": number })).await;
        assert_ne!(standing(there, &app, &event, &endpoint).await, Value::Null, "endpoint {number} was not known");
        until_state(here, &app, &event, &endpoint, "delivered").await;
        let path = format!("/api/v1/app/{app}/endpoint/{endpoint}");
        let (status, body) = call(here, "PATCH", &path, Some(json!({ "disabled": true }))).await;
        assert_eq!(status, 200, "{body}");
        let event = send(there, &app, &json!({ "number": number })).await;
        assert_eq!(standing(there, &app, &event, &endpoint).await, Value::Null, "endpoint {number} was not disabled");
    }
    assert_eq!(call(&nodes[0], "DELETE", &format!("/api/v1/app/{app}"), None).await.0, 204);
    let event = json!({ "eventType": "lab.event", "payload": {} });
    let (status, body) = call(&nodes[1], "POST", &format!("/api/v1/app/{app}/msg"), Some(event)).await;
    assert_eq!(status, 404, "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_behind_a_pooler_lose_nothing_under_kill_9() {
    let behaviours = [Behaviour::Ok, Behaviour::FailShare(0.2)];
    let Some((_database, _bouncer, mut cluster)) = behind_a_pooler(2, &behaviours).await else { return };
    let mut random = seeded();
    let loads = cluster.load(4);
    let (mut kills, started) = (0, Instant::now());
    while goes_on(kills * 2, started) {
        more(&loads, 1 + random.u64(..50)).await;
        cluster.kill_and_restart(random.usize(..cluster.nodes())).await;
        kills += 1;
    }
    more(&loads, 50).await;
    cluster.assert_sound(loads).await;
}
