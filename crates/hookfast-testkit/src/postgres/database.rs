//! An empty database for one test, on the server that all tests share. Knows nothing of what is put into it.

use super::PostgresServer;
use super::programs::{missing, psql};
use crate::skip;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Names the shared server: `cargo xtask test` starts one and sets it.
const SHARED: &str = "HOOKFAST_TEST_POSTGRES";

/// A database of its own. Dropped, whoever is still connected, when this is.
pub struct TestDatabase {
    server_url: String,
    name: String,
    /// Held only to be alive: the server of this process, where nobody named another.
    _server: Option<Arc<PostgresServer>>,
}

/// An empty database for the calling test, on the server of `HOOKFAST_TEST_POSTGRES`, or on one that the tests of this
/// process share. Where PostgreSQL is not installed the calling test is skipped, which is the `None`.
///
/// # Panics
/// When there is a server and it does not do it.
#[must_use]
pub fn database() -> Option<TestDatabase> {
    if let Ok(url) = std::env::var(SHARED) {
        if let Some(missing) = missing(&["psql"]) {
            skip(&format!("no PostgreSQL client: {missing}"));
            return None;
        }
        return Some(TestDatabase::create(url, None));
    }
    let server = server_of_this_process()?;
    Some(TestDatabase::create(server.url(), Some(server)))
}

/// It ends with the last database on it, as nothing is dropped that a process still holds at its end.
fn server_of_this_process() -> Option<Arc<PostgresServer>> {
    static SERVER: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
    let mut known = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = known.upgrade() {
        return Some(server);
    }
    let server = Arc::new(PostgresServer::start()?);
    *known = Arc::downgrade(&server);
    Some(server)
}

impl PostgresServer {
    /// An empty database on this server, which must outlive it to drop it.
    #[must_use]
    pub fn database(&self) -> TestDatabase {
        TestDatabase::create(self.url(), None)
    }
}

impl TestDatabase {
    fn create(server_url: String, server: Option<Arc<PostgresServer>>) -> Self {
        // Many processes make databases on one server, some after another of the same pid was killed.
        let name = format!("hookfast_{}_{:016x}", std::process::id(), fastrand::u64(..));
        psql(&server_url, &format!("create database {name}")).unwrap();
        Self { server_url, name, _server: server }
    }

    /// Its URL, `postgres://…/name`.
    #[must_use]
    pub fn url(&self) -> String {
        let (server, _) = self.server_url.rsplit_once('/').expect("the URL of a server names a database");
        format!("{server}/{}", self.name)
    }

    /// Runs `sql` on it and answers the rows: one a line, columns separated by `|`. Several statements are one
    /// transaction.
    ///
    /// # Errors
    /// What `psql` complained.
    pub fn psql(&self, sql: &str) -> Result<String, String> {
        psql(&self.url(), sql)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let dropped = psql(&self.server_url, &format!("drop database {} with (force)", self.name));
        if let Err(error) = dropped {
            // A test that ended its own server is no failure, and a panic here would hide the one that unwinds.
            println!("database {} stays behind: {error}", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_is_empty_and_gone_when_dropped() {
        let Some(first) = database() else { return };
        let second = database().unwrap();
        first.psql("create table t (n int)").unwrap();
        let tables = "select count(*) from pg_tables where schemaname = 'public'";
        assert_eq!(first.psql(tables).unwrap(), "1");
        assert_eq!(second.psql(tables).unwrap(), "0");
        let count = format!("select count(*) from pg_database where datname = '{}'", first.name);
        assert_eq!(second.psql(&count).unwrap(), "1");
        drop(first);
        assert_eq!(second.psql(&count).unwrap(), "0");
    }

    #[test]
    fn a_database_is_dropped_though_someone_is_connected() {
        let Some(server) = PostgresServer::start() else { return };
        let database = server.database();
        let url = database.url();
        let sleeper = std::thread::spawn(move || psql(&url, "select pg_sleep(600)"));
        let asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        let connected = (0..1000).any(|_| database.psql(asleep).unwrap() == "1");
        assert!(connected && !sleeper.is_finished(), "it must hold its connection");
        drop(database);
        assert!(sleeper.join().unwrap().is_err(), "it was cut off");
        assert_eq!(server.psql("select count(*) from pg_database where datname like 'hookfast%'").unwrap(), "0");
    }
}
