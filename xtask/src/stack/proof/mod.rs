//! `cargo xtask stack test`: the commands of both first systems against a stack of its own, as their users type them; then
//! events from the emitter to `public.events`, counted on the way, also while parts are killed. Everything is asked from
//! outside, by curl, psql and Kafka's own consumer.

mod commands;
mod conservation;
mod shell;

use super::parts::Part;
use super::{Options, bring_up, down, kill_and_restart};
use crate::program::in_ci;
use anyhow::Result;
use conservation::Emission;
use shell::Shell;

/// Without a fault: ten seconds of events.
const QUIET: Emission = Emission { customer: "quiet@webhooksystem", rate: 50, count: 500 };
/// Long enough for every kill to fall into it.
const KILLED: Emission = Emission { customer: "killed@webhooksystem", rate: 50, count: 3000 };
/// Each is killed with SIGKILL and started again, one after the other.
const VICTIMS: [Part; 5] = [Part::Handler(1), Part::Consumer, Part::Sender, Part::Kafka, Part::Postgres];

/// Makes a new stack, tries everything, removes the stack. One that fails stays as it is, for a look.
pub(crate) fn run(options: &Options, faults: bool) -> Result<bool> {
    down(options, options.dir.exists())?;
    // The processes are left in nobody's hand, so that the commands can take them.
    let (layout, _) = bring_up(options, true)?;
    let mut shell = Shell::new(&layout);
    let done = prove(&mut shell, options, faults);
    println!("\nstack: {} checks passed, {} failed", shell.passed, shell.failures.len());
    for failure in &shell.failures {
        println!("FAILED: {failure}");
    }
    let is_good = done.is_ok() && shell.failures.is_empty();
    if is_good || in_ci() {
        down(options, is_good)?;
    } else {
        println!("the stack is still there: {}", options.dir.display());
    }
    done.map(|()| is_good)
}

fn prove(shell: &mut Shell<'_>, options: &Options, faults: bool) -> Result<()> {
    commands::first_system(shell)?;
    commands::second_system(shell)?;
    println!("\n# {} events, no fault", QUIET.count);
    QUIET.start(shell)?;
    QUIET.wait_and_check(shell)?;
    if faults {
        println!("\n# {} events, with SIGKILL", KILLED.count);
        KILLED.start(shell)?;
        for victim in VICTIMS {
            println!("kill -9 {}", victim.name());
            let running = KILLED.received(shell)?;
            kill_and_restart(options, victim)?;
            KILLED.wait_for_more(shell, running)?;
        }
        KILLED.wait_and_check(shell)?;
    }
    Ok(())
}
