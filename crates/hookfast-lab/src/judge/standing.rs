//! How the server itself says its deliveries stand, asked through the API. Judges nothing.

use super::{Obligation, Pair};
use crate::client::{Client, Destination};
use crate::key::KeyHash;
use crate::{Error, EventKey, Result};
use hookfast_core::delivery::DeliveryState;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Questions under way at a time.
const QUESTIONS_MAX: usize = 16;

/// How a pair stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The endpoint's id.
    pub endpoint: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Tries so far, if the server says.
    pub tries: Option<u32>,
}

impl Standing {
    /// Reads a destination: by hookfast's own `state`, else by the status that every server of this API gives.
    #[must_use]
    pub fn of(destination: &Destination) -> Self {
        let named = |name: &str| DeliveryState::ALL.into_iter().find(|state| state.as_str() == name);
        let state = destination.state.as_deref().and_then(named).unwrap_or(match destination.status {
            0 => DeliveryState::Delivered,
            2 if destination.next_attempt.is_none() => DeliveryState::Dead,
            2 | 3 => DeliveryState::Retrying,
            4 => DeliveryState::Cancelled,
            _ => DeliveryState::Pending,
        });
        Self { endpoint: destination.id.clone(), state, tries: destination.tries }
    }
}

/// What the server said about the events it was asked about.
#[derive(Clone, Debug, Default)]
pub struct Standings(HashMap<EventKey, (String, Vec<Standing>), KeyHash>);

impl Standings {
    /// Notes what the server says of one event (nothing, when it does not know it).
    pub fn insert(&mut self, app: &str, event: EventKey, mut standings: Vec<Standing>) {
        standings.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        self.0.insert(event, (app.to_owned(), standings));
    }

    /// Was the server asked about this event?
    #[must_use]
    pub fn heard(&self, app: &str, event: EventKey) -> bool {
        self.0.get(&event).is_some_and(|(of, _)| of == app)
    }

    /// How an event stands at an endpoint: once, unless something is wrong.
    #[must_use]
    pub fn of(&self, app: &str, event: EventKey, endpoint: &str) -> &[Standing] {
        let Some((_, standings)) = self.0.get(&event).filter(|(of, _)| of == app) else { return &[] };
        let start = standings.partition_point(|standing| standing.endpoint.as_str() < endpoint);
        let length = standings[start..].iter().take_while(|standing| standing.endpoint == endpoint).count();
        &standings[start..start + length]
    }

    /// How many pairs the server named.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.values().map(|(_, standings)| standings.len() as u64).sum()
    }

    /// Nothing was heard.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is wrong with a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// The server does not know it.
    Lost,
    /// The server says delivered, and no receiver accepted it.
    FalselyDelivered,
    /// A receiver accepted it, and the quiet server does not say delivered.
    NotSettled,
    /// The server names it more than once.
    Twice,
}

/// A pair that breaks a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub pair: Pair,
    /// How.
    pub kind: ViolationKind,
}

/// Asks the server how at most `events_max` of these events stand, spread evenly over them.
///
/// # Errors
/// When a call breaks, or is refused with anything but 404.
pub async fn read_standings(
    client: &Arc<Client>,
    asked: &[(String, EventKey)],
    events_max: usize,
) -> Result<Standings> {
    let step = asked.len().div_ceil(events_max.max(1)).max(1);
    let mut waiting = asked.iter().step_by(step).cloned();
    let mut tasks = JoinSet::new();
    let mut standings = Standings::default();
    loop {
        while tasks.len() < QUESTIONS_MAX {
            let Some((app, event)) = waiting.next() else { break };
            let client = client.clone();
            tasks.spawn(async move {
                let answer = client.destinations(&app, &event.to_string()).await;
                (app, event, answer)
            });
        }
        let Some(joined) = tasks.join_next().await else { return Ok(standings) };
        let (app, event, answer) = joined.map_err(|error| Error::Process { reason: error.to_string() })?;
        match answer {
            Ok(destinations) => standings.insert(&app, event, destinations.iter().map(Standing::of).collect()),
            Err(error) if error.kind() == hookfast_core::ErrorKind::NotFound => {
                standings.insert(&app, event, Vec::new())
            }
            Err(error) => return Err(error),
        }
    }
}

impl Obligation {
    /// Its events, as [`read_standings`] takes them.
    pub fn asked(&self) -> impl Iterator<Item = (String, EventKey)> + '_ {
        self.events.iter().map(|event| (self.app.clone(), *event))
    }
}
