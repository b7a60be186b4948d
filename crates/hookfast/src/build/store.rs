//! The configured store behind its ports. The only place that names the back-ends.

use super::retry_policy;
use crate::config::{Config, Migrate, Roles};
use crate::exit::{Exit, Failure};
use crate::signals::exit_now;
use hookfast_core::model::SecretText;
use hookfast_core::ports::{
    Accept, Applications, Consume, Dispatch, Emitters, Endpoints, EventTypes, Exclusive, Maintenance, NoDispatch,
    Queue, Reading, Replays, Tokens,
};
use hookfast_core::{Clock, ErrorKind, IdGenerator};
use hookfast_store::postgres::{Inspection, PostgresConfig, PostgresStore};
use hookfast_store::sqlite::{DirLock, SqliteConfig, SqliteStore, inspect, schema_known};
use hookfast_store::{Blame, Copied, CopyProgress, Error, Result};
use std::sync::Arc;

/// How the name begins that a command gives itself on a store that nodes share.
pub(crate) const COMMAND: &str = "command on ";
/// Exit code when the store can no longer be trusted.
const STORE_FAILED: i32 = 1;

/// An open store, behind every port of one.
#[derive(Clone)]
pub(crate) struct StorePorts {
    pub(crate) accept: Arc<dyn Accept>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) applications: Arc<dyn Applications>,
    pub(crate) endpoints: Arc<dyn Endpoints>,
    pub(crate) event_types: Arc<dyn EventTypes>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) reading: Arc<dyn Reading>,
    pub(crate) replays: Arc<dyn Replays>,
    pub(crate) maintenance: Arc<dyn Maintenance>,
    pub(crate) exclusive: Arc<dyn Exclusive>,
    pub(crate) emitters: Arc<dyn Emitters>,
    /// Where the store can take what is read from a log.
    pub(crate) consume: Option<Arc<dyn Consume>>,
    close: Arc<dyn Fn() + Send + Sync>,
    /// Held while the store is open, where a directory belongs to a server although its store is elsewhere.
    _dir: Option<Arc<DirLock>>,
}

impl StorePorts {
    fn of<S>(store: Arc<S>, close: fn(&S), dir: Option<DirLock>) -> Self
    where
        S: Accept + Queue + Applications + Endpoints + EventTypes + Tokens + Reading + Replays + Maintenance,
        S: Exclusive + Emitters + 'static,
    {
        Self {
            accept: Arc::clone(&store) as _,
            queue: Arc::clone(&store) as _,
            applications: Arc::clone(&store) as _,
            endpoints: Arc::clone(&store) as _,
            event_types: Arc::clone(&store) as _,
            tokens: Arc::clone(&store) as _,
            reading: Arc::clone(&store) as _,
            replays: Arc::clone(&store) as _,
            maintenance: Arc::clone(&store) as _,
            exclusive: Arc::clone(&store) as _,
            emitters: Arc::clone(&store) as _,
            consume: None,
            close: Arc::new(move || close(&store)),
            _dir: dir.map(Arc::new),
        }
    }

    /// Closes it: when this returns, everything is on disk.
    pub(crate) async fn close(&self) {
        let close = Arc::clone(&self.close);
        // It blocks; nothing else is left to do on this runtime but to wait for it.
        if tokio::task::spawn_blocking(move || close()).await.is_err() {
            tracing::error!("the store panicked while it closed");
        }
    }
}

/// Opens the configured store, for a process that does this on it. Its tasks run on the runtime this is called on; with
/// SQLite it blocks while the store recovers.
pub(super) async fn open(
    config: &Config,
    roles: Roles,
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    dispatch: Arc<dyn Dispatch>,
) -> Result<StorePorts> {
    match &config.store.url {
        None => {
            let sqlite = SqliteConfig { roles: words(roles), ..sqlite(config) };
            let store = SqliteStore::open(sqlite, clock, ids, dispatch, Arc::new(give_up))?;
            Ok(StorePorts::of(store, SqliteStore::close, None))
        }
        Some(url) => {
            let serves = roles != Roles::NONE;
            let dir = config.own_dir().filter(|_| serves).map(DirLock::take).transpose()?;
            let store =
                PostgresStore::open(postgres(config, url, roles), clock, ids, dispatch, Arc::new(give_up)).await?;
            let consume = Some(Arc::clone(&store) as Arc<dyn Consume>);
            Ok(StorePorts { consume, ..StorePorts::of(store, PostgresStore::close, dir) })
        }
    }
}

/// Ends the process: what it believes about its store cannot be trusted any more.
fn give_up(why: &str) {
    tracing::error!(why, "the store failed: exiting, so that nothing more is answered");
    exit_now(STORE_FAILED);
}

