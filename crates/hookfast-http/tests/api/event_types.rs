//! Event types.

use crate::client::Rig;
use serde_json::{Value, json};

#[tokio::test]
async fn an_event_type_is_made_changed_archived_and_brought_back() {
    let rig = Rig::new();
    let body = json!({ "name": "invoice.paid", "description": "Paid", "featureFlag": "beta", "schemas": { "1": { "type": "object" } } });
    let made = rig.post("/api/v1/event-type", body.clone()).await.ok(201);
    assert_eq!((&made["featureFlag"], &made["featureFlags"]), (&json!("beta"), &json!(["beta"])));
    assert_eq!(
        (&made["archived"], &made["deprecated"], &made["groupName"]),
        (&json!(false), &json!(false), &Value::Null)
    );
    assert_eq!(rig.post("/api/v1/event-type", body.clone()).await.ok(409)["code"], "event_type_exists");
    let one = "/api/v1/event-type/invoice.paid";
    assert_eq!(rig.get(one).await.ok(200)["schemas"], json!({ "1": { "type": "object" } }));
    assert_eq!(rig.get("/api/v1/event-type").await.ok(200)["data"][0]["schemas"], Value::Null);
    let listed = rig.get("/api/v1/event-type?with_content=true").await.ok(200);
    assert_eq!(
        (&listed["data"][0]["schemas"]["1"]["type"], &listed["iterator"]),
        (&json!("object"), &json!("invoice.paid"))
    );
    let patched = rig.json("PATCH", one, json!({ "deprecated": true, "schemas": null })).await.ok(200);
    assert_eq!((&patched["deprecated"], &patched["schemas"]), (&json!(true), &Value::Null));
    assert_eq!(rig.call("DELETE", one, "").await.status, 204);
    assert_eq!(rig.get("/api/v1/event-type").await.ok(200)["data"], json!([]));
    assert_eq!(rig.get("/api/v1/event-type?include_archived=true").await.ok(200)["data"][0]["archived"], true);
    assert_eq!(rig.post("/api/v1/event-type", body).await.status, 201);
    assert_eq!(rig.call("DELETE", &format!("{one}?expunge=true"), "").await.status, 204);
    assert_eq!(rig.get(one).await.status, 404);
    assert_eq!(rig.json("PUT", one, json!({ "description": "again" })).await.status, 201);
    assert_eq!(rig.json("PUT", one, json!({ "description": "more" })).await.ok(200)["description"], "more");
}

#[tokio::test]
async fn wrong_event_types_are_refused() {
    let rig = Rig::new();
    for (body, field) in [
        (json!({ "description": "" }), "name"),
        (json!({ "name": "a b", "description": "" }), "name"),
        (json!({ "name": "a" }), "description"),
        (json!({ "name": "a", "description": "", "schemas": [] }), "schemas"),
        (json!({ "name": "a", "description": "", "schemas": { "1": "text" } }), "schemas"),
        (json!({ "name": "a", "description": "", "featureFlags": [""] }), "featureFlags"),
    ] {
        let answer = rig.post("/api/v1/event-type", body).await.ok(422);
        assert_eq!(answer["detail"][0]["loc"][1], field, "{answer}");
    }
    let answer = rig.json("PUT", "/api/v1/event-type/a%20b", json!({ "description": "" })).await.ok(422);
    assert_eq!(answer["detail"][0]["loc"], json!(["path", "event_type_name"]));
}
