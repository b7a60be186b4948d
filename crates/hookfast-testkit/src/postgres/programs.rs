//! The programs of PostgreSQL and pgbouncer: where they lie, as whom they run, and that none outlives the test
//! process. Knows nothing of what they serve.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing here takes this long, recovery after a crash included.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
/// Debian keeps the server's programs off the path, and pgbouncer on root's alone.
const DEBIAN: &str = "/usr/lib/postgresql";
const SBIN: &str = "/usr/sbin";

/// Where the program `name` lies: among the newest of Debian's PostgreSQL versions, or on the path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path());
    let version = |dir: &PathBuf| dir.file_name()?.to_str()?.parse::<u32>().ok();
    let mut versions: Vec<PathBuf> = versions.filter(|dir| version(dir).is_some()).collect();
    versions.sort_by_key(|dir| std::cmp::Reverse(version(dir)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = versions.iter().map(|dir| dir.join("bin")).chain(std::env::split_paths(&path)).collect::<Vec<_>>();
    dirs.push(SBIN.into());
    dirs.iter().map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// The first of `names`, and of what runs them, that is not installed, as the reason of a skip.
pub(crate) fn missing(names: &[&str]) -> Option<String> {
    let name = names.iter().chain(&["setpriv"]).find(|name| find(name).is_none())?;
    Some(format!("`{name}` is not installed"))
}

/// A command that runs `name`; neither PostgreSQL nor pgbouncer runs as root, which becomes `postgres`.
pub(crate) fn command(name: &str) -> Command {
    wrapped(name, &[])
}

fn wrapped(name: &str, options: &[&str]) -> Command {
    let program = find(name).unwrap_or_else(|| panic!("`{name}` is not installed"));
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    // From here on the directory of the test may be out of reach.
    command.args(options).arg("--").arg(program).current_dir("/").stdin(Stdio::null());
    command
}

/// Runs to the end; the answer is what it printed, or what it complained.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Runs `sql` on the database that `url` names and answers its rows: one a line, columns separated by `|`. Several
/// statements are one transaction.
pub(crate) fn psql(url: &str, sql: &str) -> Result<String, String> {
    let mut psql = command("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url]);
    output(psql.env("PGCONNECT_TIMEOUT", "10"))
}

/// A new directory that the server may call its own, gone when dropped.
pub(crate) fn home() -> TempDir {
    home_in(&std::env::temp_dir())
}

/// The same in this directory, which everybody must be let through.
pub(crate) fn home_in(dir: &Path) -> TempDir {
    let home = tempfile::Builder::new().prefix("hookfast-pg-").tempdir_in(dir).unwrap();
    if rustix::process::geteuid().is_root() {
        output(Command::new("chown").arg("postgres:").arg(home.path())).unwrap();
    }
    home
}

/// A port of 127.0.0.1 that is free, below those that the kernel gives to outgoing connections: a server that is
/// started again finds it free still.
pub(crate) fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(20_000..32_000)).take(1000);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("no port is free")
}

/// A server process. Killed when dropped, and with the test process.
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `name`; if the test process dies, it is sent `farewell`. What it says is appended to `log`.
    pub(crate) fn start<A: AsRef<OsStr>>(name: &'static str, args: &[A], farewell: &str, log: &Path) -> Self {
        let mut command = wrapped(name, &["--pdeathsig", farewell]);
        command.args(args);
        Self::of(name, command, log)
    }

    /// Starts `command`, as whoever it says. What it says is appended to `log`.
    pub(crate) fn of(name: &'static str, mut command: Command, log: &Path) -> Self {
        let out = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        Self { name, child: spawn(command), log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says so, or tells how the process ended instead.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut(u32) -> bool) -> Result<(), ExitStatus> {
        let id = self.id();
        let started = Instant::now();
        while !ready(id) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(status);
            }
            assert!(started.elapsed() < PATIENCE, "{self} is not ready after {PATIENCE:?}");
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Sends `signal` and waits for the end.
    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let ended = self.wait_until(|_| false);
        ended.expect_err("it can only end")
    }
}

impl fmt::Display for Daemon {
    /// Its name and the end of its log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        write!(f, "{}, whose log ends with:\n{}", self.name, lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that ended already is not killed again: both only reap it then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is spawned, and where its child goes.
type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Spawns from a thread that lives as long as the process: the kernel sends the farewell when the spawning *thread*
/// ends, and a test's thread ends with its test.
fn spawn(command: Command) -> Child {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, child) in received {
                let _ = child.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (child, spawned) = mpsc::channel();
    spawner.lock().unwrap_or_else(PoisonError::into_inner).send((command, child)).unwrap();
    spawned.recv().unwrap().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_program_is_named() {
        assert_eq!(missing(&["sh"]), None);
        assert_eq!(missing(&["sh", "no-such-program"]).unwrap(), "`no-such-program` is not installed");
    }

    #[test]
    fn a_daemon_that_ends_at_once_is_told_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Daemon::start("sh", &["-c", "echo port in use >&2; exit 3"], "KILL", &dir.path().join("log"));
        let status = daemon.wait_until(|_| false).unwrap_err();
        assert_eq!(status.code(), Some(3));
        assert!(daemon.to_string().ends_with("port in use"), "{daemon}");
    }

    #[test]
    fn a_daemon_is_gone_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Daemon::start("sleep", &["600"], "KILL", &dir.path().join("log"));
        let process = Path::new("/proc").join(daemon.id().to_string());
        assert!(process.exists());
        drop(daemon);
        assert!(!process.exists());
    }
}
