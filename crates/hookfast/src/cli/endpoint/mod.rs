//! `hookfast endpoint`: lists, shows, makes, changes and deletes endpoints. Knows them only through the API.

mod change;

use super::listing::{Paging, cell, fetch, items};
use super::naming::{Kind, Named, app, thing};
use super::print_line;
use super::scope::{Scope, consent};
use super::table::Table;
use crate::client::Api;
use http::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// List, show, make, change and delete endpoints
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast endpoint list --app shop
  hookfast endpoint create https://example.com/hooks --app shop
  hookfast endpoint enable ep_0vUNeJg0HgVB4gWI42p3kK")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the endpoints of an application
    #[command(after_long_help = "\
Examples:
  hookfast endpoint list
  hookfast endpoint list --app shop --limit 10 --json")]
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        scope: Scope,
    },
    /// Show how one is configured (`hookfast explain` tells how it does)
    #[command(after_long_help = "\
Examples:
  hookfast endpoint show ep_0vUNeJg0HgVB4gWI42p3kK
  hookfast endpoint show billing --app shop --json")]
    Show(One),
    /// Make one and print its id
    #[command(after_long_help = "\
Examples:
  hookfast endpoint create https://example.com/hooks --app shop
  hookfast endpoint create https://example.com/hooks --types invoice.paid,invoice.sent")]
    Create(change::Create),
    /// Change what it wants and where it is
    #[command(after_long_help = "\
Examples:
  hookfast endpoint change ep_0vUNeJg0HgVB4gWI42p3kK --to https://example.com/new
  hookfast endpoint change billing --app shop --add-type invoice.paid")]
    Change(change::Change),
    /// Let it have events again, and forget since when it failed
    #[command(after_long_help = "\
Examples:
  hookfast endpoint enable ep_0vUNeJg0HgVB4gWI42p3kK
  hookfast endpoint enable billing --app shop")]
    Enable(One),
    /// Give it nothing more until it is enabled; what waits goes on waiting
    #[command(after_long_help = "\
Examples:
  hookfast endpoint disable ep_0vUNeJg0HgVB4gWI42p3kK
  hookfast endpoint disable billing --app shop")]
    Disable(One),
    /// Delete one; what waits for it is cancelled
    #[command(after_long_help = "\
Examples:
  hookfast endpoint delete ep_0vUNeJg0HgVB4gWI42p3kK
  hookfast endpoint delete billing --app shop --yes")]
    Delete {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        one: One,
    },
    /// Print the secret it verifies with, alone on standard output
    #[command(after_long_help = "\
Examples:
  hookfast endpoint secret ep_0vUNeJg0HgVB4gWI42p3kK
  HOOKFAST_SECRET=$(hookfast endpoint secret billing --app shop --rotate)")]
    Secret {
        /// Put a new one in force; the old one signs too for a day
        #[arg(long)]
        rotate: bool,
        #[command(flatten)]
        one: One,
    },
}

/// One endpoint.
#[derive(Debug, clap::Args)]
struct One {
    /// Its id or uid, or the start of either
    endpoint: String,
    #[command(flatten)]
    scope: Scope,
}

impl One {
    async fn find(&self, api: &Api) -> anyhow::Result<Named> {
        thing(api, Kind::Endpoint, self.scope.app(), &self.endpoint).await
    }
}

/// Runs `hookfast endpoint …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::List { paging, scope } => scope.server.over(async |api: &Api| list(api, paging, scope).await).await,
        Action::Show(one) => one.scope.server.over(async |api: &Api| show(api, one).await).await,
        Action::Create(new) => new.scope.server.over(async |api: &Api| change::create(api, new).await).await,
        Action::Change(to) => to.one.scope.server.over(async |api: &Api| change::change(api, to).await).await,
        Action::Enable(one) => one.scope.server.over(async |api: &Api| switch(api, one, false).await).await,
        Action::Disable(one) => one.scope.server.over(async |api: &Api| switch(api, one, true).await).await,
        Action::Delete { yes, one } => one.scope.server.over(async |api: &Api| delete(api, one, *yes).await).await,
        Action::Secret { rotate, one } => {
            one.scope.server.over(async |api: &Api| secret(api, one, *rotate).await).await
        }
    }
}

async fn list(api: &Api, paging: &Paging, scope: &Scope) -> anyhow::Result<()> {
    let app = app(api, scope.app()).await?;
    let answer = fetch(api, &Kind::Endpoint.list(&app), &[], paging).await?;
    let mut table = Table::new(["ID", "UID", "URL", "DISABLED", "FAILING SINCE", "TYPES", "CHANNELS"]);
    for one in items(&answer) {
        let keys = ["id", "uid", "url", "disabledReason", "failingSince", "eventTypes", "channels"];
        table.row(keys.map(|key| cell(one, key)));
    }
    scope.server.print(&answer, table)
}

async fn show(api: &Api, one: &One) -> anyhow::Result<()> {
    let path = one.find(api).await?.path(Kind::Endpoint, "");
    one.scope.server.show(&api.json(Method::GET, &path, None).await?)
}

async fn switch(api: &Api, one: &One, disabled: bool) -> anyhow::Result<()> {
    let named = one.find(api).await?;
    let body = json!({ "disabled": disabled });
    let changed = api.json(Method::PATCH, &named.path(Kind::Endpoint, ""), Some(&body)).await?;
    eprintln!("{} {}", if disabled { "disabled" } else { "enabled" }, named.id);
    if one.scope.server.json { Ok(print_line(&changed)?) } else { Ok(()) }
}

async fn delete(api: &Api, one: &One, yes: bool) -> anyhow::Result<()> {
    let named = one.find(api).await?;
    let path = named.path(Kind::Endpoint, "");
    let found = api.json(Method::GET, &path, None).await?;
    let what = format!("{} ({})", named.id, cell(&found, "url"));
    consent(&format!("Delete {what}, and cancel what waits for it?"), yes)?;
    api.json(Method::DELETE, &path, None).await?;
    eprintln!("deleted {what}");
    Ok(())
}

async fn secret(api: &Api, one: &One, rotate: bool) -> anyhow::Result<()> {
    let named = one.find(api).await?;
    let answer: Value = if rotate {
        api.json(Method::POST, &named.path(Kind::Endpoint, "/secret/rotate"), Some(&json!({}))).await?
    } else {
        api.json(Method::GET, &named.path(Kind::Endpoint, "/secret"), None).await?
    };
    one.scope.server.print(&answer, cell(&answer, "key"))
}
