//! Whose engine paces an endpoint with a throttle: of all nodes one, the owner, is given its rows, so that the rate holds
//! over all of them. Ownership is a row of `duties`; it ends with the life of its node. Must not know what a rate is.

use super::Shared;
use super::db::{Run, Session};
use super::statement;
use crate::Result;
use hookfast_core::UnixMs;
use std::collections::HashMap;
use tokio_postgres::types::Type;

/// So long the rows of an endpoint that another node owns are not asked for again.
const ELSEWHERE_MS: u64 = 1_000;

/// May the node `$1` be given rows of the endpoint `w.endpoint`? Looked up by index for each: never turned into a join.
pub(crate) const MAY_CLAIM: &str = "(SELECT n.throttle_rate IS NULL OR EXISTS (
       SELECT FROM hookfast.duties d WHERE d.name = 'throttle:' || n.no AND d.owner = $1)
     FROM hookfast.endpoints n WHERE n.no = w.endpoint)";

/// Whose the endpoint `w.endpoint` is, as [`Standing`] reads it for the node `$3`.
pub(crate) const STANDING: &str = "(SELECT CASE WHEN n.throttle_rate IS NULL THEN 0 ELSE coalesce((
       SELECT CASE WHEN d.owner = $3 THEN 0 ELSE 1 END FROM hookfast.duties d
       JOIN hookfast.nodes o ON o.incarnation = d.owner AND o.state = 0 WHERE d.name = 'throttle:' || n.no), 2) END
     FROM hookfast.endpoints n WHERE n.no = w.endpoint)";

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

/// Endpoints by number that another node owns, and when they are to be asked for again.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    until: HashMap<i64, UnixMs>,
}

impl Elsewhere {
    /// When to ask for this endpoint again, if not now.
    pub(crate) fn until(&mut self, endpoint: i64, now: UnixMs) -> Option<UnixMs> {
        let until = *self.until.get(&endpoint)?;
        if now < until && until <= now.plus_ms(ELSEWHERE_MS) {
            return Some(until);
        }
        self.until.remove(&endpoint);
        None
    }

    /// Another node owns it.
    pub(crate) fn found(&mut self, endpoint: i64, now: UnixMs) -> UnixMs {
        let until = now.plus_ms(ELSEWHERE_MS);
        self.until.retain(|_, until| now < *until);
        self.until.insert(endpoint, until);
        until
    }
}

/// Makes this node the owner of those that nobody alive owns. Behind the fence: while it is held nobody else can take them.
pub(crate) async fn take(shared: &Shared, session: &Session, endpoints: &[i64]) -> Result<()> {
    if endpoints.is_empty() {
        return Ok(());
    }
    let sql = statement::fence()
        + " INSERT INTO hookfast.duties AS d (name, owner)
            SELECT 'throttle:' || w.endpoint, $1 FROM me, unnest($2::int8[]) AS w(endpoint) ORDER BY 1
            ON CONFLICT (name) DO UPDATE SET owner = $1 WHERE d.owner <> $1
              AND NOT EXISTS (SELECT FROM hookfast.nodes n WHERE n.incarnation = d.owner AND n.state = 0)";
    session.change(&sql, &[(&shared.incarnation, Type::INT8), (&endpoints, Type::INT8_ARRAY)]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_node_owns_is_asked_for_again_after_a_second() {
        let mut elsewhere = Elsewhere::default();
        let now = UnixMs(10_000);
        assert_eq!(elsewhere.until(1, now), None);
        assert_eq!(elsewhere.found(1, now), UnixMs(11_000));
        assert_eq!(elsewhere.until(1, UnixMs(10_999)), Some(UnixMs(11_000)));
        assert_eq!(elsewhere.until(2, UnixMs(10_999)), None);
        assert_eq!(elsewhere.until(1, UnixMs(11_000)), None);
        elsewhere.found(1, now);
        elsewhere.found(2, UnixMs(12_000));
        assert_eq!(elsewhere.until.len(), 1, "what is over is forgotten");
    }
}
