//! Event types.

use super::{Edit, page_of};
use crate::page::PageSql;
use crate::postgres::db::{Params, Run};
use crate::postgres::wire::Uuid;
use crate::postgres::{PostgresStore, Shared, keys};
use crate::{Error, Result, columns, edit};
use hookfast_core::model::{CallerKey, EventType};
use hookfast_core::ports::{BoxFuture, Created, EventTypePatch, EventTypes, Page, PageOf};
use hookfast_core::{Error as PortError, OrgId, UnixMs};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const COLUMNS: &str = "org, name, description, archived, deprecated, feature_flags, group_name, schemas, created_at,
    updated_at";
const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "event type" });
/// Every column but `created_at`, which stays what it was.
const REPLACE: &str = "ON CONFLICT (org, name) DO UPDATE SET description = excluded.description,
    archived = excluded.archived, deprecated = excluded.deprecated, feature_flags = excluded.feature_flags,
    group_name = excluded.group_name, schemas = excluded.schemas, updated_at = excluded.updated_at";

fn read(row: &Row) -> Result<EventType> {
    Ok(EventType {
        org: row.try_get::<_, &str>(0)?.parse().map_err(|_| Error::Damaged { what: "organisation" })?,
        name: row.try_get(1)?,
        description: row.try_get(2)?,
        archived: row.try_get(3)?,
        deprecated: row.try_get(4)?,
        feature_flags: columns::from_json(row.try_get(5)?, "feature flags")?,
        group_name: row.try_get(6)?,
        schemas: row.try_get(7)?,
        created_at: UnixMs(row.try_get(8)?),
        updated_at: UnixMs(row.try_get(9)?),
    })
}

/// One of this name, locked where `lock` says so.
async fn find(run: &impl Run, org: &OrgId, name: &str, lock: &str) -> Result<Option<EventType>> {
    let sql = format!("SELECT {COLUMNS} FROM hookfast.event_types WHERE org = $1 AND name = $2 {lock}");
    let row = run.opt(&sql, &[(&org.as_str(), Type::TEXT), (&name, Type::TEXT)]).await?;
    row.as_ref().map(read).transpose()
}

/// Writes it, and answers since when it exists. `None`: there is one that `existing` does not let go.
async fn store(run: &impl Run, kind: &EventType, existing: &str) -> Result<Option<UnixMs>> {
    let sql = format!(
        "INSERT INTO hookfast.event_types ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         {REPLACE} {existing} RETURNING created_at"
    );
    let params: Params<'_> = &[
        (&kind.org.as_str(), Type::TEXT),
        (&kind.name, Type::TEXT),
        (&kind.description, Type::TEXT),
        (&kind.archived, Type::BOOL),
        (&kind.deprecated, Type::BOOL),
        (&columns::json(&kind.feature_flags)?, Type::TEXT),
        (&kind.group_name, Type::TEXT),
        (&kind.schemas, Type::TEXT),
        (&kind.created_at.0, Type::INT8),
        (&kind.updated_at.0, Type::INT8),
    ];
    run.opt(&sql, params).await?.map(|row| Ok(UnixMs(row.try_get(0)?))).transpose()
}

async fn create(edit: &mut Edit<'_>, mut new: EventType, key: Option<CallerKey>) -> Result<Created<EventType>> {
    let (shared, tx) = (edit.shared, &edit.tx);
    if keys::made_before(shared, tx, key.as_ref()).await?.is_some()
        && let Some(value) = find(tx, &new.org, &new.name, "").await?
    {
        return Ok(Created { value, is_new: true });
    }
    new.updated_at = shared.clock.now();
    new.created_at = new.updated_at;
    let stored = store(tx, &new, "WHERE event_types.archived").await?;
    new.created_at = stored.ok_or_else(|| edit::event_type_exists(&new.name))?;
    keys::remember(shared, tx, key.as_ref(), Uuid::MIN).await?;
    Ok(Created { value: new, is_new: true })
}

async fn update(edit: &mut Edit<'_>, org: &OrgId, name: &str, patch: EventTypePatch) -> Result<EventType> {
    let mut kind = find(&edit.tx, org, name, "FOR UPDATE").await?.ok_or(NOT_FOUND)?;
    edit::change_event_type(&mut kind, patch, edit.shared.clock.now());
    store(&edit.tx, &kind, "").await?;
    Ok(kind)
}

async fn list(shared: &Shared, org: &OrgId, include_archived: bool, page: &Page<String>) -> Result<PageOf<EventType>> {
    let plan = PageSql::new(page);
    let sql = format!(
        "SELECT {COLUMNS} FROM hookfast.event_types WHERE org = $1 AND ($2 OR NOT archived)
         AND ($3 IS NULL OR name {} $3) ORDER BY name {} LIMIT $4",
        plan.compare, plan.order
    );
    let params: Params<'_> = &[
        (&org.as_str(), Type::TEXT),
        (&include_archived, Type::BOOL),
        (&page.after, Type::TEXT),
        (&plan.rows(), Type::INT8),
    ];
    let rows = shared.db.session().await?.rows(&sql, params).await?;
    page_of(&plan, &rows, read)
}

async fn delete(shared: &Shared, org: &OrgId, name: &str) -> Result<()> {
    let sql = "DELETE FROM hookfast.event_types WHERE org = $1 AND name = $2";
    let session = shared.db.session().await?;
    match session.change(sql, &[(&org.as_str(), Type::TEXT), (&name, Type::TEXT)]).await? {
        0 => Err(NOT_FOUND),
        _ => Ok(()),
    }
}

impl EventTypes for PostgresStore {
    fn create_event_type(
        &self,
        new: EventType,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Created<EventType>>> {
        self.write(move |edit| Box::pin(create(edit, new, key)))
    }

    fn event_type<'a>(&'a self, org: &'a OrgId, name: &'a str) -> BoxFuture<'a, hookfast_core::Result<EventType>> {
        Box::pin(async move {
            let session = self.shared.db.session().await?;
            Ok(find(&session, org, name, "").await?.ok_or(NOT_FOUND)?)
        })
    }

    fn event_types(
        &self,
        org: OrgId,
        include_archived: bool,
        page: Page<String>,
    ) -> BoxFuture<'_, hookfast_core::Result<PageOf<EventType>>> {
        Box::pin(async move { Ok(list(&self.shared, &org, include_archived, &page).await?) })
    }

    fn update_event_type<'a>(
        &'a self,
        org: &'a OrgId,
        name: &'a str,
        patch: EventTypePatch,
    ) -> BoxFuture<'a, hookfast_core::Result<EventType>> {
        let (org, name) = (org.clone(), name.to_owned());
        self.write(move |edit| Box::pin(async move { update(edit, &org, &name, patch).await }))
    }

    fn delete_event_type<'a>(&'a self, org: &'a OrgId, name: &'a str) -> BoxFuture<'a, hookfast_core::Result<()>> {
        Box::pin(async move { Ok(delete(&self.shared, org, name).await?) })
    }
}
