//! Takes a whole store in, for a copy from elsewhere: into an empty database, in batches that are each a transaction with
//! their cursor, and adds up what is there in the end. Must not know where the rows come from.

use super::connect::{self, Target as Server};
use super::db::{Db, Run, Session, Tx};
use super::{PostgresConfig, codec, duties, partitions, schema};
use crate::copy::refused;
use crate::copy::rows::{Adder, Kind, Sum};
use crate::copy::tables::{Column, Table};
use crate::sqlite::export::Batch;
use crate::{Error, Result, Sealer, columns};
use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _};
use hookfast_core::model::SecretText;
use hookfast_core::{EndpointId, UnixMs};
use std::collections::HashMap;
use std::pin::pin;
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::{FromSql, Type};

/// Any number: who begins a copy holds this lock.
const LOCK: i64 = 0x686f_6f6b_636f;
/// The row of `copies` that says what is copied, and whether all of it is there.
const SOURCE: &str = "source";
/// A node that was heard so lately may be alive.
const HEARD_MS: u64 = 30_000;
/// How rows in bulk begin and end.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: &[u8] = &(-1_i16).to_be_bytes();
/// Tables whose rows are numbered by the database from now on.
const NUMBERED: [&str; 3] = ["applications", "endpoints", "urls"];

/// How far a table is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    /// The key of the last row that was written.
    pub(crate) at: Option<Vec<u8>>,
    pub(crate) rows: u64,
    pub(crate) done: bool,
}

/// A database that is being filled.
pub(crate) struct Target {
    session: Session,
    opener: Sealer,
}

/// A cell as the server sent it.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Refuses a database into which a copy was begun and not finished: half of it would be served.
///
/// # Errors
/// `Conflict`, or what the server says.
pub(crate) async fn refuse_unfinished(run: &impl Run) -> Result<()> {
    let sql = "SELECT EXISTS (SELECT FROM hookfast.copies WHERE NOT done)";
    if run.one(sql, &[]).await?.try_get(0)? {
        return Err(refused("a copy into this database is not finished: run the same `hookfast store copy` again"));
    }
    Ok(())
}

impl Target {
    /// Connects and makes the tables.
    pub(crate) async fn open(config: &PostgresConfig, now: UnixMs) -> Result<Self> {
        let server = Server::parse(config.url.reveal())?;
        let mut session = Db::new(&server.config, server.tls, 1, config.prepared)?.session().await?;
        connect::check_server(&session).await?;
        if config.migrate {
            schema::migrate(&mut session).await?;
        } else {
            schema::check(&session).await?;
        }
        duties::make_partitions(&mut session, &config.retention_classes_days, now).await?;
        let opener = Sealer::new(config.secret_key.as_ref().map(SecretText::reveal))?;
        Ok(Self { session, opener })
    }

