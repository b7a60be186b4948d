//! Sending a delivery again, once: however often a command is repeated, one run is followed by one, and one replay sends
//! what it covers once.

use super::naming::{Kind, Named};
use crate::client::{Api, segment};
use crate::exit::{Exit, Failure};
use hookfast_core::limits::IDEMPOTENCY_MS;
use jiff::Timestamp;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Queues the run after `run` of one delivery, which must have ended; `None`: there was none yet.
///
/// # Errors
/// Those of the API: the payload is gone, the endpoint is disabled.
pub(super) async fn replay(api: &Api, event: &Named, endpoint: &str, run: Option<u64>) -> anyhow::Result<Value> {
    // Of the run, not of this call: who repeats the command, or another who types it too, adds nothing.
    let run = run.map_or_else(|| "none".to_owned(), |run| run.to_string());
    resend(api, event, endpoint, &run).await
}

/// Queues the next run of one delivery, which counts once within a replay.
///
/// # Errors
/// As [`replay`].
pub(super) async fn replay_within(api: &Api, id: &ReplayId, event: &Named, endpoint: &str) -> anyhow::Result<Value> {
    resend(api, event, endpoint, &id.to_string()).await
}

async fn resend(api: &Api, event: &Named, endpoint: &str, once: &str) -> anyhow::Result<Value> {
    let path = event.path(Kind::Event, &format!("/endpoint/{}/resend", segment(endpoint)));
    api.post_once(&path, &format!("cli_replay_{}_{endpoint}_{once}", event.id)).await
}

/// Which replay of many events: when it began, and a random part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplayId {
    began_ms: u64,
    random: u32,
}

impl ReplayId {
    /// One that begins now.
    pub(super) fn new() -> Self {
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        Self { began_ms: now, random: fastrand::u32(..) }
    }

    /// When it began.
    pub(super) fn began(&self) -> String {
        let at = i64::try_from(self.began_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        at.unwrap_or(Timestamp::MAX).to_string()
    }

    /// A server knows only for so long what this replay has sent.
    ///
    /// # Errors
    /// When it began before that.
    pub(super) fn must_be_remembered(&self) -> anyhow::Result<()> {
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        if now.saturating_sub(self.began_ms) < IDEMPOTENCY_MS {
            return Ok(());
        }
        let hours = Duration::from_millis(IDEMPOTENCY_MS).as_secs() / 3600;
        let why =
            format!("replay {self} began more than {hours} h ago: what it sent is no longer known; begin a new one");
        Err(Failure::new(Exit::Conflict, why))
    }
}

impl fmt::Display for ReplayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:08x}", self.began_ms, self.random)
    }
}

impl FromStr for ReplayId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected the id that the replay said when it began, such as 199fd3c5a80-0c4e71b2";
        let (began, random) = text.split_once('-').ok_or(wrong)?;
        let began_ms = u64::from_str_radix(began, 16).map_err(|_| wrong)?;
        let random = u32::from_str_radix(random, 16).map_err(|_| wrong)?;
        Ok(Self { began_ms, random })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_known_by_its_id_for_a_day() {
        let id = ReplayId::new();
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert!(id.must_be_remembered().is_ok());
        let old: ReplayId = "199fd3c5a80-0c4e71b2".parse().unwrap();
        assert_eq!(old.began(), "2025-10-19T16:10:15.04Z");
        assert_eq!(Failure::exit_of(&old.must_be_remembered().unwrap_err()), Exit::Conflict);
        for wrong in ["", "199fd3c5a80", "x-1", "1-y", "1-123456789"] {
            assert!(wrong.parse::<ReplayId>().is_err(), "{wrong}");
        }
    }
}
