//! How a test says that it cannot run here. Knows nothing of who collects it.

use std::io::Write as _;
use std::path::Path;

/// Says loudly that the calling test is skipped, and why. The caller returns at once.
///
/// The line `SKIP: test: reason` goes to stdout and, where `HOOKFAST_SKIP_LOG` names a file, is appended to it:
/// `cargo xtask test` lists these lines and, under `CI=true`, fails because of them.
pub fn skip(reason: &str) {
    let log = std::env::var_os("HOOKFAST_SKIP_LOG");
    announce(reason, log.as_ref().map(Path::new));
}

fn announce(reason: &str, log: Option<&Path>) {
    let thread = std::thread::current();
    let line = format!("SKIP: {}: {reason}\n", thread.name().unwrap_or("a test"));
    print!("{line}");
    if let Some(path) = log {
        // One write: tests of several processes append to it at once.
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_one_line_with_the_name_of_its_test() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::thread::scope(|scope| {
            for name in ["crash::one", "crash::two"] {
                let test = std::thread::Builder::new().name(name.to_owned());
                test.spawn_scoped(scope, || announce("no loop device", Some(&log))).unwrap().join().unwrap();
            }
        });
        let text = std::fs::read_to_string(&log).unwrap();
        assert_eq!(text, "SKIP: crash::one: no loop device\nSKIP: crash::two: no loop device\n");
    }
}
