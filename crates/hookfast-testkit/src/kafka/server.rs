//! A private Kafka broker, to be stopped, killed, frozen and started again. It is started from what `cargo xtask test`
//! made; knows nothing of its topics.

use super::{installed, new_topic};
use crate::postgres::programs::{Daemon, free_port, missing, output};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Names the directory with the jars, the template of a data directory and the files that a broker is started with.
const HOME: &str = "HOOKFAST_TEST_KAFKA_HOME";
/// Below the cache of the user, where it lies when nobody names it.
const CACHED: &str = "hookfast/kafka-4.3.1";

/// A listener that encrypts and asks who is there; of a setting that comes twice the later one counts.
const SECURED: &str = "\
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,SASL_SSL://127.0.0.1:@SECURE@
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_@USERNAME@=\"@PASSWORD@\";
ssl.keystore.type=PEM
ssl.keystore.location=@IDENTITY@
";

/// A broker of its own, on a port of 127.0.0.1 that it keeps over restarts. Ended, its files deleted, when dropped.
pub struct KafkaServer {
    // Before `dir`: it must have ended when its files are deleted.
    process: Option<Daemon>,
    dir: TempDir,
    installed: PathBuf,
    port: u16,
    controller_port: u16,
    /// Settings beside the usual ones.
    more: String,
}

impl KafkaServer {
    /// Starts one that has no topics. Where Kafka is not installed the calling test is skipped, which is the `None`.
    ///
    /// # Panics
    /// When it is installed and cannot be started.
    #[must_use]
    pub fn start() -> Option<Self> {
        let mut server = Self::new()?;
        // The files of indexes are mostly holes.
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--sparse=always"]).arg(server.installed.join("template"));
        output(copy.arg(server.dir.path().join("data"))).unwrap();
        server.restart();
        Some(server)
    }

    /// As [`KafkaServer::start`], with a listener beside that encrypts and lets one user in; the answer is its address,
    /// too. `pem` is the listener's key in PKCS #8 with its certificates.
    ///
    /// # Panics
    /// When it is installed and cannot be started.
    #[must_use]
    pub fn start_secured(pem: &str, username: &str, password: &str) -> Option<(Self, String)> {
        let mut server = Self::new()?;
        let mut ports = std::iter::repeat_with(free_port);
        let port = ports.find(|port| ![server.port, server.controller_port].contains(port)).unwrap();
        let identity = server.dir.path().join("identity.pem");
        std::fs::write(&identity, pem).unwrap();
        server.more = SECURED
            .replace("@SECURE@", &port.to_string())
            .replace("@IDENTITY@", identity.to_str().unwrap())
            .replace("@USERNAME@", username)
            .replace("@PASSWORD@", password);
        let mut format = Command::new("java");
        format.arg(server.java_args()).args(["kafka.tools.StorageTool", "format", "-t", "secured", "-c"]);
        format.arg(server.write_settings());
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            format.args(["--add-scram", &format!("{mechanism}=[name={username},password={password}]")]);
        }
        output(&mut format).unwrap();
        server.restart();
        Some((server, format!("127.0.0.1:{port}")))
    }

    /// One without data that does not run.
    fn new() -> Option<Self> {
        let installed = installed()?;
        let dir = tempfile::Builder::new().prefix("hookfast-kafka-").tempdir().unwrap();
        let port = free_port();
        let controller_port = std::iter::repeat_with(free_port).find(|other| *other != port).unwrap();
        Some(Self { process: None, dir, installed, port, controller_port, more: String::new() })
    }

    fn java_args(&self) -> String {
        format!("@{}", self.installed.join("java.args").display())
    }

    fn write_settings(&self) -> PathBuf {
        let path = self.dir.path().join("server.properties");
        let usual = std::fs::read_to_string(self.installed.join("server.properties")).unwrap();
        let text = (usual + &self.more)
            .replace("@DIR@", self.dir.path().to_str().unwrap())
            .replace("@PORT@", &self.port.to_string())
            .replace("@CONTROLLER@", &self.controller_port.to_string());
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts it after it was stopped or killed, on the same data and port, and answers when it takes connections. One
    /// that runs is stopped first. After a kill it takes up to four seconds.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.stop();
        let mut java = Command::new("setpriv");
        java.args(["--pdeathsig", "KILL", "--", "java"]).arg(self.java_args());
        java.arg("kafka.Kafka").arg(self.write_settings());
        java.stdin(Stdio::null());
        let mut process = Daemon::of("kafka", java, &self.dir.path().join("log"));
        let ready = process.wait_until(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok());
        ready.unwrap_or_else(|status| panic!("{status} at the start of {process}"));
        self.process = Some(process);
    }

    /// Stops it in order. Does nothing to one that does not run.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Kills it: what was not written by the operating system would be lost with the machine, and is not lost here.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(process) = self.process.take() {
            process.end(signal);
        }
    }

    /// Stops the clock of its process: connections stay, nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().expect("it runs").id();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    /// Where it listens, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes a topic whose name nobody else has.
    #[must_use]
    pub fn topic(&self, partitions: i32) -> String {
        new_topic(&self.address(), partitions)
    }
}

/// Where Kafka is installed, or what is missing.
pub(super) fn home() -> Result<PathBuf, String> {
    if let Some(missing) = missing(&["java"]) {
        return Err(missing);
    }
    let home = std::env::var_os(HOME).map(PathBuf::from).or_else(|| {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Some(set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?.join(CACHED))
    });
    let complete = |home: &Path| home.join("made").is_file();
    home.filter(|home| complete(home)).ok_or_else(|| "`cargo xtask test` installs it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;

    #[test]
    fn topics_survive_every_way_to_end() {
        let Some(mut server) = KafkaServer::start() else { return };
        let address = server.address();
        let mut topics = Vec::new();
        for end in [KafkaServer::stop, KafkaServer::kill] {
            topics.push(server.topic(1));
            end(&mut server);
            assert!(TcpStream::connect(&address).is_err(), "it must not answer once ended");
            server.restart();
        }
        assert_eq!(server.address(), address);
        for topic in topics {
            let again = wire::create_topic(&address, &topic, 1).unwrap_err();
            assert!(again.contains("error 36"), "it exists already, says the broker: {again}");
        }
    }
}
