//! `hookfast completions`: the script that lets a shell complete commands and options. Knows no command by name.

use clap_complete::Shell;
use std::io::Write as _;
use std::process::ExitCode;

const NAME: &str = "hookfast";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Print what lets a shell complete commands and options
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  eval \"$(hookfast completions bash)\"    (in ~/.bashrc)
  mkdir -p ~/.zfunc && hookfast completions zsh > ~/.zfunc/_hookfast    (~/.zfunc must be in fpath)
  hookfast completions fish > ~/.config/fish/completions/hookfast.fish")]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs `hookfast completions`.
pub(crate) fn run(args: &Args, command: &clap::Command) -> anyhow::Result<ExitCode> {
    // Generated scripts offer hidden commands too, unless they are not there.
    let visible = command.get_subcommands().filter(|inner| !inner.is_hide_set()).cloned();
    let mut command = clap::Command::new(NAME).version(VERSION).subcommands(visible);
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, NAME, &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
