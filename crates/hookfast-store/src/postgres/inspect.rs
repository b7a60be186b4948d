//! What whoever operates a server and its database wants to know of them, read in one session that is no node. Must not
//! judge it.

use super::connect::check_server;
use super::db::{Run, Session};
use super::{OWN_CONNECTIONS, PostgresConfig, codec, partitions};
use crate::{Error, Result};
use hookfast_core::Clock;
use tokio_postgres::types::Type;

/// Nodes that are listed.
const NODES_MAX: i64 = 100;

/// A server and its database.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The server's version, as it writes it.
    pub version: String,
    /// Why no node can work there at all.
    pub refused: Option<String>,
    /// It waits for its disk.
    pub fsync: bool,
    /// It can mend a page that a power cut left half written.
    pub full_page_writes: bool,
    /// `synchronous_commit`, as this user has it.
    pub synchronous_commit: String,
    /// Servers that commits wait for.
    pub standbys: Standbys,
    /// What this user may do.
    pub rights: Rights,
    /// Connections.
    pub connections: Connections,
    /// How far the server's clock is ahead of ours, in milliseconds; half of the round trip is in doubt.
    pub clock_ahead_ms: i64,
    /// How long it took to ask for the time, in milliseconds.
    pub round_trip_ms: u64,
    /// The transaction on this database that has been open for longest.
    pub oldest: Option<OpenTransaction>,
    /// Transactions of other users can be seen, and how standbys stand.
    pub sees_others: bool,
    /// Dead rows are removed on this server by itself.
    pub autovacuum: bool,
    /// Tables of hookfast where that was turned off.
    pub not_vacuumed: Vec<String>,
    /// Dead rows of the queue; 0 while there is none.
    pub queue_dead_rows: u64,
    /// For so many days, today's among them, every row finds its partition. `None` without a schema.
    pub days_made: Option<i64>,
    /// Bytes of the database on disk.
    pub disk_bytes: u64,
    /// Name and version of each node that is alive, at most 100.
    pub nodes: Vec<(String, String)>,
}

/// Synchronous replication.
#[derive(Clone, Debug)]
pub struct Standbys {
    /// `synchronous_standby_names`; empty when there is none.
    pub names: String,
    /// How many are in step. Means nothing when this user cannot see it.
    pub in_sync: u64,
}

/// What the user of the URL may do.
#[derive(Clone, Debug)]
pub struct Rights {
    /// The schema is there.
    pub has_schema: bool,
    /// It may make a schema in the database.
    pub creates_schema: bool,
    /// It may make tables in the schema.
    pub creates_tables: bool,
    /// Tables that it may not read and write.
    pub denied: u64,
    /// Tables that belong to another role: it can neither migrate nor divide them.
    pub of_others: u64,
}

/// Connections of the server.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// That ordinary users may have.
    pub max: i64,
    /// Free ones of these; less where the user or the database has a limit of its own.
    pub free: i64,
    /// That a node takes at most.
    pub per_node: i64,
}

/// A transaction that is open.
#[derive(Clone, Debug)]
pub struct OpenTransaction {
    /// The server's process for it.
    pub pid: i32,
    /// Whose it is: user and application.
    pub whose: String,
    /// For how long.
    pub age_ms: u64,
}

pub(super) async fn inspect(session: &Session, config: &PostgresConfig, clock: &dyn Clock) -> Result<Inspection> {
    let refused = match check_server(session).await {
        Ok(()) => None,
        Err(Error::Connect { reason }) => Some(reason),
        Err(error) => return Err(error),
    };
    let server = session
        .one(
            "SELECT current_setting('server_version'), current_setting('fsync') = 'on',
               current_setting('full_page_writes') = 'on', current_setting('synchronous_commit'),
               current_setting('synchronous_standby_names'),
               (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')),
               current_setting('autovacuum') = 'on' AND current_setting('track_counts') = 'on',
               pg_database_size(current_database()), pg_has_role('pg_read_all_stats', 'USAGE')",
            &[],
        )
        .await?;
    let rights = rights(session).await?;
    let (clock_ahead_ms, round_trip_ms) = clocks(session, clock).await?;
    let (mut not_vacuumed, mut queue_dead_rows, mut nodes, mut days_made) = (Vec::new(), 0, Vec::new(), None);
    if rights.has_schema && rights.denied == 0 {
        (not_vacuumed, queue_dead_rows) = tables(session).await?;
        nodes = alive(session).await?;
        days_made = Some(partitions::days_made(session, &config.retention_classes_days, clock.now()).await?);
    }
    Ok(Inspection {
        version: server.try_get(0)?,
        refused,
        fsync: server.try_get(1)?,
        full_page_writes: server.try_get(2)?,
        synchronous_commit: server.try_get(3)?,
        standbys: Standbys { names: server.try_get(4)?, in_sync: codec::narrow(server.try_get::<_, i64>(5)?)? },
        rights,
        connections: connections(session, config).await?,
        clock_ahead_ms,
        round_trip_ms,
        oldest: oldest(session).await?,
        sees_others: server.try_get(8)?,
        autovacuum: server.try_get(6)?,
        not_vacuumed,
        queue_dead_rows,
        days_made,
        disk_bytes: codec::narrow(server.try_get::<_, i64>(7)?)?,
        nodes,
    })
}

async fn rights(session: &Session) -> Result<Rights> {
    let row = session
        .one(
            "SELECT n.oid IS NOT NULL, has_database_privilege(current_database(), 'CREATE'),
               coalesce(has_schema_privilege(n.oid, 'CREATE'), false),
               count(*) FILTER (WHERE c.oid IS NOT NULL AND NOT (has_schema_privilege(n.oid, 'USAGE')
                 AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                 AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))),
               count(*) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE'))
             FROM (SELECT) AS one LEFT JOIN pg_namespace n ON n.nspname = 'hookfast'
             LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p') GROUP BY n.oid",
            &[],
        )
        .await?;
    Ok(Rights {
        has_schema: row.try_get(0)?,
        creates_schema: row.try_get(1)?,
        creates_tables: row.try_get(2)?,
        denied: codec::narrow(row.try_get::<_, i64>(3)?)?,
        of_others: codec::narrow(row.try_get::<_, i64>(4)?)?,
    })
}

