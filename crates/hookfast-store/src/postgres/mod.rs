//! The store for several nodes: PostgreSQL 15 and newer. All nodes share it and nothing else.
//!
//! The tables are explained in `migrations/`. The promises are kept in `writer` (nothing is answered before its commit, an
//! unknown commit is found out), `node` (who is alive), `rescue` (what the dead held comes back) and `claim` (who may work on
//! a row).

mod accept;
mod changes;
mod claim;
mod codec;
mod configuration;
mod connect;
mod consume;
mod db;
mod duties;
mod emitters;
mod exclusive;
mod held;
pub(crate) mod import;
mod inbox;
mod inspect;
mod key_days;
mod keys;
mod missing;
mod node;
mod ordering;
mod partitions;
mod projection;
mod reading;
mod replay;
mod rescue;
mod routes;
mod schema;
mod scratch;
mod settle;
mod statement;
mod swept;
mod throttle;
mod wire;
mod writer;

use crate::directory::Directory;
use crate::{Error, Result, Sealer};
pub(crate) use connect::{Class, classify, describe};
use db::Db;
use held::Held;
use hookfast_core::model::{NewEvent, SecretText};
use hookfast_core::ports::{
    Accept, Accepted, BoxFuture, Claim, ClaimWanted, Dispatch, HealthMark, Queue, Settlement, Waiting,
};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{Clock, EndpointId, IdGenerator, UnixMs};
use inbox::{AcceptCommand, Inbox};
pub use inspect::{Connections, Inspection, OpenTransaction, Rights, Standbys};
use routes::Routes;
pub use schema::SchemaStatus;
pub use scratch::{Scratch, ServerWork};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use swept::Swept;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Called when the process must end because others have taken its work over, or the store cannot be trusted.
pub type FatalHook = Arc<dyn Fn(&str) + Send + Sync>;

/// Connections beside the pool's: the writer's, the claimer's, the beat's, and one to spare while one is replaced.
const OWN_CONNECTIONS: usize = 4;

/// Settings of the store for several nodes.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `sslmode` and `sslrootcert` as usual. Several hosts are
    /// tried in order.
    pub url: SecretText,
    /// What this node calls itself in lists.
    pub node_name: String,
    /// Key under which endpoint secrets and headers are sealed; without it they are kept as they are.
    pub secret_key: Option<SecretText>,
    /// The retention classes, in days; an application belongs to one.
    pub retention_classes_days: Vec<u16>,
    /// The class of applications that name none.
    pub retention_days_default: u16,
    /// The retry policy of endpoints that have none of their own; its window says when waiting ends.
    pub retry: RetryPolicy,
    /// How long settlements may wait for an accept to share its commit with.
    pub settle_delay_ms: u64,
    /// Connections for requests and duties; the node keeps up to five more for itself.
    pub connections_max: usize,
    /// Use prepared statements; must be off behind a proxy that pools transactions.
    pub prepared: bool,
    /// Use LISTEN and NOTIFY besides polling; must be off behind a proxy that pools transactions.
    pub notifications: bool,
    /// Bring an older schema up to date at start instead of refusing it.
    pub migrate: bool,
    /// A node that was silent for so long is taken for dead, and its work is taken over.
    pub lease_ms: u64,
    /// This node delivers; otherwise it wakes those that do.
    pub delivers: bool,
    /// The words for what this node does, as lists show them; none for a command.
    pub roles: Vec<String>,
}

impl PostgresConfig {
    /// The defaults, for a database.
    #[must_use]
    pub fn new(url: SecretText) -> Self {
        Self {
            url,
            node_name: format!("pid {}", std::process::id()),
            secret_key: None,
            retention_classes_days: vec![7, 30, 90],
            retention_days_default: 30,
            retry: RetryPolicy::default(),
            settle_delay_ms: 5,
            connections_max: 8,
            prepared: true,
            notifications: true,
            migrate: true,
            lease_ms: 6_000,
            delivers: true,
            roles: Vec::new(),
        }
    }
}

/// Counters since start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) recovered: AtomicU64,
    pub(crate) strays: AtomicU64,
    pub(crate) purged_events: AtomicU64,
}

