//! Endpoints: what is configured, their secrets, and what is remembered of their health.

use super::{made_before, remember};
use crate::page::PageSql;
use crate::sqlite::writer::JobTx;
use crate::sqlite::{SqliteStore, codec, ordering, routes};
use crate::{Error, Result, Sealer, edit};
use hookfast_core::model::{AppThrottle, CallerKey, Disabled, Endpoint, OnDead, SecretText};
use hookfast_core::ports::{BoxFuture, Created, EndpointPatch, Endpoints, HealthMark, NewEndpoint, Page, PageOf};
use hookfast_core::{AppId, EndpointId, Error as PortError, UnixMs};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

const NOT_FOUND: Error = Error::Port(PortError::NotFound { what: "endpoint" });

fn one(conn: &Connection, sealer: &Sealer, filter: &str, params: impl rusqlite::Params) -> Result<Endpoint> {
    let sql = format!(
        "SELECT {} FROM endpoints e JOIN applications a ON a.no = e.app WHERE e.deleted_at IS NULL AND {filter}",
        codec::ENDPOINT
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(|row| codec::endpoint(row, sealer)).transpose()?.ok_or(NOT_FOUND)
}

fn by_id(conn: &Connection, sealer: &Sealer, app: AppId, id: EndpointId) -> Result<Endpoint> {
    one(conn, sealer, "e.id = ?1 AND a.id = ?2", (codec::id_bytes(id), codec::id_bytes(app)))
}

fn find(conn: &Connection, sealer: &Sealer, app: AppId, reference: &str) -> Result<Endpoint> {
    match reference.parse::<EndpointId>() {
        Ok(id) => by_id(conn, sealer, app, id),
        Err(_) => one(conn, sealer, "e.uid = ?1 AND a.id = ?2", (reference, codec::id_bytes(app))),
    }
}

fn check_uid_free(tx: &JobTx<'_>, app: AppId, uid: Option<&str>, except: Option<EndpointId>) -> Result<()> {
    let Some(uid) = uid else { return Ok(()) };
    match find(tx.conn, &tx.shared.sealer, app, uid) {
        Ok(found) if Some(found.id) != except => Err(edit::endpoint_uid_taken(uid).into()),
        Ok(_) | Err(Error::Port(PortError::NotFound { .. })) => Ok(()),
        Err(error) => Err(error),
    }
}

fn create(tx: &mut JobTx<'_>, new: NewEndpoint, key: Option<&CallerKey>) -> Result<Created<Arc<Endpoint>>> {
    if let Some(before) = made_before(tx, key)? {
        let id = EndpointId::from_u128(u128::from_be_bytes(before));
        let value = by_id(tx.conn, &tx.shared.sealer, new.app, id)?;
        return Ok(Created { value: Arc::new(value), is_new: true });
    }
    let app: Option<(i64, AppThrottle)> = tx
        .conn
        .prepare_cached("SELECT no, throttle_rate, updated_at FROM applications WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([codec::id_bytes(new.app)], |row| {
            Ok((row.get(0)?, AppThrottle { rate: row.get(1)?, as_of: UnixMs(row.get(2)?) }))
        })
        .optional()?;
    let (app_no, app_throttle) = app.ok_or(Error::Port(PortError::NotFound { what: "application" }))?;
    check_uid_free(tx, new.app, new.uid.as_deref(), None)?;
    let count: usize = tx
        .conn
        .prepare_cached("SELECT count(*) FROM endpoints WHERE app = ?1 AND deleted_at IS NULL")?
        .query_row([app_no], |row| row.get(0))?;
    edit::check_endpoint_count(count)?;
    let now = tx.shared.clock.now();
    let endpoint = edit::new_endpoint(new, EndpointId::from_u128(tx.shared.ids.next(now)), app_throttle, now);
    let sql = "INSERT INTO endpoints (id, app, signing, created_at, url, description, version, metadata, headers,
               secrets, updated_at) VALUES (?1, ?2, ?3, ?4, '', '', 1, '', x'', x'', 0)";
    let signing = codec::signing_code(endpoint.signing);
    tx.conn.prepare_cached(sql)?.execute((codec::id_bytes(endpoint.id), app_no, signing, now.0))?;
    store(tx, &endpoint)?;
    remember(tx, key, codec::id_bytes(endpoint.id))?;
    Ok(Created { value: Arc::new(endpoint), is_new: true })
}

