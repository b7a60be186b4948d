//! The command line: which commands there are, and on what kind of runtime each runs. What a command does is in its
//! own file.

mod app;
mod attempt;
mod backup;
mod bench;
mod completions;
mod config;
mod delivery;
mod demo;
mod dlq;
mod doctor;
mod endpoint;
mod event;
mod examples;
mod explain;
mod fill;
mod listen;
mod listing;
mod man;
mod migrate;
mod naming;
mod nodes;
mod pay;
mod payments;
mod replaying;
mod restore;
mod scope;
mod send;
mod serve;
mod signature;
mod store;
mod table;
mod tail;
mod token;

use crate::exit::Exit;
use clap::CommandFactory as _;
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
    Explain(explain::Args),
    App(app::Args),
    Endpoint(endpoint::Args),
    Event(event::Args),
    Delivery(delivery::Args),
    Attempt(attempt::Args),
    Dlq(dlq::Args),
    Tail(tail::Args),
    Token(token::Args),
    Nodes(nodes::Args),
    Migrate(migrate::Args),
    Store(store::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Bench(bench::Args),
    Payments(payments::Args),
    Pay(pay::Args),
    Sign(signature::sign::Args),
    Verify(signature::verify::Args),
    Config(config::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
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
        Command::Explain(args) => on_one_thread(explain::run(args)),
        Command::App(args) => on_one_thread(app::run(args)),
        Command::Endpoint(args) => on_one_thread(endpoint::run(args)),
        Command::Event(args) => on_one_thread(event::run(args)),
        Command::Delivery(args) => on_one_thread(delivery::run(args)),
        Command::Attempt(args) => on_one_thread(attempt::run(args)),
        Command::Dlq(args) => on_one_thread(dlq::run(args)),
        Command::Tail(args) => on_one_thread(tail::run(args)),
        Command::Token(args) => on_one_thread(token::run(args)),
        Command::Nodes(args) => on_one_thread(nodes::run(args)),
        Command::Migrate(args) => on_one_thread(migrate::run(args)),
        Command::Store(args) => on_one_thread(store::run(args)),
        Command::Backup(args) => on_one_thread(backup::run(args)),
        Command::Restore(args) => on_one_thread(restore::run(args)),
        Command::Payments(args) => on_one_thread(payments::run(args)),
        Command::Pay(args) => on_one_thread(pay::run(args)),
        Command::Sign(args) => signature::sign::run(&args),
        Command::Verify(args) => signature::verify::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Doctor(args) => on_one_thread(doctor::run(args)),
        Command::Completions(args) => completions::run(&args, &Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
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
    use std::fmt::Write as _;

    const INTRODUCTION: &str = "\
# Commands

Standard output is data, standard error is the rest; `--json` where a command has more to say than one word.

Commands that talk to hookfast find it in one of three ways. With `--url` (and a token) they talk to any server. Without,
they use a data directory: while a server runs on it they go through `control.sock` in it, which only its owner can
open and which needs no token; else they take the directory themselves for a moment. With `--store` they join the servers
that share a PostgreSQL database for a moment, whether any runs or not; whoever may use the database needs no token. What
is accepted while no server runs is delivered when one starts.

A PostgreSQL database that cannot be used ends a command, and `serve` at its start, with an exit code that says who can
mend it: 6 when it cannot be reached or takes no more connections; 2 when `store.url` is wrong, or names a server on which
events would not be safe (older than 15, a read-only standby, `synchronous_commit = off`), or its TLS does not fit; 3 when
there is no such database; 4 when user or password are refused or rights are missing. A server that runs when its database
goes away does not end: it answers 503 until the database is back.

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
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
