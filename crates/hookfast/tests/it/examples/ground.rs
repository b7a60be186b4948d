//! What the examples name, made: an application, an endpoint, an event that is dead there, files, copies of the store;
//! and a place for each example to be typed in, that no other one has. Knows nothing of how they are typed.

use super::{Need, need};
use crate::cli::{hookfast, path, text};
use crate::redis::PaymentApi;
use crate::rig::{BINARY, until};
use hookfast_lab::journal::Journal;
use hookfast_lab::process::{Server, ServerConfig, free_port};
use hookfast_lab::receiver::{Behaviour, Receiver, ReceiverConfig};
use hookfast_testkit::postgres::{TestDatabase, database};
use hookfast_testkit::redis::{PASSWORD, RedisServer};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The private half of the public key that the help of `verify` shows.
const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
/// The data directory that commands use when none is named.
const DATA: &str = "hookfast-data";
/// Where the help says that backups are, below the place of an example.
const BACKUPS: &str = "backups";

/// What an example and its place here say instead. Addresses are of this machine, ports are free, loads are small, what
/// is older than an hour is older than now.
const NAMES: [(&str, &str); 27] = [
    ("/var/lib/hookfast", DATA),
    ("/backups/", "backups/"),
    ("/etc/hookfast.toml", "hookfast.toml"),
    ("--dns-name hooks.example.com", "--dns-name localhost"),
    ("--until 1h", "--until 0s"),
    ("--until 2h", "--until 0s"),
    ("--listen 127.0.0.1:8071", "--listen 127.0.0.1:0"),
    ("--listen 127.0.0.1:8080", "--listen 127.0.0.1:0"),
    ("--listen 127.0.0.1:9000", "--listen 127.0.0.1:0"),
    ("--listen 0.0.0.0:8000", "--listen 127.0.0.1:0"),
    ("hookfast listen\n", "hookfast listen --listen 127.0.0.1:0\n"),
    ("hookfast listen --secret", "hookfast listen --listen 127.0.0.1:0 --secret"),
    ("hookfast payments --redis 127.0.0.1:6379", "hookfast payments --listen 127.0.0.1:0 --redis 127.0.0.1:6379"),
    ("hookfast bench\n", "hookfast bench --events 200\n"),
    ("hookfast bench --store", "hookfast bench --events 200 --store"),
    ("hookfast bench --url", "hookfast bench --events 200 --url"),
    ("--events 200000 ", "--events 200 "),
    ("--runs 5", "--runs 2"),
    ("--rate 1000 --seconds 20", "--rate 100 --seconds 1"),
    ("--rate 100 --seconds 60", "--rate 100 --seconds 1"),
    ("--finished 100000", "--finished 200"),
    ("--finished 5000000", "--finished 200"),
    ("\"$(pidof hookfast)\"", "$SERVER_PID"),
    ("http://127.0.0.1:8071", "$SERVER_URL"),
    ("postgres://hookfast@db.example/hookfast", "$STORE_URL"),
    ("postgres://owner@db.example/hookfast", "$STORE_URL"),
    ("postgres://postgres@127.0.0.1/postgres", "$STORE_URL"),
];

/// What is there before an example is typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// No data directory yet.
    Nothing,
    /// One that nobody uses.
    Data,
    /// One with a server.
    Server,
}

/// Where it is no server. The first that fits counts.
const BEFORE: [(&str, Before); 19] = [
    ("hookfast app create", Before::Nothing),
    ("hookfast restore", Before::Nothing),
    ("hookfast serve", Before::Data),
    ("hookfast migrate up", Before::Data),
    ("hookfast store copy", Before::Data),
    ("hookfast fill", Before::Data),
    ("hookfast doctor", Before::Data),
    ("postgres://", Before::Nothing),
    ("hookfast bench --url", Before::Server),
    ("hookfast bench", Before::Nothing),
    ("hookfast demo", Before::Nothing),
    ("hookfast listen", Before::Nothing),
    ("hookfast sign", Before::Nothing),
    ("hookfast verify", Before::Nothing),
    ("hookfast config", Before::Nothing),
    ("hookfast completions", Before::Nothing),
    ("hookfast man", Before::Nothing),
    ("hookfast pay", Before::Nothing),
    ("--topic", Before::Nothing),
];

/// What examples are known by here.
pub(super) fn starts() -> impl Iterator<Item = &'static str> {
    BEFORE.iter().map(|(start, _)| *start)
}

