//! Connections to the database: pools, sessions, transactions, and one way to run a statement whether prepared
//! statements may be used or not. Must not know any table.

use crate::{Error, Result};
use bytes::Bytes;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Transaction};
use std::future::Future;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CopyInSink, CopyOutStream, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

/// So long a caller waits for a connection.
const WAIT: Duration = Duration::from_secs(3);

/// The parameters of a statement with their types.
pub(crate) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A bounded number of connections.
#[derive(Clone)]
pub(crate) struct Db {
    pool: Pool,
    prepared: bool,
}

impl Db {
    pub(crate) fn new(
        config: &tokio_postgres::Config,
        tls: MakeRustlsConnect,
        connections_max: usize,
        prepared: bool,
    ) -> Result<Self> {
        let recycle = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls, recycle);
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(WAIT))
            .build()
            .map_err(|error| Error::Connect { reason: error.to_string() })?;
        Ok(Self { pool, prepared })
    }

    /// A connection, as soon as one is free.
    pub(crate) async fn session(&self) -> Result<Session> {
        let client = self.pool.get().await.map_err(crate::postgres::connect::pool_error)?;
        Ok(Session { client, prepared: self.prepared })
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// One connection. Dropped, it goes back to its pool; call [`Session::discard`] when its state is unknown.
pub(crate) struct Session {
    client: Object,
    prepared: bool,
}

/// A transaction; dropped without [`Tx::commit`] it is rolled back.
pub(crate) struct Tx<'s> {
    tx: Transaction<'s>,
    prepared: bool,
}

impl Session {
    /// READ COMMITTED.
    pub(crate) async fn begin(&mut self) -> Result<Tx<'_>> {
        Ok(Tx { tx: self.client.transaction().await?, prepared: self.prepared })
    }

    /// Several statements without parameters.
    pub(crate) async fn batch(&self, sql: &str) -> Result<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Rows of a query in bulk.
    pub(crate) async fn copy_out(&self, sql: &str) -> Result<CopyOutStream> {
        Ok(self.client.copy_out(sql).await?)
    }

    /// Ends the connection: whatever it was doing is undone by the server.
    pub(crate) fn discard(self) {
        drop(Object::take(self.client));
    }
}

impl Tx<'_> {
    /// Rows into a table in bulk.
    pub(crate) async fn copy_in(&self, sql: &str) -> Result<CopyInSink<Bytes>> {
        Ok(self.tx.copy_in(sql).await?)
    }

    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.tx.commit().await?)
    }

    /// Several statements without parameters.
    pub(crate) async fn batch(&self, sql: &str) -> Result<()> {
        Ok(self.tx.batch_execute(sql).await?)
    }
}

/// Where statements can be run. `sql` must be one of a small number of texts: with prepared statements each is kept.
pub(crate) trait Run: Sync {
    /// Runs a statement; all its rows.
    fn rows(&self, sql: &str, params: Params<'_>) -> impl Future<Output = Result<Vec<Row>>> + Send;

    /// Runs a statement; how many rows it changed.
    fn change(&self, sql: &str, params: Params<'_>) -> impl Future<Output = Result<u64>> + Send;

    /// Runs a statement; its only row, if there is one.
    fn opt(&self, sql: &str, params: Params<'_>) -> impl Future<Output = Result<Option<Row>>> + Send {
        async { Ok(self.rows(sql, params).await?.pop()) }
    }

    /// Runs a statement that always has one row.
    fn one(&self, sql: &str, params: Params<'_>) -> impl Future<Output = Result<Row>> + Send {
        async { self.opt(sql, params).await?.ok_or(Error::Damaged { what: "answer" }) }
    }
}

macro_rules! run {
    ($($what:ty, $field:ident;)*) => {$(
        impl Run for $what {
            async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
                if !self.prepared {
                    return Ok(self.$field.query_typed(sql, params).await?);
                }
                let types: Vec<Type> = params.iter().map(|(_, kind)| kind.clone()).collect();
                let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
                let statement = self.$field.prepare_typed_cached(sql, &types).await?;
                Ok(self.$field.query(&statement, &values).await?)
            }

            async fn change(&self, sql: &str, params: Params<'_>) -> Result<u64> {
                if !self.prepared {
                    return Ok(self.$field.execute_typed(sql, params).await?);
                }
                let types: Vec<Type> = params.iter().map(|(_, kind)| kind.clone()).collect();
                let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
                let statement = self.$field.prepare_typed_cached(sql, &types).await?;
                Ok(self.$field.execute(&statement, &values).await?)
            }
        }
    )*};
}

run! {
    Session, client;
    Tx<'_>, tx;
}
