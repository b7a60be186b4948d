//! Who may do what.

use crate::client::{JWT_SECRET, Rig};
use crate::doubles::NOW;
use hookfast_core::model::{Principal, Scope};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

/// A signed token that the server knows.
pub(crate) fn jwt(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(JWT_SECRET.as_bytes())).unwrap()
}

/// Every documented route with its parameters filled in, its method, and whether it is open to all.
fn routes() -> Vec<(String, String, bool)> {
    let document: Value = serde_json::from_str(&hookfast_http::document()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let is_open = operation["security"] == json!([{}]);
            routes.push((method.to_uppercase(), path.clone(), is_open));
        }
    }
    routes
}

fn filled(path: &str, app: &str) -> String {
    path.replace("{app_id}", app)
        .replace("{endpoint_id}", "ep_0000000000000000000001")
        .replace("{msg_id}", "msg_0000000000000000000001")
        .replace("{attempt_id}", "atmpt_0000000000000000000001")
        .replace("{task_id}", "qtask_0000000000000000000001")
        .replace("{token_id}", "tok_0000000000000000000001")
        .replace("{event_type_name}", "a.b")
}

/// Routes that an application's own token may call; all others belong to the organisation.
fn is_for_applications(method: &str, path: &str) -> bool {
    match (method, path.trim_start_matches("/api/v1")) {
        (_, "/app" | "/background-task/{task_id}") => false,
        (_, path) if path.ends_with("/explain") => true,
        (_, path) if path.starts_with("/hookfast/") || path.ends_with("/send-example") => false,
        ("GET", _) => true,
        (_, "/app/{app_id}" | "/app/{app_id}/msg" | "/event-type" | "/event-type/{event_type_name}") => false,
        _ => true,
    }
}

#[tokio::test]
async fn every_route_wants_a_good_token_of_the_right_scope() {
    let rig = Rig::new();
    let (app, other) = (rig.app().await, rig.app().await);
    let own = jwt(&json!({ "sub": app, "org": rig.org.as_str() }));
    let routes = routes();
    assert!(routes.len() > 35, "{}", routes.len());
    for (method, path, is_open) in routes {
        let url = filled(&path, &app);
        if is_open {
            let status = rig.with_token(&method, &url, "").await.status.as_u16();
            assert!(status < 300, "{method} {path}: {status}");
            continue;
        }
        let bad = format!("hf_{}", "A".repeat(49));
        for token in ["", "nonsense", "hf_", bad.as_str(), "a.b.c", JWT_SECRET] {
            let answer = rig.with_token(&method, &url, token).await;
            let body = answer.ok(401);
            assert_eq!(body["code"], "authentication_failed", "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let answer = rig.with_token(&method, &url, &own).await;
        if is_for_applications(&method, &path) {
            assert!(![401, 403].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.text);
        } else {
            assert_eq!(answer.ok(403)["code"], "insufficient_access", "{method} {path}");
        }
        if path.contains("{app_id}") && is_for_applications(&method, &path) {
            let answer = rig.with_token(&method, &filled(&path, &other), &own).await;
            assert_eq!(answer.status, 404, "{method} {path}: another application must not exist");
        }
    }
}

#[tokio::test]
async fn another_organisation_sees_nothing() {
    let rig = Rig::new();
    let app = rig.app().await;
    let stranger = jwt(&json!({ "sub": "org_stranger" }));
    assert_eq!(rig.with_token("GET", &format!("/api/v1/app/{app}"), &stranger).await.status, 404);
    assert_eq!(rig.with_token("GET", "/api/v1/app", &stranger).await.ok(200)["data"], json!([]));
    let same = jwt(&json!({ "sub": rig.org.as_str() }));
    assert_eq!(rig.with_token("GET", &format!("/api/v1/app/{app}"), &same).await.status, 200);
}

#[tokio::test]
async fn tokens_are_made_shown_once_used_and_revoked() {
    let rig = Rig::new();
    let app = rig.app().await;
    let made = rig.post("/api/v1/hookfast/token", json!({ "name": "ci" })).await.ok(201);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("hf_") && token.len() == 52);
    assert_eq!((&made["name"], &made["expiresAt"], &made["appId"]), (&json!("ci"), &Value::Null, &Value::Null));
    // Both through memory and through the store: ids alternate.
    let more = rig.post("/api/v1/hookfast/token", json!({ "name": "more", "appId": app })).await.ok(201);
    assert_eq!(more["appId"], json!(app));
    assert_eq!(rig.with_token("GET", "/api/v1/app", token).await.status, 200);
    let path = format!("/api/v1/app/{app}");
    let narrow = more["token"].as_str().unwrap();
    assert_eq!(rig.with_token("GET", &path, narrow).await.status, 200);
    assert_eq!(rig.with_token("DELETE", &path, narrow).await.status, 403);
    let listed = rig.get("/api/v1/hookfast/token").await;
    assert!(!listed.text.contains("hf_"), "{}", listed.text);
    assert_eq!(listed.ok(200)["data"].as_array().unwrap().len(), 2);
    let revoke = format!("/api/v1/hookfast/token/{}", made["id"].as_str().unwrap());
    assert_eq!(rig.call("DELETE", &revoke, "").await.status, 204);
    assert_eq!(rig.call("DELETE", &revoke, "").await.status, 404);
    assert_eq!(rig.with_token("GET", "/api/v1/app", token).await.status, 401);
}

#[tokio::test]
async fn an_expired_token_is_refused_and_one_in_the_past_is_not_made() {
    let rig = Rig::new();
    let made = rig.post("/api/v1/hookfast/token", json!({ "name": "n", "expiresAt": "2026-10-20T10:00:00Z" })).await;
    assert_eq!(made.ok(422)["detail"][0]["loc"], json!(["body", "expiresAt"]));
    let made = rig.post("/api/v1/hookfast/token", json!({ "name": "n", "expiresAt": "2026-10-20T10:00:01" })).await;
    assert_eq!(made.ok(201)["expiresAt"], "2026-10-20T10:00:01.000Z");
    let text = made.json()["token"].as_str().unwrap().to_owned();
    let (hash, token) = {
        let state = rig.memory.state();
        let (hash, token) = state.tokens.iter().next().unwrap();
        (*hash, token.clone())
    };
    assert_eq!(rig.with_token("GET", "/api/v1/app", &text).await.status, 200);
    rig.memory.add_token(hash, token.principal.clone(), Some(NOW));
    let answer = rig.with_token("GET", "/api/v1/app", &text).await;
    assert!(answer.ok(401)["detail"].as_str().unwrap().contains("expired"));
    let everything = Principal { org: rig.org.clone(), scope: Scope::Org };
    assert_eq!(token.principal, everything);
}

#[tokio::test]
async fn the_signing_secret_sent_as_a_token_gets_a_hint() {
    let rig = Rig::new();
    let answer = rig.with_token("GET", "/api/v1/app", &JWT_SECRET.replace(' ', "-")).await;
    assert!(!answer.ok(401)["detail"].as_str().unwrap().contains("secret that signs"));
    let answer = rig.with_token("GET", "/api/v1/app", JWT_SECRET).await;
    assert!(answer.ok(401)["detail"].as_str().unwrap().contains("secret that signs tokens"));
}
