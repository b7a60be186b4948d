//! The command line as scripts use it: exit codes, what is on which stream, errors that say what to do, and the
//! commands over each of their transports.

use crate::rig::{BINARY, until};
use hookfast_lab::client::{ApplicationIn, Client, EndpointIn};
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::{Behaviour, Receiver, ReceiverConfig};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Longest wait for a server to end.
const END_MS_MAX: u64 = 30_000;

pub(crate) fn hookfast(words: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    // What the machine that runs the tests has set must not matter.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOOKFAST_")) {
        command.env_remove(name);
    }
    command.args(words).stdin(Stdio::null());
    command
}

pub(crate) fn run(words: &[&str]) -> Output {
    hookfast(words).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn failure(output: &Output) -> (Option<i32>, String) {
    assert_eq!(text(&output.stdout), "", "data on stdout although it failed");
    (output.status.code(), text(&output.stderr).trim_end().to_owned())
}

pub(crate) fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for words in [&["sevre"][..], &["serve", "--no-such-flag"], &["serve", "--listen", "nowhere"], &["send"], &[]] {
        assert_eq!(run(words).status.code(), Some(2), "{words:?}");
    }
    for words in [&["--help"][..], &["--version"], &["help", "token"], &["token", "create", "--help"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn a_wrong_configuration_is_said_whole_and_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hookfast.toml");
    std::fs::write(&file, "[server]\nlisten = 'nowhere'\n\n[retry]\njiter = 0.1\n").unwrap();
    let output = hookfast(&["serve", "--config", path(&file), "--set", "log.level=loud"])
        .env("HOOKFAST_AUTH__JWT_SECRET", "hunter2")
        .env("HOOKFAST_DELIVERY__TIMEOUT_MS", "soon")
        .output()
        .unwrap();
    let (code, stderr) = failure(&output);
    assert_eq!(code, Some(2));
    insta::assert_snapshot!(stderr.replace(path(dir.path()), "DIR"));
    assert!(!dir.path().join("hookfast-data").exists(), "nothing was started");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, stderr) = failure(&run(&["serve", "--data-dir", path(&file.join("data")), "--log-level", "off"]));
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: data directory ") && stderr.contains("cannot be used: "), "{stderr}");
    assert!(stderr.ends_with("name a directory that this user can write with --data-dir"), "{stderr}");
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let data = dir.path().join("data");
    let (code, stderr) = failure(&run(&["serve", "--data-dir", path(&data), "--listen", &addr, "--log-level", "off"]));
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with(&format!("error: cannot listen on {addr}: ")), "{stderr}");
    assert!(stderr.ends_with("stop what listens there, or name another address with --listen"), "{stderr}");
}

#[test]
fn a_server_that_cannot_be_reached_is_exit_code_6() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["token", "list", "--url", &format!("http://{closed}"), "--token", "hf_x"]);
    assert_eq!(failure(&output).0, Some(6));
    assert_eq!(run(&["token", "list", "--url", "ftp://x"]).status.code(), Some(2));
}

