//! The bodies of nodes.

use crate::time::Time;
use hookfast_core::ports::{Node, NodeState};
use serde::Serialize;
use utoipa::ToSchema;

/// Every node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodesOut<'a> {
    /// They, newest first.
    pub(super) data: Vec<NodeOut<'a>>,
}

/// A node: one life of one process on the store.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeOut<'a> {
    /// Its number: a new one at each start.
    incarnation: u64,
    /// What it calls itself: `server.node_name`.
    name: &'a str,
    /// The version of hookfast it runs.
    version: &'a str,
    /// How it stands.
    state: NodeStateOut,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    started_at: Time,
    /// When it last said that it is alive.
    #[schema(value_type = String, format = DateTime)]
    seen_at: Time,
    /// What it does, as `server.roles` has it: `api`, `engine`, `maintenance`, …; empty for a command. `null` when its version
    /// does not say.
    #[schema(required)]
    roles: Option<&'a [String]>,
    /// Rows of the queue that it has claimed.
    claimed: u64,
    /// The duties that it alone does now.
    duties: &'a [String],
}

/// How a node stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum NodeStateOut {
    /// At work.
    Alive,
    /// It ended by itself and gave everything back.
    Stopped,
    /// Others found it silent and took its work over.
    Dead,
}

impl<'a> NodeOut<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
        let state = match node.state {
            NodeState::Alive => NodeStateOut::Alive,
            NodeState::Stopped => NodeStateOut::Stopped,
            NodeState::Dead => NodeStateOut::Dead,
        };
        Self {
            incarnation: node.incarnation,
            name: &node.name,
            version: &node.version,
            state,
            started_at: Time(node.started_at),
            seen_at: Time(node.seen_at),
            roles: node.roles.as_deref(),
            claimed: node.claimed,
            duties: &node.duties,
        }
    }
}
