//! `hookfast token`: makes, lists and revokes access tokens. Knows them only through the API.

use super::print_line;
use super::table::Table;
use crate::client::{Api, Target, segment};
use crate::config::duration_ms;
use crate::exit::{Exit, Failure};
use http::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

const PATH: &str = "/api/v1/hookfast/token";

/// Make, list and revoke access tokens
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast token create --data-dir ./hookfast-data
  hookfast token create --name ci --app shop --expires-in 30d
  hookfast token revoke tok_0vUNeJg0HgVB4gWI42p3kK")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a token and print it, alone on standard output; it is shown this once
    #[command(after_long_help = "\
Examples:
  TOKEN=$(hookfast token create --data-dir ./hookfast-data)
  TOKEN=$(hookfast token create --store postgres://hookfast@db.example/hookfast)
  hookfast token create --name ci --app shop --expires-in 30d")]
    Create(Create),
    /// List the tokens there are, without the tokens themselves
    #[command(after_long_help = "\
Examples:
  hookfast token list --data-dir ./hookfast-data
  hookfast token list --json")]
    List(List),
    /// End a token, at once
    #[command(after_long_help = "\
Examples:
  hookfast token revoke tok_0vUNeJg0HgVB4gWI42p3kK
  hookfast token revoke --data-dir ./hookfast-data tok_0vUNeJg0HgVB4gWI42p3kK")]
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// What to call it in lists
    #[arg(long, default_value = "cli")]
    name: String,
    /// Let it see this application only (id or uid); without it, everything
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// How long it works, as in `30d` or `12h`; without it, until revoked
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires_in: Option<u64>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    /// Its id, as `token list` shows it
    id: String,
    #[command(flatten)]
    target: Target,
}

/// A duration on the command line.
pub(super) fn parse_duration(text: &str) -> Result<u64, String> {
    duration_ms(text).ok_or_else(|| "expected a duration such as 250ms, 5s, 5m, 2h, 30d".into())
}

/// Runs `hookfast token …`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let target = match &args.action {
        Action::Create(create) => &create.target,
        Action::List(list) => &list.target,
        Action::Revoke(revoke) => &revoke.target,
    };
    let api = target.connect().await?;
    let outcome = match &args.action {
        Action::Create(create) => make(&api, create).await,
        Action::List(wanted) => list(&api, wanted.json).await,
        Action::Revoke(revoke) => end(&api, &revoke.id).await,
    };
    api.close().await;
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn make(api: &Api, create: &Create) -> anyhow::Result<()> {
    let mut body = json!({ "name": create.name });
    if let Some(app) = &create.app {
        body["appId"] = json!(app);
    }
    if let Some(ms) = create.expires_in {
        let at = i64::try_from(ms)
            .ok()
            .and_then(|ms| jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_millis(ms)).ok());
        let at = at.ok_or_else(|| Failure::new(Exit::Usage, "--expires-in is too long"))?;
        body["expiresAt"] = json!(at.to_string());
    }
    let made = api.json(Method::POST, PATH, Some(&body)).await?;
    if create.json {
        print_line(&made)?;
    } else {
        let token = made["token"].as_str().ok_or_else(|| Failure::new(Exit::Failed, "the answer holds no token"))?;
        print_line(token)?;
    }
    Ok(())
}

async fn list(api: &Api, as_json: bool) -> anyhow::Result<()> {
    let answer = api.json(Method::GET, PATH, None).await?;
    if as_json {
        return Ok(print_line(&answer)?);
    }
    let mut table = Table::new(["ID", "NAME", "SEES", "MADE", "EXPIRES"]);
    for token in answer["data"].as_array().into_iter().flatten() {
        let text = |key: &str, none: &str| token[key].as_str().unwrap_or(none).to_owned();
        table.row([
            text("id", "?"),
            text("name", ""),
            text("appId", "everything"),
            text("createdAt", "?"),
            text("expiresAt", "never"),
        ]);
    }
    Ok(print_line(table)?)
}

async fn end(api: &Api, id: &str) -> anyhow::Result<()> {
    let answer: Value = api.json(Method::DELETE, &format!("{PATH}/{}", segment(id)), None).await?;
    drop(answer);
    eprintln!("revoked {id}");
    Ok(())
}
