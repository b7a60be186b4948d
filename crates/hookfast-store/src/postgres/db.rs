//! Connections to the database: pools, sessions, transactions, and one way to run a statement whether prepared
//! statements may be used or not. Must not know any table.

use crate::{Error, Result};
use bytes::Bytes;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Transaction};
use std::future::Future;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CopyInSink, CopyOutStream, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

/// So long a caller waits for a connection.
const WAIT: Duration = Duration::from_secs(3);

/// For sessions that run few statements, again and again, on tables of any size: each is planned once, for all its
/// parameters, and never so that it reads a whole table, for which a table that is small now may be taken.
const FEW_STATEMENTS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off";

/// The parameters of a statement with their types.
pub(crate) type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A bounded number of connections.
#[derive(Clone)]
pub(crate) struct Db {
    pool: Pool,
    prepared: bool,
}

impl Db {
    /// For statements of any kind.
    pub(crate) fn new(
        config: &tokio_postgres::Config,
        tls: MakeRustlsConnect,
        connections_max: usize,
        prepared: bool,
    ) -> Result<Self> {
        Self::with(config, tls, connections_max, prepared, None)
    }

    /// For few statements that are run again and again. Where none may be prepared, because a proxy gives each transaction
    /// another backend, nothing is set either: it would stay with the backend.
    pub(crate) fn for_few_statements(
        config: &tokio_postgres::Config,
        tls: MakeRustlsConnect,
        connections_max: usize,
        prepared: bool,
    ) -> Result<Self> {
        Self::with(config, tls, connections_max, prepared, prepared.then_some(FEW_STATEMENTS))
    }

    fn with(
        config: &tokio_postgres::Config,
        tls: MakeRustlsConnect,
        connections_max: usize,
        prepared: bool,
        settings: Option<&'static str>,
    ) -> Result<Self> {
        let set = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move {
                match settings {
                    Some(settings) => client.batch_execute(settings).await.map_err(HookError::Backend),
                    None => Ok(()),
                }
            })
        });
        let recycle = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls, recycle);
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .post_create(set)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this is test code: it fails by panicking")]

    use super::*;
    use crate::postgres::connect::Target;

    /// How often the one statement was planned for all parameters, and for those it was given.
    async fn plans(session: &Session) -> (i64, i64) {
        let sql = "SELECT count(*) FROM pg_catalog.pg_class WHERE relname = $1";
        for name in ["one", "two", "three"] {
            session.one(sql, &[(&name, Type::TEXT)]).await.unwrap();
        }
        let row = session
            .one(
                "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE $1",
                &[(&"%relname%", Type::TEXT)],
            )
            .await;
        let row = row.unwrap();
        (row.get(0), row.get(1))
    }

    #[test]
    fn sessions_for_few_statements_plan_each_once() {
        let Some(database) = hookfast_testkit::postgres::database() else { return };
        hookfast_testkit::run(async {
            let Target { config, tls } = Target::parse(&database.url()).unwrap();
            let hot = Db::for_few_statements(&config, tls.clone(), 1, true).unwrap().session().await.unwrap();
            assert_eq!(plans(&hot).await, (3, 0));
            let any = Db::new(&config, tls.clone(), 1, true).unwrap().session().await.unwrap();
            assert_eq!(plans(&any).await, (0, 3));
            let unprepared = Db::for_few_statements(&config, tls, 1, false).unwrap().session().await.unwrap();
            let row = unprepared.one("SELECT current_setting('enable_seqscan')", &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), "on");
        });
    }
}
