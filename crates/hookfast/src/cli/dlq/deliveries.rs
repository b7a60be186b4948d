//! Deliveries that ended as dead: a list, one of them, a replay. Knows them only through the API.

use super::{List, Replay, Show};
use crate::cli::attempt;
use crate::cli::listing::{cell, each, page_of};
use crate::cli::naming::{APPS, Kind, Named, app, thing};
use crate::cli::nodes;
use crate::cli::scope::consent;
use crate::cli::table::Table;
use crate::client::{Api, segment};
use crate::exit::{Exit, Failure};
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Waits between two looks at the task.
const LOOK_MS: u64 = 200;

/// Endpoints that are looked through.
const ENDPOINTS_MAX: usize = 100_000;

/// Lists them, endpoint by endpoint.
pub(super) async fn list(wanted: &List) -> anyhow::Result<ExitCode> {
    wanted.scope.server.over(async |api: &Api| listed(api, wanted).await).await
}

async fn listed(api: &Api, wanted: &List) -> anyhow::Result<()> {
    let mut left = endpoints(api, wanted).await?.into_iter().peekable();
    let mut from = None;
    if let Some((endpoint, iterator)) = wanted.paging.iterator().map(|from| from.split_once(':').unwrap_or((from, "")))
    {
        while left.next_if(|one| one.id != endpoint).is_some() {}
        if left.peek().is_none() {
            return Err(Failure::new(Exit::NotFound, format!("endpoint {endpoint} of the iterator is gone")));
        }
        from = Some(iterator.to_owned()).filter(|iterator| !iterator.is_empty());
    }
    let dead = dead([&wanted.since, &wanted.until], wanted.cause.as_ref());
    let mut data: Vec<Value> = Vec::new();
    while let Some(endpoint) = left.peek()
        && data.len() < wanted.paging.wanted()
    {
        let path = endpoint.path(Kind::Endpoint, "/ended");
        let mut page = page_of(api, &path, &dead, wanted.paging.wanted() - data.len(), from.as_deref()).await?;
        if let Value::Array(found) = page["data"].take() {
            data.extend(found.into_iter().map(|mut one| {
                one["endpointId"] = json!(endpoint.id);
                one
            }));
        }
        from = page["iterator"].as_str().filter(|_| page["done"] == false).map(str::to_owned);
        if from.is_none() {
            left.next();
        }
    }
    let iterator = left.peek().map(|endpoint| format!("{}:{}", endpoint.id, from.unwrap_or_default()));
    if let Some(next) = &iterator {
        eprintln!("there may be more: --all, or --iterator {next}");
    }
    let mut table = Table::new(["EVENT", "TYPE", "ENDPOINT", "CAUSE", "TRIES", "ENDED"]);
    for one in &data {
        table.row(["msgId", "eventType", "endpointId", "cause", "tries", "endedAt"].map(|key| cell(one, key)));
    }
    let answer = json!({ "data": data, "done": iterator.is_none(), "iterator": iterator });
    wanted.scope.server.print(&answer, table)
}

/// Those that are looked through.
async fn endpoints(api: &Api, wanted: &List) -> anyhow::Result<Vec<Named>> {
    if let Some(given) = &wanted.target {
        return Ok(vec![thing(api, Kind::Endpoint, wanted.scope.app(), given).await?]);
    }
    let mut apps = Vec::new();
    match wanted.scope.app() {
        Some(given) => apps.push(app(api, Some(given)).await?),
        None => each(api, APPS, &[], |one| add(&mut apps, cell(one, "id"))).await?,
    }
    let mut endpoints = Vec::new();
    for app in apps {
        let take = |one: &Value| add(&mut endpoints, Named { app: app.clone(), id: cell(one, "id") });
        each(api, &Kind::Endpoint.list(&app), &[], take).await?;
    }
    Ok(endpoints)
}

fn add<T>(all: &mut Vec<T>, one: T) -> anyhow::Result<()> {
    if all.len() >= ENDPOINTS_MAX {
        let why = format!("there are more than {ENDPOINTS_MAX} to look through: name an endpoint, or --app");
        return Err(Failure::new(Exit::Usage, why));
    }
    all.push(one);
    Ok(())
}

