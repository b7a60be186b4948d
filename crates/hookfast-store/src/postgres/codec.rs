//! Rows of this database as the things they hold. Must not know what the rows are for.

use super::wire::Uuid;
use crate::columns::EndpointColumns;
use crate::{Error, Result, Sealer, columns};
use hookfast_core::UnixMs;
use hookfast_core::model::{AppThrottle, Application, Endpoint};
use tokio_postgres::Row;

/// The columns that [`application`] reads, in its order.
pub(crate) const APPLICATION: &str =
    "id, org, uid, name, throttle_rate, metadata, retention_days, created_at, updated_at";

/// The columns that [`endpoint`] reads, in its order; `e` is the endpoint, `a` its application.
pub(crate) const ENDPOINT: &str = "e.id, a.id, e.uid, e.url, e.description, e.version, e.disabled, e.event_types, \
     e.channels, e.throttle_rate, e.metadata, e.headers, e.secrets, e.signing, e.retry, e.timeout_ms, \
     e.failing_since, e.created_at, e.updated_at, e.ordering_pointer, e.on_dead, \
     a.throttle_rate, a.updated_at";

/// A number that another type of the database holds.
pub(crate) fn narrow<T, U: TryFrom<T>>(value: T) -> Result<U> {
    U::try_from(value).map_err(|_| Error::Damaged { what: "number" })
}

/// A retention class as its column has it.
pub(crate) fn class(days: u16) -> i16 {
    i16::try_from(days).unwrap_or(i16::MAX)
}

/// An application from the columns [`APPLICATION`].
pub(crate) fn application(row: &Row) -> Result<Application> {
    Ok(Application {
        id: row.try_get::<_, Uuid>(0)?.into(),
        org: row.try_get::<_, &str>(1)?.parse().map_err(|_| Error::Damaged { what: "organisation" })?,
        uid: row.try_get(2)?,
        name: row.try_get(3)?,
        throttle_rate: row.try_get::<_, Option<i32>>(4)?.map(narrow).transpose()?,
        metadata: columns::from_json(row.try_get(5)?, "metadata")?,
        retention_days: narrow(row.try_get::<_, i16>(6)?)?,
        created_at: UnixMs(row.try_get(7)?),
        updated_at: UnixMs(row.try_get(8)?),
    })
}

/// What an application's endpoints share, from its columns `throttle_rate, updated_at`, of which the first is named.
pub(crate) fn app_throttle(row: &Row, column: usize) -> Result<AppThrottle> {
    let rate = row.try_get::<_, Option<i32>>(column)?.map(narrow).transpose()?;
    Ok(AppThrottle { rate, as_of: UnixMs(row.try_get(column + 1)?) })
}

/// An endpoint from the columns [`ENDPOINT`].
pub(crate) fn endpoint(row: &Row, sealer: &Sealer) -> Result<Endpoint> {
    let columns = EndpointColumns {
        id: row.try_get::<_, Uuid>(0)?.into(),
        app: row.try_get::<_, Uuid>(1)?.into(),
        uid: row.try_get(2)?,
        url: row.try_get(3)?,
        description: row.try_get(4)?,
        version: narrow(row.try_get::<_, i32>(5)?)?,
        disabled: row.try_get(6)?,
        event_types: row.try_get(7)?,
        channels: row.try_get(8)?,
        throttle_rate: row.try_get::<_, Option<i32>>(9)?.map(narrow).transpose()?,
        app_throttle: app_throttle(row, 21)?,
        ordering_pointer: row.try_get(19)?,
        on_dead: row.try_get(20)?,
        metadata: row.try_get(10)?,
        headers: row.try_get(11)?,
        secrets: row.try_get(12)?,
        signing: row.try_get::<_, i16>(13)?.into(),
        retry: row.try_get(14)?,
        timeout_ms: row.try_get::<_, Option<i32>>(15)?.map(narrow).transpose()?,
        failing_since: row.try_get(16)?,
        created_at: row.try_get(17)?,
        updated_at: row.try_get(18)?,
    };
    columns.read(sealer)
}
