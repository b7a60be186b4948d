//! The committed document is kept: schemathesis, as it comes from its registry, reads it from a running server and sends
//! what it allows and what it forbids. What no schema can say is listed with its reasons in `tests/fuzz/hooks.py`.

use crate::rig::{Rig, seeded, torture};
use crate::talk::{attempts, call, send, until_state};
use hookfast_lab::receiver::Behaviour;
use hookfast_testkit::skip;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// How long it may go on in the ordinary test command, and with which seed.
const ORDINARY: Duration = Duration::from_secs(75);
const SEED: u64 = 7;
/// For the start of an interpreter, and for the answer that a hanging server would owe.
const GRACE: Duration = Duration::from_secs(120);

/// Makes everything that the document's paths name, and answers it as the configuration of the tool wants it.
async fn things(rig: &Rig) -> Vec<(&'static str, String)> {
    let client = rig.client();
    let post = async |path: String, body: serde_json::Value| {
        let (status, made) = call(&client, "POST", &path, Some(body)).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {made}");
        made["id"].as_str().unwrap_or_default().to_owned()
    };
    let (app, endpoint) = (rig.app.clone(), rig.expected[0].endpoint.clone());
    for name in ["lab.event", "spare"] {
        post("/api/v1/event-type".into(), json!({ "name": name, "description": "" })).await;
    }
    let receiver = rig.receiver.url("/hook/0");
    post("/api/v1/app".into(), json!({ "name": "spare", "uid": "spare" })).await;
    post("/api/v1/app/spare/endpoint".into(), json!({ "url": receiver, "uid": "spare" })).await;
    let event = send(&client, &app, &json!({ "fuzz": true })).await;
    until_state(&client, &app, &event, &endpoint, "delivered").await;
    let attempt = attempts(&client, &app, &event, &endpoint).await[0]["id"].as_str().unwrap().to_owned();
    let since = jiff::Timestamp::now().to_string();
    let task = post(format!("/api/v1/app/{app}/endpoint/{endpoint}/recover"), json!({ "since": since })).await;
    vec![
        ("HOOKFAST_FUZZ_HOOKS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/hooks.py").to_owned()),
        ("HOOKFAST_FUZZ_TOKEN", rig.token.clone()),
        ("HOOKFAST_FUZZ_RECEIVER", receiver),
        ("HOOKFAST_FUZZ_APP", app),
        ("HOOKFAST_FUZZ_ENDPOINT", endpoint),
        ("HOOKFAST_FUZZ_EVENT", event),
        ("HOOKFAST_FUZZ_ATTEMPT", attempt),
        ("HOOKFAST_FUZZ_TASK", task),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_gets_an_answer_that_the_document_does_not_have() {
    let Ok(python) = std::env::var("HOOKFAST_SDK_PYTHON") else {
        return skip("HOOKFAST_SDK_PYTHON names no Python with schemathesis; `cargo xtask test` makes one");
    };
    let schemathesis = Path::new(&python).with_file_name("schemathesis");
    let mut rig = Rig::start(&[Behaviour::Ok], &[]).await;
    let (time, seed) = torture().map_or((ORDINARY, SEED), |time| (time, seeded().u64(..1 << 32)));
    let mut command = Command::new(schemathesis);
    command.args(["--config-file", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/schemathesis.toml"), "run"]);
    command.arg(format!("{}/api/v1/openapi.json", rig.config.url()));
    command.args(["--phases", "examples,coverage,fuzzing", "--no-color", "--request-timeout", "20"]);
    command.args(["--seed", &seed.to_string(), "--max-time", &time.as_secs().to_string()]);
    command.envs(things(&rig).await).env("PYTHONDONTWRITEBYTECODE", "1");
    command.current_dir(rig.dir.path()).kill_on_drop(true);
    let output = tokio::time::timeout(time + GRACE, command.output()).await.expect("it ends in time").unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    let client = rig.client();
    let metrics = client.metrics().await.unwrap();
    let answers = |class: &str| -> u64 {
        let start = format!("hookfast_http_responses_total{{status=\"{class}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().unwrap())
    };
    // Much was asked and taken, much was refused, and it was hardly ever too busy …
    let (taken, refused, overloaded) = (answers("2xx"), answers("4xx"), answers("5xx"));
    eprintln!("taken {taken}, refused {refused}, overloaded {overloaded}");
    assert!(taken > 30 && refused > 30 && overloaded * 100 <= taken + refused, "{said}");
    // … and the server stands as it stood.
    assert!(metrics.contains("hookfast_http_panics_total 0"), "a handler panicked");
    assert_eq!(client.health().await.unwrap().status, 200);
    let log = std::fs::read_to_string(&rig.config.log).unwrap();
    assert!(!log.contains("panicked") && !log.contains(" ERROR "), "{log}");
    assert!(rig.terminate().await.success());
}
