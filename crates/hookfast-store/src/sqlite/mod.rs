//! The embedded store: SQLite in one directory, one process, one writing thread, a few reading ones.
//!
//! `DESIGN` of the tables is in `migrations/`; the promises are kept in `writer` (nothing is answered before its
//! commit), `recovery` (what was in memory comes back) and `claim` (who may work on a row).

mod accept;
mod backup;
mod claim;
mod codec;
mod configuration;
mod dedupe;
mod disk;
mod duties;
mod emitters;
pub(crate) mod export;
mod fill;
mod hot;
mod inbox;
mod inspect;
mod lock;
mod open;
mod ordering;
mod pool;
mod reading;
mod recent_keys;
mod recovery;
mod replay;
mod routes;
mod schema;
mod settle;
mod writer;

use crate::directory::Directory;
use crate::failpoint;
use crate::{Error, Result, Sealer};
pub use backup::{BackupError, Course, Snapshot, backup, check, restore};
pub use fill::FillPlan;
use hookfast_core::model::{NewEvent, SecretText};
use hookfast_core::ports::{
    Accept, Accepted, BoxFuture, Claim, ClaimWanted, Dispatch, HealthMark, Queue, Settlement, Waiting,
};
use hookfast_core::retry::RetryPolicy;
use hookfast_core::{Clock, EndpointId, IdGenerator, UnixMs};
use inbox::{AcceptCommand, Inbox};
pub use inspect::{Inspection, inspect};
pub use lock::DirLock;
use pool::ReadPool;
pub use schema::known as schema_known;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use writer::{Finish, Job, JobTx};

/// Called when the process must end because its store can no longer be trusted.
pub type FatalHook = Arc<dyn Fn(&str) + Send + Sync>;

/// Settings of the embedded store.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Key under which endpoint secrets and headers are sealed; without it they are kept as they are.
    pub secret_key: Option<SecretText>,
    /// The retention classes, in days; an application belongs to one.
    pub retention_classes_days: Vec<u16>,
    /// The class of applications that name none.
    pub retention_days_default: u16,
    /// The retry policy of endpoints that have none of their own; its window says when waiting ends.
    pub retry: RetryPolicy,
    /// Accepting stops while less than this is free on the disk.
    pub disk_reserve_bytes: u64,
    /// How long settlements may wait for an accept to share its commit with.
    pub settle_delay_ms: u64,
    /// Threads that read.
    pub readers: usize,
    /// The words for what this process does, as lists show them; none for a command.
    pub roles: Vec<String>,
}

impl SqliteConfig {
    /// The defaults, for a data directory.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            secret_key: None,
            retention_classes_days: vec![7, 30, 90],
            retention_days_default: 30,
            retry: RetryPolicy::default(),
            disk_reserve_bytes: 64 << 20,
            settle_delay_ms: 5,
            readers: 2,
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

/// What the writer, the readers and the callers share.
pub(crate) struct Shared {
    pub(crate) config: SqliteConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<IdGenerator>,
    pub(crate) sealer: Sealer,
    pub(crate) inbox: Inbox,
    pub(crate) directory: Directory,
    pub(crate) counters: Counters,
    pub(crate) incarnation: u64,
    pub(crate) started_at: UnixMs,
    pub(crate) fatal: FatalHook,
}

/// The embedded store. Implements every port of a store.
pub struct SqliteStore {
    shared: Arc<Shared>,
    readers: ReadPool,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: DirLock,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("dir", &self.shared.config.dir).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Takes the directory, migrates it, begins a new incarnation and queues what the last one had in memory.
    ///
    /// `ids` goes on behind the highest id in the store. `dispatch` is told of deliveries. `fatal` is called at most
    /// once, from the writing thread, when the store fails in a way after which the process must end.
    ///
    /// # Errors
    /// As [`Error`] says; each is one sentence that tells what to do.
    pub fn open(
        config: SqliteConfig,
        clock: Arc<dyn Clock>,
        ids: Arc<IdGenerator>,
        dispatch: Arc<dyn Dispatch>,
        fatal: FatalHook,
    ) -> Result<Arc<Self>> {
        let lock = DirLock::take(&config.dir)?;
        let path = config.dir.join("store.db");
        let conn = open::writer(&path)?;
        schema::migrate(&conn)?;
        let sealer = Sealer::new(config.secret_key.as_ref().map(SecretText::reveal))?;
        recovery::check_seal(&conn, &sealer)?;
        recovery::resume_ids(&conn, &ids)?;
        let incarnation = recovery::begin_incarnation(&conn)?;
        let recovered = recovery::queue_lost_pairs(&conn, &ids, clock.now())?;
        if recovered > 0 {
            tracing::info!(pairs = recovered, "queued what an earlier incarnation had in memory");
        }
        let readers = ReadPool::open(&path, config.readers)?;
        let started_at = clock.now();
        let counters = Counters { recovered: AtomicU64::new(recovered), ..Counters::default() };
        let shared = Arc::new(Shared {
            config,
            clock,
            ids,
            sealer,
            inbox: Inbox::default(),
            directory: Directory::default(),
            counters,
            incarnation: incarnation.cast_unsigned(),
            started_at,
            fatal,
        });
        let writing = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || writer::run(conn, writing, dispatch, incarnation))?;
        Ok(Arc::new(Self { shared, readers, writer: Mutex::new(Some(writer)), _lock: lock }))
    }

