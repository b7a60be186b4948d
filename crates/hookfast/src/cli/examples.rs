//! The examples in the help of every command: at least two, and each one a command line that this binary takes. Test
//! only.
#![cfg(test)]

use super::Cli;
use clap::{CommandFactory as _, Parser as _};

/// What stands for a value that the shell would put in: a number, because it fits everywhere.
const VALUE: &str = "1";
/// Help is wrapped at 100; a wrapped example cannot be copied.
const WIDTH_MAX: usize = 100;

/// The commands in a line of shell, each as its words. Knows quotes, `$(…)`, `$NAME`, comments in brackets, and what
/// separates commands.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\'' => {
                let (quoted, after) = rest.split_once('\'').expect("a quote that ends");
                word.get_or_insert_default().push_str(quoted);
                rest = after;
            }
            '$' if rest.starts_with('(') => {
                let (inner, after) = rest[1..].split_once(')').expect("a bracket that ends");
                found.splice(0..0, commands(inner));
                word.get_or_insert_default().push_str(VALUE);
                rest = after;
            }
            '$' => {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_uppercase());
                word.get_or_insert_default().push_str(VALUE);
            }
            // What is quoted so has no blanks in these examples.
            '"' => {}
            '(' if word.is_none() => break,
            '|' | '&' | ';' | '>' | '<' | ' ' => {
                let last = found.last_mut().expect("there is one");
                last.extend(word.take());
                match c {
                    ' ' => {}
                    '>' | '<' => rest = rest.trim_start().split_once(' ').map_or("", |(_, after)| after),
                    _ => found.push(Vec::new()),
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    found.last_mut().expect("there is one").extend(word);
    for words in &mut found {
        let assignments =
            words.iter().take_while(|word| word.split('=').count() == 2 && !word.starts_with('-')).count();
        words.drain(..assignments);
    }
    found.retain(|words| words.first().is_some_and(|first| first == "hookfast"));
    found
}

/// Each example of a help text, with its continued lines.
fn examples(help: &str) -> Vec<String> {
    let Some((_, examples)) = help.split_once("\nExamples:\n") else { return Vec::new() };
    let joined = examples.replace("\\\n", " ");
    joined.lines().take_while(|line| line.starts_with("  ")).map(|line| line.trim().to_owned()).collect()
}

fn check(command: &clap::Command, path: &str) {
    let name = format!("{path}{}", command.get_name());
    if command.has_subcommands() {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            check(inner, &format!("{name} "));
        }
    }
    let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let examples = examples(&format!("\n{after}"));
    let widest =
        after.lines().filter(|line| line.starts_with("  ")).map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= WIDTH_MAX, "the help of `{name}` has a line of {widest} characters");
    assert!(examples.len() >= 2, "the help of `{name}` shows {} examples", examples.len());
    let mut own = 0;
    for example in &examples {
        let commands = commands(example);
        assert!(!commands.is_empty(), "`{name}` shows no command of hookfast in: {example}");
        for words in commands {
            own += usize::from(words.join(" ").starts_with(&name));
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("an example of `{name}` is no command line: {example}\n{words:?}\n{error}");
            }
        }
    }
    assert!(own >= 2, "the examples of `{name}` are of other commands: {examples:?}");
}

#[test]
fn every_command_shows_two_examples_that_are_command_lines() {
    let command = Cli::command();
    for inner in command.get_subcommands() {
        check(inner, "hookfast ");
    }
}

#[test]
fn lines_of_shell_are_taken_apart() {
    let taken = |line| commands(line).into_iter().map(|words| words[1..].join("|")).collect::<Vec<_>>();
    assert_eq!(taken("hookfast a --x 'b c' > f && curl y < z | hookfast d \"$E\""), ["a|--x|b c", "d|1"]);
    assert_eq!(taken("T=$(hookfast a b) hookfast c --pid \"$(pidof x)\""), ["a|b", "c|--pid|1"]);
    assert_eq!(taken("hookfast a    (and so on)"), ["a"]);
}
