//! The PostgreSQL server that all tests share: a cluster of its own below `target`, on a port of its own. The one that
//! the Debian package may run is not touched. Knows nothing of what the tests do with it.

use super::services::{Installer, Service};
use crate::program::{must, output, root};
use anyhow::{Context as _, Result, bail, ensure};
use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian keeps the server's programs, by version.
const VERSIONS: &str = "/usr/lib/postgresql";
const PATIENCE: Duration = Duration::from_secs(60);
/// No socket file: its path would have to be short. Several test processes share the connections. Nothing is synced:
/// making and dropping a database for each test costs seconds otherwise, and no test kills the system under this server.
/// Tests of durability start servers of their own, which sync.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    "shared_preload_libraries=pg_stat_statements",
    "wal_level=replica",
    "fsync=off",
    "full_page_writes=off",
];

/// The server, running between `start` and `stop`.
#[derive(Default)]
pub(super) struct Postgres {
    running: Option<(Child, PathBuf)>,
}

impl Service for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn ensure(&self, installer: &mut Installer) -> Result<&'static str> {
        ensure_installed(installer)
    }

    fn start(&mut self) -> Result<Vec<(String, String)>> {
        let home = new_home()?;
        let data = home.join("data");
        let mut initdb = as_postgres("initdb", &[])?;
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"]).arg(&data);
        output(&mut initdb)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        // However this process ends, the server ends in order, and at Ctrl-C it is told by the terminal.
        let mut server = as_postgres("postgres", &["--pdeathsig", "INT"])?;
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        server.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let log = std::fs::File::create(home.join("log"))?;
        let child = server.stdout(log.try_clone()?).stderr(log).spawn().context("cannot start the server")?;
        let (child, _) = self.running.insert((child, home));
        wait_until_ready(child, &data)?;
        println!("PostgreSQL: started on 127.0.0.1:{port}");
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Ok(vec![("HOOKFAST_TEST_POSTGRES".to_owned(), url)])
    }

    fn stop(&mut self) -> Result<()> {
        let Some((mut child, home)) = self.running.take() else { return Ok(()) };
        let stopped = as_postgres("pg_ctl", &[]).and_then(|mut pg_ctl| {
            pg_ctl.args(["stop", "--silent", "--mode=fast", "--timeout=30", "-D"]).arg(home.join("data"));
            must(&mut pg_ctl)
        });
        if stopped.is_err() {
            child.kill()?;
        }
        child.wait()?;
        std::fs::remove_dir_all(home)?;
        stopped?;
        println!("PostgreSQL: stopped");
        Ok(())
    }
}

impl Drop for Postgres {
    /// One that did not become ready is not stopped by anybody else.
    fn drop(&mut self) {
        if let Some((mut child, home)) = self.running.take() {
            // Nothing is left to be told of an error.
            let _ = child.kill().and_then(|()| child.wait()).and_then(|_| std::fs::remove_dir_all(home));
        }
    }
}

/// Sees to it that there is a server.
pub(crate) fn ensure_installed(installer: &mut Installer) -> Result<&'static str> {
    installer.ensure_that("postgresql", || programs(Path::new(VERSIONS)).is_some())
}

/// The programs of the newest version below `versions`.
fn programs(versions: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(versions).ok()?.flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let dirs = numbers.map(|number| (number, versions.join(number.to_string()).join("bin")));
    dirs.filter(|(_, dir)| dir.join("initdb").is_file()).max().map(|(_, dir)| dir)
}

/// Where one of the programs lies.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    Ok(programs(Path::new(VERSIONS)).context("PostgreSQL is not installed")?.join(name))
}

/// Runs one of the programs. They refuse root, which becomes `postgres`.
pub(crate) fn as_postgres(name: &str, options: &[&str]) -> Result<Command> {
    demoted(program(name)?, options)
}

fn demoted(program: impl AsRef<OsStr>, options: &[&str]) -> Result<Command> {
    let mut command = Command::new("setpriv");
    if is_root()? {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(options).arg("--").arg(program).current_dir("/").stdin(Stdio::null());
    Ok(command)
}

fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// A new directory that belongs to the server: below `target`, or, where `postgres` may not look into the checkout,
/// below the directory for temporary files. Those that killed runs left are cleared away.
fn new_home() -> Result<PathBuf> {
    let own = std::process::id().to_string();
    for base in [root().join("target/postgres"), std::env::temp_dir().join("hookfast-postgres")] {
        std::fs::create_dir_all(&base)?;
        clear_dead(&base, |pid| pid != own && Path::new("/proc").join(pid).exists())?;
        let home = base.join(&own);
        std::fs::create_dir(&home)?;
        give(&home)?;
        if is_open(&home) {
            return Ok(home);
        }
        std::fs::remove_dir(home)?;
    }
    bail!("neither `target` nor the directory for temporary files is open to the user `postgres`")
}

/// Makes this file or directory the server's own.
pub(crate) fn give(path: &Path) -> Result<()> {
    if is_root()? { must(Command::new("chown").arg("postgres:").arg(path)) } else { Ok(()) }
}

/// May the server write to this directory?
pub(crate) fn is_open(dir: &Path) -> bool {
    demoted("test", &[]).is_ok_and(|mut test| must(test.arg("-w").arg(dir)).is_ok())
}

/// Removes what is named by the pid of a process that is gone.
pub(super) fn clear_dead(base: &Path, lives: impl Fn(&str) -> bool) -> Result<()> {
    for entry in std::fs::read_dir(base)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(&lives) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Does the server with this process id, on this data, take connections? It writes that itself.
pub(crate) fn is_ready(data: &Path, pid: u32) -> bool {
    let state = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = state.lines().map(str::trim);
    lines.next() == Some(&pid.to_string()) && lines.nth(6) == Some("ready")
}

fn wait_until_ready(child: &mut Child, data: &Path) -> Result<()> {
    let started = Instant::now();
    loop {
        if is_ready(data, child.id()) {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(data.with_file_name("log")).unwrap_or_default();
            bail!("the server ended with {status}: {log}");
        }
        ensure!(started.elapsed() < PATIENCE, "the server is not ready after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::scratch;

    #[test]
    fn the_newest_version_that_has_a_server_is_taken() {
        let versions = scratch("versions");
        assert_eq!(programs(&versions), None);
        for version in ["9", "15", "common"] {
            std::fs::create_dir_all(versions.join(version).join("bin")).unwrap();
            std::fs::write(versions.join(version).join("bin/initdb"), "").unwrap();
        }
        // Of this one only the client is installed.
        std::fs::create_dir_all(versions.join("17/bin")).unwrap();
        assert_eq!(programs(&versions), Some(versions.join("15/bin")));
        std::fs::remove_dir_all(versions).unwrap();
    }

    #[test]
    fn what_killed_runs_left_is_cleared_away_and_what_lives_is_not() {
        let base = scratch("left");
        for pid in ["11", "12"] {
            std::fs::create_dir_all(base.join(pid).join("data")).unwrap();
        }
        clear_dead(&base, |pid| pid == "12").unwrap();
        assert!(!base.join("11").exists() && base.join("12/data").exists());
        std::fs::remove_dir_all(base).unwrap();
    }
}
