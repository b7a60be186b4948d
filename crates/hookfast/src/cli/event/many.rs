//! Sending every event of a time again that fits: looked up first, then asked for, a few at a time, each under a key of
//! this replay, so that it may be cut off and gone on with and nothing is sent twice. Knows events only through the API.

use super::Many;
use crate::cli::listing::{cell, each};
use crate::cli::naming::{Kind, Named, app, thing};
use crate::cli::replaying::{self, ReplayId};
use crate::cli::scope::{Scope, consent};
use crate::cli::table::Table;
use crate::client::{Api, quoted};
use crate::exit::{Exit, Failure};
use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// Deliveries that one replay may ask for.
const DELIVERIES_MAX: usize = 1_000_000;
/// Requests under way at a time.
const LANES: usize = 8;
/// How often a request is made that the server has no room for, and the wait before the next time.
const TRIES_MAX: u32 = 30;
const PAUSE_MS: u64 = 1_000;
/// Events that a dry run names.
const SHOWN_MAX: usize = 5;
/// Kinds of refusals that are told apart.
const REASONS_MAX: usize = 20;

/// An endpoint that events are sent to again.
struct Target {
    id: String,
    url: String,
    types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    deliveries: usize,
}

impl Target {
    fn read(found: &Value, is_named: bool) -> Self {
        let list = |key: &str| {
            let listed = found[key].as_array().filter(|_| !is_named);
            listed.map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        Self {
            id: cell(found, "id"),
            url: cell(found, "url"),
            types: list("eventTypes"),
            channels: list("channels"),
            deliveries: 0,
        }
    }

    /// As routing has it; an endpoint that was named wants everything.
    fn wants(&self, event: &Value) -> bool {
        let of_type = self.types.as_ref().is_none_or(|types| types.iter().any(|one| event["eventType"] == **one));
        let has = |channel: &String| event["channels"].as_array().is_some_and(|on| on.iter().any(|one| one == channel));
        of_type && self.channels.as_ref().is_none_or(|channels| channels.iter().any(has))
    }
}

/// What a replay will ask for.
struct Plan {
    id: ReplayId,
    app: String,
    targets: Vec<Target>,
    events: usize,
    /// Event and number of its target, oldest first.
    deliveries: Vec<(Box<str>, u32)>,
    /// The same command again, which goes on with this replay.
    again: String,
}

/// Replays what fits, or only says what would be replayed.
pub(super) async fn replay(api: Api, wanted: &Many, scope: &Scope) -> anyhow::Result<()> {
    let plan = match plan(&api, wanted, scope).await {
        Ok(plan) => plan,
        Err(error) => {
            api.close().await;
            return Err(error);
        }
    };
    if wanted.dry_run || plan.deliveries.is_empty() {
        api.close().await;
        return scope.server.print(&plan.as_json(wanted.dry_run), plan.as_table());
    }
    let targets = plan.targets.iter().filter(|one| one.deliveries > 0).count();
    let question =
        format!("Send {} events again, {} deliveries to {targets} endpoints?", plan.events, plan.deliveries.len());
    if let Err(error) = consent(&question, wanted.yes) {
        api.close().await;
        return Err(error);
    }
    eprintln!("if this is cut off, go on with: {}", plan.again);
    let (id, events) = (plan.id.to_string(), plan.events);
    let (asked, refused) = ask(api, plan, scope).await?;
    let text = format!("{asked} deliveries of {events} events are sent again");
    scope.server.print(&json!({ "id": id, "events": events, "replayed": asked, "refused": refused }), text)?;
    if refused.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = refused.iter().map(|(why, count)| format!("{count}: {why}")).collect();
    Err(Failure::new(Exit::Failed, format!("not everything could be sent again: {}", reasons.join("; "))))
}

async fn plan(api: &Api, wanted: &Many, scope: &Scope) -> anyhow::Result<Plan> {
    let id = match &wanted.resume {
        Some(id) => id.clone(),
        None => ReplayId::new(),
    };
    id.must_be_remembered()?;
    let app = app(api, scope.app()).await?;
    let targets = targets(api, &app, wanted).await?;
    let since = wanted.since.clone().unwrap_or_default();
    // What comes from now on is none of this replay's.
    let until = wanted.until.clone().unwrap_or_else(|| id.began());
    let query = [
        ("event_types", wanted.types.clone()),
        ("channel", wanted.channel.clone()),
        ("after", Some(since.clone())),
        ("before", Some(until.clone())),
        ("with_content", Some("false".to_owned())),
    ];
    let again = again(wanted, scope, &app, [&since, &until], &id);
    let mut plan = Plan { id, app, targets, events: 0, deliveries: Vec::new(), again };
    let list = Kind::Event.list(&plan.app);
    each(api, &list, &query, |event| plan.add(event)).await?;
    plan.deliveries.reverse();
    Ok(plan)
}

async fn targets(api: &Api, app: &str, wanted: &Many) -> anyhow::Result<Vec<Target>> {
    if let Some(given) = &wanted.endpoint {
        let named = thing(api, Kind::Endpoint, Some(app), given).await?;
        let found = api.json(Method::GET, &named.path(Kind::Endpoint, ""), None).await?;
        if found["disabled"] == true {
            let why = format!("{} is disabled; first: hookfast endpoint enable {}", named.id, named.id);
            return Err(Failure::new(Exit::Conflict, why));
        }
        return Ok(vec![Target::read(&found, true)]);
    }
    let mut targets = Vec::new();
    let take = |found: &Value| {
        if found["disabled"] != true {
            targets.push(Target::read(found, false));
        }
        Ok(())
    };
    each(api, &Kind::Endpoint.list(app), &[], take).await?;
    Ok(targets)
}

fn again(wanted: &Many, scope: &Scope, app: &str, [since, until]: [&str; 2], id: &ReplayId) -> String {
    let mut line = format!("hookfast event replay --app {} --since {since} --until {until}", quoted(app));
    let flags = [("--type", &wanted.types), ("--channel", &wanted.channel), ("--endpoint", &wanted.endpoint)];
    for (flag, value) in flags {
        if let Some(value) = value {
            line.push_str(&format!(" {flag} {}", quoted(value)));
        }
    }
    line.push_str(&format!(" --resume {id} --yes{}", scope.server.target.flags()));
    line
}

impl Plan {
    fn add(&mut self, event: &Value) -> anyhow::Result<()> {
        let before = self.deliveries.len();
        for (number, target) in (0..).zip(&mut self.targets) {
            if target.wants(event) {
                target.deliveries += 1;
                self.deliveries.push((cell(event, "id").into(), number));
            }
        }
        self.events += usize::from(self.deliveries.len() > before);
        if self.deliveries.len() > DELIVERIES_MAX {
            let why =
                format!("these are more than {DELIVERIES_MAX} deliveries: replay a shorter time, and then the next");
            return Err(Failure::new(Exit::Usage, why));
        }
        Ok(())
    }

