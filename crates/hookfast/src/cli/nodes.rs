//! `hookfast nodes`: the nodes on a store and what each does. Knows them only through the API.

use super::print_line;
use super::table::Table;
use crate::build::COMMAND;
use crate::client::{Api, Target};
use http::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

const PATH: &str = "/api/v1/hookfast/node";

/// List the nodes on the store, and what each does
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Each start of a server is a node with a number of its own. Listed are those at work, and those that
ended within the last day: `stopped` by themselves, or `dead`, which others found silent. A duty is
done by one node at a time. Commands are nodes too while they use a shared store; those that have
ended are left out.

Examples:
  hookfast nodes --store postgres://hookfast@db.example/hookfast
  hookfast nodes --data-dir ./hookfast-data --json")]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs `hookfast nodes`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let api = args.target.connect().await?;
    let listed = nodes(&api).await;
    api.close().await;
    let nodes = listed?;
    if args.json {
        print_line(json!({ "data": nodes }))?;
    } else {
        print_line(table(&nodes))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every node but the commands that have ended, and this one, which is about to.
async fn nodes(api: &Api) -> anyhow::Result<Vec<Value>> {
    let mut answer = api.json(Method::GET, PATH, None).await?;
    let mut nodes = match answer["data"].take() {
        Value::Array(nodes) => nodes,
        _ => Vec::new(),
    };
    nodes.retain(|node| {
        let name = node["name"].as_str().unwrap_or_default();
        Some(name) != api.own_node() && !(name.starts_with(COMMAND) && node["state"] == "stopped")
    });
    Ok(nodes)
}

fn table(nodes: &[Value]) -> Table<8> {
    let mut table = Table::new(["NODE", "NAME", "VERSION", "STATE", "STARTED", "SEEN", "CLAIMED", "DUTIES"]);
    for node in nodes {
        let text = |key: &str| node[key].as_str().unwrap_or("?").to_owned();
        let duties: Vec<&str> = node["duties"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        table.row([
            node["incarnation"].to_string(),
            text("name"),
            text("version"),
            text("state"),
            text("startedAt"),
            text("seenAt"),
            node["claimed"].to_string(),
            duties.join(" "),
        ]);
    }
    table
}
