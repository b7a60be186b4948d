//! Reads a whole store out, for a copy of it elsewhere: what the last life had in memory is queued first, then every table
//! in the order of its key. Must not know where the rows go.

use super::recent_keys::RecentKeys;
use super::{DirLock, SqliteConfig, open, recovery, schema};
use crate::copy::rows::{Kind, Rows};
use crate::copy::tables::{Column, TABLES, Table};
use crate::{Error, Result, Sealer, columns};
use hookfast_core::model::SecretText;
use hookfast_core::{EndpointId, IdGenerator, UnixMs};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use serde::{Deserialize, Serialize};

/// A batch is full with so many rows or bytes.
const ROWS_MAX: u64 = 4_000;
const BYTES_MAX: usize = 4 << 20;

/// A store that nobody else uses.
pub(crate) struct Source {
    conn: Connection,
    opener: Sealer,
    sealer: Sealer,
    identity: [u8; 16],
    _lock: DirLock,
}

/// What is in a store.
pub(crate) struct Contents {
    /// Retention classes and days of all events.
    pub(crate) days: Vec<(u16, i64)>,
    /// Days of all caller keys.
    pub(crate) key_days: Vec<i64>,
    /// Rows of every table together.
    pub(crate) rows: u64,
}

/// Rows that are written together.
pub(crate) struct Batch {
    pub(crate) rows: Rows,
    /// The key of the last one.
    pub(crate) last: Vec<u8>,
}

/// One column of a key.
#[derive(Serialize, Deserialize)]
enum KeyPart {
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl KeyPart {
    fn read(value: ValueRef<'_>) -> Result<Self> {
        Ok(match value {
            ValueRef::Integer(number) => Self::Number(number),
            ValueRef::Text(_) => Self::Text(value.as_str().map_err(rusqlite::Error::from)?.to_owned()),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.to_vec()),
            _ => return Err(Error::Damaged { what: "key" }),
        })
    }

    fn into_value(self) -> Value {
        match self {
            Self::Number(number) => Value::Integer(number),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Blob(bytes),
        }
    }
}

impl Source {
    /// Takes the directory and makes its tables complete. Secrets are opened with its own key and sealed with
    /// `target_key`. Blocks.
    ///
    /// # Errors
    /// As [`super::SqliteStore::open`]; [`Error::DataDir`] when there is no store.
    pub(crate) fn open(config: &SqliteConfig, target_key: Option<&SecretText>, now: UnixMs) -> Result<Self> {
        let path = config.dir.join("store.db");
        if !path.try_exists()? {
            let none = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no store in it");
            return Err(Error::DataDir { path: config.dir.clone(), source: none });
        }
        let lock = DirLock::take(&config.dir)?;
        let conn = open::writer(&path)?;
        schema::migrate(&conn)?;
        let opener = Sealer::new(config.secret_key.as_ref().map(SecretText::reveal))?;
        recovery::check_seal(&conn, &opener)?;
        let ids = IdGenerator::new();
        recovery::resume_ids(&conn, &ids)?;
        recovery::queue_lost_pairs(&conn, &ids, now)?;
        RecentKeys::move_all(&conn)?;
        let identity = identity(&conn)?;
        let sealer = Sealer::new(target_key.map(SecretText::reveal))?;
        Ok(Self { conn, opener, sealer, identity, _lock: lock })
    }

    /// Half a number of this store, half one that rises whenever a server opens it.
    pub(crate) fn identity(&self) -> [u8; 16] {
        self.identity
    }