    fn as_json(&self, dry_run: bool) -> Value {
        let targets =
            self.targets.iter().map(|one| json!({ "id": one.id, "url": one.url, "deliveries": one.deliveries }));
        let mut first: Vec<&str> = self.deliveries.iter().map(|(event, _)| &**event).collect();
        first.dedup();
        first.truncate(SHOWN_MAX);
        json!({
            "dryRun": dry_run,
            "events": self.events,
            "deliveries": self.deliveries.len(),
            "endpoints": targets.collect::<Vec<_>>(),
            "first": first,
        })
    }

    fn as_table(&self) -> String {
        let mut table = Table::new(["ENDPOINT", "DELIVERIES", "URL"]);
        for one in &self.targets {
            table.row([one.id.clone(), one.deliveries.to_string(), one.url.clone()]);
        }
        let first = self.as_json(true)["first"].clone();
        let first = cell(&json!({ "first": first }), "first").replace(',', ", ");
        let first = if first.is_empty() { String::new() } else { format!("; the first: {first}") };
        format!("{table}\n\n{} events, {} deliveries would be sent again{first}", self.events, self.deliveries.len())
    }
}

/// What the lanes share.
struct Work {
    plan: Plan,
    next: AtomicUsize,
    asked: AtomicU64,
    refused: Mutex<BTreeMap<String, u64>>,
    bar: ProgressBar,
}

/// Asks for every delivery; answers how many were taken, and how many were refused why.
async fn ask(api: Api, plan: Plan, scope: &Scope) -> anyhow::Result<(u64, BTreeMap<String, u64>)> {
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} deliveries, {per_sec}, {eta} left")?;
    let bar = ProgressBar::new(u64::try_from(plan.deliveries.len())?).with_style(style);
    let (next, asked) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = Arc::new(Work { plan, next, asked, refused: Mutex::default(), bar });
    // A store that is opened here has one writer, whom everything waits for.
    let lanes = if api.own_node().is_some() { 1 } else { LANES };
    let mut at_work = JoinSet::new();
    for _ in 1..lanes {
        let (api, work) = (scope.server.target.connect().await?, Arc::clone(&work));
        at_work.spawn(async move { lane(&api, &work).await });
    }
    let mut outcome = lane(&api, &work).await;
    while let Some(ended) = at_work.join_next().await {
        outcome = outcome.and(ended?);
    }
    api.close().await;
    work.bar.finish_and_clear();
    outcome?;
    let refused = std::mem::take(&mut *work.refused.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((work.asked.load(Ordering::Relaxed), refused))
}

async fn lane(api: &Api, work: &Work) -> anyhow::Result<()> {
    while let Some((event, target)) = work.plan.deliveries.get(work.next.fetch_add(1, Ordering::Relaxed)) {
        let Some(target) = usize::try_from(*target).ok().and_then(|number| work.plan.targets.get(number)) else {
            continue;
        };
        let named = Named { app: work.plan.app.clone(), id: event.to_string() };
        match patiently(api, work, &named, &target.id).await {
            Ok(()) => {
                work.asked.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if matches!(Failure::exit_of(&error), Exit::Conflict | Exit::NotFound) => work.refuse(&error),
            Err(error) => {
                // The other lanes need not begin anything more.
                work.next.fetch_max(work.plan.deliveries.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        work.bar.inc(1);
    }
    Ok(())
}

/// One delivery, asked for again while the server is away or has no room.
async fn patiently(api: &Api, work: &Work, event: &Named, endpoint: &str) -> anyhow::Result<()> {
    let mut tries = 0;
    loop {
        match replaying::replay_within(api, &work.plan.id, event, endpoint).await {
            Err(error) if Failure::exit_of(&error) == Exit::Unavailable && tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
            }
            outcome => return outcome.map(|_| ()),
        }
    }
}

impl Work {
    fn refuse(&self, error: &anyhow::Error) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let why = error.to_string();
        if refused.len() < REASONS_MAX || refused.contains_key(&why) {
            *refused.entry(why).or_default() += 1;
        } else {
            *refused.entry("for other reasons".to_owned()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_wants_what_routing_would_give_it_and_a_named_one_everything() {
        let endpoint = json!({ "id": "ep_1", "url": "u", "eventTypes": ["a.b"], "channels": ["eu"] });
        let event = |of: &str, on: &[&str]| json!({ "eventType": of, "channels": on });
        let filtered = Target::read(&endpoint, false);
        assert!(filtered.wants(&event("a.b", &["us", "eu"])));
        assert!(!filtered.wants(&event("a.c", &["eu"])) && !filtered.wants(&event("a.b", &[])));
        assert!(!filtered.wants(&json!({ "eventType": "a.b", "channels": null })));
        assert!(Target::read(&endpoint, true).wants(&event("a.c", &[])));
        let open = json!({ "id": "ep_2", "url": "u", "eventTypes": null, "channels": null });
        assert!(Target::read(&open, false).wants(&event("x", &["y"])));
    }
}
