//! Typing an example and looking at what comes of it: how it ends, whether it showed something, and, for what goes on
//! until it is stopped, that it is at work before. Knows nothing of what the examples name.

use super::PROGRAMS;
use super::ground::{Ground, World};
use crate::cli::text;
use crate::rig::BINARY;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

/// Longest that an example may take.
const TAKES_MAX: Duration = Duration::from_secs(60);
/// Between two events for who waits for one.
const NUDGE: Duration = Duration::from_millis(300);

/// What asks on a terminal whether it should.
const ASKING: [&str; 3] = ["hookfast app delete shop", "hookfast endpoint delete ep_", "hookfast dlq replay ep_"];

/// Whether a line shows that a command is at work.
type Sign = fn(&str) -> bool;

/// What goes on until it is stopped.
const LASTING: [(&str, Sign); 5] = [
    ("hookfast serve", |line| line.contains("listening on http://")),
    ("hookfast listen", |line| line.starts_with("listening: register ")),
    ("hookfast demo", |line| line.contains("delivered=") && !line.contains("delivered=0 ")),
    ("hookfast payments", |line| line.starts_with("payments: GET ")),
    (TAIL, |line| line.contains("msg_")),
];
/// What shows nothing until somebody does something.
const TAIL: &str = "hookfast tail";

/// What examples are known by here.
pub(super) fn starts() -> impl Iterator<Item = &'static str> {
    LASTING.iter().map(|(start, _)| *start).chain(ASKING)
}

fn is_asking(example: &str) -> bool {
    ASKING.iter().any(|start| example.contains(start))
}

/// Programs beside hookfast that it takes.
pub(super) fn programs(example: &str) -> impl Iterator<Item = &'static str> {
    let words: Vec<&str> = example.split(' ').collect();
    let is_run = move |program| words.windows(2).any(|pair| pair[0] != "hookfast" && pair[1] == program);
    PROGRAMS.into_iter().filter(move |program| is_run(*program) || (*program == "script" && is_asking(example)))
}

/// Types an example in a place of its own.
///
/// # Errors
/// What it did that it should not have done.
pub(super) async fn type_one(world: &World, example: &str) -> Result<(), String> {
    let ground = world.ground(example).await;
    let typed = async {
        match LASTING.iter().find(|(start, _)| example.contains(start)) {
            Some((_, is_at_work)) => until_stopped(&ground, *is_at_work).await,
            None if is_asking(example) => judged(&ground.line, &on_a_terminal(&ground).await),
            None => judged(&ground.line, &shell(&ground, &ground.line).output().await.unwrap()),
        }
    };
    let outcome = timeout(TAKES_MAX, typed).await.unwrap_or_else(|_| Err(format!("more than {TAKES_MAX:?}")));
    outcome.map_err(|why| format!("typed was: {}\n{why}", ground.line))
}

/// A shell that knows nothing of who runs the tests.
fn shell(ground: &Ground, line: &str) -> Command {
    let mut shell = Command::new("bash");
    let path = format!("{}:{}", Path::new(BINARY).parent().unwrap().display(), std::env::var("PATH").unwrap());
    shell.args(["--norc", "-e", "-o", "pipefail", "-c", line]).env_clear().env("PATH", path);
    shell.env("HOME", ground.dir.path()).env("SHELL", "/bin/bash").env("TERM", "xterm");
    shell.envs(ground.env.iter().map(|(name, value)| (name, value)));
    shell.current_dir(ground.dir.path()).stdin(Stdio::null()).kill_on_drop(true);
    shell
}

/// Types it where somebody can be asked, and says yes.
async fn on_a_terminal(ground: &Ground) -> Output {
    let mut terminal = shell(ground, "exec script --quiet --return --command \"$EXAMPLE\" /dev/null");
    terminal.env("EXAMPLE", &ground.line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = terminal.spawn().unwrap();
    let mut keys = child.stdin.take().unwrap();
    keys.write_all(b"y\n").await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    drop(keys);
    output
}

/// Did it end well, and show what it was asked for?
fn judged(line: &str, output: &Output) -> Result<(), String> {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    let because = |what: &str| format!("{what}\nits output: {out}\nbeside: {error}");
    if !output.status.success() {
        return Err(because(&format!("it ended with {}", output.status)));
    }
    let words: Vec<&str> = line.split(' ').collect();
    let answers: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&out).into_iter().collect();
    if words.contains(&"--json") {
        let answers = answers.map_err(|why| because(&format!("no JSON: {why}")))?;
        let is_empty = |answer: &Value| answer["data"].as_array().is_some_and(Vec::is_empty);
        if answers.is_empty() || answers.iter().any(is_empty) {
            return Err(because("it shows nothing"));
        }
    } else if words.contains(&"list") && out.lines().count() < 2 {
        return Err(because("it lists nothing"));
    }
    Ok(())
}

/// Starts it, waits until it is at work, and tells it to stop.
async fn until_stopped(ground: &Ground, is_at_work: Sign) -> Result<(), String> {
    // The shell is replaced, so that the signal reaches the command.
    let line = ground.line.replacen("hookfast ", "exec hookfast ", 1);
    let mut child = shell(ground, &format!("{line} 2>&1")).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut heard, mut nudge) = (Vec::new(), interval(NUDGE));
    loop {
        tokio::select! {
            line = lines.next_line() => match line.unwrap() {
                None => return Err(format!("it ended by itself: {}", heard.join("\n"))),
                Some(line) => {
                    let is_enough = is_at_work(&line);
                    heard.push(line);
                    if is_enough {
                        break;
                    }
                }
            },
            _ = nudge.tick(), if ground.line.starts_with(TAIL) => send(ground).await,
        }
    }
    tell_to_stop(&child);
    while let Some(line) = lines.next_line().await.unwrap() {
        heard.push(line);
    }
    let status = child.wait().await.unwrap();
    let why = || format!("told to stop it ended with {status}: {}", heard.join("\n"));
    status.success().then_some(()).ok_or_else(why)
}

/// What an application does while somebody looks on.
async fn send(ground: &Ground) {
    let sent = shell(ground, "hookfast send --app shop --type invoice.paid").stdout(Stdio::null()).status().await;
    assert!(sent.unwrap().success());
}

fn tell_to_stop(child: &Child) {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    kill_process(pid.expect("it runs"), Signal::TERM).unwrap();
}
