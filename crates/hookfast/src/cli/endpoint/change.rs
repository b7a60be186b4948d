//! `hookfast endpoint create` and `change`: from flags to bodies.

use super::One;
use crate::cli::listing::{cell, nothing_asked};
use crate::cli::naming::{Kind, app};
use crate::cli::print_line;
use crate::cli::scope::Scope;
use crate::client::Api;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

const EVENT_TYPES: &str = "/api/v1/event-type";

/// A new endpoint.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Where its deliveries go
    #[arg(value_name = "TO")]
    to: String,
    /// Your own id for it
    #[arg(long)]
    uid: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Event types it wants, with commas; without, all. Types that do not exist yet are made
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Channels it listens on, with commas; without, all
    #[arg(long, value_name = "CHANNEL", value_delimiter = ',')]
    channels: Vec<String>,
    /// Make it disabled
    #[arg(long)]
    disabled: bool,
    #[command(flatten)]
    pub(super) scope: Scope,
}

/// A changed one.
#[derive(Debug, clap::Args)]
pub(super) struct Change {
    /// Where its deliveries go: another URL
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Let it want this event type too; may be repeated. A type that does not exist yet is made
    #[arg(long = "add-type", value_name = "TYPE")]
    add_types: Vec<String>,
    /// Let it want every event type
    #[arg(long, conflicts_with = "add_types")]
    all_types: bool,
    /// Let it listen on this channel too; may be repeated
    #[arg(long = "add-channel", value_name = "CHANNEL")]
    add_channels: Vec<String>,
    /// Let it want events of every channel, and those of none
    #[arg(long, conflicts_with = "add_channels")]
    all_channels: bool,
    #[command(flatten)]
    pub(super) one: One,
}

pub(super) async fn create(api: &Api, new: &Create) -> anyhow::Result<()> {
    let app = app(api, new.scope.app()).await?;
    make_types(api, &new.types).await?;
    let mut body = json!({ "url": new.to, "uid": new.uid, "disabled": new.disabled });
    if let Some(description) = &new.description {
        body["description"] = json!(description);
    }
    for (name, wanted) in [("eventTypes", &new.types), ("channels", &new.channels)] {
        if !wanted.is_empty() {
            body[name] = json!(wanted);
        }
    }
    let made = api.json(Method::POST, &Kind::Endpoint.list(&app), Some(&body)).await?;
    new.scope.server.print(&made, cell(&made, "id"))
}

pub(super) async fn change(api: &Api, to: &Change) -> anyhow::Result<()> {
    let named = to.one.find(api).await?;
    let path = named.path(Kind::Endpoint, "");
    let found = api.json(Method::GET, &path, None).await?;
    let mut body = Map::new();
    for (name, text) in [("url", &to.to), ("description", &to.description)] {
        if let Some(text) = text {
            body.insert(name.to_owned(), json!(text));
        }
    }
    make_types(api, &to.add_types).await?;
    for (name, added, all) in
        [("eventTypes", &to.add_types, to.all_types), ("channels", &to.add_channels, to.all_channels)]
    {
        if let Some(list) = widened(&found[name], added, all) {
            body.insert(name.to_owned(), list);
        }
    }
    if body.is_empty() {
        return Err(nothing_asked("--to, --description, --add-type, --all-types, --add-channel or --all-channels"));
    }
    let changed = api.json(Method::PATCH, &path, Some(&Value::Object(body))).await?;
    eprintln!("changed {}", named.id);
    if to.one.scope.server.json { Ok(print_line(&changed)?) } else { Ok(()) }
}

/// A list with more in it, or null for everything; `None` when nothing is asked for.
fn widened(list: &Value, added: &[String], all: bool) -> Option<Value> {
    if all {
        return Some(Value::Null);
    }
    if added.is_empty() {
        return None;
    }
    // No list is everything already.
    let Value::Array(old) = list else { return Some(Value::Null) };
    let mut list = old.clone();
    for one in added {
        if !list.iter().any(|known| known == one) {
            list.push(json!(one));
        }
    }
    Some(Value::Array(list))
}

/// Makes the event types that do not exist yet: an endpoint may only name those that do.
async fn make_types(api: &Api, names: &[String]) -> anyhow::Result<()> {
    for name in names {
        let body = json!({ "name": name, "description": "" });
        let answer = api.call(Method::POST, EVENT_TYPES, Bytes::from(body.to_string())).await?;
        // It exists already; or this caller may not make any, and then the endpoint's answer says whether it exists.
        if !matches!(answer.status, StatusCode::CONFLICT | StatusCode::FORBIDDEN) {
            answer.json()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_only_grow_and_no_list_is_everything() {
        let added = ["b".to_owned()];
        assert_eq!(widened(&json!(["a"]), &added, false), Some(json!(["a", "b"])));
        assert_eq!(widened(&json!(["b"]), &added, false), Some(json!(["b"])));
        assert_eq!(widened(&Value::Null, &added, false), Some(Value::Null));
        assert_eq!(widened(&json!(["a"]), &[], true), Some(Value::Null));
        assert_eq!(widened(&json!(["a"]), &[], false), None);
    }
}
