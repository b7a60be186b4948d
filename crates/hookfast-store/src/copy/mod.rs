//! Moves a grown-up installation from the embedded store into the one for several nodes: table by table, in batches that
//! are each a transaction with their cursor, so that it goes on wherever it was cut off; then both are added up and
//! compared. Must not know how either side reads or writes.

pub(crate) mod rows;
pub(crate) mod tables;

use crate::postgres::PostgresConfig;
use crate::postgres::import::{Position, Target};
use crate::sqlite::SqliteConfig;
use crate::sqlite::export::{Batch, Source};
use crate::{Error, Result};
use hookfast_core::{Clock, Error as PortError};
use rows::Sum;
use std::sync::Arc;
use tables::{TABLES, Table};
use tokio::sync::mpsc;

/// Batches that are read ahead.
const AHEAD: usize = 2;

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyProgress {
    /// The table of the target that it is at.
    pub table: &'static str,
    /// It is written already, and is now read back.
    pub checking: bool,
    /// Rows of all tables written, or read back, so far.
    pub done: u64,
    /// Rows of all tables.
    pub total: u64,
}

/// A table that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name in the target.
    pub name: &'static str,
    /// Rows of the source.
    pub rows: u64,
    /// Rows found in the target.
    pub found: u64,
    /// Checksum over the rows of the source, in hexadecimal.
    pub checksum: String,
    /// Both have the same rows.
    pub is_equal: bool,
}

/// What a copy came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// An earlier call had finished it; nothing was compared, since servers may have changed the target since.
    pub was_finished: bool,
    /// Every table, unless it was finished before.
    pub tables: Vec<CopiedTable>,
}

impl Copied {
    /// The target holds what the source holds, and may be used.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.tables.iter().all(|table| table.is_equal)
    }
}

/// Copies the store in a directory into an empty database. The directory is locked meanwhile, and what its last life had in
/// memory is queued first. Secrets are opened with the key of `from` and sealed with that of `to`.
///
/// Dropped or failed at any moment, the same call goes on where it was. Until it is finished no server starts on the
/// database.
///
/// # Errors
/// `Conflict` when the database holds something else, when servers run on it, or when the directory was used by a server
/// since the copy was begun; otherwise as the stores' own `open`.
pub async fn copy(
    from: SqliteConfig,
    to: PostgresConfig,
    clock: Arc<dyn Clock>,
    mut progress: impl FnMut(CopyProgress),
) -> Result<Copied> {
    let (key, now) = (to.secret_key.clone(), clock.now());
    let source = blocking(move || Source::open(&from, key.as_ref(), now)).await??;
    let mut target = Target::open(&to, now).await?;
    let positions = target.begin(source.identity(), TABLES, now).await?;
    let Some(mut positions) = positions else {
        return Ok(Copied { was_finished: true, tables: Vec::new() });
    };
    let (mut source, contents) = blocking(move || source.contents().map(|contents| (source, contents))).await??;
    target.make_tables(&contents.days, &contents.key_days).await?;
    let done = positions.values().map(|position| position.rows).sum();
    let mut at = CopyProgress { table: "", checking: false, done, total: contents.rows };
    for table in TABLES {
        at.table = table.name;
        let position = positions.remove(table.name).unwrap_or_default();
        if !position.done {
            source = copy_table(source, &mut target, table, position, &mut at, &mut progress).await?;
        }
    }
    let copied = Copied { was_finished: false, tables: compare_all(source, &target, at, progress).await? };
    if copied.is_complete() {
        target.finish().await?;
    }
    Ok(copied)
}

async fn compare_all(
    mut source: Source,
    target: &Target,
    mut at: CopyProgress,
    mut progress: impl FnMut(CopyProgress),
) -> Result<Vec<CopiedTable>> {
    (at.checking, at.done) = (true, 0);
    let mut tables = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        at.table = table.name;
        progress(at);
        let compared;
        (source, compared) = compare(source, target, table).await?;
        at.done += compared.rows;
        tables.push(compared);
    }
    Ok(tables)
}

async fn copy_table(
    source: Source,
    target: &mut Target,
    table: &'static Table,
    mut position: Position,
    at: &mut CopyProgress,
    progress: &mut impl FnMut(CopyProgress),
) -> Result<Source> {
    progress(*at);
    let (batches, mut arriving) = mpsc::channel::<Batch>(AHEAD);
    let after = position.at.take();
    let reading = blocking(move || {
        // Nobody listens any more when writing has failed: that is told there.
        let read = source.read(table, after.as_deref(), |batch| batches.blocking_send(batch).is_ok());
        read.map(|()| source)
    });
    let writing = async {
        while let Some(batch) = arriving.recv().await {
            let rows = batch.rows.sum().rows;
            target.put(table, &mut position, batch).await?;
            at.done += rows;
            progress(*at);
        }
        drop(arriving);
        Ok(())
    };
    let (read, written): (_, Result<()>) = tokio::join!(reading, writing);
    written?;
    let source = read??;
    target.put_done(table, &position).await?;
    Ok(source)
}

/// Adds up a table of both.
async fn compare(source: Source, target: &Target, table: &'static Table) -> Result<(Source, CopiedTable)> {
    let reading = blocking(move || {
        let mut sum = Sum::default();
        let read = source.read(table, None, |batch| {
            sum.add(batch.rows.sum());
            true
        });
        read.map(|()| (source, sum))
    });
    let (read, found) = tokio::join!(reading, target.sum(table));
    let ((source, sum), found) = (read??, found?);
    let compared = CopiedTable {
        name: table.name,
        rows: sum.rows,
        found: found.rows,
        checksum: format!("{:032x}", sum.hashes),
        is_equal: sum == found,
    };
    Ok((source, compared))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Error::Port(PortError::Unavailable { reason: "the copy was ended while it read the source".to_owned() })
    })
}

/// Something stands against the copy.
pub(crate) fn refused(reason: impl Into<String>) -> Error {
    PortError::Conflict { code: "copy_refused", reason: reason.into() }.into()
}
