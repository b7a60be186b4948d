//! Why an event did not arrive, found by one command and mended by what it says; the transcripts in the guide are these.

use crate::cli::{hookfast, run, text};
use crate::rig::{BINARY, until};
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig, free_port};
use hookfast_lab::receiver::{Receiver, ReceiverConfig};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/why-not-delivered.md");

/// A server whose data directory is where commands look for one that is not named.
struct Place {
    dir: TempDir,
    server: Server,
}

impl Place {
    async fn start(env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new(BINARY, dir.path().join("hookfast-data")).unwrap();
        config.env.push(("HOOKFAST_RETRY__DELAYS".into(), "1h".into()));
        config.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self { server: Server::start(config).await.unwrap(), dir }
    }

    /// The same with these settings too.
    async fn restart(self, env: &[(&str, &str)]) -> Self {
        let mut config = self.server.config().clone();
        config.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        assert!(self.server.terminate(30_000).await.unwrap().success());
        Self { server: Server::start(config).await.unwrap(), dir: self.dir }
    }

    /// Exit code, standard output and standard error of a command.
    fn ask(&self, words: &[&str]) -> (i32, String, String) {
        let output = hookfast(words).current_dir(self.dir.path()).output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// Standard output of a command that succeeds.
    fn done(&self, words: &[&str]) -> String {
        let (code, out, error) = self.ask(words);
        assert_eq!(code, 0, "{words:?}: {error}");
        out.trim_end().to_owned()
    }

    fn send(&self, kind: &str) -> String {
        self.done(&["send", "--app", "shop", "--create", "--type", kind])
    }

    fn explain(&self, thing: &str) -> String {
        self.done(&["explain", thing])
    }

    /// Types what a story says behind `mend:` and `then:`.
    fn do_as_told(&self, story: &str) {
        for line in story.lines().filter_map(|line| line.trim().split_once(":  hookfast ")) {
            self.done(&line.1.split_whitespace().collect::<Vec<_>>());
        }
    }

    async fn until_told(&self, thing: &str, wanted: &str) -> String {
        until(wanted, || async { self.explain(thing).contains(wanted) }).await;
        self.explain(thing)
    }

    async fn end(self) {
        assert!(self.server.terminate(30_000).await.unwrap().success());
    }
}

async fn receiver() -> Receiver {
    Receiver::start(ReceiverConfig::loopback(Journal::new(1000))).await.unwrap()
}

/// The same whenever it is made: times, ids, ports and durations are those of an example.
pub(crate) fn normalised(told: &str) -> String {
    let mut out = String::new();
    for line in told.lines() {
        let words: Vec<String> = line.split(' ').map(normal_word).collect();
        let mut line = words.join(" ");
        if let Some(at) = line.find(" ms  ") {
            let digits = line[..at].rfind(' ').map_or(0, |before| before + 1);
            line.replace_range(digits..at, "2");
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn normal_word(word: &str) -> String {
    let core = word.trim_matches(|c: char| "().:;,".contains(c));
    let like = match core {
        id if id.starts_with("msg_") => "msg_0vUNeJg0HgVB4gWI42p3kK".to_owned(),
        id if id.starts_with("ep_") => "ep_0vUNbQ1xYk7mW3dTz9RfHs".to_owned(),
        id if id.starts_with("app_") => "app_0vUNaC5pLw2nX8jEv4GuBq".to_owned(),
        url if url.starts_with("http://") => match url.rsplit_once(':') {
            Some((host, rest)) => format!("{host}:9000{}", rest.find('/').map_or("", |at| &rest[at..])),
            None => url.to_owned(),
        },
        time if time.ends_with('Z') && time.starts_with("20") => "2026-10-20T10:00:00.000Z".to_owned(),
        _ => return word.to_owned(),
    };
    word.replace(core, &like)
}

/// Compares the transcripts of the guide with these; with `UPDATE_DOCS` set, writes them.
fn must_be_in_the_guide(at: usize, told: &str) {
    let told = format!("$ hookfast explain msg_0vUNeJg0HgVB4gWI42p3kK\n{}", normalised(told));
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let mut parts: Vec<String> = guide.split("```console\n").map(str::to_owned).collect();
    let (found, rest) = parts[at + 1].split_once("```").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        parts[at + 1] = format!("{told}```{rest}");
        std::fs::write(PathBuf::from(GUIDE), parts.join("```console\n")).unwrap();
        return;
    }
    let hint = "docs/guides/why-not-delivered.md is out of date: run `UPDATE_DOCS=1 cargo test -p hookfast arrive`";
    assert_eq!(found, told, "{hint}");
}

/// One after the other, because they share the guide.
#[tokio::test(flavor = "multi_thread")]
async fn why_it_did_not_arrive_is_told_by_one_command() {
    wrong_filter().await;
    dead_receiver().await;
    blocked_address().await;
    disabled_endpoint().await;
}

async fn wrong_filter() {
    let (place, receiver) = (Place::start(&[]).await, receiver().await);
    place.done(&["app", "create", "shop", "--uid", "shop"]);
    place.done(&["endpoint", "create", &receiver.url("/hook"), "--types", "invoice.sent"]);
    let event = place.send("invoice.paid");
    let told = place.explain(&event);
    assert!(told.starts_with("Not delivered to ep_"), "{told}");
    assert!(told.contains("its filter wants only invoice.sent, and this is invoice.paid."), "{told}");
    must_be_in_the_guide(0, &told);
    place.do_as_told(&told);
    let told = place.until_told(&event, "Delivered to ep_").await;
    assert!(told.contains("it answered 200 (1 try)."), "{told}");
    assert_eq!(receiver.requests(), 1, "the mended filter and the replay, once");
    let next = place.send("invoice.paid");
    place.until_told(&next, "Delivered to ep_").await;
    place.end().await;
}

async fn dead_receiver() {
    let place = Place::start(&[]).await;
    place.done(&["app", "create", "shop", "--uid", "shop"]);
    let port = free_port().unwrap();
    place.done(&["endpoint", "create", &format!("http://127.0.0.1:{port}/hook")]);
    let event = place.send("invoice.paid");
    let told = place.until_told(&event, "(1 try)").await;
    assert!(told.contains(" yet: no connection can be made (1 try); the next try is due at 20"), "{told}");
    must_be_in_the_guide(1, &told);
    place.end().await;
}

async fn blocked_address() {
    let place = Place::start(&[]).await;
    place.done(&["app", "create", "shop", "--uid", "shop"]);
    let url = format!("http://127.0.0.1:{}/hook", free_port().unwrap());
    place.done(&["endpoint", "create", &url]);
    let place = place.restart(&[("HOOKFAST_SERVER__PUBLIC_URL", "https://hooks.example.com")]).await;
    let (code, _, error) = place.ask(&["endpoint", "create", &url]);
    assert_eq!(code, 2, "a new one would be refused at once: {error}");
    let event = place.send("invoice.paid");
    let told = place.until_told(&event, "(1 try)").await;
    assert!(told.contains("its address is blocked, nothing may be sent there"), "{told}");
    assert!(told.contains("delivery.allow_networks"), "{told}");
    must_be_in_the_guide(2, &told);
    place.end().await;
}

async fn disabled_endpoint() {
    let (place, receiver) = (Place::start(&[]).await, receiver().await);
    place.done(&["app", "create", "shop", "--uid", "shop"]);
    let endpoint = place.done(&["endpoint", "create", &receiver.url("/hook")]);
    place.done(&["endpoint", "disable", &endpoint]);
    let event = place.send("invoice.paid");
    let told = place.explain(&event);
    assert!(told.contains("it is disabled (by its owner)."), "{told}");
    must_be_in_the_guide(3, &told);
    assert!(place.explain(&endpoint).contains("gets nothing: it is disabled (by its owner)."));
    place.do_as_told(&told);
    place.until_told(&event, "Delivered to ep_").await;
    let told = place.explain(&endpoint);
    assert!(told.contains(" is well.") && told.contains(&event), "{told}");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_found_by_what_people_have_at_hand() {
    let place = Place::start(&[]).await;
    let (code, _, error) = place.ask(&["explain", "invoice-17"]);
    assert_eq!((code, error.contains("there is no application yet")), (3, true), "{error}");
    let event = place.done(&["send", "--app", "shop", "--create", "--type", "a", "--id", "invoice-17"]);
    for name in ["invoice-17", "invoice", &event, &event[..25], &event[4..20]] {
        let told = place.explain(name);
        assert!(told.starts_with("Not delivered: its application has no endpoint."), "{told}");
        assert!(told.contains(&event), "{told}");
    }
    let story: Value = serde_json::from_str(&place.done(&["explain", &event, "--json"])).unwrap();
    assert_eq!((&story["id"], &story["eventId"]), (&event.clone().into(), &"invoice-17".into()));
    let (code, out, error) = place.ask(&["explain", "invoise-17"]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(error.contains("did you mean invoice-17?"), "{error}");
    let changed = format!("{}{}", &event[..25], if event.ends_with('0') { '1' } else { '0' });
    let (code, _, error) = place.ask(&["explain", &changed]);
    assert_eq!((code, error.contains(&format!("did you mean {event}?"))), (3, true), "{error}");
    place.done(&["send", "--app", "other", "--create", "--type", "a"]);
    let (code, _, error) = place.ask(&["explain", "invoice-17"]);
    assert_eq!(code, 2);
    assert!(error.contains("name one with --app: ") && error.contains("shop"), "{error}");
    place.done(&["explain", &event]);
    place.done(&["explain", "invoice-17", "--app", "sh"]);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sent_an_event_and_through_which_source_is_told() {
    let place = Place::start(&[]).await;
    let config = place.server.config().clone();
    let made: Value = serde_json::from_str(&place.done(&["token", "create", "--name", "ci", "--json"])).unwrap();
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    let words = ["send", "--app", "shop", "--create", "--type", "a"];
    let event = place.done(&[&words[..], &["--url", &config.url(), "--token", token]].concat());
    let told = place.explain(&event);
    assert!(told.ends_with(&format!(" through api by token {id} (ci).")), "{told}");
    let told = place.explain(&place.done(&words));
    assert!(told.ends_with(" through cli."), "{told}");
    place.end().await;
}

#[test]
fn explain_says_how_to_come_back_to_the_same_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("my data");
    let flags = ["--data-dir", crate::cli::path(&data)];
    let sent = run(&[&["send", "--app", "shop", "--create", "--type", "a"][..], &flags].concat());
    let event = text(&sent.stdout).trim().to_owned();
    let told = text(&run(&[&["explain", &event][..], &flags].concat()).stdout);
    assert!(told.contains("  mend:  hookfast endpoint create URL --app app_"), "{told}");
    assert!(told.contains(&format!(" --data-dir '{}'", Path::display(&data))), "{told}");
}
