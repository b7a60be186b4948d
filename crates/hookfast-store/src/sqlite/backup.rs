//! A copy of a whole store as one file, made while a server writes to it; and the way back into an empty directory. The
//! copy is one snapshot: hand-off rows are in it, so a server started on it goes on with what was in memory then. Must
//! not write to the store it copies.

use super::{DirLock, codec, disk, inspect, schema};
use crate::{Error, Sealer};
use hookfast_core::UnixMs;
use hookfast_core::model::SecretText;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// Pages copied between two looks at the time, the disk and the caller.
const PAGES_PER_STEP: i32 = 256;
/// The copy is flushed so often that no flush of the server's has to wait for much of it.
const FLUSH_BYTES: u64 = 1 << 20;
/// How many times as long as it worked a copy rests while another writes to its source.
const REST: u32 = 4;
/// Faults that are told.
const FAULTS_MAX: u32 = 10;
/// Virtual machine steps between two looks at whether a check is to go on.
const STEPS_PER_LOOK: i32 = 100_000;
/// Why a page could not be read or written.
const BUSY: &str = "the store is locked by another process";
/// What a store is called in its directory.
const FILE: &str = "store.db";

/// What is in a copy.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Size of the one file.
    pub bytes: u64,
    /// Events in it.
    pub events: u64,
    /// When the newest of them was accepted, by the clock of its time.
    pub newest_event: Option<UnixMs>,
    /// Version of its schema.
    pub schema: u32,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is there to be copied.
    #[error("there is no store at {}", .0.display())]
    Missing(PathBuf),
    /// The place is taken.
    #[error("{} is there already, and nothing is overwritten", .0.display())]
    Exists(PathBuf),
    /// The directory is not empty.
    #[error("{} is not empty: it holds {}; nothing is overwritten", path.display(), found.display())]
    NotEmpty {
        /// Which one.
        path: PathBuf,
        /// The first thing in it.
        found: PathBuf,
    },
    /// There is no room, or no more.
    #[error("too little room in {}: {free} bytes are free, {needed} are needed, {reserve} of them for the server", path.display())]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes that have to be free.
        needed: u64,
        /// Those of them that no copy may take.
        reserve: u64,
    },
    /// It is something else.
    #[error("{} is no store of hookfast", .0.display())]
    NotAStore(PathBuf),
    /// It cannot be trusted.
    #[error("{} is damaged: {faults}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What the check found.
        faults: String,
    },
    /// The caller ended it; nothing is left of it.
    #[error("interrupted: nothing was kept")]
    Stopped,
    /// The store says no.
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<std::io::Error> for BackupError {
    fn from(error: std::io::Error) -> Self {
        Self::Store(error.into())
    }
}

type Result<T> = std::result::Result<T, BackupError>;

/// How a copy goes on.
pub struct Course<'c> {
    /// Ends it.
    pub stop: CancellationToken,
    /// So much stays free on the disks of both, so that the server can go on.
    pub reserve_bytes: u64,
    /// Hears how many bytes are done, and of how many.
    pub progress: &'c mut dyn FnMut(u64, u64),
}

/// Copies the store in `dir`, whether a server runs on it or not. A path that ends in `.db` becomes one file; any other
/// a directory that a server can be started on, which must be missing or empty. When this returns the copy is on disk,
/// under its name; before, nothing is there under it. Blocks.
///
/// # Errors
/// As [`BackupError`] says. What was begun is removed.
pub fn backup(dir: &Path, to: &Path, course: &mut Course<'_>) -> Result<Snapshot> {
    let source = Source::open(&dir.join(FILE))?;
    if to.extension().is_some_and(|extension| extension == "db") {
        return source.copy_to(to, course);
    }
    must_be_empty(to)?;
    let is_made = !to.exists();
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    let copied = source.copy_to(&to.join(FILE), course);
    if is_made && copied.is_err() {
        // It is empty; should it not go away, the next copy can still use it.
        let _ = std::fs::remove_dir(to);
    }
    if is_made && copied.is_ok() {
        sync_directory_of(to)?;
    }
    copied
}