    /// Commits what waits and ends the threads; later calls answer `Unavailable`. Blocks until that is done.
    pub fn close(&self) {
        self.shared.inbox.close();
        if let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = writer.join();
        }
        self.readers.close();
    }

    /// Runs `change` in a transaction of its own on the writing thread.
    pub(crate) fn write<T, F>(&self, change: F) -> BoxFuture<'_, hookfast_core::Result<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut JobTx<'_>) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel::<Result<T>>();
        let job: Job = Box::new(move |tx| {
            let result = match tx.refused.take() {
                Some(error) => Err(error),
                None => change(tx),
            };
            let keep = result.is_ok();
            let done = move |failed: Option<Error>| {
                let _ = reply.send(match failed {
                    Some(error) => Err(error),
                    None => result,
                });
            };
            Finish { keep, done: Box::new(done) }
        });
        let sent = self.shared.inbox.job(job);
        Box::pin(async move {
            sent?;
            answer.await.map_err(|_| closing())?.map_err(Into::into)
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

fn closing() -> hookfast_core::Error {
    hookfast_core::Error::Unavailable { reason: "the store is closing".to_owned() }
}

impl Accept for SqliteStore {
    fn accept(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Vec<hookfast_core::Result<Accepted>>> {
        let count = events.len();
        let early: Option<Vec<_>> = failpoint::planted("answer_before_commit")
            .then(|| events.iter().map(|event| Ok(Accepted { id: event.id, repeat: false })).collect());
        let (reply, answer) = oneshot::channel();
        let sent = self.shared.inbox.accept(AcceptCommand { events, reply });
        Box::pin(async move {
            if let Err(error) = sent {
                return (0..count).map(|_| Err(error.clone())).collect();
            }
            match early {
                Some(results) => results,
                None => answer.await.unwrap_or_else(|_| (0..count).map(|_| Err(closing())).collect()),
            }
        })
    }
}

impl Queue for SqliteStore {
    fn settle(&self, settlements: Vec<Settlement>) {
        self.shared.inbox.settle(settlements);
    }

    fn claim(&self, wanted: Vec<ClaimWanted>, now: UnixMs) -> BoxFuture<'_, hookfast_core::Result<Vec<Claim>>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.shared.inbox.claim(claim::ClaimCommand::Claim { wanted, now, reply });
        Box::pin(async move {
            sent?;
            answer.await.map_err(|_| closing())?.map_err(Into::into)
        })
    }

    fn waiting(&self, after: Option<EndpointId>, limit: u32) -> BoxFuture<'_, hookfast_core::Result<Vec<Waiting>>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.shared.inbox.claim(claim::ClaimCommand::Waiting { after, limit, reply });
        Box::pin(async move {
            sent?;
            answer.await.map_err(|_| closing())?.map_err(Into::into)
        })
    }

    /// The directory's lock keeps every other process out.
    fn may_try(&self) -> bool {
        true
    }

    fn mark(&self, marks: Vec<HealthMark>) {
        let marked = self.write(move |tx| configuration::mark(tx, &marks));
        // The change is already on its way to the writer; whether it is refused shows in the endpoint's next mark.
        drop(marked);
    }
}
