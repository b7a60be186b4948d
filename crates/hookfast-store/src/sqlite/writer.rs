//! The one thread that writes: it takes all that waits, commits it together, and tells everybody afterwards.
//!
//! Nothing is answered or handed over before its COMMIT returned. A commit that fails for want of space is undone
//! and tried again; an I/O error ends the process, because what reached the disk is then unknown.

use super::accept::{self, AcceptEffects};
use super::claim::Held;
use super::hot::Hot;
use super::inbox::{AcceptCommand, Work};
use super::recent_keys::RecentKeys;
use super::routes::{self, Routes};
use super::settle::SettleEffects;
use crate::failpoint;
use crate::handoffs::Handoffs;
use crate::sqlite::{Shared, disk};
use crate::{Error, Result};
use hookfast_core::model::AppThrottle;
use hookfast_core::ports::{Dispatch, Settlement};
use hookfast_core::{AppId, EndpointId, UnixMs};
use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long settlements wait before they are tried again on a full disk.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(200);
/// How often the free space is looked at.
const DISK_LOOK: Duration = Duration::from_millis(250);

/// A change or a maintenance step, in a transaction of its own.
pub(crate) type Job = Box<dyn FnOnce(&mut JobTx<'_>) -> Finish + Send>;

/// What is left to do with a job's result.
pub(crate) struct Finish {
    /// Keep what it wrote.
    pub(crate) keep: bool,
    /// Called after the commit, or with the reason why there was none.
    pub(crate) done: Box<dyn FnOnce(Option<Error>) + Send>,
}

/// What a job may touch.
pub(crate) struct JobTx<'w> {
    pub(crate) conn: &'w Connection,
    pub(crate) shared: &'w Shared,
    pub(crate) held: &'w Held,
    /// Why there is no transaction; then the job must write nothing.
    pub(crate) refused: Option<Error>,
    /// Applications or tokens changed: what memory holds of them is forgotten, after the commit and before the answer.
    pub(crate) directory_changed: bool,
    /// Applications whose routes changed.
    pub(crate) changed_apps: Vec<AppId>,
    /// What an application allows its endpoints changed.
    pub(crate) app_throttle: Option<(AppId, AppThrottle)>,
    /// Endpoints, by number, that the engine must see anew.
    pub(crate) changed: Vec<i64>,
    /// Endpoints that were deleted.
    pub(crate) removed: Vec<EndpointId>,
    /// Endpoints, by number, that got queue rows, and the earliest time one is due.
    pub(crate) queued: Vec<(i64, UnixMs)>,
}

/// The state of the writing thread.
pub(crate) struct Writer<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) hot: Hot<'c>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) dispatch: Arc<dyn Dispatch>,
    pub(crate) routes: Routes,
    pub(crate) held: Held,
    pub(crate) handoffs: Handoffs,
    pub(crate) keys: RecentKeys,
    pub(crate) urls: HashMap<String, i64>,
    pub(crate) incarnation: i64,
    pub(crate) next_handoff: u64,
    /// The next row of an endpoint that keeps order has this number; it rises over restarts too.
    pub(crate) next_order: i64,
    /// Settlements that could not be written yet.
    kept: Vec<Settlement>,
    looked: Option<Instant>,
    has_space: bool,
}

/// Runs until the inbox is closed and empty.
pub(crate) fn run(conn: Connection, shared: Arc<Shared>, dispatch: Arc<dyn Dispatch>, incarnation: i64) {
    let fatal = Arc::clone(&shared.fatal);
    let outcome = Hot::prepare(&conn).and_then(|hot| {
        let mut writer = Writer {
            keys: RecentKeys::load(&conn)?,
            conn: &conn,
            hot,
            shared,
            dispatch,
            routes: Routes::default(),
            held: Held::default(),
            handoffs: Handoffs::default(),
            urls: HashMap::new(),
            incarnation,
            next_handoff: incarnation.cast_unsigned() << 32,
            next_order: incarnation << 40,
            kept: Vec::new(),
            looked: None,
            has_space: true,
        };
        let delay = Duration::from_millis(writer.shared.config.settle_delay_ms);
        while let Some(work) = writer.shared.inbox.take(delay) {
            writer.turn(work)?;
        }
        writer.last_turn()
    });
    if let Err(error) = outcome {
        fatal(&error.to_string());
    }
}