/// Writes every field that can change, and tells who must know. Answers its number.
fn store(tx: &mut JobTx<'_>, endpoint: &Endpoint) -> Result<i64> {
    let list = |value: &Option<Vec<String>>| value.as_ref().map(codec::json).transpose();
    let no: i64 = tx
        .conn
        .prepare_cached(
            "UPDATE endpoints SET uid = ?2, url = ?3, description = ?4, version = ?5, disabled = ?6, event_types = ?7,
             channels = ?8, throttle_rate = ?9, metadata = ?10, headers = ?11, secrets = ?12, retry = ?13,
             timeout_ms = ?14, failing_since = ?15, updated_at = ?16, ordering_pointer = ?17, on_dead = ?18
             WHERE id = ?1 RETURNING no",
        )?
        .query_row(
            rusqlite::params![
                codec::id_bytes(endpoint.id),
                endpoint.uid,
                endpoint.url,
                endpoint.description,
                endpoint.version,
                endpoint.disabled.map(Disabled::as_str),
                list(&endpoint.event_types)?,
                list(&endpoint.channels)?,
                endpoint.throttle_rate,
                codec::json(&endpoint.metadata)?,
                codec::seal_headers(&tx.shared.sealer, endpoint.id, &endpoint.headers)?,
                codec::seal_secrets(&tx.shared.sealer, endpoint.id, &endpoint.secrets)?,
                codec::retry_column(endpoint.retry.as_ref())?,
                endpoint.timeout_ms,
                endpoint.failing_since.map(|at| at.0),
                endpoint.updated_at.0,
                endpoint.ordering.as_ref().and_then(|ordering| ordering.pointer.as_deref()),
                endpoint.ordering.as_ref().map(|ordering| ordering.on_dead.as_str()),
            ],
            |row| row.get(0),
        )?;
    tx.changed_apps.push(endpoint.app);
    tx.changed.push(no);
    Ok(no)
}

fn update(tx: &mut JobTx<'_>, app: AppId, id: EndpointId, patch: EndpointPatch) -> Result<Arc<Endpoint>> {
    let mut endpoint = by_id(tx.conn, &tx.shared.sealer, app, id)?;
    check_uid_free(tx, app, patch.uid.as_ref().and_then(Option::as_deref), Some(id))?;
    let now = tx.shared.clock.now();
    edit::change_endpoint(&mut endpoint, patch, now)?;
    let no = store(tx, &endpoint)?;
    let may_block = endpoint.ordering.as_ref().is_some_and(|ordering| ordering.on_dead == OnDead::Block);
    if !may_block && ordering::unblock_endpoint(tx.conn, no, now)? {
        tx.queued.push((no, now));
    }
    Ok(Arc::new(endpoint))
}

fn rotate(
    tx: &mut JobTx<'_>,
    (app, id): (AppId, EndpointId),
    secret: SecretText,
    grace_ms: u64,
    key: Option<&CallerKey>,
) -> Result<Arc<Endpoint>> {
    let mut endpoint = by_id(tx.conn, &tx.shared.sealer, app, id)?;
    if made_before(tx, key)?.is_some() {
        return Ok(Arc::new(endpoint));
    }
    let clock = &tx.shared.clock;
    edit::rotate_secret(&mut endpoint, secret, grace_ms, clock.wall(), clock.now())?;
    store(tx, &endpoint)?;
    remember(tx, key, codec::id_bytes(id))?;
    Ok(Arc::new(endpoint))
}

/// Deletes one endpoint: what waits for it is ended in steps by the cancel duty.
fn delete(tx: &mut JobTx<'_>, app: AppId, id: EndpointId) -> Result<()> {
    by_id(tx.conn, &tx.shared.sealer, app, id)?;
    let now = tx.shared.clock.now().0;
    let no: i64 = tx
        .conn
        .prepare_cached("UPDATE endpoints SET deleted_at = ?2 WHERE id = ?1 RETURNING no")?
        .query_row((codec::id_bytes(id), now), |row| row.get(0))?;
    tx.conn.prepare_cached("INSERT OR IGNORE INTO cancels (endpoint) VALUES (?1)")?.execute([no])?;
    tx.changed_apps.push(app);
    tx.removed.push(id);
    Ok(())
}

/// Deletes every endpoint of an application.
pub(super) fn delete_all(tx: &mut JobTx<'_>, app_no: i64, now: i64) -> Result<()> {
    let mut statement = tx.conn.prepare_cached(
        "UPDATE endpoints SET deleted_at = ?2 WHERE app = ?1 AND deleted_at IS NULL RETURNING no, id",
    )?;
    let mut rows = statement.query((app_no, now))?;
    let mut cancel = tx.conn.prepare_cached("INSERT OR IGNORE INTO cancels (endpoint) VALUES (?1)")?;
    while let Some(row) = rows.next()? {
        cancel.execute([row.get::<_, i64>(0)?])?;
        tx.removed.push(EndpointId::from_u128(codec::id_from(row, 1)?));
    }
    Ok(())
}

