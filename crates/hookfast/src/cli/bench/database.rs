//! The PostgreSQL under a measured server: a database of its own for each run, the statements it was sent, and the CPU of
//! the server's processes, where they are on this machine.

use anyhow::Context as _;
use hookfast_core::model::SecretText;
use hookfast_store::postgres::{Scratch, ServerWork};

/// A database for one run.
pub(super) struct Database {
    scratch: Scratch,
}

/// What the database server had done at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) statements: u64,
    pub(super) disk_bytes: u64,
    pub(super) cpu_us: Option<u64>,
}

impl Database {
    pub(super) async fn create(server_url: &SecretText) -> anyhow::Result<Self> {
        let scratch = Scratch::create(server_url).await.context("make a database for the run")?;
        Ok(Self { scratch })
    }

    pub(super) fn url(&self) -> SecretText {
        self.scratch.url()
    }

    pub(super) async fn work(&self) -> anyhow::Result<Work> {
        let ServerWork { statements, disk_bytes, backend_pid } =
            self.scratch.work().await.context("ask the database server what it did")?;
        Ok(Work { statements, disk_bytes, cpu_us: cpu_us(backend_pid) })
    }

    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.scratch.drop().await.context("drop the database of the run")
    }
}

/// CPU of a process: its parent, its own time, and that of children it has waited for.
struct Cpu {
    parent: u32,
    own_ticks: u64,
    waited_ticks: u64,
}

fn cpu(pid: u32) -> Option<Cpu> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; state and parent follow it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Cpu {
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: number(11)? + number(12)?,
        waited_ticks: number(13)? + number(14)?,
    })
}

/// CPU of the server that has this backend: its first process, those that live, and those that have ended.
fn cpu_us(backend_pid: u32) -> Option<u64> {
    let server = cpu(backend_pid)?.parent;
    let first = cpu(server)?;
    let mut ticks = first.own_ticks + first.waited_ticks;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(one) = pid.and_then(cpu).filter(|one| one.parent == server) {
            ticks += one.own_ticks;
        }
    }
    Some(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1))
}
