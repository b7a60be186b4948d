//! `hookfast restore`: puts a copy back as the store of an empty data directory, or only checks it. How it is read is
//! the store's business.

use super::backup::{as_json, config_of, described, watched};
use super::print_line;
use crate::config::ConfigArgs;
use hookfast_store::sqlite;
use std::path::PathBuf;
use std::process::ExitCode;

/// Put a backup back into an empty data directory
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The backup is checked first: every page and index, whether this hookfast knows its schema, and whether
store.secret_key opens its secrets. Exit code 1 when it is not sound; 5 when the directory holds
anything or is in use. Then start the server; it goes on with what was still to be delivered, and what
was delivered after the backup was made is delivered again, with the same webhook-id.

Examples:
  hookfast restore --from /backups/hookfast-monday --data-dir ./hookfast-data
  hookfast restore --from /backups/hookfast.db --verify-only")]
pub(crate) struct Args {
    /// What `hookfast backup` made: the file, or the directory
    #[arg(long, value_name = "FILE|DIR")]
    from: PathBuf,
    /// Check it, and put it nowhere
    #[arg(long)]
    verify_only: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs `hookfast restore`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = config_of(&args.config, "with pg_restore")?;
    let (from, dir) = (args.from.clone(), config.server.data_dir.clone());
    let (key, reserve_bytes) = (config.store.secret_key.clone(), config.store.disk_reserve_bytes);
    let found = if args.verify_only {
        watched("checking", reserve_bytes, move |course| sqlite::check(&from, key.as_ref(), &course.stop)).await?
    } else {
        watched("restoring", reserve_bytes, move |course| sqlite::restore(&from, &dir, key.as_ref(), course)).await?
    };
    if args.json {
        print_line(as_json(&found))?;
    } else {
        print_line(described(&found))?;
    }
    if args.verify_only {
        eprintln!("{} is sound", args.from.display());
    } else {
        eprintln!("start it: hookfast serve --data-dir {}", config.server.data_dir.display());
    }
    Ok(ExitCode::SUCCESS)
}
