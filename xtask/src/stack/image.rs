//! `cargo xtask stack image`: what the Dockerfile does to build, without a container engine: its build script, in a
//! directory that has the files of an image's build and nothing else. The result is tried.

use crate::program::{must, output, root};
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Builds in `dir`. What was compiled there before is used again.
pub(crate) fn build(dir: &Path, profile: &str) -> Result<()> {
    let (context, out) = (dir.join("context"), dir.join("out"));
    if context.exists() {
        std::fs::remove_dir_all(&context)?;
    }
    let files = context_files()?;
    for file in &files {
        let to = context.join(file);
        std::fs::create_dir_all(to.parent().context("a file lies in a directory")?)?;
        std::fs::copy(root().join(file), to)?;
    }
    println!("{} files in {}", files.len(), context.display());
    let mut script = Command::new(context.join("deploy/build.sh"));
    must(script.arg(&out).arg(profile).current_dir(&context).env("CARGO_TARGET_DIR", dir.join("target")))?;
    // A binary without Kafka says where a binary with it is had.
    let mut check = Command::new(out.join("hookfast"));
    check.args(["config", "check", "--config"]).arg(context.join("deploy/event_consumer.toml"));
    check.env_clear().envs([("KAFKA_ADDR", "kafka:29092"), ("HOOKFAST_STORE__URL", "postgres://postgres/db")]);
    must(&mut check)
}

/// What `COPY . .` copies: every file of the tree but what `.dockerignore` names, which git does not track either.
fn context_files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = output(git.current_dir(root()))?;
    let files = listed.split_terminator('\0').filter(|file| root().join(file).is_file());
    let files: Vec<String> = files.map(str::to_owned).collect();
    ensure!(files.iter().any(|file| file == "deploy/build.sh"), "the tree has no deploy/build.sh");
    Ok(files)
}
