//! Messages, their destinations and their attempts.

use crate::client::{Rig, id};
use hookfast_core::Error;
use hookfast_core::delivery::Cause;
use serde_json::{Value, json};

#[tokio::test]
async fn a_payload_goes_through_byte_by_byte() {
    let rig = Rig::new();
    let path = format!("/api/v1/app/{}/msg", rig.app().await);
    let payload = format!(r#"{{ "z" : {} ,"a":1.00, "z": "\u00e9" }}"#, "9".repeat(400));
    let body =
        format!(r#"{{"eventType":"a.b","eventId":"e-1","channels":["c"],"orderingKey":"k","payload": {payload} }}"#);
    let answer = rig.call("POST", &path, &body).await;
    assert_eq!(answer.status, 202);
    assert!(answer.text.contains(&payload), "{}", answer.text);
    let made: Value = serde_json::from_str(&answer.text.replace(&payload, "{}")).unwrap();
    assert_eq!(
        (&made["eventId"], &made["eventType"], &made["channels"]),
        (&json!("e-1"), &json!("a.b"), &json!(["c"]))
    );
    assert_eq!((&made["tags"], &made["timestamp"]), (&Value::Null, &json!("2026-10-20T10:00:00.000Z")));
    assert_eq!(rig.memory.last_body(), payload.as_bytes());
    assert_eq!(rig.memory.state().submissions[0].ordering_key.as_deref(), Some("k"));
    let one = format!("{path}/{}", id(&made));
    assert!(rig.get(&one).await.text.contains(&payload));
    assert!(rig.get(&format!("{path}/e-1")).await.text.contains(&payload));
    assert!(rig.get(&path).await.text.contains(&payload));
    for query in [format!("{one}?with_content=false"), format!("{path}?with_content=false")] {
        assert!(rig.get(&query).await.text.contains(r#""payload":{}"#));
    }
    let quiet = rig.call("POST", &format!("{path}?with_content=false"), &body).await.ok(202);
    assert_eq!(quiet["payload"], json!({}));
}

#[tokio::test]
async fn a_raw_payload_replaces_the_body() {
    let rig = Rig::new();
    let path = format!("/api/v1/app/{}/msg", rig.app().await);
    let raw = json!({ "rawPayload": "<a/>", "headers": { "content-type": "text/xml" } });
    let made = rig.post(&path, json!({ "eventType": "a", "payload": {}, "transformationsParams": raw })).await.ok(202);
    assert_eq!((&made["payload"], &made["rawPayload"]), (&json!({}), &json!("<a/>")));
    assert_eq!(&rig.memory.last_body()[..], b"<a/>");
    assert_eq!(rig.memory.state().submissions[0].content_type.as_deref(), Some("text/xml"));
    rig.memory.expunge(id(&made).parse().unwrap());
    let read = rig.get(&format!("{path}/{}", id(&made))).await.ok(200);
    assert_eq!(read["payload"], json!({ "expired": true }));
}

#[tokio::test]
async fn an_application_is_made_along_the_way() {
    let rig = Rig::new();
    let message = |application: Value| json!({ "eventType": "a", "payload": {}, "application": application });
    let path = "/api/v1/app/new-one/msg";
    assert_eq!(rig.post(path, json!({ "eventType": "a", "payload": {} })).await.status, 404);
    let answer = rig.post(path, message(json!({ "name": "N" }))).await.ok(422);
    assert_eq!(answer["detail"][0]["type"], "application_uid_missing");
    let answer = rig.post(path, message(json!({ "name": "N", "uid": "other" }))).await.ok(422);
    assert_eq!(answer["detail"][0]["type"], "application_uid_mismatch");
    rig.post(path, message(json!({ "name": "N", "uid": "new-one" }))).await.ok(202);
    rig.post(path, message(json!({ "name": "N", "uid": "new-one" }))).await.ok(202);
    assert_eq!(rig.memory.state().applications.len(), 1);
}

#[tokio::test]
async fn what_intake_refuses_is_answered_with_its_field_and_when_to_come_back() {
    let rig = Rig::new();
    let path = format!("/api/v1/app/{}/msg", rig.app().await);
    let body = json!({ "eventType": "a", "payload": {} });
    for (error, status, retry_after) in [
        (Error::invalid("eventType", "expected something else"), 422, ""),
        (Error::Conflict { code: "idempotency_conflict", reason: "another body".to_owned() }, 409, ""),
        (Error::Overloaded { reason: "deliveries lag behind", retry_after_ms: 2_500 }, 503, "3"),
        (Error::Unavailable { reason: "gone".to_owned() }, 503, "1"),
        (Error::Terminal { reason: "broken".to_owned() }, 500, ""),
    ] {
        // The application is in memory, or the look-up would fail first.
        rig.memory.state().fail_with = Some(error);
        let answer = rig.post(&path, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, retry_after), "{}", answer.text);
        answer.json();
    }
}

#[tokio::test]
async fn destinations_show_state_and_status() {
    let rig = Rig::new();
    let app = rig.app().await;
    for _ in 0..5 {
        rig.endpoint(&app).await;
    }
    let path = format!("/api/v1/app/{app}/msg/{}/endpoint", rig.message(&app).await);
    let all = rig.get(&path).await.ok(200);
    let shown: Vec<_> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (one["state"].as_str().unwrap(), one["status"].as_u64().unwrap(), one["statusText"].as_str().unwrap())
        })
        .collect();
    let want = [
        ("pending", 1, "pending"),
        ("retrying", 3, "sending"),
        ("delivered", 0, "success"),
        ("dead", 2, "fail"),
        ("cancelled", 2, "fail"),
    ];
    assert_eq!(shown, want);
    assert_eq!(all["data"][1]["nextAttempt"], "2026-10-20T10:00:05.000Z");
    assert_eq!(
        (&all["data"][0]["nextAttempt"], &all["data"][0]["tries"], &all["data"][0]["run"]),
        (&Value::Null, &json!(2), &json!(1))
    );
    assert!(all["data"][0]["url"].is_string() && all["done"] == true);
    let page = rig.get(&format!("{path}?limit=2")).await.ok(200);
    assert_eq!((page["data"].as_array().unwrap().len(), &page["done"]), (2, &json!(false)));
    assert_eq!(rig.get(&format!("/api/v1/app/{app}/msg/msg_0000000000000000000001/endpoint")).await.status, 404);
}

#[tokio::test]
async fn attempts_are_listed_filtered_and_read() {
    let rig = Rig::new();
    let app = rig.app().await;
    let (endpoint, message) = (rig.endpoint(&app).await, rig.message(&app).await);
    for cause in [Cause::Status, Cause::Ok] {
        rig.memory.add_attempt(message.parse().unwrap(), endpoint.parse().unwrap(), cause);
    }
    let path = format!("/api/v1/app/{app}/attempt/msg/{message}");
    let all = rig.get(&path).await.ok(200);
    let (newest, oldest) = (&all["data"][0], &all["data"][1]);
    assert_eq!(
        (&newest["status"], &newest["statusText"], &newest["responseStatusCode"]),
        (&json!(0), &json!("success"), &json!(200))
    );
    assert_eq!(
        (&oldest["status"], &oldest["statusText"], &oldest["response"]),
        (&json!(2), &json!("fail"), &json!("not fine"))
    );
    assert_eq!(
        (&newest["triggerType"], &newest["msgId"], &newest["endpointId"]),
        (&json!(1), &json!(message), &json!(endpoint))
    );
    let count = async |query: &str| rig.get(&format!("{path}?{query}")).await.ok(200)["data"].as_array().unwrap().len();
    assert_eq!(count("status=0&expanded_statuses=true").await, 1);
    assert_eq!(count("status=2&status_code_class=500").await, 1);
    assert_eq!(count("status=3").await, 0);
    assert_eq!(count(&format!("endpoint_id={endpoint}&event_types=a,b&event_types[]=c")).await, 2);
    let quiet = rig.get(&format!("/api/v1/app/{app}/attempt/endpoint/{endpoint}?with_content=false")).await.ok(200);
    assert_eq!(quiet["data"][0]["response"], "{}");
    let one = format!("/api/v1/app/{app}/msg/{message}/attempt/{}", id(newest));
    assert_eq!(rig.get(&one).await.ok(200)["response"], "fine");
    for wrong in ["status=5", "status_code_class=1", "tag=x", "iterator=msg_garbage", "after=noon", "channel=a%20b"] {
        assert_eq!(rig.get(&format!("{path}?{wrong}")).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn resending_answers_an_empty_object() {
    let rig = Rig::new();
    let app = rig.app().await;
    let (endpoint, message) = (rig.endpoint(&app).await, rig.message(&app).await);
    let path = format!("/api/v1/app/{app}/msg/{message}/endpoint/{endpoint}/resend");
    assert_eq!(rig.call("POST", &path, "").await.ok(202), json!({}));
    rig.memory.expunge(message.parse().unwrap());
    assert_eq!(rig.call("POST", &path, "").await.ok(400)["code"], "missing_payload");
}