/// What the examples of one test name.
pub(super) struct World {
    /// The data directory, copies of it, and the files of an example, to be copied for each.
    stock: TempDir,
    names: Vec<(&'static str, String)>,
    env: Vec<(&'static str, String)>,
    _receiver: Receiver,
    _beside: Option<(PaymentApi, Server)>,
}

impl World {
    /// Makes it all.
    pub(super) async fn start() -> Self {
        let stock = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(ReceiverConfig::loopback(Journal::new(10_000))).await.unwrap();
        let mut config = ServerConfig::new(BINARY, stock.path().join("data").join(DATA)).unwrap();
        config.env.push(("HOOKFAST_RETRY__DELAYS".into(), "20ms".into()));
        config.log = stock.path().join("server.log");
        std::fs::create_dir(stock.path().join("data")).unwrap();
        let server = Server::start(config.clone()).await.unwrap();
        let run = async |line: &str| config.run(&line.split(' ').collect::<Vec<_>>()).await.unwrap();
        let json = async |line: &str| serde_json::from_str::<Value>(&run(&format!("{line} --json")).await).unwrap();
        let app = run("app create Shop --uid shop").await;
        receiver.behave("/hooks", Behaviour::Status(500));
        let endpoint = run(&format!("endpoint create {} --uid billing", receiver.url("/hooks"))).await;
        let event = run("send --app shop --type invoice.paid --id invoice-17").await;
        until("the dead letter", || async {
            json(&format!("delivery list {event} --state dead")).await["data"][0].is_object()
        })
        .await;
        receiver.behave("/hooks", Behaviour::Ok);
        let token = json("token create").await;
        let backups = stock.path().join("copies").join(BACKUPS);
        std::fs::create_dir_all(&backups).unwrap();
        for name in ["hookfast-monday", "hookfast.db"] {
            run(&format!("backup --to {}", path(&backups.join(name)))).await;
        }
        assert!(server.terminate(30_000).await.unwrap().success());
        write_files(&stock.path().join("files"));
        let word = |key: &str| token[key].as_str().unwrap().to_owned();
        let a_day_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
        let names = [
            ("app_0vUNeJg0HgVB4gWI42p3kK", app),
            ("ep_0vUNeJg0HgVB4gWI42p3kK", endpoint),
            ("msg_0vUNeJg0HgVB4gWI42p3kK", event),
            ("tok_0vUNeJg0HgVB4gWI42p3kK", word("id")),
            ("https://example.com/", receiver.url("/")),
            ("https://hooks.example.com/", receiver.url("/")),
            ("http://127.0.0.1:3000/", receiver.url("/")),
            ("2026-10-20T10:00:00Z", a_day_ago.to_string()),
        ];
        let names = names.into_iter().chain(NAMES.map(|(help, here)| (help, here.to_owned()))).collect();
        let env = vec![
            ("HOOKFAST_SERVER__LISTEN", "127.0.0.1:0".to_owned()),
            // Some receivers of `bench` never answer.
            ("HOOKFAST_DELIVERY__TIMEOUT_MS", "3s".to_owned()),
            ("HOOKFAST_SECRET", SECRET.to_owned()),
            ("TOKEN", word("token")),
        ];
        Self { stock, names, env, _receiver: receiver, _beside: None }
    }

    /// A topic whose dead letters are as many as an example asks for.
    #[cfg(feature = "kafka")]
    pub(super) async fn with_dead_letters(mut self, kafka: &hookfast_testkit::kafka::TestKafka) -> Self {
        use hookfast_core::ports::{Log as _, LogReaders as _, LogRecord};
        use hookfast_log::kafka::{KafkaConfig, KafkaLog, Metrics};
        const LETTERS: usize = 16;
        let topic = kafka.topic(1);
        let config = KafkaConfig { partitions: 1, ..KafkaConfig::new(kafka.address()) };
        let log = KafkaLog::open(config, Metrics::default()).unwrap();
        until("the broker", || async { log.is_available() }).await;
        let dead = format!("{topic}.dlq");
        log.ensure_topic(&dead).await.unwrap();
        for number in 0..LETTERS {
            let headers = [("cause", "conflict"), ("error", "another body"), ("origin_topic", &topic)];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned().into())).into();
            let value = format!(r#"{{"event_id":"e{number}"}}"#);
            let record = LogRecord { topic: dead.as_str().into(), key: None, value: value.into(), headers };
            log.append(record).await.unwrap();
        }
        self.names.push(("golang.webhook.system", topic));
        self.env.push(("HOOKFAST_KAFKA__BROKERS", kafka.address().to_owned()));
        self
    }

    /// A payment API, and a server that sends its webhooks.
    pub(super) async fn with_payments(mut self, redis: &RedisServer) -> Self {
        let mut config = ServerConfig::new(BINARY, self.stock.path().join("payments")).unwrap();
        let password = ("HOOKFAST_REDIS__PASSWORD".to_owned(), PASSWORD.to_owned());
        config.env.extend([password, ("HOOKFAST_REDIS__ADDRESSES".to_owned(), redis.address())]);
        let server = Server::start(config).await.unwrap();
        let api = PaymentApi::start(redis, &[]);
        let listen = format!("127.0.0.1:{}", free_port().unwrap());
        self.names.extend([
            ("127.0.0.1:6379", redis.address()),
            ("redis-1:6379,redis-2:6379", redis.address()),
            ("REDIS_PASSWORD=secret", format!("REDIS_PASSWORD='{PASSWORD}'")),
            ("hookfast pay\n", format!("hookfast pay --api {}\n", api.url)),
            ("hookfast pay --poll", format!("hookfast pay --api {} --poll", api.url)),
            ("http://127.0.0.1:8000", api.url.clone()),
            ("http://10.0.0.5:9100/", format!("http://{listen}/")),
            ("0.0.0.0:9100", listen),
        ]);
        self.env.push(("REDIS_PASSWORD", PASSWORD.to_owned()));
        self._beside = Some((api, server));
        self
    }

    /// What examples say that is called otherwise here.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().map(|(help, _)| *help)
    }

