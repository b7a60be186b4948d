//! The lives of deliveries and endpoints, end to end: retries at their times, dead letters and their replay, endpoints
//! that are gone, disabled, enabled or deleted while something waits.

use crate::rig::{Rig, until};
use crate::talk::{attempts, call, get, send, standing, until_state};
use hookfast_lab::EventKey;
use hookfast_lab::client::{Client, EndpointIn};
use hookfast_lab::receiver::Behaviour;
use serde_json::{Value, json};

/// The one endpoint of a rig.
struct One {
    rig: Rig,
    client: std::sync::Arc<Client>,
    app: String,
    endpoint: String,
}

impl One {
    /// A server with one endpoint; `delays` are the waits between tries.
    async fn start(behaviour: Behaviour, delays: &str) -> Self {
        let rig =
            Rig::start(&[behaviour], &[("HOOKFAST_RETRY__DELAYS", delays), ("HOOKFAST_RETRY__JITTER", "0")]).await;
        let (client, app, endpoint) = (rig.client(), rig.app.clone(), rig.expected[0].endpoint.clone());
        Self { rig, client, app, endpoint }
    }

    fn behave(&self, behaviour: Behaviour) {
        self.rig.receiver.behave("/hook/0", behaviour);
    }

    async fn send(&self) -> String {
        send(&self.client, &self.app, &json!({"a": 1})).await
    }

    async fn until_state(&self, event: &str, state: &str) -> Value {
        until_state(&self.client, &self.app, event, &self.endpoint, state).await
    }

    async fn standing(&self, event: &str) -> Value {
        standing(&self.client, &self.app, event, &self.endpoint).await
    }

    async fn attempts(&self, event: &str) -> Vec<Value> {
        attempts(&self.client, &self.app, event, &self.endpoint).await
    }

    fn path(&self) -> String {
        format!("/api/v1/app/{}/endpoint/{}", self.app, self.endpoint)
    }

