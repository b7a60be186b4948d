//! The hookfast binary as a child process: start, wait until ready, stop, kill, freeze, and what it used.
//! Knows the binary only by its contract for scripts.

use crate::client::Client;
use crate::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The hookfast binary.
    pub binary: PathBuf,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Where it listens: a port picked with [`free_port`] keeps its address over restarts.
    pub listen: SocketAddr,
    /// Settings by environment (`HOOKFAST_…`).
    pub env: Vec<(String, String)>,
    /// Further arguments of `serve`.
    pub args: Vec<String>,
    /// A command to run it under (`strace …`, `faketime …`): program and arguments. Signals then go to that program.
    pub wrapper: Vec<String>,
    /// Where its stderr is appended.
    pub log: PathBuf,
    /// How long it may take until it is ready.
    pub ready_ms_max: u64,
}

impl ServerConfig {
    /// A server with the data directory `data_dir`, on a free port of 127.0.0.1, its log beside the directory.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Result<Self> {
        let data_dir = data_dir.into();
        Ok(Self {
            binary: binary.into(),
            log: data_dir.with_extension("log"),
            data_dir,
            listen: SocketAddr::from(([127, 0, 0, 1], free_port()?)),
            env: Vec::new(),
            args: Vec::new(),
            wrapper: Vec::new(),
            ready_ms_max: 30_000,
        })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.args(words).arg("--data-dir").arg(&self.data_dir);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs another command of the binary on the data directory and answers its stdout, trimmed.
    ///
    /// # Errors
    /// When it cannot be started or fails; the error has its stderr.
    pub async fn run(&self, words: &[&str]) -> Result<String> {
        let plain = Self { wrapper: Vec::new(), ..self.clone() };
        let output = plain.command(words).output().await;
        let output = output.map_err(Error::io(format!("run {} {}", self.binary.display(), words.join(" "))))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let reason = format!("{} {}: {}: {stderr}", self.binary.display(), words.join(" "), output.status);
            return Err(Error::Process { reason });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A new access token, by `token create`.
    ///
    /// # Errors
    /// As [`ServerConfig::run`].
    pub async fn create_token(&self) -> Result<String> {
        self.run(&["token", "create"]).await
    }
}

/// A running child server. Dropping it kills it.
pub struct Server {
    child: Child,
    pid: Pid,
    config: ServerConfig,
    /// From its start until it was ready.
    pub ready_after: Duration,
}

impl Server {
    /// Starts `serve` and waits until `GET /api/v1/health/ping` answers 204.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready in time; the error has the end of its log.
    pub async fn start(config: ServerConfig) -> Result<Self> {
        let mut server = Self::spawn(config)?;
        server.wait_ready().await?;
        Ok(server)
    }

    /// Starts `serve` and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(config: ServerConfig) -> Result<Self> {
        let what = || format!("start {}", config.binary.display());
        let log = File::options().create(true).append(true).open(&config.log);
        let log = log.map_err(Error::io(format!("log {}", config.log.display())))?;
        let mut command = config.command(&["serve"]);
        command.arg("--listen").arg(config.listen.to_string()).args(&config.args);
        command.stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(Error::io(what()))?;
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| Error::Process { reason: "it ended at once".into() })?;
        Ok(Self { child, pid, config, ready_after: Duration::ZERO })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it ends or is not ready in time.
    pub async fn wait_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        let client = Client::tcp(&self.config.url(), None)?;
        let ready_max = Duration::from_millis(self.config.ready_ms_max);
        loop {
            if matches!(tokio::time::timeout(ready_max, client.ping()).await, Ok(true)) {
                self.ready_after = start.elapsed();
                return Ok(());
            }
            let failed = match self.child.try_wait().map_err(Error::io("wait for the server"))? {
                Some(status) => format!("ended with {status} before it was ready"),
                None if start.elapsed() > ready_max => format!("not ready within {} ms", ready_max.as_millis()),
                None => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            };
            return Err(Error::Process { reason: format!("{failed}; {}", log_end(&self.config.log)) });
        }
    }

    /// How it was started.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A client for it.
    ///
    /// # Errors
    /// Never for an address that it was started with.
    pub fn client(&self, token: &str) -> Result<Client> {
        Client::tcp(&self.config.url(), Some(token.to_owned()))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // Before it is waited for, its id cannot have passed to another process.
        match self.child.id() {
            Some(_) => kill_process(self.pid, signal).map_err(|error| Error::io("signal the server")(error.into())),
            None => Err(Error::Process { reason: "it has ended already".into() }),
        }
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended already.
    pub async fn kill(mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.child.wait().await.map_err(Error::io("wait for the server"))
    }

    /// SIGTERM, and waits until it has drained and ended.
    ///
    /// # Errors
    /// When it does not end within `wait_ms_max` (it is killed then).
    pub async fn terminate(mut self, wait_ms_max: u64) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match tokio::time::timeout(Duration::from_millis(wait_ms_max), self.child.wait()).await {
            Ok(status) => status.map_err(Error::io("wait for the server")),
            Err(_) => {
                let reason = format!("still there {wait_ms_max} ms after SIGTERM; {}", log_end(&self.config.log));
                self.kill().await?;
                Err(Error::Process { reason })
            }
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within `wait_ms_max`; it goes on running until it is dropped.
    pub async fn wait(&mut self, wait_ms_max: u64) -> Result<ExitStatus> {
        match tokio::time::timeout(Duration::from_millis(wait_ms_max), self.child.wait()).await {
            Ok(status) => status.map_err(Error::io("wait for the server")),
            Err(_) => Err(Error::Process { reason: format!("still there after {wait_ms_max} ms") }),
        }
    }

    /// SIGSTOP: every thread stands still until [`Server::resume`].
    ///
    /// # Errors
    /// When it has ended.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid())
    }

    /// The end of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        log_end(&self.config.log)
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its threads, user and system.
    pub cpu_us: u64,
    /// Resident memory now.
    pub rss_bytes: u64,
    /// The most resident memory it ever had.
    pub rss_peak_bytes: u64,
    /// Its threads.
    pub threads: u64,
}

