//! `hookfast man`: the manual pages, made from the command line itself. Knows no command by name.

use crate::exit::{Exit, Failure};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the manual page, or write one for each command
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast man | man -l -
  hookfast man --out ~/.local/share/man/man1    (then `man hookfast-serve`)")]
pub(crate) struct Args {
    /// Write a page for each command into this directory, which is made if it is missing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs `hookfast man`.
pub(crate) fn run(args: &Args, command: clap::Command) -> anyhow::Result<ExitCode> {
    // A page of its own that says what `--help` says helps nobody.
    let command = command.disable_help_subcommand(true);
    match &args.out {
        Some(dir) => {
            let write = || std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
            write().map_err(|error| Failure::new(Exit::Failed, format!("--out {}: {error}", dir.display())))?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            std::io::stdout().write_all(&page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