    /// A place for one example.
    pub(super) async fn ground(&self, example: &str) -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let before = BEFORE.iter().find(|(start, _)| example.contains(start)).map_or(Before::Server, |found| found.1);
        self.take("files", dir.path());
        self.take(if before == Before::Nothing { "copies" } else { "data" }, dir.path());
        let mut ground = Ground { server: None, database: None, env: self.env.clone(), line: self.line(example), dir };
        if before == Before::Server {
            let server = Server::start(ServerConfig::new(BINARY, ground.dir.path().join(DATA)).unwrap()).await.unwrap();
            ground.env.push(("SERVER_PID", server.pid().to_string()));
            ground.env.push(("SERVER_URL", server.config().url()));
            ground.server = Some(server);
        }
        if need(example) == Need::Postgres {
            ground.give_database(example.contains("hookfast store copy"));
        }
        ground
    }

    /// An example as it is typed here.
    fn line(&self, example: &str) -> String {
        let renamed = |line: String, (help, here): &(&str, String)| line.replace(help, here);
        self.names.iter().fold(format!("{example}\n"), renamed).trim_end().to_owned()
    }

    fn take(&self, what: &str, to: &Path) {
        let from = self.stock.path().join(what).join(".");
        assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
    }
}

/// Files that examples read, and directories that they write into.
fn write_files(dir: &Path) {
    let write = |name: &str, content: &str| std::fs::write(dir.join(name), content).unwrap();
    std::fs::create_dir_all(dir.join(BACKUPS)).unwrap();
    // fish makes it at its first start.
    std::fs::create_dir_all(dir.join(".config/fish/completions")).unwrap();
    write("body.json", r#"{"amount": 12}"#);
    write("invoice.json", r#"{"amount": 12}"#);
    write("hookfast.toml", "[retry]\ndelays = [\"1s\", \"5s\"]\n");
    let signed = hookfast(&["sign", "--secret", PAIR, "--file", path(&dir.join("body.json"))]).output().unwrap();
    write("headers", &text(&signed.stdout));
}

/// Where one example is typed. Its server is killed when dropped.
pub(super) struct Ground {
    /// The example with the names that things have here.
    pub(super) line: String,
    /// What its shell is told beside the usual.
    pub(super) env: Vec<(&'static str, String)>,
    // Before `dir`: it must have ended when its files are deleted.
    server: Option<Server>,
    database: Option<TestDatabase>,
    /// Where it is, and its home.
    pub(super) dir: TempDir,
}

impl Ground {
    /// A database of its own: empty, or with the schema that examples find.
    fn give_database(&mut self, is_empty: bool) {
        let database = database().expect("there was one a moment ago");
        let url = database.url();
        if !is_empty {
            assert!(hookfast(&["migrate", "up", "--store", &url]).output().unwrap().status.success());
        }
        std::fs::write(self.dir.path().join("hookfast.toml"), format!("[store]\nurl = \"{url}\"\n")).unwrap();
        self.env.push(("STORE_URL", url));
        self.database = Some(database);
    }
}
