//! What the disk can do and what is on it. Knows nothing of servers.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

/// Flushes that are timed.
const FLUSHES: usize = 200;
/// Written before each: what a small commit writes.
const WRITE_BYTES: usize = 4096;

/// Median time of an fdatasync after a small append, in µs, in this directory.
pub(in crate::cli) fn fdatasync_p50_us(dir: &Path) -> std::io::Result<f64> {
    let path = dir.join("fdatasync.probe");
    let mut file = File::create(&path)?;
    let block = [0u8; WRITE_BYTES];
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        file.write_all(&block)?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    drop(file);
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[FLUSHES / 2].as_secs_f64() * 1e6)
}

/// Bytes that the files under `dir` occupy; what vanishes while it is read counts as gone.
pub(super) fn bytes_under(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let of_entry = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => bytes_under(&entry.path()),
        // Blocks of 512 bytes, whatever the file system's own size is.
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(of_entry).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_with_those_below_and_the_probe_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/a"), vec![1; 100_000]).unwrap();
        File::open(dir.path().join("sub/a")).unwrap().sync_all().unwrap();
        assert!(fdatasync_p50_us(dir.path()).unwrap() > 0.0);
        assert!((100_000..200_000).contains(&bytes_under(dir.path())));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
