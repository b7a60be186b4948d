//! Emitters, kept until they are stopped or have made all their events; and work that one node does at a time, which is
//! always this process.

use super::configuration::number;
use super::writer::JobTx;
use super::{SqliteStore, codec};
use crate::emitters::{EmitterColumns, check_count, stored};
use crate::{Error, Result};
use hookfast_core::ports::{
    BoxFuture, Created, EmitterProgress, Emitters, Exclusive, NewEmitter, Queue as _, RunningEmitter,
};
use hookfast_core::{AppId, EndpointId, Error as PortError, UnixMs};
use rusqlite::{Connection, Row};

/// Of endpoints that exist; each fits `filter`.
fn find(conn: &Connection, filter: &str, params: impl rusqlite::Params) -> Result<Vec<RunningEmitter>> {
    let sql = format!(
        "SELECT a.id, e.id, m.interval_ns, m.count, m.event_types, m.made, m.skipped_ms, m.unsure, m.started_at,
         e.disabled IS NOT NULL
         FROM emitters m JOIN endpoints e ON e.no = m.endpoint JOIN applications a ON a.no = e.app
         WHERE e.deleted_at IS NULL AND {filter} ORDER BY m.started_at, m.endpoint"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<RunningEmitter> {
    let types = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
    let columns = EmitterColumns {
        app: AppId::from_u128(codec::id_from(row, 0)?),
        endpoint: EndpointId::from_u128(codec::id_from(row, 1)?),
        interval_ns: row.get(2)?,
        count: row.get(3)?,
        event_types: types,
        made: row.get(5)?,
        skipped_ms: row.get(6)?,
        unsure: row.get(7)?,
        started_at: row.get(8)?,
        is_paused: row.get(9)?,
    };
    columns.read()
}

fn of_endpoint(conn: &Connection, no: i64) -> Result<Option<RunningEmitter>> {
    Ok(find(conn, "m.endpoint = ?1", [no])?.pop())
}

fn start(tx: &JobTx<'_>, new: &NewEmitter) -> Result<Created<RunningEmitter>> {
    let no = number(tx.conn, new.app, new.endpoint)?;
    if let Some(value) = of_endpoint(tx.conn, no)? {
        return Ok(Created { value, is_new: false });
    }
    let clean = "DELETE FROM emitters WHERE endpoint IN (SELECT no FROM endpoints WHERE deleted_at IS NOT NULL)";
    tx.conn.execute(clean, [])?;
    check_count(tx.conn.query_row("SELECT count(*) FROM emitters", [], |row| row.get(0))?)?;
    tx.conn
        .prepare_cached(
            "INSERT INTO emitters (endpoint, interval_ns, count, event_types, made, skipped_ms, unsure, started_at)
             VALUES (?1, ?2, ?3, ?4, 0, 0, 0, ?5)",
        )?
        .execute((
            no,
            stored(new.interval_ns),
            new.count.map(stored),
            codec::json(&new.event_types)?,
            tx.shared.clock.now().0,
        ))?;
    let value = of_endpoint(tx.conn, no)?.ok_or(Error::Damaged { what: "emitter" })?;
    Ok(Created { value, is_new: true })
}

fn stop(tx: &JobTx<'_>, app: AppId, endpoint: EndpointId) -> Result<Option<RunningEmitter>> {
    let no = match number(tx.conn, app, endpoint) {
        Err(Error::Port(PortError::NotFound { .. })) => return Ok(None),
        found => found?,
    };
    let was = of_endpoint(tx.conn, no)?;
    tx.conn.prepare_cached("DELETE FROM emitters WHERE endpoint = ?1")?.execute([no])?;
    Ok(was)
}

fn emitted(tx: &JobTx<'_>, progress: &[(EndpointId, UnixMs, EmitterProgress)]) -> Result<()> {
    let mut keep = tx.conn.prepare_cached(
        "UPDATE emitters SET made = max(made, ?3), skipped_ms = max(skipped_ms, ?4), unsure = ?5
         WHERE endpoint = (SELECT no FROM endpoints WHERE id = ?1) AND started_at = ?2",
    )?;
    for (endpoint, started_at, EmitterProgress { made, skipped_ms, unsure }) in progress {
        let numbers = (stored(*made), stored(*skipped_ms), stored(*unsure));
        keep.execute((codec::id_bytes(*endpoint), started_at.0, numbers.0, numbers.1, numbers.2))?;
    }
    tx.conn.prepare_cached("DELETE FROM emitters WHERE made >= count")?.execute([])?;
    Ok(())
}

impl Emitters for SqliteStore {
    fn start_emitter(&self, new: NewEmitter) -> BoxFuture<'_, hookfast_core::Result<Created<RunningEmitter>>> {
        self.write(move |tx| start(tx, &new))
    }

    fn stop_emitter(
        &self,
        app: AppId,
        endpoint: EndpointId,
    ) -> BoxFuture<'_, hookfast_core::Result<Option<RunningEmitter>>> {
        self.write(move |tx| stop(tx, app, endpoint))
    }

    fn emitters(&self) -> BoxFuture<'_, hookfast_core::Result<Vec<RunningEmitter>>> {
        self.readers.read(|conn| find(conn, "true", []))
    }

    fn emitted(
        &self,
        progress: Vec<(EndpointId, UnixMs, EmitterProgress)>,
    ) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.write(move |tx| emitted(tx, &progress))
    }
}

impl Exclusive for SqliteStore {
    /// The directory's lock keeps every other process out.
    fn hold<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, hookfast_core::Result<bool>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn release<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, hookfast_core::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn may_act(&self) -> bool {
        self.may_try()
    }
}