/// Our own connection is taken for a free one: it is given back in a moment.
async fn connections(session: &Session, config: &PostgresConfig) -> Result<Connections> {
    let row = session
        .one(
            "WITH server AS (
               SELECT current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
                 - coalesce(current_setting('reserved_connections', true)::int8, 0) AS max,
                 (SELECT sum(numbackends) FROM pg_stat_database)::int8 - 1 AS used)
             SELECT max, greatest(0, least(max - used,
               (SELECT nullif(rolconnlimit, -1) - (SELECT count(*) - 1 FROM pg_stat_activity WHERE usename = current_user)
                FROM pg_roles WHERE rolname = current_user AND NOT rolsuper),
               (SELECT nullif(d.datconnlimit, -1) - (s.numbackends - 1)
                FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid WHERE d.datname = current_database())))
             FROM server",
            &[],
        )
        .await?;
    // The one that listens comes on top.
    let per_node = i64::try_from(config.connections_max + OWN_CONNECTIONS + 1).unwrap_or(i64::MAX);
    Ok(Connections { max: row.try_get(0)?, free: row.try_get(1)?, per_node })
}

/// How far the server's clock is ahead of ours, and how long it took to ask.
async fn clocks(session: &Session, clock: &dyn Clock) -> Result<(i64, u64)> {
    const TIME: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8";
    // The first time the statement is prepared.
    session.one(TIME, &[]).await?;
    let before = clock.wall();
    let there: i64 = session.one(TIME, &[]).await?.try_get(0)?;
    let round_trip_ms = clock.wall().since(before);
    let here = before.0.saturating_add_unsigned(round_trip_ms / 2);
    Ok((there.saturating_sub(here), round_trip_ms))
}

async fn oldest(session: &Session) -> Result<Option<OpenTransaction>> {
    let row = session
        .opt(
            "SELECT pid, concat_ws(', ', usename, nullif(application_name, '')),
               (extract(epoch FROM clock_timestamp() - xact_start) * 1000)::int8
             FROM pg_stat_activity
             WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()
               AND backend_type = 'client backend'
             ORDER BY xact_start LIMIT 1",
            &[],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let age_ms = u64::try_from(row.try_get::<_, i64>(2)?).unwrap_or(0);
    Ok(Some(OpenTransaction { pid: row.try_get(0)?, whose: row.try_get(1)?, age_ms }))
}

/// Tables that are not vacuumed, and dead rows of the queue.
async fn tables(session: &Session) -> Result<(Vec<String>, u64)> {
    let row = session
        .one(
            "SELECT ARRAY(SELECT c.relname::text FROM pg_class c
                 JOIN LATERAL pg_options_to_table(c.reloptions) o ON o.option_name = 'autovacuum_enabled'
                 WHERE c.relnamespace = 'hookfast'::regnamespace AND NOT o.option_value::bool ORDER BY 1),
               coalesce((SELECT n_dead_tup FROM pg_stat_user_tables
                 WHERE schemaname = 'hookfast' AND relname = 'queue'), 0)",
            &[],
        )
        .await?;
    Ok((row.try_get(0)?, codec::narrow(row.try_get::<_, i64>(1)?)?))
}

async fn alive(session: &Session) -> Result<Vec<(String, String)>> {
    let there = session.one("SELECT to_regclass('hookfast.nodes') IS NOT NULL", &[]).await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT name, version FROM hookfast.nodes WHERE state = 0 ORDER BY incarnation LIMIT $1";
    let rows = session.rows(sql, &[(&NODES_MAX, Type::INT8)]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
