//! Sending a delivery again, once: however often a command is repeated, one run is followed by one.

use super::naming::{Kind, Named};
use crate::client::{Api, segment};
use serde_json::Value;

/// Queues the run after `run` of one delivery, which must have ended; `None`: there was none yet.
///
/// # Errors
/// Those of the API: the payload is gone, the endpoint is disabled.
pub(super) async fn replay(api: &Api, event: &Named, endpoint: &str, run: Option<u64>) -> anyhow::Result<Value> {
    let path = event.path(Kind::Event, &format!("/endpoint/{}/resend", segment(endpoint)));
    // Of the run, not of this call: who repeats the command, or another who types it too, adds nothing.
    let run = run.map_or_else(|| "none".to_owned(), |run| run.to_string());
    let key = format!("cli_replay_{}_{endpoint}_{run}", event.id);
    api.post_once(&path, &key).await
}
