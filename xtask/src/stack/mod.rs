//! `cargo xtask stack`: the topology of `deploy/compose.yaml` as processes of this machine, for those without a container
//! engine: real Kafka, PostgreSQL, Redis and nginx, and hookfast in its roles, by the same configuration files. They go
//! on when the command ends. Knows nothing of what goes through them.

mod console;
mod image;
mod layout;
mod nodes;
mod parts;
mod probe;
mod processes;
mod proof;
mod servers;
mod variables;

use crate::program::{must, root};
use anyhow::{Context as _, Result, bail, ensure};
use layout::Layout;
use parts::Part;
use processes::Processes;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ACTIONS: &str = "`up`, `status`, `down`, `test` or `image`";
/// A test leaves the ports of a stack alone that somebody works with.
const TEST_PORT_BASE: u16 = 24_000;
/// By default a delivery that failed twice, while a killed part came back, waits for five minutes.
const TEST_RETRY_DELAYS: &str = "1s,2s,4s,8s,15s,15s,15s,15s,15s,15s";
/// Below the ports that the kernel gives to outgoing connections.
const TEST_PORT_BASE_MAX: u16 = 31_000;
/// So long a port that is taken may become free.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
/// So long a start of PostgreSQL is tried again.
const ORPHANS: Duration = Duration::from_secs(20);

/// What to do, and with which stack.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    action: Action,
    dir: PathBuf,
    /// All ports from here on, instead of the first system's.
    port_base: Option<u16>,
    release: bool,
    /// This hookfast, instead of one that is built.
    binary: Option<PathBuf>,
    /// Start these alone; nothing names all.
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Up,
    Status,
    Down { wipe: bool },
    Test { faults: bool },
    Image,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let (mut dir, mut port_base, mut release, mut wipe) = (root().join("target/stack"), None, false, false);
        let (mut parts, mut faults, mut binary) = (Vec::new(), false, None);
        let mut args = args.iter();
        let action = args.next().with_context(|| format!("expected {ACTIONS}"))?.as_str();
        match action {
            "test" => (dir, port_base) = (root().join("target/stack-test"), free_base()),
            "image" => dir = root().join("target/stack-image"),
            _ => {}
        }
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--dir" => dir = std::path::absolute(args.next().context("--dir needs a directory")?)?,
                "--port-base" => {
                    let number = args.next().and_then(|text| text.parse().ok());
                    let good = number.filter(|base| layout::PORT_BASES.contains(base));
                    port_base =
                        Some(good.with_context(|| format!("--port-base needs a number in {:?}", layout::PORT_BASES))?);
                }
                "--release" if matches!(action, "up" | "image") => release = true,
                "--binary" if matches!(action, "up" | "test") => {
                    binary = Some(std::path::absolute(args.next().context("--binary needs a file")?)?);
                }
                "--wipe" if action == "down" => wipe = true,
                "--faults" if action == "test" => faults = true,
                other => match Part::all().find(|part| part.name() == other) {
                    Some(part) if action == "up" => parts.push(part),
                    _ => bail!(
                        "unknown argument `{other}`; expected --dir DIR, --port-base N, up [PART…], --release, --binary FILE, down --wipe, test --faults"
                    ),
                },
            }
        }
        let action = match action {
            "up" => Action::Up,
            "status" => Action::Status,
            "down" => Action::Down { wipe },
            "test" => Action::Test { faults },
            "image" => Action::Image,
            other => bail!("unknown `stack {other}`; expected {ACTIONS}"),
        };
        Ok(Self { action, dir, port_base, release, binary, parts })
    }

    /// The profile of cargo. One for development builds much faster and is fast enough for a look.
    fn profile(&self) -> &'static str {
        if self.release { "release" } else { "dev" }
    }
}

/// The first ports that are free for a whole stack.
fn free_base() -> Option<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let bases = (TEST_PORT_BASE..TEST_PORT_BASE_MAX).step_by(usize::from(layout::PORTS));
    bases.into_iter().find(|base| (*base..*base + layout::PORTS).all(is_free))
}

/// Tries everything with this hookfast, also while parts are killed; `None` builds one.
pub(crate) fn test(binary: Option<PathBuf>) -> Result<()> {
    let mut options = Options::parse(&["test".to_owned()])?;
    options.binary = binary;
    ensure!(proof::run(&options, true)?, "some of it went wrong, see above");
    Ok(())
}

/// Does it. The answer is whether all was well.
pub(crate) fn run(options: &Options) -> Result<bool> {
    match options.action {
        Action::Up => up(options).map(|()| true),
        Action::Status => status(options),
        Action::Down { wipe } => down(options, wipe).map(|()| true),
        Action::Test { faults } => proof::run(options, faults),
        Action::Image => image::build(&options.dir, options.profile()).map(|()| true),
    }
}

/// Starts what does not run, and shows it when everything is ready.
fn up(options: &Options) -> Result<()> {
    let (layout, processes) = bring_up(options, true)?;
    console::print(&layout, &processes);
    Ok(())
}

