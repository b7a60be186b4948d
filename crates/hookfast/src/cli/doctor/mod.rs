//! `hookfast doctor`: what a server started like this would find, each thing with what to do about it. It changes
//! nothing but a probe file that it removes. What is looked at is in the modules below; here is the order and the form.

mod database;
mod directory;
mod finding;
mod machine;
mod network;

use super::print_line;
use crate::build::{self, Schema};
use crate::clock::SystemClock;
use crate::config::{self, Config, ConfigArgs, Migrate};
use crate::exit::Exit;
use finding::{Finding, Level};
use hookfast_core::model::SecretText;
use serde_json::json;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

/// Look for what keeps a server from working, and say what to do
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A line for each thing: ok, warn, or fail with what to do. Exit code 1 when something fails. It may run beside a
server. With --url one event of type `hookfast.doctor` is sent there, signed and under the address rules, as a
delivery is; nothing is stored.

Examples:
  hookfast doctor
  hookfast doctor --config /etc/hookfast.toml --dns-name hooks.example.com
  hookfast doctor --url https://hooks.example.com/webhooks --json")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address and port that the server is to have [default: 127.0.0.1:8071]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Resolve this name as deliveries do [default: the host of --url]
    #[arg(long, value_name = "NAME")]
    dns_name: Option<String>,
    /// Deliver one event to this URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Sign that event with this secret; better in HOOKFAST_SECRET [default: a new one]
    #[arg(long, value_name = "SECRET", env = "HOOKFAST_SECRET", hide_env_values = true)]
    #[arg(value_parser = config::hidden)]
    secret: Option<SecretText>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `hookfast doctor`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut report = Report { json: args.json, findings: Vec::new() };
    look(&args, &mut report).await?;
    report.end()
}

async fn look(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let flags: Vec<_> = args.listen.iter().map(|listen| ("server.listen", listen.to_string(), "--listen")).collect();
    let config = match config::load(&args.config, &flags) {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                let advice = "`hookfast config schema` and docs/configuration.md describe every setting";
                report.add(Finding::fail("configuration", fault.to_string(), advice))?;
            }
            return Ok(());
        }
    };
    report.add(Finding::ok("configuration", "every setting is good; `hookfast config print` shows them"))?;
    let state = match config.own_dir() {
        Some(dir) => look_into(dir, &config, report)?,
        None => directory::State::None,
    };
    if config.store.url.is_some() {
        look_at_database(&config, report).await?;
    }
    report.add(machine::open_files(config.server.connections_max, config.delivery.in_flight_max))?;
    report.add(machine::listen(&config, &state))?;
    network::look(&config, args, report).await
}

/// The data directory, and what is in it.
fn look_into(dir: &Path, config: &Config, report: &mut Report) -> anyhow::Result<directory::State> {
    let state = directory::state(dir);
    report.add(directory::finding(dir, &state))?;
    if let directory::State::Usable { holder } = &state {
        if config.store.url.is_none() {
            let (store, inspection) = directory::store(dir, holder.is_some());
            report.add(store)?;
            report.add(machine::clock(inspection.as_ref()))?;
        }
        report.add(directory::space(dir, config.store.disk_reserve_bytes))?;
        report.add(directory::flush(dir))?;
    }
    Ok(state)
}

/// The database that the store is in, if it can be reached.
async fn look_at_database(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let schema = build::schema(config).await;
    let is_reached = schema.is_ok();
    report.add(schema_of(config, schema))?;
    match build::inspect_database(config, &SystemClock::start()).await {
        Ok(seen) => seen.iter().flat_map(database::findings).try_for_each(|finding| report.add(finding)),
        Err(error) if is_reached => {
            report.add(Finding::fail("server", format!("{error:#}"), "it cannot be looked at further"))
        }
        // Why was told.
        Err(_) => Ok(()),
    }
}

/// What its schema tells.
fn schema_of(config: &Config, schema: anyhow::Result<Schema>) -> Finding {
    match schema {
        Ok(Schema { of, found, known }) if found == known => Finding::ok("store", format!("{of}: schema {known}")),
        Ok(Schema { of, found, known }) => {
            let found = format!("{of}: schema {found}, this binary needs {known}");
            match config.store.migrate {
                Migrate::Auto => Finding::ok("store", format!("{found}; a server brings it there at its start")),
                Migrate::Check => Finding::fail("store", found, "run `hookfast migrate up`"),
            }
        }
        Err(error) => Finding::fail("store", format!("{error:#}"), "mend store.url, or the database that it names"),
    }
}

/// The findings so far; on a terminal each is shown when it is made.
struct Report {
    json: bool,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, finding: Finding) -> anyhow::Result<()> {
        if !self.json {
            print_line(finding.line(has_colours()))?;
        }
        self.findings.push(finding);
        Ok(())
    }

    fn end(self) -> anyhow::Result<ExitCode> {
        let failed = self.findings.iter().filter(|finding| finding.level == Level::Fail).count();
        if self.json {
            let checks: Vec<_> = self.findings.iter().map(Finding::as_json).collect();
            print_line(json!({ "ok": failed == 0, "checks": checks }))?;
        } else if failed > 0 {
            eprintln!("{failed} of {} checks failed", self.findings.len());
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { Exit::Failed.into() })
    }
}

fn has_colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
