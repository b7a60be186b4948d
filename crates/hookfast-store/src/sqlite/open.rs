//! Opening connections with the settings that the promises rest on.

use crate::failpoint;
use crate::{Error, Result};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// The first SQLite without the WAL-reset race that lived from 3.7.0 on.
const SQLITE_MIN: i32 = 3_051_003;
/// Prepared statements kept per connection.
const STATEMENTS_MAX: usize = 128;

/// The one connection that writes.
pub(crate) fn writer(path: &Path) -> Result<Connection> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(Error::OldSqlite { found: rusqlite::version() });
    }
    let conn = Connection::open(path)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    // Must come before the first table; it is a no-op later.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    let durable = if failpoint::planted("synchronous_normal") { "NORMAL" } else { "FULL" };
    conn.pragma_update(None, "synchronous", durable)?;
    conn.pragma_update(None, "wal_autocheckpoint", 1000)?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.pragma_update(None, "cache_size", -(48 << 10))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "trusted_schema", false)?;
    Ok(conn)
}

/// A connection that only reads.
pub(crate) fn reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "cache_size", -(4 << 10))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(conn)
}
