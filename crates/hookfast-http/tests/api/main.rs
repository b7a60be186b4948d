//! The routes, called in process over a small store in memory: bodies, errors, paging, access. What happens end to end
//! is tested against the real store elsewhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod applications;
mod client;
mod doubles;
mod endpoints;
mod event_types;
mod explain;
mod messages;
mod sender;
mod surroundings;
mod wild;
