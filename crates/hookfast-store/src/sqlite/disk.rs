//! How much room the disk has.

use hookfast_core::Error;
use std::path::Path;

/// Bytes an ordinary process may still write there; `None` when the system does not say.
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes that the store's files take.
pub(crate) fn used_bytes(dir: &Path) -> u64 {
    ["store.db", "store.db-wal"].iter().filter_map(|name| dir.join(name).metadata().ok()).map(|file| file.len()).sum()
}

/// The answer while there is no room.
pub(crate) fn full() -> Error {
    Error::Overloaded { reason: "the disk is nearly full", retry_after_ms: 5_000 }
}
