//! Embedded migrations: ordered, checksummed, each in its own transaction. A newer schema is refused.

use crate::Result;
use crate::failpoint;
use crate::migrations::{Migration, pending};
use rusqlite::Connection;

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "initial", sql: include_str!("migrations/0001_initial.sql") },
    Migration { version: 2, name: "ordering", sql: include_str!("migrations/0002_ordering.sql") },
    Migration { version: 3, name: "emitters", sql: include_str!("migrations/0003_emitters.sql") },
    Migration { version: 4, name: "undelivered", sql: include_str!("migrations/0004_undelivered.sql") },
    Migration { version: 5, name: "origins", sql: include_str!("migrations/0005_origins.sql") },
];

/// Brings the schema up to what this binary knows.
///
/// # Errors
/// [`Error::NewerSchema`], [`Error::ChangedMigration`], or what SQLite says.
pub(crate) fn migrate(conn: &Connection) -> Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
           version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL)",
    )?;
    missing(conn)?.into_iter().try_for_each(|migration| apply(conn, migration))
}

/// May this binary migrate and open it? Nothing is changed.
///
/// # Errors
/// As [`migrate`].
pub(crate) fn must_be_known(conn: &Connection) -> Result<()> {
    missing(conn).map(|_| ())
}

fn missing(conn: &Connection) -> Result<Vec<&'static Migration>> {
    let applied: Vec<(u32, Vec<u8>)> = conn
        .prepare("SELECT version, checksum FROM migrations ORDER BY version")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    pending(MIGRATIONS, &applied)
}

/// The newest version that this binary knows.
#[must_use]
pub fn known() -> u32 {
    MIGRATIONS.last().map_or(0, |last| last.version)
}

/// The version of a store that may be of any binary; 0 when nothing was migrated yet.
pub(crate) fn version(conn: &Connection) -> Result<u32> {
    let exists: bool =
        conn.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'", [], |row| row.get(0))?;
    if !exists {
        return Ok(0);
    }
    Ok(conn.query_row("SELECT coalesce(max(version), 0) FROM migrations", [], |row| row.get(0))?)
}

fn apply(conn: &Connection, migration: &Migration) -> Result<()> {
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(migration.sql)?;
    failpoint::reach("migrate.middle");
    tx.execute(
        "INSERT INTO migrations (version, name, checksum) VALUES (?1, ?2, ?3)",
        (migration.version, migration.name, migration.checksum()),
    )?;
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_newer_schema_is_refused_and_a_changed_migration_is_noticed() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        migrate(&conn).unwrap();
        conn.execute("INSERT INTO migrations VALUES (999, 'future', x'00')", []).unwrap();
        assert!(matches!(migrate(&conn), Err(Error::NewerSchema { found: 999, known: 5 })));
        conn.execute("DELETE FROM migrations WHERE version = 999", []).unwrap();
        conn.execute("UPDATE migrations SET checksum = x'00' WHERE version = 1", []).unwrap();
        assert!(matches!(migrate(&conn), Err(Error::ChangedMigration { version: 1 })));
    }
}
