//! What tests need from the machine besides the toolchain: programs and servers. One list; each entry knows how
//! it is had, started and stopped.

use super::kafka::Kafka;
use super::postgres::Postgres;
use crate::program::{is_on_path, must};
use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// Something that tests need.
pub(crate) trait Service {
    /// Its name in what is said.
    fn name(&self) -> &'static str;

    /// Sees to it that it can be used, installing what is missing. The answer says what was done.
    fn ensure(&self, installer: &mut Installer) -> Result<&'static str>;

    /// Starts it; the answer is what the environment of the tests needs to find it.
    fn start(&mut self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    /// Stops what `start` started.
    fn stop(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Everything that tests need.
pub(crate) fn all() -> Vec<Box<dyn Service>> {
    vec![
        Box::new(Tool { name: "strace", program: "strace", package: "strace" }),
        Box::new(Tool { name: "faketime", program: "faketime", package: "faketime" }),
        Box::new(Tool { name: "python3", program: "python3", package: "python3-minimal" }),
        Box::new(LoopDevices),
        Box::new(PythonSdk),
        Box::new(Tool { name: "pgbouncer", program: "pgbouncer", package: "pgbouncer" }),
        Box::new(Tool { name: "Redis", program: "redis-server", package: "redis-server" }),
        Box::new(Tool { name: "redis-cli", program: "redis-cli", package: "redis-tools" }),
        Box::new(Tool { name: "Redis Sentinel", program: "redis-sentinel", package: "redis-sentinel" }),
        Box::new(Tool { name: "nginx", program: "nginx", package: "nginx-light" }),
        // It checks a compose file without an engine.
        Box::new(Tool { name: "docker-compose", program: "docker-compose", package: "docker-compose" }),
        Box::new(Postgres::default()),
        Box::new(Kafka::default()),
    ]
}

/// A program of a Debian package.
struct Tool {
    name: &'static str,
    program: &'static str,
    package: &'static str,
}

impl Service for Tool {
    fn name(&self) -> &'static str {
        self.name
    }

    fn ensure(&self, installer: &mut Installer) -> Result<&'static str> {
        installer.ensure(self.program, self.package)
    }
}

/// File systems of their own, for power cuts and full disks.
struct LoopDevices;

impl Service for LoopDevices {
    fn name(&self) -> &'static str {
        "loop devices"
    }

    fn ensure(&self, installer: &mut Installer) -> Result<&'static str> {
        let made = installer.ensure("mkfs.ext4", "e2fsprogs")?;
        let mounted = installer.ensure("losetup", "mount")?;
        let free = Command::new("losetup").arg("--find").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !free.is_ok_and(|status| status.success()) {
            bail!("`losetup --find` knows none (they need root and the kernel's loop module)");
        }
        Ok(if made == INSTALLED || mounted == INSTALLED { INSTALLED } else { PRESENT })
    }
}

/// A Python of its own with the official SDK, the official verifiers and schemathesis, below `target`.
struct PythonSdk;

impl PythonSdk {
    /// Exact versions: a newer one is taken on purpose, after reading what it changed.
    const PACKAGES: [&str; 3] = ["svix==2.9.1", "standardwebhooks==1.1.0", "schemathesis==4.32.5"];

    fn dir() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/python-sdk")
    }

    fn python() -> String {
        Self::dir().join("bin/python").display().to_string()
    }

    fn works() -> bool {
        let mut import = Command::new(Self::python());
        import.args(["-c", "import svix, standardwebhooks, schemathesis"]).stdout(Stdio::null()).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    }
}

impl Service for PythonSdk {
    fn name(&self) -> &'static str {
        "Python SDK"
    }

    fn ensure(&self, installer: &mut Installer) -> Result<&'static str> {
        if Self::works() {
            return Ok(PRESENT);
        }
        let venv = || must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(Self::dir()));
        if venv().is_err() {
            installer.install("python3-venv")?;
            venv()?;
        }
        must(Command::new(Self::python()).args(["-m", "pip", "install", "--quiet"]).args(Self::PACKAGES))?;
        if Self::works() { Ok(INSTALLED) } else { bail!("the packages were installed and cannot be imported") }
    }

    fn start(&mut self) -> Result<Vec<(String, String)>> {
        Ok(vec![("HOOKFAST_SDK_PYTHON".to_owned(), Self::python())])
    }
}

