//! The stories of events and endpoints, as far as the API makes them.

use crate::access::jwt;
use crate::client::{Rig, id};
use axum::body::Body;
use hookfast_core::delivery::Cause;
use http::Request;
use serde_json::{Value, json};

#[tokio::test]
async fn an_event_is_told_with_its_destinations_and_attempts_by_its_id_alone() {
    let rig = Rig::new();
    let app = rig.app().await;
    let endpoint = rig.endpoint(&app).await;
    rig.endpoint(&app).await;
    let message = rig.message(&app).await;
    for cause in [Cause::Status, Cause::Ok] {
        rig.memory.add_attempt(message.parse().unwrap(), endpoint.parse().unwrap(), cause);
    }
    let story = rig.get(&format!("/api/v1/hookfast/msg/{message}/explain")).await.ok(200);
    assert_eq!((id(&story), &story["appId"], &story["payloadKept"]), (message.clone(), &json!(app), &json!(true)));
    assert_eq!(story["acceptedAt"], "2026-10-20T10:00:00.000Z");
    assert_eq!((&story["destinationCount"], &story["refusedCount"]), (&json!(2), &json!(0)));
    let first = &story["destinations"][0];
    assert_eq!((id(first), &first["state"], &first["deleted"]), (endpoint, &json!("pending"), &json!(false)));
    let causes: Vec<_> = first["attempts"].as_array().unwrap().iter().map(|one| one["cause"].clone()).collect();
    assert_eq!(causes, ["status", "ok"], "oldest first");
    assert_eq!(story["destinations"][1]["attempts"], json!([]));
    let same = rig.get(&format!("/api/v1/hookfast/app/{app}/msg/{message}/explain")).await.ok(200);
    assert_eq!(same, story);
    rig.memory.expunge(message.parse().unwrap());
    let story = rig.get(&format!("/api/v1/hookfast/msg/{message}/explain")).await.ok(200);
    assert_eq!(story["payloadKept"], false);
}

#[tokio::test]
async fn an_event_is_told_with_its_source_and_who_sent_it() {
    let rig = Rig::new();
    let app = rig.app().await;
    let made = rig.post("/api/v1/hookfast/token", json!({ "name": "ci" })).await.ok(201);
    let (token, text) = (id(&made), made["token"].as_str().unwrap());
    let origin = async |message: &str| {
        let story = rig.get(&format!("/api/v1/hookfast/msg/{message}/explain")).await.ok(200);
        (story["source"].clone(), story["acceptedBy"].clone())
    };
    let sent_with = async |token: &str| {
        let request =
            Request::post(format!("/api/v1/app/{app}/msg")).header("authorization", format!("Bearer {token}"));
        let body = Body::from(r#"{"eventType":"a.b","payload":{}}"#);
        id(&Rig::send(&rig.guarded, request.body(body).unwrap()).await.ok(202))
    };
    assert_eq!(origin(&sent_with(text).await).await, (json!("api"), json!(format!("{token} (ci)"))));
    let by_jwt = sent_with(&jwt(&json!({ "sub": rig.org.as_str() }))).await;
    assert_eq!(origin(&by_jwt).await, (json!("api"), json!(format!("jwt:{}", rig.org))));
    assert_eq!(origin(&rig.message(&app).await).await, (json!("cli"), Value::Null));
}

#[tokio::test]
async fn an_endpoint_is_told_with_its_health_and_what_waits() {
    let rig = Rig::new();
    let app = rig.app().await;
    let (endpoint, message) = (rig.endpoint(&app).await, rig.message(&app).await);
    rig.memory.add_attempt(message.parse().unwrap(), endpoint.parse().unwrap(), Cause::Status);
    let path = format!("/api/v1/hookfast/endpoint/{endpoint}/explain");
    let story = rig.get(&path).await.ok(200);
    assert_eq!((id(&story), &story["appId"], &story["health"]), (endpoint.clone(), &json!(app), &json!("good")));
    assert_eq!((&story["pending"], &story["retrying"]), (&json!(3), &json!(2)));
    assert_eq!(story["oldestWaiting"], "2026-10-20T09:59:00.000Z");
    assert_eq!(story["attempts"][0]["cause"], "status");
    let own = format!("/api/v1/app/{app}/endpoint/{endpoint}");
    rig.json("PATCH", &own, json!({ "disabled": true })).await.ok(200);
    let story = rig.get(&format!("/api/v1/hookfast/app/{app}/endpoint/{endpoint}/explain")).await.ok(200);
    assert_eq!((&story["health"], &story["disabledReason"]), (&json!("disabled"), &json!("by_owner")));
}

#[tokio::test]
async fn what_is_unknown_or_another_application_s_is_not_told() {
    let rig = Rig::new();
    let (app, other) = (rig.app().await, rig.app().await);
    let (endpoint, message) = (rig.endpoint(&app).await, rig.message(&app).await);
    let token = |app: &str| json!({ "name": "t", "appId": app });
    let made = |value: Value| value["token"].as_str().unwrap().to_owned();
    let own = made(rig.post("/api/v1/hookfast/token", token(&app)).await.ok(201));
    let stranger = made(rig.post("/api/v1/hookfast/token", token(&other)).await.ok(201));
    for path in [format!("msg/{message}"), format!("endpoint/{endpoint}")] {
        let path = format!("/api/v1/hookfast/{path}/explain");
        assert_eq!(rig.with_token("GET", &path, &own).await.status, 200);
        let refused = rig.with_token("GET", &path, &stranger).await;
        assert_eq!(refused.status, 404);
        assert!(!refused.text.contains("application"), "{}", refused.text);
    }
    for unknown in
        ["msg/msg_0000000000000000000001", "msg/x", "endpoint/ep_0000000000000000000001", "endpoint/x", "msg/app_1"]
    {
        assert_eq!(rig.get(&format!("/api/v1/hookfast/{unknown}/explain")).await.status, 404, "{unknown}");
    }
}
