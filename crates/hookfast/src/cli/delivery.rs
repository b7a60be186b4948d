//! `hookfast delivery`: how far an event came at each of its endpoints, and what ended at an endpoint. Knows it only
//! through the API.

use super::listing::{Paging, cell, fetch, items, parse_time};
use super::naming::{Kind, thing};
use super::scope::Scope;
use super::table::Table;
use crate::client::Api;
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use std::process::ExitCode;

/// List the deliveries of an event, or of an endpoint
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast delivery list msg_0vUNeJg0HgVB4gWI42p3kK
  hookfast delivery list --endpoint billing --app shop --state dead")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the endpoints that an event goes to, with how far it came; or what ended at an endpoint
    #[command(after_long_help = "\
Of an endpoint those are listed whose latest run has ended, the newest end first. What still waits for
it, `hookfast explain ENDPOINT` tells.

Examples:
  hookfast delivery list msg_0vUNeJg0HgVB4gWI42p3kK
  hookfast delivery list invoice-17 --app shop --state dead --json
  hookfast delivery list --endpoint billing --app shop --state dead --since 1d")]
    List(List),
}

#[derive(Debug, clap::Args)]
struct List {
    /// The event: its id or your own id for it, or the start of either
    #[arg(required_unless_present = "endpoint")]
    event: Option<String>,
    /// What ended at this endpoint instead: its id or uid, or the start of either
    #[arg(long, conflicts_with = "event")]
    endpoint: Option<String>,
    /// Only those that stand so
    #[arg(long, value_parser = ["pending", "retrying", "delivered", "dead", "cancelled"])]
    state: Option<String>,
    /// With --endpoint: of events accepted at or after: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "event")]
    since: Option<String>,
    /// With --endpoint: of events accepted before: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "event")]
    until: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    scope: Scope,
}

/// Runs `hookfast delivery …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Action::List(wanted) = &args.action;
    let list = async |api: &Api| match (&wanted.event, &wanted.endpoint) {
        (Some(event), _) => of_event(api, wanted, event).await,
        (None, endpoint) => of_endpoint(api, wanted, endpoint.as_deref().unwrap_or_default()).await,
    };
    wanted.scope.server.over(list).await
}

async fn of_endpoint(api: &Api, wanted: &List, endpoint: &str) -> anyhow::Result<()> {
    let endpoint = thing(api, Kind::Endpoint, wanted.scope.app(), endpoint).await?;
    if let Some(state @ ("pending" | "retrying")) = wanted.state.as_deref() {
        let why = format!("only what ended is listed; what is {state} there: hookfast explain {}", endpoint.id);
        return Err(Failure::new(Exit::Usage, why));
    }
    let query = [("state", wanted.state.clone()), ("after", wanted.since.clone()), ("before", wanted.until.clone())];
    let answer = fetch(api, &endpoint.path(Kind::Endpoint, "/ended"), &query, &wanted.paging).await?;
    let mut table = Table::new(["EVENT", "YOUR ID", "TYPE", "STATE", "CAUSE", "TRIES", "RUN", "ENDED"]);
    for one in items(&answer) {
        let keys = ["msgId", "eventId", "eventType", "state", "cause", "tries", "run", "endedAt"];
        table.row(keys.map(|key| cell(one, key)));
    }
    wanted.scope.server.print(&answer, table)
}

async fn of_event(api: &Api, wanted: &List, event: &str) -> anyhow::Result<()> {
    let event = thing(api, Kind::Event, wanted.scope.app(), event).await?;
    let mut answer = fetch(api, &event.path(Kind::Event, "/endpoint"), &[], &wanted.paging).await?;
    if let Some(state) = &wanted.state
        && let Value::Array(mut found) = answer["data"].take()
    {
        found.retain(|one| one["state"] == **state);
        answer["data"] = json!(found);
    }
    let mut table = Table::new(["ENDPOINT", "UID", "STATE", "CAUSE", "TRIES", "RUN", "NEXT TRY", "URL"]);
    for one in items(&answer) {
        let keys = ["id", "uid", "state", "cause", "tries", "run", "nextAttempt", "url"];
        table.row(keys.map(|key| cell(one, key)));
    }
    wanted.scope.server.print(&answer, table)
}
