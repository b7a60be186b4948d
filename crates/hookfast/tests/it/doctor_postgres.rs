//! `doctor` on real PostgreSQL servers and databases, good ones and such as an operator should hear of.

use crate::cli::{hookfast, run, text};
use crate::doctor::doctor;
use crate::rig::BINARY;
use hookfast_lab::process::{Server, ServerConfig};
use hookfast_testkit::postgres::{Crowd, PostgresServer, database};

type Found = (String, String, String);

/// The exit code, and level, finding and advice of one check, of the store at this URL.
fn doctor_of(url: &str) -> (i32, impl Fn(&str) -> Found + use<>) {
    let home = tempfile::tempdir().unwrap();
    doctor(home.path(), &["--store", url])
}

/// Every check but those of the machine that runs the tests.
const CHECKS: [&str; 10] = [
    "store",
    "server",
    "durability",
    "rights",
    "connections",
    "server clock",
    "transactions",
    "vacuum",
    "partitions",
    "nodes",
];

fn migrated(url: &str) {
    let output = run(&["migrate", "up", "--store", url]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Partitions are made by whoever opens it.
    assert!(run(&["token", "create", "--store", url]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_database_is_found_good_with_its_nodes() {
    // One of its own, as the one that all tests share does not sync.
    let Some(server) = PostgresServer::start() else { return };
    let database = server.database();
    let url = database.url();
    let (code, of) = doctor_of(&url);
    assert_eq!(code, 0);
    assert!(of("store").1.ends_with("a server brings it there at its start"), "{:?}", of("store"));
    assert_eq!(of("rights").1, "this user may make the schema `hookfast`");
    assert_eq!(database.psql("select count(*) from pg_namespace where nspname = 'hookfast'").unwrap(), "0");
    let home = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(BINARY, home.path().join("data")).unwrap();
    config.env.push(("HOOKFAST_STORE__URL".into(), url.clone()));
    config.args = ["--node-name", "first"].map(str::to_owned).to_vec();
    let node = Server::start(config).await.unwrap();
    let (code, of) = doctor_of(&url);
    assert_eq!(code, 0);
    for check in CHECKS {
        assert_eq!(of(check).0, "ok", "{check}: {:?}", of(check));
    }
    assert!(of("nodes").1.starts_with("1 alive: first ("), "{:?}", of("nodes"));
    assert!(of("durability").1.starts_with("fsync on, full_page_writes on, synchronous_commit on"));
    assert!(of("partitions").1.starts_with("made for "), "{:?}", of("partitions"));
    let nodes = "select count(*) from hookfast.nodes";
    let before = database.psql(nodes).unwrap();
    let plain = hookfast(&["doctor", "--store", &url, "--listen", "127.0.0.1:0"]).output().unwrap();
    let plain = text(&plain.stdout);
    assert!(plain.lines().any(|line| line.starts_with("ok    server         PostgreSQL ")), "{plain}");
    assert_eq!(database.psql(nodes).unwrap(), before, "looking made a node");
    assert!(node.terminate(30_000).await.unwrap().success());
}

#[test]
fn a_server_that_is_not_safe_or_too_small_is_told_with_what_to_do() {
    let unsafe_settings = ["fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=14"];
    let Some(server) = PostgresServer::start_with(&unsafe_settings) else { return };
    migrated(&server.url());
    let (code, of) = doctor_of(&server.url());
    let (level, found, advice) = of("durability");
    assert_eq!((level.as_str(), advice.starts_with("A POWER CUT LOSES ACCEPTED EVENTS")), ("warn", true), "{advice}");
    assert!(found.starts_with("fsync off, full_page_writes off"), "{found}");
    assert_eq!((code, of("vacuum").0.as_str()), (1, "fail"));
    let (level, found, advice) = of("connections");
    assert_eq!(level, "warn", "{found}");
    assert!(found.starts_with("11 of 11 are free") && advice.starts_with("raise max_connections"), "{found}");
    // Its own limit is what counts where that is less.
    server.psql("create role few login connection limit 2; grant create on database postgres to few").unwrap();
    let few = server.url().replacen("postgres@", "few@", 1);
    assert!(doctor_of(&few).1("connections").1.starts_with("2 of 11 are free"));
    // Commits would wait for ever; asking does not.
    server.psql("alter system set synchronous_standby_names = 'ANY 1 (nobody, nowhere)'").unwrap();
    server.psql("select pg_reload_conf()").unwrap();
    let is_read = (0..1000).any(|_| server.psql("show synchronous_standby_names").unwrap().starts_with("ANY"));
    assert!(is_read);
    let (code, of) = doctor_of(&server.url());
    assert_eq!((code, of("replication").0.as_str()), (1, "fail"));
    assert!(of("replication").1.ends_with(": 0 in step, 1 wanted"), "{:?}", of("replication"));
}

#[test]
fn a_database_with_something_in_the_way_is_told_with_what_it_is() {
    let Some(database) = database() else { return };
    let url = database.url();
    migrated(&url);
    let open = Crowd::in_a_transaction(&url, "set application_name = 'a report'");
    let (code, of) = doctor_of(&url);
    let (level, found, _) = of("transactions");
    assert_eq!((code, level.as_str()), (0, "ok"), "it is young: {found}");
    assert!(found.starts_with("the oldest has been open for ") && found.contains("postgres, a report"), "{found}");
    drop(open);
    database.psql("alter table hookfast.queue set (autovacuum_enabled = off)").unwrap();
    let (level, found, advice) = doctor_of(&url).1("vacuum");
    assert_eq!((level.as_str(), found.as_str()), ("warn", "it is turned off for queue"));
    assert!(advice.contains("RESET (autovacuum_enabled)"), "{advice}");
    let days = "select string_agg('hookfast.' || relname, ', ') from pg_class
                where relname ~ '^dedupe_[0-9]+$' and relnamespace = 'hookfast'::regnamespace";
    let days = database.psql(days).unwrap();
    database.psql(&format!("drop table {days}")).unwrap();
    let (code, of) = doctor_of(&url);
    assert_eq!((code, of("partitions").0.as_str()), (1, "fail"));
    assert!(of("partitions").2.contains("`maintenance`"), "{:?}", of("partitions"));
}

#[test]
fn a_user_who_may_not_do_enough_is_told_what_is_missing() {
    let Some(server) = PostgresServer::start() else { return };
    migrated(&server.url());
    let all = "on all tables in schema hookfast";
    server.psql("create role guest login; create role worker login").unwrap();
    server.psql("grant usage on schema hookfast to guest, worker").unwrap();
    server.psql(&format!("grant select {all} to guest; grant select, insert, update, delete {all} to worker")).unwrap();
    let of = |user: &str| doctor_of(&server.url().replacen("postgres@", &format!("{user}@"), 1));
    let (code, guest) = of("guest");
    assert_eq!((code, guest("rights").0.as_str()), (1, "fail"));
    assert!(guest("rights").1.contains("may not read and write"), "{:?}", guest("rights"));
    assert!(guest("transactions").1.contains("GRANT pg_read_all_stats"), "{:?}", guest("transactions"));
    let (code, worker) = of("worker");
    assert_eq!((code, worker("rights").0.as_str()), (0, "warn"));
    assert!(worker("rights").2.contains("as the role that owns the tables"), "{:?}", worker("rights"));
    server.psql("create database empty").unwrap();
    let empty = server.url().replacen("postgres@", "guest@", 1).replacen("/postgres", "/empty", 1);
    let (code, of) = doctor_of(&empty);
    assert_eq!((code, of("rights").0.as_str()), (1, "fail"), "{:?}", of("rights"));
}

#[test]
fn a_server_that_no_node_starts_on_fails_with_the_sentence_that_a_node_ends_with() {
    let Some(server) = PostgresServer::start() else { return };
    migrated(&server.url());
    server.psql("alter database postgres set synchronous_commit = off").unwrap();
    let (code, of) = doctor_of(&server.url());
    assert_eq!((code, of("server").0.as_str()), (1, "fail"));
    assert!(of("server").1.contains("synchronous_commit is off"), "{:?}", of("server"));
    assert_eq!(of("durability").0, "warn");
}
