//! A PostgreSQL database that cannot be used: one sentence that says what to do, the exit code that says who can mend it,
//! and no password in either.

use crate::cli::{failure, run};
use hookfast_testkit::postgres::{PostgresServer, Standby, database};
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Output;

const UNUSABLE: i32 = 2;
const MISSING: i32 = 3;
const DENIED: i32 = 4;
const AWAY: i32 = 6;

/// Both a server and a command end with this code, and with these words in one line.
fn assert_refused(url: &str, code: i32, words: &[&str]) {
    let serve: &[&str] = &["serve", "--listen", "127.0.0.1:0", "--log-level", "off", "--store", url];
    for command in [serve, &["token", "create", "--store", url], &["migrate", "status", "--store", url]] {
        assert_fails(command[0], &run(command), code, words);
    }
}

fn assert_fails(command: &str, output: &Output, code: i32, words: &[&str]) {
    let (found, stderr) = failure(output);
    assert_eq!(found, Some(code), "{command}: {stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "{command}: no {word:?} in {stderr:?}");
    }
    assert!(!stderr.contains("hunter2"), "{command} shows the password: {stderr}");
}

/// With the database `postgres` of another user, or another database.
fn with(url: &str, user: &str, database: &str) -> String {
    let (_, rest) = url.split_once('@').unwrap();
    let (address, _) = rest.rsplit_once('/').unwrap();
    format!("postgres://{user}@{address}/{database}")
}

#[test]
fn a_wrong_url_is_exit_code_2() {
    assert_refused("mysql://u:hunter2@127.0.0.1/db", UNUSABLE, &["store.url", "expected", "postgres://USER:PASSWORD@"]);
    assert_refused("postgres://u:hunter2@127.0.0.1:port/db", UNUSABLE, &["store.url", "port"]);
    assert_refused("postgres:///db", UNUSABLE, &["store.url", "host"]);
    let ca = "postgres://u:hunter2@127.0.0.1/db?sslmode=verify-full&sslrootcert=/no/such/ca.pem";
    assert_refused(ca, UNUSABLE, &["store.url", "/no/such/ca.pem"]);
}

#[test]
fn a_server_that_is_away_is_exit_code_6() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let words = ["PostgreSQL: ", "refused", "see that it runs and that store.url is right"];
    assert_refused(&format!("postgres://u:hunter2@{closed}/db"), AWAY, &words);
    // One that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:hunter2@{}/db", silent.local_addr().unwrap());
    let serve = run(&["serve", "--listen", "127.0.0.1:0", "--log-level", "off", "--store", &url]);
    assert_fails("serve", &serve, AWAY, &["does not answer"]);
}

#[test]
fn who_may_not_come_in_is_told_so() {
    let Some(mut server) = PostgresServer::start() else { return };
    server.psql("create role walled login password 'right'").unwrap();
    server.psql("create role tls_only login").unwrap();
    server.psql("create role poor login").unwrap();
    let rules = server.data_dir().join("pg_hba.conf");
    let old = std::fs::read_to_string(&rules).unwrap();
    let mut file = std::fs::File::create(&rules).unwrap();
    let new = "host all walled 127.0.0.1/32 scram-sha-256\nhostnossl all tls_only 127.0.0.1/32 reject\n";
    file.write_all(format!("{new}{old}").as_bytes()).unwrap();
    server.restart();
    let url = server.url();
    let password = ["password authentication failed", "check user and password in store.url"];
    assert_refused(&with(&url, "walled:hunter2", "postgres"), DENIED, &password);
    assert_refused(&with(&url, "walled", "postgres"), UNUSABLE, &["password"]);
    assert_refused(&with(&url, "tls_only:hunter2", "postgres"), DENIED, &["add sslmode=require to store.url"]);
    assert_refused(&with(&url, "nobody:hunter2", "postgres"), DENIED, &["\"nobody\" does not exist"]);
    assert_refused(&with(&url, "postgres:hunter2", "nowhere"), MISSING, &["\"nowhere\" does not exist", "create it"]);
    assert_refused(&format!("{url}?sslmode=require"), UNUSABLE, &["TLS"]);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--log-level", "off", "--store"];
    let poor = with(&url, "poor:hunter2", "postgres");
    assert_fails(
        "serve",
        &run(&[&serve[..], &[&poor]].concat()),
        DENIED,
        &["permission denied", "grant the user CREATE"],
    );
    server.psql("alter database postgres set synchronous_commit = off").unwrap();
    let unsafe_words = ["synchronous_commit is off", "ALTER ROLE"];
    assert_fails("serve", &run(&[&serve[..], &[&url]].concat()), UNUSABLE, &unsafe_words);
    assert_eq!(server.psql("select count(*) from pg_namespace where nspname = 'hookfast'").unwrap(), "0");
}

#[test]
fn a_server_without_a_free_connection_is_exit_code_6() {
    let Some(server) = PostgresServer::start() else { return };
    server.psql("create role crowd login connection limit 0").unwrap();
    assert_refused(&with(&server.url(), "crowd:hunter2", "postgres"), AWAY, &["too many connections"]);
}

#[test]
fn a_server_that_is_too_old_is_exit_code_2() {
    let Some(database) = database() else { return };
    // No old one can be had here: this one says that it is, by a function that comes before the built-in one.
    let says = "create function public.current_setting(text) returns text language sql return case $1
                  when 'server_version_num' then '140011' when 'server_version' then '14.11'
                  else pg_catalog.current_setting($1) end";
    database.psql(says).unwrap();
    let url = database.url();
    let (_, name) = url.rsplit_once('/').unwrap();
    database.psql(&format!("alter database {name} set search_path = public, pg_catalog")).unwrap();
    let serve = run(&["serve", "--listen", "127.0.0.1:0", "--log-level", "off", "--store", &url]);
    assert_fails("serve", &serve, UNUSABLE, &["PostgreSQL 14.11", "at least 15 is needed"]);
}

#[test]
fn a_standby_that_only_reads_is_exit_code_2() {
    let Some(primary) = PostgresServer::start() else { return };
    let mut standby = Standby::of(&primary);
    let url = standby.server().url();
    let serve = run(&["serve", "--listen", "127.0.0.1:0", "--log-level", "off", "--store", &url]);
    assert_fails("serve", &serve, UNUSABLE, &["read-only standby", "name the primary in store.url"]);
    let up = run(&["migrate", "up", "--store", &url]);
    assert_fails("migrate", &up, UNUSABLE, &["read-only standby"]);
}
