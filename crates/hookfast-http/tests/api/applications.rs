//! Applications.

use crate::client::{Rig, id};
use serde_json::json;

#[tokio::test]
async fn an_application_is_made_read_changed_and_deleted() {
    let rig = Rig::new();
    let body = json!({ "name": "Tenant", "uid": "t-1", "throttleRate": null, "metadata": { "k": "v" }, "retentionDays": 7, "other": 1 });
    let made = rig.post("/api/v1/app", body.clone()).await.ok(201);
    assert_eq!(made["uid"], "t-1");
    assert_eq!(made["createdAt"], "2026-10-20T10:00:00.000Z");
    assert_eq!((&made["throttleRate"], &made["retentionDays"]), (&json!(null), &json!(7)));
    assert_eq!(rig.post("/api/v1/app", body.clone()).await.ok(409)["code"], "uid_taken");
    for query in ["get_if_exists=true", "getIfExists=true"] {
        let again = rig.post(&format!("/api/v1/app?{query}"), body.clone()).await.ok(200);
        assert_eq!(again["id"], made["id"]);
    }
    let path = format!("/api/v1/app/{}", id(&made));
    assert_eq!(rig.get("/api/v1/app/t-1").await.ok(200), rig.get(&path).await.ok(200));
    // Absent stays, null unsets, and null for a name means absent.
    let patched = rig.json("PATCH", &path, json!({ "uid": null, "name": null, "rateLimit": 9 })).await.ok(200);
    assert_eq!((patched.get("uid"), &patched["name"]), (None, &json!("Tenant")));
    assert_eq!((&patched["throttleRate"], &patched["rateLimit"]), (&json!(9), &json!(9)));
    let replaced = rig.json("PUT", &path, json!({ "name": "New" })).await.ok(200);
    assert_eq!((&replaced["throttleRate"], &replaced["metadata"]), (&json!(null), &json!({})));
    let made = rig.json("PUT", "/api/v1/app/unknown", json!({ "name": "N", "uid": "from-body" })).await.ok(201);
    assert_eq!(made["uid"], "from-body");
    assert_eq!(rig.call("DELETE", &path, "").await.status, 204);
    assert_eq!(rig.get(&path).await.ok(404)["code"], "not_found");
}

#[tokio::test]
async fn lists_walk_both_ways() {
    let rig = Rig::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(rig.app().await);
    }
    let page = rig.get("/api/v1/app?limit=2").await.ok(200);
    assert_eq!((&page["data"][0]["id"], &page["done"]), (&json!(ids[0]), &json!(false)));
    assert_eq!((&page["iterator"], &page["prevIterator"]), (&json!(ids[1]), &json!(format!("-{}", ids[0]))));
    let page = rig.get(&format!("/api/v1/app?limit=3&iterator={}", ids[1])).await.ok(200);
    assert_eq!((page["data"].as_array().unwrap().len(), &page["done"]), (3, &json!(true)));
    let back =
        rig.get(&format!("/api/v1/app?limit=2&iterator={}", page["prevIterator"].as_str().unwrap())).await.ok(200);
    assert_eq!(back["data"][0]["id"], json!(ids[0]));
    let newest = rig.get("/api/v1/app?order=descending&limit=1").await.ok(200);
    assert_eq!(newest["data"][0]["id"], json!(ids[4]));
    for wrong in ["limit=251", "iterator=msg_garbage", "iterator=app_garbage", "order=x"] {
        let body = rig.get(&format!("/api/v1/app?{wrong}")).await.ok(422);
        assert_eq!(body["detail"][0]["loc"][0], "query", "{wrong}");
        assert!(body["detail"][0]["msg"].as_str().unwrap().contains("expected"), "{wrong}");
    }
}

#[tokio::test]
async fn wrong_fields_are_all_named() {
    let rig = Rig::new();
    let body = json!({ "name": "", "uid": "app_x", "throttleRate": 0, "metadata": { "a": 1 }, "retentionDays": "x" });
    let answer = rig.post("/api/v1/app", body).await.ok(422);
    let fields: Vec<&str> =
        answer["detail"].as_array().unwrap().iter().map(|one| one["loc"][1].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "uid", "throttleRate", "metadata", "retentionDays"]);
    let answer = rig.post("/api/v1/app", json!({ "name": "N", "retentionDays": 31 })).await.ok(422);
    assert!(answer["detail"][0]["msg"].as_str().unwrap().contains("7, 30, 90, got 31"));
    let answer = rig.post("/api/v1/app", json!({ "name": "N", "metadata": { "k": "v".repeat(5_000) } })).await.ok(422);
    assert_eq!(answer["detail"][0]["type"], "too_long");
}

#[tokio::test]
async fn an_idempotency_key_reaches_the_store_hashed_with_the_body() {
    let rig = Rig::new();
    let call = |key: &'static str, body: &'static str| {
        let request = http::Request::post("/api/v1/app").header("idempotency-key", key);
        Rig::send(&rig.router, request.body(axum::body::Body::from(body)).unwrap())
    };
    for (key, body) in
        [("k1", r#"{"name":"a"}"#), ("k1", r#"{"name":"a"}"#), ("k1", r#"{"name":"b"}"#), ("k2", r#"{"name":"a"}"#)]
    {
        assert_eq!(call(key, body).await.status, 201);
    }
    let keys = rig.memory.state().keys.clone();
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[0].key_hash, keys[2].key_hash);
    assert_ne!(keys[0].body_hash, keys[2].body_hash);
    assert_ne!(keys[0].key_hash, keys[3].key_hash);
    assert_eq!(keys[0].body_hash, keys[3].body_hash);
    let answer = call("", r#"{"name":"a"}"#).await;
    assert_eq!(answer.ok(400)["code"], "invalid_idempotency_key");
}
