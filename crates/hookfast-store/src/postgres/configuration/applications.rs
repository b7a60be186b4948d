//! Applications.

use super::{Edit, endpoints, page_of};
use crate::page::PageSql;
use crate::postgres::changes::Change;
use crate::postgres::db::{Params, Run};
use crate::postgres::wire::Uuid;
use crate::postgres::{PostgresStore, Shared, codec, keys};
use crate::{Error, Result, columns, edit};
use hookfast_core::model::{Application, CallerKey};
use hookfast_core::ports::{
    ApplicationPatch, Applications, BoxFuture, Created, NewApplication, OnExisting, Page, PageOf,
};
use hookfast_core::{AppId, Error as PortError, OrgId};
use std::sync::Arc;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "application" });

async fn one(run: &impl Run, filter: &str, params: Params<'_>) -> Result<Option<Application>> {
    let sql = format!("SELECT {} FROM hookfast.applications WHERE deleted_at IS NULL AND {filter}", codec::APPLICATION);
    run.opt(&sql, params).await?.as_ref().map(codec::application).transpose()
}

async fn by_uid(run: &impl Run, org: &OrgId, uid: &str) -> Result<Option<Application>> {
    one(run, "uid = $1 AND org = $2", &[(&uid, Type::TEXT), (&org.as_str(), Type::TEXT)]).await
}

/// By id, else by uid: a uid never starts like an id.
async fn find(run: &impl Run, org: &OrgId, reference: &str) -> Result<Application> {
    let found = match reference.parse::<AppId>() {
        Ok(id) => {
            let params: Params<'_> = &[(&Uuid::from(id), Type::UUID), (&org.as_str(), Type::TEXT)];
            one(run, "id = $1 AND org = $2", params).await?
        }
        Err(_) => by_uid(run, org, reference).await?,
    };
    found.ok_or(NOT_FOUND)
}

/// By id, locked where `lock` says so.
async fn by_id(run: &impl Run, id: AppId, lock: &str) -> Result<Application> {
    one(run, &format!("id = $1 {lock}"), &[(&Uuid::from(id), Type::UUID)]).await?.ok_or(NOT_FOUND)
}

fn classes(shared: &Shared) -> edit::Classes<'_> {
    edit::Classes { all: &shared.config.retention_classes_days, default: shared.config.retention_days_default }
}

async fn create(
    edit: &mut Edit<'_>,
    new: NewApplication,
    existing: OnExisting,
    key: Option<CallerKey>,
) -> Result<Created<Arc<Application>>> {
    let (shared, tx) = (edit.shared, &edit.tx);
    if let Some(before) = keys::made_before(shared, tx, key.as_ref()).await? {
        let value = by_id(tx, before.into(), "").await?;
        return Ok(Created { value: Arc::new(value), is_new: true });
    }
    let now = shared.clock.now();
    let id = AppId::from_u128(shared.ids.next(now));
    if let Some(created) = existing_or_refused(tx, &new, existing).await? {
        return Ok(created);
    }
    let app = edit::new_application(new.clone(), id, classes(shared), now)?;
    if !insert(tx, &app).await? {
        // Another node was faster: what it made can be seen now.
        let created = existing_or_refused(tx, &new, existing).await?;
        return created.ok_or_else(|| edit::app_uid_taken(new.uid.as_deref().unwrap_or_default()).into());
    }
    keys::remember(shared, tx, key.as_ref(), id).await?;
    edit.changes.push(Change::Application(id));
    Ok(Created { value: Arc::new(app), is_new: true })
}

async fn existing_or_refused(
    run: &impl Run,
    new: &NewApplication,
    existing: OnExisting,
) -> Result<Option<Created<Arc<Application>>>> {
    let Some(uid) = &new.uid else { return Ok(None) };
    match (by_uid(run, &new.org, uid).await?, existing) {
        (None, _) => Ok(None),
        (Some(found), OnExisting::Return) => Ok(Some(Created { value: Arc::new(found), is_new: false })),
        (Some(_), OnExisting::Refuse) => Err(edit::app_uid_taken(uid).into()),
    }
}

/// `false`: its uid was taken meanwhile.
async fn insert(run: &impl Run, app: &Application) -> Result<bool> {
    let sql = "INSERT INTO hookfast.applications (id, org, uid, name, throttle_rate, metadata, retention_days,
               created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let params: Params<'_> = &[
        (&Uuid::from(app.id), Type::UUID),
        (&app.org.as_str(), Type::TEXT),
        (&app.uid, Type::TEXT),
        (&app.name, Type::TEXT),
        (&app.throttle_rate.map(i32::from), Type::INT4),
        (&columns::json(&app.metadata)?, Type::TEXT),
        (&codec::class(app.retention_days), Type::INT2),
        (&app.created_at.0, Type::INT8),
        (&app.updated_at.0, Type::INT8),
    ];
    Ok(run.change(sql, params).await? == 1)
}