fn dead([since, until]: [&Option<String>; 2], cause: Option<&String>) -> [(&'static str, Option<String>); 4] {
    let state = Some("dead".to_owned());
    [("state", state), ("cause", cause.cloned()), ("after", since.clone()), ("before", until.clone())]
}

/// Shows one with its attempts and its payload.
pub(super) async fn show(wanted: &Show) -> anyhow::Result<ExitCode> {
    wanted.scope.server.over(async |api: &Api| shown(api, wanted).await).await
}

async fn shown(api: &Api, wanted: &Show) -> anyhow::Result<()> {
    let event = thing(api, Kind::Event, wanted.scope.app(), &wanted.target).await?;
    let endpoint = wanted.endpoint.as_deref().unwrap_or_default();
    let endpoint = thing(api, Kind::Endpoint, Some(&event.app), endpoint).await?.id;
    let mut delivery = Value::Null;
    let find = |one: &Value| {
        if one["id"] == *endpoint {
            delivery = one.clone();
        }
        Ok(())
    };
    each(api, &event.path(Kind::Event, "/endpoint"), &[], find).await?;
    if delivery["state"] != "dead" {
        let stand = delivery["state"].as_str().unwrap_or("not routed");
        let why = format!("{} is no dead letter of {endpoint}: it is {stand} there", event.id);
        return Err(Failure::new(Exit::NotFound, why));
    }
    let path = format!("/api/v1/app/{}/attempt/msg/{}", segment(&event.app), segment(&event.id));
    let mut attempts = Vec::new();
    let take = |one: &Value| {
        attempts.push(one.clone());
        Ok(())
    };
    each(api, &path, &[("endpoint_id", Some(endpoint))], take).await?;
    attempts.reverse();
    let event = api.json(Method::GET, &event.path(Kind::Event, ""), None).await?;
    let mut standing = Table::new(["EVENT", "TYPE", "ENDPOINT", "CAUSE", "TRIES", "RUN", "URL"]);
    let [id, of] = ["id", "eventType"].map(|key| cell(&event, key));
    let [endpoint, cause, tries, run, url] = ["id", "cause", "tries", "run", "url"].map(|key| cell(&delivery, key));
    standing.row([id, of, endpoint, cause, tries, run, url]);
    let mut tries = Table::new(attempt::HEADINGS);
    for one in &attempts {
        tries.row(attempt::row(one));
    }
    let text = format!("{standing}\n\n{tries}\n\n{}", event["payload"]);
    let answer = json!({ "delivery": delivery, "attempts": attempts, "event": event });
    wanted.scope.server.print(&answer, text)
}

/// Sends every delivery to an endpoint again that ended as dead.
pub(super) async fn replay(wanted: &Replay) -> anyhow::Result<ExitCode> {
    wanted.scope.server.over(async |api: &Api| recover(api, wanted).await).await
}

async fn recover(api: &Api, wanted: &Replay) -> anyhow::Result<()> {
    let (endpoint, since) = (wanted.target.as_deref().unwrap_or_default(), wanted.since.as_deref().unwrap_or_default());
    let named = thing(api, Kind::Endpoint, wanted.scope.app(), endpoint).await?;
    let found = api.json(Method::GET, &named.path(Kind::Endpoint, ""), None).await?;
    let what = format!("{} ({})", named.id, cell(&found, "url"));
    if wanted.dry_run {
        return counted(api, wanted, &named).await;
    }
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
    let task = match nodes::lacking(api, nodes::MAINTENANCE).await {
        None => watch(api, task).await?,
        Some(lacking) => {
            eprintln!("{lacking}: the task goes on when `hookfast serve` starts");
            task
        }
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

/// What a replay would send again, by cause.
async fn counted(api: &Api, wanted: &Replay, endpoint: &Named) -> anyhow::Result<()> {
    let mut causes: BTreeMap<String, u64> = BTreeMap::new();
    let count = |one: &Value| {
        *causes.entry(cell(one, "cause")).or_default() += 1;
        Ok(())
    };
    each(api, &endpoint.path(Kind::Endpoint, "/ended"), &dead([&wanted.since, &wanted.until], None), count).await?;
    let mut table = Table::new(["CAUSE", "DELIVERIES"]);
    for (cause, count) in &causes {
        table.row([cause.clone(), count.to_string()]);
    }
    let total: u64 = causes.values().sum();
    let answer = json!({ "dryRun": true, "endpointId": endpoint.id, "deliveries": total, "causes": causes });
    wanted.scope.server.print(&answer, format!("{table}\n\n{total} would be sent again"))
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
