//! `hookfast attempt`: lists the tries that were made. Knows them only through the API.

use super::listing::{Paging, cell, fetch, items, parse_time};
use super::naming::{Kind, thing};
use super::scope::Scope;
use super::table::Table;
use crate::client::{Api, segment};
use serde_json::Value;
use std::process::ExitCode;

/// List attempts
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast attempt list --endpoint billing --failed --since 1h
  hookfast attempt list --event msg_0vUNeJg0HgVB4gWI42p3kK")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the attempts of an event or to an endpoint, newest first
    #[command(after_long_help = "\
Examples:
  hookfast attempt list --endpoint billing --app shop --failed --since 1h
  hookfast attempt list --event msg_0vUNeJg0HgVB4gWI42p3kK --json")]
    List(List),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["event", "endpoint"]))]
struct List {
    /// Of this event: its id or your own id for it, or the start of either
    #[arg(long)]
    event: Option<String>,
    /// To this endpoint: its id or uid, or the start of either
    #[arg(long)]
    endpoint: Option<String>,
    /// Only those that failed
    #[arg(long, conflicts_with = "succeeded")]
    failed: bool,
    /// Only those that succeeded
    #[arg(long)]
    succeeded: bool,
    /// Only of events of these types, with commas
    #[arg(long = "type", value_name = "TYPE")]
    types: Option<String>,
    /// Only made at or after: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<String>,
    /// Only made before: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    scope: Scope,
}

/// Runs `hookfast attempt …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Action::List(wanted) = &args.action;
    wanted.scope.server.over(async |api: &Api| list(api, wanted).await).await
}

async fn list(api: &Api, wanted: &List) -> anyhow::Result<()> {
    let (kind, given) = match (&wanted.event, &wanted.endpoint) {
        (Some(event), _) => (Kind::Event, event.as_str()),
        (None, endpoint) => (Kind::Endpoint, endpoint.as_deref().unwrap_or_default()),
    };
    let named = thing(api, kind, wanted.scope.app(), given).await?;
    let path = format!("/api/v1/app/{}/attempt/{}/{}", segment(&named.app), kind.segment(), segment(&named.id));
    let status = if wanted.failed { Some("2") } else { wanted.succeeded.then_some("0") };
    let query = [
        ("status", status.map(str::to_owned)),
        ("event_types", wanted.types.clone()),
        ("after", wanted.since.clone()),
        ("before", wanted.until.clone()),
    ];
    let answer = fetch(api, &path, &query, &wanted.paging).await?;
    let mut table = Table::new(HEADINGS);
    for one in items(&answer) {
        table.row(row(one));
    }
    wanted.scope.server.print(&answer, table)
}

/// What stands above the cells of [`row`].
pub(super) const HEADINGS: [&str; 8] = ["MADE", "EVENT", "ENDPOINT", "TRY", "CAUSE", "STATUS", "MS", "ANSWER"];

/// An attempt as the cells of a row.
pub(super) fn row(attempt: &Value) -> [String; 8] {
    let keys =
        ["timestamp", "msgId", "endpointId", "number", "cause", "responseStatusCode", "responseDurationMs", "response"];
    let mut cells = keys.map(|key| cell(attempt, key));
    // The whole answer is in the JSON.
    cells[7] = cells[7].chars().take(60).collect();
    cells
}
