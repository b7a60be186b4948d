//! The writer's memory of who wants what: applications with their endpoints, and the numbers of endpoints.
//!
//! Owned by the thread that commits every change, so it is never older than the transaction that reads it.

use crate::Result;
use crate::Sealer;
use crate::sqlite::codec;
use hookfast_core::model::Endpoint;
use hookfast_core::{AppId, EndpointId};
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;
use std::sync::Arc;

/// Applications kept in memory; above, all are forgotten and read again when needed.
const APPS_MAX: usize = 10_000;
/// Endpoint numbers kept in memory.
const NUMBERS_MAX: usize = 200_000;
/// Endpoints kept in memory by their number.
const BY_NUMBER_MAX: usize = 1_000;

/// An endpoint and its number in this store.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) no: i64,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// An application's endpoints.
#[derive(Debug)]
pub(crate) struct AppRoutes {
    pub(crate) no: i64,
    pub(crate) retention_days: u16,
    pub(crate) endpoints: Vec<Routed>,
}

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    apps: HashMap<AppId, Option<Arc<AppRoutes>>>,
    numbers: HashMap<EndpointId, i64>,
    by_number: HashMap<i64, Arc<Endpoint>>,
}

impl Routes {
    /// An application's endpoints; `None` when it does not exist.
    pub(crate) fn app(&mut self, conn: &Connection, sealer: &Sealer, app: AppId) -> Result<Option<Arc<AppRoutes>>> {
        if let Some(known) = self.apps.get(&app) {
            return Ok(known.clone());
        }
        let routes = load(conn, sealer, app)?.map(Arc::new);
        if self.apps.len() >= APPS_MAX {
            self.apps.clear();
        }
        self.apps.insert(app, routes.clone());
        Ok(routes)
    }

    /// The number of an endpoint, deleted ones included; `None` when it never existed.
    pub(crate) fn number(&mut self, conn: &Connection, endpoint: EndpointId) -> Result<Option<i64>> {
        if let Some(no) = self.numbers.get(&endpoint) {
            return Ok(Some(*no));
        }
        let no: Option<i64> = conn
            .prepare_cached("SELECT no FROM endpoints WHERE id = ?1")?
            .query_row([codec::id_bytes(endpoint)], |row| row.get(0))
            .optional()?;
        if let Some(no) = no {
            if self.numbers.len() >= NUMBERS_MAX {
                self.numbers.clear();
            }
            self.numbers.insert(endpoint, no);
        }
        Ok(no)
    }

    /// One live endpoint by its number; `None` when it was deleted.
    pub(crate) fn endpoint(&mut self, conn: &Connection, sealer: &Sealer, no: i64) -> Result<Option<Arc<Endpoint>>> {
        if let Some(known) = self.by_number.get(&no) {
            return Ok(Some(Arc::clone(known)));
        }
        let found = endpoint_by_number(conn, sealer, no)?.map(Arc::new);
        if let Some(endpoint) = &found {
            if self.by_number.len() >= BY_NUMBER_MAX {
                self.by_number.clear();
            }
            self.by_number.insert(no, Arc::clone(endpoint));
        }
        Ok(found)
    }

    /// Something of this application changed.
    pub(crate) fn forget(&mut self, app: AppId) {
        self.apps.remove(&app);
        self.by_number.retain(|_, endpoint| endpoint.app != app);
    }

    /// A transaction was rolled back: what was read in it may not be so.
    pub(crate) fn forget_all(&mut self) {
        self.apps.clear();
        self.numbers.clear();
        self.by_number.clear();
    }
}

fn load(conn: &Connection, sealer: &Sealer, app: AppId) -> Result<Option<AppRoutes>> {
    let found: Option<(i64, u16)> = conn
        .prepare_cached("SELECT no, retention_days FROM applications WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([codec::id_bytes(app)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((no, retention_days)) = found else { return Ok(None) };
    let sql = format!(
        "SELECT {}, e.no FROM endpoints e JOIN applications a ON a.no = e.app
         WHERE e.app = ?1 AND e.deleted_at IS NULL ORDER BY e.id",
        codec::ENDPOINT
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([no])?;
    let mut endpoints = Vec::new();
    while let Some(row) = rows.next()? {
        endpoints.push(Routed { no: row.get(23)?, endpoint: Arc::new(codec::endpoint(row, sealer)?) });
    }
    Ok(Some(AppRoutes { no, retention_days, endpoints }))
}

/// One live endpoint by its number, with that of its application; `None` when it was deleted.
pub(crate) fn endpoint_by_number(conn: &Connection, sealer: &Sealer, no: i64) -> Result<Option<Endpoint>> {
    let sql = format!(
        "SELECT {} FROM endpoints e JOIN applications a ON a.no = e.app WHERE e.no = ?1 AND e.deleted_at IS NULL",
        codec::ENDPOINT
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([no])?;
    rows.next()?.map(|row| codec::endpoint(row, sealer)).transpose()
}

/// One endpoint by its number, also when it was deleted: history outlives it.
pub(crate) fn endpoint_ever(conn: &Connection, sealer: &Sealer, no: i64) -> Result<Option<Endpoint>> {
    let sql =
        format!("SELECT {} FROM endpoints e JOIN applications a ON a.no = e.app WHERE e.no = ?1", codec::ENDPOINT);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([no])?;
    rows.next()?.map(|row| codec::endpoint(row, sealer)).transpose()
}
