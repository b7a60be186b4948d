//! Copies while another writes, copies that are ended, and what is no store.

use super::*;
use crate::sqlite::open;

fn store(dir: &Path) -> Connection {
    let conn = open::writer(&dir.join(FILE)).unwrap();
    schema::migrate(&conn).unwrap();
    conn.execute_batch("CREATE TABLE filler (x BLOB)").unwrap();
    fill(&conn, 3_000);
    conn
}

fn fill(conn: &Connection, rows: u32) {
    let sql = "INSERT INTO filler WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         SELECT randomblob(3000) FROM n";
    conn.execute(sql, [rows]).unwrap();
}

fn rows(path: &Path) -> u32 {
    Connection::open(path).unwrap().query_row("SELECT count(*) FROM filler", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_copy_is_the_store_of_the_moment_at_which_it_began_in_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let conn = store(dir.path());
    let to = dir.path().join("copy.db");
    let stop = CancellationToken::new();
    let mut steps = 0;
    // Another writer commits after each step.
    let mut progress = |_, _| {
        fill(&conn, 10);
        steps += 1;
    };
    let seen = backup(dir.path(), &to, &mut Course { stop, reserve_bytes: 0, progress: &mut progress }).unwrap();
    assert!(steps > 5, "{steps} steps");
    assert_eq!((rows(&to), seen.bytes), (3_000, to.metadata().unwrap().len()));
    assert!(!beside(&to, "-wal").exists() && !beside(&to, "-shm").exists());
    let checked = check(&to, None, &CancellationToken::new()).unwrap();
    assert_eq!((checked.schema, checked.events), (schema::known(), 0));
}

#[test]
fn a_copy_rests_while_another_writes_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let conn = store(dir.path());
    let mut pace = Pace::of(&dir.path().join(FILE));
    assert_eq!(pace.rest(), Duration::ZERO);
    let before = pace.written;
    // The clock of the file system may tick slowly.
    while written(&pace.log) == before {
        fill(&conn, 1);
    }
    assert!(pace.rest() > Duration::ZERO);
    pace.work();
    assert_eq!(pace.rest(), Duration::ZERO);
}

#[test]
fn a_copy_that_is_stopped_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(store(dir.path()));
    let to = dir.path().join("copies/first");
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let mut progress = |_, _| stopping.cancel();
    let mut course = Course { stop, reserve_bytes: 0, progress: &mut progress };
    assert!(matches!(backup(dir.path(), &to, &mut course), Err(BackupError::Stopped)));
    assert!(!to.exists());
    let mut course = Course { stop: CancellationToken::new(), reserve_bytes: u64::MAX, progress: &mut |_, _| {} };
    let full = backup(dir.path(), &to, &mut course);
    assert!(matches!(full, Err(BackupError::NoRoom { .. })), "{full:?}");
    assert!(!to.exists());
}

#[test]
fn what_is_no_whole_store_is_refused_with_its_fault() {
    let dir = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let file = dir.path().join("x.db");
    assert!(matches!(check(&file, None, &stop), Err(BackupError::Missing(_))));
    std::fs::write(&file, "not a database, but long enough to be read as one".repeat(100)).unwrap();
    assert!(matches!(check(&file, None, &stop), Err(BackupError::NotAStore(_))));
    std::fs::write(&file, "").unwrap();
    assert!(matches!(check(&file, None, &stop), Err(BackupError::NotAStore(_))));
    drop(store(dir.path()));
    let bytes = std::fs::read(dir.path().join(FILE)).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let cut = check(&file, None, &stop);
    assert!(matches!(cut, Err(BackupError::Damaged { .. })), "{cut:?}");
}
