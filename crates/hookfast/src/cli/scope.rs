//! What commands about the things of applications take alike, how they reach their server, and how they ask before
//! something is gone. Knows no such thing.

use super::print_line;
use crate::client::{Api, Target};
use crate::exit::{Exit, Failure};
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Which application, on which server, and how answers are printed.
#[derive(Debug, clap::Args)]
pub(super) struct Scope {
    /// Application, by id or uid; not needed with a whole id, or when there is only one
    #[arg(long)]
    pub(super) app: Option<String>,
    #[command(flatten)]
    pub(super) server: Server,
}

impl Scope {
    /// The application that is named, if one is.
    pub(super) fn app(&self) -> Option<&str> {
        self.app.as_deref()
    }
}

/// Which server, and how answers are printed.
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) target: Target,
}

impl Server {
    /// Connects, does the work, and ends the connection whatever came of it.
    pub(super) async fn over(&self, work: impl AsyncFnOnce(&Api) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
        let api = self.target.connect().await?;
        let outcome = work(&api).await;
        api.close().await;
        outcome.map(|()| ExitCode::SUCCESS)
    }

    /// Prints the whole answer as JSON, or else only this text.
    pub(super) fn print(&self, answer: &Value, text: impl std::fmt::Display) -> anyhow::Result<()> {
        if self.json {
            print_line(answer)?
        } else {
            print_line(text)?
        }
        Ok(())
    }

    /// Prints an answer as JSON, or its fields that are set, one on a line.
    pub(super) fn show(&self, answer: &Value) -> anyhow::Result<()> {
        let mut table = super::table::Table::new(["FIELD", "VALUE"]);
        for (name, value) in answer.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            table.row([name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)]);
        }
        self.print(answer, table)
    }
}

/// Asks before something cannot be undone. Where nobody can be asked, it takes `--yes`.
///
/// # Errors
/// When the answer is not yes.
pub(super) fn consent(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("{question} Nobody can be asked here: say --yes")));
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failed, "nothing was done"))
    }
}
