//! The transcripts of guides, typed once more: what a reader sees there is what the commands say. Those of
//! `why-not-delivered.md` are with the test of `explain`.

use crate::cli::text;
use crate::explain::normalised;
use crate::rig::{BINARY, until};
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_lab::receiver::{Receiver, ReceiverConfig};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use tempfile::TempDir;

const GUIDES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/");
const CONSOLE: &str = "```console\n";
/// What the guides call the address where webhooks are received.
const RECEIVER: &str = "127.0.0.1:8090";

/// Somebody who types what a guide says, in a directory of their own.
struct Reader {
    dir: TempDir,
    /// What a guide calls something, and what it is called here.
    names: Vec<(String, String)>,
}

impl Reader {
    fn new(receiver: String) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), names: vec![(RECEIVER.to_owned(), receiver)] }
    }

    /// What a command says, on both streams.
    fn ask(&self, command: &str) -> String {
        let command = self.names.iter().fold(command.to_owned(), |line, (guide, here)| line.replace(guide, here));
        let mut shell = Command::new("sh");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOOKFAST_")) {
            shell.env_remove(name);
        }
        let path = format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
        shell.args(["-c", &format!("{{ {command} ; }} 2>&1")]).env("PATH", path);
        let output = shell.current_dir(self.dir.path()).stdin(Stdio::null()).output().unwrap();
        // Whether it was looked at before the first try is a matter of luck.
        let said = text(&output.stdout);
        said.lines().filter(|line| !line.contains("  pending after 0 tries  ")).collect::<Vec<_>>().join("\n")
    }

    async fn ask_until(&self, command: &str, wanted: &str) -> String {
        let said = Mutex::new(String::new());
        until(&format!("{wanted:?} from {command}"), || async {
            *said.lock().unwrap() = self.ask(command);
            said.lock().unwrap().contains(wanted)
        })
        .await;
        said.into_inner().unwrap()
    }

    /// Types the commands of a transcript, the last of them until it says `wanted`. What they say must stand there; with
    /// `UPDATE_DOCS` set, it is written there.
    async fn types(&mut self, guide: &str, block: usize, wanted: &str) {
        let file = PathBuf::from(GUIDES).join(guide);
        let written = std::fs::read_to_string(&file).unwrap();
        let mut blocks: Vec<String> = written.split(CONSOLE).map(str::to_owned).collect();
        let (shown, rest) = blocks[block].split_once("```").unwrap();
        let mut told = String::new();
        let steps: Vec<&str> = shown.split("$ ").skip(1).collect();
        for (at, step) in steps.iter().enumerate() {
            let (command, answer) = step.split_once('\n').unwrap();
            if !command.starts_with("hookfast ") || command.ends_with('&') {
                told.push_str(&format!("$ {step}"));
                continue;
            }
            let is_last = at + 1 == steps.len();
            let said = if is_last { self.ask_until(command, wanted).await } else { self.ask(command) };
            self.learn(answer, &said);
            told.push_str(&format!("$ {command}\n{}\n", self.as_the_guide(&said)));
        }
        let (shown, is_same) = (shown.to_owned(), comparable(shown) == comparable(&told));
        if std::env::var_os("UPDATE_DOCS").is_some() && !is_same {
            blocks[block] = format!("{told}```{rest}");
            return std::fs::write(file, blocks.join(CONSOLE)).unwrap();
        }
        let hint = "is out of date: run `UPDATE_DOCS=1 cargo test -p hookfast --test it guides`";
        assert_eq!(comparable(&shown), comparable(&told), "docs/guides/{guide} {hint}");
    }

    /// Ids that are shown at the same places name the same things.
    fn learn(&mut self, guide: &str, here: &str) {
        for (guide, here) in ids(guide).zip(ids(here)) {
            if self.names.iter().all(|(known, _)| known != guide) {
                self.names.push((guide.to_owned(), here.to_owned()));
            }
        }
    }

    fn as_the_guide(&self, said: &str) -> String {
        self.names.iter().fold(said.to_owned(), |text, (guide, here)| text.replace(here, guide))
    }
}

fn ids(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| ["msg_", "ep_", "app_"].iter().any(|prefix| word.starts_with(prefix)))
}

/// The same whenever it is made: besides times and ids, sizes and the numbers of processes and replays are those
/// of an example.
fn comparable(told: &str) -> String {
    let mut words: Vec<String> = normalised(told).split(' ').map(str::to_owned).collect();
    for at in 1..words.len() {
        if words[at].starts_with("bytes") {
            words[at - 1] = "2".to_owned();
        } else if ["(pid", "--resume"].contains(&words[at - 1].as_str()) {
            words[at] = words[at].replace(|c: char| c.is_ascii_alphanumeric(), "");
        }
    }
    words.join(" ")
}

async fn receiver(listen: &str) -> Receiver {
    let listen = listen.parse().unwrap();
    Receiver::start(ReceiverConfig { listen, ..ReceiverConfig::loopback(Journal::new(1000)) }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_five_minutes_and_a_backup_go_as_the_guides_say() {
    const FIRST: &str = "first-five-minutes.md";
    const OPERATING: &str = "operating.md";
    let listening = receiver("127.0.0.1:0").await;
    let address = listening.addr().to_string();
    let mut reader = Reader::new(address.clone());
    let config = ServerConfig::new(BINARY, reader.dir.path().join("data")).unwrap();
    let server = Server::start(config.clone()).await.unwrap();
    reader.types(FIRST, 2, "ep_").await;
    let secret = reader.ask("hookfast endpoint secret mine --data-dir ./data");
    listening.verify("/hook", &secret).unwrap();
    reader.types(FIRST, 4, "delivered").await;
    assert!(listening.journal().entries().iter().all(|one| one.accepted()), "signatures hold");
    listening.stop().await;
    reader.types(FIRST, 5, "(1 try)").await;
    let listening = receiver(&address).await;
    server.kill().await.unwrap();
    let server = Server::start(config).await.unwrap();
    reader.types(FIRST, 6, "delivered").await;
    reader.types(FIRST, 7, "2 deliveries").await;

    let backup = reader.dir.path().join("hookfast-monday").to_str().unwrap().to_owned();
    reader.names.extend(
        [("/var/lib/hookfast", "./data/."), ("/backups/hookfast-monday", &backup)]
            .map(|(a, b)| (a.to_owned(), b.to_owned())),
    );
    reader.types(OPERATING, 1, "schema").await;
    reader.types(OPERATING, 2, "start it").await;
    drop(listening);
    assert!(server.terminate(30_000).await.unwrap().success());
}
