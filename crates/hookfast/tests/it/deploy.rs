//! What lies in `deploy`, as far as it can be checked without a container engine: against the real binary, the composer's
//! own checks, systemd's. That it works is shown by `cargo xtask stack`, which runs the same files.

use crate::cli::text;
use crate::rig::BINARY;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_testkit::skip;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The services that run `hookfast serve`; each has a file of this name.
const SERVERS: [&str; 3] = ["sender", "webhook_handler", "event_consumer"];

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap()
}

/// The variables of `.env.example`.
fn variables() -> Vec<(String, String)> {
    let text = read(".env.example");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Runs it; where it is not installed the calling test is skipped, which is the `None`.
fn installed(program: &str, args: &[&str], input: &str) -> Option<Output> {
    let command = Command::new(program)
        .args(args)
        .current_dir(deploy(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = command else {
        skip(&format!("`{program}` is not installed"));
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn the_composer_takes_the_compose_file_with_and_without_variables() {
    // The old composer knows the specification as it was before a project could have a name.
    let compose = read("compose.yaml").replace("name: hookfast\n", "");
    let none = tempfile::NamedTempFile::new().unwrap();
    for example in [none.path().to_str().unwrap(), ".env.example"] {
        let args = ["--env-file", example, "-p", "hookfast", "--project-directory", ".", "-f", "-", "config"];
        let Some(output) = installed("docker-compose", &args, &compose) else { return };
        assert!(output.status.success(), "{example}: {}", text(&output.stderr));
        let whole = text(&output.stdout);
        assert_eq!(whole.matches("image: hookfast:local").count(), 4, "{whole}");
    }
}

#[test]
fn the_example_of_variables_names_each_that_the_compose_file_knows() {
    let compose = read("compose.yaml");
    let used = compose.split("${").skip(1).filter_map(|rest| rest.split([':', '}']).next());
    let used: BTreeSet<&str> = used.collect();
    let known = variables();
    let known: BTreeSet<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(used, known);
    // Each with a word on what it is for.
    let example = read(".env.example");
    let lines: Vec<&str> = example.lines().collect();
    for name in known {
        let at = lines.iter().position(|line| line.starts_with(&format!("{name}="))).unwrap();
        let before = lines[..at].iter().rev().find(|line| line.is_empty() || line.starts_with("# ")).unwrap();
        assert!(before.starts_with("# "), "{name} has no comment");
    }
}

#[test]
fn the_settings_of_each_service_hold_with_the_example_of_variables() {
    for server in SERVERS {
        let mut check = Command::new(BINARY);
        check.args(["config", "check", "--config"]).arg(deploy(&format!("{server}.toml")));
        check.env_clear().envs(variables()).env("HOOKFAST_REDIS__PASSWORD", "secret");
        let output = check.output().unwrap();
        assert!(output.status.success(), "{server}: {}", text(&output.stderr));
    }
}

#[test]
fn the_network_of_the_compose_file_is_the_one_that_is_allowed_and_trusted() {
    let compose = read("compose.yaml");
    let network = compose.split("subnet: ").nth(1).unwrap().split('}').next().unwrap();
    assert!(read("sender.toml").contains(&format!("allow_networks = [\"{network}\"]")));
    assert!(read("webhook_handler.toml").contains(&format!("trusted_proxies = [\"{network}\"]")));
}

#[test]
fn the_image_is_built_by_the_script_and_runs_as_nobody_in_particular() {
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains("RUN deploy/build.sh /out\n") && dockerfile.contains("\nUSER 10001:10001\n"));
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY deploy/")) {
        assert!(deploy(line.split(' ').next().unwrap()).is_file(), "{line}");
    }
    let toolchain = format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.contains(&toolchain), "the builder is not the Rust of rust-version");
}

#[test]
fn systemd_takes_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("hookfast.service");
    // The program is not installed here.
    std::fs::write(&unit, read("hookfast.service").replace("/usr/local/bin/hookfast", BINARY)).unwrap();
    let Some(output) = installed("systemd-analyze", &["verify", unit.to_str().unwrap()], "") else { return };
    let said = text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_knows_a_ready_server_from_one_that_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
    let port = config.listen.port().to_string();
    let healthy = |args: &[&str]| {
        let mut check = Command::new(deploy("healthy"));
        check.args(args).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(!healthy(&[&port]), "nobody listens");
    let server = Server::start(config).await.unwrap();
    assert!(healthy(&[&port]));
    assert!(!healthy(&[&port, "/no/such/path"]));
    assert!(!healthy(&[]));
    drop(server);
}
