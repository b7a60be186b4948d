//! `hookfast migrate`: how far the schema of a store is, and bringing it up to date.

use super::print_line;
use crate::build::{self, Schema};
use crate::client::config_failure;
use crate::clock::SystemClock;
use crate::config::{self, Config, ConfigArgs};
use crate::exit::Exit;
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;

/// Show how far the schema of the store is, or bring it up to date
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A server does this by itself at start, unless store.migrate is `check`.

Examples:
  hookfast migrate status --store postgres://hookfast@db.example/hookfast
  hookfast migrate up --store postgres://owner@db.example/hookfast")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say how far it is; exit code 1 while it is behind this binary
    #[command(after_long_help = "\
Changes nothing, and may run beside servers.

Examples:
  hookfast migrate status --data-dir ./hookfast-data
  hookfast migrate status --store postgres://hookfast@db.example/hookfast --json")]
    Status(Which),
    /// Bring it up to date
    #[command(after_long_help = "\
Does nothing to one that is current. Several at once take turns. On a data directory no server may run meanwhile.

Examples:
  hookfast migrate up --data-dir ./hookfast-data
  hookfast migrate up --store postgres://owner@db.example/hookfast")]
    Up(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs `hookfast migrate …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (Action::Status(which) | Action::Up(which)) = &args.action;
    let config = config::load(&which.config, &[]).map_err(|faults| config_failure(&faults))?;
    if matches!(args.action, Action::Up(_)) {
        build::migrate(&config, Arc::new(SystemClock::start())).await?;
    }
    status(which, &config).await
}

async fn status(which: &Which, config: &Config) -> anyhow::Result<ExitCode> {
    let Schema { of, found, known } = build::schema(config).await?;
    let is_current = found == known;
    if which.json {
        print_line(json!({ "store": of, "current": is_current, "found": found, "known": known }))?;
    } else {
        let stand = match found {
            _ if is_current => format!("schema {found}, current"),
            0 => format!("no schema yet, this binary needs {known}"),
            _ => format!("schema {found}, this binary needs {known}"),
        };
        print_line(format_args!("{of}: {stand}"))?;
    }
    Ok(if is_current { ExitCode::SUCCESS } else { Exit::Failed.into() })
}
