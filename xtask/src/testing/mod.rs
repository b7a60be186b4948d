//! `cargo xtask test`: makes ready what tests need, runs them with plain `cargo test`, says what came of it.

pub(crate) mod kafka;
pub(crate) mod postgres;
pub(crate) mod services;
mod smoke;
mod tally;

use crate::features;
use crate::program::{cargo, each_line, in_ci, must};
use crate::stack;
use crate::stages::Stages;
use anyhow::{Result, bail};
use services::Running;
use std::collections::BTreeSet;
pub(crate) use tally::Tally;

/// The tests of the tests: the binary is built to die at named points and with planted bugs, which must be caught.
const PLANTED: [&str; 10] = [
    "--workspace",
    "--features",
    "hookfast/failpoints",
    "--test",
    "it",
    "--test",
    "postgres",
    "--",
    "failpoints::",
    "planted_",
];

/// What to run.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Also run the demo.
    pub(crate) smoke: bool,
    /// For `cargo test`, instead of the whole workspace.
    pub(crate) cargo_args: Vec<String>,
}

impl Options {
    pub(crate) fn parse(mut args: Vec<String>) -> Self {
        let before = args.len();
        args.retain(|arg| arg != "--smoke");
        Self { smoke: args.len() < before || in_ci(), cargo_args: args }
    }
}

/// Runs the tests by themselves and ends with the line of sums.
pub(crate) fn run_alone(options: &Options) -> bool {
    let mut stages = Stages::default();
    let tally = run(options, &mut stages);
    finish(&stages, tally)
}

/// Prints how long each stage took, and last the line of sums, in which a failed stage counts as a failure: nobody who
/// reads that line alone is misled. The answer is whether all was well.
pub(crate) fn finish(stages: &Stages, mut tally: Tally) -> bool {
    stages.print();
    tally.failed += stages.failed();
    let skips_count = in_ci() && tally.skipped > 0;
    if skips_count {
        println!("under CI=true a skipped test is a failure");
    }
    println!("{tally}");
    tally.failed == 0 && !skips_count
}

/// Runs the tests as stages and counts them.
pub(crate) fn run(options: &Options, stages: &mut Stages) -> Tally {
    let mut running = Running::default();
    stages.run("services", || {
        running.start(services::all());
        if in_ci() && !running.lacking.is_empty() {
            bail!("under CI=true everything that tests need must be had");
        }
        Ok(())
    });
    let mut tally = Tally::default();
    let selection =
        if options.cargo_args.is_empty() { vec!["--workspace".to_owned()] } else { options.cargo_args.clone() };
    let what: Vec<&String> = selection.iter().take_while(|arg| *arg != "--").collect();
    let build = || must(cargo(["test", "--no-run", "--features", &features::of_selection(&selection)]).args(&what));
    if stages.run("build", build).is_none() {
        return tally;
    }
    let mut skips = BTreeSet::new();
    stages.run_tests("test", || run_tests(&selection, &running, &mut tally, &mut skips));
    if options.smoke && running.lacking.is_empty() {
        // The binary that the tests were built with, before the demo builds one without Kafka.
        let built = options.cargo_args.is_empty().then(smoke::binary);
        let test = || built.transpose().and_then(stack::test);
        let good = stages.run_tests("stack", test).is_some();
        tally.add("stack: the first systems, whole, and with parts killed", good);
    } else if options.smoke {
        skips.insert("stack: some of its programs cannot be had".to_owned());
        tally.skipped += 1;
    }
    if options.smoke {
        let good = stages.run_tests("smoke", smoke::run).is_some();
        tally.add("smoke: hookfast demo", good);
    }
    // Last, as it leaves a binary behind that can be told to fail.
    if options.cargo_args.is_empty() {
        let selection = PLANTED.map(str::to_owned);
        stages.run_tests("planted", || run_tests(&selection, &running, &mut tally, &mut skips));
    }
    for failure in &tally.failures {
        println!("FAILED: {failure}");
    }
    for skip in skips {
        println!("SKIPPED: {skip}");
    }
    tally
}

fn run_tests(selection: &[String], running: &Running, tally: &mut Tally, skips: &mut BTreeSet<String>) -> Result<()> {
    let before = tally.failed;
    let log = std::env::temp_dir().join(format!("hookfast-skips-{}.log", std::process::id()));
    std::fs::write(&log, "")?;
    let mut command = cargo(["test", "--no-fail-fast", "--features", &features::of_selection(selection)]);
    command.args(selection).envs(running.environment.iter().cloned()).env("HOOKFAST_SKIP_LOG", &log);
    let good = each_line(&mut command, |line| {
        println!("{line}");
        tally.read(line);
    })?;
    tally.close(good);
    let announced = tally::announced_skips(&std::fs::read_to_string(&log)?);
    tally.add_announced_skips(&announced);
    skips.extend(announced);
    std::fs::remove_file(&log)?;
    if tally.failed > before {
        bail!("{} failed", tally.failed - before);
    }
    Ok(())
}
