//! Embedded migrations: ordered, checksummed, each in its own transaction. A newer schema is refused.

use crate::sqlite::failpoint;
use crate::{Error, Result};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "initial", sql: include_str!("migrations/0001_initial.sql") }];

/// Brings the schema up to what this binary knows.
///
/// # Errors
/// [`Error::NewerSchema`], [`Error::ChangedMigration`], or what SQLite says.
pub(crate) fn migrate(conn: &Connection) -> Result<()> {
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
           version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL)",
    )?;
    let applied: Vec<(u32, Vec<u8>)> = conn
        .prepare("SELECT version, checksum FROM migrations ORDER BY version")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let known = MIGRATIONS.last().map_or(0, |last| last.version);
    if let Some(&(found, _)) = applied.last().filter(|(found, _)| *found > known) {
        return Err(Error::NewerSchema { found, known });
    }
    for migration in MIGRATIONS {
        let checksum = Sha256::digest(migration.sql.as_bytes()).to_vec();
        match applied.iter().find(|(version, _)| *version == migration.version) {
            Some((_, found)) if *found != checksum => {
                return Err(Error::ChangedMigration { version: migration.version });
            }
            Some(_) => {}
            None => apply(conn, migration, &checksum)?,
        }
    }
    Ok(())
}

fn apply(conn: &Connection, migration: &Migration, checksum: &[u8]) -> Result<()> {
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(migration.sql)?;
    failpoint::reach("migrate.middle");
    tx.execute(
        "INSERT INTO migrations (version, name, checksum) VALUES (?1, ?2, ?3)",
        (migration.version, migration.name, checksum),
    )?;
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_refused_and_a_changed_migration_is_noticed() {
        let conn = Connection::open_in_memory().unwrap();
        migrate(&conn).unwrap();
        migrate(&conn).unwrap();
        conn.execute("INSERT INTO migrations VALUES (999, 'future', x'00')", []).unwrap();
        assert!(matches!(migrate(&conn), Err(Error::NewerSchema { found: 999, known: 1 })));
        conn.execute("DELETE FROM migrations WHERE version = 999", []).unwrap();
        conn.execute("UPDATE migrations SET checksum = x'00' WHERE version = 1", []).unwrap();
        assert!(matches!(migrate(&conn), Err(Error::ChangedMigration { version: 1 })));
    }
}
