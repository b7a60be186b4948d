//! A pooler between a client and its server, as many installations have one. Knows nothing of what passes through.

use super::programs::{self, Daemon};
use crate::skip;
use tempfile::TempDir;

/// A pgbouncer in front of one server: transaction pooling, so that two transactions of one client may run in
/// different sessions. Killed when dropped.
pub struct PgBouncer {
    // Before `home`: it must have ended when its files are deleted.
    _process: Daemon,
    _home: TempDir,
    url: String,
}

impl PgBouncer {
    /// Starts one in front of the server of `database_url` (`postgres://user@host:port/name`) and answers when `select
    /// 1` passes through. Where pgbouncer is not installed the calling test is skipped, which is the `None`.
    ///
    /// # Panics
    /// When it is installed and cannot be started.
    #[must_use]
    pub fn start(database_url: &str) -> Option<Self> {
        if let Some(missing) = programs::missing(&["pgbouncer", "psql"]) {
            skip(&format!("no pgbouncer: {missing}"));
            return None;
        }
        let (user, host, server_port, database) = parts(database_url).expect("a URL postgres://user@host:port/name");
        let (home, port) = (programs::home(), programs::free_port());
        let config = home.path().join("pgbouncer.ini");
        let settings = [
            "[databases]".to_owned(),
            format!("* = host={host} port={server_port} user={user}"),
            "[pgbouncer]".to_owned(),
            "pool_mode = transaction".to_owned(),
            "auth_type = any".to_owned(),
            "listen_addr = 127.0.0.1".to_owned(),
            format!("listen_port = {port}"),
            "unix_socket_dir =".to_owned(),
        ];
        std::fs::write(&config, settings.join("\n")).unwrap();
        let mut process = Daemon::start("pgbouncer", &[&config], "KILL", &home.path().join("log"));
        let url = format!("postgres://{user}@127.0.0.1:{port}/{database}");
        let ready = process.wait_until(|_| programs::psql(&url, "select 1").is_ok());
        ready.unwrap_or_else(|status| panic!("{status} at the start of {process}"));
        Some(Self { _process: process, _home: home, url })
    }

    /// The URL of the same database through the pooler.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// User, host, port and database.
fn parts(url: &str) -> Option<(&str, &str, &str, &str)> {
    let (user, rest) = url.split_once("://")?.1.split_once('@')?;
    let (address, database) = rest.split_once('/')?;
    let (host, port) = address.rsplit_once(':')?;
    Some((user, host, port, database))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::database;

    #[test]
    fn queries_pass_and_sessions_are_shared_between_transactions() {
        let Some(database) = database() else { return };
        let Some(bouncer) = PgBouncer::start(&database.url()) else { return };
        let ask = |sql| programs::psql(bouncer.url(), sql).unwrap();
        assert_eq!(ask("select 1"), "1");
        assert_eq!(ask("select current_database()"), database.psql("select current_database()").unwrap());
        ask("set hookfast.mark = 'left by another client'");
        assert_eq!(ask("select current_setting('hookfast.mark', true)"), "left by another client");
    }
}
