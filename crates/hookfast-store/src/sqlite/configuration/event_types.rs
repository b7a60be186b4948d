//! Event types.

use super::{made_before, remember};
use crate::page::PageSql;
use crate::sqlite::writer::JobTx;
use crate::sqlite::{SqliteStore, codec};
use crate::{Error, Result, edit};
use hookfast_core::model::{CallerKey, EventType};
use hookfast_core::ports::{BoxFuture, Created, EventTypePatch, EventTypes, Page, PageOf};
use hookfast_core::{Error as PortError, OrgId, UnixMs};
use rusqlite::{Connection, Row};

const COLUMNS: &str = "org, name, description, archived, deprecated, feature_flags, group_name, schemas, created_at,
    updated_at";
const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "event type" });

fn read(row: &Row<'_>) -> Result<EventType> {
    let org: String = row.get(0)?;
    let flags: String = row.get(5)?;
    Ok(EventType {
        org: org.parse().map_err(|_| Error::Damaged { what: "organisation" })?,
        name: row.get(1)?,
        description: row.get(2)?,
        archived: row.get(3)?,
        deprecated: row.get(4)?,
        feature_flags: codec::from_json(&flags, "feature flags")?,
        group_name: row.get(6)?,
        schemas: row.get(7)?,
        created_at: UnixMs(row.get(8)?),
        updated_at: UnixMs(row.get(9)?),
    })
}

fn find(conn: &Connection, org: &OrgId, name: &str) -> Result<Option<EventType>> {
    let sql = format!("SELECT {COLUMNS} FROM event_types WHERE org = ?1 AND name = ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((org.as_str(), name))?;
    rows.next()?.map(read).transpose()
}

fn store(conn: &Connection, kind: &EventType) -> Result<()> {
    let sql =
        format!("INSERT OR REPLACE INTO event_types ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    conn.prepare_cached(&sql)?.execute((
        kind.org.as_str(),
        &kind.name,
        &kind.description,
        kind.archived,
        kind.deprecated,
        codec::json(&kind.feature_flags)?,
        &kind.group_name,
        &kind.schemas,
        kind.created_at.0,
        kind.updated_at.0,
    ))?;
    Ok(())
}

fn create(tx: &JobTx<'_>, mut new: EventType, key: Option<&CallerKey>) -> Result<Created<EventType>> {
    let found = find(tx.conn, &new.org, &new.name)?;
    if made_before(tx, key)?.is_some()
        && let Some(value) = found
    {
        return Ok(Created { value, is_new: true });
    }
    if found.as_ref().is_some_and(|found| !found.archived) {
        return Err(edit::event_type_exists(&new.name).into());
    }
    new.updated_at = tx.shared.clock.now();
    new.created_at = found.map_or(new.updated_at, |found| found.created_at);
    store(tx.conn, &new)?;
    remember(tx, key, [0; 16])?;
    Ok(Created { value: new, is_new: true })
}

fn update(tx: &JobTx<'_>, org: &OrgId, name: &str, patch: EventTypePatch) -> Result<EventType> {
    let mut kind = find(tx.conn, org, name)?.ok_or(NOT_FOUND)?;
    edit::change_event_type(&mut kind, patch, tx.shared.clock.now());
    store(tx.conn, &kind)?;
    Ok(kind)
}

impl EventTypes for SqliteStore {
    fn create_event_type(
        &self,
        new: EventType,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Created<EventType>>> {
        self.write(move |tx| create(tx, new, key.as_ref()))
    }

    fn event_type<'a>(&'a self, org: &'a OrgId, name: &'a str) -> BoxFuture<'a, hookfast_core::Result<EventType>> {
        let (org, name) = (org.clone(), name.to_owned());
        self.readers.read(move |conn| find(conn, &org, &name)?.ok_or(NOT_FOUND))
    }

    fn event_types(
        &self,
        org: OrgId,
        include_archived: bool,
        page: Page<String>,
    ) -> BoxFuture<'_, hookfast_core::Result<PageOf<EventType>>> {
        self.readers.read(move |conn| {
            let plan = PageSql::new(&page);
            let sql = format!(
                "SELECT {COLUMNS} FROM event_types WHERE org = ?1 AND (?2 OR NOT archived)
                 AND (?3 IS NULL OR name {} ?3) ORDER BY name {} LIMIT ?4",
                plan.compare, plan.order
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query((org.as_str(), include_archived, &page.after, plan.rows()))?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push(read(row)?);
            }
            Ok(plan.page(items))
        })
    }

    fn update_event_type<'a>(
        &'a self,
        org: &'a OrgId,
        name: &'a str,
        patch: EventTypePatch,
    ) -> BoxFuture<'a, hookfast_core::Result<EventType>> {
        let (org, name) = (org.clone(), name.to_owned());
        self.write(move |tx| update(tx, &org, &name, patch))
    }

    fn delete_event_type<'a>(&'a self, org: &'a OrgId, name: &'a str) -> BoxFuture<'a, hookfast_core::Result<()>> {
        let (org, name) = (org.clone(), name.to_owned());
        self.write(move |tx| {
            let sql = "DELETE FROM event_types WHERE org = ?1 AND name = ?2";
            match tx.conn.prepare_cached(sql)?.execute((org.as_str(), &name))? {
                0 => Err(NOT_FOUND),
                _ => Ok(()),
            }
        })
    }
}
