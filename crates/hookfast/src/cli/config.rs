//! `hookfast config`: the configuration that a server started like this would have, or what is wrong with it. Knows no
//! setting by name.

use super::print_line;
use crate::client::config_failure;
use crate::config::{ConfigArgs, Wrong, show};
use crate::exit::Exit;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Show, check and describe the configuration
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  hookfast config print
  hookfast config check --config hookfast.toml
  hookfast config schema > hookfast.schema.json")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print every setting as TOML, with where its value came from; secrets are not shown
    #[command(after_long_help = "\
What is printed is a configuration file that gives the same values, secrets aside.

Examples:
  hookfast config print --config hookfast.toml
  hookfast config print --set retry.delays=1s,5s --json")]
    Print(Which),
    /// Check the file, the environment and the flags, and say everything that is wrong
    #[command(after_long_help = "\
Exit code 2 when something is wrong. Nothing is started, and no file but the configuration is read.

Examples:
  hookfast config check --config hookfast.toml
  hookfast config check --json")]
    Check(Which),
    /// Print the JSON Schema of the TOML file, for editors
    #[command(after_long_help = "\
Editors that know TOML take it from a first line `#:schema ./hookfast.schema.json`.

Examples:
  hookfast config schema > hookfast.schema.json
  hookfast config schema | jq .properties.server")]
    Schema,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs `hookfast config …`.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Print(which) => print(which),
        Action::Check(which) => check(which),
        Action::Schema => {
            print_line(serde_json::to_string_pretty(&show::schema())?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(which: &Which) -> anyhow::Result<ExitCode> {
    let values = show::in_force(&which.config, &[]).map_err(|faults| config_failure(&faults))?;
    if which.json {
        let told = |value: show::InForce| (value.key, json!({ "value": value.value, "origin": value.origin }));
        let object: Map<String, Value> = values.into_iter().map(told).collect();
        print_line(serde_json::to_string_pretty(&object)?)?;
    } else {
        print_line(show::as_toml(&values).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(which: &Which) -> anyhow::Result<ExitCode> {
    let checked = show::in_force(&which.config, &[]);
    if which.json {
        let faults = checked.as_ref().err().map_or(&[][..], Vec::as_slice);
        print_line(json!({ "ok": checked.is_ok(), "faults": faults.iter().map(as_json).collect::<Vec<_>>() }))?;
        return Ok(if checked.is_ok() { ExitCode::SUCCESS } else { Exit::Usage.into() });
    }
    let values = checked.map_err(|faults| config_failure(&faults))?;
    let given = values.iter().filter(|value| value.is_given()).count();
    print_line(format_args!("ok: {given} settings given, {} by default", values.len() - given))?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(fault: &Wrong) -> Value {
    json!({ "origin": fault.origin, "key": fault.key, "problem": fault.problem })
}