fn is_duplicate(error: &Error) -> bool {
    matches!(error, Error::Postgres(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION))
}

async fn update(edit: &mut Edit<'_>, id: AppId, patch: ApplicationPatch) -> Result<Arc<Application>> {
    let tx = &edit.tx;
    let mut app = by_id(tx, id, "FOR NO KEY UPDATE").await?;
    if let Some(Some(uid)) = &patch.uid
        && by_uid(tx, &app.org, uid).await?.is_some_and(|found| found.id != id)
    {
        return Err(edit::app_uid_taken(uid).into());
    }
    edit::change_application(&mut app, patch, classes(edit.shared), edit.shared.clock.now())?;
    let sql = "UPDATE hookfast.applications SET uid = $2, name = $3, throttle_rate = $4, metadata = $5,
               retention_days = $6, updated_at = $7 WHERE id = $1";
    let params: Params<'_> = &[
        (&Uuid::from(id), Type::UUID),
        (&app.uid, Type::TEXT),
        (&app.name, Type::TEXT),
        (&app.throttle_rate.map(i32::from), Type::INT4),
        (&columns::json(&app.metadata)?, Type::TEXT),
        (&codec::class(app.retention_days), Type::INT2),
        (&app.updated_at.0, Type::INT8),
    ];
    match tx.change(sql, params).await {
        Err(error) if is_duplicate(&error) => {
            return Err(edit::app_uid_taken(app.uid.as_deref().unwrap_or_default()).into());
        }
        done => done?,
    };
    edit.changes.push(Change::Application(id));
    Ok(Arc::new(app))
}

async fn delete(edit: &mut Edit<'_>, id: AppId) -> Result<()> {
    let now = edit.shared.clock.now().0;
    let sql = "UPDATE hookfast.applications SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL RETURNING no";
    let row = edit.tx.opt(sql, &[(&Uuid::from(id), Type::UUID), (&now, Type::INT8)]).await?.ok_or(NOT_FOUND)?;
    edit.changes.push(Change::Application(id));
    endpoints::delete_all(edit, id, row.try_get(0)?, now).await
}

async fn read(shared: &Shared, org: &OrgId, reference: &str) -> Result<Arc<Application>> {
    let seen = shared.directory.changes();
    if let Some(app) = shared.directory.app(org, reference) {
        return Ok(app);
    }
    let app = Arc::new(find(&shared.db.session().await?, org, reference).await?);
    shared.directory.put_app(reference, &app, seen);
    Ok(app)
}

async fn list(shared: &Shared, org: &OrgId, page: &Page<AppId>) -> Result<PageOf<Arc<Application>>> {
    let plan = PageSql::new(page);
    let (low, end) = plan.behind(page.after.map(Uuid::from), (Uuid::MIN, Uuid::MAX));
    let sql = format!(
        "SELECT {} FROM hookfast.applications WHERE deleted_at IS NULL AND org = $1 AND id >= $2 AND id < $3
         ORDER BY id {} LIMIT $4",
        codec::APPLICATION,
        plan.order
    );
    let params: Params<'_> =
        &[(&org.as_str(), Type::TEXT), (&low, Type::UUID), (&end, Type::UUID), (&plan.rows(), Type::INT8)];
    let rows = shared.db.session().await?.rows(&sql, params).await?;
    page_of(&plan, &rows, |row| Ok(Arc::new(codec::application(row)?)))
}

impl Applications for PostgresStore {
    fn create_application(
        &self,
        new: NewApplication,
        existing: OnExisting,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Created<Arc<Application>>>> {
        self.write(move |edit| Box::pin(create(edit, new, existing, key)))
    }

    fn application<'a>(
        &'a self,
        org: &'a OrgId,
        reference: &'a str,
    ) -> BoxFuture<'a, hookfast_core::Result<Arc<Application>>> {
        Box::pin(async move { Ok(read(&self.shared, org, reference).await?) })
    }

    fn application_cached(&self, org: &OrgId, reference: &str) -> Option<Arc<Application>> {
        self.shared.directory.app(org, reference)
    }

    fn applications(
        &self,
        org: OrgId,
        page: Page<AppId>,
    ) -> BoxFuture<'_, hookfast_core::Result<PageOf<Arc<Application>>>> {
        Box::pin(async move { Ok(list(&self.shared, &org, &page).await?) })
    }

    fn update_application(
        &self,
        id: AppId,
        patch: ApplicationPatch,
    ) -> BoxFuture<'_, hookfast_core::Result<Arc<Application>>> {
        self.write(move |edit| Box::pin(update(edit, id, patch)))
    }

    fn delete_application(&self, id: AppId) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |edit| Box::pin(delete(edit, id)))
    }
}
