//! This node's memory of who wants what: applications with their endpoints, and the numbers of endpoints.
//!
//! It may be out of date: an accept names the version it was routed by, and the database refuses an old one.

use super::codec;
use super::db::Run;
use super::wire::Uuid;
use crate::{Result, Sealer};
use hookfast_core::model::{Endpoint, NewEvent, Route};
use hookfast_core::{AppId, EndpointId, Error, routing};
use std::collections::HashMap;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// Applications kept in memory; above, all are forgotten and read again when needed.
const APPS_MAX: usize = 10_000;
/// Endpoint numbers kept in memory.
const NUMBERS_MAX: usize = 200_000;

/// An endpoint and its number in this store.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) no: i64,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// An application's endpoints at one version of it.
#[derive(Debug)]
pub(crate) struct AppRoutes {
    pub(crate) no: i64,
    pub(crate) version: i64,
    pub(crate) retention_days: u16,
    pub(crate) endpoints: Vec<Routed>,
}

impl AppRoutes {
    /// Who gets this event.
    ///
    /// # Errors
    /// `NotFound` when it is for one endpoint that does not exist.
    pub(crate) fn route(&self, event: &NewEvent) -> hookfast_core::Result<Vec<Routed>> {
        match event.route {
            Route::Match => {
                let wants = |one: &&Routed| routing::wants(&one.endpoint, &event.event_type, &event.channels);
                Ok(self.endpoints.iter().filter(wants).cloned().collect())
            }
            Route::Endpoint(id) => {
                let found = self.endpoints.iter().find(|one| one.endpoint.id == id);
                let found = found.ok_or(Error::NotFound { what: "endpoint" })?;
                Ok(if found.endpoint.disabled.is_some() { Vec::new() } else { vec![found.clone()] })
            }
        }
    }
}

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    apps: HashMap<AppId, Arc<AppRoutes>>,
    numbers: HashMap<EndpointId, i64>,
}

impl Routes {
    pub(crate) fn app(&self, app: AppId) -> Option<Arc<AppRoutes>> {
        self.apps.get(&app).cloned()
    }

    pub(crate) fn put_app(&mut self, app: AppId, routes: &Arc<AppRoutes>) {
        if self.apps.len() >= APPS_MAX {
            self.apps.clear();
        }
        // What was read later wins, in whichever order the readers come back.
        if self.apps.get(&app).is_none_or(|known| known.version <= routes.version) {
            self.apps.insert(app, Arc::clone(routes));
        }
        for routed in &routes.endpoints {
            self.put_number(routed.endpoint.id, routed.no);
        }
    }

    pub(crate) fn number(&self, endpoint: EndpointId) -> Option<i64> {
        self.numbers.get(&endpoint).copied()
    }

    pub(crate) fn put_number(&mut self, endpoint: EndpointId, no: i64) {
        if self.numbers.len() >= NUMBERS_MAX {
            self.numbers.clear();
        }
        self.numbers.insert(endpoint, no);
    }

    /// Something of this application changed.
    pub(crate) fn forget(&mut self, app: AppId) {
        self.apps.remove(&app);
    }

    /// What changed is not known.
    pub(crate) fn forget_all(&mut self) {
        self.apps.clear();
    }
}

/// Reads an application's endpoints; `None` when it does not exist. The version is read first: what changes meanwhile
/// makes it old.
pub(crate) async fn load(run: &impl Run, sealer: &Sealer, app: AppId) -> Result<Option<AppRoutes>> {
    let id = Uuid::from(app);
    let sql = "SELECT no, version, retention_days FROM hookfast.applications WHERE id = $1 AND deleted_at IS NULL";
    let Some(found) = run.opt(sql, &[(&id, Type::UUID)]).await? else { return Ok(None) };
    let no: i64 = found.try_get(0)?;
    let sql = format!(
        "SELECT {}, e.no FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app
         WHERE e.app = $1 AND e.deleted_at IS NULL ORDER BY e.id",
        codec::ENDPOINT
    );
    let rows = run.rows(&sql, &[(&no, Type::INT8)]).await?;
    let endpoints = rows.iter().map(|row| {
        let endpoint = Arc::new(codec::endpoint(row, sealer)?);
        Ok(Routed { no: row.try_get(23)?, endpoint })
    });
    Ok(Some(AppRoutes {
        no,
        version: found.try_get(1)?,
        retention_days: codec::narrow(found.try_get::<_, i16>(2)?)?,
        endpoints: endpoints.collect::<Result<_>>()?,
    }))
}

/// Endpoints by number, with their numbers; deleted ones only when asked for, since history outlives them.
pub(crate) async fn endpoints_by_number(
    run: &impl Run,
    sealer: &Sealer,
    numbers: &[i64],
    deleted_too: bool,
) -> Result<Vec<Routed>> {
    let sql = format!(
        "SELECT {}, e.no FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app
         WHERE e.no = ANY($1) AND ($2 OR e.deleted_at IS NULL)",
        codec::ENDPOINT
    );
    let rows = run.rows(&sql, &[(&numbers, Type::INT8_ARRAY), (&deleted_too, Type::BOOL)]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Routed { no: row.try_get(23)?, endpoint: Arc::new(codec::endpoint(row, sealer)?) })
    };
    rows.iter().map(read).collect()
}

/// Finds out at start, not at the first delivery, that secrets cannot be opened.
pub(crate) async fn check_seal(run: &impl Run, sealer: &Sealer) -> Result<()> {
    let sql = format!(
        "SELECT {} FROM hookfast.endpoints e JOIN hookfast.applications a ON a.no = e.app LIMIT 1",
        codec::ENDPOINT
    );
    match run.opt(&sql, &[]).await? {
        Some(row) => codec::endpoint(&row, sealer).map(drop),
        None => Ok(()),
    }
}
