//! `hookfast store`: what is done to a store as a whole. How rows are moved is the store's own business.

use super::print_line;
use super::table::Table;
use crate::build;
use crate::client::config_failure;
use crate::clock::SystemClock;
use crate::config::{self, ConfigArgs};
use crate::exit::{Exit, Failure};
use hookfast_core::model::SecretText;
use hookfast_store::{Copied, CopyProgress};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Move a store as a whole
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast store copy --from ./hookfast-data --to postgres://hookfast@db.example/hookfast
  hookfast store copy --from sqlite:/var/lib/hookfast --config hookfast.toml --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Copy(CopyArgs),
}

/// Copy a data directory into an empty PostgreSQL database
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Stop the server on the directory first. Everything is copied: configuration, events, history, what is
still to be delivered, idempotency keys; ids stay the same. Cut off at any moment, the same command
goes on where it was; no server starts on the database before it is finished. In the end every row of
both is read again and compared. Then start servers with --store, and no more on the directory: both
would deliver.

Connect to PostgreSQL itself, not to a proxy that pools transactions. Secrets stay sealed with
store.secret_key, which must be the one of the directory.

Examples:
  hookfast store copy --from sqlite:./hookfast-data --to postgres://hookfast@db.example/hookfast
  hookfast store copy --from /var/lib/hookfast --config hookfast.toml --json")]
struct CopyArgs {
    /// The data directory, as a path or as sqlite:PATH
    #[arg(long, value_name = "DIR", value_parser = directory)]
    from: PathBuf,
    /// The database [default: store.url of the configuration]; with a password better in HOOKFAST_STORE__URL, where
    /// other users of the machine cannot see it
    #[arg(long, value_name = "URL", value_parser = config::hidden)]
    to: Option<SecretText>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// TOML file with settings; HOOKFAST_CONFIG names one too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting of docs/configuration.md; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

fn directory(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("sqlite:").unwrap_or(text);
    if path.is_empty() || path.starts_with("postgres://") || path.starts_with("postgresql://") {
        return Err("expected a data directory: stores are copied from there only".to_owned());
    }
    Ok(path.into())
}

/// Runs `hookfast store …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Action::Copy(args) = args.action;
    let sources = ConfigArgs { data_dir: Some(args.from), store: args.to, config: args.config, set: args.set };
    let config = config::load(&sources, &[]).map_err(|faults| config_failure(&faults))?;
    let mut shown = Shown::new()?;
    let copied = build::copy(&config, Arc::new(SystemClock::start()), |progress| shown.show(progress)).await;
    shown.end();
    let copied = copied?;
    if args.json {
        print_line(as_json(&copied))?;
    } else if !copied.was_finished {
        print_line(as_table(&copied))?;
    }
    if !copied.is_complete() {
        let differ = copied.tables.iter().filter(|table| !table.is_equal).map(|table| table.name);
        let differ = differ.collect::<Vec<_>>().join(", ");
        let what = format!("the copy differs from the directory in: {differ}; copy again into an empty database");
        return Err(Failure::new(Exit::Failed, what));
    }
    let stand = if copied.was_finished { "the copy was finished before" } else { "the copy is complete" };
    eprintln!("{stand}: start servers with --store, and no more on the directory");
    Ok(ExitCode::SUCCESS)
}

/// Progress: a bar on a terminal, else a line for each table.
struct Shown {
    bar: ProgressBar,
    last: Option<(&'static str, bool)>,
    with_lines: bool,
}

impl Shown {
    fn new() -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template("{prefix:20} {bar:40} {human_pos} of {human_len} rows, {eta} left")?;
        let with_lines = !std::io::stderr().is_terminal();
        Ok(Self { bar: ProgressBar::new(0).with_style(style), last: None, with_lines })
    }

    fn show(&mut self, progress: CopyProgress) {
        let CopyProgress { table, checking, done, total } = progress;
        let what = if checking { "comparing" } else { "copying" };
        self.bar.set_length(total);
        self.bar.set_position(done);
        if self.last.replace((table, checking)) != Some((table, checking)) {
            self.bar.set_prefix(format!("{what} {table}"));
            if self.with_lines {
                eprintln!("{what} {table}, {done} of {total} rows in all");
            }
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn as_json(copied: &Copied) -> serde_json::Value {
    let tables: Vec<_> = copied
        .tables
        .iter()
        .map(|table| {
            json!({
                "name": table.name,
                "rows": table.rows,
                "found": table.found,
                "checksum": table.checksum,
                "equal": table.is_equal,
            })
        })
        .collect();
    json!({ "complete": copied.is_complete(), "finishedBefore": copied.was_finished, "tables": tables })
}

fn as_table(copied: &Copied) -> Table<4> {
    let mut table = Table::new(["TABLE", "ROWS", "FOUND", "CHECKSUM"]);
    for one in &copied.tables {
        let checksum = if one.is_equal { one.checksum.clone() } else { format!("{} differs", one.checksum) };
        table.row([one.name.to_owned(), one.rows.to_string(), one.found.to_string(), checksum]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_directory_with_or_without_its_kind() {
        assert_eq!(directory("sqlite:./data"), Ok(PathBuf::from("./data")));
        assert_eq!(directory("/var/lib/hookfast"), Ok(PathBuf::from("/var/lib/hookfast")));
        for wrong in ["", "sqlite:", "postgres://h/db", "postgresql://h/db"] {
            assert!(directory(wrong).is_err(), "{wrong}");
        }
    }
}