/// What the tasks of the store and its callers share.
pub(crate) struct Shared {
    pub(crate) config: PostgresConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<IdGenerator>,
    pub(crate) sealer: Sealer,
    pub(crate) dispatch: Arc<dyn Dispatch>,
    /// For requests and duties.
    pub(crate) db: Db,
    /// For the writer, the claimer and the beat, which nobody may keep waiting.
    pub(crate) own: Db,
    pub(crate) inbox: Inbox,
    pub(crate) directory: Directory,
    pub(crate) counters: Counters,
    pub(crate) incarnation: i64,
    pub(crate) wake: changes::Wake,
    pub(crate) marks: configuration::Marks,
    routes: Mutex<Routes>,
    held: Mutex<Held>,
    swept: Mutex<Swept>,
    /// The part of a commit that changes the table of invoices, once that is prepared.
    pub(crate) projection: OnceLock<String>,
    /// Held while rows are claimed or given back.
    claiming: tokio::sync::Mutex<()>,
    /// When the last confirmed beat was sent, in milliseconds of the clock.
    confirmed: AtomicI64,
    /// The server could not be reached lately: what needs it is refused at once.
    away: AtomicBool,
    fatal: FatalHook,
    stop: CancellationToken,
}

impl Shared {
    pub(crate) fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn swept(&self) -> MutexGuard<'_, Swept> {
        self.swept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process, unless the store is being closed.
    fn fatal(&self, why: &Error) {
        if !self.stop.is_cancelled() {
            (self.fatal)(&why.to_string());
        }
    }

    fn set_away(&self, away: bool) {
        if self.away.swap(away, Ordering::AcqRel) != away {
            if away {
                tracing::error!("PostgreSQL cannot be reached: nothing is accepted until it can");
            } else {
                tracing::info!("PostgreSQL answers again");
            }
        }
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::Acquire)
    }
}

/// The store for several nodes. Implements every port of a store.
pub struct PostgresStore {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    handle: Handle,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("incarnation", &self.shared.incarnation).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects, brings the schema up to date, begins a new incarnation and queues what ended ones had in memory.
    ///
    /// `ids` goes on behind the highest id in the store. `dispatch` is told of deliveries. `fatal` is called at most
    /// once, when this node was taken for dead or the store fails in a way after which the process must end. Its tasks
    /// run on the runtime this is called on.
    ///
    /// # Errors
    /// As [`Error`] says; each is one sentence that tells what to do.
    pub async fn open(
        config: PostgresConfig,
        clock: Arc<dyn Clock>,
        ids: Arc<IdGenerator>,
        dispatch: Arc<dyn Dispatch>,
        fatal: FatalHook,
    ) -> Result<Arc<Self>> {
        let target = connect::Target::parse(config.url.reveal())?;
        let db = Db::new(&target.config, target.tls.clone(), config.connections_max, config.prepared)?;
        let own = Db::for_few_statements(&target.config, target.tls.clone(), OWN_CONNECTIONS, config.prepared)?;
        let mut session = db.session().await?;
        connect::check_server(&session).await?;
        if config.migrate {
            schema::migrate(&mut session).await?;
        } else {
            schema::check(&session).await?;
        }
        import::refuse_unfinished(&session).await?;
        let now = clock.now();
        duties::make_partitions(&mut session, &config.retention_classes_days, now).await?;
        let sealer = Sealer::new(config.secret_key.as_ref().map(SecretText::reveal))?;
        routes::check_seal(&session, &sealer).await?;
        node::resume_ids(&session, &ids, now).await?;
        let incarnation = node::begin(&mut session, &config, now).await?;
        drop(session);
        let shared = Arc::new(Shared {
            clock,
            ids,
            sealer,
            dispatch,
            db,
            own,
            inbox: Inbox::default(),
            directory: Directory::default(),
            counters: Counters::default(),
            incarnation,
            wake: changes::Wake::default(),
            marks: configuration::Marks::default(),
            routes: Mutex::default(),
            held: Mutex::default(),
            swept: Mutex::default(),
            projection: OnceLock::new(),
            claiming: tokio::sync::Mutex::default(),
            confirmed: AtomicI64::new(now.0),
            away: AtomicBool::new(false),
            fatal,
            stop: CancellationToken::new(),
            config,
        });
        while rescue::step(&shared).await? {}
        let tasks = TaskTracker::new();
        tasks.spawn(writer::run(Arc::clone(&shared)));
        tasks.spawn(node::beat(Arc::clone(&shared)));
        tasks.spawn(node::rescue(Arc::clone(&shared)));
        tasks.spawn(changes::follow(Arc::clone(&shared), target));
        tasks.spawn(changes::wake_others(Arc::clone(&shared)));
        tasks.spawn(configuration::store_marks(Arc::clone(&shared)));
        tasks.close();
        Ok(Arc::new(Self { shared, tasks, handle: Handle::current() }))
    }

