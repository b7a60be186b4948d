//! A private PostgreSQL server, to be stopped, killed and started again. Knows nothing of what is stored in it.

use super::programs::{self, Daemon};
use crate::skip;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a start is tried again: after a kill it fails until the orphaned processes are gone.
const ORPHANS: Duration = Duration::from_secs(20);

/// A server of its own, on a port of 127.0.0.1 that it keeps over restarts. Everyone is let in as `postgres`; commits
/// are synchronous and synced. Ended, its files deleted, when dropped.
pub struct PostgresServer {
    // Before `home`: it must have ended when its files are deleted.
    postmaster: Option<Daemon>,
    home: TempDir,
    port: u16,
    /// Beside those that every server here has.
    settings: Vec<String>,
}

impl PostgresServer {
    /// Makes a cluster and starts it. Where PostgreSQL is not installed the calling test is skipped, which is the
    /// `None`.
    ///
    /// # Panics
    /// When it is installed and cannot be started.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_in(&std::env::temp_dir())
    }

    /// The same with settings, as `max_connections=15`.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        Self::make(&std::env::temp_dir(), settings)
    }

    /// The same with its files below this directory, which every user must be let through.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    #[must_use]
    pub fn start_in(dir: &Path) -> Option<Self> {
        Self::make(dir, &[])
    }

    fn make(dir: &Path, settings: &[&str]) -> Option<Self> {
        if let Some(missing) = programs::missing(&["initdb", "postgres", "psql"]) {
            skip(&format!("no PostgreSQL: {missing}"));
            return None;
        }
        let home = programs::home_in(dir);
        let mut initdb = programs::command("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--wal-segsize=1", "-D"]);
        programs::output(initdb.arg(home.path().join("data"))).unwrap();
        Some(Self::begin(home, settings))
    }

    /// Starts the cluster that lies in `home`.
    pub(super) fn of(home: TempDir) -> Self {
        Self::begin(home, &[])
    }

    fn begin(home: TempDir, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { postmaster: None, home, port: programs::free_port(), settings };
        server.restart();
        server
    }

    /// Starts it after it was stopped or killed, and answers when it takes connections: whatever was to be recovered
    /// is recovered. One that runs is stopped first.
    pub fn restart(&mut self) {
        self.stop();
        let started = Instant::now();
        loop {
            let mut postmaster = self.spawn();
            let Err(status) = postmaster.wait_until(|pid| self.is_ready(pid)) else {
                self.postmaster = Some(postmaster);
                return;
            };
            assert!(started.elapsed() < ORPHANS, "{status} at the start of {postmaster}");
            std::thread::sleep(programs::PAUSE);
        }
    }

    fn spawn(&self) -> Daemon {
        let mut args = vec!["-D".to_owned(), self.data_dir().display().to_string()];
        let port = format!("port={}", self.port);
        // No socket file: its path would have to be short.
        let settings = [
            port.as_str(),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "shared_preload_libraries=pg_stat_statements",
            "wal_level=replica",
        ];
        // The last of two is in force.
        let settings = settings.into_iter().chain(self.settings.iter().map(String::as_str));
        args.extend(settings.flat_map(|setting| ["-c".to_owned(), setting.to_owned()]));
        Daemon::start("postgres", &args, "QUIT", &self.home.path().join("log"))
    }

    /// The postmaster itself writes whether it takes connections: no other server on that port can be mistaken for it.
    fn is_ready(&self, pid: u32) -> bool {
        let state = std::fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap_or_default();
        let mut lines = state.lines().map(str::trim);
        lines.next() == Some(&pid.to_string()) && matches!(lines.nth(6), Some("ready" | "standby"))
    }

    /// Waits for something that it does by itself while it runs.
    pub(super) fn wait_until(&mut self, done: impl Fn() -> bool) {
        let postmaster = self.postmaster.as_mut().expect("it runs");
        if let Err(status) = postmaster.wait_until(|_| done()) {
            panic!("{status} of {postmaster}");
        }
    }

    /// Stops it in order: clients are cut off, everything is written. Does nothing to one that does not run.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Stops it at once, nothing written: the next start recovers.
    pub fn stop_immediately(&mut self) {
        self.end(Signal::QUIT);
    }

    /// Kills the postmaster; its processes find themselves orphaned and end.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(postmaster) = self.postmaster.take() {
            postmaster.end(signal);
        }
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files lie.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// The URL of its database `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs `sql` on its database `postgres` and answers the rows: one a line, columns separated by `|`. Several
    /// statements are one transaction.
    ///
    /// # Errors
    /// What `psql` complained.
    pub fn psql(&self, sql: &str) -> Result<String, String> {
        programs::psql(&self.url(), sql)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.stop_immediately();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_survives_every_way_to_end() {
        let Some(mut server) = PostgresServer::start() else { return };
        let (port, dir) = (server.port(), server.data_dir());
        server.psql("create table t (n int)").unwrap();
        let ends = [PostgresServer::stop, PostgresServer::stop_immediately, PostgresServer::kill];
        for (n, end) in ends.into_iter().enumerate() {
            server.psql(&format!("insert into t values ({n})")).unwrap();
            end(&mut server);
            assert!(server.psql("select 1").is_err(), "it must not answer once ended");
            server.restart();
        }
        assert_eq!(server.psql("select string_agg(n::text, ',' order by n) from t").unwrap(), "0,1,2");
        assert_eq!(server.port(), port);
        drop(server);
        assert!(!dir.exists(), "its files must not stay behind");
    }

    #[test]
    fn it_outlives_the_thread_that_started_it() {
        let Some(server) = std::thread::spawn(PostgresServer::start).join().unwrap() else { return };
        assert_eq!(server.psql("select 1").unwrap(), "1");
    }

    #[test]
    fn it_syncs_commits_and_counts_statements() {
        let Some(server) = PostgresServer::start() else { return };
        let durable = "select current_setting('fsync'), current_setting('synchronous_commit')";
        assert_eq!(server.psql(durable).unwrap(), "on|on");
        server.psql("create extension pg_stat_statements").unwrap();
        assert_eq!(server.psql("select count(*) > 0 from pg_stat_statements").unwrap(), "t");
    }
}
