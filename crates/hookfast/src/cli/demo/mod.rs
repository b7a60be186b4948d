//! `hookfast demo`: server, receivers, endpoints and emitter in one process, live in the terminal. Everything real:
//! the same server as `serve`, spoken to through its API.

mod screen;
mod stats;
mod view;
mod world;

use super::token::parse_duration;
use crate::client::{Api, config_failure, control_socket_path};
use crate::config::{self, Config, ConfigArgs, LogFormat};
use crate::exit::{Exit, Failure};
use crate::logging;
use crate::server::{Runtimes, Server};
use crate::signals::Signals;
use anyhow::Context as _;
use hookfast_core::Clock;
use hookfast_core::model::{Origin, Route};
use hookfast_sources::emitter::{Emitter, EmitterConfig, Pace, Throttle};
use http::Method;
use screen::{Key, Screen};
use serde_json::json;
use stats::Stats;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use view::Scene;
use world::{APP, World};

/// The live view is drawn anew at most so often.
const DRAW_EVERY_MS: u64 = 250;
/// Without a terminal, a line so often.
const LINE_EVERY_MS: u64 = 1000;
/// Without a terminal and without `--seconds`, it ends after this.
const UNATTENDED_SECONDS: u64 = 10;
/// Slowest and fastest pace that the keys set.
const RATE_RANGE: (f64, f64) = (1.0, 2000.0);

/// Show everything at once: a server, receivers, events; live in the terminal
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Starts on loopback, with a temporary data directory unless one is named: the server, an application with three
endpoints (one healthy, one that fails 30 % of its requests, one that is down), and an emitter. Retries come after
500ms, 1s and 2s here, so that you can watch them. Without a terminal it prints a line each second and ends by itself.

Examples:
  hookfast demo
  hookfast demo --rate 200 --seconds 30
  hookfast demo --data-dir ./demo-data    (kill -9 it, start it again: nothing is missing)")]
pub(crate) struct Args {
    /// Events per second
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// End after so many seconds, with a summary [default: only when told; 10 without a terminal]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Address and port of the API [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0", hide_default_value = true)]
    listen: std::net::SocketAddr,
    /// Waits between tries
    #[arg(long, value_name = "DURATION,…", value_delimiter = ',', default_value = "500ms,1s,2s", value_parser = parse_duration)]
    retry: Vec<u64>,
    /// Print lines even if there is a terminal
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs `hookfast demo`.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let live = !args.plain && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let temporary = match args.config.data_dir {
        Some(_) => None,
        // The process's umask makes it a directory for its owner only.
        None => Some(tempfile::Builder::new().prefix("hookfast-demo-").tempdir()?),
    };
    let mut config_args = args.config.clone();
    if let Some(dir) = &temporary {
        config_args.data_dir = Some(dir.path().to_owned());
    }
    let config = demo_config(&args, &config_args)?;
    let dir = &config.server.data_dir;
    if live {
        // The screen is taken: what would be logged to it goes to a file.
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        logging::start_in(&dir.join("demo.log"), config.log.level)?;
    } else {
        logging::start("warn", LogFormat::Human);
    }
    let runtimes = Runtimes::start(config.server.threads)?;
    let outcome = runtimes.block_on(show(&args, &config, &runtimes, live));
    runtimes.end();
    outcome
}

fn demo_config(args: &Args, config_args: &ConfigArgs) -> anyhow::Result<Config> {
    let delays: Vec<String> = args.retry.iter().map(|ms| format!("{ms}ms")).collect();
    let flags = [
        ("server.listen", args.listen.to_string(), "--listen"),
        ("retry.delays", delays.join(","), "--retry"),
        // The one that is down is to be watched failing, not to be spared.
        ("delivery.breaker_gap_ms_max", "5ms".to_owned(), "demo"),
    ];
    config::load(config_args, &flags).map_err(|faults| config_failure(&faults))
}

