//! What is around the routes: what is not there, limits, health, metrics.

use crate::client::Rig;
use axum::body::Body;
use http::Request;
use serde_json::json;

#[tokio::test]
async fn what_is_not_there_answers_json() {
    let rig = Rig::new();
    for path in ["/api/v1/no/such", "/x", "/api/v1/app/a/msg/b/content", "/api/v1/environment/export"] {
        assert_eq!(rig.get(path).await.ok(404)["code"], "not_found", "{path}");
    }
    let answer = rig.call("DELETE", "/api/v1/app", "").await;
    assert_eq!(answer.ok(405)["code"], "method_not_allowed");
    let mut allowed: Vec<&str> = answer.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    assert_eq!(rig.call("OPTIONS", "/api/v1/app", "").await.status, 405);
    assert_eq!(rig.get("/").await.ok(200)["openapi"], "/api/v1/openapi.json");
}

#[tokio::test]
async fn a_slash_at_the_end_and_head_are_fine() {
    let rig = Rig::new();
    let app = rig.app().await;
    assert_eq!(rig.get(&format!("/api/v1/app/{app}/")).await.ok(200)["id"], json!(app));
    assert_eq!(rig.get("/api/v1/app/?limit=1").await.ok(200)["data"].as_array().unwrap().len(), 1);
    assert_eq!(rig.get("/api/v1/no/such/").await.ok(404)["code"], "not_found");
    let head = rig.call("HEAD", "/api/v1/app", "").await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    assert!(head.header("content-length").parse::<u64>().unwrap() > 0);
    assert_eq!(rig.call("HEAD", "/api/v1/health/ping", "").await.status, 204);
    assert_eq!(rig.get("/api/v1/health/ping").await.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn a_body_too_large_is_refused() {
    let rig = Rig::new();
    let path = format!("/api/v1/app/{}/msg", rig.app().await);
    let body = format!(r#"{{"eventType":"a","payload":{{"x":"{}"}}}}"#, "y".repeat(64 << 10));
    assert_eq!(rig.call("POST", &path, &body).await.ok(413)["code"], "payload_too_large");
    let declared = Request::post(&path).header("content-length", "70000").body(Body::empty()).unwrap();
    assert_eq!(Rig::send(&rig.router, declared).await.ok(413)["code"], "payload_too_large");
}

#[tokio::test]
async fn health_follows_the_store_and_the_drain() {
    let rig = Rig::new();
    let good = rig.get("/api/v1/health").await.ok(200);
    assert_eq!(
        good,
        json!({ "database": { "status": "ok" }, "queue": { "status": "ok" }, "cache": { "status": "ok" } })
    );
    assert_eq!(rig.get("/health/ready").await.ok(200)["status"], "ok");
    rig.memory.state().fail_with = Some(hookfast_core::Error::Unavailable { reason: "x".to_owned() });
    assert_eq!(rig.get("/api/v1/health").await.ok(500)["database"]["status"], "error");
    assert_eq!(rig.get("/health/ready").await.ok(503)["code"], "overloaded");
    assert_eq!(rig.get("/health/live").await.ok(200)["status"], "ok");
    rig.memory.state().fail_with = None;
    rig.draining.cancel();
    assert!(rig.get("/health/ready").await.ok(503)["detail"].as_str().unwrap().contains("shutting down"));
    assert_eq!(rig.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn nodes_are_listed_for_the_organisation() {
    let rig = Rig::new();
    let nodes = rig.get("/api/v1/hookfast/node").await.ok(200);
    assert_eq!(
        nodes["data"][0],
        json!({
            "incarnation": 8, "name": "host pid 8", "version": "1.0.0", "state": "alive", "claimed": 8,
            "startedAt": "2026-10-20T10:00:00.000Z", "seenAt": "2026-10-20T10:00:00.000Z", "duties": ["retention"],
            "roles": ["api", "engine"],
        })
    );
    assert_eq!((&nodes["data"][1]["state"], &nodes["data"][1]["roles"]), (&json!("dead"), &json!(null)));
    rig.memory.state().fail_with = Some(hookfast_core::Error::Unavailable { reason: "x".to_owned() });
    assert_eq!(rig.get("/api/v1/hookfast/node").await.status, 503);
}

#[tokio::test]
async fn a_node_without_an_api_serves_health_and_metrics_alone() {
    let rig = Rig::new();
    for (path, status) in [
        ("/api/v1/health/ping", 204),
        ("/api/v1/health", 200),
        ("/health/live", 200),
        ("/health/ready", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/api/v1/openapi.json", 404),
        ("/api/v1/app", 404),
        ("/api/v1/hookfast/node", 404),
    ] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(Rig::send(&rig.health, request).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn metrics_and_the_document_are_served_without_a_token() {
    let rig = Rig::new();
    let metrics = rig.with_token("GET", "/metrics", "").await;
    assert!(metrics.text.contains("hookfast_store_queue_rows 3") && metrics.text.ends_with("# EOF\n"));
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let document = rig.with_token("GET", "/api/v1/openapi.json", "").await;
    assert_eq!(document.text, hookfast_http::document());
}

/// What the document says about a body and what is read from it cannot drift apart: a number with a fraction is wrong
/// for every field there is.
#[tokio::test]
async fn every_documented_field_of_a_body_is_read() {
    let rig = Rig::new();
    let app = rig.app().await;
    let (endpoint, message) = (rig.endpoint(&app).await, rig.message(&app).await);
    let document: serde_json::Value = serde_json::from_str(&hookfast_http::document()).unwrap();
    let mut checked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(reference) = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
            else {
                continue;
            };
            let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
            let path = path.replace("{app_id}", &app).replace("{endpoint_id}", &endpoint).replace("{msg_id}", &message);
            for field in schema["properties"].as_object().unwrap().keys() {
                let answer = rig.json(&method.to_uppercase(), &path, json!({ field: 1.5 })).await.ok(422);
                let problems = answer["detail"].as_array().unwrap();
                let named = problems.iter().find(|problem| problem["loc"] == json!(["body", field]));
                let msg = named.map(|problem| problem["msg"].as_str().unwrap());
                assert!(msg.is_some_and(|msg| msg.contains("got the number 1.5")), "{method} {path} {field}: {answer}");
                checked += 1;
            }
        }
    }
    assert!(checked > 70, "{checked}");
}
