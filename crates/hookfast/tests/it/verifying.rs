//! The receivers of `docs/guides/verifying`: each takes what a real server sends, and refuses the same with another body.
//! Their verifiers come from the registries of their languages, once, and are kept below `target`.

use crate::cli::{path, run, text};
use crate::rig::until;
use crate::talk::{Bare, send, status};
use crate::things::Shop;
use hookfast_lab::process::free_port;
use hookfast_testkit::skip;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tokio::net::{TcpListener, TcpStream};

#[expect(unreachable_pub, reason = "a page of the guide, to be copied")]
#[path = "../../../../docs/guides/verifying/receiver.rs"]
mod receiver_in_rust;

fn guide(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/verifying").join(file)
}

/// Where the verifiers of a language are kept.
fn kept(language: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verifying").join(language);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Did this succeed? What it said goes to standard error.
fn done(program: &str, words: &[&str], dir: &Path) -> bool {
    Command::new(program).args(words).current_dir(dir).status().is_ok_and(|status| status.success())
}

/// A server with an endpoint whose receiver is yet to start.
struct Signed {
    shop: Shop,
    at: SocketAddr,
    secret: String,
}

impl Signed {
    async fn start() -> Self {
        let at = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let shop = Shop::start().await;
        shop.done(&format!("endpoint create http://{at}/ --uid mine"));
        let secret = shop.done("endpoint secret mine");
        Self { shop, at, secret }
    }

    /// Starts a receiver as a process, and judges it.
    async fn judge_process(self, mut command: Command) {
        let command = command.env("HOOKFAST_SECRET", &self.secret).env("PORT", self.at.port().to_string());
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        until("the receiver to listen", || async { TcpStream::connect(self.at).await.is_ok() }).await;
        self.judge().await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    async fn judge(self) {
        let client = self.shop.server.client(&self.shop.done("token create")).unwrap();
        let event = send(&client, "shop", &json!({ "amount": 12, "text": "größer" })).await;
        self.shop.until_state(&event, "delivered").await;
        let body = kept("bodies").join(format!("{event}.json"));
        std::fs::write(&body, BODY).unwrap();
        let signed = run(&["sign", "--secret", &self.secret, "--file", path(&body)]);
        std::fs::remove_file(body).unwrap();
        let headers = text(&signed.stdout).trim_end().replace('\n', "\r\n") + "\r\n";
        for (headers, body, wanted) in [(&*headers, BODY, 204), (&*headers, FORGED, 401), ("", BODY, 401)] {
            let length = body.len();
            let request = format!(
                "POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}",
                self.at,
            );
            let answer = Bare::exchange(self.at, request).await;
            assert_eq!(status(&answer), wanted, "{body} with {headers:?}: {answer}");
        }
        self.shop.end().await;
    }
}

const BODY: &str = r#"{"amount":12}"#;
const FORGED: &str = r#"{"amount":13}"#;

/// Is the language on this machine?
fn is_there(program: &str) -> bool {
    let version = if program == "go" { "version" } else { "--version" };
    let output = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = output.is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("left out: there is no {program} on this machine");
    }
    is_there
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_rust_takes_what_is_signed() {
    let signed = Signed::start().await;
    let listener = TcpListener::bind(signed.at).await.unwrap();
    let secret = signed.secret.clone();
    let serving =
        tokio::spawn(
            async move { receiver_in_rust::serve(listener, &secret).await.map_err(|error| error.to_string()) },
        );
    signed.judge().await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_python_takes_what_is_signed() {
    let Ok(python) = std::env::var("HOOKFAST_SDK_PYTHON") else {
        return skip("HOOKFAST_SDK_PYTHON names no Python with standardwebhooks; `cargo xtask test` makes one");
    };
    let mut command = Command::new(python);
    command.arg(guide("receiver.py"));
    Signed::start().await.judge_process(command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_javascript_takes_what_is_signed() {
    if !is_there("node") || !is_there("npm") {
        return;
    }
    let dir = kept("javascript");
    let wanted = "standardwebhooks@1.1.1";
    let words = ["install", "--no-audit", "--no-fund", "--prefix", ".", wanted];
    if !dir.join("node_modules/standardwebhooks").exists() && !done("npm", &words, &dir) {
        return skip("npm cannot install standardwebhooks");
    }
    let mut command = Command::new("node");
    command.arg(guide("receiver.js")).env("NODE_PATH", dir.join("node_modules"));
    Signed::start().await.judge_process(command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_go_takes_what_is_signed() {
    if !is_there("go") {
        return;
    }
    let dir = kept("go");
    let module =
        "module example\n\ngo 1.22\n\nrequire github.com/standard-webhooks/standard-webhooks/libraries v0.0.1\n";
    std::fs::write(dir.join("go.mod"), module).unwrap();
    std::fs::copy(guide("receiver.go"), dir.join("receiver.go")).unwrap();
    if !done("go", &["mod", "tidy"], &dir) {
        return skip("the module of standardwebhooks cannot be had");
    }
    assert!(done("go", &["build", "-o", "receiver", "."], &dir), "the receiver does not build");
    Signed::start().await.judge_process(Command::new(dir.join("receiver"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_in_java_takes_what_is_signed() {
    if !is_there("java") || !is_there("mvn") {
        return;
    }
    let dir = kept("java");
    let jar = dir.join("lib/standardwebhooks-1.1.0.jar");
    let copy = ["-q", "-B", COPY, "-Dartifact=com.standardwebhooks:standardwebhooks:1.1.0", "-DoutputDirectory=lib"];
    if !jar.exists() && !done("mvn", &copy, &dir) {
        return skip("Maven cannot fetch standardwebhooks");
    }
    let mut command = Command::new("java");
    command.arg("-cp").arg(jar).arg(guide("Receiver.java"));
    Signed::start().await.judge_process(command).await;
}

const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";
