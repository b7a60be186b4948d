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

With --store several servers share a PostgreSQL database, and none needs a directory.

Settings come from a file, the environment (HOOKFAST_SECTION__KEY) and flags: docs/configuration.md.

Examples:
  hookfast serve
  hookfast serve --data-dir /var/lib/hookfast --listen 127.0.0.1:8071
  hookfast serve --config hookfast.toml --set retry.delays=1s,5s,30s --log-format json
  hookfast serve --store postgres://hookfast@db.example/hookfast --roles api,engine
  hookfast serve --roles api,engine,maintenance,sources,sender --listen 127.0.0.1:8080")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address and port of the API [default: 127.0.0.1:8071]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// What this server does, of api, engine, maintenance, sources, sender, receiver, consumer; see server.roles in
    /// docs/configuration.md [default: api,engine,maintenance,sources]
    #[arg(long, value_name = "ROLE,…")]
    roles: Option<String>,
    /// What this server calls itself in `hookfast nodes` [default: host and process id]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Share of events read from Kafka that fail on purpose, to show retries and dead letters [default: 0]
    #[arg(long, value_name = "SHARE")]
    fail_rate: Option<f64>,
    /// How much is logged: error, warn, info, debug, trace, off [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of log lines: human, json [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Runs `hookfast serve`.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let given = [
        ("server.listen", args.listen.map(|listen| listen.to_string()), "--listen"),
        ("server.roles", args.roles, "--roles"),
        ("server.node_name", args.node_name, "--node-name"),
        ("kafka.fail_rate", args.fail_rate.map(|share| share.to_string()), "--fail-rate"),
        ("log.level", args.log_level, "--log-level"),
        ("log.format", args.log_format, "--log-format"),
    ];
    let flags: Vec<_> = given.into_iter().filter_map(|(key, value, flag)| Some((key, value?, flag))).collect();
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
