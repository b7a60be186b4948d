//! The filters that lists of messages and of attempts have in common.

use crate::api::texts::FILTER_TYPES_MAX;
use crate::extract::{Problem, QueryReader, channel, event_type_name};
use hookfast_core::UnixMs;

/// Which messages, by type, channel and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventWindow {
    pub(crate) event_types: Vec<String>,
    pub(crate) channel: Option<String>,
    pub(crate) after: UnixMs,
    pub(crate) before: UnixMs,
}

impl EventWindow {
    pub(crate) fn read(query: &mut QueryReader) -> Self {
        query.unsupported("tag", "tags are not kept, so nothing can be found by them");
        let event_types = query.list("event_types");
        if event_types.len() > FILTER_TYPES_MAX {
            let msg = format!("expected at most {FILTER_TYPES_MAX} event types, got {}", event_types.len());
            query.note("event_types", Problem::new("too_long", msg));
        }
        if let Some(problem) = event_types.iter().find_map(|name| event_type_name(name).err()) {
            query.note("event_types", problem);
        }
        let wanted = query.text("channel");
        if let Some(problem) = wanted.as_deref().and_then(|name| channel(name).err()) {
            query.note("channel", problem);
        }
        Self {
            event_types,
            channel: wanted,
            after: query.time("after").unwrap_or(UnixMs::ZERO),
            before: query.time("before").unwrap_or(UnixMs::MAX),
        }
    }
}
