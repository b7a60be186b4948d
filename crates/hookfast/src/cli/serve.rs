//! `hookfast serve`: the server, until it is told to stop.

use crate::client::config_failure;
use crate::clock::SystemClock;
use crate::config::{self, ConfigArgs};
use crate::logging;
use crate::server::{Runtimes, Server};
use crate::signals::Signals;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

/// Run the server
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Ready when GET /api/v1/health/ping answers 204. SIGTERM and Ctrl-C stop accepting, let what is in flight end
(server.drain_ms), and exit 0; a second one exits at once. Nothing that was answered with 2xx is lost either way.

Settings come from a file, the environment (HOOKFAST_SECTION__KEY) and flags: docs/configuration.md.

Examples:
  hookfast serve
  hookfast serve --data-dir /var/lib/hookfast --listen 127.0.0.1:8071
  hookfast serve --config hookfast.toml --set retry.delays=1s,5s,30s --log-format json")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address and port of the API [default: 127.0.0.1:8071]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// How much is logged: error, warn, info, debug, trace, off [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of log lines: human, json [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Runs `hookfast serve`.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut flags = Vec::new();
    if let Some(listen) = args.listen {
        flags.push(("server.listen", listen.to_string(), "--listen"));
    }
    if let Some(level) = args.log_level {
        flags.push(("log.level", level, "--log-level"));
    }
    if let Some(format) = args.log_format {
        flags.push(("log.format", format, "--log-format"));
    }
    let config = config::load(&args.config, &flags).map_err(|faults| config_failure(&faults))?;
    logging::start(config.log.level, config.log.format);
    let runtimes = Runtimes::start(config.server.threads)?;
    let outcome = runtimes.block_on(async {
        // Before anything listens, so that no signal finds the default handler.
        let mut signals = Signals::catch()?;
        let server = Server::start(&config, runtimes.delivery(), Arc::new(SystemClock::start()), None).await?;
        let name = signals.next().await;
        tracing::info!(signal = name, "stopping");
        signals.exit_at_the_next();
        server.stop().await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    });
    runtimes.end();
    outcome
}
