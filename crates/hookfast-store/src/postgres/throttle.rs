//! Whose engine paces what has a throttle, an endpoint or a whole application: of all nodes one, the owner, is given its
//! rows, so that the rate holds over all of them. Ownership is a row of `duties`; it ends with the life of its node. Must
//! not know what a rate is.

use super::Shared;
use super::db::{Run, Session};
use super::statement;
use crate::Result;
use std::collections::BTreeSet;
use tokio_postgres::types::Type;

/// So long the rows of what another node owns are not asked for again.
pub(crate) const ELSEWHERE_MS: u64 = 1_000;

/// The duty by which a node is given the endpoint `w.endpoint`, as `o.name`: that of its application where that has a
/// throttle, else its own; null for what every node may have.
const OWNED_BY: &str = "(SELECT CASE WHEN a.throttle_rate IS NOT NULL THEN 'throttle:app:' || a.no
       WHEN n.throttle_rate IS NOT NULL THEN 'throttle:' || n.no END AS name
     FROM hookfast.endpoints n JOIN hookfast.applications a ON a.no = n.app WHERE n.no = w.endpoint) o";

/// May the node `$1` be given rows of the endpoint `w.endpoint`? Looked up by index for each: never turned into a join.
pub(crate) fn may_claim() -> String {
    format!(
        "(SELECT o.name IS NULL OR EXISTS (SELECT FROM hookfast.duties d WHERE d.name = o.name AND d.owner = $1)
          FROM {OWNED_BY})"
    )
}

/// Columns of [`owned_by`]: the duty, and whose it is, as [`Standing`] reads it for the node `$3`.
pub(crate) const STANDING: &str = "o.name, CASE WHEN o.name IS NULL THEN 0 ELSE coalesce((
       SELECT CASE WHEN d.owner = $3 THEN 0 ELSE 1 END FROM hookfast.duties d
       JOIN hookfast.nodes h ON h.incarnation = d.owner AND h.state = 0 WHERE d.name = o.name), 2) END";

/// Joins the duty of each endpoint `w.endpoint`.
pub(crate) fn owned_by() -> String {
    format!(" LEFT JOIN LATERAL {OWNED_BY} ON true")
}

/// Whose an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// This node's, or everybody's.
    Ours,
    /// A living node's.
    Elsewhere,
    /// Nobody's that is alive.
    Free,
}

impl Standing {
    pub(crate) fn from_code(code: i32) -> Self {
        match code {
            0 => Self::Ours,
            1 => Self::Elsewhere,
            _ => Self::Free,
        }
    }
}

/// Makes this node the owner of those duties that nobody alive has. Behind the fence: while it is held nobody else can
/// take them.
pub(crate) async fn take(shared: &Shared, session: &Session, duties: &BTreeSet<String>) -> Result<()> {
    if duties.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = duties.iter().map(String::as_str).collect();
    let sql = statement::fence()
        + " INSERT INTO hookfast.duties AS d (name, owner) SELECT w.name, $1 FROM me, unnest($2::text[]) AS w(name)
            ORDER BY 1 ON CONFLICT (name) DO UPDATE SET owner = $1 WHERE d.owner <> $1
              AND NOT EXISTS (SELECT FROM hookfast.nodes n WHERE n.incarnation = d.owner AND n.state = 0)";
    session.change(&sql, &[(&shared.incarnation, Type::INT8), (&names, Type::TEXT_ARRAY)]).await?;
    Ok(())
}
