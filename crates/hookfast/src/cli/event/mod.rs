//! `hookfast event`: lists and shows events; sending again, one or many, has files of its own. Knows them only through
//! the API.

mod many;
mod one;

use super::listing::{Paging, cell, fetch, items, parse_time};
use super::naming::{Kind, Named, app, thing};
use super::replaying::ReplayId;
use super::scope::Scope;
use super::table::Table;
use crate::client::Api;
use http::Method;
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
    /// Send one again, or all of a time that fit
    #[command(after_long_help = "\
One event goes to each endpoint where it ended as dead, or to the one that is named; what is still being
delivered is left alone. To an endpoint that is named it is sent whatever the endpoint's filters say.

With --since it is every event of that time, oldest first: to the endpoint that is named, else to every
endpoint that wants it now, also where it arrived before, and also to endpoints made since. --dry-run
says how many and which first. Each is asked for under a key of this replay. Cut off, the same replay
goes on with the command that it says when it begins, for a day, and nothing is sent twice.

Examples:
  hookfast event replay msg_0vUNeJg0HgVB4gWI42p3kK
  hookfast event replay invoice-17 --app shop --endpoint billing
  hookfast event replay --app shop --type invoice.paid --since 2h --dry-run
  hookfast event replay --app shop --since 2026-10-20T10:00:00Z --until 1h --to billing --yes")]
    Replay(Box<Replay>),
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

/// One event, or those that fit.
#[derive(Debug, clap::Args)]
struct Replay {
    /// Its id or your own id for it, or the start of either
    #[arg(required_unless_present = "since")]
    event: Option<String>,
    #[command(flatten)]
    many: Many,
    #[command(flatten)]
    scope: Scope,
}

/// Which events are sent again, and where to.
#[derive(Debug, clap::Args)]
struct Many {
    /// Only to this endpoint: its id or uid, or the start of either
    #[arg(long, visible_alias = "to")]
    endpoint: Option<String>,
    /// Every event accepted at or after: a time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "event")]
    since: Option<String>,
    /// Only accepted before: a time, or how long ago; without, until now
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "since", conflicts_with = "event")]
    until: Option<String>,
    /// Only of these types, with commas
    #[arg(long = "type", value_name = "TYPE", requires = "since", conflicts_with = "event")]
    types: Option<String>,
    /// Only on this channel
    #[arg(long, requires = "since", conflicts_with = "event")]
    channel: Option<String>,
    /// Only say what would be sent again
    #[arg(long, requires = "since", conflicts_with = "event")]
    dry_run: bool,
    /// Go on with a replay that was cut off
    #[arg(long, value_name = "ID", requires = "since", conflicts_with = "event")]
    resume: Option<ReplayId>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs `hookfast event …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::List(wanted) => wanted.scope.server.over(async |api: &Api| list(api, &wanted).await).await,
        Action::Show(one) => one.scope.server.over(async |api: &Api| show(api, &one).await).await,
        Action::Replay(wanted) => replay(*wanted).await,
    }
}

async fn replay(wanted: Replay) -> anyhow::Result<ExitCode> {
    let Replay { event, many, scope } = wanted;
    let Some(event) = event else {
        let api = scope.server.target.connect().await?;
        return many::replay(api, &many, &scope).await.map(|()| ExitCode::SUCCESS);
    };
    let one = One { event, scope };
    one.scope.server.over(async |api: &Api| one::replay(api, &one, many.endpoint.as_deref()).await).await
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
