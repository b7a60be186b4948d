//! Endpoints: what is configured, and their secrets.

use super::{Edit, lock_app, page_of};
use crate::page::PageSql;
use crate::postgres::changes::Change;
use crate::postgres::db::{Params, Run};
use crate::postgres::wire::Uuid;
use crate::postgres::{PostgresStore, Shared, codec, keys, ordering};
use crate::{Error, Result, Sealer, columns, edit};
use hookfast_core::model::{CallerKey, Disabled, Endpoint, OnDead, SecretText};
use hookfast_core::ports::{BoxFuture, Created, EndpointPatch, Endpoints, NewEndpoint, Page, PageOf};
use hookfast_core::{AppId, EndpointId, Error as PortError};
use std::sync::Arc;
use tokio_postgres::types::Type;

const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "endpoint" });

/// A live endpoint of the application `$1` that the filter fits, `$2` being what it asks for.
async fn one(run: &impl Run, sealer: &Sealer, filter: &str, params: Params<'_>) -> Result<Option<Endpoint>> {
    let sql = format!(
        "SELECT {} FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app
         WHERE e.deleted_at IS NULL AND a.id = $1 AND {filter}",
        codec::ENDPOINT
    );
    run.opt(&sql, params).await?.as_ref().map(|row| codec::endpoint(row, sealer)).transpose()
}

async fn by_id(run: &impl Run, sealer: &Sealer, app: AppId, id: EndpointId) -> Result<Endpoint> {
    let params: Params<'_> = &[(&Uuid::from(app), Type::UUID), (&Uuid::from(id), Type::UUID)];
    one(run, sealer, "e.id = $2", params).await?.ok_or(NOT_FOUND)
}

async fn by_uid(run: &impl Run, sealer: &Sealer, app: AppId, uid: &str) -> Result<Option<Endpoint>> {
    one(run, sealer, "e.uid = $2", &[(&Uuid::from(app), Type::UUID), (&uid, Type::TEXT)]).await
}

async fn find(shared: &Shared, app: AppId, reference: &str) -> Result<Endpoint> {
    let session = shared.db.session().await?;
    match reference.parse::<EndpointId>() {
        Ok(id) => by_id(&session, &shared.sealer, app, id).await,
        Err(_) => by_uid(&session, &shared.sealer, app, reference).await?.ok_or(NOT_FOUND),
    }
}

/// An endpoint that nobody else changes before this transaction ends.
async fn locked(edit: &Edit<'_>, app: AppId, id: EndpointId) -> Result<Endpoint> {
    lock_app(&edit.tx, app).await?.ok_or(NOT_FOUND)?;
    let params: Params<'_> = &[(&Uuid::from(app), Type::UUID), (&Uuid::from(id), Type::UUID)];
    one(&edit.tx, &edit.shared.sealer, "e.id = $2 FOR UPDATE OF e", params).await?.ok_or(NOT_FOUND)
}

/// Holds until the transaction ends if the application is locked.
async fn check_uid_free(edit: &Edit<'_>, app: AppId, uid: Option<&str>, except: Option<EndpointId>) -> Result<()> {
    let Some(uid) = uid else { return Ok(()) };
    match by_uid(&edit.tx, &edit.shared.sealer, app, uid).await? {
        Some(found) if Some(found.id) != except => Err(edit::endpoint_uid_taken(uid).into()),
        _ => Ok(()),
    }
}

async fn create(edit: &mut Edit<'_>, new: NewEndpoint, key: Option<CallerKey>) -> Result<Created<Arc<Endpoint>>> {
    let (shared, tx) = (edit.shared, &edit.tx);
    if let Some(before) = keys::made_before(shared, tx, key.as_ref()).await? {
        let value = by_id(tx, &shared.sealer, new.app, before.into()).await?;
        return Ok(Created { value: Arc::new(value), is_new: true });
    }
    let app_no = lock_app(tx, new.app).await?.ok_or(Error::Port(PortError::NotFound { what: "application" }))?;
    check_uid_free(edit, new.app, new.uid.as_deref(), None).await?;
    let sql = "SELECT a.throttle_rate, a.updated_at,
                 (SELECT count(*) FROM hookfast.endpoints WHERE app = a.no AND deleted_at IS NULL)
               FROM hookfast.applications a WHERE a.no = $1";
    let row = tx.one(sql, &[(&app_no, Type::INT8)]).await?;
    edit::check_endpoint_count(codec::narrow(row.try_get::<_, i64>(2)?)?)?;
    let now = shared.clock.now();
    let id = EndpointId::from_u128(shared.ids.next(now));
    let endpoint = edit::new_endpoint(new, id, codec::app_throttle(&row, 0)?, now);
    let signing: i16 = codec::narrow(columns::signing_code(endpoint.signing))?;
    tx.change(
        "INSERT INTO hookfast.endpoints (id, app, signing, created_at, url, description, version, metadata, headers,
         secrets, updated_at) VALUES ($1, $2, $3, $4, '', '', 1, '', '', '', 0)",
        &[(&Uuid::from(endpoint.id), Type::UUID), (&app_no, Type::INT8), (&signing, Type::INT2), (&now.0, Type::INT8)],
    )
    .await?;
    keys::remember(shared, tx, key.as_ref(), endpoint.id).await?;
    store(edit, &endpoint).await?;
    Ok(Created { value: Arc::new(endpoint), is_new: true })
}