/// The embedded store alone, for what no port offers.
pub(crate) fn embedded(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<SqliteStore>> {
    if config.store.url.is_some() {
        return Err(Failure::new(Exit::Usage, "this works on a data directory only, not on store.url"));
    }
    let (ids, dispatch) = (Arc::new(IdGenerator::new()), Arc::new(NoDispatch));
    SqliteStore::open(sqlite(config), clock, ids, dispatch, Arc::new(give_up)).map_err(failure)
}

/// How far the schema of a store is.
#[derive(Debug)]
pub(crate) struct Schema {
    /// What it is: which kind of store, and where.
    pub(crate) of: String,
    /// The version it has; 0 when there is none yet.
    pub(crate) found: u32,
    /// The version this binary needs.
    pub(crate) known: u32,
}

/// How far the schema of the configured store is; nothing is changed.
pub(crate) async fn schema(config: &Config) -> anyhow::Result<Schema> {
    let Some(url) = &config.store.url else {
        let dir = &config.server.data_dir;
        let seen = inspect(dir, None).map_err(failure)?;
        let (found, known) = seen.map_or((0, schema_known()), |seen| (seen.schema, seen.schema_known));
        if found > known {
            return Err(failure(Error::NewerSchema { found, known }));
        }
        return Ok(Schema { of: format!("SQLite in {}", dir.display()), found, known });
    };
    let status = PostgresStore::schema_status(&postgres(config, url, Roles::NONE)).await.map_err(failure)?;
    let newest = |only_applied: bool| {
        let counted = status.migrations.iter().filter(|(_, _, is_applied)| *is_applied || !only_applied);
        counted.map(|(version, _, _)| *version).max().unwrap_or(0)
    };
    Ok(Schema { of: "PostgreSQL".into(), found: newest(true), known: newest(false) })
}

/// What the database of the configuration and its server are like; `None` where the store is a directory.
pub(crate) async fn inspect_database(config: &Config, clock: &dyn Clock) -> anyhow::Result<Option<Inspection>> {
    let Some(url) = &config.store.url else { return Ok(None) };
    PostgresStore::inspect(&postgres(config, url, Roles::NONE), clock).await.map(Some).map_err(failure)
}

/// Brings the schema of the configured store up to date.
pub(crate) async fn migrate(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    match &config.store.url {
        None => embedded(config, clock)?.close(),
        Some(url) => drop(PostgresStore::migrate(&postgres(config, url, Roles::NONE)).await.map_err(failure)?),
    }
    Ok(())
}

/// Copies the data directory of the configuration into its `store.url`.
pub(crate) async fn copy(
    config: &Config,
    clock: Arc<dyn Clock>,
    progress: impl FnMut(CopyProgress),
) -> anyhow::Result<Copied> {
    let Some(url) = &config.store.url else {
        return Err(Failure::new(Exit::Usage, "name the database to copy into with --to"));
    };
    let (from, to) = (sqlite(config), postgres(config, url, Roles::NONE));
    hookfast_store::copy(from, to, clock, progress).await.map_err(|error| match &error {
        Error::DataDir { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Failure::new(Exit::NotFound, error.to_string())
        }
        // Here the directory is not to be another one.
        Error::DataDir { .. } | Error::Locked { .. } => Failure::new(Exit::Failed, error.to_string()),
        _ => failure(error),
    })
}

/// What a store that does not open means for a command: one sentence that says what to do.
pub(crate) fn failure(error: Error) -> anyhow::Error {
    let advice = match &error {
        Error::DataDir { .. } => "; name a directory that this user can write with --data-dir",
        Error::Locked { .. } => "; stop it, or name another directory with --data-dir",
        Error::Seal { .. } => "; set store.secret_key to the key that this store was used with",
        _ => "",
    };
    let blame = error.blame();
    let advice = if blame == Blame::Away { "; see that it runs and that store.url is right" } else { advice };
    let exit = match blame {
        Blame::Away => Exit::Unavailable,
        Blame::Named => Exit::Usage,
        Blame::Missing => Exit::NotFound,
        Blame::Denied => Exit::Refused,
        Blame::Store if error.kind() == ErrorKind::Conflict => Exit::Conflict,
        Blame::Store => Exit::Failed,
    };
    Failure::new(exit, format!("{error}{advice}"))
}

/// What a process calls itself on the store.
pub(crate) fn node_name(config: &Config, roles: Roles) -> String {
    if let Some(name) = config.server.node_name.as_ref().filter(|_| roles != Roles::NONE) {
        return name.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown host" } else { host.trim() };
    let kind = if roles == Roles::NONE { COMMAND } else { "" };
    format!("{kind}{host} pid {}", std::process::id())
}

fn words(roles: Roles) -> Vec<String> {
    roles.words().into_iter().map(str::to_owned).collect()
}

fn sqlite(config: &Config) -> SqliteConfig {
    SqliteConfig {
        secret_key: config.store.secret_key.clone(),
        disk_reserve_bytes: config.store.disk_reserve_bytes,
        retention_days_default: config.store.retention_days_default,
        retry: retry_policy(config),
        ..SqliteConfig::new(config.server.data_dir.clone())
    }
}

fn postgres(config: &Config, url: &SecretText, roles: Roles) -> PostgresConfig {
    PostgresConfig {
        node_name: node_name(config, roles),
        secret_key: config.store.secret_key.clone(),
        retention_days_default: config.store.retention_days_default,
        retry: retry_policy(config),
        connections_max: config.store.connections_max,
        prepared: config.store.prepared,
        notifications: config.store.notifications,
        migrate: config.store.migrate == Migrate::Auto,
        lease_ms: config.store.lease_ms,
        delivers: roles.engine,
        roles: words(roles),
        ..PostgresConfig::new(url.clone())
    }
}
