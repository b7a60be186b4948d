//! `hookfast delivery`: how far an event came at each of its endpoints. Knows it only through the API.

use super::listing::{Paging, cell, fetch, items};
use super::naming::{Kind, thing};
use super::scope::Scope;
use super::table::Table;
use crate::client::Api;
use serde_json::{Value, json};
use std::process::ExitCode;

/// List the deliveries of an event
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast delivery list msg_0vUNeJg0HgVB4gWI42p3kK
  hookfast delivery list invoice-17 --app shop --state dead")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the endpoints that an event goes to, with how far it came
    #[command(after_long_help = "\
Examples:
  hookfast delivery list msg_0vUNeJg0HgVB4gWI42p3kK
  hookfast delivery list invoice-17 --app shop --state dead --json")]
    List(List),
}

#[derive(Debug, clap::Args)]
struct List {
    /// The event: its id or your own id for it, or the start of either
    event: String,
    /// Only those that stand so
    #[arg(long, value_parser = ["pending", "retrying", "delivered", "dead", "cancelled"])]
    state: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    scope: Scope,
}

/// Runs `hookfast delivery …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Action::List(wanted) = &args.action;
    wanted.scope.server.over(async |api: &Api| list(api, wanted).await).await
}

async fn list(api: &Api, wanted: &List) -> anyhow::Result<()> {
    let event = thing(api, Kind::Event, wanted.scope.app(), &wanted.event).await?;
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
