//! The tables that history and caller keys are divided into: which there are, making those of days to come, dropping those
//! of days that are over. Every lock is waited for only briefly, since whoever comes later waits behind it.

use crate::postgres::connect::{Class, classify};
use crate::postgres::db::{Run, Session, Tx};
use crate::postgres::partitions::{self, HISTORY, Missing};
use crate::{Error, Result};
use hookfast_core::UnixMs;
use std::collections::{BTreeSet, HashSet};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

/// Any number: who makes tables holds this lock.
const LOCK: i64 = 0x686f_6f6b_7061;
/// The other writers wait as long. Shorter than what the server lets pass before it looks for a deadlock, so that it is never
/// they who are sent away.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '500ms'";

/// The tables that there are.
pub(super) struct Tables {
    names: HashSet<String>,
}

impl Tables {
    pub(super) async fn read(run: &impl Run) -> Result<Self> {
        let rows = run
            .rows(
                "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'hookfast' AND c.relispartition AND c.relkind IN ('r', 'p')",
                &[],
            )
            .await?;
        Ok(Self { names: rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()? })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Retention classes that have tables: also those that are configured no longer.
    pub(super) fn classes(&self) -> BTreeSet<u16> {
        let class = |name: &String| name.strip_prefix("events_")?.parse().ok();
        self.names.iter().filter_map(class).collect()
    }

    /// The first day of a class's oldest tables.
    pub(super) fn oldest(&self, class: u16) -> Option<i64> {
        let days = |table: &str| self.days(&format!("{table}_{class}_")).min();
        HISTORY.into_iter().filter_map(days).min()
    }

    /// The day of the oldest table of caller keys.
    pub(super) fn oldest_keys(&self) -> Option<i64> {
        self.days("dedupe_").min()
    }

    fn days(&self, prefix: &str) -> impl Iterator<Item = i64> {
        self.names.iter().filter_map(move |name| name.strip_prefix(prefix)?.parse().ok())
    }

    /// What should be empty.
    fn rest(&self) -> Vec<String> {
        let rest = |class: u16| HISTORY.map(|table| format!("{table}_{class}_rest"));
        let all = self.classes().into_iter().flat_map(rest).chain(["dedupe_rest".to_owned()]);
        all.filter(|name| self.has(name)).collect()
    }
}

/// Makes the tables of the days to come for these classes and for those that have tables already; how many. Those whose
/// locks cannot be had now are left to the next time.
pub(crate) async fn make_partitions(session: &mut Session, classes: &[u16], now: UnixMs) -> Result<u64> {
    let mut all = Tables::read(session).await?.classes();
    all.extend(classes);
    let classes: Vec<u16> = all.into_iter().collect();
    if partitions::missing(session, &classes, now).await?.is_empty() {
        return Ok(0);
    }
    let (mut made, mut skipped) = (0, 0);
    loop {
        let tx = session.begin().await?;
        tx.one("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
        // Another node may have made them while this one waited.
        let missing = partitions::missing(&tx, &classes, now).await?.into_iter().nth(skipped);
        let Some(Missing { sql, tables }) = missing else { return Ok(made) };
        match make(tx, &sql).await? {
            Outcome::Made => made += tables,
            Outcome::Blocked => return Ok(made),
            Outcome::RowsInRest => {
                made += make_singly(session, &sql).await?;
                skipped += 1;
            }
        }
    }
}

enum Outcome {
    Made,
    Blocked,
    /// The default table has rows that belong into the new one.
    RowsInRest,
}

async fn make(tx: Tx<'_>, sql: &str) -> Result<Outcome> {
    match tx.batch(&format!("{LOCK_TIMEOUT};\n{sql}")).await {
        Ok(()) => tx.commit().await.map(|()| Outcome::Made),
        Err(Error::Postgres(error)) if classify(&error) == Class::Again => {
            tracing::warn!(%error, "tables for the days to come could not be made yet: a transaction holds their lock");
            Ok(Outcome::Blocked)
        }
        Err(Error::Postgres(error)) if error.code() == Some(&SqlState::CHECK_VIOLATION) => Ok(Outcome::RowsInRest),
        Err(error) => Err(error),
    }
}

/// Makes what can be made; days whose rows stand in the default table stay there until they have passed their retention.
async fn make_singly(session: &mut Session, sql: &str) -> Result<u64> {
    let mut made = 0;
    for one in sql.split_terminator(";\n") {
        let tx = session.begin().await?;
        tx.one("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
        match make(tx, one).await? {
            Outcome::Made => made += 1,
            Outcome::Blocked => return Ok(made),
            Outcome::RowsInRest => tracing::error!(sql = one, "a table was made too late: its rows stand elsewhere"),
        }
    }
    Ok(made)
}

/// Raises an alarm for rows that found no table of their own.
pub(super) async fn report_rest(run: &impl Run) -> Result<()> {
    let rest = Tables::read(run).await?.rest();
    let question = |name: &String| format!("SELECT '{name}'::text WHERE EXISTS (SELECT FROM hookfast.{name})");
    let questions: Vec<String> = rest.iter().map(question).collect();
    if questions.is_empty() {
        return Ok(());
    }
    let found = run.rows(&questions.join(" UNION ALL "), &[]).await?;
    let tables = found.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>>>()?;
    if !tables.is_empty() {
        tracing::error!(tables = tables.join(", "), "rows found no table of their days: are the clocks right?");
    }
    Ok(())
}

/// Drops tables; `false` when their locks cannot be had now. The transaction must end soon after: nobody gets at the other
/// tables of their kind before.
pub(super) async fn drop_tables(tx: &Tx<'_>, names: &[String]) -> Result<bool> {
    tx.batch("SAVEPOINT dropping").await?;
    let list: Vec<String> = names.iter().map(|name| format!("hookfast.{name}")).collect();
    let list = list.join(", ");
    let drop = format!("{LOCK_TIMEOUT}; DROP TABLE IF EXISTS {list}; SET LOCAL lock_timeout TO DEFAULT");
    match tx.batch(&drop).await {
        Ok(()) => {
            tracing::info!(tables = list, "dropped what has passed its retention");
            Ok(true)
        }
        Err(Error::Postgres(error)) if classify(&error) == Class::Again => {
            tracing::warn!(%error, tables = list, "cannot be dropped yet: a transaction holds their lock");
            tx.batch("ROLLBACK TO SAVEPOINT dropping").await?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_apart_by_their_names() {
        let names =
            ["events_7", "events_7_rest", "events_7_200", "deliveries_7_199", "attempts_70_3", "events_70", "dedupe_9"];
        let tables = Tables { names: names.into_iter().map(ToOwned::to_owned).collect() };
        assert_eq!(tables.classes().into_iter().collect::<Vec<_>>(), [7, 70]);
        assert_eq!((tables.oldest(7), tables.oldest(70), tables.oldest(30)), (Some(199), Some(3), None));
        assert_eq!(tables.oldest_keys(), Some(9));
        assert_eq!(tables.rest(), ["events_7_rest"]);
    }
}
