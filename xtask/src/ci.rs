//! `cargo xtask ci`: every check, in the order of what they cost.

use crate::features;
use crate::program::{cargo, must};
use crate::stages::Stages;
use crate::testing::{self, Options};
use crate::tidy;
use anyhow::bail;

/// Runs all stages, also behind a failed one. The answer is whether all was well.
pub(crate) fn run() -> bool {
    let mut stages = Stages::default();
    stages.run("fmt", || must(&mut cargo(["fmt", "--all", "--check"])));
    stages.run("clippy", || {
        let features = features::of_workspace();
        let what = ["clippy", "--workspace", "--all-targets", "--locked", "--features", &features];
        must(cargo(what).args(["--", "-D", "warnings"]))
    });
    stages.run("tidy", || if tidy::run()? { Ok(()) } else { bail!("the rules above are broken") });
    stages.run("doc", || {
        let features = features::of_workspace();
        let what = ["doc", "--workspace", "--no-deps", "--locked", "--features", &features];
        must(cargo(what).env("RUSTDOCFLAGS", "-D warnings"))
    });
    let tally = testing::run(&Options { smoke: true, cargo_args: Vec::new() }, &mut stages);
    testing::finish(&stages, tally)
}
