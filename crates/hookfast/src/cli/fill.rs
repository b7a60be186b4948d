//! `hookfast fill`, hidden: fills a store with a history of finished deliveries, for measuring.

use crate::build::embedded;
use crate::client::config_failure;
use crate::clock::SystemClock;
use crate::config::{self, Config, ConfigArgs};
use anyhow::Context as _;
use hookfast_core::model::{SecretText, Signing};
use hookfast_core::ports::{Applications as _, Endpoints as _, NewApplication, NewEndpoint, OnExisting};
use hookfast_core::{Clock, OrgId, UnixMs};
use hookfast_store::sqlite::{FillPlan, SqliteStore};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

/// What the application and its endpoint are called.
const NAME: &str = "history";
/// A day, and how long after its retention the history of an event goes.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Fill the store with finished deliveries
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
They are so old that retention begins to delete them at once, and goes on at the rate given.

Examples:
  hookfast fill --data-dir ./hookfast-data --finished 100000
  hookfast fill --data-dir ./hookfast-data --finished 5000000 --expiring 18000")]
pub(crate) struct Args {
    /// How many
    #[arg(long, value_name = "N")]
    finished: u64,
    /// Size of each body
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    payload_bytes: usize,
    /// How many pass their retention each second from now on
    #[arg(long, value_name = "PER_SECOND", default_value_t = 18_000, value_parser = clap::value_parser!(u64).range(1..))]
    expiring: u64,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs `hookfast fill`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = config::load(&args.config, &[]).map_err(|faults| config_failure(&faults))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let store = embedded(&config, Arc::clone(&clock))?;
    let plan = plan(&args, &config, &store, clock.now()).await?;
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} deliveries, {eta} left")?;
    // It is drawn only where standard error is a terminal.
    let bar = ProgressBar::new(plan.events).with_style(style);
    store.fill(plan, |done| bar.set_position(done)).await?;
    bar.finish_and_clear();
    store.close();
    Ok(ExitCode::SUCCESS)
}

async fn plan(args: &Args, config: &Config, store: &SqliteStore, now: UnixMs) -> anyhow::Result<FillPlan> {
    let new = NewApplication {
        org: OrgId::default_org(),
        uid: Some(NAME.into()),
        name: NAME.into(),
        throttle_rate: None,
        metadata: BTreeMap::new(),
        retention_days: None,
    };
    let app = store.create_application(new, OnExisting::Return, None).await?.value;
    let endpoint = match store.endpoint(app.id, NAME).await {
        Ok(endpoint) => endpoint,
        Err(_) => store.create_endpoint(endpoint(app.id)?, None).await?.value,
    };
    let from = now.minus_ms((u64::from(config.store.retention_days_default) + 1) * DAY_MS);
    Ok(FillPlan {
        app: app.id,
        endpoint: endpoint.id,
        events: args.finished,
        from,
        until: from.plus_ms(args.finished.saturating_mul(1000) / args.expiring),
        body_bytes: args.payload_bytes,
    })
}

/// An endpoint that nothing is ever sent to: its application gets no events.
fn endpoint(app: hookfast_core::AppId) -> anyhow::Result<NewEndpoint> {
    let mut random = [0u8; 32];
    aws_lc_rs::rand::fill(&mut random).context("no randomness")?;
    let secret = hookfast_signing::Secret::new_symmetric(random).to_text();
    Ok(NewEndpoint {
        app,
        uid: Some(NAME.into()),
        url: "https://history.invalid/".into(),
        description: "made by hookfast fill".into(),
        version: 1,
        disabled: true,
        event_types: None,
        channels: None,
        throttle_rate: None,
        ordering: None,
        metadata: BTreeMap::new(),
        headers: BTreeMap::new(),
        secret: SecretText::new(secret.as_str()),
        signing: Signing::Standard,
        retry: None,
        timeout_ms: None,
    })
}
