//! Kafka, PostgreSQL, Redis and nginx of a stack: their files, and the commands that start them. What is installed, and how
//! Kafka is had, is shared with the tests.

use super::layout::{Layout, deploy};
use super::processes::detached;
use crate::program::{must, output};
use crate::testing::kafka::{self, Home};
use crate::testing::postgres;
use crate::testing::services::Installer;
use anyhow::{Result, ensure};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

/// Sees to it that every program is there, by Debian's packages and Maven Central.
pub(crate) fn ensure_installed() -> Result<()> {
    let mut installer = Installer::default();
    postgres::ensure_installed(&mut installer)?;
    installer.ensure("redis-server", "redis-server")?;
    installer.ensure("redis-cli", "redis-tools")?;
    installer.ensure("mvn", "maven")?;
    installer.ensure_that("nginx-light", || Path::new(NGINX).is_file())?;
    Home::ensure(&mut installer)?;
    Ok(())
}

const COPY_JAR: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";
/// Debian keeps it on root's path alone.
const NGINX: &str = "/usr/sbin/nginx";

/// A cluster whose one user, with a password, is that of the variables. It syncs its commits.
pub(crate) fn postgres(layout: &Layout) -> Result<Command> {
    let home = layout.home("postgres");
    let data = home.join("data");
    if !data.exists() {
        std::fs::create_dir_all(&home)?;
        postgres::give(&home)?;
        ensure!(
            postgres::is_open(&home),
            "the user `postgres` may not write to {}: choose a directory that is open to it with --dir",
            home.display()
        );
        let password = home.join("password");
        write_private(&password, layout.variables.get("POSTGRES_PASSWORD"))?;
        postgres::give(&password)?;
        let new = home.join("new");
        let mut initdb = postgres::as_postgres("initdb", &[])?;
        initdb.args(["-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-U"]);
        initdb.arg(layout.variables.get("POSTGRES_USER")).arg("--pwfile").arg(&password).arg("-D").arg(&new);
        output(&mut initdb)?;
        std::fs::remove_file(password)?;
        std::fs::rename(new, &data)?;
    }
    let server = postgres::as_postgres("postgres", &[])?;
    let mut command = detached(server.get_program());
    command.args(server.get_args()).arg("-D").arg(data).args(["-p", &layout.ports.postgres.to_string()]);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200"]);
    command.current_dir("/");
    Ok(command)
}

pub(crate) fn postgres_is_ready(layout: &Layout, pid: i32) -> bool {
    u32::try_from(pid).is_ok_and(|pid| postgres::is_ready(&layout.home("postgres").join("data"), pid))
}

/// Makes the database of the variables, if it is not there.
pub(crate) fn make_database(layout: &Layout) -> Result<()> {
    let name = layout.variables.get("POSTGRES_DB");
    let psql = |sql: &str| {
        let mut psql = Command::new(postgres::program("psql")?);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-d", "postgres"]);
        psql.args(["-p", &layout.ports.postgres.to_string(), "-U", layout.variables.get("POSTGRES_USER"), "-c", sql]);
        output(psql.env("PGPASSWORD", layout.variables.get("POSTGRES_PASSWORD")))
    };
    if psql(&format!("select 1 from pg_database where datname = '{name}'"))?.trim().is_empty() {
        psql(&format!("create database \"{name}\""))?;
    }
    Ok(())
}

pub(crate) fn kafka(layout: &Layout) -> Result<Command> {
    let kafka = Home::find()?;
    let home = layout.home("kafka");
    std::fs::create_dir_all(&home)?;
    kafka.lay_out(&home)?;
    let settings = home.join("server.properties");
    std::fs::write(&settings, kafka.settings(&home, layout.ports.kafka, layout.ports.controller)?)?;
    let mut command = detached("java");
    command.arg(kafka.java_args()).arg("kafka.Kafka").arg(settings).current_dir(home);
    Ok(command)
}

/// The command line of Kafka's own console consumer, whose jar a broker does not need.
pub(crate) fn console_consumer() -> Result<String> {
    let kafka = Home::find()?;
    let tools = kafka.dir().join("tools");
    if !tools.is_dir() {
        let mut maven = Command::new("mvn");
        maven.args(["-B", "-ntp", "-q", "-Dstyle.color=never", COPY_JAR, "-DoutputDirectory=tools.new"]);
        maven.arg(format!("-Dartifact=org.apache.kafka:kafka-tools:{}", kafka::VERSION)).current_dir(kafka.dir());
        must(&mut maven)?;
        std::fs::rename(kafka.dir().join("tools.new"), &tools)?;
    }
    let jars = kafka.dir().join("libs");
    Ok(format!(
        "java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '{}/*:{}/*' org.apache.kafka.tools.consumer.ConsoleConsumer",
        jars.display(),
        tools.display()
    ))
}

/// The settings of compose.yaml; the password comes by a file that nobody else may read.
pub(crate) fn redis(layout: &Layout, name: &str, port: u16, master: Option<u16>) -> Result<Command> {
    let home = layout.home(name);
    std::fs::create_dir_all(&home)?;
    let password = layout.variables.get("REDIS_PASSWORD");
    let mut settings = format!(
        "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nappendonly yes\nappendfsync always\n\
         requirepass \"{password}\"\nmasterauth \"{password}\"\n",
        home.display()
    );
    if let Some(master) = master {
        settings.push_str(&format!("replicaof 127.0.0.1 {master}\n"));
    }
    let file = home.join("redis.conf");
    write_private(&file, &settings)?;
    let mut command = detached("redis-server");
    command.arg(file);
    Ok(command)
}

/// `deploy/nginx.conf` as it is; beside it the two files in which a machine differs from the containers.
pub(crate) fn nginx(layout: &Layout) -> Result<Command> {
    let home = layout.home("nginx");
    std::fs::create_dir_all(home.join("nginx"))?;
    let file = home.join("nginx.conf");
    std::fs::copy(deploy("nginx.conf"), &file)?;
    let handlers = layout.ports.handlers.map(|port| format!("server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;\n"));
    std::fs::write(home.join("nginx/handlers.conf"), handlers.concat())?;
    std::fs::write(home.join("nginx/listen.conf"), format!("listen 127.0.0.1:{};\n", layout.ports.nginx))?;
    let arguments = |command: &mut Command| {
        command.args(["-e", "stderr", "-p"]).arg(&home).arg("-c").arg(&file);
    };
    let mut test = Command::new(NGINX);
    arguments(&mut test);
    must(test.args(["-q", "-t"]))?;
    let mut command = detached(NGINX);
    arguments(&mut command);
    Ok(command)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(std::io::Write::write_all(&mut file, text.as_bytes())?)
}