/// Checks a copy: every page and index, the schema, and whether `key` opens its secrets. `from` is one file or a
/// directory with one. Blocks.
///
/// # Errors
/// What is wrong with it.
pub fn check(from: &Path, key: Option<&SecretText>, stop: &CancellationToken) -> Result<Snapshot> {
    Source::open(&file_of(from))?.check(key, stop)
}

/// Checks a copy and puts it into `dir`, which must be missing or empty, as its store. Blocks.
///
/// # Errors
/// As [`BackupError`] says. What was begun is removed.
pub fn restore(from: &Path, dir: &Path, key: Option<&SecretText>, course: &mut Course<'_>) -> Result<Snapshot> {
    must_be_empty(dir)?;
    // The same snapshot is checked and copied, whatever happens to the file meanwhile.
    let mut source = Source::open(&file_of(from))?;
    let checked = source.check(key, &course.stop)?;
    let is_made = !dir.exists();
    let lock = DirLock::take(dir)?;
    let copied = source.copy_to(&dir.join(FILE), course);
    if copied.is_err() {
        let _ = std::fs::remove_file(dir.join("lock"));
        drop(lock);
        if is_made {
            let _ = std::fs::remove_dir(dir);
        }
    }
    copied.map(|copied| Snapshot { bytes: copied.bytes, ..checked })
}

fn file_of(from: &Path) -> PathBuf {
    if from.is_dir() { from.join(FILE) } else { from.to_owned() }
}

fn must_be_empty(dir: &Path) -> Result<()> {
    let mut entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::DataDir { path: dir.to_owned(), source }.into()),
    };
    let Some(first) = entries.next().transpose()? else { return Ok(()) };
    if dir.join("lock").exists() {
        // Who uses it says more than what is in it.
        DirLock::take(dir)?;
    }
    Err(BackupError::NotEmpty { path: dir.to_owned(), found: first.file_name().into() })
}

/// Makes the entry of `path` in its directory durable.
fn sync_directory_of(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(parent)?.sync_all()?)
}

/// A store that is read as it was at one moment.
struct Source {
    path: PathBuf,
    conn: Connection,
}

