//! Sending one event again. Knows it only through the API.

use super::One;
use crate::cli::listing::{cell, items};
use crate::cli::naming::{Kind, thing};
use crate::cli::{print_line, replaying};
use crate::client::Api;
use crate::exit::{Exit, Failure};
use http::Method;
use serde_json::{Value, json};

/// To each endpoint where it ended as dead, or to the one that is named.
pub(super) async fn replay(api: &Api, one: &One, endpoint: Option<&str>) -> anyhow::Result<()> {
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