/// Writes every field that can change, and tells who must know.
async fn store(edit: &mut Edit<'_>, endpoint: &Endpoint) -> Result<()> {
    let sealer = &edit.shared.sealer;
    let list = |value: &Option<Vec<String>>| value.as_ref().map(columns::json).transpose();
    let timeout_ms: Option<i32> = endpoint.timeout_ms.map(codec::narrow).transpose()?;
    let params: Params<'_> = &[
        (&Uuid::from(endpoint.id), Type::UUID),
        (&endpoint.uid, Type::TEXT),
        (&endpoint.url, Type::TEXT),
        (&endpoint.description, Type::TEXT),
        (&i32::from(endpoint.version), Type::INT4),
        (&endpoint.disabled.map(Disabled::as_str), Type::TEXT),
        (&list(&endpoint.event_types)?, Type::TEXT),
        (&list(&endpoint.channels)?, Type::TEXT),
        (&endpoint.throttle_rate.map(i32::from), Type::INT4),
        (&columns::json(&endpoint.metadata)?, Type::TEXT),
        (&columns::seal_headers(sealer, endpoint.id, &endpoint.headers)?, Type::BYTEA),
        (&columns::seal_secrets(sealer, endpoint.id, &endpoint.secrets)?, Type::BYTEA),
        (&columns::retry_column(endpoint.retry.as_ref())?, Type::TEXT),
        (&timeout_ms, Type::INT4),
        (&endpoint.failing_since.map(|at| at.0), Type::INT8),
        (&endpoint.updated_at.0, Type::INT8),
        (&endpoint.ordering.as_ref().and_then(|ordering| ordering.pointer.as_deref()), Type::TEXT),
        (&endpoint.ordering.as_ref().map(|ordering| ordering.on_dead.as_str()), Type::TEXT),
    ];
    let sql = "UPDATE hookfast.endpoints SET uid = $2, url = $3, description = $4, version = $5, disabled = $6,
               event_types = $7, channels = $8, throttle_rate = $9, metadata = $10, headers = $11, secrets = $12,
               retry = $13, timeout_ms = $14, failing_since = $15, updated_at = $16, ordering_pointer = $17,
               on_dead = $18 WHERE id = $1";
    edit.tx.change(sql, params).await?;
    edit.changes.push(Change::Endpoint(endpoint.app, endpoint.id));
    Ok(())
}

async fn update(edit: &mut Edit<'_>, app: AppId, id: EndpointId, patch: EndpointPatch) -> Result<Arc<Endpoint>> {
    let mut endpoint = locked(edit, app, id).await?;
    check_uid_free(edit, app, patch.uid.as_ref().and_then(Option::as_deref), Some(id)).await?;
    edit::change_endpoint(&mut endpoint, patch, edit.shared.clock.now())?;
    store(edit, &endpoint).await?;
    if endpoint.ordering.as_ref().is_none_or(|ordering| ordering.on_dead != OnDead::Block) {
        let no = number(&edit.tx, app, id).await?;
        edit.due = ordering::free_endpoint(&edit.tx, edit.shared, no).await?;
    }
    Ok(Arc::new(endpoint))
}

async fn rotate(
    edit: &mut Edit<'_>,
    (app, id): (AppId, EndpointId),
    secret: SecretText,
    grace_ms: u64,
    key: Option<CallerKey>,
) -> Result<Arc<Endpoint>> {
    let before = keys::made_before(edit.shared, &edit.tx, key.as_ref()).await?;
    let mut endpoint = locked(edit, app, id).await?;
    if before.is_some() {
        return Ok(Arc::new(endpoint));
    }
    let clock = &edit.shared.clock;
    edit::rotate_secret(&mut endpoint, secret, grace_ms, clock.wall(), clock.now())?;
    keys::remember(edit.shared, &edit.tx, key.as_ref(), id).await?;
    store(edit, &endpoint).await?;
    Ok(Arc::new(endpoint))
}

