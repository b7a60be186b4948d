//! Whatever comes: an answer, in JSON, and never a panic.

use crate::client::{Answer, Rig};
use axum::body::Body;
use http::{HeaderValue, Request};
use proptest::prelude::*;
use proptest::strategy::Strategy;
use serde_json::Value;
use serde_json::value::RawValue;

const FIELDS: &[&str] = &[
    "name",
    "uid",
    "url",
    "eventType",
    "payload",
    "channels",
    "headers",
    "deleteHeaders",
    "metadata",
    "secret",
    "key",
    "since",
    "until",
    "eventTypes",
    "filterTypes",
    "throttleRate",
    "retryDelaysMs",
    "timeoutMs",
    "description",
    "schemas",
    "application",
    "transformationsParams",
    "rawPayload",
    "tags",
    "deliverAt",
    "gracePeriodSeconds",
    "featureFlags",
    "expiresAt",
    "appId",
];

const PARAMS: &[&str] = &[
    "limit",
    "iterator",
    "order",
    "after",
    "before",
    "status",
    "status_code_class",
    "event_types",
    "event_types[]",
    "channel",
    "with_content",
    "since",
    "until",
    "get_if_exists",
    "expunge",
    "endpoint_id",
    "tag",
];

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-1e999".to_owned()),
        Just("5.0".to_owned()),
        Just("9".repeat(400)),
        any::<i64>().prop_map(|number| number.to_string()),
        "\\PC{0,12}".prop_map(|text| Value::String(text).to_string()),
        Just("\"2026-10-20T10:00:00\"".to_owned()),
        Just("\"http://receiver.example/\"".to_owned()),
        Just("\"\\ud800\"".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec((proptest::sample::select(FIELDS), inner), 0..4)
                .prop_map(|members| object(&members)),
        ]
    })
}

fn object<N: std::fmt::Display>(members: &[(N, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec((proptest::sample::select(FIELDS), value()), 0..8)
            .prop_map(|members| object(&members).into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..64),
    ]
}

fn query() -> impl Strategy<Value = String> {
    let pair = (proptest::sample::select(PARAMS), "[a-zA-Z0-9_:.%+-]{0,20}");
    proptest::collection::vec(pair.prop_map(|(name, value)| format!("{name}={value}")), 0..4)
        .prop_map(|pairs| pairs.join("&"))
}

fn document() -> Value {
    serde_json::from_str(&hookfast_http::document()).unwrap()
}

fn routes() -> Vec<(String, String)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
    });
    all.collect()
}

/// No answer of the server's fault, JSON, and of what is wrong the place and the reason.
fn sound(answer: &Answer, place: &str) -> Result<(), TestCaseError> {
    prop_assert!(answer.status.as_u16() < 500, "{}: {}", place, answer.text);
    // A payload comes back byte for byte, also one that is no Unicode text, such as half of a surrogate pair.
    let is_json = serde_json::from_str::<&RawValue>(&answer.text).is_ok_and(|body| body.get().starts_with('{'));
    prop_assert!(answer.status == 204 || is_json, "{}: {:?}", place, answer.text);
    if answer.status == 422 {
        let body = answer.json();
        let problems = body["detail"].as_array().cloned().unwrap_or_default();
        prop_assert!(!problems.is_empty());
        for problem in problems {
            let is_text = problem["loc"].as_array().is_some_and(|loc| loc.iter().all(Value::is_string));
            prop_assert!(is_text && problem["msg"].is_string() && problem["type"].is_string(), "{}", answer.text);
        }
    }
    Ok(())
}

/// The names that the body of a route knows, and those that some had before.
fn names_of(document: &Value, method: &str, path: &str) -> Option<Vec<String>> {
    let operation = &document["paths"][path][method.to_lowercase()];
    let schema = operation.pointer("/requestBody/content/application~1json/schema")?.to_string();
    let name = schema.split("#/components/schemas/").nth(1)?.split('"').next()?;
    let own = document["components"]["schemas"][name]["properties"].as_object()?.keys().cloned();
    Some(own.chain(["data", "filterTypes", "rateLimit", "featureFlag", "deliverAt"].map(str::to_owned)).collect())
}

