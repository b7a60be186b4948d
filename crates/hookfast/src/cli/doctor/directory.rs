//! The data directory: may we use it, who does, is the store in it whole, and what can its disk do?

use super::finding::Finding;
use crate::cli::bench::disk::fdatasync_p50_us;
use hookfast_store::sqlite::{DirLock, Inspection, inspect};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// Longest check of the store's pages.
const CHECK_S_MAX: u64 = 30;
/// A flush that takes longer makes every answer wait noticeably.
const FLUSH_US_GOOD: f64 = 20_000.0;
/// Within this much of the reserve, the end of accepting is near.
const SPACE_NEAR_FACTOR: u64 = 4;

/// Of what use the directory is.
pub(super) enum State {
    /// None is needed: everything is kept elsewhere.
    None,
    /// It is not there; a server makes it.
    Missing { parent_fault: Option<String> },
    /// It cannot be used.
    Unusable { found: String, advice: String },
    /// It can be used, or is.
    Usable { holder: Option<Holder> },
}

/// Who holds the directory.
pub(super) struct Holder {
    pub(super) pid: Option<u32>,
}

/// Looks at the directory; makes nothing but the lock file, and that only in a directory that is there.
pub(super) fn state(dir: &Path) -> State {
    let meta = match std::fs::metadata(dir) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return missing(dir),
        Err(error) => return unusable(dir, &error.to_string()),
    };
    if !meta.is_dir() {
        return unusable(dir, "it is no directory");
    }
    if let Some(stranger) = stranger_in(dir) {
        let found = format!("{}: {stranger}", dir.display());
        return State::Unusable { found, advice: "give it to this user with chown, or run as its owner".into() };
    }
    match DirLock::take(dir) {
        Ok(_) => State::Usable { holder: None },
        Err(hookfast_store::Error::Locked { pid, .. }) => State::Usable { holder: Some(Holder { pid }) },
        Err(error) => State::Unusable { found: error.to_string(), advice: ADVICE.into() },
    }
}

const ADVICE: &str = "name a directory that this user can write with --data-dir";

fn unusable(dir: &Path, why: &str) -> State {
    State::Unusable { found: format!("{}: {why}", dir.display()), advice: ADVICE.into() }
}

/// Could it be made?
fn missing(dir: &Path) -> State {
    let above = dir.ancestors().skip(1).map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    let parent = above.into_iter().find(|above| above.exists()).unwrap_or(Path::new("/"));
    let fault = match rustix::fs::access(parent, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        _ if !parent.is_dir() => Some(format!("{} is no directory", parent.display())),
        Ok(()) => None,
        Err(error) => Some(format!("{}: {error}", parent.display())),
    };
    State::Missing { parent_fault: fault }
}

/// A file that belongs to another user: the usual trace of one start as root.
fn stranger_in(dir: &Path) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    let files = ["store.db", "store.db-wal", "store.db-shm", "lock"].map(|name| dir.join(name));
    let of_another = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.uid()).filter(|uid| *uid != me);
    let paths = std::iter::once(dir).chain(files.iter().map(std::path::PathBuf::as_path));
    let (path, uid) = paths.filter_map(|path| Some((path, of_another(path)?))).next()?;
    // Root may write what is not its own, but its files then lock the owner out.
    Some(format!("{} belongs to user {uid}, this is user {me}", path.file_name()?.to_string_lossy()))
}

/// What that means.
pub(super) fn finding(dir: &Path, state: &State) -> Finding {
    let name = dir.display();
    match state {
        State::None => Finding::ok("data directory", "none is needed"),
        State::Missing { parent_fault: None } => {
            Finding::ok("data directory", format!("{name} is not there yet; a server makes it"))
        }
        State::Missing { parent_fault: Some(fault) } => {
            Finding::fail("data directory", format!("{name} cannot be made: {fault}"), ADVICE)
        }
        State::Unusable { found, advice } => Finding::fail("data directory", found, advice),
        State::Usable { holder } => {
            let mode = std::fs::metadata(dir).map_or(0, |meta| meta.mode());
            if mode & 0o077 != 0 {
                let found = format!("{name} can be entered by other users (mode {:o})", mode & 0o777);
                return Finding::warn("data directory", found, format!("payloads are in it: chmod 700 {name}"));
            }
            let used = match holder {
                None => "free".to_owned(),
                Some(Holder { pid: Some(pid) }) => format!("in use by process {pid}"),
                Some(Holder { pid: None }) => "in use by another process".to_owned(),
            };
            Finding::ok("data directory", format!("{name} can be written, {used}"))
        }
    }
}

