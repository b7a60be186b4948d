//! A look at a store from outside, while a server may run on it: read only, nothing is taken, nothing recovered. Must
//! not change what it looks at.

use super::schema;
use crate::Result;
use hookfast_core::{EventId, UnixMs};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::time::{Duration, Instant};

/// Faults that are listed.
const FAULTS_MAX: u32 = 10;
/// Virtual machine steps between two looks at the time.
const STEPS: i32 = 100_000;

/// What a look found.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Version of the schema, 0 before the first migration.
    pub schema: u32,
    /// Newest version that this binary knows.
    pub schema_known: u32,
    /// When the newest event was accepted, by the clock of its time.
    pub newest_event: Option<UnixMs>,
    /// What the check of the pages found; `None` when there was none, or it could not end in time.
    pub faults: Option<Vec<String>>,
}

/// Looks at the store in `dir`; `None` when there is none. With `check_for`, its pages are checked for at most so long.
/// Blocks.
///
/// # Errors
/// When it cannot be opened or read.
pub fn inspect(dir: &Path, check_for: Option<Duration>) -> Result<Option<Inspection>> {
    let path = dir.join("store.db");
    if !path.try_exists()? {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    let schema = schema::version(&conn)?;
    let newest_event = if schema == 0 { None } else { newest_event(&conn)? };
    let faults = match check_for {
        Some(limit) => check(&mut conn, limit)?,
        None => None,
    };
    Ok(Some(Inspection { schema, schema_known: schema::known(), newest_event, faults }))
}

pub(super) fn newest_event(conn: &Connection) -> Result<Option<UnixMs>> {
    let high: Option<i64> = conn.query_row("SELECT max(id) FROM events", [], |row| row.get(0))?;
    Ok(high.map(|high| EventId::from_halves(high.cast_unsigned(), 0).time()))
}

fn check(conn: &mut Connection, limit: Duration) -> Result<Option<Vec<String>>> {
    let deadline = Instant::now() + limit;
    conn.progress_handler(STEPS, Some(move || Instant::now() >= deadline))?;
    let rows: rusqlite::Result<Vec<String>> = conn
        .prepare(&format!("PRAGMA quick_check({FAULTS_MAX})"))
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect());
    match rows {
        Ok(rows) => Ok(Some(rows.into_iter().filter(|row| row != "ok").collect())),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => Ok(None),
            // Damage that the check itself cannot go past.
            Some(ErrorCode::DatabaseCorrupt) => Ok(Some(vec![error.to_string()])),
            _ => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::open;
    use std::io::{Seek as _, SeekFrom, Write as _};

    const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

    fn store() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let conn = open::writer(&dir.path().join("store.db")).unwrap();
        schema::migrate(&conn).unwrap();
        dir
    }

    #[test]
    fn a_good_store_shows_its_schema_and_no_faults() {
        let dir = store();
        let seen = inspect(dir.path(), LIMIT).unwrap().unwrap();
        assert_eq!((seen.schema, seen.newest_event), (seen.schema_known, None));
        assert_eq!(seen.faults, Some(vec![]));
        assert_eq!(inspect(dir.path(), None).unwrap().unwrap().faults, None);
    }

    #[test]
    fn no_store_is_no_error_and_none_is_made() {
        let dir = tempfile::tempdir().unwrap();
        assert!(inspect(dir.path(), None).unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn damage_is_found() {
        let dir = store();
        let path = dir.path().join("store.db");
        let conn = open::writer(&path).unwrap();
        conn.execute_batch(
            "CREATE TABLE filler (x BLOB);
             INSERT INTO filler SELECT randomblob(900) FROM (SELECT value FROM json_each('[1,2,3,4,5,6,7,8,9]')) a,
               (SELECT value FROM json_each('[1,2,3,4,5,6,7,8,9]')) b;
             PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .unwrap();
        drop(conn);
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::End(-3 * 4096)).unwrap();
        file.write_all(&[0xFF; 4096]).unwrap();
        drop(file);
        let found = inspect(dir.path(), LIMIT);
        let faults = found.unwrap().unwrap().faults.unwrap();
        assert!(!faults.is_empty());
    }

    #[test]
    fn a_check_that_takes_too_long_says_nothing() {
        let dir = store();
        let conn = open::writer(&dir.path().join("store.db")).unwrap();
        let many = "CREATE TABLE filler (x);
             INSERT INTO filler WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
               SELECT i FROM n;";
        conn.execute_batch(many).unwrap();
        assert_eq!(inspect(dir.path(), Some(Duration::ZERO)).unwrap().unwrap().faults, None);
    }
}