#[test]
fn no_body_made_of_the_names_that_a_route_knows_makes_its_handler_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rig = Rig::new();
    let (app, endpoint) = runtime.block_on(async {
        let app = rig.app().await;
        (app.clone(), rig.endpoint(&app).await)
    });
    let document = document();
    let mut bodies = 0;
    for (method, template) in routes() {
        let Some(names) = names_of(&document, &method, &template) else { continue };
        bodies += 1;
        let path = template.replace("{app_id}", &app).replace("{endpoint_id}", &endpoint);
        let path = path.replace("{event_type_name}", "some.type");
        let members = proptest::collection::vec((proptest::sample::select(names), value()), 0..6);
        let body = prop_oneof![
            8 => members.prop_map(|members| object(&members).into_bytes()),
            1 => value().prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..64),
        ];
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(256));
        let result = runner.run(&body, |body| {
            let request = Request::builder().method(method.as_str()).uri(&path).body(Body::from(body)).unwrap();
            sound(&runtime.block_on(Rig::send(&rig.router, request)), &format!("{method} {path}"))
        });
        result.unwrap();
    }
    assert!(bodies >= 15, "{bodies}");
    let metrics = runtime.block_on(rig.get("/metrics"));
    assert!(metrics.text.contains("hookfast_http_panics_total 0"));
}

#[tokio::test]
async fn a_payload_that_is_no_unicode_text_comes_back_byte_for_byte() {
    let rig = Rig::new();
    let app = rig.app().await;
    let payload = r#"{"half":"\ud800","digits":1e999}"#;
    let body = format!(r#"{{"eventType":"invoice.paid","payload":{payload}}}"#);
    let answer = rig.call("POST", &format!("/api/v1/app/{app}/msg"), &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert!(answer.text.contains(payload), "{}", answer.text);
}

#[test]
fn no_request_makes_a_handler_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rig = Rig::new();
    let (app, endpoint, message) = runtime.block_on(async {
        let app = rig.app().await;
        (app.clone(), rig.endpoint(&app).await, rig.message(&app).await)
    });
    let input = (
        proptest::sample::select(routes()),
        query(),
        body(),
        proptest::option::of(proptest::collection::vec(prop_oneof![32u8..127, 128u8..=255], 0..300)),
        "[a-zA-Z0-9%._-]{1,30}",
        any::<bool>(),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(600));
    let result = runner.run(&input, |((method, path), query, body, header, wild, is_known)| {
        let fill = |known: &str| if is_known { known.to_owned() } else { wild.clone() };
        let path = path
            .replace("{app_id}", &app)
            .replace("{endpoint_id}", &fill(&endpoint))
            .replace("{msg_id}", &fill(&message))
            .replace("{attempt_id}", &wild)
            .replace("{task_id}", &wild)
            .replace("{token_id}", &wild)
            .replace("{event_type_name}", &wild);
        // Deleting what the other cases need would leave them nothing to do.
        if method == "DELETE" && path.starts_with("/api/v1/app") {
            return Ok(());
        }
        let Ok(mut request) = Request::builder().method(method.as_str()).uri(format!("{path}?{query}")).body(()) else {
            return Ok(());
        };
        let mut router = &rig.router;
        if let Some(value) = header.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
            request.headers_mut().insert("idempotency-key", value.clone());
            if !is_known {
                request.headers_mut().insert("authorization", value);
                router = &rig.guarded;
            }
        }
        let answer = runtime.block_on(Rig::send(router, request.map(|()| Body::from(body))));
        sound(&answer, &format!("{method} {path}"))
    });
    result.unwrap();
    let metrics = runtime.block_on(rig.get("/metrics"));
    assert!(metrics.text.contains("hookfast_http_panics_total 0"));
}