    /// Looks through it. Blocks.
    pub(crate) fn contents(&self) -> Result<Contents> {
        let days = "SELECT retention_days, (id >> 16) / 86400000 FROM events GROUP BY 1, 2";
        let days = self
            .conn
            .prepare(days)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let key_days = "WITH RECURSIVE d(day) AS (SELECT min(day) FROM dedupe
              UNION ALL SELECT (SELECT min(day) FROM dedupe WHERE day > d.day) FROM d WHERE d.day IS NOT NULL)
            SELECT day FROM d WHERE day IS NOT NULL";
        let key_days =
            self.conn.prepare(key_days)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let mut rows = 0;
        for table in TABLES {
            let sql = format!("SELECT count(*) FROM {} WHERE {}", table.from, table.filter);
            rows += self.conn.query_row(&sql, [], |row| row.get::<_, u64>(0))?;
        }
        Ok(Contents { days, key_days, rows })
    }

    /// Reads a table in the order of its key, behind the key of an earlier batch if there is one, until `take` answers
    /// false. Blocks.
    pub(crate) fn read(&self, table: &Table, after: Option<&[u8]>, mut take: impl FnMut(Batch) -> bool) -> Result<()> {
        let after: Vec<KeyPart> = match after {
            Some(bytes) => serde_json::from_slice(bytes).map_err(|_| Error::Damaged { what: "cursor of the copy" })?,
            None => Vec::new(),
        };
        let mut statement = self.conn.prepare(&select(table, !after.is_empty()))?;
        let mut found = statement.query(params_from_iter(after.into_iter().map(KeyPart::into_value)))?;
        let mut rows = Rows::default();
        let mut last = Vec::new();
        while let Some(row) = found.next()? {
            self.write_row(table, row, &mut rows)?;
            last.clear();
            for index in 0..table.key.len() {
                last.push(KeyPart::read(row.get_ref(index)?)?);
            }
            if rows.sum().rows >= ROWS_MAX || rows.bytes().len() >= BYTES_MAX {
                let full = Batch { rows: std::mem::take(&mut rows), last: cursor(&last)? };
                if !take(full) {
                    return Ok(());
                }
            }
        }
        if rows.sum().rows > 0 {
            take(Batch { rows, last: cursor(&last)? });
        }
        Ok(())
    }

    fn write_row(&self, table: &Table, row: &Row<'_>, rows: &mut Rows) -> Result<()> {
        rows.begin_row(table.columns.len());
        let (mut index, mut id) = (table.key.len(), 0);
        for Column { kind, .. } in table.columns {
            let value = row.get_ref(index)?;
            match (kind, value) {
                (_, ValueRef::Null) => rows.cell(None),
                (Kind::Big, _) => rows.cell(Some(&number::<i64>(value)?.to_be_bytes())),
                (Kind::Int, _) => rows.cell(Some(&number::<i32>(value)?.to_be_bytes())),
                (Kind::Small, _) => rows.cell(Some(&number::<i16>(value)?.to_be_bytes())),
                (Kind::Bool, _) => rows.cell(Some(&[u8::from(number::<i64>(value)? != 0)])),
                (Kind::Text | Kind::Bytes, _) => rows.cell(Some(bytes(value)?)),
                (Kind::Id, _) => {
                    let bytes: [u8; 16] = bytes(value)?.try_into().map_err(|_| Error::Damaged { what: "id" })?;
                    id = u128::from_be_bytes(bytes);
                    rows.cell(Some(&bytes));
                }
                (Kind::Halves, _) => {
                    let (high, low) = (number::<i64>(value)?, number::<i64>(row.get_ref(index + 1)?)?);
                    rows.cell(Some(&[high.to_be_bytes(), low.to_be_bytes()].concat()));
                    index += 1;
                }
                (Kind::Sealed(column), _) => {
                    let place = columns::place(EndpointId::from_u128(id), column);
                    let plain = self.opener.open(&place, bytes(value)?)?;
                    rows.sealed_cell(&self.sealer.seal(&place, &plain)?, &plain);
                }
            }
            index += 1;
        }
        rows.end_row();
        Ok(())
    }
}

fn select(table: &Table, behind: bool) -> String {
    let cells: Vec<_> = table.columns.iter().map(|column| column.source).collect();
    let key = table.key.join(", ");
    let marks = vec!["?"; table.key.len()].join(", ");
    let behind = if behind { format!("AND ({key}) > ({marks})") } else { String::new() };
    format!("SELECT {key}, {} FROM {} WHERE {} {behind} ORDER BY {key}", cells.join(", "), table.from, table.filter)
}

fn cursor(key: &[KeyPart]) -> Result<Vec<u8>> {
    serde_json::to_vec(key).map_err(|_| Error::Damaged { what: "key" })
}

fn number<T: TryFrom<i64>>(value: ValueRef<'_>) -> Result<T> {
    let number = value.as_i64().map_err(rusqlite::Error::from)?;
    T::try_from(number).map_err(|_| Error::Damaged { what: "number" })
}

fn bytes(value: ValueRef<'_>) -> Result<&[u8]> {
    Ok(value.as_bytes().map_err(rusqlite::Error::from)?)
}

fn identity(conn: &Connection) -> Result<[u8; 16]> {
    let own = fastrand::i64(..);
    conn.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('identity', ?1)", [own])?;
    let read = |key: &str| conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, i64>(0));
    let (own, incarnation) = (read("identity")?, read("incarnation")?);
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&own.to_be_bytes());
    identity[8..].copy_from_slice(&incarnation.to_be_bytes());
    Ok(identity)
}
