//! Background work, in steps small enough not to stall the writer. Each step is one transaction.

mod audit;
mod cancel;
mod expire;
mod fan_out;
mod retention;

use crate::sqlite::{SqliteStore, replay};
use hookfast_core::ports::{BoxFuture, Duty, Maintenance, Step};

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
            };
            Ok(Step { rows, more })
        })
    }

    fn ping(&self) -> BoxFuture<'_, hookfast_core::Result<()>> {
        self.readers.read(|conn| Ok(conn.query_row("SELECT 1", [], |_| Ok(()))?))
    }
}
