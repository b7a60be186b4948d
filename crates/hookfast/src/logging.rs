//! Where log lines go: standard error, for people or as JSON. Must not know what is logged.

use crate::config::LogFormat;
use std::io::IsTerminal as _;
use std::path::Path;
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process; later calls change nothing.
pub(crate) fn start(level: &str, format: LogFormat) {
    let filter = EnvFilter::new(level);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // An error here means that logging runs already, as it does when tests share a process.
    let _ = match format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
}

/// The same into a file, for a command that has the terminal for itself.
pub(crate) fn start_in(path: &Path, level: &str) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(level)).with_target(false).with_ansi(false);
    let _ = builder.with_writer(std::sync::Mutex::new(file)).try_init();
    Ok(())
}
