//! A sweep over all that the OpenAPI document lists: each field of each body wrong in each way, each parameter of each
//! query, each id of another kind, each method, each token that is none. What is forbidden it reads from the document that
//! the server serves; by itself it knows one good body for each schema.

use crate::document::{Document, Operation};
use crate::rig::Rig;
use crate::talk::{attempts, call, get, send, until_state};
use hookfast_lab::client::Client;
use hookfast_lab::receiver::Behaviour;
use serde_json::{Value, json};
use std::sync::Arc;

/// A running server, its document, and things of every kind in it.
struct Swept {
    rig: Rig,
    client: Arc<Client>,
    document: Document,
    /// Path parameters that lead somewhere.
    known: Vec<(&'static str, String)>,
    now: String,
}

impl Swept {
    async fn start() -> Self {
        let rig = Rig::start(&[Behaviour::Ok], &[]).await;
        let client = rig.client();
        let document = Document(get(&client, "/api/v1/openapi.json").await);
        let (app, endpoint, now) =
            (rig.app.clone(), rig.expected[0].endpoint.clone(), jiff::Timestamp::now().to_string());
        let event = send(&client, &app, &json!({})).await;
        until_state(&client, &app, &event, &endpoint, "delivered").await;
        let attempt = attempts(&client, &app, &event, &endpoint).await[0]["id"].as_str().unwrap().to_owned();
        let make = async |path: &str, body: Value| {
            let (status, made) = call(&client, "POST", path, Some(body)).await;
            assert!((200..300).contains(&status), "{path}: {status} {made}");
            made["id"].as_str().unwrap_or_default().to_owned()
        };
        make("/api/v1/event-type", json!({ "name": "lab.event", "description": "" })).await;
        let token = make("/api/v1/hookfast/token", json!({ "name": "swept" })).await;
        let task = make(&format!("/api/v1/app/{app}/endpoint/{endpoint}/recover"), json!({ "since": now })).await;
        let known = vec![
            ("app_id", app),
            ("endpoint_id", endpoint),
            ("msg_id", event),
            ("attempt_id", attempt),
            ("task_id", task),
            ("token_id", token),
            ("event_type_name", "lab.event".to_owned()),
        ];
        Self { rig, client, document, known, now }
    }

    /// The path of an operation with good ids, but for the parameter `other`, which gets a value.
    fn path(&self, operation: &Operation, other: Option<(&str, &str)>) -> String {
        let fill = |path: String, name: &str, value: &str| path.replace(&format!("{{{name}}}"), value);
        let path =
            other.map_or_else(|| operation.path.clone(), |(name, value)| fill(operation.path.clone(), name, value));
        self.known.iter().fold(path, |path, (name, value)| fill(path, name, value))
    }

    /// A body that is taken. A new schema needs a line here.
    fn good(&self, schema: &str) -> Value {
        match schema {
            "ApplicationIn" | "TokenIn" => json!({ "name": "swept" }),
            "ApplicationPatchIn" | "EndpointPatchIn" | "EventTypePatchIn" | "EndpointSecretRotateIn" => json!({}),
            "EndpointIn" | "EndpointUpdate" => json!({ "url": self.rig.receiver.url("/hook/0") }),
            "EndpointHeadersIn" | "EndpointHeadersPatchIn" => json!({ "headers": {} }),
            "RecoverIn" => json!({ "since": self.now }),
            "EventExampleIn" => json!({ "eventType": "svix.ping" }),
            "EventTypeIn" => json!({ "name": "swept", "description": "" }),
            "EventTypeUpdate" => json!({ "description": "" }),
            "MessageIn" => json!({ "eventType": "lab.event", "payload": {} }),
            other => panic!("the sweep knows no good body of {other}"),
        }
    }

    /// The operations that take a body: each with its path, the name of its schema, and a good body.
    fn with_bodies(&self) -> Vec<(Operation, String, String, Value)> {
        let all = self.document.operations().into_iter().filter_map(|operation| {
            let schema = self.document.body_name(&operation)?.to_owned();
            Some((self.path(&operation, None), self.good(&schema), schema, operation))
        });
        all.map(|(path, good, schema, operation)| (operation, path, schema, good)).collect()
    }

