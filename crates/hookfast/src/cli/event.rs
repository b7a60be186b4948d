//! `hookfast event`: lists and shows events, and sends one again. Knows them only through the API.

use super::listing::{Paging, cell, fetch, items, parse_time};
use super::naming::{Kind, Named, app, thing};
use super::scope::Scope;
use super::table::Table;
use super::{print_line, replaying};
use crate::client::Api;
use crate::exit::{Exit, Failure};
use http::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// List, show and replay events
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
`hookfast send` makes events; `hookfast explain` tells what became of one.

Examples:
  hookfast event list --since 1h
  hookfast event replay msg_0vUNeJg0HgVB4gWI42p3kK")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the events of an application, newest first
    #[command(after_long_help = "\
Examples:
  hookfast event list --app shop --type invoice.paid
  hookfast event list --since 2026-10-20T10:00:00Z --until 1h --all --json")]
    List(List),
    /// Show one with its payload
    #[command(after_long_help = "\
Examples:
  hookfast event show msg_0vUNeJg0HgVB4gWI42p3kK
  hookfast event show invoice-17 --app shop --json")]
    Show(One),
    /// Send one again: to each endpoint where it ended as dead, or to one that is named
    #[command(after_long_help = "\
What is still being delivered is left alone. To an endpoint that is named it is sent whatever the
endpoint's filters say.

Examples:
  hookfast event replay msg_0vUNeJg0HgVB4gWI42p3kK
  hookfast event replay invoice-17 --app shop --endpoint billing")]
    Replay {
        /// Only to this endpoint: its id or uid, or the start of either
        #[arg(long)]
        endpoint: Option<String>,
        #[command(flatten)]
        one: One,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only of these types, with commas
    #[arg(long = "type", value_name = "TYPE")]
    types: Option<String>,
    /// Only on this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only accepted at or after: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<String>,
    /// Only accepted before: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    scope: Scope,
}

/// One event.
#[derive(Debug, clap::Args)]
struct One {
    /// Its id or your own id for it, or the start of either
    event: String,
    #[command(flatten)]
    scope: Scope,
}

impl One {
    async fn find(&self, api: &Api) -> anyhow::Result<Named> {
        thing(api, Kind::Event, self.scope.app(), &self.event).await
    }
}

/// Runs `hookfast event …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::List(wanted) => wanted.scope.server.over(async |api: &Api| list(api, wanted).await).await,
        Action::Show(one) => one.scope.server.over(async |api: &Api| show(api, one).await).await,
        Action::Replay { endpoint, one } => {
            one.scope.server.over(async |api: &Api| replay(api, one, endpoint.as_deref()).await).await
        }
    }
}

async fn list(api: &Api, wanted: &List) -> anyhow::Result<()> {
    let app = app(api, wanted.scope.app()).await?;
    let query = [
        ("event_types", wanted.types.clone()),
        ("channel", wanted.channel.clone()),
        ("after", wanted.since.clone()),
        ("before", wanted.until.clone()),
        ("with_content", Some("false".to_owned())),
    ];
    let answer = fetch(api, &Kind::Event.list(&app), &query, &wanted.paging).await?;
    let mut table = Table::new(["ID", "YOUR ID", "TYPE", "CHANNELS", "ACCEPTED"]);
    for one in items(&answer) {
        table.row(["id", "eventId", "eventType", "channels", "timestamp"].map(|key| cell(one, key)));
    }
    wanted.scope.server.print(&answer, table)
}

async fn show(api: &Api, one: &One) -> anyhow::Result<()> {
    let path = one.find(api).await?.path(Kind::Event, "");
    let answer = api.json(Method::GET, &path, None).await?;
    one.scope.server.show(&answer)
}

async fn replay(api: &Api, one: &One, endpoint: Option<&str>) -> anyhow::Result<()> {
    let event = one.find(api).await?;
    let standings = api.json(Method::GET, &event.path(Kind::Event, "/endpoint?limit=250"), None).await?;
    let state = |one: &Value| cell(one, "state");
    let to: Vec<(String, Option<u64>)> = match endpoint {
        Some(given) => {
            let endpoint = thing(api, Kind::Endpoint, Some(&event.app), given).await?.id;
            let standing = items(&standings).find(|one| one["id"] == *endpoint);
            if standing.is_some_and(|one| matches!(state(one).as_str(), "pending" | "retrying")) {
                let why = format!("{} is still being delivered to {endpoint}; it is tried again by itself", event.id);
                return Err(Failure::new(Exit::Conflict, why));
            }
            vec![(endpoint, standing.and_then(|one| one["run"].as_u64()))]
        }
        None => items(&standings)
            .filter(|one| state(one) == "dead")
            .map(|one| (cell(one, "id"), one["run"].as_u64()))
            .collect(),
    };
    if to.is_empty() {
        let why = format!("nothing to replay: {} ended as dead nowhere; --endpoint names one", event.id);
        return Err(Failure::new(Exit::Failed, why));
    }
    for (endpoint, run) in &to {
        replaying::replay(api, &event, endpoint, *run).await?;
        eprintln!("replays {} to {endpoint}", event.id);
    }
    if one.scope.server.json {
        let endpoints: Vec<&String> = to.iter().map(|(endpoint, _)| endpoint).collect();
        print_line(json!({ "id": event.id, "endpoints": endpoints }))?;
    }
    Ok(())
}
