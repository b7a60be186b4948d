//! Kafka as it lies on this machine: its jars from Maven Central, a formatted data directory to start from, an archive
//! of loaded classes that halves its start, and the files it is started with. Kept outside of the checkout, so that it
//! is fetched once. Everything that starts a broker starts it from here.

use super::broker::Broker;
use crate::program::{must, output};
use crate::testing::services::{INSTALLED, Installer};
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const VERSION: &str = "4.3.1";
const LOGGING_VERSION: &str = "2.25.4";
/// Rises when what is made here is made otherwise; what an earlier one made is then made anew.
const LAYOUT: u32 = 1;
const COPY_JARS: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// What a broker is started with; the ports and the directory are put in at each start. One that is started again
/// after it was killed has to wait until its session ended: the two `broker.` lines make that short.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:@CONTROLLER@
log.dirs=@DIR@/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
auto.create.topics.enable=false
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=250
log.cleaner.dedupe.buffer.size=2097152
";

/// Without a binding nothing is logged, not even why it ended.
const LOGGING: &str = "\
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=info
rootLogger.appenderRef.c.ref=C
";

/// Where it lies.
pub(crate) struct Home(PathBuf);

impl Home {
    /// Sees to it that a broker can be started, fetching what is missing. The answer says what was done.
    pub(crate) fn ensure(installer: &mut Installer) -> Result<&'static str> {
        let java = installer.ensure("java", "default-jre-headless")?;
        if Self::find().is_ok() {
            return Ok(java);
        }
        installer.ensure("mvn", "maven")?;
        Self::make().map(|()| INSTALLED)
    }

    /// Where it lies, if it is complete and of this layout and this Java.
    pub(crate) fn find() -> Result<Self> {
        let dir = place()?;
        let made = std::fs::read_to_string(dir.join("made")).unwrap_or_default();
        ensure!(made == mark()?, "Kafka is not installed in {}: `cargo xtask test` does it", dir.display());
        Ok(Self(dir))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// What Java is started with.
    pub(crate) fn java_args(&self) -> String {
        format!("@{}", self.0.join("java.args").display())
    }

    /// A formatted data directory, as a broker left it that was stopped in order.
    pub(crate) fn template(&self) -> PathBuf {
        self.0.join("template")
    }

    /// Makes `dir` and puts a data directory into it, unless there is one.
    pub(crate) fn lay_out(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        let data = dir.join("data");
        if !data.exists() {
            // The files of indexes are mostly holes.
            let mut copy = Command::new("cp");
            must(copy.args(["--archive", "--sparse=always"]).arg(self.template()).arg(data))?;
        }
        Ok(())
    }

    /// What a broker in `dir` is configured by.
    pub(crate) fn settings(&self, dir: &Path, port: u16, controller_port: u16) -> Result<String> {
        let settings = std::fs::read_to_string(self.0.join("server.properties"))?;
        let dir = dir.to_str().context("the directory has a name that is no text")?;
        Ok(settings
            .replace("@DIR@", dir)
            .replace("@PORT@", &port.to_string())
            .replace("@CONTROLLER@", &controller_port.to_string()))
    }

    /// Makes it from nothing. The mark that it is complete comes last.
    fn make() -> Result<()> {
        let dir = place()?;
        println!("Kafka: {VERSION} is put into {}", dir.display());
        std::fs::create_dir_all(&dir)?;
        let mark_path = dir.join("made");
        for old in ["template", "making"] {
            remove(&dir.join(old))?;
        }
        if mark_path.exists() {
            std::fs::remove_file(&mark_path)?;
        }
        let jars = dir.join("libs");
        if !jars.join(format!("kafka_2.13-{VERSION}.jar")).is_file() {
            fetch(&dir)?;
        }
        std::fs::write(dir.join("log4j2.properties"), LOGGING)?;
        std::fs::write(dir.join("server.properties"), SETTINGS)?;
        let home = Self(dir);
        home.write_java_args(&format!("-XX:ArchiveClassesAtExit={}", home.0.join("kafka.jsa").display()))?;
        home.first_run()?;
        home.write_java_args(&format!("-XX:SharedArchiveFile={}", home.0.join("kafka.jsa").display()))?;
        std::fs::write(mark_path, mark()?)?;
        Ok(())
    }

    fn write_java_args(&self, archive: &str) -> Result<()> {
        let dir = self.0.display();
        let args = format!(
            "-Xms32m\n-Xmx256m\n-XX:+UseSerialGC\n-XX:TieredStopAtLevel=1\n{archive}\n\
             -Dlog4j2.configurationFile={dir}/log4j2.properties\n-cp\n{dir}/libs/*\n"
        );
        Ok(std::fs::write(self.0.join("java.args"), args)?)
    }

    /// Formats a data directory and runs a broker on it: what it leaves is the template, and the archive.
    fn first_run(&self) -> Result<()> {
        let dir = self.0.join("making");
        std::fs::create_dir_all(&dir)?;
        let port = super::broker::free_port(0)?;
        let settings = dir.join("server.properties");
        std::fs::write(&settings, self.settings(&dir, port, super::broker::free_port(port)?)?)?;
        let mut format = Command::new("java");
        format.arg(self.java_args()).args(["kafka.tools.StorageTool", "format", "-t", "hookfast-tests", "-c"]);
        output(format.arg(&settings))?;
        let archive = self.0.join("kafka.jsa");
        if archive.exists() {
            std::fs::remove_file(&archive)?;
        }
        let mut broker = Broker::start_formatted(self, &dir, port)?;
        broker.make_group_topic()?;
        broker.stop()?;
        std::fs::rename(dir.join("data"), self.template())?;
        remove(&dir)
    }
}

/// `${XDG_CACHE_HOME:-~/.cache}/hookfast/kafka-VERSION`
fn place() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.context("neither XDG_CACHE_HOME nor HOME says where downloads are kept")?;
    Ok(cache.join(format!("hookfast/kafka-{VERSION}")))
}

/// What it was made by: the archive belongs to one Java.
fn mark() -> Result<String> {
    let java = Command::new("java").arg("-version").stdin(Stdio::null()).output().context("cannot start `java`")?;
    Ok(format!("layout {LAYOUT}\n{}", String::from_utf8_lossy(&java.stderr)))
}

/// Copies the jars of Kafka and of all that it needs from Maven Central.
fn fetch(dir: &Path) -> Result<()> {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    };
    let project = format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>kafka-broker</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", VERSION),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOGGING_VERSION),
    );
    std::fs::write(dir.join("pom.xml"), project)?;
    let fetched = dir.join("fetched");
    remove(&fetched)?;
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-ntp", "-q", COPY_JARS, "-DincludeScope=runtime", "-DoutputDirectory=fetched"]);
    must(maven.current_dir(dir).stdin(Stdio::null()))?;
    remove(&dir.join("libs"))?;
    Ok(std::fs::rename(fetched, dir.join("libs"))?)
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}