    /// Sends what is wrong. Answers why the answer is not the one that it should be: a 422 that names the place, what was
    /// expected and what came.
    async fn fault(&self, method: &str, path: &str, body: Option<String>, place: &[String]) -> Option<String> {
        let answer = self.client.call(method, path, body.clone().map(String::into_bytes)).await.unwrap();
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let problems = said["detail"].as_array().cloned().unwrap_or_default();
        let names_it = |problem: &Value| {
            let loc: Vec<&str> = problem["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let said = problem["msg"].as_str().unwrap_or_default();
            loc.len() >= place.len()
                && loc.iter().zip(place).all(|(one, other)| one == other)
                && said.contains("expected")
        };
        let is_right = answer.status == 422 && problems.iter().any(names_it);
        let shown: String = body.unwrap_or_default().chars().take(300).collect();
        (!is_right).then(|| format!("{method} {path} {shown}\n  {place:?} should be refused: {} {said}", answer.status))
    }

    async fn status(&self, client: &Client, operation: &Operation, path: &str) -> (u16, Value) {
        let body = self.document.body_name(operation).map(|schema| self.good(schema));
        call(client, &operation.method, path, body).await
    }

    async fn end(mut self) {
        let metrics = self.client.metrics().await.unwrap();
        assert!(metrics.contains("hookfast_http_panics_total 0"));
        assert!(self.rig.terminate().await.success());
    }
}

#[track_caller]
fn assert_none(faults: &[String], tried: usize) {
    assert!(faults.is_empty(), "{} of {tried}:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_field_of_every_body_is_named() {
    let swept = Swept::start().await;
    let (mut faults, mut tried) = (Vec::new(), 0);
    for (operation, path, schema, good) in swept.with_bodies() {
        let place = |field: &[String]| [&["body".to_owned()], field].concat();
        for wrong in swept.document.wrong_bodies(&schema, &good) {
            tried += 1;
            let body = Some(wrong.body.to_string());
            faults.extend(swept.fault(&operation.method, &path, body, &place(&wrong.field)).await);
        }
        for field in swept.document.fields(&schema) {
            tried += 1;
            let mut others = good.clone();
            others.as_object_mut().unwrap().remove(&field);
            let rest = others.to_string()[1..].to_owned();
            let separator = if rest == "}" { "" } else { "," };
            let twice = format!(r#"{{"{field}":null,"{field}":null{separator}{rest}"#);
            faults.extend(swept.fault(&operation.method, &path, Some(twice), &place(&[field])).await);
        }
        for no_object in ["[]", "null", "5", "\"text\"", "{", "{\"a\":}", "{}{}", "\u{0}", "{\"\\ud800\":1}x"] {
            tried += 1;
            faults.extend(swept.fault(&operation.method, &path, Some(no_object.to_owned()), &place(&[])).await);
        }
        // What is good is taken: else nothing above was proved.
        let (status, said) = swept.status(&swept.client, &operation, &path).await;
        assert!((200..300).contains(&status), "{} {path}: {status} {said}", operation.method);
    }
    assert_none(&faults, tried);
    assert!(tried > 1_000, "{tried}");
    swept.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_refused_for_what_no_schema_says() {
    let swept = Swept::start().await;
    let app = "/api/v1/app";
    let (endpoints, kinds) = (format!("{app}/{}/endpoint", swept.rig.app), "/api/v1/event-type");
    let (messages, here) = (format!("{app}/{}/msg", swept.rig.app), swept.rig.receiver.url("/hook/0"));
    let recover = format!("{endpoints}/{}/recover", swept.rig.expected[0].endpoint);
    let long: String = "ä".repeat(200);
    let cases = [
        (app, "uid", json!({ "name": "n", "uid": "app_1" })),
        (app, "retentionDays", json!({ "name": "n", "retentionDays": 8 })),
        (app, "metadata", json!({ "name": "n", "metadata": { "k": "x".repeat(4_096) } })),
        (&endpoints, "uid", json!({ "url": here, "uid": "ep_1" })),
        (&endpoints, "eventTypes", json!({ "url": here, "eventTypes": ["no.such.type"] })),
        (&endpoints, "ordering.pointer", json!({ "url": here, "ordering": { "pointer": "no/slash" } })),
        (&endpoints, "ordering.pointer", json!({ "url": here, "ordering": { "pointer": format!("/{long}") } })),
        (&endpoints, "secret", json!({ "url": here, "secret": "whsec_c2hvcnQ=" })),
        (&endpoints, "headers", json!({ "url": here, "headers": { "x-a": "b\r\nx-c: d" } })),
        (&endpoints, "headers", json!({ "url": here, "headers": { "x a": "b" } })),
        (&endpoints, "headers", json!({ "url": here, "headers": { "content-length": "5" } })),
        (&endpoints, "headers", json!({ "url": here, "headers": { "X-A": "1", "x-a": "2" } })),
        (&endpoints, "url", json!({ "url": "ftp://receiver.example/" })),
        (&endpoints, "url", json!({ "url": "http://10.0.0.1/" })),
        (&endpoints, "url", json!({ "url": "http://user:word@receiver.example/" })),
        (&endpoints, "url", json!({ "url": swept.rig.config.url() })),
        (kinds, "schemas", json!({ "name": "n", "description": "", "schemas": { "1": [] } })),
        (&messages, "eventId", json!({ "eventType": "a", "payload": {}, "eventId": "msg_1" })),
        (&messages, "orderingKey", json!({ "eventType": "a", "payload": {}, "orderingKey": long })),
        (&messages, "deliverAt", json!({ "eventType": "a", "payload": {}, "deliverAt": swept.now })),
        (&recover, "since", json!({ "since": "2020-01-01T00:00:00Z" })),
        (&recover, "until", json!({ "since": swept.now, "until": "2020-01-01T00:00:00Z" })),
        ("/api/v1/hookfast/token", "expiresAt", json!({ "name": "n", "expiresAt": "2020-01-01T00:00:00Z" })),
    ];
    let mut faults = Vec::new();
    for (path, field, body) in &cases {
        let place: Vec<String> = std::iter::once("body").chain(field.split('.')).map(str::to_owned).collect();
        faults.extend(swept.fault("POST", path, Some(body.to_string()), &place).await);
    }
    assert_none(&faults, cases.len());
    swept.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_parameter_of_every_query_is_named() {
    let swept = Swept::start().await;
    let (mut faults, mut tried) = (Vec::new(), 0);
    for operation in swept.document.operations() {
        let path = swept.path(&operation, None);
        let body = swept.document.body_name(&operation).map(|schema| swept.good(schema).to_string());
        for (name, mut values) in swept.document.wrong_params(&operation) {
            if name == "iterator" {
                values.extend(["-", "%00", "a%20b", "%ff"].map(str::to_owned));
                values.push("x".repeat(300));
                // Event types are listed by name, and a name may look like anything.
                if operation.path != "/api/v1/event-type" {
                    values.extend(["app_garbage", "msg_", "-ep_", "evt_0000000000000000000000"].map(str::to_owned));
                }
            }
            for value in values {
                tried += 1;
                let path = format!("{path}?{name}={value}");
                let place = ["query".to_owned(), name.clone()];
                faults.extend(swept.fault(&operation.method, &path, body.clone(), &place).await);
            }
        }
    }
    assert_none(&faults, tried);
    assert!(tried > 200, "{tried}");
    swept.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_another_kind_lead_nowhere() {
    let swept = Swept::start().await;
    let (mut faults, mut tried) = (Vec::new(), 0);
    let strange =
        ["nobody", "%00", "%ff%fe", "..%2f..%2f", "'%20or%201=1", "app_", "msg_0000000000000000000000", "%F0%9F%92%A9"];
    for operation in swept.document.operations() {
        // A name of an event type is whatever its owner likes; and who puts something where nothing is makes it.
        let names = operation.path_names().filter(|name| *name != "event_type_name" && !operation.answers(201));
        for name in names {
            let others = swept.known.iter().filter(|(other, _)| *other != name).map(|(_, id)| id.as_str());
            let long = "x".repeat(4_000);
            for id in others.chain(strange).chain([long.as_str()]) {
                tried += 1;
                let path = swept.path(&operation, Some((name, id)));
                let (status, said) = swept.status(&swept.client, &operation, &path).await;
                let is_right = status == 404 && said["code"] == "not_found";
                faults.extend((!is_right).then(|| format!("{} {path}: {status} {said}", operation.method)));
            }
        }
    }
    assert_none(&faults, tried);
    assert!(tried > 400, "{tried}");
    swept.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_method_is_405_and_says_which_there_are() {
    let swept = Swept::start().await;
    let operations = swept.document.operations();
    for operation in &operations {
        let path = swept.path(operation, None);
        let known: Vec<&str> =
            operations.iter().filter(|one| one.path == operation.path).map(|one| one.method.as_str()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FROBNICATE"] {
            if known.contains(&method) {
                continue;
            }
            let answer = swept.client.call(method, &path, None).await.unwrap();
            let said: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((answer.status, &said["code"]), (405, &json!("method_not_allowed")), "{method} {path}");
            let allowed = answer.headers["allow"].to_str().unwrap();
            assert!(known.iter().all(|method| allowed.contains(method)), "{method} {path}: {allowed}");
        }
    }
    for path in ["/nothing", "/api", "/api/v1", "/api/v2/app", "/api/v1/app/a/b/c/d", "/%00", "/api/v1/app%2fx"] {
        let (status, said) = call(&swept.client, "GET", path, None).await;
        assert_eq!((status, &said["code"]), (404, &json!("not_found")), "{path}");
    }
    swept.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_and_revoked_tokens_open_nothing() {
    let swept = Swept::start().await;
    let client = |token: Option<String>| Client::tcp(&swept.rig.config.url(), token).unwrap();
    let other = json!({ "name": "other", "uid": "other" });
    assert_eq!(call(&swept.client, "POST", "/api/v1/app", Some(other)).await.0, 201);
    let make = async |body: Value| call(&swept.client, "POST", "/api/v1/hookfast/token", Some(body)).await.1;
    let text = |token: &Value| token["token"].as_str().map(str::to_owned);
    let foreign = client(text(&make(json!({ "name": "foreign", "appId": "other" })).await));
    let revoked = make(json!({ "name": "revoked" })).await;
    let path = format!("/api/v1/hookfast/token/{}", revoked["id"].as_str().unwrap());
    assert_eq!(call(&swept.client, "DELETE", &path, None).await.0, 204);
    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcmdfMjNyYjhZZEdxTVQwcUl6cGdHd2RYZkhpck11In0.".to_owned();
    let none = [text(&revoked), None, Some("x".into()), Some("hf_".into()), Some("y".repeat(10_000)), Some(jwt)];
    let none = none.map(client);
    for operation in swept.document.operations().iter().filter(|operation| !operation.is_open()) {
        let path = swept.path(operation, None);
        let place = format!("{} {path}", operation.method);
        for client in &none {
            let (status, said) = swept.status(client, operation, &path).await;
            assert_eq!((status, &said["code"]), (401, &json!("authentication_failed")), "{place}");
        }
        // What is not below an application and may be asked with its token says nothing of other applications.
        let (status, said) = swept.status(&foreign, operation, &path).await;
        let is_refused = matches!(status, 403 | 404) && said["code"].is_string();
        let is_everybodys = operation.method == "GET" && operation.path.starts_with("/api/v1/event-type");
        assert!(is_refused || is_everybodys, "{place}: {status} {said}");
    }
    swept.end().await;
}
