//! Servers that share a PostgreSQL database: one, two, and nodes that do a part each. What the database is put through
//! is tested elsewhere; here is that the binary works on it as on a directory.

use crate::cli::{hookfast, path, run, text};
use crate::rig::{BINARY, until};
use crate::talk::{call, get, send, standing, until_state};
use hookfast_lab::client::{ApplicationIn, Client, EndpointIn};
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig, free_port};
use hookfast_lab::receiver::{Receiver, ReceiverConfig};
use hookfast_testkit::postgres::{PostgresServer, TestDatabase, database};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for a server to end.
const END_MS_MAX: u64 = 30_000;

/// A database that is empty at first, a receiver, and room for the nodes' own files.
struct Shared {
    database: TestDatabase,
    dir: TempDir,
    receiver: Receiver,
}

/// What was made to deliver to.
struct Made {
    token: String,
    app: String,
    endpoint: String,
}

impl Shared {
    async fn new() -> Option<Self> {
        let database = database()?;
        let receiver = Receiver::start(ReceiverConfig::loopback(Journal::new(10_000))).await.unwrap();
        Some(Self { database, dir: tempfile::tempdir().unwrap(), receiver })
    }

    /// A node of this name with these roles; its own files lie in a directory that is named.
    fn config(&self, name: &str, roles: &str) -> ServerConfig {
        let mut config = ServerConfig::new(BINARY, self.dir.path().join(name)).unwrap();
        config.env.push(("HOOKFAST_STORE__URL".into(), self.database.url()));
        config.args = ["--node-name", name, "--roles", roles].map(str::to_owned).to_vec();
        config
    }

    async fn start(&self, name: &str, roles: &str) -> Server {
        Server::start(self.config(name, roles)).await.unwrap()
    }

    /// Makes a token, an application and an endpoint, through this server.
    async fn make(&self, server: &Server) -> Made {
        let token = text(&self.command(&["token", "create"]).stdout).trim().to_owned();
        let client = server.client(&token).unwrap();
        let app = client.create_application(&ApplicationIn { name: "shop".into(), uid: None }).await.unwrap().id;
        let endpoint = EndpointIn { url: self.receiver.url("/hook"), ..EndpointIn::default() };
        let endpoint = client.create_endpoint(&app, &endpoint).await.unwrap().id;
        Made { token, app, endpoint }
    }

    /// Runs a command on the database, which must succeed.
    fn command(&self, words: &[&str]) -> std::process::Output {
        let output = run(&[words, &["--store", &self.database.url()]].concat());
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        output
    }

    /// What `hookfast nodes` lists.
    fn nodes(&self) -> Vec<Value> {
        let listed: Value = serde_json::from_slice(&self.command(&["nodes", "--json"]).stdout).unwrap();
        listed["data"].as_array().unwrap().clone()
    }
}

fn states(nodes: &[Value]) -> Vec<(&str, &str)> {
    let mut states: Vec<_> =
        nodes.iter().map(|node| (node["name"].as_str().unwrap(), node["state"].as_str().unwrap())).collect();
    states.sort_unstable();
    states
}

