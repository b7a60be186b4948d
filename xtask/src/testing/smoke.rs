//! The smoke test: the demo of the development build, end to end, in seconds.

use crate::program::{cargo, must, output, root};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SECONDS: u64 = 5;
/// The demo ends by itself; past this it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `hookfast demo --seconds 5`: it must end by itself with 0 and have delivered something.
pub(crate) fn run() -> Result<()> {
    must(&mut cargo(["build", "--package", "hookfast", "--locked"]))?;
    let mut demo = Command::new(binary()?);
    demo.args(["demo", "--seconds", &SECONDS.to_string()]).current_dir(root()).stdin(Stdio::null());
    let text = run_bounded(demo)?;
    let tail: Vec<&str> = text.lines().rev().take(15).collect();
    tail.iter().rev().for_each(|line| println!("{line}"));
    match delivered(&text) {
        Some(number) if number > 0 => Ok(()),
        Some(_) => bail!("the demo delivered nothing"),
        None => bail!("the demo does not say how many it delivered"),
    }
}

/// Where the binary of development lies.
pub(super) fn binary() -> Result<PathBuf> {
    let metadata = output(&mut cargo(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(target).join("debug/hookfast"))
}

/// What it printed, stdout and stderr in one file so that neither can fill a pipe.
fn run_bounded(mut command: Command) -> Result<String> {
    let path = std::env::temp_dir().join(format!("hookfast-smoke-{}.log", std::process::id()));
    let log = std::fs::File::create(&path)?;
    let mut child = command.stdout(log.try_clone()?).stderr(log).spawn().context("cannot start the demo")?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
    std::fs::remove_file(&path)?;
    match status {
        Some(status) if status.success() => Ok(text),
        Some(status) => bail!("the demo ended with {status}:\n{text}"),
        None => bail!("the demo did not end within {} s:\n{text}", PATIENCE.as_secs()),
    }
}

/// The greatest number behind the word `delivered` in what the demo printed: `delivered=120`, `delivered 1,200`.
fn delivered(text: &str) -> Option<u64> {
    let behind = text.match_indices("delivered").map(|(at, word)| &text[at + word.len()..]);
    let numbers = behind.filter_map(|rest| {
        let rest = rest.trim_start_matches([' ', '=', ':']);
        let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
        digits.replace(',', "").parse().ok()
    });
    numbers.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_deliveries_is_found_in_every_spelling() {
        assert_eq!(delivered("t=1 accepted=5 delivered=4 (2.0/s) dead=9\nt=2 delivered=85 dead=9"), Some(85));
        assert_eq!(delivered("healthy delivered 1,084 dead 0\ndown    delivered 0   dead 12"), Some(1084));
        assert_eq!(delivered("delivered: 0"), Some(0));
        assert_eq!(delivered("what waits is delivered as it comes due"), None);
        assert_eq!(delivered("nothing"), None);
        assert_eq!(delivered("delivered"), None);
    }

    #[test]
    fn a_program_that_fails_is_told_with_what_it_printed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let error = run_bounded(command).unwrap_err().to_string();
        assert!(error.contains("out") && error.contains("err") && error.contains('3'), "{error}");
    }
}
