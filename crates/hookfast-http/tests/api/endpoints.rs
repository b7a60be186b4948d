//! Endpoints.

use crate::client::{Rig, id};
use serde_json::{Value, json};

#[tokio::test]
async fn an_endpoint_answers_with_the_names_of_every_client_version() {
    let rig = Rig::new();
    let app = rig.app().await;
    rig.post("/api/v1/event-type", json!({ "name": "a.b", "description": "" })).await.ok(201);
    let path = format!("/api/v1/app/{app}/endpoint");
    let body = json!({
        "url": "HTTPS://Receiver.Example:443/hook", "filterTypes": ["a.b"], "rateLimit": 7, "version": 3, "description": null,
        "channels": ["c:1"], "headers": { "X-Own": "1", "Authorization": "secret" }, "retryDelaysMs": [100, 200], "timeoutMs": 2000,
    });
    let made = rig.post(&path, body).await.ok(201);
    assert_eq!(made["url"], "https://receiver.example/hook");
    assert_eq!((&made["eventTypes"], &made["filterTypes"]), (&json!(["a.b"]), &json!(["a.b"])));
    assert_eq!((&made["throttleRate"], &made["rateLimit"], &made["version"]), (&json!(7), &json!(7), &json!(3)));
    assert_eq!((&made["description"], &made["metadata"], &made["disabled"]), (&json!(""), &json!({}), &json!(false)));
    assert_eq!((&made["retryDelaysMs"], &made["timeoutMs"]), (&json!([100, 200]), &json!(2000)));
    for always in ["uid", "channels", "disabledReason", "createdAt", "updatedAt"] {
        assert!(made.get(always).is_some(), "{always}");
    }
    let one = format!("{path}/{}", id(&made));
    let headers = rig.get(&format!("{one}/headers")).await.ok(200);
    assert_eq!(headers, json!({ "headers": { "x-own": "1" }, "sensitive": ["authorization"] }));
    let patched =
        rig.json("PATCH", &one, json!({ "eventTypes": null, "disabled": true, "secret": "ignored" })).await.ok(200);
    assert_eq!((&patched["eventTypes"], &patched["disabledReason"]), (&Value::Null, &json!("by_owner")));
    let replaced = rig.json("PUT", &one, json!({ "url": "http://other.example/" })).await.ok(200);
    assert_eq!((&replaced["disabled"], &replaced["retryDelaysMs"]), (&json!(false), &Value::Null));
    assert_eq!(rig.get(&format!("{one}/headers")).await.ok(200)["headers"]["x-own"], "1");
    assert_eq!(rig.json("PUT", &format!("{path}/nobody"), json!({ "url": "http://n.example/" })).await.status, 201);
    assert_eq!(rig.call("DELETE", &one, "").await.status, 204);
    assert_eq!(rig.get(&one).await.status, 404);
    assert_eq!(rig.get(&path).await.ok(200)["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_order_is_set_changed_and_unset() {
    let rig = Rig::new();
    let app = rig.app().await;
    let path = format!("/api/v1/app/{app}/endpoint");
    let made = rig.post(&path, json!({ "url": "http://x.example/" })).await.ok(201);
    assert_eq!(made["ordering"], Value::Null);
    let one = format!("{path}/{}", id(&made));
    for (given, shown) in [
        (json!({}), json!({ "pointer": null, "onDead": "block" })),
        (json!({ "pointer": "/data/id", "onDead": "skip" }), json!({ "pointer": "/data/id", "onDead": "skip" })),
        (json!({ "pointer": null, "onDead": "block" }), json!({ "pointer": null, "onDead": "block" })),
    ] {
        assert_eq!(rig.json("PATCH", &one, json!({ "ordering": given })).await.ok(200)["ordering"], shown);
        assert_eq!(rig.json("PATCH", &one, json!({ "version": 2 })).await.ok(200)["ordering"], shown);
    }
    assert_eq!(rig.json("PATCH", &one, json!({ "ordering": null })).await.ok(200)["ordering"], Value::Null);
    let body = json!({ "url": "http://x.example/", "ordering": { "pointer": "" } });
    assert_eq!(rig.json("PUT", &one, body).await.ok(200)["ordering"]["pointer"], "");
    let replaced = rig.json("PUT", &one, json!({ "url": "http://x.example/" })).await.ok(200);
    assert_eq!(replaced["ordering"], Value::Null);
}

#[tokio::test]
async fn what_may_not_be_an_endpoint_is_refused_with_its_field() {
    let rig = Rig::new();
    let app = rig.app().await;
    let path = format!("/api/v1/app/{app}/endpoint");
    for (body, field, part) in [
        (json!({}), "url", "got nothing"),
        (json!({ "url": "ftp://x.example" }), "url", "http"),
        (json!({ "url": "http://127.0.0.1/" }), "url", "not a public one"),
        (json!({ "url": "http://169.254.169.254/" }), "url", "not a public one"),
        (json!({ "url": "http://x.example:6379/" }), "url", "port"),
        (json!({ "url": "http://x.example/", "eventTypes": [] }), "eventTypes", "got 0"),
        (json!({ "url": "http://x.example/", "eventTypes": ["no.such"] }), "eventTypes", "does not exist"),
        (json!({ "url": "http://x.example/", "headers": { "host": "x" } }), "headers", "reserved"),
        (json!({ "url": "http://x.example/", "headers": { "x": "a\r\nb" } }), "headers", "printable"),
        (json!({ "url": "http://x.example/", "secret": "short" }), "secret", "whsec_"),
        (json!({ "url": "http://x.example/", "timeoutMs": 999 }), "timeoutMs", "from 1000 to 30000"),
        (json!({ "url": "http://x.example/", "retryDelaysMs": vec![1; 51] }), "retryDelaysMs", "got 51"),
        (json!({ "url": "http://x.example/", "channels": ["a b"] }), "channels", "got ' '"),
        (json!({ "url": "http://x.example/", "uid": "ep_1" }), "uid", "ep_"),
        (json!({ "url": "http://x.example/", "ordering": "a" }), "ordering", "an object"),
        (json!({ "url": "http://x.example/", "ordering": { "pointer": "a" } }), "ordering", "JSON pointer"),
        (json!({ "url": "http://x.example/", "ordering": { "onDead": "wait" } }), "ordering", "block or skip"),
    ] {
        let answer = rig.post(&path, body.clone()).await.ok(422);
        let problem = &answer["detail"][0];
        assert_eq!(problem["loc"][1], field, "{body}: {answer}");
        assert!(problem["msg"].as_str().unwrap().contains(part), "{body}: {answer}");
    }
    assert!(rig.memory.state().endpoints.is_empty());
}

#[tokio::test]
async fn secrets_are_made_shown_and_rotated() {
    let rig = Rig::new();
    let app = rig.app().await;
    let one = format!("/api/v1/app/{app}/endpoint/{}", rig.endpoint(&app).await);
    let first = rig.get(&format!("{one}/secret")).await.ok(200);
    assert!(first["key"].as_str().unwrap().starts_with("whsec_"));
    let rotate = format!("{one}/secret/rotate");
    let second = rig.call("POST", &rotate, "").await.ok(200);
    assert!(second != first && rig.get(&format!("{one}/secret")).await.ok(200) == second);
    let chosen = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let third = rig.post(&rotate, json!({ "key": chosen, "gracePeriodSeconds": 60 })).await.ok(200);
    assert_eq!(third["key"], chosen);
    {
        let state = rig.memory.state();
        let old = &state.endpoints.values().next().unwrap().secrets.old;
        let grace_ms: Vec<u64> = old.iter().map(|old| old.expires_at.since(crate::doubles::NOW)).collect();
        assert_eq!(grace_ms, [60_000, 86_400_000]);
    }
    let answer = rig.post(&rotate, json!({ "gracePeriodSeconds": 604_801 })).await.ok(422);
    assert_eq!(answer["detail"][0]["loc"], json!(["body", "gracePeriodSeconds"]));
}

#[tokio::test]
async fn headers_are_replaced_merged_and_removed() {
    let rig = Rig::new();
    let app = rig.app().await;
    let path = format!("/api/v1/app/{app}/endpoint/{}/headers", rig.endpoint(&app).await);
    assert_eq!(rig.json("PUT", &path, json!({ "headers": { "a": "1", "b": "2", "c": "3" } })).await.status, 204);
    let change = json!({ "headers": { "A": "9", "b": null }, "deleteHeaders": ["C"] });
    let answer = rig.json("PATCH", &path, change).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(rig.get(&path).await.ok(200)["headers"], json!({ "a": "9" }));
    assert_eq!(rig.json("PUT", &path, json!({})).await.ok(422)["detail"][0]["loc"], json!(["body", "headers"]));
    let answer = rig.json("PUT", &path, json!({ "headers": { "x": null, "webhook-id": "1" } })).await.ok(422);
    assert_eq!(answer["detail"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn stats_recover_and_tasks_have_the_shape_that_clients_want() {
    let rig = Rig::new();
    let app = rig.app().await;
    let one = format!("/api/v1/app/{app}/endpoint/{}", rig.endpoint(&app).await);
    let stats = rig.get(&format!("{one}/stats?since=2026-10-01T00:00:00")).await.ok(200);
    assert_eq!(stats, json!({ "success": 5, "fail": 4, "pending": 3, "sending": 2, "canceled": 1 }));
    let range = rig.get(&format!("{one}/stats?since=2026-09-01T00:00:00Z")).await;
    assert_eq!(range.ok(400)["code"], "invalid_range");
    let task = rig.post(&format!("{one}/recover"), json!({ "since": "2026-10-10T10:00:00" })).await.ok(202);
    assert_eq!((&task["status"], &task["task"]), (&json!("running"), &json!("endpoint.recover")));
    let read = rig.get(&format!("/api/v1/background-task/{}", id(&task))).await.ok(200);
    assert_eq!(read["data"], json!({ "queued": 7 }));
    for wrong in [json!({}), json!({ "since": "2026-10-01T00:00:00Z" }), json!({ "since": 5 })] {
        assert_eq!(rig.post(&format!("{one}/recover"), wrong).await.ok(422)["detail"][0]["loc"][1], "since");
    }
}

#[tokio::test]
async fn a_test_event_takes_the_example_of_its_type() {
    let rig = Rig::new();
    let app = rig.app().await;
    let path = format!("/api/v1/app/{app}/endpoint/{}/send-example", rig.endpoint(&app).await);
    let schemas = json!({ "1": { "type": "object", "examples": [{ "paid": true }] } });
    let made = json!({ "name": "a.b", "description": "d", "schemas": schemas });
    rig.post("/api/v1/event-type", made).await.ok(201);
    let sent = rig.post(&path, json!({ "eventType": "a.b" })).await.ok(202);
    assert_eq!((&sent["payload"], &sent["eventType"]), (&json!({ "paid": true }), &json!("a.b")));
    assert_eq!(rig.post(&path, json!({ "eventType": "svix.ping" })).await.status, 202);
    let own = rig.call("POST", &path, r#"{"eventType": "x", "payload": {"n": 1.00}}"#).await;
    assert_eq!(own.status, 202);
    assert_eq!(&rig.memory.last_body()[..], b"{\"n\": 1.00}");
    assert_eq!(rig.post(&path, json!({ "eventType": "no.such" })).await.ok(400)["code"], "invalid_scheme");
}