    /// Begins the copy from a source, or finds out how far it came; `None` when it is finished.
    ///
    /// # Errors
    /// `Conflict` when the database is in use for something else.
    pub(crate) async fn begin(
        &mut self,
        source: [u8; 16],
        tables: &[Table],
        now: UnixMs,
    ) -> Result<Option<HashMap<String, Position>>> {
        let tx = self.session.begin().await?;
        tx.one("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
        // Waits for the last batch of a copy that was cut off.
        let found = tx.rows("SELECT name, at, rows, done FROM hookfast.copies FOR UPDATE", &[]).await?;
        let mut positions = HashMap::new();
        for row in &found {
            let rows = codec::narrow(row.try_get::<_, i64>(2)?)?;
            positions.insert(row.try_get(0)?, Position { at: row.try_get(1)?, rows, done: row.try_get(3)? });
        }
        match positions.remove(SOURCE) {
            Some(begun) => {
                check_same(begun.at.as_deref().unwrap_or_default(), source)?;
                if begun.done {
                    return Ok(None);
                }
            }
            None => check_empty(&tx, tables).await?,
        }
        check_nobody_serves(&tx, now).await?;
        let insert =
            "INSERT INTO hookfast.copies (name, at, rows, done) VALUES ($1, $2, 0, false) ON CONFLICT DO NOTHING";
        tx.change(insert, &[(&SOURCE, Type::TEXT), (&source.as_slice(), Type::BYTEA)]).await?;
        for table in tables {
            tx.change(insert, &[(&table.name, Type::TEXT), (&None::<&[u8]>, Type::BYTEA)]).await?;
        }
        tx.commit().await?;
        Ok(Some(positions))
    }

    /// Makes the tables that the rows of these days belong into.
    pub(crate) async fn make_tables(&mut self, days: &[(u16, i64)], key_days: &[i64]) -> Result<()> {
        for missing in partitions::missing_for(&self.session, days, key_days).await? {
            let tx = self.session.begin().await?;
            tx.batch(&missing.sql).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Writes a batch, with how far the table is now.
    pub(crate) async fn put(&mut self, table: &Table, position: &mut Position, batch: Batch) -> Result<()> {
        let rows = batch.rows.sum().rows;
        let next = Position { at: Some(batch.last), rows: position.rows + rows, done: false };
        let tx = self.session.begin().await?;
        let held = "SELECT rows FROM hookfast.copies WHERE name = $1 FOR UPDATE";
        if tx.one(held, &[(&table.name, Type::TEXT)]).await?.try_get::<_, i64>(0)? != position.rows.cast_signed() {
            return Err(refused("another copy into this database is under way"));
        }
        let sql = format!("COPY hookfast.{} ({}) FROM STDIN (FORMAT binary)", table.name, names(table));
        let mut sink = pin!(tx.copy_in(&sql).await?);
        for part in [Bytes::from_static(HEAD), batch.rows.into_bytes().into(), Bytes::from_static(END)] {
            sink.send(part).await?;
        }
        if sink.finish().await? != rows {
            return Err(Error::Damaged { what: "answer" });
        }
        write_position(&tx, table, &next).await?;
        tx.commit().await?;
        *position = next;
        Ok(())
    }

    /// Says that every row of a table is written.
    pub(crate) async fn put_done(&mut self, table: &Table, position: &Position) -> Result<()> {
        let sql = "UPDATE hookfast.copies SET done = true WHERE name = $1 AND rows = $2";
        let rows = position.rows.cast_signed();
        match self.session.change(sql, &[(&table.name, Type::TEXT), (&rows, Type::INT8)]).await? {
            1 => Ok(()),
            _ => Err(refused("another copy into this database is under way")),
        }
    }

    /// Adds up what is in a table.
    pub(crate) async fn sum(&self, table: &Table) -> Result<Sum> {
        let sql = format!("COPY (SELECT {} FROM hookfast.{}) TO STDOUT (FORMAT binary)", names(table), table.name);
        let types: Vec<Type> = table.columns.iter().map(|column| column_type(column.kind)).collect();
        let mut rows = pin!(BinaryCopyOutStream::new(self.session.copy_out(&sql).await?, &types));
        let mut adder = Adder::default();
        while let Some(row) = rows.try_next().await? {
            let mut id = 0;
            for (index, Column { kind, .. }) in table.columns.iter().enumerate() {
                let cell: Option<Raw<'_>> = row.try_get(index)?;
                let cell = cell.map(|raw| raw.0);
                match (kind, cell) {
                    (Kind::Sealed(column), Some(sealed)) => {
                        let place = columns::place(EndpointId::from_u128(id), column);
                        adder.cell(Some(&self.opener.open(&place, sealed)?));
                    }
                    _ => adder.cell(cell),
                }
                if let (Kind::Id, Some(Ok(bytes))) = (kind, cell.map(TryInto::try_into)) {
                    id = u128::from_be_bytes(bytes);
                }
            }
            adder.end_row();
        }
        Ok(adder.sum())
    }

    /// The database may be served from now on.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        let tx = self.session.begin().await?;
        for table in NUMBERED {
            tx.batch(&format!(
                "SELECT setval(pg_get_serial_sequence('hookfast.{table}', 'no'),
                   (SELECT coalesce(max(no), 0) + 1 FROM hookfast.{table}), false)"
            ))
            .await?;
        }
        tx.change("UPDATE hookfast.copies SET done = true WHERE name = $1", &[(&SOURCE, Type::TEXT)]).await?;
        tx.commit().await?;
        // Without it the first claims would be planned as if there were no rows.
        self.session.batch("ANALYZE hookfast.queue, hookfast.events, hookfast.deliveries, hookfast.attempts").await
    }
}

fn check_same(begun: &[u8], source: [u8; 16]) -> Result<()> {
    if begun == source {
        return Ok(());
    }
    let why = if begun.get(..8) == source.get(..8) {
        "the directory was used by a server since the copy into this database was begun"
    } else {
        "the copy into this database was begun from another directory"
    };
    Err(refused(format!("{why}: name an empty database")))
}

async fn check_empty(tx: &Tx<'_>, tables: &[Table]) -> Result<()> {
    for table in tables {
        let sql = format!("SELECT EXISTS (SELECT FROM hookfast.{})", table.name);
        if tx.one(&sql, &[]).await?.try_get(0)? {
            let what = table.name.replace('_', " ");
            return Err(refused(format!("the database holds {what} already: name an empty one")));
        }
    }
    Ok(())
}

async fn check_nobody_serves(tx: &Tx<'_>, now: UnixMs) -> Result<()> {
    let sql = "SELECT n.name FROM hookfast.nodes n JOIN hookfast.beats b USING (incarnation)
               WHERE n.state = 0 AND b.seen_at > $1 LIMIT 1";
    match tx.opt(sql, &[(&now.minus_ms(HEARD_MS).0, Type::INT8)]).await? {
        Some(row) => {
            let name: &str = row.try_get(0)?;
            Err(refused(format!("`{name}` runs on the database: stop it, and wait half a minute if it was killed")))
        }
        None => Ok(()),
    }
}

async fn write_position(tx: &Tx<'_>, table: &Table, position: &Position) -> Result<()> {
    tx.change(
        "UPDATE hookfast.copies SET at = $2, rows = $3 WHERE name = $1",
        &[(&table.name, Type::TEXT), (&position.at, Type::BYTEA), (&position.rows.cast_signed(), Type::INT8)],
    )
    .await
    .map(drop)
}

fn names(table: &Table) -> String {
    table.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

fn column_type(kind: Kind) -> Type {
    match kind {
        Kind::Big => Type::INT8,
        Kind::Int => Type::INT4,
        Kind::Small => Type::INT2,
        Kind::Bool => Type::BOOL,
        Kind::Text => Type::TEXT,
        Kind::Bytes | Kind::Sealed(_) => Type::BYTEA,
        Kind::Id | Kind::Halves => Type::UUID,
    }
}
