//! The examples in the help of every command, typed into a shell as they stand there: each does what it is shown for.
//! What they name is made in `examples/ground.rs`; how they are typed is in `examples/typing.rs`.

mod ground;
mod typing;

use crate::cli::{run, text};
use ground::World;
use hookfast_testkit::skip;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A command that no other help names.
const HIDDEN: &str = "fill";
/// Examples typed at a time.
const LANES: usize = 4;
/// Programs that not every machine has.
const PROGRAMS: [&str; 4] = ["curl", "jq", "man", "script"];

/// Every example of every command, without its comment; each once, though several helps show it.
static EXAMPLES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let (mut found, mut left) = (Vec::new(), vec![vec![], vec![HIDDEN.to_owned()]]);
    while let Some(command) = left.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let help = text(&run(&words).stdout);
        let inner = section(&help, "Commands:").filter(|line| !line.starts_with("   "));
        let inner = inner.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        left.extend(inner.map(|name| [command.as_slice(), &[name.to_owned()]].concat()));
        let shown = help.replace("\\\n    ", "");
        let shown: Vec<&str> = section(&shown, "Examples:").collect();
        assert!(command.is_empty() || shown.len() >= 2, "the help of {command:?} shows {} examples", shown.len());
        found.extend(shown.iter().map(|line| line.split("    (").next().unwrap_or(line).trim().to_owned()));
    }
    found.sort();
    found.dedup();
    found
});

/// The lines below a heading.
fn section<'a>(help: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    help.lines().skip_while(move |line| *line != heading).skip(1).take_while(|line| line.starts_with("  "))
}

/// What an example cannot do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    Nothing,
    Postgres,
    Kafka,
    Redis,
}

/// Each example has one need, so that each is typed by one of the tests below.
fn need(example: &str) -> Need {
    let names = |words: &[&str]| words.iter().any(|word| example.contains(word));
    if names(&["postgres://", "hookfast store copy"]) {
        Need::Postgres
    } else if names(&["--topic "]) {
        Need::Kafka
    } else if names(&["hookfast pay"]) {
        Need::Redis
    } else {
        Need::Nothing
    }
}

/// Types every example with this need, and says of all that went wrong how.
async fn type_all(world: World, need_of_these: Need) {
    let lost = world.names().find(|name| !EXAMPLES.iter().any(|one| format!("{one}\n").contains(name)));
    assert!(lost.is_none(), "no example says {lost:?} any more");
    let (world, lanes, mut typed) = (Arc::new(world), Arc::new(Semaphore::new(LANES)), JoinSet::new());
    for example in EXAMPLES.iter().filter(|example| need(example) == need_of_these) {
        if let Some(program) = typing::programs(example).find(|program| !is_installed(program)) {
            skip(&format!("{program} is not installed: {example}"));
            continue;
        }
        let (world, lanes) = (Arc::clone(&world), Arc::clone(&lanes));
        typed.spawn(async move {
            let _lane = lanes.acquire().await.unwrap();
            let outcome = typing::type_one(&world, example).await;
            outcome.err().map(|why| format!("in the help stands: {example}\n{why}"))
        });
    }
    assert!(!typed.is_empty(), "no example needs {need_of_these:?}");
    let wrong: Vec<String> = typed.join_all().await.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{} examples do not do what they should:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

fn is_installed(program: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status().unwrap().success()
}

#[test]
fn what_is_known_of_examples_is_still_of_some() {
    let mut known = typing::starts().chain(ground::starts());
    let lost = known.find(|start| !EXAMPLES.iter().any(|example| example.contains(start)));
    assert!(lost.is_none(), "no example says `{lost:?}` any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_example_does_what_it_is_shown_for() {
    type_all(World::start().await, Need::Nothing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_example_with_a_database_does_what_it_is_shown_for() {
    // Held, so that the server which the examples have their databases on goes on.
    let Some(_database) = hookfast_testkit::postgres::database() else { return };
    type_all(World::start().await, Need::Postgres).await;
}

#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_example_with_a_topic_does_what_it_is_shown_for() {
    let Some(kafka) = hookfast_testkit::kafka::kafka() else { return };
    type_all(World::start().await.with_dead_letters(&kafka).await, Need::Kafka).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_example_with_payments_does_what_it_is_shown_for() {
    let Some(redis) = hookfast_testkit::redis::RedisServer::start() else { return };
    type_all(World::start().await.with_payments(&redis).await, Need::Redis).await;
}
