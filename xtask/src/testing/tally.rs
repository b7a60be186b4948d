//! Reads what `cargo test` prints and sums it up. Pure.

use std::collections::BTreeSet;
use std::fmt;

/// The sums of a test run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// What failed, by name.
    pub(crate) failures: Vec<String>,
    /// Test binaries that announced tests and whose result has not come yet: 0 or 1.
    open: u64,
}

impl Tally {
    /// Takes in one line of stdout.
    pub(crate) fn read(&mut self, line: &str) {
        if is_header(line) {
            // The one before ended without a result: it crashed, and nobody knows how many of its tests ran.
            self.crashed();
            self.open = 1;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.open = 0;
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.skipped += count(counts, "ignored");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
    }

    /// The run ended; `good` is what cargo said of it. A run that went wrong has a failure, whatever was printed.
    pub(crate) fn close(&mut self, good: bool) {
        self.crashed();
        if !good && self.failed == 0 {
            self.failed = 1;
            self.failures.push("cargo test (it did not build, or a test binary crashed)".to_owned());
        }
    }

    /// A test that cargo knows nothing of.
    pub(crate) fn add(&mut self, name: &str, good: bool) {
        if good {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.failures.push(name.to_owned());
        }
    }

    /// Tests that announced a skip of their own: libtest counted them as passed.
    pub(crate) fn add_announced_skips(&mut self, skips: &BTreeSet<String>) {
        let announced = (skips.len() as u64).min(self.passed);
        self.passed -= announced;
        self.skipped += announced;
    }

    fn crashed(&mut self) {
        if self.open > 0 {
            self.failed += 1;
            self.failures.push("a test binary ended without a result".to_owned());
        }
        self.open = 0;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// `running 3 tests`
fn is_header(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next() == Some("running")
        && words.next().is_some_and(|number| number.parse::<u64>().is_ok())
        && matches!(words.next(), Some("test" | "tests"))
        && words.next().is_none()
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(counts: &str, word: &str) -> u64 {
    counts
        .split([';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_, name)| *name == word)
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

/// The skips that tests announced in their log, each once: `SKIP: name: reason`.
pub(crate) fn announced_skips(log: &str) -> BTreeSet<String> {
    log.lines().filter_map(|line| line.strip_prefix("SKIP: ")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, good: bool) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        tally.close(good);
        tally
    }

    #[test]
    fn results_of_all_binaries_are_summed() {
        let text = "\
running 3 tests
test ids::order ... ok
test a::b ... FAILED
test c ... ignored

failures:

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s

running 1 test
test x ... ok
test result: ok. 21 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.52s

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        let tally = read(text, false);
        assert_eq!(tally.to_string(), "22 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failures, ["a::b"]);
    }

    #[test]
    fn a_binary_that_crashed_is_a_failure() {
        let text = "running 2 tests\ntest a ... ok\nrunning 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored;";
        assert_eq!(read(text, false).failed, 1);
        assert_eq!(read("running 2 tests\ntest a ... ok", false).failed, 1);
    }

    #[test]
    fn a_run_that_did_not_build_is_a_failure() {
        assert_eq!(read("", false).to_string(), "0 passed, 1 failed, 0 skipped");
        assert_eq!(read("", true).to_string(), "0 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn what_a_test_prints_is_no_header() {
        let tally = read("running tests\nrunning 3 tests with care\nrunning x tests", true);
        assert_eq!(tally.failed, 0);
    }

    #[test]
    fn an_announced_skip_is_not_a_pass() {
        let skips = announced_skips("SKIP: a: no loop device\nSKIP: b: no strace\nSKIP: a: no loop device\nnoise\n");
        let mut tally = read("test result: ok. 5 passed; 0 failed; 0 ignored;", true);
        tally.add_announced_skips(&skips);
        assert_eq!(tally.to_string(), "3 passed, 0 failed, 2 skipped");
    }
}
