//! A database that is made for one measurement and dropped after it, and what the server says of the work it did there.
//! Must not know what is measured.

use super::connect::Target;
use super::db::{Db, Run, Session};
use crate::{Error, Result};
use hookfast_core::model::SecretText;
use tokio_postgres::types::Type;

/// A new database on a server.
#[derive(Debug)]
pub struct Scratch {
    server_url: SecretText,
    name: String,
}

/// What a server did for one database since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerWork {
    /// SQL statements, transaction control included, as `pg_stat_statements` counts them.
    pub statements: u64,
    /// Bytes of the database on disk.
    pub disk_bytes: u64,
    /// The process that serves this very question: its parent is the server, if that runs on this machine.
    pub backend_pid: u32,
}

impl Scratch {
    /// Makes a database with a random name on the server of `url`, whose user may do that, with the extension
    /// `pg_stat_statements`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn create(url: &SecretText) -> Result<Self> {
        let scratch = Self { server_url: url.clone(), name: format!("hookfast_bench_{:016x}", fastrand::u64(..)) };
        session(url.reveal()).await?.batch(&format!("CREATE DATABASE {}", scratch.name)).await?;
        let own = session(scratch.url().reveal()).await?;
        own.batch("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        // Says at once, and not after the measurement, when the library is not loaded.
        own.rows("SELECT calls FROM pg_stat_statements LIMIT 1", &[]).await.map_err(|error| Error::Connect {
            reason: format!("statements cannot be counted: {error}; set shared_preload_libraries = pg_stat_statements"),
        })?;
        Ok(scratch)
    }

    /// Where it is: the server's URL with this database.
    #[must_use]
    pub fn url(&self) -> SecretText {
        let url = self.server_url.reveal();
        let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
        let authority = base.find("://").map_or(0, |at| at + 3);
        let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        SecretText::new(format!("{}/{}{query}", &base[..end], self.name))
    }

    /// What the server did for it so far.
    ///
    /// # Errors
    /// What the server says.
    pub async fn work(&self) -> Result<ServerWork> {
        let row = session(self.url().reveal())
            .await?
            .one(
                "SELECT (SELECT coalesce(sum(s.calls), 0)::int8 FROM pg_stat_statements s
                   JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()),
                   pg_database_size(current_database()), pg_backend_pid()",
                &[],
            )
            .await?;
        Ok(ServerWork {
            statements: row.try_get::<_, i64>(0)?.cast_unsigned(),
            disk_bytes: row.try_get::<_, i64>(1)?.cast_unsigned(),
            backend_pid: row.try_get::<_, i32>(2)?.cast_unsigned(),
        })
    }

    /// Drops it, whoever is connected.
    ///
    /// # Errors
    /// What the server says.
    pub async fn drop(self) -> Result<()> {
        let server = session(self.server_url.reveal()).await?;
        // So that nothing is connected in between.
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        server.rows(sql, &[(&self.name, Type::TEXT)]).await?;
        server.batch(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }
}

async fn session(url: &str) -> Result<Session> {
    let target = Target::parse(url)?;
    Db::new(&target.config, target.tls, 1, false)?.session().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_the_new_database_and_keeps_everything_else() {
        for (server, own) in [
            ("postgres://u:p@h:5/db?sslmode=require", "postgres://u:p@h:5/x?sslmode=require"),
            ("postgres://u@h/db", "postgres://u@h/x"),
            ("postgres://u@h", "postgres://u@h/x"),
        ] {
            let scratch = Scratch { server_url: SecretText::new(server), name: "x".to_owned() };
            assert_eq!(scratch.url().reveal(), own);
        }
    }
}
