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
ended within the last day: `stopped` by themselves, or `dead`, which others found silent. ROLES is what
a node does (`?` when its version does not say); a duty is done by one node at a time. Commands are
nodes too, without roles, while they use a shared store; those that have ended are left out.

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

/// What it takes for a piece of work to be done by somebody.
pub(super) const ENGINE: &str = "engine";
pub(super) const MAINTENANCE: &str = "maintenance";

/// Why nobody does the work of a role on the store now, as a sentence without its end; `None` when somebody does, or when
/// that cannot be known.
pub(super) async fn lacking(api: &Api, role: &str) -> Option<String> {
    // Who may not list the nodes cannot know.
    let nodes = nodes(api).await.ok()?;
    missing(role, &nodes)
}

fn missing(role: &str, nodes: &[Value]) -> Option<String> {
    let roles = |node: &Value| node["roles"].as_array().cloned();
    // One that does not say what it does may well do this.
    let servers = || nodes.iter().filter(|node| node["state"] == "alive" && roles(node) != Some(Vec::new()));
    if servers().any(|node| roles(node).is_none_or(|roles| roles.iter().any(|has| has == role))) {
        return None;
    }
    Some(match servers().next() {
        None => "no server runs on this store".to_owned(),
        Some(_) => format!("no server on this store has the role `{role}`"),
    })
}

fn table(nodes: &[Value]) -> Table<9> {
    let mut table = Table::new(["NODE", "NAME", "VERSION", "STATE", "ROLES", "STARTED", "SEEN", "CLAIMED", "DUTIES"]);
    for node in nodes {
        let text = |key: &str| node[key].as_str().unwrap_or("?").to_owned();
        let words = |key: &str, between: &str| {
            let words: Option<Vec<&str>> =
                node[key].as_array().map(|words| words.iter().filter_map(Value::as_str).collect());
            words.map_or_else(|| "?".to_owned(), |words| words.join(between))
        };
        table.row([
            node["incarnation"].to_string(),
            text("name"),
            text("version"),
            text("state"),
            words("roles", ","),
            text("startedAt"),
            text("seenAt"),
            node["claimed"].to_string(),
            words("duties", " "),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_lacking_unless_a_live_server_has_it_or_does_not_say() {
        let node = |state: &str, roles: Value| json!({ "state": state, "roles": roles });
        let told = |nodes: &[Value]| missing(ENGINE, nodes);
        let none = Some("no server runs on this store".to_owned());
        assert_eq!(told(&[]), none);
        // A command, and one that has ended.
        assert_eq!(told(&[node("alive", json!([])), node("dead", json!(["engine"]))]), none);
        assert_eq!(
            told(&[node("alive", json!(["api", "sender"]))]),
            Some("no server on this store has the role `engine`".to_owned())
        );
        assert_eq!(told(&[node("alive", json!(["api"])), node("alive", json!(["engine"]))]), None);
        assert_eq!(told(&[node("alive", json!(null))]), None);
    }
}
