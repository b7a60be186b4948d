//! `hookfast dlq`: sends again what ended as dead. Knows it only through the API.

use super::listing::{cell, parse_time};
use super::naming::{Kind, thing};
use super::scope::{Scope, consent};
use crate::client::{Api, segment};
use crate::exit::{Exit, Failure};
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Waits between two looks at the task.
const LOOK_MS: u64 = 200;

/// Replay what ended as dead: given up after its last try
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast dlq replay ep_0vUNeJg0HgVB4gWI42p3kK --since 1d
  hookfast dlq replay billing --app shop --since 2026-10-20T10:00:00Z --until 2h --yes")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Send every delivery to an endpoint again that ended as dead
    #[command(after_long_help = "\
The server does it as a task that goes on by itself, also after a restart; interrupting this command
only ends the watching. What was replayed is no longer dead, so a second replay does not send it twice.

Examples:
  hookfast dlq replay ep_0vUNeJg0HgVB4gWI42p3kK --since 1d
  hookfast dlq replay billing --app shop --since 2026-10-20T10:00:00Z --until 2h --yes")]
    Replay(Replay),
}

#[derive(Debug, clap::Args)]
struct Replay {
    /// The endpoint: its id or uid, or the start of either
    endpoint: String,
    /// Of events accepted at or after: a time, or how long ago; at most 14 days
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: String,
    /// Of events accepted before: a time, or how long ago; without, until now
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    scope: Scope,
}

/// Runs `hookfast dlq …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Action::Replay(wanted) = &args.action;
    wanted.scope.server.over(async |api: &Api| replay(api, wanted).await).await
}

async fn replay(api: &Api, wanted: &Replay) -> anyhow::Result<()> {
    let named = thing(api, Kind::Endpoint, wanted.scope.app(), &wanted.endpoint).await?;
    let found = api.json(Method::GET, &named.path(Kind::Endpoint, ""), None).await?;
    let what = format!("{} ({})", named.id, cell(&found, "url"));
    if found["disabled"] == true {
        let why = format!("{what} is disabled; first: hookfast endpoint enable {}", named.id);
        return Err(Failure::new(Exit::Conflict, why));
    }
    let until = wanted.until.as_deref().unwrap_or("now");
    consent(
        &format!("Send everything again that ended as dead for {what} from {} to {until}?", wanted.since),
        wanted.yes,
    )?;
    let mut body = json!({ "since": wanted.since });
    if let Some(until) = &wanted.until {
        body["until"] = json!(until);
    }
    let task = api.json(Method::POST, &named.path(Kind::Endpoint, "/recover"), Some(&body)).await?;
    let task = if api.delivers() {
        watch(api, task).await?
    } else {
        eprintln!("no server runs on this store: the task goes on when `hookfast serve` starts");
        task
    };
    wanted
        .scope
        .server
        .print(&task, format!("{}  {}  {} queued", cell(&task, "id"), cell(&task, "status"), queued(&task)))?;
    if task["status"] == "failed" {
        return Err(Failure::new(Exit::Failed, "the task was given up; the log of the server says why"));
    }
    Ok(())
}

fn queued(task: &Value) -> u64 {
    task["data"]["queued"].as_u64().unwrap_or(0)
}

/// Looks at a task until it has ended. How far it came is shown on a terminal only.
async fn watch(api: &Api, mut task: Value) -> anyhow::Result<Value> {
    let path = format!("/api/v1/background-task/{}", segment(&cell(&task, "id")));
    let style = ProgressStyle::with_template("{spinner} {pos} deliveries queued, {elapsed}")?;
    let bar = ProgressBar::new_spinner().with_style(style);
    while task["status"] == "running" {
        bar.set_position(queued(&task));
        bar.tick();
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        task = api.json(Method::GET, &path, None).await?;
    }
    bar.finish_and_clear();
    Ok(task)
}