/// Who does retention now.
fn holders(nodes: &[Value]) -> Vec<&str> {
    let holds = |node: &&Value| node["duties"].as_array().unwrap().contains(&json!("retention"));
    nodes.iter().filter(holds).map(|node| node["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_needs_a_database_and_no_directory_and_shows_no_password() {
    let Some(shared) = Shared::new().await else { return };
    let (home, log) = (tempfile::tempdir().unwrap(), shared.dir.path().join("log"));
    // The test server lets everybody in, with any password.
    let url = shared.database.url().replacen('@', ":hunter2@", 1);
    let create = |name: &str| {
        let words = ["token", "create", "--store", &url, "--name", name];
        let output = hookfast(&words).current_dir(home.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "");
        text(&output.stdout).trim().to_owned()
    };
    let before = create("before");
    let listen = format!("127.0.0.1:{}", free_port().unwrap());
    let words = ["serve", "--store", &url, "--listen", &listen, "--log-level", "trace"];
    let mut serve = tokio::process::Command::from(hookfast(&words));
    serve.current_dir(home.path()).stderr(std::fs::File::create(&log).unwrap()).stdout(Stdio::null());
    let mut server = serve.kill_on_drop(true).spawn().unwrap();
    let client = Client::tcp(&format!("http://{listen}"), Some(before)).unwrap();
    until("the server", || client.ping()).await;
    let during = Client::tcp(&format!("http://{listen}"), Some(create("during"))).unwrap();

    let app = client.create_application(&ApplicationIn { name: "shop".into(), uid: None }).await.unwrap().id;
    let endpoint = EndpointIn { url: shared.receiver.url("/hook"), ..EndpointIn::default() };
    let endpoint = during.create_endpoint(&app, &endpoint).await.unwrap().id;
    let event = send(&during, &app, &json!({ "amount": 12 })).await;
    until_state(&client, &app, &event, &endpoint, "delivered").await;
    assert_eq!(shared.receiver.requests(), 1);

    let nodes = shared.nodes();
    assert_eq!((nodes.len(), &nodes[0]["state"]), (1, &json!("alive")));
    let name = nodes[0]["name"].as_str().unwrap();
    assert!(name.ends_with(&format!(" pid {}", server.id().unwrap())), "{name}");
    let told = get(&client, "/api/v1/hookfast/node").await["data"].as_array().unwrap().clone();
    assert!(told.iter().any(|node| node["name"] == name), "{told:?}");
    let metrics = client.metrics().await.unwrap();
    assert!(
        metrics.contains(&format!(r#"hookfast_node_info{{name="{name}",roles="api,engine,maintenance,sources"}} 1"#))
    );
    assert!(metrics.contains(&format!("hookfast_store_incarnation {}\n", nodes[0]["incarnation"])), "{metrics}");

    let pid = rustix_pid(server.id().unwrap());
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(server.wait().await.unwrap().success());
    assert_eq!(shared.nodes()[0]["state"], "stopped");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "something was left in the working directory");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("listening on http://") && !log.contains("hunter2"), "{log}");
}

fn rustix_pid(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(pid.cast_signed()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_store_deliver_each_event_once() {
    let Some(shared) = Shared::new().await else { return };
    let first = shared.start("first", "api,engine,maintenance").await;
    let second = shared.start("second", "api,engine,maintenance").await;
    assert_eq!(states(&shared.nodes()), [("first", "alive"), ("second", "alive")]);
    until("a holder of the duties", || async { holders(&shared.nodes()).len() == 1 }).await;
    let made = shared.make(&first).await;
    let clients = [first.client(&made.token).unwrap(), second.client(&made.token).unwrap()];
    // What the one made, the other knows: within a second.
    until("the endpoint on the other server", || async {
        let event = send(&clients[1], &made.app, &json!({})).await;
        standing(&clients[1], &made.app, &event, &made.endpoint).await != Value::Null
    })
    .await;
    let mut events = Vec::new();
    for number in 0..200 {
        events.push(send(&clients[number % 2], &made.app, &json!({ "number": number })).await);
    }
    for (number, event) in events.iter().enumerate() {
        until_state(&clients[(number + 1) % 2], &made.app, event, &made.endpoint, "delivered").await;
    }
    let arrived = shared.receiver.journal().entries();
    let mut ids: Vec<_> = arrived.iter().map(|entry| entry.event).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(count >= 200 && ids.len() == count, "{count} arrivals of {} events", ids.len());

    // One that is stopped leaves its work to the other; one that is killed is found out.
    assert!(first.terminate(END_MS_MAX).await.unwrap().success());
    let event = send(&clients[1], &made.app, &json!({})).await;
    until_state(&clients[1], &made.app, &event, &made.endpoint, "delivered").await;
    let third = shared.start("third", "api,engine,maintenance").await;
    second.kill().await.unwrap();
    until("the end of the one that was killed", || async {
        states(&shared.nodes()) == [("first", "stopped"), ("second", "dead"), ("third", "alive")]
    })
    .await;
    until("the duties on the last one", || async { holders(&shared.nodes()) == ["third"] }).await;
    assert!(third.terminate(END_MS_MAX).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_accept_and_nodes_that_deliver_work_together() {
    let Some(shared) = Shared::new().await else { return };
    let api = shared.start("api", "api").await;
    let engine = shared.start("engine", "engine").await;
    let upkeep = shared.start("upkeep", "maintenance").await;
    let made = shared.make(&api).await;
    let client = api.client(&made.token).unwrap();
    let mut fastest = Duration::MAX;
    for number in 1..=10 {
        let sent = Instant::now();
        send(&client, &made.app, &json!({ "number": number })).await;
        until("the delivery", || async { shared.receiver.requests() >= number }).await;
        fastest = fastest.min(sent.elapsed());
    }
    assert!(fastest < Duration::from_secs(1), "the fastest of ten took {fastest:?}");
    assert_eq!(shared.receiver.requests(), 10);
    for (server, roles) in [(&engine, "engine"), (&upkeep, "maintenance")] {
        let there = server.client(&made.token).unwrap();
        assert_eq!(there.call("GET", "/api/v1/app", None).await.unwrap().status, 404, "{roles} has no API");
        assert_eq!(there.call("GET", "/health/ready", None).await.unwrap().status, 200);
        let metrics = there.metrics().await.unwrap();
        assert!(metrics.contains(&format!("roles=\"{roles}\"")), "{metrics}");
    }
    assert_eq!(states(&shared.nodes()), [("api", "alive"), ("engine", "alive"), ("upkeep", "alive")]);
    until("the duties where they belong", || async { holders(&shared.nodes()) == ["upkeep"] }).await;
    let roles = |node: &Value| (node["name"].clone(), node["roles"].clone());
    let mut listed: Vec<_> = shared.nodes().iter().map(roles).collect();
    listed.sort_by_key(|(name, _)| name.to_string());
    let expected = [("api", ["api"]), ("engine", ["engine"]), ("upkeep", ["maintenance"])];
    assert_eq!(listed, expected.map(|(name, roles)| (json!(name), json!(roles))));
    let table = text(&shared.command(&["nodes"]).stdout);
    assert!(table.contains(" maintenance "), "{table}");
    assert!(table.starts_with("NODE ") && table.contains(" upkeep ") && table.lines().count() >= 4, "{table}");
    for server in [api, engine, upkeep] {
        assert!(server.terminate(END_MS_MAX).await.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_the_store_sends_and_waits_for_the_servers_to_deliver() {
    let Some(shared) = Shared::new().await else { return };
    let send = |words: &[&str]| {
        let url = shared.database.url();
        run(&[&["send", "--store", &url, "--app", "shop", "--type", "t", "--create"], words].concat())
    };
    let kept = send(&[]);
    assert!(kept.status.success(), "{}", text(&kept.stderr));
    assert!(text(&kept.stderr).contains("no server runs on this store"), "{}", text(&kept.stderr));
    let waits_for = |words: &str| {
        let refused = send(&["--wait"]);
        assert_eq!(refused.status.code(), Some(2), "nothing would ever end");
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
    };
    waits_for("no server runs on this store, so nothing is delivered");
    let api = shared.start("api", "api,maintenance").await;
    waits_for("no server on this store has the role `engine`, so nothing is delivered");
    assert!(text(&send(&[]).stderr).contains("has the role `engine`"));
    // A server at a URL is asked in the same way.
    let token = text(&shared.command(&["token", "create"]).stdout).trim().to_owned();
    let url = format!("http://{}", api.config().listen);
    let far = run(&["send", "--url", &url, "--token", &token, "--app", "shop", "--type", "t", "--wait"]);
    assert_eq!(far.status.code(), Some(2), "{}", text(&far.stderr));
    assert!(text(&far.stderr).contains("has the role `engine`"), "{}", text(&far.stderr));
    // One of an older version does not say what it does: it may deliver.
    shared.database.psql("update hookfast.nodes set roles = null where name = 'api'").unwrap();
    assert_eq!(send(&["--wait"]).status.code(), Some(0), "no endpoint wants it, so all has ended");
    assert!(api.terminate(END_MS_MAX).await.unwrap().success());
    let server = shared.start("only", "api,engine,maintenance").await;
    let token = text(&shared.command(&["token", "create"]).stdout).trim().to_owned();
    let endpoint = EndpointIn { url: shared.receiver.url("/hook"), ..EndpointIn::default() };
    server.client(&token).unwrap().create_endpoint("shop", &endpoint).await.unwrap();
    let sent = send(&["--wait", "--json"]);
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    let answer: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(answer["destinations"][0]["state"], "delivered");
    assert_eq!(shared.receiver.requests(), 1);
    assert!(server.terminate(END_MS_MAX).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_shown_and_migrated_by_hand_where_that_is_wanted() {
    let Some(shared) = Shared::new().await else { return };
    let url = shared.database.url();
    let status = || run(&["migrate", "status", "--json", "--store", &url]);
    let empty = status();
    assert_eq!(empty.status.code(), Some(1), "{}", text(&empty.stderr));
    let told: Value = serde_json::from_slice(&empty.stdout).unwrap();
    assert_eq!((&told["current"], &told["found"], &told["store"]), (&json!(false), &json!(0), &json!("PostgreSQL")));
    let refused = run(&["serve", "--store", &url, "--listen", "127.0.0.1:0", "--set", "store.migrate=check"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("hookfast migrate up"), "{}", text(&refused.stderr));
    let tables = "select count(*) from pg_namespace where nspname = 'hookfast'";
    assert_eq!(shared.database.psql(tables).unwrap(), "0", "asking changed something");
    for _ in 0..2 {
        let up = text(&shared.command(&["migrate", "up"]).stdout);
        assert!(up.starts_with("PostgreSQL: schema ") && up.trim_end().ends_with(", current"), "{up}");
    }
    assert!(status().status.success());
    let mut config = shared.config("checked", "api,engine,maintenance");
    config.env.push(("HOOKFAST_STORE__MIGRATE".into(), "check".into()));
    assert!(Server::start(config).await.unwrap().terminate(END_MS_MAX).await.unwrap().success());
}

#[test]
fn the_schema_of_a_directory_is_shown_and_migrated_by_hand_too() {
    let dir = tempfile::tempdir().unwrap();
    let migrate = |what: &str| run(&["migrate", what, "--data-dir", path(dir.path())]);
    let none = migrate("status");
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stdout).contains(": no schema yet, this binary needs "), "{}", text(&none.stdout));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "asking changed something");
    assert!(migrate("up").status.success());
    let current = migrate("status");
    assert!(current.status.success());
    assert!(text(&current.stdout).starts_with("SQLite in "), "{}", text(&current.stdout));
    let nodes = run(&["nodes", "--data-dir", path(dir.path())]);
    assert!(nodes.status.success() && text(&nodes.stdout).starts_with("NODE "), "{}", text(&nodes.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_after_the_store_was_opened_gives_it_back_at_once() {
    let Some(shared) = Shared::new().await else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let words = ["serve", "--store", &shared.database.url(), "--listen", &listen, "--node-name", "unlucky"];
    assert_eq!(run(&words).status.code(), Some(1));
    assert_eq!(states(&shared.nodes()), [("unlucky", "stopped")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_ready_while_its_database_is_away() {
    let Some(mut postgres) = PostgresServer::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
    config.env.push(("HOOKFAST_STORE__URL".into(), postgres.url()));
    let token = config.create_token().await.unwrap();
    let server = Server::start(config).await.unwrap();
    let client = server.client(&token).unwrap();
    let ready = async || client.call("GET", "/health/ready", None).await.unwrap().status;
    assert_eq!(ready().await, 200);
    postgres.stop_immediately();
    until("it to be not ready", || async { ready().await == 503 }).await;
    let (status, body) = call(&client, "POST", "/api/v1/app", Some(json!({ "name": "shop" }))).await;
    assert_eq!(status, 503, "{body}");
    postgres.restart();
    until("it to be ready", || async { ready().await == 200 }).await;
    client.create_application(&ApplicationIn { name: "shop".into(), uid: None }).await.unwrap();
    assert!(server.terminate(END_MS_MAX).await.unwrap().success());
}
