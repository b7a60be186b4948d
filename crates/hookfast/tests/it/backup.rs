//! `hookfast backup` and `hookfast restore`: a copy made under load can be started and lacks nothing that was
//! acknowledged before; what is not sound or would overwrite something is refused.

use crate::cli::{hookfast, path, run, text};
use crate::rig::{BINARY, Rig, assert_intact};
use crate::talk::{get, send, until_state};
use hookfast_lab::client::{ApplicationIn, EndpointIn};
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::Behaviour;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

/// Events whose fate is asked for one by one.
const KNOWN: usize = 100;

async fn backup(data: &Path, to: &Path) -> Output {
    let mut command = hookfast(&["backup", "--data-dir", path(data), "--to", path(to), "--json"]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_under_load_is_started_and_delivers_everything_acknowledged_before_it() {
    let mut rig = Rig::start(&[Behaviour::Status(503)], &[]).await;
    let endpoint = rig.expected[0].endpoint.clone();
    let client = rig.client();
    let load = rig.load(8);
    load.reach(2_000).await;
    let mut known = Vec::with_capacity(KNOWN);
    for number in 0..KNOWN {
        known.push(send(&client, &rig.app, &json!({ "number": number })).await);
    }
    let acknowledged = load.progress.counts().accepted + KNOWN as u64;
    let to = rig.dir.path().join("copies/monday");
    let copied = backup(&rig.config.data_dir, &to).await;
    let at_the_end = load.progress.counts().accepted;
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    load.reach(at_the_end + 1).await;
    load.stop().await;
    rig.kill().await;

    let told: Value = serde_json::from_slice(&copied.stdout).unwrap();
    assert!(told["events"].as_u64().unwrap() >= acknowledged, "{told} of {acknowledged}");
    let names: Vec<_> = std::fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store.db"]);
    assert_eq!(to.join("store.db").metadata().unwrap().permissions().mode() & 0o777, 0o600, "it holds secrets");
    assert_intact(&to);
    let again = backup(&rig.config.data_dir, &to).await;
    assert_eq!(again.status.code(), Some(5), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("it holds store.db"), "{}", text(&again.stderr));

    rig.receiver.behave("/hook/0", Behaviour::Ok);
    rig.config.data_dir = to;
    rig.restart().await;
    for event in &known {
        until_state(&client, &rig.app, event, &endpoint, "delivered").await;
    }
    let arrived = rig.receiver.journal().entries();
    assert!(arrived.iter().all(|one| one.signature == hookfast_lab::journal::Signature::Good), "the secret is another");
    assert!(rig.terminate().await.success());
}

/// A store with an event, sealed.
struct Sealed {
    config: ServerConfig,
    token: String,
    event: String,
    app: String,
}

const KEY: (&str, &str) = ("HOOKFAST_STORE__SECRET_KEY", "correct horse battery staple and more");

impl Sealed {
    async fn make(dir: &Path) -> Self {
        let mut config = ServerConfig::new(BINARY, dir.join("data")).unwrap();
        config.env.push((KEY.0.into(), KEY.1.into()));
        let token = config.create_token().await.unwrap();
        let server = Server::start(config.clone()).await.unwrap();
        let client = server.client(&token).unwrap();
        let app = client.create_application(&ApplicationIn { name: "shop".into(), uid: None }).await.unwrap().id;
        let endpoint = EndpointIn { url: "http://127.0.0.1:65000/hook".into(), ..EndpointIn::default() };
        client.create_endpoint(&app, &endpoint).await.unwrap();
        let event = send(&client, &app, &json!({})).await;
        assert!(server.terminate(30_000).await.unwrap().success());
        Self { config, token, event, app }
    }
}

fn restored(words: &[&str], key: Option<&str>) -> (Option<i32>, String) {
    let mut command = hookfast(&[&["restore"], words].concat());
    let output = command.envs(key.map(|key| (KEY.0, key))).output().unwrap();
    (output.status.code(), text(&output.stderr) + &text(&output.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_checks_first_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut sealed = Sealed::make(dir.path()).await;
    let copy = dir.path().join("hookfast.db");
    let copied = backup(&sealed.config.data_dir, &copy).await;
    assert!(copied.status.success(), "no server and no key are needed: {}", text(&copied.stderr));
    let (from, data) = (path(&copy), path(&sealed.config.data_dir));
    let new = dir.path().join("new");
    let refused = |words: &[&str], key: Option<&str>, code: i32, said: &str| {
        let (found, told) = restored(words, key);
        assert_eq!(found, Some(code), "{words:?}: {told}");
        assert!(told.contains(said), "{words:?}: {told}");
        assert!(!new.exists(), "{words:?} made it");
    };
    refused(&["--from", from, "--data-dir", path(&new)], None, 1, "set store.secret_key");
    refused(&["--from", from, "--data-dir", path(&new)], Some("another key of many characters"), 1, "another key");
    refused(&["--from", from, "--data-dir", data], Some(KEY.1), 5, "is not empty: it holds ");
    refused(&["--from", path(&dir.path().join("x.db")), "--data-dir", path(&new)], Some(KEY.1), 3, "no store at");
    refused(&["--from", from, "--verify-only"], Some(KEY.1), 0, "is sound");
    let bytes = std::fs::read(&copy).unwrap();
    let cut = dir.path().join("cut.db");
    std::fs::write(&cut, &bytes[..bytes.len() / 8192 * 4096]).unwrap();
    refused(&["--from", path(&cut), "--data-dir", path(&new)], Some(KEY.1), 1, "is damaged: ");

    let (code, told) = restored(&["--from", from, "--data-dir", path(&new)], Some(KEY.1));
    assert_eq!(code, Some(0), "{told}");
    sealed.config.data_dir = new.clone();
    let server = Server::start(sealed.config.clone()).await.unwrap();
    let client = server.client(&sealed.token).unwrap();
    get(&client, &format!("/api/v1/app/{}/msg/{}", sealed.app, sealed.event)).await;
    let (code, told) = restored(&["--from", from, "--data-dir", path(&new)], Some(KEY.1));
    assert_eq!(code, Some(5), "{told}");
    assert!(told.contains("in use by another hookfast process"), "{told}");
    assert!(server.terminate(30_000).await.unwrap().success());
}

#[test]
fn what_cannot_be_copied_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let nothing = run(&["backup", "--data-dir", path(&dir.path().join("none")), "--to", path(&to)]);
    assert_eq!(nothing.status.code(), Some(3));
    assert!(text(&nothing.stderr).contains("there is no store at"), "{}", text(&nothing.stderr));
    for command in [&["backup", "--to"], &["restore", "--from"]] {
        let shared = run(&[command, &[path(&to), "--store", "postgres://h/db"][..]].concat());
        assert_eq!(shared.status.code(), Some(2));
        assert!(text(&shared.stderr).contains("with pg_"), "{}", text(&shared.stderr));
    }
    assert!(!to.exists());
}
