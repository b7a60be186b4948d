//! The hookfast binary: command line, configuration, the graph of parts, start and shutdown. The only member that
//! names concrete back-ends.

mod build;
mod cli;
mod client;
mod clock;
mod config;
mod docs;
mod exit;
mod logging;
mod metrics;
mod observe;
mod server;
mod signals;
mod terminal;

use clap::Parser as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // What hookfast writes is for its owner: bodies may hold anything.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a closed pipe is no reason to complain.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::Exit::Usage as u8));
        }
    };
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            exit::Failure::exit_of(&error).into()
        }
    }
}

/// Whoever read our output has gone: `hookfast … | head` is not an error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
