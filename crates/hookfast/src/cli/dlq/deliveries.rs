//! Replaying deliveries that ended as dead. Knows them only through the API.

use super::Replay;
use crate::cli::listing::cell;
use crate::cli::naming::{Kind, thing};
use crate::cli::scope::consent;
use crate::client::{Api, segment};
use crate::exit::{Exit, Failure};
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Waits between two looks at the task.
const LOOK_MS: u64 = 200;

/// Sends every delivery to an endpoint again that ended as dead.
pub(super) async fn replay(wanted: &Replay) -> anyhow::Result<ExitCode> {
    wanted.scope.server.over(async |api: &Api| recover(api, wanted).await).await
}

async fn recover(api: &Api, wanted: &Replay) -> anyhow::Result<()> {
    let (endpoint, since) = (wanted.target.as_deref().unwrap_or_default(), wanted.since.as_deref().unwrap_or_default());
    let named = thing(api, Kind::Endpoint, wanted.scope.app(), endpoint).await?;
    let found = api.json(Method::GET, &named.path(Kind::Endpoint, ""), None).await?;
    let what = format!("{} ({})", named.id, cell(&found, "url"));
    if found["disabled"] == true {
        let why = format!("{what} is disabled; first: hookfast endpoint enable {}", named.id);
        return Err(Failure::new(Exit::Conflict, why));
    }
    let until = wanted.until.as_deref().unwrap_or("now");
    consent(&format!("Send everything again that ended as dead for {what} from {since} to {until}?"), wanted.yes)?;
    let mut body = json!({ "since": since });
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