const PRESENT: &str = "there";
pub(super) const INSTALLED: &str = "installed";

/// Installs Debian packages, reading the package lists once at most.
#[derive(Default)]
pub(crate) struct Installer {
    updated: bool,
}

impl Installer {
    pub(crate) fn ensure(&mut self, program: &str, package: &str) -> Result<&'static str> {
        self.ensure_that(package, || is_on_path(program))
    }

    /// Installs `package` unless what it brings is there already, as `is_there` knows.
    pub(crate) fn ensure_that(&mut self, package: &str, is_there: impl Fn() -> bool) -> Result<&'static str> {
        if is_there() {
            return Ok(PRESENT);
        }
        self.install(package)?;
        if !is_there() {
            bail!("package {package} was installed and did not bring what is needed of it");
        }
        Ok(INSTALLED)
    }

    fn install(&mut self, package: &str) -> Result<()> {
        if !is_on_path("apt-get") {
            bail!("package {package} is needed and there is no apt-get to install it with");
        }
        if !self.updated {
            must(&mut apt(&["update"]))?;
            self.updated = true;
        }
        must(&mut apt(&["install", "-y", "--no-install-recommends", package]))
    }
}

fn apt(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args([
        "-qq",
        "-o",
        "Acquire::Retries=2",
        "-o",
        "Acquire::http::Timeout=20",
        "-o",
        "DPkg::Lock::Timeout=60",
    ]);
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

/// The services that were had, running until dropped.
#[derive(Default)]
pub(crate) struct Running {
    started: Vec<Box<dyn Service>>,
    /// For the tests to find them.
    pub(crate) environment: Vec<(String, String)>,
    /// What could not be had, and why.
    pub(crate) lacking: Vec<String>,
}

impl Running {
    /// Ensures and starts each of `services`, saying what was done.
    pub(crate) fn start(&mut self, services: Vec<Box<dyn Service>>) {
        let mut installer = Installer::default();
        for mut service in services {
            let name = service.name();
            let had = service.ensure(&mut installer).and_then(|how| Ok((how, service.start()?)));
            match had {
                Ok((how, environment)) => {
                    println!("{name}: {how}");
                    self.environment.extend(environment);
                    self.started.push(service);
                }
                Err(error) => {
                    println!("{name}: NOT TO BE HAD: {error:#}");
                    self.lacking.push(format!("{name}: {error:#}"));
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for service in self.started.iter_mut().rev() {
            if let Err(error) = service.stop() {
                println!("{}: could not be stopped: {error:#}", service.name());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    struct Scripted {
        name: &'static str,
        good: bool,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl Service for Scripted {
        fn name(&self) -> &'static str {
            self.name
        }
        fn ensure(&self, _: &mut Installer) -> Result<&'static str> {
            if self.good { Ok(PRESENT) } else { bail!("no such thing") }
        }
        fn start(&mut self) -> Result<Vec<(String, String)>> {
            self.said.lock().unwrap().push(format!("start {}", self.name));
            Ok(vec![(self.name.to_owned(), "here".to_owned())])
        }
        fn stop(&mut self) -> Result<()> {
            self.said.lock().unwrap().push(format!("stop {}", self.name));
            Ok(())
        }
    }

    #[test]
    fn what_was_started_is_stopped_and_what_is_lacking_is_told() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let one = |name, good| Box::new(Scripted { name, good, said: Arc::clone(&said) }) as Box<dyn Service>;
        let mut running = Running::default();
        running.start(vec![one("a", true), one("b", false), one("c", true)]);
        assert_eq!(running.lacking, ["b: no such thing"]);
        assert_eq!(running.environment.len(), 2);
        drop(running);
        assert_eq!(*said.lock().unwrap(), ["start a", "start c", "stop c", "stop a"]);
    }
}
