//! `doctor` on data directories in every state, and `config` as scripts use it.

use crate::cli::{failure, hookfast, path, run, text};
use crate::rig::BINARY;
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::{Behaviour, Receiver, ReceiverConfig};
use serde_json::Value;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The exit code, and level, finding and advice of one check.
pub(crate) fn doctor(dir: &Path, words: &[&str]) -> (i32, impl Fn(&str) -> (String, String, String) + use<>) {
    let listen = ["--listen", "127.0.0.1:0"];
    let listen = if words.contains(&"--listen") { &[][..] } else { &listen[..] };
    let words = [&["doctor", "--json", "--data-dir", path(dir)], listen, words].concat();
    let output = hookfast(&words).env("HOOKFAST_SECRET", "").output().unwrap();
    let report: Result<Value, _> = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    let code = output.status.code().unwrap();
    assert_eq!(report["ok"], code == 0);
    let of = move |check: &str| {
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|finding| finding["check"] == check);
        let finding = found.unwrap_or_else(|| panic!("no check {check} in {report}"));
        let word = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        (word("level"), word("found"), word("advice"))
    };
    (code, of)
}

fn made_in(dir: &Path) -> std::path::PathBuf {
    let data = dir.join("data");
    assert!(run(&["token", "create", "--data-dir", path(&data)]).status.success());
    data
}

#[test]
fn a_directory_that_is_not_there_yet_is_fine_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (code, of) = doctor(&data, &[]);
    assert_eq!(code, 0);
    assert!(of("data directory").1.ends_with("is not there yet; a server makes it"));
    assert_eq!(of("tls").0, "ok");
    assert!(!data.exists());
}

#[test]
fn a_good_store_is_found_whole() {
    let dir = tempfile::tempdir().unwrap();
    let data = made_in(dir.path());
    let (code, of) = doctor(&data, &[]);
    assert_eq!(code, 0);
    assert!(of("store").1.ends_with("its pages are whole"), "{}", of("store").1);
    assert!(of("data directory").1.ends_with("can be written, free"));
    for check in ["configuration", "disk space", "disk flush", "clock", "port"] {
        assert_eq!(of(check).0, "ok", "{check}: {}", of(check).1);
    }
    let plain = run(&["doctor", "--data-dir", path(&data), "--listen", "127.0.0.1:0"]);
    let plain = text(&plain.stdout);
    assert!(plain.starts_with("ok    configuration  ") && !plain.contains('\u{1b}'), "{plain}");
    let (code, of) = doctor(&data, &["--set", "store.disk_reserve_bytes=1TiB"]);
    assert_eq!((code, of("disk space").0.as_str()), (1, "fail"));
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, of) = doctor(&data, &[]);
    assert_eq!((code, of("data directory").0.as_str()), (0, "warn"));
    assert!(of("data directory").2.contains("chmod 700"));
}

#[test]
fn a_store_that_is_none_or_newer_fails() {
    let dir = tempfile::tempdir().unwrap();
    let data = made_in(dir.path());
    let db = rusqlite::Connection::open(data.join("store.db")).unwrap();
    db.execute("INSERT INTO migrations VALUES (999, 'future', x'00')", []).unwrap();
    drop(db);
    let (code, of) = doctor(&data, &[]);
    assert_eq!((code, of("store").0.as_str()), (1, "fail"));
    assert!(of("store").1.starts_with("it has schema 999, this binary knows up to "));
    std::fs::write(data.join("store.db"), "this is no database, but long enough to look at".repeat(100)).unwrap();
    let (code, of) = doctor(&data, &[]);
    assert_eq!(code, 1);
    assert!(of("store").1.starts_with("it cannot be read: ") && of("store").2.contains("backup"), "{}", of("store").1);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_server_all_is_well_and_its_port_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(ServerConfig::new(BINARY, &data).unwrap()).await.unwrap();
    let listen = server.config().listen.to_string();
    let (code, of) = doctor(&data, &["--listen", &listen]);
    assert_eq!(code, 0, "{:?}", of("port"));
    assert!(of("data directory").1.ends_with(&format!("in use by process {}", server.pid())));
    assert!(of("port").1.contains("is held by the server of this data directory"), "{}", of("port").1);
    assert!(of("store").1.contains("its pages are checked when nobody uses it"));
    let other = doctor(&dir.path().join("other"), &["--listen", &listen]);
    assert_eq!((other.0, other.1("port").0.as_str()), (1, "fail"));
    assert!(server.terminate(30_000).await.unwrap().success());
}

