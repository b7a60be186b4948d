//! One broker as a process: in a directory and on a port that the caller chose. Knows nothing of its topics.

use super::home::Home;
use crate::program::must;
use anyhow::{Context as _, Result, bail, ensure};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A broker that runs. Killed when dropped without being stopped.
pub(crate) struct Broker {
    child: Child,
    dir: PathBuf,
    port: u16,
}

impl Broker {
    /// Starts one in `dir`, which is made and filled when it is new, and answers when it takes connections on `port`.
    pub(crate) fn start(home: &Home, dir: &Path, port: u16) -> Result<Self> {
        home.lay_out(dir)?;
        Self::start_formatted(home, dir, port)
    }

    /// Starts it on the data that lies there.
    pub(super) fn start_formatted(home: &Home, dir: &Path, port: u16) -> Result<Self> {
        let settings = dir.join("server.properties");
        std::fs::write(&settings, home.settings(dir, port, free_port(port)?)?)?;
        let log = std::fs::File::create(dir.join("log"))?;
        // However this process ends, the broker ends in order.
        let mut java = Command::new("setpriv");
        java.args(["--pdeathsig", "TERM", "--", "java"]).arg(home.java_args()).arg("kafka.Kafka").arg(settings);
        java.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = java.spawn().context("cannot start `setpriv java`")?;
        let mut broker = Self { child, dir: dir.to_owned(), port };
        broker.wait_until("ready", |broker| Ok(broker.connect().is_ok()))?;
        Ok(broker)
    }

    /// `host:port` of the listener for clients.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops it in order; its data stays.
    pub(crate) fn stop(mut self) -> Result<()> {
        must(Command::new("kill").arg(self.child.id().to_string()))?;
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(started.elapsed() < PATIENCE, "the broker does not stop within {PATIENCE:?}");
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Has it make the topic that groups keep their offsets in, which costs the first reader seconds otherwise: a
    /// group's coordinator is asked for (`FindCoordinator`, version 0) until there is one.
    pub(super) fn make_group_topic(&mut self) -> Result<()> {
        self.wait_until("ready for groups", |broker| {
            let mut stream = broker.connect()?;
            let name = b"first";
            let mut request = vec![0, 10, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, name.len() as u8];
            request.extend(name);
            stream.write_all(&(request.len() as u32).to_be_bytes())?;
            stream.write_all(&request)?;
            // Length, correlation, error.
            let mut answer = [0; 10];
            stream.read_exact(&mut answer)?;
            Ok(answer[8..] == [0, 0])
        })
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn wait_until(&mut self, what: &str, done: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        while !done(self)? {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("the broker ended with {status}: {log}");
            }
            ensure!(started.elapsed() < PATIENCE, "the broker is not {what} after {PATIENCE:?}");
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // One that was stopped has ended, and nobody is left to be told of an error.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A port of 127.0.0.1 that is free and not `taken`, below those that the kernel gives to outgoing connections.
pub(crate) fn free_port(taken: u16) -> Result<u16> {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000)?;
    let mut ports = (first..32_000).chain(20_000..first);
    ports
        .find(|port| *port != taken && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no port is free")
}
