//! `hookfast tail`: events and attempts as they come, one on a line. Knows them only through the API, which it asks again
//! and again.

use super::listing::{cell, items};
use super::naming::{Kind, app, thing};
use super::print_line;
use super::scope::Scope;
use super::token::parse_duration;
use crate::client::{Api, segment};
use crate::signals::Signals;
use http::Method;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// Waits between two looks.
const LOOK_MS: u64 = 500;
/// Attempts may be written a moment after they were made, and so after a later one was seen.
const LOOK_BACK_MS: i64 = 5_000;
/// Ids of attempts that are remembered as shown.
const SHOWN_MAX: usize = 10_000;

/// Follow events, or the attempts to an endpoint, as they come
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Without --endpoint it shows the events of an application, with it the attempts to that endpoint, from
now on until it is interrupted. Of more than 10,000 that come at once the oldest are left out.

Examples:
  hookfast tail --app shop
  hookfast tail --endpoint billing --app shop --json")]
pub(crate) struct Args {
    /// Show the attempts to this endpoint: its id or uid, or the start of either
    #[arg(long)]
    endpoint: Option<String>,
    /// End after so long; without, when interrupted
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lasting: Option<u64>,
    /// Begin so long ago instead of now
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "0s")]
    since: u64,
    #[command(flatten)]
    scope: Scope,
}

/// Runs `hookfast tail`.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let following = async |api: &Api| {
        // Caught, so that an interrupted one leaves a shared store in order.
        let mut signals = Signals::catch()?;
        tokio::select! {
            ended = follow(api, &args) => ended,
            _ = signals.next() => Ok(()),
        }
    };
    args.scope.server.over(following).await
}

/// What is followed, and how far it was shown.
struct Tail {
    list: String,
    /// Only what came at or after is asked for.
    after: jiff::Timestamp,
    /// What was shown of that, oldest first.
    shown: std::collections::VecDeque<String>,
    keys: &'static [&'static str],
}

async fn follow(api: &Api, args: &Args) -> anyhow::Result<()> {
    let back = jiff::SignedDuration::from_millis(i64::try_from(args.since).unwrap_or(i64::MAX));
    let after = jiff::Timestamp::now().checked_sub(back).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let (list, keys): (String, &[&str]) = match &args.endpoint {
        Some(given) => {
            let named = thing(api, Kind::Endpoint, args.scope.app(), given).await?;
            let list = format!("/api/v1/app/{}/attempt/endpoint/{}", segment(&named.app), segment(&named.id));
            (list, &["timestamp", "msgId", "cause", "responseStatusCode", "responseDurationMs", "response"])
        }
        None => {
            let list = Kind::Event.list(&app(api, args.scope.app()).await?);
            (list, &["timestamp", "id", "eventType", "eventId", "channels"])
        }
    };
    let mut tail = Tail { list, after, shown: std::collections::VecDeque::new(), keys };
    let deadline = args.lasting.map(|ms| Instant::now() + Duration::from_millis(ms));
    loop {
        tail.show_new(api, args.scope.server.json).await?;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

impl Tail {
    /// Prints what came since the last look, oldest first.
    async fn show_new(&mut self, api: &Api, as_json: bool) -> anyhow::Result<()> {
        let mut new = self.new_ones(api).await?;
        new.reverse();
        for one in &new {
            if as_json {
                print_line(one)?;
            } else {
                print_line(self.keys.iter().map(|key| cell(one, key)).collect::<Vec<_>>().join("  ").trim_end())?;
            }
            self.shown.push_back(cell(one, "id"));
        }
        while self.shown.len() > SHOWN_MAX {
            self.shown.pop_front();
        }
        let newest = new.last().and_then(|one| one["timestamp"].as_str()?.parse::<jiff::Timestamp>().ok());
        let back = jiff::SignedDuration::from_millis(LOOK_BACK_MS);
        if let Some(from) = newest.and_then(|newest| newest.checked_sub(back).ok()) {
            self.after = self.after.max(from);
        }
        Ok(())
    }

    /// What was not shown yet, newest first.
    async fn new_ones(&self, api: &Api) -> anyhow::Result<Vec<Value>> {
        let mut new = Vec::new();
        let mut iterator = String::new();
        while new.len() < SHOWN_MAX {
            let after = segment(&self.after.to_string());
            let path = format!("{}?limit=250&after={after}&iterator={}", self.list, segment(&iterator));
            let answer = api.json(Method::GET, &path, None).await?;
            new.extend(items(&answer).filter(|one| !self.shown.contains(&cell(one, "id"))).cloned());
            match &answer["iterator"] {
                Value::String(next) if answer["done"] == json!(false) => next.clone_into(&mut iterator),
                _ => break,
            }
        }
        Ok(new)
    }
}