async fn server_in(dir: &Path) -> Server {
    Server::start(ServerConfig::new(BINARY, dir).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_before_the_first_serve_and_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    // Longer than the path of a socket may be.
    let data = dir.path().join("deep".repeat(20)).join("data".repeat(10));
    let before = run(&["token", "create", "--data-dir", path(&data)]);
    assert!(before.status.success(), "{}", text(&before.stderr));
    let mut config = ServerConfig::new(BINARY, &data).unwrap();
    config.log = dir.path().join("log");
    let server = Server::start(config).await.unwrap();
    let during = run(&["token", "create", "--data-dir", path(&data), "--name", "second"]);
    assert!(during.status.success(), "{}", text(&during.stderr));
    for output in [&before, &during] {
        let stdout = text(&output.stdout);
        assert_eq!((stdout.lines().count(), &stdout[..3]), (1, "hf_"), "a token and nothing else");
        let client = server.client(stdout.trim()).unwrap();
        client.create_application(&ApplicationIn { name: "a".into(), uid: None }).await.unwrap();
    }
    let stranger = server.client("hf_wrong").unwrap();
    assert!(stranger.create_application(&ApplicationIn { name: "a".into(), uid: None }).await.is_err());
    let list = text(&run(&["token", "list", "--data-dir", path(&data)]).stdout);
    assert!(list.contains("second") && !list.contains("hf_"), "{list}");
    let id = list.lines().find(|line| line.contains("second")).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(run(&["token", "revoke", &id, "--data-dir", path(&data)]).status.success());
    assert_eq!(run(&["token", "revoke", &id, "--data-dir", path(&data)]).status.code(), Some(3));
    let revoked = server.client(text(&during.stdout).trim()).unwrap();
    assert!(revoked.create_application(&ApplicationIn { name: "a".into(), uid: None }).await.is_err());
    assert!(server.terminate(END_MS_MAX).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_leaves_nothing_behind_and_keeps_others_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = server_in(&data).await;
    let mode = std::fs::metadata(data.join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::metadata(data.join("store.db")).unwrap().permissions().mode() & 0o077, 0);
    let addr = std::fs::read_to_string(data.join("listen.addr")).unwrap();
    assert_eq!(addr.trim(), server.config().listen.to_string());
    let (code, stderr) = failure(&run(&["serve", "--data-dir", path(&data), "--listen", "127.0.0.1:0"]));
    assert_eq!(code, Some(1));
    let wanted = format!(
        "error: data directory {} is in use by another hookfast process (pid {}); stop it, or name another directory \
         with --data-dir",
        data.display(),
        server.pid(),
    );
    assert_eq!(stderr, wanted);
    assert!(server.terminate(END_MS_MAX).await.unwrap().success());
    assert!(!data.join("control.sock").exists() && !data.join("listen.addr").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_control_socket_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = server_in(&data).await;
    server.kill().await.unwrap();
    assert!(data.join("control.sock").exists(), "a killed server leaves it");
    assert!(run(&["token", "create", "--data-dir", path(&data)]).status.success());
    assert!(server_in(&data).await.terminate(END_MS_MAX).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn send_posts_an_event_and_follows_it_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let receiver = Receiver::start(ReceiverConfig::loopback(Journal::new(1000))).await.unwrap();
    receiver.behave("/bad", Behaviour::Status(500));
    let mut config = ServerConfig::new(BINARY, &data).unwrap();
    config.env.push(("HOOKFAST_RETRY__DELAYS".into(), "20ms".into()));
    let server = Server::start(config).await.unwrap();
    let client = Client::unix(data.join("control.sock"), None);
    let send = |words: &[&str]| {
        run(&[&["send", "--data-dir", path(&data), "--app", "shop", "--type", "invoice.paid"], words].concat())
    };
    assert_eq!(send(&[]).status.code(), Some(3), "the application does not exist");
    let first = send(&["--create", "--id", "inv-1", "--data", r#"{"amount": 1.50}"#]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let id = text(&first.stdout).trim().to_owned();
    assert!(id.starts_with("msg_"));
    let again = send(&["--id", "inv-1", "--data", r#"{"amount": 1.50}"#]);
    assert_eq!(text(&again.stdout).trim(), id, "the same id and body is the same event");
    assert_eq!(send(&["--id", "inv-1", "--data", "{}"]).status.code(), Some(5), "another body is a conflict");
    assert_eq!(send(&["--data", "[1, 2"]).status.code(), Some(2));
    assert_eq!(send(&["--data", "@no-such-file"]).status.code(), Some(2));

    let endpoint = EndpointIn { url: receiver.url("/good"), ..EndpointIn::default() };
    client.create_endpoint("shop", &endpoint).await.unwrap();
    let good = send(&["--wait", "--json", "--data", r#"{"amount": 2}"#]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    let answer: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(answer["destinations"][0]["state"], "delivered");
    assert_eq!(receiver.requests(), 1);

    let endpoint = EndpointIn { url: receiver.url("/bad"), ..EndpointIn::default() };
    client.create_endpoint("shop", &endpoint).await.unwrap();
    let bad = send(&["--wait"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("dead after 2 tries"), "{}", text(&bad.stderr));
    assert!(server.terminate(END_MS_MAX).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_while_no_server_runs_is_delivered_when_one_starts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let receiver = Receiver::start(ReceiverConfig::loopback(Journal::new(1000))).await.unwrap();
    let server = server_in(&data).await;
    let client = Client::unix(data.join("control.sock"), None);
    client.create_application(&ApplicationIn { name: "shop".into(), uid: Some("shop".into()) }).await.unwrap();
    let endpoint = EndpointIn { url: receiver.url("/hook"), ..EndpointIn::default() };
    client.create_endpoint("shop", &endpoint).await.unwrap();
    assert!(server.terminate(END_MS_MAX).await.unwrap().success());
    let mut command = hookfast(&["send", "--data-dir", path(&data), "--app", "shop", "--type", "t", "--data", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"from": "stdin"}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no server runs on this store"));
    let waiting = ["send", "--data-dir", path(&data), "--app", "shop", "--type", "t", "--wait"];
    assert_eq!(failure(&run(&waiting)).0, Some(2), "nothing would ever end");
    assert_eq!(receiver.requests(), 0);
    let server = server_in(&data).await;
    until("the delivery", || async { receiver.requests() == 1 }).await;
    assert!(server.terminate(END_MS_MAX).await.unwrap().success());
}

#[test]
fn the_demo_delivers_end_to_end_and_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = run(&["demo", "--seconds", "3", "--rate", "50", "--data-dir", path(&data)]);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{}", text(&output.stderr));
    assert!(stdout.contains("hookfast") && stdout.contains(" send --data-dir "), "{stdout}");
    let summary = |name: &str| {
        let line = stdout.lines().rev().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| {
            let at = words.iter().position(|found| *found == word).unwrap();
            words[at + 1].parse::<u64>().unwrap()
        };
        let bad = words.iter().position(|found| *found == "bad").unwrap();
        (after("delivered"), after("signatures"), words[bad - 1].parse::<u64>().unwrap())
    };
    let (delivered, good, bad) = summary("healthy");
    assert!(delivered > 50 && good >= delivered && bad == 0, "{stdout}");
    assert!(summary("flaky").0 > 25, "{stdout}");
    assert_eq!(summary("down").0, 0, "{stdout}");
}
