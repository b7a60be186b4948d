//! Processes that outlive the command that started them: started in sessions of their own, remembered in a file, known
//! again by when they were started, ended by their ids. Knows nothing of what they do.

use super::parts::Part;
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILE: &str = "stack.json";
const LOCK: &str = "stack.lock";
/// Nothing takes this long to become ready, the recovery of a database included.
const PATIENCE: Duration = Duration::from_secs(90);
/// Past this a process that was told to end is killed. A server of hookfast drains for 30 s at most.
const FAREWELL: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(50);
const LINES_OF_LOG: usize = 15;

/// One that was started. A process id alone may belong to another one by now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    name: String,
    pid: i32,
    /// When it was started, as the kernel counts.
    since: u64,
    log: PathBuf,
}

/// Those of one stack. Held by one command at a time.
#[derive(Debug)]
pub(crate) struct Processes {
    dir: PathBuf,
    port_base: Option<u16>,
    known: Vec<Process>,
    lock: File,
}

impl Drop for Processes {
    /// Closing is not enough: a process that is just being started elsewhere in this one still has the file open.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Processes {
    /// Was a stack started in `dir`?
    pub(crate) fn are_in(dir: &Path) -> bool {
        dir.join(LOCK).is_file()
    }

    /// Takes the processes of the stack in `dir` in hand. Its ports stay those that it was started with.
    pub(crate) fn open(dir: &Path, port_base: Option<u16>) -> Result<Self> {
        let lock = File::create(dir.join(LOCK))?;
        lock.try_lock().map_err(|_| anyhow::anyhow!("another `cargo xtask stack` is at work in {}", dir.display()))?;
        let mut processes = Self { dir: dir.to_owned(), port_base, known: Vec::new(), lock };
        if dir.join(FILE).is_file() {
            processes.read().with_context(|| format!("{} cannot be read", dir.join(FILE).display()))?;
            if processes.known.iter().any(Process::lives) {
                ensure!(
                    port_base.is_none() || port_base == processes.port_base,
                    "the stack in {} runs on other ports: `cargo xtask stack down` first, or choose another --dir",
                    dir.display()
                );
            } else if port_base.is_some() {
                processes.port_base = port_base;
            }
        }
        Ok(processes)
    }

    pub(crate) fn port_base(&self) -> Option<u16> {
        self.port_base
    }

    /// Does the one of this name live?
    pub(crate) fn lives(&self, name: &str) -> bool {
        self.pid(name).is_some()
    }

    /// The id of the one of this name, if it lives.
    pub(crate) fn pid(&self, name: &str) -> Option<i32> {
        self.known.iter().find(|process| process.name == name && process.lives()).map(|process| process.pid)
    }

