//! The commands about applications, endpoints, events, deliveries and attempts: what each does, and what it says when it
//! cannot.

use crate::cli::{hookfast, path, run, text};
use crate::rig::{BINARY, until};
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::{Behaviour, Receiver, ReceiverConfig};
use serde_json::Value;
use tempfile::TempDir;

/// A server, a receiver that refuses below `/bad`, and an application.
pub(crate) struct Shop {
    dir: TempDir,
    pub(crate) server: Server,
    pub(crate) receiver: Receiver,
}

impl Shop {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(BINARY, dir.path().join("data")).unwrap();
        config.env.push(("HOOKFAST_RETRY__DELAYS".into(), "20ms".into()));
        let server = Server::start(config).await.unwrap();
        let receiver = Receiver::start(ReceiverConfig::loopback(Journal::new(1000))).await.unwrap();
        receiver.behave("/bad", Behaviour::Status(500));
        let shop = Self { dir, server, receiver };
        shop.done("app create Shop --uid shop");
        shop
    }

    /// Exit code, standard output and standard error of a command whose words have no blanks.
    pub(crate) fn ask(&self, line: &str) -> (i32, String, String) {
        let data = self.dir.path().join("data");
        let words: Vec<&str> = line.split_whitespace().chain(["--data-dir", path(&data)]).collect();
        let output = hookfast(&words).output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    pub(crate) fn done(&self, line: &str) -> String {
        let (code, out, error) = self.ask(line);
        assert_eq!(code, 0, "{line}: {error}");
        out.trim_end().to_owned()
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(&format!("{line} --json"))).unwrap()
    }

    #[track_caller]
    pub(crate) fn fails(&self, line: &str, code: i32, said: &str) {
        let (found, out, error) = self.ask(line);
        assert_eq!((found, out.as_str()), (code, ""), "{line}: {error}");
        assert!(error.contains(said), "{line}: {error}");
    }

    pub(crate) async fn until_state(&self, event: &str, state: &str) {
        let line = format!("delivery list {event} --state {state}");
        until(state, || async { !self.json(&line)["data"].as_array().unwrap().is_empty() }).await;
    }

    pub(crate) async fn end(self) {
        assert!(self.server.terminate(30_000).await.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_are_made_listed_shown_and_deleted() {
    let shop = Shop::start().await;
    let id = shop.done("app create Other --uid other");
    assert!(id.starts_with("app_"), "{id}");
    let list = shop.done("app list");
    assert!(list.starts_with("ID ") && list.contains("shop") && list.contains(&id), "{list}");
    let first = shop.json("app list --limit 1");
    assert_eq!((first["data"].as_array().unwrap().len(), &first["done"]), (1, &Value::Bool(false)));
    let rest = shop.json(&format!("app list --iterator {}", first["iterator"].as_str().unwrap()));
    assert_eq!((&rest["data"][0]["id"], &rest["done"]), (&Value::from(id.as_str()), &Value::Bool(true)));
    assert_eq!(shop.json("app list --all")["data"].as_array().unwrap().len(), 2);
    for name in ["other", "oth", &id, &id[..id.len() - 1]] {
        assert_eq!(shop.json(&format!("app show {name}"))["id"], id.as_str(), "{name}");
    }
    shop.fails("app create Again --uid other", 5, "other");
    shop.fails("app show othr", 3, "did you mean other?");
    shop.fails("app show nothing-like-it", 3, "application nothing-like-it not found");
    shop.fails("endpoint list", 2, "several applications; name one with --app: ");
    shop.fails("app delete other", 2, "say --yes");
    shop.done("app delete other --yes");
    shop.fails("app show other", 3, "not found");
    shop.fails("app list --limit 0", 2, "--limit");
    shop.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_made_changed_switched_and_deleted() {
    let shop = Shop::start().await;
    let url = shop.receiver.url("/hook");
    let id = shop.done(&format!("endpoint create {url} --uid billing --types a.b,c.d --channels eu"));
    let found = shop.json("endpoint show billing");
    assert_eq!((&found["id"], &found["url"]), (&Value::from(id.as_str()), &Value::from(url.as_str())));
    assert_eq!(
        (found["eventTypes"].to_string(), found["channels"].to_string()),
        (r#"["a.b","c.d"]"#.into(), r#"["eu"]"#.into())
    );
    assert!(shop.done("endpoint show bill").contains(&url));
    let changed = shop.json("endpoint change billing --add-type e.f --all-channels --description new");
    assert_eq!(changed["eventTypes"].to_string(), r#"["a.b","c.d","e.f"]"#);
    assert_eq!((&changed["channels"], &changed["description"]), (&Value::Null, &Value::from("new")));
    assert_eq!(shop.json("endpoint change billing --all-types")["eventTypes"], Value::Null);
    assert_eq!(shop.json(&format!("endpoint disable {id}"))["disabledReason"], "by_owner");
    assert!(shop.done("endpoint list").contains("by_owner"));
    assert_eq!(shop.json("endpoint enable billing --app shop")["disabled"], false);
    let secret = shop.done("endpoint secret billing");
    assert!(secret.starts_with("whsec_"));
    let rotated = shop.done("endpoint secret billing --rotate");
    assert_eq!((shop.done("endpoint secret billing"), rotated != secret), (rotated, true));
    shop.fails("endpoint change billing", 2, "nothing to do: say --to");
    shop.fails("endpoint create not-a-url", 2, "url: ");
    shop.fails(&format!("endpoint create {url} --uid billing"), 5, "billing");
    shop.fails("endpoint show biling", 3, "did you mean billing?");
    shop.fails("endpoint delete billing", 2, "say --yes");
    shop.done("endpoint delete billing --yes");
    shop.fails(&format!("endpoint show {id}"), 3, "not found");
    shop.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_followed_and_replayed_once() {
    let shop = Shop::start().await;
    let good = shop.done(&format!("endpoint create {} --uid good", shop.receiver.url("/good")));
    let bad = shop.done(&format!("endpoint create {} --uid bad", shop.receiver.url("/bad")));
    let event = shop.done("send --app shop --type a.b --id order-1 --channel eu");
    shop.done("send --app shop --type c.d");
    assert_eq!(shop.json("event list")["data"].as_array().unwrap().len(), 2);
    for filter in ["--type a.b", "--channel eu"] {
        let found = shop.json(&format!("event list {filter} --since 1h"));
        assert_eq!((found["data"].as_array().unwrap().len(), &found["data"][0]["id"]), (1, &event.as_str().into()));
    }
    assert!(shop.json("event list --until 1h")["data"].as_array().unwrap().is_empty());
    assert_eq!(shop.json("event show order-1")["eventType"], "a.b");
    shop.until_state(&event, "delivered").await;
    shop.until_state(&event, "dead").await;
    let told = shop.done("explain order-1");
    assert!(told.starts_with(&format!("Not delivered to {bad} ")), "what needs somebody comes first: {told}");
    assert!(told.contains("it answered 500; given up after 2 tries."), "{told}");
    let failed = shop.json(&format!("attempt list --event {event} --failed"));
    assert_eq!(failed["data"].as_array().unwrap().len(), 2);
    assert_eq!(shop.json("attempt list --endpoint good --type a.b")["data"].as_array().unwrap().len(), 1);
    assert!(shop.done("attempt list --endpoint bad").contains("status"));

    shop.receiver.behave("/bad", Behaviour::Status(200));
    let replayed = shop.json("event replay order-1");
    assert_eq!(replayed["endpoints"], serde_json::json!([bad]), "only where it did not succeed");
    until("the replay", || async {
        shop.json(&format!("delivery list {event} --state delivered"))["data"].as_array().unwrap().len() == 2
    })
    .await;
    shop.fails("event replay order-1", 1, "nothing to replay");
    shop.done(&format!("event replay order-1 --endpoint {good}"));
    until("the second run", || async {
        let found = shop.json(&format!("attempt list --event {event} --succeeded"));
        found["data"].as_array().unwrap().iter().filter(|one| one["endpointId"] == good.as_str()).count() == 2
    })
    .await;
    let lines = shop.done("tail --since 1h --for 1ms");
    let types: Vec<&str> = lines.lines().map(|line| line.split("  ").nth(2).unwrap()).collect();
    assert_eq!(types, ["a.b", "c.d"], "oldest first");
    assert!(shop.done("tail --endpoint bad --since 1h --for 1ms --json").lines().count() >= 3);
    shop.fails("event show order-2", 3, "did you mean order-1?");
    shop.fails("event list --since noon", 2, "or how long ago");
    shop.fails("attempt list", 2, "--event");
    shop.fails("delivery list order-1 --state lost", 2, "possible values");
    shop.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_as_dead_is_replayed_by_one_command() {
    let shop = Shop::start().await;
    let bad = shop.done(&format!("endpoint create {} --uid bad", shop.receiver.url("/bad")));
    let events: Vec<String> = (0..3).map(|_| shop.done("send --app shop --type a.b")).collect();
    for event in &events {
        shop.until_state(event, "dead").await;
    }
    shop.fails("dlq replay bad --since 1h", 2, "say --yes");
    shop.fails("dlq replay bad --since 30d --yes", 2, "14 days");
    shop.done("endpoint disable bad");
    shop.fails("dlq replay bad --since 1h --yes", 5, &format!("hookfast endpoint enable {bad}"));
    assert!(shop.done("explain bad").contains(&format!("dlq replay {bad} --since 1d --data-dir ")));
    shop.done("endpoint enable bad");
    shop.receiver.behave("/bad", Behaviour::Status(200));
    let task = shop.json("dlq replay bad --since 1h --yes");
    assert_eq!((&task["status"], &task["data"]["queued"]), (&"finished".into(), &3.into()), "{task}");
    for event in &events {
        shop.until_state(event, "delivered").await;
    }
    assert!(shop.done("dlq replay bad --since 1h --yes").ends_with("  finished  0 queued"), "nothing twice");
    shop.end().await;
}

#[test]
fn a_list_goes_on_behind_pages_on_which_nothing_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let data = path(dir.path());
    let more_than_one_page_looks_at = (hookfast_core::limits::LOOKED_AT_MAX + 1_000).to_string();
    let filled = ["fill", "--data-dir", data, "--expiring", "1", "--finished", &more_than_one_page_looks_at];
    assert!(run(&filled).status.success());
    let list = ["event", "list", "--data-dir", data, "--app", "history", "--type", "never.one", "--json"];
    let listed = run(&list);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    assert!(!text(&listed.stderr).contains("there are more"), "{}", text(&listed.stderr));
    let answer: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((answer["data"].as_array().unwrap().len(), &answer["done"]), (0, &Value::Bool(true)));
}
