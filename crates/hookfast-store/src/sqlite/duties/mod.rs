//! Background work, in steps small enough not to stall the writer. Each step is one transaction.

mod audit;
mod cancel;
mod expire;
mod fan_out;
mod retention;

use crate::sqlite::{SqliteStore, replay};
use hookfast_core::ports::{BoxFuture, Duty, Maintenance, Node, NodeState, Step};

impl Maintenance for SqliteStore {
    fn step(&self, duty: Duty) -> BoxFuture<'_, hookfast_core::Result<Step>> {
        self.write(move |tx| {
            let (rows, more) = match duty {
                Duty::Retention => retention::step(tx)?,
                Duty::FanOut => fan_out::step(tx)?,
                Duty::Cancel => cancel::step(tx)?,
                Duty::Expire => expire::step(tx)?,
                Duty::Tasks => replay::step(tx)?,
                Duty::Audit => audit::step(tx)?,
                // Nothing here is divided by time, and stats are exact with each commit.
                Duty::Partitions | Duty::RollUp => (0, false),
            };
            Ok(Step { rows, more })
        })
    }

    fn nodes(&self) -> BoxFuture<'_, hookfast_core::Result<Vec<Node>>> {
        self.write(|tx| {
            let shared = tx.shared;
            Ok(vec![Node {
                incarnation: shared.incarnation,
                name: format!("pid {}", std::process::id()),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                state: NodeState::Alive,
                started_at: shared.started_at,
                seen_at: shared.clock.now(),
                claimed: tx.held.count(),
                roles: Some(shared.config.roles.clone()),
                duties: Duty::ALL.map(|duty| duty.as_str().to_owned()).to_vec(),
            }])
        })
    }

    fn ping(&self) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.readers.read(|conn| Ok(conn.query_row("SELECT 1", [], |_| Ok(()))?))
    }
}
