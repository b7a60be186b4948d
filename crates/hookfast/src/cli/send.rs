//! `hookfast send`: posts one event, and follows it to its end if asked. Knows hookfast only through the API.

use super::token::parse_duration;
use super::{nodes, print_line};
use crate::client::{Api, Target, segment};
use crate::exit::{Exit, Failure};
use bytes::Bytes;
use http::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// Waits between two looks at the destinations.
const LOOK_MS_MIN: u64 = 20;
const LOOK_MS_MAX: u64 = 1000;

/// Send one event
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Prints the id of the event. It is durable when the id is printed.

Examples:
  hookfast send --app shop --create --type invoice.paid --data '{\"amount\": 12}'
  hookfast send --app shop --type invoice.paid --data @invoice.json --id invoice-18 --wait
  echo '{\"amount\": 12}' | hookfast send --app shop --type invoice.paid --data -")]
pub(crate) struct Args {
    /// Application, by id or uid
    #[arg(long)]
    app: String,
    /// Event type, as in `invoice.paid`
    #[arg(long = "type", value_name = "TYPE")]
    event_type: String,
    /// The payload: JSON, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "{}")]
    data: String,
    /// Your own id for the event: sent twice, it is accepted once
    #[arg(long)]
    id: Option<String>,
    /// A channel to send it on; may be repeated
    #[arg(long = "channel", value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Make the application if it does not exist
    #[arg(long)]
    create: bool,
    /// Wait until every delivery has ended; exit code 1 unless all were delivered
    #[arg(long)]
    wait: bool,
    /// How long --wait waits
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    timeout: u64,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs `hookfast send`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let body = message(&args)?;
    let api = args.target.connect().await?;
    let outcome = send(&api, &args, body).await;
    api.close().await;
    outcome
}

/// The request body; the payload keeps its bytes.
fn message(args: &Args) -> anyhow::Result<Bytes> {
    let wrong = |why: String| Failure::new(Exit::Usage, format!("--data: {why}"));
    let text = match args.data.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|error| wrong(format!("{file}: {error}")))?,
        None if args.data == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
            text
        }
        None => args.data.clone(),
    };
    let payload: &RawValue =
        serde_json::from_str(text.trim()).map_err(|error| wrong(format!("expected JSON: {error}")))?;
    let mut head = json!({ "eventType": args.event_type });
    if let Some(id) = &args.id {
        head["eventId"] = json!(id);
    }
    if !args.channels.is_empty() {
        head["channels"] = json!(args.channels);
    }
    let head = head.to_string();
    Ok(Bytes::from(format!("{},\"payload\":{}}}", head.trim_end_matches('}'), payload.get())))
}

async fn send(api: &Api, args: &Args, body: Bytes) -> anyhow::Result<ExitCode> {
    // A server at a URL takes what it is sent, whoever delivers it: only who waits asks.
    let is_asked = args.wait || api.own_node().is_some();
    let lacking = if is_asked { nodes::lacking(api, nodes::ENGINE).await } else { None };
    if let Some(lacking) = lacking.as_ref().filter(|_| args.wait) {
        let why = format!("--wait: {lacking}, so nothing is delivered; start one with `hookfast serve`");
        return Err(Failure::new(Exit::Usage, why));
    }
    if args.create {
        let new = json!({ "name": args.app, "uid": args.app });
        api.json(Method::POST, "/api/v1/app?get_if_exists=true", Some(&new)).await?;
    }
    let app = segment(&args.app);
    let made = api.call(Method::POST, &format!("/api/v1/app/{app}/msg"), body).await?.json()?;
    let id = made["id"].as_str().ok_or_else(|| Failure::new(Exit::Failed, "the answer holds no id"))?.to_owned();
    if !args.json {
        print_line(&id)?;
    }
    if let Some(lacking) = lacking {
        eprintln!("kept; {lacking}: it is delivered when `hookfast serve` starts");
    }
    let ends = if args.wait { Some(follow(api, &app, &id, args.timeout).await?) } else { None };
    if args.json {
        let mut out = made;
        if let Some(ends) = &ends {
            out["destinations"] = json!(ends);
        }
        print_line(&out)?;
    }
    let all_delivered = ends.iter().flatten().all(|end| end["state"] == "delivered");
    Ok(if all_delivered { ExitCode::SUCCESS } else { Exit::Failed.into() })
}

/// Looks at the destinations until each has ended; says on standard error what changed.
async fn follow(api: &Api, app: &str, id: &str, timeout_ms: u64) -> anyhow::Result<Vec<Value>> {
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    let mut shown: HashMap<String, String> = HashMap::new();
    let mut wait_ms = LOOK_MS_MIN;
    loop {
        let answer = api.json(Method::GET, &format!("/api/v1/app/{app}/msg/{id}/endpoint?limit=250"), None).await?;
        let destinations = answer["data"].as_array().cloned().unwrap_or_default();
        for destination in &destinations {
            let endpoint = destination["id"].as_str().unwrap_or("?").to_owned();
            let line = line_of(destination);
            if shown.get(&endpoint) != Some(&line) {
                eprintln!("{endpoint}  {line}");
                shown.insert(endpoint, line);
                wait_ms = LOOK_MS_MIN;
            }
        }
        if destinations.is_empty() {
            eprintln!("no endpoint wants this event");
        }
        if destinations.iter().all(has_ended) {
            return Ok(destinations);
        }
        if Instant::now() >= deadline {
            let open = destinations.iter().filter(|destination| !has_ended(destination)).count();
            let why = format!("{open} deliveries have not ended after {}", crate::config::show_ms(timeout_ms));
            return Err(Failure::new(Exit::Failed, why));
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        wait_ms = (wait_ms * 2).min(LOOK_MS_MAX);
    }
}

fn has_ended(destination: &Value) -> bool {
    matches!(destination["state"].as_str(), Some("delivered" | "dead" | "cancelled"))
}

fn line_of(destination: &Value) -> String {
    let state = destination["state"].as_str().unwrap_or("?");
    let url = destination["url"].as_str().unwrap_or("");
    let tries = destination["tries"].as_u64().unwrap_or(0);
    let next = match destination["nextAttempt"].as_str() {
        Some(at) if state == "retrying" => format!(", next at {at}"),
        _ => String::new(),
    };
    format!("{state} after {tries} {}{next}  {url}", if tries == 1 { "try" } else { "tries" })
}