/// Everything that runs while the demo is shown.
struct Demo {
    stats: Arc<Stats>,
    world: World,
    api: Api,
    scene: Scene,
    throttle: Throttle,
    since: jiff::Timestamp,
}

async fn show(args: &Args, config: &Config, runtimes: &Runtimes, live: bool) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch()?;
    let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock::start());
    let stats = Arc::new(Stats::new(Arc::clone(&clock)));
    let server = Server::start(config, runtimes.delivery(), Arc::clone(&clock), Some(Arc::clone(&stats) as _)).await?;
    let api = Api::over_control_socket(control_socket_path(&config.server.data_dir));
    let world = World::set_up(&api).await?;
    for endpoint in &world.endpoints {
        stats.watch(*endpoint);
    }
    let emitter_config = EmitterConfig {
        app: world.app,
        route: Route::Match,
        pace: Pace::PerSecond(args.rate),
        count: None,
        name: fastrand::u128(..).to_be_bytes().to_vec(),
        in_flight_max: 256,
        invoices: 16,
        stages: Vec::new(),
        type_prefix: "invoice.".into(),
        origin: Origin::of("emitter:demo"),
    };
    let emitter = Emitter::new(emitter_config, server.intake().context("the demo has no store")?, Arc::clone(&clock))
        .map_err(|error| Failure::new(Exit::Usage, format!("--rate: {error}")))?;
    let since = jiff::Timestamp::from_millisecond(clock.wall().0)?;
    let scene = scene(args, config, &server, &world, since)?;
    let mut demo = Demo { throttle: emitter.throttle(), stats, world, api, scene, since };
    let stop = CancellationToken::new();
    demo.stats.begin();
    let emitting = tokio::spawn(emitter.run(stop.clone()));
    let seconds = args.seconds.or_else(|| (!live).then_some(UNATTENDED_SECONDS));
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let outcome = if live { demo.live(&mut signals, end).await } else { demo.plain(&mut signals, end).await };
    signals.exit_at_the_next();
    stop.cancel();
    let emitted = emitting.await.context("the emitter was lost")?;
    let last = demo.stats.snapshot();
    demo.scene.receivers = demo.world.shown();
    server.stop().await;
    demo.world.stop().await;
    outcome?;
    emitted?;
    let mut out = std::io::stdout().lock();
    write!(out, "{}", view::summary(&last, &demo.scene))?;
    if args.config.data_dir.is_some() {
        let Scene { exe, data_dir, .. } = &demo.scene;
        writeln!(out, "kept in {data_dir}; `{exe} demo --data-dir {data_dir}` goes on")?;
    }
    let all_is_well = last.accepted.0 > 0 && last.rows.first().is_some_and(|healthy| healthy.delivered > 0);
    Ok(if all_is_well { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

fn scene(
    args: &Args,
    config: &Config,
    server: &Server,
    world: &World,
    since: jiff::Timestamp,
) -> anyhow::Result<Scene> {
    let dir = std::path::absolute(&config.server.data_dir)?;
    let (exe, dir) = (quoted(&invocation()), quoted(&dir));
    let socket = quoted(&control_socket_path(&std::path::absolute(&config.server.data_dir)?));
    let api = "http://localhost/api/v1";
    Ok(Scene {
        api: format!("http://{}", server.addr()),
        receivers: world.shown(),
        commands: vec![
            (
                "Send an event and follow it to its end:",
                format!(
                    "{exe} send --data-dir {dir} --app {APP} --type invoice.paid --data '{{\"amount\": 12}}' --wait"
                ),
            ),
            (
                "Replay what was given up for `down`:",
                format!(
                    "curl -s --unix-socket {socket} {api}/app/{APP}/endpoint/down/recover -d '{{\"since\": \"{since:.0}\"}}'"
                ),
            ),
            ("Look at the counters:", format!("curl -s --unix-socket {socket} http://localhost/metrics")),
            (
                "Lose nothing: kill it in the middle, start it again on the same data:",
                format!("kill -9 {}; {exe} demo --data-dir {dir}", std::process::id()),
            ),
        ],
        data_dir: dir,
        rate: args.rate,
        is_paused: false,
        is_about_commands: false,
        exe,
        is_healed: false,
        said: String::new(),
    })
}

/// How this binary is called from any directory.
fn invocation() -> PathBuf {
    let Ok(exe) = std::env::current_exe() else { return "hookfast".into() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("hookfast")).find(|path| path.is_file());
    let is_same = found.and_then(|found| found.canonicalize().ok()).is_some_and(|found| found == exe);
    if is_same { "hookfast".into() } else { exe }
}

/// As a shell takes it as one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
    if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Sleeps until the end, or for ever.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

impl Demo {
    /// The live view, until a key, a signal or the time ends it.
    async fn live(&mut self, signals: &mut Signals, end: Option<Instant>) -> anyhow::Result<()> {
        let (screen, mut keys): (Screen, mpsc::Receiver<Key>) = Screen::take()?;
        let mut tick = tokio::time::interval(Duration::from_millis(DRAW_EVERY_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = signals.next() => return Ok(()),
                () = until(end) => return Ok(()),
                key = keys.recv() => match key {
                    None | Some(Key::Quit) => return Ok(()),
                    Some(key) => self.key(key).await,
                },
            }
            self.scene.receivers = self.world.shown();
            self.scene.is_healed = self.world.is_healed();
            let now = self.stats.snapshot();
            screen.draw(|width, height| view::frame(&now, &self.scene, width, height))?;
        }
    }

    /// A line each second.
    async fn plain(&mut self, signals: &mut Signals, end: Option<Instant>) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        writeln!(out, "API {}   data {}", self.scene.api, self.scene.data_dir)?;
        for (what, command) in &self.scene.commands {
            writeln!(out, "# {what}\n{command}")?;
        }
        let mut tick = tokio::time::interval(Duration::from_millis(LINE_EVERY_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        tick.tick().await;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = signals.next() => return Ok(()),
                () = until(end) => return Ok(()),
            }
            writeln!(out, "{}", view::one_line(&self.stats.snapshot()))?;
        }
    }

    async fn key(&mut self, key: Key) {
        let said = match key {
            Key::Heal => self.world.toggle_down().await.map(str::to_owned),
            Key::Replay => self.replay().await,
            Key::Faster => self.set_rate(self.scene.rate * 2.0, false),
            Key::Slower => self.set_rate(self.scene.rate / 2.0, false),
            Key::Pause => self.set_rate(self.scene.rate, !self.scene.is_paused),
            Key::Commands => {
                self.scene.is_about_commands = !self.scene.is_about_commands;
                return;
            }
            Key::Redraw | Key::Quit => return,
        };
        self.scene.said = said.unwrap_or_else(|error| format!("{error:#}"));
    }

    async fn replay(&self) -> anyhow::Result<String> {
        let body = json!({ "since": self.since.to_string() });
        let path = format!("/api/v1/app/{APP}/endpoint/down/recover");
        let task = self.api.json(Method::POST, &path, Some(&body)).await?;
        Ok(format!("replaying the dead letters of `down` (task {})", task["id"].as_str().unwrap_or("?")))
    }

    fn set_rate(&mut self, rate: f64, is_paused: bool) -> anyhow::Result<String> {
        let rate = rate.clamp(RATE_RANGE.0, RATE_RANGE.1);
        // An interval of a day is as good as standing still, and the next change of pace is at once.
        self.throttle.set(if is_paused { Pace::IntervalMs(24 * 3600 * 1000) } else { Pace::PerSecond(rate) })?;
        self.scene.rate = rate;
        self.scene.is_paused = is_paused;
        Ok(if is_paused { "paused; retries go on".into() } else { format!("{rate} events per second") })
    }
}
