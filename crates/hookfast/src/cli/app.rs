//! `hookfast app`: lists, shows, makes and deletes applications. Knows them only through the API.

use super::listing::{Paging, cell, fetch, items};
use super::naming::{self, APPS};
use super::scope::{Server, consent};
use super::table::Table;
use crate::client::{Api, segment};
use http::Method;
use serde_json::json;
use std::process::ExitCode;

/// List, show, make and delete applications
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast app list
  hookfast app create 'The shop' --uid shop")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the applications
    #[command(after_long_help = "\
Examples:
  hookfast app list
  hookfast app list --all --json")]
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        server: Server,
    },
    /// Show one
    #[command(after_long_help = "\
Examples:
  hookfast app show shop
  hookfast app show app_0vUNeJg0HgVB4gWI42p3kK --json")]
    Show {
        /// Its id or uid, or the start of either
        app: String,
        #[command(flatten)]
        server: Server,
    },
    /// Make one and print its id
    #[command(after_long_help = "\
Examples:
  hookfast app create shop
  APP=$(hookfast app create 'The shop' --uid shop)")]
    Create {
        /// Its display name
        name: String,
        /// Your own id for it
        #[arg(long)]
        uid: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Delete one with its endpoints; what waits for them is cancelled
    #[command(after_long_help = "\
Examples:
  hookfast app delete shop
  hookfast app delete app_0vUNeJg0HgVB4gWI42p3kK --yes")]
    Delete {
        /// Its id or uid, or the start of either
        app: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        server: Server,
    },
}

/// Runs `hookfast app …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::List { paging, server } => server.over(async |api: &Api| list(api, paging, server).await).await,
        Action::Show { app, server } => {
            server
                .over(async |api: &Api| server.show(&api.json(Method::GET, &path(api, app).await?, None).await?))
                .await
        }
        Action::Create { name, uid, server } => {
            let body = json!({ "name": name, "uid": uid });
            let make = async |api: &Api| {
                let made = api.json(Method::POST, APPS, Some(&body)).await?;
                server.print(&made, cell(&made, "id"))
            };
            server.over(make).await
        }
        Action::Delete { app, yes, server } => server.over(async |api: &Api| delete(api, app, *yes).await).await,
    }
}

async fn path(api: &Api, app: &str) -> anyhow::Result<String> {
    Ok(format!("{APPS}/{}", segment(&naming::app(api, Some(app)).await?)))
}

async fn list(api: &Api, paging: &Paging, server: &Server) -> anyhow::Result<()> {
    let answer = fetch(api, APPS, &[], paging).await?;
    let mut table = Table::new(["ID", "UID", "NAME", "MADE"]);
    for one in items(&answer) {
        table.row(["id", "uid", "name", "createdAt"].map(|key| cell(one, key)));
    }
    server.print(&answer, table)
}

async fn delete(api: &Api, app: &str, yes: bool) -> anyhow::Result<()> {
    let path = path(api, app).await?;
    let found = api.json(Method::GET, &path, None).await?;
    let what = format!("{} ({})", cell(&found, "id"), cell(&found, "name"));
    consent(&format!("Delete {what} with its endpoints, and cancel what waits for them?"), yes)?;
    api.json(Method::DELETE, &path, None).await?;
    eprintln!("deleted {what}");
    Ok(())
}
