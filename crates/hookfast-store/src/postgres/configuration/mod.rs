//! Configuration: applications, endpoints, event types, tokens. How a change becomes one transaction that every node hears
//! of.

mod applications;
mod endpoints;
mod event_types;
mod health;
mod tokens;

pub(crate) use endpoints::number;
pub(crate) use health::{Marks, store_marks};

use super::changes::{self, Change, News};
use super::db::{Run, Tx};
use super::wire::Uuid;
use super::{PostgresStore, Shared, missing};
use crate::page::PageSql;
use crate::{Error, Result};
use hookfast_core::ports::BoxFuture;
use hookfast_core::{AppId, Error as PortError};
use std::collections::BTreeSet;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// A transaction that changes the configuration, and what the memories of all nodes must hear of it.
pub(crate) struct Edit<'t> {
    pub(crate) shared: &'t Shared,
    pub(crate) tx: Tx<'t>,
    pub(crate) changes: Vec<Change>,
    /// Endpoints, by number, where something is due because of it.
    pub(crate) due: BTreeSet<i64>,
}

/// Runs `work` in a transaction of its own. When it fails nothing is changed; dropped while it runs, it is done whole or
/// not at all.
pub(crate) async fn change<T, W>(shared: &Shared, work: W) -> Result<T>
where
    W: for<'e, 't> FnOnce(&'e mut Edit<'t>) -> BoxFuture<'e, Result<T>> + Send,
    T: Send,
{
    // The connection goes back first: `apply` wants one too.
    let (value, changes) = committed(shared, work).await?;
    if let Err(error) = changes::apply(shared, &changes).await {
        tracing::debug!(%error, "a change was stored and is taken over with the next look at changes");
    }
    Ok(value)
}

async fn committed<T, W>(shared: &Shared, work: W) -> Result<(T, Vec<Change>)>
where
    W: for<'e, 't> FnOnce(&'e mut Edit<'t>) -> BoxFuture<'e, Result<T>> + Send,
    T: Send,
{
    let mut session = shared.db.session().await?;
    let (value, changes, due) = {
        let mut edit = Edit { shared, tx: session.begin().await?, changes: Vec::new(), due: BTreeSet::new() };
        let value = work(&mut edit).await?;
        changes::publish(shared, &edit.tx, &edit.changes).await?;
        edit.tx.commit().await?;
        (value, edit.changes, edit.due)
    };
    missing::wake(shared, &session, &due, News::Queued).await;
    Ok((value, changes))
}

impl PostgresStore {
    /// As [`change`], for a port.
    fn write<'s, T, W>(&'s self, work: W) -> BoxFuture<'s, hookfast_core::Result<T>>
    where
        W: for<'e, 't> FnOnce(&'e mut Edit<'t>) -> BoxFuture<'e, Result<T>> + Send + 's,
        T: Send + 's,
    {
        Box::pin(async move { Ok(change(&self.shared, work).await?) })
    }
}

/// Locks a live application against other changes of it and its endpoints, and answers its number. Changes lock the
/// application first and then an endpoint, so that they never wait for each other in a circle.
async fn lock_app(tx: &Tx<'_>, app: AppId) -> Result<Option<i64>> {
    let sql = "SELECT no FROM hookfast.applications WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE";
    let row = tx.opt(sql, &[(&Uuid::from(app), Type::UUID)]).await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// The number of a live application.
pub(crate) async fn app_number(run: &impl Run, app: AppId) -> Result<i64> {
    let sql = "SELECT no FROM hookfast.applications WHERE id = $1 AND deleted_at IS NULL";
    let row = run.opt(sql, &[(&Uuid::from(app), Type::UUID)]).await?;
    Ok(row.ok_or(Error::Port(PortError::NotFound { what: "application" }))?.try_get(0)?)
}

/// A page from rows that were read by its plan.
pub(crate) fn page_of<T>(
    plan: &PageSql,
    rows: &[Row],
    read: impl FnMut(&Row) -> Result<T>,
) -> Result<hookfast_core::ports::PageOf<T>> {
    Ok(plan.page(rows.iter().map(read).collect::<Result<_>>()?))
}
