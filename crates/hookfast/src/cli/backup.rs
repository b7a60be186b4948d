//! `hookfast backup`: a copy of the store while a server writes to it. How pages are copied is the store's business; what
//! is shown of a long copy is said here, for `restore` too.

use super::print_line;
use crate::client::config_failure;
use crate::config::{self, Config, ConfigArgs};
use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use hookfast_core::ErrorKind;
use hookfast_store::sqlite::{self, BackupError, Course, Snapshot};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// So much less of the processor than a server's share, where they contend for it.
const NICE: i32 = 10;
/// Between two looks of the bar at the time.
const TICK_MS: u64 = 100;

/// Copy the store while its server runs
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
The copy is the store as it was at one moment, whole: configuration, secrets as the store keeps them,
events, history, idempotency keys, and what was still to be delivered. Everything that was answered
with 2xx before the command began is in it. Until it is complete nothing is there under its name, and
nothing is overwritten.

A directory can be started as it is: `hookfast serve --data-dir COPY`. Do not start it while the store
it was made of is served too: both would deliver. What was delivered after the copy was made is
delivered again by a server on the copy, with the same webhook-id.

With a PostgreSQL store, use its own tools: pg_dump, or a base backup.

Examples:
  hookfast backup --data-dir ./hookfast-data --to /backups/hookfast-monday
  hookfast backup --data-dir /var/lib/hookfast --to /backups/hookfast.db --json")]
pub(crate) struct Args {
    /// Where to: one file if it ends in .db, else a directory, which must be missing or empty
    #[arg(long, value_name = "FILE.db|DIR")]
    to: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs `hookfast backup`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = config_of(&args.config, "with pg_dump, or a base backup of the server")?;
    let (dir, to) = (config.server.data_dir.clone(), args.to.clone());
    let began = Instant::now();
    let copied = watched("copying", config.store.disk_reserve_bytes, move |course| sqlite::backup(&dir, &to, course));
    let copied = copied.await?;
    let mut answer = as_json(&copied);
    answer["to"] = json!(args.to.display().to_string());
    answer["ms"] = json!(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    if args.json {
        print_line(answer)?;
    } else {
        print_line(format_args!("{}: {}", args.to.display(), described(&copied)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration of a command that is about a data directory.
pub(super) fn config_of(sources: &ConfigArgs, instead: &str) -> anyhow::Result<Config> {
    let config = config::load(sources, &[]).map_err(|faults| config_failure(&faults))?;
    if config.store.url.is_some() {
        let why = format!("this is for data directories; a PostgreSQL store is kept safe by its own tools: {instead}");
        return Err(Failure::new(Exit::Usage, why));
    }
    Ok(config)
}

/// Runs a copy on a thread of its own, with a bar on a terminal. A signal ends it and removes what it began.
pub(super) async fn watched<T: Send + 'static>(
    what: &'static str,
    reserve_bytes: u64,
    copy: impl FnOnce(&mut Course<'_>) -> Result<T, BackupError> + Send + 'static,
) -> anyhow::Result<T> {
    // A server on the same machine comes first; where the system does not allow it, they are equals.
    let _ = rustix::process::nice(NICE);
    let mut signals = Signals::catch()?;
    let style = ProgressStyle::with_template("{spinner} {msg} {bar:40} {bytes} of {total_bytes}, {elapsed}")?;
    let bar = ProgressBar::new(0).with_style(style).with_message(what);
    bar.enable_steady_tick(Duration::from_millis(TICK_MS));
    let stop = CancellationToken::new();
    let (shown, stopping) = (bar.clone(), stop.clone());
    let mut copying = tokio::task::spawn_blocking(move || {
        let mut progress = |done, total| {
            shown.set_length(total);
            shown.set_position(done);
        };
        copy(&mut Course { stop: stopping, reserve_bytes, progress: &mut progress })
    });
    let outcome = loop {
        tokio::select! {
            outcome = &mut copying => break outcome,
            _ = signals.next() => stop.cancel(),
        }
    };
    bar.finish_and_clear();
    outcome?.map_err(failure)
}

/// What a copy holds, as JSON.
pub(super) fn as_json(copied: &Snapshot) -> Value {
    json!({
        "bytes": copied.bytes,
        "events": copied.events,
        "newestEvent": newest(copied),
        "schema": copied.schema,
    })
}

/// What a copy holds, in words.
pub(super) fn described(copied: &Snapshot) -> String {
    let Snapshot { bytes, events, schema, .. } = copied;
    let newest = newest(copied).map_or_else(String::new, |at| format!(", the newest of {at}"));
    format!("{events} events{newest}, {bytes} bytes, schema {schema}")
}

fn newest(copied: &Snapshot) -> Option<String> {
    let at = copied.newest_event?;
    jiff::Timestamp::from_millisecond(at.0).ok().map(|at| at.to_string())
}

fn failure(error: BackupError) -> anyhow::Error {
    let exit = match &error {
        BackupError::Missing(_) => Exit::NotFound,
        BackupError::Exists(_) | BackupError::NotEmpty { .. } => Exit::Conflict,
        BackupError::Store(error) if error.kind() == ErrorKind::Retryable => Exit::Unavailable,
        BackupError::Store(hookfast_store::Error::Locked { .. }) => Exit::Conflict,
        _ => Exit::Failed,
    };
    let advice = match &error {
        BackupError::Store(hookfast_store::Error::Seal { .. }) => {
            "; set store.secret_key to the key that this store was used with"
        }
        BackupError::NoRoom { .. } => "; free some, or name another place",
        _ => "",
    };
    Failure::new(exit, format!("{error}{advice}"))
}