    /// Starts one; what it prints is added to `log`.
    pub(crate) fn start(&mut self, name: &str, mut command: Command, log: &Path) -> Result<()> {
        std::fs::create_dir_all(log.parent().context("a log lies in a directory")?)?;
        let out = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("cannot start `{:?}`", command.get_program()))?;
        let pid = i32::try_from(child.id())?;
        let since = started_at(pid).with_context(|| format!("{name} ended at once{}", end_of(log)))?;
        self.known.retain(|process| process.name != name);
        self.known.push(Process { name: name.to_owned(), pid, since, log: log.to_owned() });
        self.write()
    }

    /// Waits until `ready` says so; a process that ends instead is told with the end of its log.
    pub(crate) fn wait_until(&self, name: &str, ready: impl Fn(i32) -> bool) -> Result<()> {
        let process = self.known.iter().find(|process| process.name == name).context("it was started")?;
        let started = Instant::now();
        while !ready(process.pid) {
            ensure!(process.lives(), "{name} has ended{}", end_of(&process.log));
            ensure!(started.elapsed() < PATIENCE, "{name} is not ready after {PATIENCE:?}{}", end_of(&process.log));
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Kills the one of this name, if it lives, and waits until it is gone.
    pub(crate) fn kill(&self, name: &str) -> Result<()> {
        let Some(process) = self.known.iter().find(|process| process.name == name) else { return Ok(()) };
        if process.lives() {
            process.signal(Signal::KILL)?;
        }
        while process.lives() {
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Tells all of `parts` to end, and waits until they have.
    pub(crate) fn end(&mut self, parts: &[Part]) -> Result<()> {
        let mut ending = Vec::new();
        for part in parts {
            let Some(process) = self.known.iter().find(|process| process.name == part.name()) else { continue };
            if process.lives() {
                println!("stopping {}", part.name());
                process.signal(part.farewell())?;
            }
            ending.push(process.clone());
        }
        let started = Instant::now();
        let (mut live, mut is_killed) = (ending.clone(), false);
        while !live.is_empty() {
            if started.elapsed() > FAREWELL && !is_killed {
                is_killed = true;
                for process in &live {
                    println!("{} does not end: it is killed", process.name);
                    process.signal(Signal::KILL)?;
                }
            }
            std::thread::sleep(PAUSE);
            live.retain(Process::lives);
        }
        self.known.retain(|process| !ending.contains(process));
        self.write()
    }

    fn read(&mut self) -> Result<()> {
        let state: Value = serde_json::from_slice(&std::fs::read(self.dir.join(FILE))?)?;
        let base = state["port_base"].as_u64();
        self.port_base = base.map(u16::try_from).transpose()?;
        let known = state["processes"].as_array().context("no list of processes")?;
        let process = |value: &Value| {
            Some(Process {
                name: value["name"].as_str()?.to_owned(),
                pid: i32::try_from(value["pid"].as_i64()?).ok()?,
                since: value["since"].as_u64()?,
                log: value["log"].as_str()?.into(),
            })
        };
        self.known = known.iter().map(process).collect::<Option<_>>().context("a process without its facts")?;
        Ok(())
    }

    /// Written at once, so that what was started can always be ended.
    fn write(&self) -> Result<()> {
        let known = self
            .known
            .iter()
            .map(|Process { name, pid, since, log }| json!({ "name": name, "pid": pid, "since": since, "log": log }));
        let state = json!({ "port_base": self.port_base, "processes": known.collect::<Vec<_>>() });
        let new = self.dir.join("stack.json.new");
        std::fs::write(&new, format!("{state:#}\n"))?;
        Ok(std::fs::rename(new, self.dir.join(FILE))?)
    }
}

impl Process {
    fn lives(&self) -> bool {
        let lives = started_at(self.pid) == Some(self.since);
        if !lives && let Some(pid) = Pid::from_raw(self.pid) {
            // A child of this command would go on having its process id, which PostgreSQL takes for life. Others' children
            // are none of ours, and no error.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        lives
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else { bail!("{} is no process id", self.pid) };
        match kill_process(pid, signal) {
            Err(error) if self.lives() => Err(error).with_context(|| format!("{} cannot be told to end", self.name)),
            _ => Ok(()),
        }
    }
}

/// When the process was started, unless it is gone, or waits only to be counted out by its parent.
fn started_at(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

/// The last lines of a log, for an error.
fn end_of(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(LINES_OF_LOG)..].join("\n");
    format!("; {} ends with:\n{end}", log.display())
}

/// A command whose process goes on, in a session of its own, when this one and its terminal are gone. It knows nothing of
/// this environment but where programs are.
pub(crate) fn detached(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setsid");
    command.arg("--").arg(program).env_clear();
    command.envs(["PATH", "HOME", "LANG"].iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::scratch;

    #[test]
    fn a_process_is_known_again_and_ended_by_its_id() {
        let dir = scratch("processes");
        let mut processes = Processes::open(&dir, Some(21_000)).unwrap();
        let mut command = detached("sleep");
        command.arg("600");
        processes.start("sender", command, &dir.join("logs/sender.log")).unwrap();
        let pid = processes.pid("sender").unwrap();
        assert!(Processes::open(&dir, None).is_err(), "one command at a time");
        drop(processes);

        assert!(Processes::open(&dir, Some(22_000)).unwrap_err().to_string().contains("other ports"));
        let mut processes = Processes::open(&dir, None).unwrap();
        assert_eq!((processes.pid("sender"), processes.port_base()), (Some(pid), Some(21_000)));
        processes.end(&[Part::Sender]).unwrap();
        assert!(!processes.lives("sender") && !Path::new("/proc").join(pid.to_string()).exists());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn another_process_of_the_same_id_is_left_alone() {
        let own = i32::try_from(std::process::id()).unwrap();
        let since = started_at(own).unwrap();
        let process = |since| Process { name: "x".to_owned(), pid: own, since, log: PathBuf::new() };
        assert!(process(since).lives() && !process(since + 1).lives());
    }

    #[test]
    fn one_that_ends_instead_of_being_ready_is_told_with_its_log() {
        let dir = scratch("ends");
        let mut processes = Processes::open(&dir, None).unwrap();
        let mut command = detached("sh");
        command.args(["-c", "sleep 0.2; echo port in use >&2; exit 3"]);
        processes.start("kafka", command, &dir.join("kafka.log")).unwrap();
        let error = processes.wait_until("kafka", |_| false).unwrap_err().to_string();
        assert!(error.contains("kafka has ended") && error.ends_with("port in use"), "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