#[test]
fn a_taken_port_fails() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, of) = doctor(&dir.path().join("data"), &["--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!((code, of("port").0.as_str()), (1, "fail"));
    assert!(of("port").2.starts_with("stop what listens there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_delivery_is_signed_and_judged_by_what_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut config = ReceiverConfig::loopback(Journal::new(100));
    config.secret = Some(SECRET.into());
    let receiver = Receiver::start(config).await.unwrap();
    receiver.behave("/bad", Behaviour::Status(404));
    let (code, of) = doctor(&data, &["--url", &receiver.url("/good"), "--secret", SECRET]);
    assert_eq!(code, 0, "{:?}", of("delivery"));
    assert!(of("delivery").1.contains("answered 200 after "), "{}", of("delivery").1);
    assert_eq!(receiver.journal().len(), 1);
    let (code, of) = doctor(&data, &["--url", &receiver.url("/bad"), "--secret", SECRET]);
    assert_eq!(code, 1);
    assert!(of("delivery").2.contains("check the URL"), "{:?}", of("delivery"));
    let public = ["--set", "server.public_url=https://hooks.example.com", "--url", &receiver.url("/good")];
    let (code, of) = doctor(&data, &public);
    assert_eq!(code, 1);
    assert!(of("delivery").1.contains("not a public one") && of("delivery").2.contains("allow_networks"));
    assert_eq!(receiver.journal().len(), 2, "what the rules refuse is not sent");
    receiver.stop().await;
}

#[test]
fn a_database_that_cannot_be_reached_fails_and_needs_no_directory() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://hookfast:hunter2@{closed}/hookfast");
    let output = hookfast(&["doctor", "--store", &url, "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    assert!(stdout.lines().any(|line| line.starts_with("fail  store ")), "{stdout}");
    assert!(!stdout.contains("data directory") && !stdout.contains("hunter2"), "{stdout}");
}

#[test]
fn names_and_authorities_that_cannot_be_used_fail() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (code, of) = doctor(&data, &["--dns-name", "no-such-host.invalid"]);
    assert_eq!((code, of("dns").0.as_str()), (1, "fail"));
    assert!(of("dns").1.starts_with("no-such-host.invalid: the "), "{}", of("dns").1);
    let pem = dir.path().join("ca.pem");
    std::fs::write(&pem, "no certificate").unwrap();
    let (code, of) = doctor(&data, &["--set", &format!("delivery.extra_ca_file={}", path(&pem))]);
    assert_eq!((code, of("tls").0.as_str()), (1, "fail"));
    let (code, of) = doctor(&data, &["--set", "retry.jiter=1"]);
    assert_eq!((code, of("configuration").0.as_str()), (1, "fail"));
    assert!(of("configuration").1.contains("did you mean retry.jitter?"));
}

#[test]
fn config_prints_checks_and_describes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hookfast.toml");
    std::fs::write(&file, "[server]\nthreads = 2\n\n[store]\nsecret_key = 'sixteen or more characters'\n").unwrap();
    let printed = run(&["config", "print", "--config", path(&file), "--set", "log.level=debug"]);
    let toml = text(&printed.stdout).replace(path(dir.path()), "DIR");
    assert!(toml.lines().any(|line| line.starts_with("threads = 2 ") && line.ends_with("# DIR/hookfast.toml:2")));
    assert!(toml.lines().any(|line| line.starts_with("# secret_key = \"***\"")) && !toml.contains("sixteen"), "{toml}");
    let json = run(&["config", "print", "--config", path(&file), "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["server.threads"]["value"], 2);
    assert_eq!(json["log.level"]["origin"], "default");
    let good = run(&["config", "check", "--config", path(&file)]);
    assert!(text(&good.stdout).starts_with("ok: 2 settings given, "), "{}", text(&good.stdout));
    let schema: Value = serde_json::from_slice(&run(&["config", "schema"]).stdout).unwrap();
    assert_eq!(schema["properties"]["log"]["properties"]["level"]["enum"][0], "error");
}

#[test]
fn config_check_says_everything_wrong_at_once_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hookfast.toml");
    let toml = "\
[server]
thread = 2
threads = 'two'
drain_ms = 1.5
idle_timeout_ms = '5 weeks'
connections_max = 0
listen = ['127.0.0.1:1']
public_url = 1979-05-27

[delivery]
https_only = 1
memory_bytes_max = '1MB'

[retry]
delays = ['5s', '8d']
";
    std::fs::write(&file, toml).unwrap();
    let output = run(&["config", "check", "--config", path(&file), "--set", "retr.jitter=1", "--set", "nonsense"]);
    let (code, stderr) = failure(&output);
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr.replace(path(dir.path()), "DIR"));
    let json = run(&["config", "check", "--config", path(&file), "--json"]);
    assert_eq!(json.status.code(), Some(2));
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["faults"].as_array().unwrap().len(), 10);
}
