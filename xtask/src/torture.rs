//! `cargo xtask torture`: the crash tests of the binary, made longer by the environment.

use crate::features;
use crate::program::{cargo, each_line};
use crate::testing::Tally;
use anyhow::{Context as _, Result, bail};

/// Tests that go on for as long as they are told: each of them for the minutes given.
const LONG: [&str; 8] = [
    "crash::kill_9_loses_nothing",
    "power::power_cut_loses_nothing",
    "power::power_cut_under_postgresql_loses_nothing",
    "bouncer::nodes_behind_a_pooler_lose_nothing",
    "cluster::three_nodes_lose_nothing",
    "cluster::frozen_nodes_lose_nothing",
    "cluster::a_database_that_restarts",
    "pressed::nodes_whose_connections_are_cut_off",
];

/// How long, and with which chance.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    minutes: u32,
    seed: Option<u64>,
    release: bool,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self> {
        let (mut minutes, mut seed, mut release) = (None, None, false);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--minutes" => minutes = Some(number(arg, args.next())?),
                "--seed" => seed = Some(number(arg, args.next())?),
                "--release" => release = true,
                other => bail!("unknown argument `{other}`; expected --minutes N, --seed S, --release"),
            }
        }
        let minutes = minutes.filter(|minutes| *minutes > 0).context("--minutes N is needed, 1 at least")?;
        Ok(Self { minutes, seed, release })
    }
}

fn number<T: std::str::FromStr>(name: &str, value: Option<&String>) -> Result<T> {
    let value = value.with_context(|| format!("{name} needs a number"))?;
    value.parse().ok().with_context(|| format!("{name}: expected a number, found `{value}`"))
}

/// Runs them one after the other, their output shown as it comes.
pub(crate) fn run(options: &Options) -> Result<bool> {
    // As everything else builds it.
    let selection = ["--package", "hookfast", "--test", "it"].map(str::to_owned);
    let mut command = cargo(["test", "--features", &features::of_selection(&selection)]);
    command.args(&selection);
    if options.release {
        command.arg("--release");
    }
    command.args(["--", "--test-threads=1", "--nocapture"]).args(LONG);
    command.env("HOOKFAST_TORTURE_MINUTES", options.minutes.to_string());
    if let Some(seed) = options.seed {
        command.env("HOOKFAST_SEED", seed.to_string());
    }
    let mut tally = Tally::default();
    let good = each_line(&mut command, |line| {
        println!("{line}");
        tally.read(line);
    })?;
    tally.close(good);
    if tally.passed + tally.failed < LONG.len() as u64 {
        bail!("not every one of {LONG:?} is the name of a test of the binary");
    }
    println!("{tally}");
    Ok(good && tally.failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn minutes_are_needed_and_numbers_are_numbers() {
        let good = parse("--seed 7 --minutes 3").unwrap();
        assert_eq!(good, Options { minutes: 3, seed: Some(7), release: false });
        for bad in ["", "--minutes", "--minutes 0", "--minutes x", "--minutes 1 --fast"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
