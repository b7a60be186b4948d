//! The command line: which commands there are, and on what kind of runtime each runs. What a command does is in its
//! own file.

mod bench;
mod demo;
mod fill;
mod listen;
mod send;
mod serve;
mod token;

use crate::exit::Exit;
use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;

/// Sends and receives webhooks, and does not lose one.
///
/// `hookfast demo` shows everything in one terminal; `hookfast serve` is the server.
#[derive(Debug, clap::Parser)]
#[command(name = "hookfast", version, max_term_width = 100, after_long_help = exit_codes(), propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Send(send::Args),
    Listen(listen::Args),
    Token(token::Args),
    Bench(bench::Args),
    #[command(hide = true)]
    Fill(fill::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Bench(args) => on_one_thread(bench::run(args)),
        Command::Serve(args) => serve::run(args),
        Command::Send(args) => on_one_thread(send::run(args)),
        Command::Listen(args) => on_one_thread(listen::run(args)),
        Command::Token(args) => on_one_thread(token::run(args)),
        Command::Fill(args) => on_one_thread(fill::run(args)),
    }
}

/// For commands that are a client: one thread is enough.
fn on_one_thread(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // A look-up of a name may hang in a blocking thread; it is not worth waiting for.
    runtime.shutdown_background();
    outcome
}

/// A line of data on standard output.
pub(crate) fn print_line(line: impl std::fmt::Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn exit_codes() -> String {
    let lines: Vec<String> = Exit::MEANINGS.iter().map(|(code, meaning)| format!("  {code}  {meaning}\n")).collect();
    format!("Exit codes:\n{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use std::fmt::Write as _;

    const INTRODUCTION: &str = "\
# Commands

Standard output is data, standard error is the rest; `--json` where a command has more to say than one word.

Commands that talk to hookfast find it in one of two ways. With `--url` (and a token) they talk to any server. Without,
they use a data directory: while a server runs on it they go through `control.sock` in it, which only its owner can
open and which needs no token; else they take the directory themselves for a moment. What is accepted while no server
runs is delivered when one starts.

This page is made from the code: `UPDATE_DOCS=1 cargo test -p hookfast docs` writes it anew.
";

    fn section(page: &mut String, command: &mut clap::Command, path: &str) {
        let name = format!("{path}{}", command.get_name());
        let help = command.clone().bin_name(&name).term_width(100).render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
        for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
            section(page, inner, &format!("{name} "));
        }
    }

    #[test]
    fn docs_cli_md_is_current() {
        let mut page = String::from(INTRODUCTION);
        section(&mut page, &mut Cli::command(), "");
        crate::docs::must_equal("cli.md", &page);
    }

    #[test]
    fn the_command_line_is_well_formed_and_every_command_shows_two_examples() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands_mut().filter(|command| !command.is_hide_set()) {
            let help = command.render_long_help().to_string();
            let examples = help.matches("\n  hookfast ").count();
            assert!(examples >= 2, "{} shows {examples} examples", command.get_name());
        }
    }
}