impl Writer<'_> {
    /// Errors out of here end the process.
    fn turn(&mut self, mut work: Work) -> Result<()> {
        if !self.kept.is_empty() {
            let newer = std::mem::take(&mut work.settlements);
            work.settlements = std::mem::take(&mut self.kept);
            work.settlements.extend(newer);
        }
        let accepts = self.with_space(std::mem::take(&mut work.accepts));
        if !accepts.is_empty() || !work.settlements.is_empty() {
            self.group(accepts, std::mem::take(&mut work.settlements))?;
        }
        for claim in work.claims {
            self.claim(claim);
        }
        for job in work.jobs {
            self.job(job)?;
        }
        Ok(())
    }

    /// Ends what is still open: deletes hand-off rows that nobody needs, folds the WAL back.
    fn last_turn(&mut self) -> Result<()> {
        if !self.kept.is_empty() || !self.handoffs.done().is_empty() {
            let kept = std::mem::take(&mut self.kept);
            self.group(Vec::new(), kept)?;
        }
        Ok(())
    }

    /// Refuses accepts while the disk is nearly full, so that settling still has room.
    fn with_space(&mut self, accepts: Vec<AcceptCommand>) -> Vec<AcceptCommand> {
        if accepts.is_empty() {
            return accepts;
        }
        if self.looked.is_none_or(|at| at.elapsed() > DISK_LOOK) {
            self.looked = Some(Instant::now());
            let free = disk::free_bytes(&self.shared.config.dir);
            let had = self.has_space;
            self.has_space = free.is_none_or(|free| free >= self.shared.config.disk_reserve_bytes);
            if had && !self.has_space {
                tracing::error!(free_bytes = free, "disk nearly full: accepting stops until space is freed");
            } else if !had && self.has_space {
                tracing::info!(free_bytes = free, "space was freed: accepting again");
            }
        }
        if self.has_space {
            return accepts;
        }
        refuse(accepts, &disk::full());
        Vec::new()
    }

    /// One group commit; when something in it cannot be written, each part goes by itself.
    fn group(&mut self, accepts: Vec<AcceptCommand>, settlements: Vec<Settlement>) -> Result<()> {
        let Err((error, accepts, settlements)) = self.commit(accepts, settlements) else { return Ok(()) };
        if error.is_fatal() {
            return Err(error);
        }
        if error.is_disk_full() || error.is_busy() {
            tracing::error!(error = %error, settlements = settlements.len(), "commit failed; settlements are kept");
            refuse(accepts, &error.into());
            self.kept = settlements;
            std::thread::sleep(FULL_DISK_PAUSE);
            return Ok(());
        }
        if accepts.len() + settlements.len() <= 1 {
            tracing::error!(error = %error, "one accept or settlement cannot be written");
            refuse(accepts, &error.into());
            // The pair stays with its hand-off row or queue row; only its memory is freed.
            self.dispatch.settled(settlements);
            return Ok(());
        }
        tracing::warn!(error = %error, "a commit failed; its parts are tried one by one");
        for settlement in settlements {
            self.group(Vec::new(), vec![settlement])?;
        }
        for accept in accepts {
            self.group(vec![accept], Vec::new())?;
        }
        Ok(())
    }

    fn commit(
        &mut self,
        accepts: Vec<AcceptCommand>,
        settlements: Vec<Settlement>,
    ) -> std::result::Result<(), (Error, Vec<AcceptCommand>, Vec<Settlement>)> {
        let mut accepted = AcceptEffects::default();
        let mut settled = SettleEffects::default();
        let done = self.transaction(|writer| {
            writer.settle_all(&settlements, &mut settled)?;
            writer.accept_all(&accepts, &mut accepted)?;
            Ok((writer.delete_handoffs()?, writer.keys.write_some(writer.conn)?))
        });
        let (deleted, moved) = match done {
            Ok(done) => done,
            Err(error) => {
                self.keys.forget(&accepted.keys);
                self.dispatch.unreserve(&accept::wanted(&accepted.pairs), &accepted.granted);
                self.routes.forget_all();
                self.urls.clear();
                return Err((error, accepts, settlements));
            }
        };
        self.handoffs.deleted(deleted);
        self.keys.moved(moved);
        self.keys.committed(accepted.events, accepted.newest);
        for (no, pairs) in &accepted.handoffs {
            self.handoffs.opened(*no, *pairs);
        }
        let promoted = std::mem::take(&mut settled.queued);
        self.settle_done(settled);
        self.shared.counters.events.fetch_add(accepted.events, Ordering::Relaxed);
        failpoint::reach("commit.after");
        for (command, results) in accepts.into_iter().zip(accepted.results) {
            let _ = command.reply.send(results);
        }
        failpoint::reach("accept.answered");
        if !accepted.hand_over.is_empty() {
            self.dispatch.hand_over(accepted.hand_over);
        }
        if !accepted.queued.is_empty() {
            self.dispatch.queued(&accepted.queued);
        }
        if !settlements.is_empty() {
            self.dispatch.settled(settlements);
        }
        if let Err(error) = self.tell_queued(&promoted) {
            // The engine finds them on its walk over the queue.
            tracing::warn!(%error, "the engine could not be told of rows that are due");
        }
        Ok(())
    }

    fn delete_handoffs(&mut self) -> Result<usize> {
        let done = self.handoffs.done();
        for no in done {
            self.hot.handoff_delete.execute([no.cast_signed()])?;
        }
        Ok(done.len())
    }

    /// Begins, checks the fence, works, commits; rolls back on any error.
    pub(crate) fn transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.hot.begin.execute([])?;
        let outcome = self.fence().and_then(|()| work(self)).and_then(|value| {
            failpoint::reach("commit.before");
            self.hot.commit.execute([])?;
            Ok(value)
        });
        self.shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        if outcome.is_err() && !self.conn.is_autocommit() {
            self.hot.rollback.execute([])?;
        }
        outcome
    }

    /// The store belongs to the newest incarnation. The directory's lock keeps a second process out; this holds
    /// even when the lock file was deleted under us.
    fn fence(&mut self) -> Result<()> {
        let current: i64 = self.hot.incarnation.query_row([], |row| row.get(0))?;
        if current == self.incarnation || failpoint::planted("no_fence") { Ok(()) } else { Err(Error::Fenced) }
    }

    fn job(&mut self, job: Job) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let begun = self.hot.begin.execute([]).map_err(Error::from).and_then(|_| self.fence());
        let fatal = begun.as_ref().err().filter(|error| error.is_fatal()).map(ToString::to_string);
        let mut tx = JobTx {
            conn: self.conn,
            shared: &shared,
            held: &self.held,
            refused: begun.err(),
            directory_changed: false,
            changed_apps: Vec::new(),
            app_throttle: None,
            changed: Vec::new(),
            removed: Vec::new(),
            queued: Vec::new(),
        };
        let finish = job(&mut tx);
        let JobTx { directory_changed, changed_apps, app_throttle, changed, removed, queued, .. } = tx;
        let committed = if finish.keep {
            failpoint::reach("job.before_commit");
            self.hot.commit.execute([]).map(|_| ()).map_err(Error::from)
        } else {
            Ok(())
        };
        if !self.conn.is_autocommit() {
            self.hot.rollback.execute([])?;
        }
        let fatal = fatal.or_else(|| committed.as_ref().err().filter(|e| e.is_fatal()).map(ToString::to_string));
        let kept = finish.keep && committed.is_ok();
        if kept && directory_changed {
            shared.directory.forget();
        }
        if kept {
            if let Some((app, throttle)) = app_throttle {
                self.dispatch.app_throttle_changed(app, throttle);
            }
            self.after_job(&changed_apps, &changed, &removed, &queued)?;
        }
        (finish.done)(committed.err());
        match fatal {
            Some(reason) => Err(hookfast_core::Error::Terminal { reason }.into()),
            None => Ok(()),
        }
    }

    fn after_job(
        &mut self,
        changed_apps: &[AppId],
        changed: &[i64],
        removed: &[EndpointId],
        queued: &[(i64, UnixMs)],
    ) -> Result<()> {
        for app in changed_apps {
            self.routes.forget(*app);
        }
        for no in changed {
            if let Some(endpoint) = routes::endpoint_by_number(self.conn, &self.shared.sealer, *no)? {
                self.dispatch.endpoint_changed(&Arc::new(endpoint));
            }
        }
        for endpoint in removed {
            self.dispatch.endpoint_removed(*endpoint);
        }
        self.tell_queued(queued)
    }

    /// Tells the engine of endpoints, by number, that have rows from then on.
    pub(crate) fn tell_queued(&mut self, queued: &[(i64, UnixMs)]) -> Result<()> {
        let mut waiting = Vec::with_capacity(queued.len());
        for (no, due) in queued {
            if let Some(endpoint) = self.routes.endpoint(self.conn, &self.shared.sealer, *no)? {
                waiting.push((endpoint, *due));
            }
        }
        if !waiting.is_empty() {
            self.dispatch.queued(&waiting);
        }
        Ok(())
    }
}

fn refuse(accepts: Vec<AcceptCommand>, error: &hookfast_core::Error) {
    for command in accepts {
        let _ = command.reply.send(command.events.iter().map(|_| Err(error.clone())).collect());
    }
}
