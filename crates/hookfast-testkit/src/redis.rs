//! Real Redis for tests: a server with a password that keeps what it acknowledged, replicas of it, and a Sentinel beside
//! them. Knows nothing of what is read there.

use crate::postgres::programs::{self, Daemon};
use crate::skip;
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The password of every server here.
pub const PASSWORD: &str = "correct horse battery";

/// A server on a port of 127.0.0.1 that it keeps over restarts; each write is synced before it is answered. Ended, its
/// files deleted, when dropped.
pub struct RedisServer {
    // Before `home`: it must have ended when its files are deleted.
    process: Option<Daemon>,
    home: TempDir,
    port: u16,
    /// The port of the server it copies.
    of: Option<u16>,
}

/// Arguments of a server, or of a Sentinel: each a directive and its values.
type Settings<'a> = Vec<Vec<&'a str>>;

impl RedisServer {
    /// Starts one. Where Redis is not installed the calling test is skipped, which is the `None`.
    ///
    /// # Panics
    /// When it is installed and cannot be started.
    #[must_use]
    pub fn start() -> Option<Self> {
        if let Some(missing) = programs::missing(&["redis-server", "redis-cli"]) {
            skip(&format!("no Redis: {missing}"));
            return None;
        }
        Some(Self::new(None))
    }

    /// Starts a replica of this one, and answers when it has everything.
    #[must_use]
    pub fn replica(&self) -> Self {
        let mut replica = Self::new(Some(self.port));
        replica.wait_for(&["role"], |role| role.contains("connected"));
        replica
    }

    fn new(of: Option<u16>) -> Self {
        let mut server = Self { process: None, home: programs::home(), port: programs::free_port(), of };
        server.restart();
        server
    }

    /// Starts it after it was killed, with what it had acknowledged. One that runs is killed first.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        let (port, dir) = (self.port.to_string(), self.home.path().display().to_string());
        let master = self.of.map(|port| port.to_string());
        let mut settings: Settings<'_> = vec![
            vec!["--bind", "127.0.0.1"],
            vec!["--port", &port],
            vec!["--dir", &dir],
            vec!["--requirepass", PASSWORD],
            vec!["--masterauth", PASSWORD],
            vec!["--save", ""],
            vec!["--appendonly", "yes"],
            vec!["--appendfsync", "always"],
            vec!["--repl-diskless-sync-delay", "0"],
        ];
        if let Some(master) = &master {
            settings.push(vec!["--replicaof", "127.0.0.1", master]);
        }
        self.process = Some(Daemon::start("redis-server", &settings.concat(), "KILL", &self.home.path().join("log")));
        self.wait_for(&["ping"], |answer| answer == "PONG");
    }

    /// Waits until the answer to a command is as it should be; it runs meanwhile.
    ///
    /// # Panics
    /// When it ends, or after a minute.
    pub fn wait_for(&mut self, words: &[&str], good: impl Fn(&str) -> bool) {
        let port = self.port;
        let process = self.process.as_mut().expect("it runs");
        if let Err(status) = process.wait_until(|_| cli(port, words).is_ok_and(|answer| good(&answer))) {
            panic!("{status} of {process}");
        }
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.end(Signal::KILL);
        }
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs one command and answers what `redis-cli` prints.
    ///
    /// # Panics
    /// When it does not answer, or with an error.
    pub fn command(&self, words: &[&str]) -> String {
        cli(self.port, words).unwrap()
    }
}

fn cli(port: u16, words: &[&str]) -> Result<String, String> {
    let mut cli = Command::new("redis-cli");
    cli.env("REDISCLI_AUTH", PASSWORD).args(["-e", "-h", "127.0.0.1", "-p", &port.to_string()]).args(words);
    programs::output(&mut cli)
}

/// A Sentinel that looks after one server alone, and calls it `main`. Killed when dropped.
pub struct RedisSentinel {
    // Before `home`: it must have ended when its files are deleted.
    _process: Daemon,
    _home: TempDir,
    port: u16,
}

impl RedisSentinel {
    /// The name it has for the server.
    pub const MASTER: &'static str = "main";

    /// Starts one, and answers when it knows so many replicas of the server.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(server: &RedisServer, replicas: usize) -> Self {
        let (home, port) = (programs::home(), programs::free_port());
        let config = home.path().join("sentinel.conf");
        let name = Self::MASTER;
        let lines = [
            "bind 127.0.0.1".to_owned(),
            format!("port {port}"),
            format!("dir {}", home.path().display()),
            format!("sentinel monitor {name} 127.0.0.1 {} 1", server.port),
            format!("sentinel auth-pass {name} \"{PASSWORD}\""),
            format!("sentinel down-after-milliseconds {name} 500"),
            format!("sentinel failover-timeout {name} 5000"),
        ];
        std::fs::write(&config, lines.join("\n")).unwrap();
        own(&config);
        let args = [config.display().to_string(), "--sentinel".to_owned()];
        let mut process = Daemon::start("redis-server", &args, "KILL", &home.path().join("log"));
        let known = || {
            let mut ask = Command::new("redis-cli");
            ask.args(["-p", &port.to_string(), "sentinel", "replicas", name]);
            programs::output(&mut ask)
                .is_ok_and(|text| text.lines().filter(|line| *line == "runid").count() == replicas)
        };
        let ready = process.wait_until(|_| known());
        ready.unwrap_or_else(|status| panic!("{status} at the start of {process}"));
        Self { _process: process, _home: home, port }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// It writes its own configuration anew.
fn own(file: &Path) {
    if rustix::process::geteuid().is_root() {
        programs::output(Command::new("chown").arg("postgres:").arg(file)).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_is_there_after_a_kill() {
        let Some(mut server) = RedisServer::start() else { return };
        server.command(&["set", "key", "value"]);
        server.kill();
        assert!(cli(server.port(), &["ping"]).is_err());
        server.restart();
        assert_eq!(server.command(&["get", "key"]), "value");
    }

    #[test]
    fn a_sentinel_makes_the_replica_the_master_when_the_master_is_gone() {
        let Some(mut first) = RedisServer::start() else { return };
        let mut second = first.replica();
        let sentinel = RedisSentinel::start(&first, 1);
        first.command(&["set", "key", "value"]);
        second.wait_for(&["get", "key"], |value| value == "value");
        first.kill();
        second.wait_for(&["role"], |role| role.starts_with("master"));
        assert_eq!(second.command(&["get", "key"]), "value");
        drop(sentinel);
    }
}