    /// Commits what waits, gives everything back and ends this incarnation; later calls answer `Unavailable`. Blocks
    /// until that is done: must not be called on a thread of the runtime.
    pub fn close(&self) {
        let (shared, tasks) = (Arc::clone(&self.shared), self.tasks.clone());
        let (done, wait) = std::sync::mpsc::channel();
        self.handle.spawn(async move {
            shared.inbox.close();
            shared.inbox.closed_and_empty().await;
            shared.stop.cancel();
            tasks.wait().await;
            if let Err(error) = node::end(&shared).await {
                tracing::warn!(%error, "this node could not say that it ends; others find out by its silence");
            }
            shared.db.close();
            shared.own.close();
            let _ = done.send(());
        });
        let _ = wait.recv();
    }

    /// How far the schema of a database is; nothing is changed.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn schema_status(config: &PostgresConfig) -> Result<SchemaStatus> {
        schema::status(&Self::one_session(config).await?).await
    }

    /// Brings the schema of a database up to date.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn migrate(config: &PostgresConfig) -> Result<SchemaStatus> {
        let mut session = Self::one_session(config).await?;
        connect::check_server(&session).await?;
        schema::migrate(&mut session).await?;
        schema::status(&session).await
    }

    /// What the server and the database are like, without becoming a node; nothing is changed.
    ///
    /// # Errors
    /// As [`PostgresStore::open`], when the server cannot be asked. A server that no node can work on is no error here.
    pub async fn inspect(config: &PostgresConfig, clock: &dyn Clock) -> Result<Inspection> {
        inspect::inspect(&Self::one_session(config).await?, config, clock).await
    }

    async fn one_session(config: &PostgresConfig) -> Result<db::Session> {
        let target = connect::Target::parse(config.url.reveal())?;
        Db::new(&target.config, target.tls, 1, config.prepared)?.session().await
    }
}

fn closing() -> hookfast_core::Error {
    hookfast_core::Error::Unavailable { reason: "the store is closing".to_owned() }
}

fn away() -> hookfast_core::Error {
    hookfast_core::Error::Unavailable { reason: "PostgreSQL cannot be reached".to_owned() }
}

impl Accept for PostgresStore {
    fn accept(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Vec<hookfast_core::Result<Accepted>>> {
        let count = events.len();
        let (reply, answer) = oneshot::channel();
        let sent = if self.shared.is_away() {
            Err(away())
        } else {
            self.shared.inbox.accept(AcceptCommand { events, from_log: None, reply })
        };
        Box::pin(async move {
            if let Err(error) = sent {
                return (0..count).map(|_| Err(error.clone())).collect();
            }
            answer.await.unwrap_or_else(|_| (0..count).map(|_| Err(closing())).collect())
        })
    }
}

impl Queue for PostgresStore {
    fn settle(&self, settlements: Vec<Settlement>) {
        self.shared.inbox.settle(settlements);
    }

    fn claim(&self, wanted: Vec<ClaimWanted>, now: UnixMs) -> BoxFuture<'_, hookfast_core::Result<Vec<Claim>>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(claim::claim(&shared, &wanted, now).await?) })
    }

    fn waiting(&self, after: Option<EndpointId>, limit: u32) -> BoxFuture<'_, hookfast_core::Result<Vec<Waiting>>> {
        Box::pin(async move { Ok(claim::waiting(&self.shared, after, limit).await?) })
    }

    fn may_try(&self) -> bool {
        let since_beat = self.shared.clock.now().since(UnixMs(self.shared.confirmed.load(Ordering::Acquire)));
        since_beat <= self.shared.config.lease_ms / 2 || crate::failpoint::planted("stale_sender")
    }

    fn mark(&self, marks: Vec<HealthMark>) {
        self.shared.marks.add(marks);
    }
}