/// The store in it. While it is in use its pages are not read through.
pub(super) fn store(dir: &Path, in_use: bool) -> (Finding, Option<Inspection>) {
    let limit = (!in_use).then_some(Duration::from_secs(CHECK_S_MAX));
    let seen = match inspect(dir, limit) {
        Ok(Some(seen)) => seen,
        Ok(None) => return (Finding::ok("store", "there is none yet; a server makes it"), None),
        Err(error) => {
            return (Finding::fail("store", format!("it cannot be read: {error}"), RESTORE), None);
        }
    };
    let Inspection { schema, schema_known: known, faults, .. } = &seen;
    let finding = if schema > known {
        let found = format!("it has schema {schema}, this binary knows up to {known}");
        Finding::fail("store", found, "use the newer hookfast that wrote it")
    } else {
        let schema =
            if schema < known { format!("{schema} (a server brings it to {known})") } else { known.to_string() };
        match faults {
            Some(faults) if !faults.is_empty() => {
                Finding::fail("store", format!("it is damaged: {}", faults.join("; ")), RESTORE)
            }
            Some(_) => Finding::ok("store", format!("schema {schema}, its pages are whole")),
            None if in_use => {
                Finding::ok("store", format!("schema {schema}; its pages are checked when nobody uses it"))
            }
            None => Finding::ok(
                "store",
                format!("schema {schema}, no fault found in {CHECK_S_MAX} s, and not all looked at"),
            ),
        }
    };
    (finding, Some(seen))
}

const RESTORE: &str = "stop the server, keep a copy of the directory, and go back to a backup";

/// Room on its disk, against what is held in reserve.
pub(super) fn space(dir: &Path, reserve: u64) -> Finding {
    let free = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            return Finding::warn("disk space", format!("the system does not say: {error}"), "look at it with df");
        }
    };
    let found = format!("{} free, store.disk_reserve_bytes is {}", size(free), size(reserve));
    if free < reserve {
        return Finding::fail("disk space", found, "no events are accepted: make room, or lower the reserve");
    }
    if free / SPACE_NEAR_FACTOR < reserve {
        return Finding::warn("disk space", found, "make room before events are refused");
    }
    Finding::ok("disk space", found)
}

/// How fast its disk makes things durable.
pub(super) fn flush(dir: &Path) -> Finding {
    match fdatasync_p50_us(dir) {
        Ok(us) if us <= FLUSH_US_GOOD => Finding::ok("disk flush", format!("{us:.0} µs (median fdatasync)")),
        Ok(us) => {
            let found = format!("{:.1} ms (median fdatasync); every accepted event waits for one", us / 1000.0);
            Finding::warn("disk flush", found, "use a faster disk, no network file system")
        }
        Err(error) => Finding::fail("disk flush", format!("a probe in the directory failed: {error}"), ADVICE),
    }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const STEP: f64 = 1024.0;
    let mut shown = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if shown < STEP {
            break;
        }
        (shown, unit) = (shown / STEP, larger);
    }
    if shown.fract() < 0.05 { format!("{shown:.0} {unit}") } else { format!("{shown:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        assert_eq!([0, 1023, 64 << 20, 3 << 29].map(size), ["0 B", "1023 B", "64 MiB", "1.5 GiB"]);
    }

    #[test]
    fn a_disk_without_room_fails_and_one_nearly_so_warns() {
        let dir = tempfile::tempdir().unwrap();
        let free = rustix::fs::statvfs(dir.path()).map(|stat| stat.f_bavail * stat.f_frsize).unwrap();
        assert_eq!(space(dir.path(), 0).level, Level::Ok);
        assert_eq!(space(dir.path(), free / 2).level, Level::Warn);
        assert_eq!(space(dir.path(), free.saturating_mul(2)).level, Level::Fail);
    }

    #[test]
    fn a_directory_that_cannot_be_made_or_is_none_fails() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let level = |path: &Path| finding(path, &state(path)).level;
        assert_eq!(level(&file), Level::Fail);
        assert_eq!(level(&file.join("below")), Level::Fail);
        assert_eq!(level(&dir.path().join("a/b/c")), Level::Ok);
        assert!(!dir.path().join("a").exists(), "it made the directory");
    }
}