impl Source {
    /// From here on it is seen as it is now.
    fn open(path: &Path) -> Result<Self> {
        if !path.try_exists()? {
            return Err(BackupError::Missing(path.to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(Duration::from_secs(5))?;
        let source = Self { path: path.to_owned(), conn };
        source.begin().map_err(|error| source.judged(error))?;
        Ok(source)
    }

    fn begin(&self) -> rusqlite::Result<()> {
        self.conn.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1;")
    }

    /// A failure that says that the file is no whole database.
    fn judged(&self, error: rusqlite::Error) -> BackupError {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => BackupError::NotAStore(self.path.clone()),
            Some(ErrorCode::DatabaseCorrupt) => {
                BackupError::Damaged { path: self.path.clone(), faults: error.to_string() }
            }
            Some(ErrorCode::OperationInterrupted) => BackupError::Stopped,
            _ => error.into(),
        }
    }

    fn bytes(&self) -> Result<u64> {
        let pragma = |name: &str| self.conn.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        Ok(pragma("page_count")?.saturating_mul(pragma("page_size")?))
    }

    fn seen(&self) -> Result<Snapshot> {
        let schema = schema::version(&self.conn)?;
        if schema == 0 {
            return Err(BackupError::NotAStore(self.path.clone()));
        }
        let newest_event = inspect::newest_event(&self.conn)?;
        let events = self.conn.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
        Ok(Snapshot { bytes: self.bytes()?, events, newest_event, schema })
    }

    fn check(&mut self, key: Option<&SecretText>, stop: &CancellationToken) -> Result<Snapshot> {
        let stop = stop.clone();
        self.conn.progress_handler(STEPS_PER_LOOK, Some(move || stop.is_cancelled()))?;
        let found: rusqlite::Result<Vec<String>> = self
            .conn
            .prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))
            .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect());
        let faults: Vec<String> = found.map_err(|error| self.judged(error))?;
        if faults != ["ok"] {
            return Err(BackupError::Damaged { path: self.path.clone(), faults: faults.join("; ") });
        }
        let seen = self.seen()?;
        schema::must_be_known(&self.conn)?;
        self.secrets_open(&Sealer::new(key.map(SecretText::reveal))?)?;
        self.conn.progress_handler(0, None::<fn() -> bool>)?;
        Ok(seen)
    }

    /// Every endpoint's, because a key may have come after the first of them.
    fn secrets_open(&self, sealer: &Sealer) -> Result<()> {
        let sql = format!("SELECT {} FROM endpoints e JOIN applications a ON a.no = e.app", codec::ENDPOINT);
        let mut statement = self.conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            codec::endpoint(row, sealer)?;
        }
        Ok(())
    }

    fn copy_to(&self, target: &Path, course: &mut Course<'_>) -> Result<Snapshot> {
        if target.try_exists()? {
            return Err(BackupError::Exists(target.to_owned()));
        }
        let mut seen = self.seen()?;
        must_have_room(target, seen.bytes, course.reserve_bytes)?;
        let part = beside(target, &format!(".{}.part", std::process::id()));
        let copied = self.fill(&part, course).and_then(|()| {
            std::fs::rename(&part, target)?;
            sync_directory_of(target)
        });
        if copied.is_err() {
            for rest in ["", "-wal", "-shm", "-journal"] {
                // What is not there need not go.
                let _ = std::fs::remove_file(beside(&part, rest));
            }
        }
        copied?;
        seen.bytes = target.metadata()?.len();
        Ok(seen)
    }

    /// Writes every page into a new file, and flushes it.
    fn fill(&self, part: &Path, course: &mut Course<'_>) -> Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
        let mut target = Connection::open(part)?;
        // It is flushed here and needs no way back: it has no name yet.
        target.pragma_update(None, "journal_mode", "OFF")?;
        target.pragma_update(None, "synchronous", "OFF")?;
        target.pragma_update(None, "cache_size", -(2 << 10))?;
        let copying = Backup::new(&self.conn, &mut target)?;
        let (total, mut flushed, mut pace) = (self.bytes()?, 0, Pace::of(&self.path));
        loop {
            match copying.step(PAGES_PER_STEP)? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(Error::from(hookfast_core::Error::Unavailable { reason: BUSY.to_owned() }).into()),
            }
            let progress = copying.progress();
            let (left, pages) = (u64::try_from(progress.remaining), u64::try_from(progress.pagecount));
            let (left, pages) = (left.unwrap_or(0), pages.unwrap_or(0).max(1));
            let done = total / pages * (pages - left.min(pages));
            if done - flushed >= FLUSH_BYTES {
                file.sync_data()?;
                flushed = done;
                // The log of a server that writes cannot be folded back meanwhile.
                must_have_room(&self.path, 0, course.reserve_bytes)?;
                std::thread::sleep(pace.rest());
                pace.work();
            }
            if course.stop.is_cancelled() {
                return Err(BackupError::Stopped);
            }
            (course.progress)(done, total);
        }
        drop(copying);
        drop(target);
        // One file, readable where nothing can be written beside it.
        Connection::open(part)?.pragma_update(None, "journal_mode", "DELETE")?;
        Ok(file.sync_all()?)
    }
}

/// How a copy leaves the disk to a server that writes to its source. Where nobody writes, it goes on at once.
struct Pace {
    log: PathBuf,
    written: Option<SystemTime>,
    since: Instant,
}

impl Pace {
    fn of(source: &Path) -> Self {
        let log = beside(source, "-wal");
        Self { written: written(&log), log, since: Instant::now() }
    }

    /// Work begins again.
    fn work(&mut self) {
        (self.written, self.since) = (written(&self.log), Instant::now());
    }

    /// How long to rest now.
    fn rest(&self) -> Duration {
        if written(&self.log) == self.written { Duration::ZERO } else { self.since.elapsed() * REST }
    }
}

fn written(log: &Path) -> Option<SystemTime> {
    log.metadata().and_then(|log| log.modified()).ok()
}

fn must_have_room(at: &Path, bytes: u64, reserve: u64) -> Result<()> {
    let path = at.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let needed = bytes.saturating_add(reserve);
    match disk::free_bytes(path) {
        Some(free) if free < needed => Err(BackupError::NoRoom { path: path.to_owned(), free, needed, reserve }),
        _ => Ok(()),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