/// Starts what does not run, and comes back when everything is ready.
fn bring_up(options: &Options, builds: bool) -> Result<(Layout, Processes)> {
    std::fs::create_dir_all(&options.dir)?;
    let mut processes = Processes::open(&options.dir, options.port_base)?;
    let mut layout = Layout::new(&options.dir, processes.port_base())?;
    if matches!(options.action, Action::Test { .. }) {
        layout.variables.set(nodes::RETRY_DELAYS, TEST_RETRY_DELAYS);
    }
    let is_meant = |part: &Part| options.parts.is_empty() || options.parts.contains(part);
    let missing: Vec<Part> = Part::all().filter(is_meant).filter(|part| !processes.lives(part.name())).collect();
    for part in &missing {
        for port in part.ports(&layout.ports) {
            ensure!(
                is_free(port),
                "port {port}, which {} needs, is taken by another program: end that one, or choose other ports for all \
                 with `--port-base N`",
                part.name()
            );
        }
    }
    if !missing.is_empty() {
        servers::ensure_installed()?;
        std::fs::create_dir_all(layout.bin())?;
        console::write(&layout)?;
    }
    if builds && missing.iter().any(|part| part.is_hookfast()) {
        must(&mut match &options.binary {
            Some(binary) => install(binary, &layout.bin().join("hookfast")),
            None => build(&layout.bin(), options.profile()),
        })?;
    }
    for stage in Part::STAGES {
        for part in stage.iter().filter(|part| missing.contains(part)) {
            start(*part, &layout, &mut processes)?;
        }
        for part in stage.iter().filter(|part| is_meant(part)) {
            wait_until_ready(*part, &layout, &mut processes)?;
            part.finish(&layout).with_context(|| part.name().to_owned())?;
        }
    }
    Ok((layout, processes))
}

fn build(out: &Path, profile: &str) -> Command {
    let mut script = Command::new(root().join("deploy/build.sh"));
    script.arg(out).arg(profile);
    script
}

/// One that runs keeps its file.
fn install(binary: &Path, to: &Path) -> Command {
    let mut install = Command::new("install");
    install.args(["-m", "755"]).arg(binary).arg(to);
    install
}

/// One that was killed a moment ago may hold its port still.
fn is_free(port: u16) -> bool {
    let started = Instant::now();
    while TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
        if started.elapsed() > PORT_PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

fn start(part: Part, layout: &Layout, processes: &mut Processes) -> Result<()> {
    println!("starting {}", part.name());
    let command = part.command(layout).with_context(|| part.name().to_owned())?;
    processes.start(part.name(), command, &layout.log(part.name()))
}

fn wait_until_ready(part: Part, layout: &Layout, processes: &mut Processes) -> Result<()> {
    let started = Instant::now();
    while let Err(error) = processes.wait_until(part.name(), |pid| part.is_ready(layout, pid)) {
        // After a kill PostgreSQL ends again at once until the last of its orphaned processes is gone.
        if part != Part::Postgres || started.elapsed() > ORPHANS {
            return Err(error);
        }
        start(part, layout, processes)?;
    }
    Ok(())
}

/// Prints how each part is. The answer is whether all are ready.
fn status(options: &Options) -> Result<bool> {
    ensure!(Processes::are_in(&options.dir), "no stack in {}: `cargo xtask stack up`", options.dir.display());
    let processes = Processes::open(&options.dir, options.port_base)?;
    let layout = Layout::new(&options.dir, processes.port_base())?;
    Ok(console::print_table(&layout, &processes))
}

/// Ends everything, last started first; with `wipe` its data goes too.
fn down(options: &Options, wipe: bool) -> Result<()> {
    if Processes::are_in(&options.dir) {
        let mut processes = Processes::open(&options.dir, None)?;
        for stage in Part::STAGES.iter().rev() {
            processes.end(stage)?;
        }
    }
    if wipe && options.dir.exists() {
        // Only what a stack has made: the option may name any directory.
        ensure!(Processes::are_in(&options.dir), "{} is not the directory of a stack", options.dir.display());
        std::fs::remove_dir_all(&options.dir)?;
        println!("{} is removed", options.dir.display());
    }
    Ok(())
}

/// Kills one part as nothing can be prepared for, and starts it again.
fn kill_and_restart(options: &Options, part: Part) -> Result<()> {
    Processes::open(&options.dir, options.port_base)?.kill(part.name())?;
    bring_up(options, false).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_default_is_the_first_systems_ports_below_target() {
        let options = parse("up").unwrap();
        assert_eq!(options.dir, root().join("target/stack"));
        assert_eq!((options.action, options.port_base, options.release), (Action::Up, None, false));
        let options = parse("down --wipe --dir /tmp/x --port-base 21000").unwrap();
        assert_eq!((options.action, options.port_base), (Action::Down { wipe: true }, Some(21_000)));
        assert_eq!(parse("up kafka webhook_handler-2").unwrap().parts, [Part::Kafka, Part::Handler(1)]);
    }

    #[test]
    fn what_is_not_meant_is_refused() {
        for bad in [
            "",
            "start",
            "up --wipe",
            "up zookeeper",
            "down kafka",
            "down --release",
            "up --port-base 80",
            "up --port-base x",
            "up --dir",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_stack_is_wiped() {
        let dir = std::env::temp_dir().join(format!("hookfast-xtask-wipe-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("precious")).unwrap();
        let options = Options {
            action: Action::Status,
            dir: dir.clone(),
            port_base: None,
            release: false,
            binary: None,
            parts: Vec::new(),
        };
        assert!(down(&options, true).is_err());
        assert!(dir.join("precious").exists());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
