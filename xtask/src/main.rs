//! Project automation, as `cargo xtask COMMAND`. It reads the tree and runs programs; it knows no member of the
//! workspace and no member knows it.
#![expect(clippy::print_stdout, reason = "what it prints is its output")]

mod ci;
mod features;
mod program;
mod stack;
mod stages;
mod testing;
mod tidy;
mod torture;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  ci                                everything that must hold: fmt, clippy, tidy, doc, test with the demo
  test [--smoke] [CARGO TEST ARGS]  installs what the tests need, runs them, sums them up
  stack up|status|down|test|image   the first systems on this machine: real Kafka, PostgreSQL, Redis, nginx, and hookfast;
                                    [--dir DIR] [--port-base N]; up [PART…] [--release] [--binary FILE]; down [--wipe]; test [--faults]
  tidy                              the rules of the house that no compiler knows
  torture --minutes N [--seed S]    the crash tests for that long

Under CI=true a skipped test is a failure.";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; the answer is whether all was well.
fn run(mut args: Vec<String>) -> Result<bool> {
    if args.is_empty() {
        println!("{HELP}");
        return Ok(true);
    }
    let command = args.remove(0);
    match command.as_str() {
        "ci" if args.is_empty() => Ok(ci::run()),
        "test" => Ok(testing::run_alone(&testing::Options::parse(args))),
        "stack" => stack::run(&stack::Options::parse(&args)?),
        "tidy" if args.is_empty() => tidy::run(),
        "torture" => torture::run(&torture::Options::parse(&args)?),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(true)
        }
        _ => bail!("unknown command `{command} {}`; expected one of\n\n{HELP}", args.join(" ")),
    }
}