/// Remembers changes of health.
pub(crate) fn mark(tx: &mut JobTx<'_>, marks: &[HealthMark]) -> Result<()> {
    for mark in marks {
        let (id, disabled, failing_since) = match *mark {
            HealthMark::FailingSince(id, at) => (id, None, Some(at)),
            HealthMark::Recovered(id) => (id, None, None),
            HealthMark::Disable(id, reason) => (id, Some(reason), None),
        };
        let no: Option<i64> = tx
            .conn
            .prepare_cached("SELECT no FROM endpoints WHERE id = ?1 AND deleted_at IS NULL")?
            .query_row([codec::id_bytes(id)], |row| row.get(0))
            .optional()?;
        let Some(no) = no else { continue };
        let found = routes::endpoint_by_number(tx.conn, &tx.shared.sealer, no)?;
        let Some(mut endpoint) = found else { continue };
        match disabled {
            Some(reason) => endpoint.disabled = endpoint.disabled.or(Some(reason)),
            None => endpoint.failing_since = failing_since,
        }
        store(tx, &endpoint)?;
    }
    Ok(())
}

impl Endpoints for SqliteStore {
    fn create_endpoint(
        &self,
        new: NewEndpoint,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Created<Arc<Endpoint>>>> {
        self.write(move |tx| create(tx, new, key.as_ref()))
    }

    fn endpoint<'a>(&'a self, app: AppId, reference: &'a str) -> BoxFuture<'a, hookfast_core::Result<Arc<Endpoint>>> {
        let (shared, wanted) = (Arc::clone(&self.shared), reference.to_owned());
        self.readers.read(move |conn| find(conn, &shared.sealer, app, &wanted).map(Arc::new))
    }

    fn endpoints(
        &self,
        app: AppId,
        page: Page<EndpointId>,
    ) -> BoxFuture<'_, hookfast_core::Result<PageOf<Arc<Endpoint>>>> {
        let shared = Arc::clone(&self.shared);
        self.readers.read(move |conn| {
            let plan = PageSql::new(&page);
            let sql = format!(
                "SELECT {} FROM endpoints e JOIN applications a ON a.no = e.app WHERE e.deleted_at IS NULL
                 AND a.id = ?1 AND (?2 IS NULL OR e.id {} ?2) ORDER BY e.id {} LIMIT ?3",
                codec::ENDPOINT,
                plan.compare,
                plan.order
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let after = page.after.map(codec::id_bytes);
            let mut rows = statement.query((codec::id_bytes(app), after, plan.rows()))?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                items.push(Arc::new(codec::endpoint(row, &shared.sealer)?));
            }
            Ok(plan.page(items))
        })
    }

    fn update_endpoint(
        &self,
        app: AppId,
        id: EndpointId,
        patch: EndpointPatch,
    ) -> BoxFuture<'_, hookfast_core::Result<Arc<Endpoint>>> {
        self.write(move |tx| update(tx, app, id, patch))
    }

    fn delete_endpoint(&self, app: AppId, id: EndpointId) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |tx| delete(tx, app, id))
    }

    fn rotate_secret(
        &self,
        app: AppId,
        id: EndpointId,
        secret: SecretText,
        grace_ms: u64,
        key: Option<CallerKey>,
    ) -> BoxFuture<'_, hookfast_core::Result<Arc<Endpoint>>> {
        self.write(move |tx| rotate(tx, (app, id), secret, grace_ms, key.as_ref()))
    }
}

/// The number of a live endpoint of an application.
pub(crate) fn number(conn: &Connection, app: AppId, id: EndpointId) -> Result<i64> {
    let found: Option<i64> = conn
        .prepare_cached(
            "SELECT e.no FROM endpoints e JOIN applications a ON a.no = e.app
             WHERE e.id = ?1 AND a.id = ?2 AND e.deleted_at IS NULL",
        )?
        .query_row((codec::id_bytes(id), codec::id_bytes(app)), |row| row.get(0))
        .optional()?;
    found.ok_or(NOT_FOUND)
}

/// Used only where an unknown endpoint must not be an error.
pub(crate) fn is_disabled(conn: &Connection, no: i64) -> Result<bool> {
    let sql = "SELECT disabled IS NOT NULL FROM endpoints WHERE no = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([no], |row| row.get(0)).optional()?.unwrap_or(true))
}