    async fn patch(&self, change: Value) -> Value {
        let (status, body) = call(&self.client, "PATCH", &self.path(), Some(change)).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// When an event arrived, in µs since the epoch.
    fn arrived(&self, event: &str) -> Vec<u64> {
        let key = EventKey::of(event);
        self.rig
            .receiver
            .journal()
            .read(0, |entries| entries.iter().filter(|entry| entry.event == key).map(|entry| entry.at_us).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_first_is_delivered_at_its_due_times_and_not_before() {
    let one = One::start(Behaviour::FailFirst(3), "150ms,400ms,50ms,10s").await;
    let mut events = Vec::new();
    for _ in 0..20 {
        events.push(one.send().await);
    }
    for event in &events {
        let end = one.until_state(event, "delivered").await;
        assert_eq!((&end["tries"], &end["run"], &end["nextAttempt"]), (&json!(4), &json!(0), &Value::Null));
        let attempts = one.attempts(event).await;
        let statuses: Vec<_> = attempts.iter().map(|attempt| attempt["responseStatusCode"].as_u64().unwrap()).collect();
        assert_eq!(statuses, [500, 500, 500, 200]);
        let arrived = one.arrived(event);
        assert_eq!(arrived.len(), 4);
        for (pair, delay_ms) in arrived.windows(2).zip([150, 400, 50]) {
            let gap_us = pair[1] - pair[0];
            // The wait starts when the answer was read, and the clock counts whole milliseconds.
            assert!(gap_us + 2_000 >= delay_ms * 1_000, "tried again {gap_us} µs later, {delay_ms} ms were due");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_can_be_resent_and_all_of_them_recovered() {
    let one = One::start(Behaviour::Status(500), "30ms").await;
    let since = jiff::Timestamp::from_microsecond(i64::try_from(one.rig.clock.now_us()).unwrap()).unwrap();
    let since = (since - jiff::SignedDuration::from_secs(5)).to_string();
    let events = [one.send().await, one.send().await, one.send().await];
    for event in &events {
        let dead = one.until_state(event, "dead").await;
        assert_eq!((&dead["tries"], &dead["run"], &dead["cause"]), (&json!(2), &json!(0), &json!("status")));
    }
    one.behave(Behaviour::Ok);
    one.client.resend(&one.app, &events[0], &one.endpoint).await.unwrap();
    let again = one.until_state(&events[0], "delivered").await;
    assert_eq!((&again["run"], &again["tries"]), (&json!(1), &json!(1)));
    let all = one.attempts(&events[0]).await;
    let runs = all.iter().map(|attempt| (attempt["run"].as_u64().unwrap(), attempt["number"].as_u64().unwrap()));
    assert_eq!(runs.collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 1)]);
    assert_eq!(all[2]["triggerType"], 1, "by hand");

    let (status, task) =
        call(&one.client, "POST", &format!("{}/recover", one.path()), Some(json!({"since": since}))).await;
    assert_eq!((status, &task["task"]), (202, &json!("endpoint.recover")), "{task}");
    for event in &events[1..] {
        let again = one.until_state(event, "delivered").await;
        assert_eq!((&again["run"], &again["tries"]), (&json!(1), &json!(1)));
    }
    let path = format!("/api/v1/background-task/{}", task["id"].as_str().unwrap());
    until("the end of the task", || async { get(&one.client, &path).await["status"] == "finished" }).await;
    assert_eq!(get(&one.client, &path).await["data"]["queued"], 2, "the one that was delivered is left alone");
    assert_eq!(one.arrived(&events[0]).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_disables_the_endpoint_with_a_reason_and_enabling_resumes_what_waits() {
    let mut one = One::start(Behaviour::Status(410), "300ms,300ms").await;
    let event = one.send().await;
    until("the endpoint to be disabled", || async { get(&one.client, &one.path()).await["disabled"] == true }).await;
    assert_eq!(get(&one.client, &one.path()).await["disabledReason"], "gone");
    let waiting = one.until_state(&event, "retrying").await;
    assert_eq!((&waiting["tries"], &waiting["cause"]), (&json!(1), &json!("gone")));
    let unrouted = one.send().await;
    assert_eq!(one.standing(&unrouted).await, Value::Null, "a disabled endpoint gets nothing new");
    // Neither time nor a new life of the server wakes it.
    assert!(one.rig.terminate().await.success());
    one.rig.restart().await;
    one.client = one.rig.client();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(one.arrived(&event).len(), 1);
    assert_eq!(get(&one.client, &one.path()).await["disabledReason"], "gone");
    one.behave(Behaviour::Ok);
    let enabled = one.patch(json!({"disabled": false})).await;
    assert_eq!((&enabled["disabled"], &enabled["disabledReason"]), (&json!(false), &Value::Null));
    assert_eq!(one.until_state(&event, "delivered").await["tries"], 2);
    one.until_state(&one.send().await, "delivered").await;
    assert!(one.arrived(&unrouted).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_disabled_endpoint_waits_until_it_is_enabled() {
    let one = One::start(Behaviour::Status(500), "400ms,10m").await;
    let event = one.send().await;
    one.until_state(&event, "retrying").await;
    let disabled = one.patch(json!({"disabled": true})).await;
    assert_eq!((&disabled["disabled"], &disabled["disabledReason"]), (&json!(true), &json!("by_owner")));
    let unrouted = one.send().await;
    one.behave(Behaviour::Ok);
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    assert_eq!(one.arrived(&event).len(), 1, "a disabled endpoint was tried");
    assert_eq!(one.standing(&event).await["state"], "retrying");
    one.patch(json!({"disabled": false})).await;
    assert_eq!(one.until_state(&event, "delivered").await["tries"], 2);
    assert_eq!(one.standing(&unrouted).await, Value::Null);
    assert!(one.arrived(&unrouted).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_only_fails_for_long_is_disabled_with_a_reason() {
    let env = [("HOOKFAST_RETRY__DELAYS", "100ms,100ms,100ms,100ms"), ("HOOKFAST_DELIVERY__DISABLE_AFTER_MS", "1s")];
    let rig = Rig::start(&[Behaviour::Status(500)], &env).await;
    let (client, app, endpoint) = (rig.client(), rig.app.clone(), rig.expected[0].endpoint.clone());
    let path = format!("/api/v1/app/{app}/endpoint/{endpoint}");
    until("the endpoint to be disabled", || async {
        send(&client, &app, &json!({})).await;
        get(&client, &path).await["disabled"] == true
    })
    .await;
    assert_eq!(get(&client, &path).await["disabledReason"], "failing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_deleted_endpoint_ends_cancelled_and_the_others_keep_theirs() {
    let one = One::start(Behaviour::Status(500), "300ms,10m").await;
    one.rig.receiver.behave("/other", Behaviour::FailFirst(1));
    let other = EndpointIn { url: one.rig.receiver.url("/other"), ..EndpointIn::default() };
    let other = one.client.create_endpoint(&one.app, &other).await.unwrap().id;
    let events = [one.send().await, one.send().await];
    for event in &events {
        one.until_state(event, "retrying").await;
    }
    one.client.delete_endpoint(&one.app, &one.endpoint).await.unwrap();
    for event in &events {
        let end = one.until_state(event, "cancelled").await;
        assert_eq!(
            (&end["cause"], &end["tries"], &end["nextAttempt"]),
            (&json!("endpoint_deleted"), &json!(1), &Value::Null)
        );
        until_state(&one.client, &one.app, event, &other, "delivered").await;
    }
    assert_eq!(call(&one.client, "GET", &one.path(), None).await.0, 404);
    let later = one.send().await;
    until_state(&one.client, &one.app, &later, &other, "delivered").await;
    assert_eq!(one.standing(&later).await, Value::Null);
    let to_deleted = one.rig.receiver.path_id("/hook/0");
    let arrived = one.rig.receiver.journal().entries().iter().filter(|entry| entry.path == to_deleted).count();
    assert_eq!(arrived, 2, "a deleted endpoint was tried again");
}