/// Deletes one endpoint: what waits for it is ended in steps by the cancel duty.
async fn delete(edit: &mut Edit<'_>, app: AppId, id: EndpointId) -> Result<()> {
    locked(edit, app, id).await?;
    let now = edit.shared.clock.now().0;
    edit.tx
        .change(
            "WITH gone AS (UPDATE hookfast.endpoints SET deleted_at = $2 WHERE id = $1 RETURNING no)
             INSERT INTO hookfast.cancels (endpoint, deleted_at) SELECT no, $2 FROM gone ON CONFLICT DO NOTHING",
            &[(&Uuid::from(id), Type::UUID), (&now, Type::INT8)],
        )
        .await?;
    edit.changes.push(Change::Endpoint(app, id));
    Ok(())
}

/// Deletes every endpoint of an application, which is locked.
pub(super) async fn delete_all(edit: &mut Edit<'_>, app: AppId, app_no: i64, now: i64) -> Result<()> {
    let rows = edit
        .tx
        .rows(
            "WITH gone AS (UPDATE hookfast.endpoints SET deleted_at = $2 WHERE app = $1 AND deleted_at IS NULL
               RETURNING no, id),
             told AS (INSERT INTO hookfast.cancels (endpoint, deleted_at) SELECT no, $2 FROM gone
               ON CONFLICT DO NOTHING)
             SELECT id FROM gone",
            &[(&app_no, Type::INT8), (&now, Type::INT8)],
        )
        .await?;
    for row in &rows {
        edit.changes.push(Change::Endpoint(app, row.try_get::<_, Uuid>(0)?.into()));
    }
    Ok(())
}

async fn list(shared: &Shared, app: AppId, page: &Page<EndpointId>) -> Result<PageOf<Arc<Endpoint>>> {
    let plan = PageSql::new(page);
    let (low, end) = plan.behind(page.after.map(Uuid::from), (Uuid::MIN, Uuid::MAX));
    let sql = format!(
        "SELECT {} FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app
         WHERE e.deleted_at IS NULL AND a.id = $1 AND e.id >= $2 AND e.id < $3 ORDER BY e.id {} LIMIT $4",
        codec::ENDPOINT,
        plan.order
    );
    let params: Params<'_> =
        &[(&Uuid::from(app), Type::UUID), (&low, Type::UUID), (&end, Type::UUID), (&plan.rows(), Type::INT8)];
    let rows = shared.db.session().await?.rows(&sql, params).await?;
    page_of(&plan, &rows, |row| Ok(Arc::new(codec::endpoint(row, &shared.sealer)?)))
}

impl Endpoints for PostgresStore {
    fn create_endpoint(
        &self,
        new: NewEndpoint,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Created<Arc<Endpoint>>>> {
        self.write(move |edit| Box::pin(create(edit, new, key)))
    }

    fn endpoint<'a>(&'a self, app: AppId, reference: &'a str) -> BoxFuture<'a, hookfast_core::Result<Arc<Endpoint>>> {
        Box::pin(async move { Ok(Arc::new(find(&self.shared, app, reference).await?)) })
    }

    fn endpoints(
        &self,
        app: AppId,
        page: Page<EndpointId>,
    ) -> BoxFuture<'_, hookfast_core::Result<PageOf<Arc<Endpoint>>>> {
        Box::pin(async move { Ok(list(&self.shared, app, &page).await?) })
    }

    fn update_endpoint(
        &self,
        app: AppId,
        id: EndpointId,
        patch: EndpointPatch,
    ) -> BoxFuture<'_, hookfast_core::Result<Arc<Endpoint>>> {
        self.write(move |edit| Box::pin(update(edit, app, id, patch)))
    }

    fn delete_endpoint(&self, app: AppId, id: EndpointId) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |edit| Box::pin(delete(edit, app, id)))
    }

    fn rotate_secret(
        &self,
        app: AppId,
        id: EndpointId,
        secret: SecretText,
        grace_ms: u64,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Arc<Endpoint>>> {
        self.write(move |edit| Box::pin(rotate(edit, (app, id), secret, grace_ms, key)))
    }
}

/// The number of a live endpoint of an application.
pub(crate) async fn number(run: &impl Run, app: AppId, id: EndpointId) -> Result<i64> {
    let sql = "SELECT e.no FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app
               WHERE e.id = $1 AND a.id = $2 AND e.deleted_at IS NULL";
    let row = run.opt(sql, &[(&Uuid::from(id), Type::UUID), (&Uuid::from(app), Type::UUID)]).await?;
    Ok(row.ok_or(NOT_FOUND)?.try_get(0)?)
}
