//! The schema of the database: embedded migrations, run one node at a time under a lock that ends with the transaction.

use super::db::{Run, Session, Tx};
use crate::migrations::{self, Migration, pending};
use crate::{Error, Result};
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "initial", sql: include_str!("migrations/0001_initial.sql") },
    Migration { version: 2, name: "ordering", sql: include_str!("migrations/0002_ordering.sql") },
    Migration { version: 3, name: "copies", sql: include_str!("migrations/0003_copies.sql") },
    Migration { version: 4, name: "emitters", sql: include_str!("migrations/0004_emitters.sql") },
    Migration { version: 5, name: "positions", sql: include_str!("migrations/0005_positions.sql") },
    Migration { version: 6, name: "undelivered", sql: include_str!("migrations/0006_undelivered.sql") },
    Migration { version: 7, name: "origins", sql: include_str!("migrations/0007_origins.sql") },
    Migration { version: 8, name: "roles", sql: include_str!("migrations/0008_roles.sql") },
];

/// Any number: who migrates holds this lock.
const LOCK: i64 = 0x686f_6f6b_6661;
/// So long a migration waits for a table. Nodes at work wait with it, so this is far below a lease, and below the second after
/// which the server looks for deadlocks.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '800ms'";
/// Before it is tried again, and how often.
const LOCKED_PAUSE: Duration = Duration::from_millis(700);
const LOCKED_MAX: u32 = 20;

/// How far the schema of a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// Version and name of each migration, and whether it was applied.
    pub migrations: Vec<(u32, &'static str, bool)>,
}

impl SchemaStatus {
    /// Nothing is left to be applied.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.migrations.iter().all(|(_, _, applied)| *applied)
    }
}

async fn applied(run: &impl Run) -> Result<Vec<(u32, Vec<u8>)>> {
    // Read from the catalog: to_regclass may answer what this connection knew before it waited for the lock.
    let sql = "SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'hookfast' AND tablename = 'migrations'";
    if run.opt(sql, &[]).await?.is_none() {
        return Ok(Vec::new());
    }
    let rows = run.rows("SELECT version, checksum FROM hookfast.migrations ORDER BY version", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get::<_, i32>(0)?.cast_unsigned(), row.try_get(1)?))).collect()
}

/// What was applied and what is left.
///
/// # Errors
/// [`Error::NewerSchema`], [`Error::ChangedMigration`], or what the server says.
pub(crate) async fn status(session: &Session) -> Result<SchemaStatus> {
    let applied = applied(session).await?;
    let missing: Vec<u32> = pending(MIGRATIONS, &applied)?.iter().map(|one| one.version).collect();
    let stand = |one: &Migration| (one.version, one.name, !missing.contains(&one.version));
    Ok(SchemaStatus { migrations: MIGRATIONS.iter().map(stand).collect() })
}

/// Brings the schema up to what this binary knows; others that want to migrate wait. Nodes at work go on.
///
/// # Errors
/// As [`status`], and when somebody keeps a table locked for too long.
pub(crate) async fn migrate(session: &mut Session) -> Result<()> {
    let mut held_up = 0;
    while !status(session).await?.is_current() {
        match migrate_once(session).await {
            Err(Error::Postgres(error)) if held_up < LOCKED_MAX && is_held_up(&error) => {
                held_up += 1;
                tracing::warn!(%error, "a table is in use: migrating it is tried again");
                tokio::time::sleep(LOCKED_PAUSE).await;
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn is_held_up(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code))
}

/// Applies the next migration. Each is a transaction of its own: one that held a table while it waited for another would
/// stand in a circle with the nodes at work, whose commits use several.
async fn migrate_once(session: &mut Session) -> Result<()> {
    let tx = session.begin().await?;
    tx.one("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    // Everybody queues behind a lock that is waited for, the nodes at work among them.
    tx.batch(LOCK_TIMEOUT).await?;
    let before = applied(&tx).await?;
    if before.is_empty() {
        tx.batch(
            "CREATE SCHEMA IF NOT EXISTS hookfast;
             CREATE TABLE IF NOT EXISTS hookfast.migrations (
               version integer PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL,
               applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    }
    if let Some(next) = pending(MIGRATIONS, &before)?.first() {
        apply(&tx, next).await?;
    }
    tx.commit().await
}

async fn apply(tx: &Tx<'_>, migration: &Migration) -> Result<()> {
    tracing::info!(version = migration.version, name = migration.name, "migrating the schema");
    tx.batch("SET LOCAL search_path = hookfast").await?;
    tx.batch(migration.sql).await?;
    let (version, checksum) = (migration.version.cast_signed(), migration.checksum());
    tx.change(
        "INSERT INTO hookfast.migrations (version, name, checksum) VALUES ($1, $2, $3)",
        &[(&version, Type::INT4), (&migration.name, Type::TEXT), (&checksum, Type::BYTEA)],
    )
    .await?;
    Ok(())
}

/// Refuses a schema that this binary cannot work with.
pub(crate) async fn check(session: &Session) -> Result<()> {
    let status = status(session).await?;
    if status.is_current() {
        return Ok(());
    }
    let found = status.migrations.iter().filter(|(_, _, applied)| *applied).map(|(version, _, _)| *version).max();
    Err(Error::OlderSchema { found: found.unwrap_or(0), known: migrations::newest(MIGRATIONS) })
}
