//! Work that exactly one live node does at a time, known by a name: rows of `duties`, as the background work has them. Must
//! not know what the work is.

use super::db::{Run as _, Tx};
use super::{PostgresStore, Shared, node};
use crate::{Error, Result};
use hookfast_core::Error as PortError;
use hookfast_core::ports::{BoxFuture, Exclusive, Queue as _};
use tokio_postgres::types::Type;

/// Longest name of a piece of work.
const NAME_CHARS_MAX: usize = 128;

/// Is this node the owner? It becomes the owner of what nobody alive owns. Needs the fence: while it is held this node
/// cannot be declared dead, so nobody takes the work away before the transaction ends.
pub(crate) async fn owns(tx: &Tx<'_>, shared: &Shared, name: &str) -> Result<bool> {
    let owner = tx
        .one(
            "WITH taken AS (
               INSERT INTO hookfast.duties AS d (name, owner) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET owner = $2 WHERE d.owner <> $2
                 AND NOT EXISTS (SELECT FROM hookfast.nodes n WHERE n.incarnation = d.owner AND n.state = 0)
               RETURNING 1)
             SELECT EXISTS (SELECT FROM taken)
               OR EXISTS (SELECT FROM hookfast.duties WHERE name = $1 AND owner = $2)",
            &[(&name, Type::TEXT), (&shared.incarnation, Type::INT8)],
        )
        .await?;
    Ok(owner.try_get(0)?)
}

async fn hold(shared: &Shared, name: &str) -> Result<bool> {
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(Error::Port(PortError::invalid("name", format!("expected at most {NAME_CHARS_MAX} characters"))));
    }
    let mut session = shared.db.session().await?;
    // Most askers do not become the owner: they write nothing, not even the fence.
    let live = session
        .opt(
            "SELECT d.owner FROM hookfast.duties d JOIN hookfast.nodes n ON n.incarnation = d.owner
             WHERE d.name = $1 AND n.state = 0",
            &[(&name, Type::TEXT)],
        )
        .await?;
    if let Some(row) = live {
        return Ok(row.try_get::<_, i64>(0)? == shared.incarnation);
    }
    let tx = session.begin().await?;
    node::fence(&tx, shared.incarnation).await?;
    let owns = owns(&tx, shared, name).await?;
    tx.commit().await?;
    Ok(owns)
}

async fn release(shared: &Shared, name: &str) -> Result<()> {
    let mut session = shared.db.session().await?;
    let tx = session.begin().await?;
    node::fence(&tx, shared.incarnation).await?;
    let sql = "DELETE FROM hookfast.duties WHERE name = $1 AND owner = $2";
    tx.change(sql, &[(&name, Type::TEXT), (&shared.incarnation, Type::INT8)]).await?;
    tx.commit().await
}

impl Exclusive for PostgresStore {
    fn hold<'a>(&'a self, name: &'a str) -> BoxFuture<'a, hookfast_core::Result<bool>> {
        Box::pin(async move { Ok(hold(&self.shared, name).await?) })
    }

    fn release<'a>(&'a self, name: &'a str) -> BoxFuture<'a, hookfast_core::Result<()>> {
        Box::pin(async move { Ok(release(&self.shared, name).await?) })
    }

    fn may_act(&self) -> bool {
        self.may_try()
    }
}