impl Usage {
    /// Of any process that may be looked at.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            std::fs::read_to_string(&path).map_err(Error::io(path))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let ticks_per_s = rustix::param::clock_ticks_per_second().max(1);
        let kib = |name| status_value(&status, name) * 1024;
        Ok(Self {
            cpu_us: cpu_ticks(&stat).unwrap_or(0) * 1_000_000 / ticks_per_s,
            rss_bytes: kib("VmRSS:"),
            rss_peak_bytes: kib("VmHWM:"),
            threads: status_value(&status, "Threads:"),
        })
    }
}

/// utime + stime of a line of `/proc/PID/stat`; the name before them may hold spaces and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(user + system)
}

fn status_value(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_ascii_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// A port of 127.0.0.1 that was free a moment ago.
///
/// # Errors
/// When none can be had.
pub fn free_port() -> Result<u16> {
    let bound = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(Error::io("find a free port"))?.port())
}

/// The last lines of a log, for messages.
fn log_end(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).trim().to_owned();
    if text.is_empty() { format!("{} is empty", log.display()) } else { format!("its log ends:\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_process_name_cannot_confuse_the_count() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 123 45 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("nonsense"), None);
    }

    #[test]
    fn own_usage_is_seen() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 100_000 && usage.rss_peak_bytes >= usage.rss_bytes && usage.threads >= 1);
        assert!(Usage::of(u32::MAX).is_err());
    }

    /// A program that stands in for the binary's process life, not for its work.
    fn script(dir: &Path, text: &str) -> ServerConfig {
        let file = dir.join("program");
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        ServerConfig::new(file, dir.join("data")).unwrap()
    }

    #[tokio::test]
    async fn one_that_ends_at_once_is_reported_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let failed = Server::start(script(dir.path(), "echo port in use >&2; exit 3")).await.err().unwrap().to_string();
        assert!(failed.contains("port in use") && failed.contains('3'), "{failed}");
    }

    #[tokio::test]
    async fn signals_reach_it() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::spawn(script(dir.path(), "exec sleep 60")).unwrap();
        let state = |server: &Server| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
        };
        server.freeze().unwrap();
        while state(&server) != 'T' {
            tokio::task::yield_now().await;
        }
        server.resume().unwrap();
        while state(&server) == 'T' {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.terminate(5_000).await.unwrap().code(), None);
        let server = Server::spawn(script(dir.path(), "exec sleep 60")).unwrap();
        assert!(!server.kill().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_command_answers_its_stdout_or_its_stderr() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(script(dir.path(), "echo \"$1 $2\"").create_token().await.unwrap(), "token create");
        let failed = script(dir.path(), "echo no such thing >&2; exit 1").create_token().await.unwrap_err();
        assert!(failed.to_string().contains("no such thing"));
    }
}
