//! Applications.

use super::{made_before, remember};
use crate::page::PageSql;
use crate::sqlite::writer::JobTx;
use crate::sqlite::{SqliteStore, codec};
use crate::{Error, Result, edit};
use hookfast_core::model::{Application, CallerKey};
use hookfast_core::ports::{
    ApplicationPatch, Applications, BoxFuture, Created, NewApplication, OnExisting, Page, PageOf,
};
use hookfast_core::{AppId, Error as PortError, OrgId};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "application" });

fn one(conn: &Connection, filter: &str, params: impl rusqlite::Params) -> Result<Option<Application>> {
    let sql = format!("SELECT {} FROM applications WHERE deleted_at IS NULL AND {filter}", codec::APPLICATION);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(codec::application).transpose()
}

fn by_id(conn: &Connection, id: AppId) -> Result<Application> {
    one(conn, "id = ?1", [codec::id_bytes(id)])?.ok_or(NOT_FOUND)
}

/// By id, else by uid: a uid never starts like an id.
fn find(conn: &Connection, org: &OrgId, reference: &str) -> Result<Application> {
    let found = match reference.parse::<AppId>() {
        Ok(id) => one(conn, "id = ?1 AND org = ?2", (codec::id_bytes(id), org.as_str()))?,
        Err(_) => one(conn, "uid = ?1 AND org = ?2", (reference, org.as_str()))?,
    };
    found.ok_or(NOT_FOUND)
}

fn check_uid_free(conn: &Connection, org: &OrgId, uid: &str, except: Option<AppId>) -> Result<()> {
    match one(conn, "org = ?1 AND uid = ?2", (org.as_str(), uid))? {
        Some(found) if Some(found.id) != except => Err(edit::app_uid_taken(uid).into()),
        _ => Ok(()),
    }
}

fn classes<'a>(tx: &'a JobTx<'_>) -> edit::Classes<'a> {
    let config = &tx.shared.config;
    edit::Classes { all: &config.retention_classes_days, default: config.retention_days_default }
}

fn create(
    tx: &mut JobTx<'_>,
    new: NewApplication,
    existing: OnExisting,
    key: Option<&CallerKey>,
) -> Result<Created<Arc<Application>>> {
    if let Some(before) = made_before(tx, key)? {
        let value = by_id(tx.conn, AppId::from_u128(u128::from_be_bytes(before)))?;
        return Ok(Created { value: Arc::new(value), is_new: true });
    }
    if let Some(uid) = &new.uid
        && let Some(found) = one(tx.conn, "org = ?1 AND uid = ?2", (new.org.as_str(), uid))?
    {
        return match existing {
            OnExisting::Return => Ok(Created { value: Arc::new(found), is_new: false }),
            OnExisting::Refuse => Err(edit::app_uid_taken(uid).into()),
        };
    }
    let now = tx.shared.clock.now();
    let id = AppId::from_u128(tx.shared.ids.next(now));
    let app = edit::new_application(new, id, classes(tx), now)?;
    tx.conn
        .prepare_cached(
            "INSERT INTO applications (id, org, uid, name, throttle_rate, metadata, retention_days, created_at,
             updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            codec::id_bytes(app.id),
            app.org.as_str(),
            &app.uid,
            &app.name,
            app.throttle_rate,
            codec::json(&app.metadata)?,
            app.retention_days,
            app.created_at.0,
            app.updated_at.0,
        ))?;
    remember(tx, key, codec::id_bytes(app.id))?;
    tx.changed_apps.push(app.id);
    Ok(Created { value: Arc::new(app), is_new: true })
}

fn update(tx: &mut JobTx<'_>, id: AppId, patch: ApplicationPatch) -> Result<Arc<Application>> {
    let mut app = by_id(tx.conn, id)?;
    let rate = app.throttle_rate;
    if let Some(Some(uid)) = &patch.uid {
        check_uid_free(tx.conn, &app.org, uid, Some(id))?;
    }
    edit::change_application(&mut app, patch, classes(tx), tx.shared.clock.now())?;
    tx.conn
        .prepare_cached(
            "UPDATE applications SET uid = ?2, name = ?3, throttle_rate = ?4, metadata = ?5, retention_days = ?6,
             updated_at = ?7 WHERE id = ?1",
        )?
        .execute((
            codec::id_bytes(id),
            &app.uid,
            &app.name,
            app.throttle_rate,
            codec::json(&app.metadata)?,
            app.retention_days,
            app.updated_at.0,
        ))?;
    tx.changed_apps.push(id);
    tx.directory_changed = true;
    if app.throttle_rate != rate {
        tx.app_throttle = Some((id, app.throttle()));
    }
    Ok(Arc::new(app))
}

fn delete(tx: &mut JobTx<'_>, id: AppId) -> Result<()> {
    let now = tx.shared.clock.now().0;
    let no: Option<i64> = tx
        .conn
        .prepare_cached("UPDATE applications SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL RETURNING no")?
        .query_row((codec::id_bytes(id), now), |row| row.get(0))
        .optional()?;
    let no = no.ok_or(NOT_FOUND)?;
    super::endpoints::delete_all(tx, no, now)?;
    tx.changed_apps.push(id);
    tx.directory_changed = true;
    Ok(())
}

impl Applications for SqliteStore {
    fn create_application(
        &self,
        new: NewApplication,
        existing: OnExisting,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Created<Arc<Application>>>> {
        self.write(move |tx| create(tx, new, existing, key.as_ref()))
    }

    fn application<'a>(
        &'a self,
        org: &'a OrgId,
        reference: &'a str,
    ) -> BoxFuture<'a, hookfast_core::Result<Arc<Application>>> {
        let seen = self.shared.directory.changes();
        let (wanted_org, wanted) = (org.clone(), reference.to_owned());
        Box::pin(async move {
            if let Some(app) = self.shared.directory.app(org, reference) {
                return Ok(app);
            }
            let app = self.readers.read(move |conn| find(conn, &wanted_org, &wanted).map(Arc::new)).await?;
            self.shared.directory.put_app(reference, &app, seen);
            Ok(app)
        })
    }

    fn application_cached(&self, org: &OrgId, reference: &str) -> Option<Arc<Application>> {
        self.shared.directory.app(org, reference)
    }

    fn applications(
        &self,
        org: OrgId,
        page: Page<AppId>,
    ) -> BoxFuture<'_, hookfast_core::Result<PageOf<Arc<Application>>>> {
        self.readers.read(move |conn| {
            let plan = PageSql::new(&page);
            let sql = format!(
                "SELECT {} FROM applications WHERE deleted_at IS NULL AND org = ?1 AND (?2 IS NULL OR id {} ?2)
                 ORDER BY id {} LIMIT ?3",
                codec::APPLICATION,
                plan.compare,
                plan.order
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query((org.as_str(), page.after.map(codec::id_bytes), plan.rows()))?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push(Arc::new(codec::application(row)?));
            }
            Ok(plan.page(items))
        })
    }

    fn update_application(
        &self,
        id: AppId,
        patch: ApplicationPatch,
    ) -> BoxFuture<'_, hookfast_core::Result<Arc<Application>>> {
        self.write(move |tx| update(tx, id, patch))
    }

    fn delete_application(&self, id: AppId) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |tx| delete(tx, id))
    }
}
