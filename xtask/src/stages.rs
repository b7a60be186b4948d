//! Stages of a run: what was done, how it ended, how long it took.

use anyhow::Result;
use std::time::{Duration, Instant};

struct Stage {
    name: &'static str,
    took: Duration,
    good: bool,
    /// Its failure is told elsewhere: the tests it ran were counted one by one.
    counted: bool,
}

/// The stages so far.
#[derive(Default)]
pub(crate) struct Stages {
    done: Vec<Stage>,
}

impl Stages {
    /// Runs one stage. Its error is printed and remembered: later stages run all the same, so that one run tells all.
    pub(crate) fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        self.step(name, false, work)
    }

    /// As [`Stages::run`], for a stage whose failures are counted test by test.
    pub(crate) fn run_tests<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        self.step(name, true, work)
    }

    fn step<T>(&mut self, name: &'static str, counted: bool, work: impl FnOnce() -> Result<T>) -> Option<T> {
        println!("\n=== {name}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        if let Err(error) = &result {
            println!("{name}: {error:#}");
        }
        println!("=== {name}: {} in {:.1} s", word(result.is_ok()), took.as_secs_f64());
        self.done.push(Stage { name, took, good: result.is_ok(), counted });
        result.ok()
    }

    /// How many failed, without those whose failures are counted test by test.
    pub(crate) fn failed(&self) -> u64 {
        self.done.iter().filter(|stage| !stage.good && !stage.counted).count() as u64
    }

    /// Prints how long each took.
    pub(crate) fn print(&self) {
        println!("\n=== stages");
        for Stage { name, took, good, .. } in &self.done {
            println!("{name:<10} {:>8.1} s  {}", took.as_secs_f64(), word(*good));
        }
        let all: Duration = self.done.iter().map(|stage| stage.took).sum();
        println!("{:<10} {:>8.1} s", "all", all.as_secs_f64());
    }
}

fn word(good: bool) -> &'static str {
    if good { "ok" } else { "FAILED" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_is_counted_and_the_next_one_runs() {
        let mut stages = Stages::default();
        assert_eq!(stages.run::<()>("first", || anyhow::bail!("broken")), None);
        assert_eq!(stages.run("second", || Ok(2)), Some(2));
        assert_eq!(stages.run_tests::<()>("tests", || anyhow::bail!("told in the tally")), None);
        assert_eq!(stages.failed(), 1);
    }
}
