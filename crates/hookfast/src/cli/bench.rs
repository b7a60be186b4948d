//! `hookfast bench`: drives a server with load and receivers of its own and says how fast, how dear and how safe it
//! was. It sees the server only from outside: by its API, by what arrives, and by what the system says of its process.

mod database;
pub(super) mod disk;
mod report;
mod round;
mod server;
mod setting;

use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use hookfast_lab::load::{Pace, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use report::{Measurement, Report};
use setting::Setting;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks at the progress.
const LOOK_MS: u64 = 100;

/// Measure a server with load and receivers of one's own
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = "\
Without --url it starts a server of its own on a temporary directory, and ends it. The load, its receivers and the
server share the machine, so the CPU figures say more than the rates. Exit code 1 if an accepted event was lost.

Examples:
  hookfast bench
  hookfast bench --events 200000 --concurrency 128 --no-idempotency-key --runs 5
  hookfast bench --rate 1000 --seconds 20 --json
  hookfast bench --rate 100 --seconds 60 --endpoints 20 --hanging 0.5
  hookfast bench --store postgres://postgres@127.0.0.1/postgres
  hookfast bench --url http://127.0.0.1:8071 --token \"$TOKEN\" --pid \"$(pidof hookfast)\"")]
pub(crate) struct Args {
    /// Closed loop: events to send, each connection its next one when it has the answer to the last
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    events: u64,
    /// Connections that send
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    concurrency: u16,
    /// Open loop instead: events per second, sent when they are due; latencies count from then
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "events")]
    rate: Option<f64>,
    /// How long an open loop lasts
    #[arg(long, default_value_t = 10.0, requires = "rate")]
    seconds: f64,
    /// Size of each payload
    #[arg(long, default_value_t = 512, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    payload_bytes: u32,
    /// Endpoints that each event goes to
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    fan_out: u32,
    /// Endpoints in all (a multiple of --fan-out): each event goes to the next --fan-out of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    endpoints: Option<u32>,
    /// Share of the endpoints that take a request and never answer
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    hanging: f64,
    /// Share of the endpoints that answer 500
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    failing: f64,
    /// Share of the endpoints that answer after a second
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    slow: f64,
    /// Fill the store with so many finished deliveries first
    #[arg(long, default_value_t = 0, value_name = "N", conflicts_with = "url")]
    history: u64,
    /// Send no idempotency key (the official clients send one with every event)
    #[arg(long)]
    no_idempotency_key: bool,
    /// Repeat the whole run, on a new directory each time, and report medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Where to make the temporary data directory: the disk to measure
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    dir: Option<PathBuf>,
    /// Keep the events in a new database on this PostgreSQL server, postgres://…, and count its statements and CPU too
    #[arg(long, value_name = "URL", conflicts_with_all = ["url", "history"])]
    store: Option<String>,
    /// Measure the server at this URL instead of a new one; it must be allowed to deliver to 127.0.0.1
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Token for --url
    #[arg(long, value_name = "TOKEN", env = "HOOKFAST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Process of the server at --url, to measure its CPU and memory; may be repeated
    #[arg(long = "pid", value_name = "PID", requires = "url")]
    pids: Vec<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `hookfast bench`.
///
/// # Errors
/// When the settings contradict each other, or the run could not be made; what it found is no error.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let setting = Setting::of(&args)?;
    // Caught, so that an interrupted run still ends its server and removes its directory.
    let mut signals = Signals::catch()?;
    let mut runs = Vec::with_capacity(usize::from(args.runs));
    for number in 1..=args.runs {
        runs.push(measure(&setting, number, args.runs, &mut signals).await?);
    }
    let lost: u64 = runs.iter().map(|run| run.lost).sum();
    let report = Report::new(&setting, runs);
    super::print_line(if args.json { report.to_json()? } else { report.to_table() })?;
    Ok(if lost == 0 { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

/// One run, on a thread of its own, so that the CPU time of load and receivers can be told from all else.
async fn measure(setting: &Setting, number: u16, runs: u16, signals: &mut Signals) -> anyhow::Result<Measurement> {
    let (done, mut outcome) = tokio::sync::oneshot::channel();
    let (progress, stop) = (Arc::<Progress>::default(), CancellationToken::new());
    let (setting_of_run, progress_of_run, stop_of_run) = (setting.clone(), progress.clone(), stop.clone());
    let body = move || {
        // Nobody listens any more only when the command itself is being dropped.
        let _ = done.send(on_this_thread(setting_of_run, progress_of_run, &stop_of_run));
    };
    std::thread::Builder::new().name("bench".into()).spawn(body)?;
    let bar = progress_bar(setting.pace.events(), number, runs);
    let mut look = tokio::time::interval(Duration::from_millis(LOOK_MS));
    loop {
        tokio::select! {
            measured = &mut outcome => {
                bar.finish_and_clear();
                return measured.map_err(|_| Failure::new(Exit::Failed, "the run broke off"))?;
            }
            _ = look.tick() => show(&bar, setting, &progress),
            _ = signals.next() => stop.cancel(),
        }
    }
}

fn on_this_thread(setting: Setting, progress: Arc<Progress>, stop: &CancellationToken) -> anyhow::Result<Measurement> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(async {
        tokio::select! {
            measured = Box::pin(round::measure(setting, progress)) => measured,
            () = stop.cancelled() => Err(Failure::new(Exit::Failed, "interrupted")),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    measured
}

/// Drawn on standard error, and only if that is a terminal.
fn progress_bar(events: u64, number: u16, runs: u16) -> ProgressBar {
    let bar = ProgressBar::new(events);
    let template = "{prefix}{bar:30} {percent:>3}%  {pos}/{len} accepted  {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if runs > 1 {
        bar.set_prefix(format!("run {number}/{runs}  "));
    }
    bar
}

fn show(bar: &ProgressBar, setting: &Setting, progress: &Progress) {
    let counts = progress.counts();
    bar.set_position(counts.accepted);
    let stage = match (counts.accepted, setting.pace) {
        (0, _) => "preparing".to_owned(),
        (accepted, _) if accepted >= setting.pace.events() => "waiting for the last deliveries".to_owned(),
        (_, Pace::Open { per_second, .. }) => format!("at {per_second}/s"),
        (_, Pace::Closed { .. }) => format!("{:.0}/s", counts.accepted as f64 / bar.elapsed().as_secs_f64().max(0.001)),
    };
    let trouble = counts.refused + counts.failed + counts.unknown;
    bar.set_message(if trouble == 0 { stage } else { format!("{stage}, {trouble} not accepted") });
}
