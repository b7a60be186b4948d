//! Rows of this database as the things they hold. Must not know what the rows are for.

use crate::columns::EndpointColumns;
pub(crate) use crate::columns::{
    cause_from, from_json, get_numbers, id_bytes, json, put_numbers, retry_column, seal_headers, seal_secrets,
    signing_code, state_code, state_from,
};
use crate::{Error, Result, Sealer};
use hookfast_core::model::{AppThrottle, Application, Endpoint};
use hookfast_core::{AppId, EndpointId, OrgId, UnixMs};
use rusqlite::Row;

/// The columns that [`application`] reads, in its order.
pub(crate) const APPLICATION: &str =
    "id, org, uid, name, throttle_rate, metadata, retention_days, created_at, updated_at";

/// The columns that [`endpoint`] reads, in its order; `e` is the endpoint, `a` its application.
pub(crate) const ENDPOINT: &str = "e.id, a.id, e.uid, e.url, e.description, e.version, e.disabled, e.event_types, \
     e.channels, e.throttle_rate, e.metadata, e.headers, e.secrets, e.signing, e.retry, e.timeout_ms, \
     e.failing_since, e.created_at, e.updated_at, e.ordering_pointer, e.on_dead, \
     a.throttle_rate, a.updated_at";

/// An id from its 16 bytes.
pub(crate) fn id_from(row: &Row<'_>, index: usize) -> Result<u128> {
    let bytes: [u8; 16] = row.get(index)?;
    Ok(u128::from_be_bytes(bytes))
}

/// The upper half of an id as a row id. Times far beyond every real one, as bounds of ranges use them, saturate.
pub(crate) fn row_id(high: u64) -> i64 {
    i64::try_from(high).unwrap_or(i64::MAX)
}

/// An application from the columns [`APPLICATION`].
pub(crate) fn application(row: &Row<'_>) -> Result<Application> {
    let org: String = row.get(1)?;
    let metadata: String = row.get(5)?;
    Ok(Application {
        id: AppId::from_u128(id_from(row, 0)?),
        org: org.parse::<OrgId>().map_err(|_| Error::Damaged { what: "organisation" })?,
        uid: row.get(2)?,
        name: row.get(3)?,
        throttle_rate: row.get(4)?,
        metadata: from_json(&metadata, "metadata")?,
        retention_days: row.get(6)?,
        created_at: UnixMs(row.get(7)?),
        updated_at: UnixMs(row.get(8)?),
    })
}

/// An endpoint from the columns [`ENDPOINT`].
pub(crate) fn endpoint(row: &Row<'_>, sealer: &Sealer) -> Result<Endpoint> {
    let text = |index: usize| Ok::<_, Error>(row.get_ref(index)?.as_str_or_null().map_err(rusqlite::Error::from)?);
    let blob = |index: usize| Ok::<_, Error>(row.get_ref(index)?.as_blob().map_err(rusqlite::Error::from)?);
    let columns = EndpointColumns {
        id: EndpointId::from_u128(id_from(row, 0)?),
        app: AppId::from_u128(id_from(row, 1)?),
        uid: row.get(2)?,
        url: row.get(3)?,
        description: row.get(4)?,
        version: row.get(5)?,
        disabled: text(6)?,
        event_types: text(7)?,
        channels: text(8)?,
        throttle_rate: row.get(9)?,
        app_throttle: AppThrottle { rate: row.get(21)?, as_of: UnixMs(row.get(22)?) },
        ordering_pointer: row.get(19)?,
        on_dead: text(20)?,
        metadata: text(10)?.unwrap_or_default(),
        headers: blob(11)?,
        secrets: blob(12)?,
        signing: row.get(13)?,
        retry: text(14)?,
        timeout_ms: row.get(15)?,
        failing_since: row.get(16)?,
        created_at: row.get(17)?,
        updated_at: row.get(18)?,
    };
    columns.read(sealer)
}
