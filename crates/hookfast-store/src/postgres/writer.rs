//! The one task that commits events and settlements: it takes all that waits, commits it in one statement, and tells
//! everybody afterwards.
//!
//! Nothing is answered or handed over before the commit is known. When its answer is lost the writer waits until the lost
//! transaction has ended, and sends the same batch again: every part of it is idempotent.

mod left_out;

use super::accept::{AcceptBatch, Added, EventColumns, Item, Replies};
use super::changes::News;
use super::connect::{Class, class_of};
use super::db::{Run, Session};
use super::inbox::Work;
use super::ordering::{self, Keys};
use super::settle::{SettleBatch, Urls};
use super::statement::Statement;
use super::wire::Uuid;
use super::{Shared, away, consume, missing, routes};
use crate::failpoint;
use crate::handoffs::Handoffs;
use crate::{Error, Result};
use hookfast_core::ports::{Accepted, Settlement};
use hookfast_core::{AppId, Error as PortError};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::types::Type;

/// A statement that takes longer has lost its connection.
const STATEMENT_MAX: Duration = Duration::from_secs(8);
/// Those who wait for an unknown commit are told after this that the store is away.
const UNKNOWN_MAX: Duration = Duration::from_secs(5);
/// From one attempt to reach the server to the next.
const RECONNECT: Duration = Duration::from_millis(100);
/// Before settlements are tried again on a full disk, or when the server refuses them.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
/// An event whose application changes all the time is refused after so many rounds.
const ROUNDS_MAX: u32 = 10;
/// A transaction that was undone for the sake of others is tried again so often.
const AGAIN_MAX: u32 = 20;

/// The state of the writing task.
struct Writer {
    shared: Arc<Shared>,
    session: Option<Session>,
    handoffs: Handoffs,
    urls: Urls,
    last_handoff: u64,
    /// The end of the last commit is unknown.
    is_unknown: bool,
    /// Since when the server could not be asked.
    lost_at: Option<Instant>,
}

/// What a commit answered.
struct Committed {
    /// Ids that were stored; `None` is all of them.
    stored: Option<HashSet<Uuid>>,
    found_leases: u64,
    /// Endpoints where the first row of a key is due now.
    promoted: BTreeSet<i64>,
}

/// Runs until the inbox is closed and empty.
pub(crate) async fn run(shared: Arc<Shared>) {
    let delay = Duration::from_millis(shared.config.settle_delay_ms);
    let mut writer = Writer {
        session: None,
        handoffs: Handoffs::default(),
        urls: Urls::default(),
        last_handoff: 0,
        is_unknown: false,
        lost_at: None,
        shared,
    };
    let mut outcome = Ok(());
    while let Some(work) = writer.shared.inbox.take(delay).await {
        outcome = writer.turn(work).await;
        // What is left then is recovered by others, from the hand-off rows.
        if outcome.is_err() || writer.gives_up() {
            break;
        }
    }
    if outcome.is_ok() && !writer.handoffs.done().is_empty() {
        outcome = writer.group(AcceptBatch::default(), SettleBatch::default(), &mut Replies::take(Vec::new()).0).await;
    }
    if let Err(error) = outcome {
        writer.shared.fatal(&error);
    }
    writer.shared.inbox.ended();
}

impl Writer {
    /// Errors out of here end the process.
    async fn turn(&mut self, work: Work) -> Result<()> {
        let (mut replies, mut items) = Replies::take(work.accepts);
        let mut settle = self.settle_batch(work.settlements).await;
        for _ in 0..ROUNDS_MAX {
            if items.is_empty() && settle.is_empty() {
                return Ok(());
            }
            let (mut batch, repeats) = self.route(items, &mut replies).await;
            replies.mark(&mut batch);
            items = self.commit_parts(batch, std::mem::take(&mut settle), &mut replies).await?;
            items.extend(self.answer_repeats(repeats, &mut replies).await);
        }
        for item in &items {
            let reason = "its application is being changed all the time".to_owned();
            replies.put(item, Err(PortError::Unavailable { reason }));
        }
        Ok(())
    }

    /// A batch of settlements; empty when the server cannot be asked for what it needs: they wait in the inbox again.
    async fn settle_batch(&mut self, settlements: Vec<Settlement>) -> SettleBatch {
        if settlements.is_empty() {
            return SettleBatch::default();
        }
        let opened = self.open().await;
        let made = match opened {
            Ok(()) => {
                let Self { session: Some(session), urls, shared, .. } = self else { return SettleBatch::default() };
                SettleBatch::of(shared, session, urls, settlements).await
            }
            Err(error) => Err((error, settlements)),
        };
        let (error, settlements) = match made {
            Ok(batch) => return batch,
            Err(failed) => failed,
        };
        tracing::debug!(%error, "settlements wait");
        self.lose();
        self.shared.inbox.settle_again(settlements);
        tokio::time::sleep(RECONNECT).await;
        SettleBatch::default()
    }

    /// Routes events. Those that must not share a commit with another one come back.
    async fn route(&mut self, items: Vec<Item>, replies: &mut Replies) -> (AcceptBatch, Vec<Item>) {
        let (mut batch, mut later) = (AcceptBatch::default(), Vec::new());
        for item in items {
            match self.routes_of(item.event.app).await {
                Ok(Some(app)) => match batch.add(item, &app) {
                    Added::Yes => {}
                    Added::Repeat(item) => later.push(item),
                    Added::Refused(item, error) => replies.put(&item, Err(error)),
                },
                Ok(None) => replies.put(&item, Err(PortError::NotFound { what: "application" })),
                Err(error) => {
                    self.lose();
                    replies.put(&item, Err(error.into()));
                }
            }
        }
        (batch, later)
    }

    async fn routes_of(&mut self, app: AppId) -> Result<Option<Arc<routes::AppRoutes>>> {
        if let Some(known) = self.shared.routes().app(app) {
            return Ok(Some(known));
        }
        self.open().await?;
        let Some(session) = &self.session else { return Err(Error::Busy) };
        let Some(found) = routes::load(session, &self.shared.sealer, app).await? else { return Ok(None) };
        let found = Arc::new(found);
        self.shared.routes().put_app(app, &found);
        Ok(Some(found))
    }

    /// One commit. When something in it cannot be stored, halves go by themselves. Answers events to be routed anew.
    async fn commit_parts(
        &mut self,
        mut batch: AcceptBatch,
        settle: SettleBatch,
        replies: &mut Replies,
    ) -> Result<Vec<Item>> {
        if batch.is_empty() && settle.is_empty() {
            return Ok(Vec::new());
        }
        batch.place(self.shared.dispatch.as_ref(), &mut self.last_handoff);
        match self.commit(&batch, &settle, replies).await {
            Ok(committed) => self.committed(batch, settle, &committed, replies).await,
            Err(error) => {
                batch.unreserve(self.shared.dispatch.as_ref(), |_| false);
                Box::pin(self.not_committed(error, batch, settle, replies)).await
            }
        }
    }

    async fn group(&mut self, batch: AcceptBatch, settle: SettleBatch, replies: &mut Replies) -> Result<()> {
        let committed = self.commit(&batch, &settle, replies).await?;
        self.committed(batch, settle, &committed, replies).await.map(drop)
    }

    /// The commit is durable: answers, hands over, frees.
    async fn committed(
        &mut self,
        batch: AcceptBatch,
        settle: SettleBatch,
        committed: &Committed,
        replies: &mut Replies,
    ) -> Result<Vec<Item>> {
        let shared = Arc::clone(&self.shared);
        self.handoffs.deleted(self.handoffs.done().len());
        batch.marks.committed(|id| committed.stored.as_ref().is_none_or(|stored| stored.contains(&id)));
        let mut stored = committed.stored.clone();
        let others = match &mut stored {
            Some(stored) => self.sort_out(&batch, stored).await,
            None => Vec::new(),
        };
        let is_stored = |id: Uuid| stored.as_ref().is_none_or(|stored| stored.contains(&id));
        batch.unreserve(shared.dispatch.as_ref(), is_stored);
        let placed = batch.placed(is_stored);
        for (no, pairs) in &placed.handoffs {
            self.handoffs.opened(*no, *pairs);
        }
        for (key, lease_no) in &settle.released {
            shared.held().release(*key, *lease_no);
        }
        // What is given back unsent keeps its due time, and may be older than what was claimed since.
        settle.waiting().for_each(|(endpoint, due)| shared.swept().found(endpoint, due));
        settle.handoffs.iter().for_each(|no| self.handoffs.settled(*no));
        shared.counters.stale.fetch_add(settle.leased().saturating_sub(committed.found_leases), Ordering::Relaxed);
        failpoint::reach("commit.after");
        let mut events = 0;
        for item in &batch.items {
            let id = item.event.id;
            if is_stored(id.into()) {
                events += 1;
                replies.put(item, Ok(Accepted { id, repeat: false }));
            }
        }
        let mut again = HashSet::new();
        for (at, answer) in others {
            match answer {
                Some(answer) => replies.put(&batch.items[at], answer),
                None => drop(again.insert(batch.items[at].event.id)),
            }
        }
        let rest = batch.items.into_iter().filter(|item| again.contains(&item.event.id)).collect();
        shared.counters.events.fetch_add(events, Ordering::Relaxed);
        failpoint::reach("accept.answered");
        if !placed.hand_over.is_empty() {
            shared.dispatch.hand_over(placed.hand_over);
        }
        shared.queued(&placed.queued, placed.queued_numbers, News::Queued);
        if let Some(session) = &self.session {
            missing::wake(&shared, session, &committed.promoted, News::Queued).await;
        }
        if !settle.settlements.is_empty() {
            shared.dispatch.settled(settle.settlements);
        }
        Ok(rest)
    }

    /// The commit did not happen, and will not as it is.
    async fn not_committed(
        &mut self,
        error: Error,
        batch: AcceptBatch,
        settle: SettleBatch,
        replies: &mut Replies,
    ) -> Result<Vec<Item>> {
        if matches!(error, Error::Fenced) {
            return Err(error);
        }
        let class = class_of(&error);
        let parts = batch.items.len() + settle.settlements.len();
        if class == Class::Data && parts > 1 {
            tracing::warn!(%error, "a commit failed; its halves go by themselves");
            return Box::pin(self.halves(batch, settle, replies)).await;
        }
        if class == Class::Refused && batch.items.iter().any(|item| item.invoice.is_some()) {
            return self.without_projected(&error, batch, settle, replies).await;
        }
        tracing::error!(%error, settlements = settle.settlements.len(), "a commit failed");
        if class == Class::Data {
            // The pair stays with its hand-off row or queue row; only its memory is freed.
            let mut held = self.shared.held();
            settle.released.iter().for_each(|(key, lease_no)| held.release(*key, *lease_no));
            held.doubtful |= !settle.released.is_empty();
            drop(held);
            self.shared.dispatch.settled(settle.settlements);
        } else if !settle.is_empty() {
            self.shared.inbox.settle_again(settle.settlements);
            tokio::time::sleep(REFUSED_PAUSE).await;
        }
        let error: PortError = error.into();
        batch.items.iter().for_each(|item| replies.put(item, Err(error.clone())));
        Ok(Vec::new())
    }

    /// The table of invoices may be gone, or closed to this user: what goes there has to wait, the rest must not.
    async fn without_projected(
        &mut self,
        error: &Error,
        mut batch: AcceptBatch,
        settle: SettleBatch,
        replies: &mut Replies,
    ) -> Result<Vec<Item>> {
        tracing::error!(%error, "events of the log cannot be written to public.events");
        let reason = format!("public.events cannot be written: {error}");
        for item in &consume::take_projected(&mut batch) {
            replies.put(item, Err(PortError::Unavailable { reason: reason.clone() }));
        }
        let settle = self.settle_batch(settle.settlements).await;
        let (batch, mut again) = self.route(batch.items, replies).await;
        again.extend(Box::pin(self.commit_parts(batch, settle, replies)).await?);
        Ok(again)
    }

    async fn halves(&mut self, batch: AcceptBatch, settle: SettleBatch, replies: &mut Replies) -> Result<Vec<Item>> {
        let mut again = Vec::new();
        let mut settlements = settle.settlements;
        let second = settlements.split_off(settlements.len() / 2);
        for half in [settlements, second] {
            let half = self.settle_batch(half).await;
            again.extend(self.commit_parts(AcceptBatch::default(), half, replies).await?);
        }
        let mut items = batch.items;
        let second = items.split_off(items.len() / 2);
        for half in [items, second] {
            let (half, later) = self.route(half, replies).await;
            again.extend(later);
            again.extend(self.commit_parts(half, SettleBatch::default(), replies).await?);
        }
        Ok(again)
    }

    /// Sends a batch until it is known to be committed, or known not to be.
    async fn commit(&mut self, batch: &AcceptBatch, settle: &SettleBatch, replies: &mut Replies) -> Result<Committed> {
        let shared = Arc::clone(&self.shared);
        let columns = EventColumns::of(&batch.items, shared.projection.get().map(String::as_str));
        let done: Vec<i64> = self.handoffs.done().iter().map(|no| no.cast_signed()).collect();
        let statement = compose(&shared.incarnation, batch, &columns, settle, &done);
        let mut keys = Keys::default();
        batch.ordered.count(&mut keys);
        settle.ordered_ends.count(&mut keys);
        let mut undone = 0;
        loop {
            let outcome = match self.open().await {
                Ok(()) => self.send(&statement, &keys).await,
                Err(error) => Err(error),
            };
            shared.counters.commits.fetch_add(1, Ordering::Relaxed);
            let error = match outcome {
                Ok(committed) => return Ok(committed),
                Err(error) => error,
            };
            match class_of(&error) {
                Class::Again if undone < AGAIN_MAX => {
                    undone += 1;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(1..20))).await;
                }
                Class::Lost => {
                    self.lose();
                    shared.set_away(true);
                    shared.inbox.refuse(&away());
                    if self.lost_at.is_some_and(|at| at.elapsed() > UNKNOWN_MAX) {
                        replies.give_up(&away());
                    }
                    if self.gives_up() {
                        return Err(error);
                    }
                    tokio::time::sleep(RECONNECT).await;
                }
                _ => return Err(error),
            }
        }
    }

    async fn send(&mut self, statement: &Statement<'_>, keys: &Keys) -> Result<Committed> {
        let Some(session) = &mut self.session else { return Err(Error::Busy) };
        failpoint::reach("commit.before");
        self.is_unknown = true;
        let sent = tokio::time::timeout(STATEMENT_MAX, ordering::send(session, &self.shared, statement, keys)).await;
        let (row, promoted) = sent.map_err(|_| Error::Silent)??;
        (self.is_unknown, self.lost_at) = (false, None);
        if row.try_get::<_, i64>(0)? == 0 {
            return Err(Error::Fenced);
        }
        let stored: Option<Vec<Uuid>> = row.try_get(2)?;
        let all = row.try_get::<_, bool>(1)?;
        let found_leases = row.try_get::<_, i64>(3)?.cast_unsigned();
        let stored = (!all).then(|| stored.unwrap_or_default().into_iter().collect());
        Ok(Committed { stored, found_leases, promoted })
    }

    /// Makes sure of a connection on which nothing that was lost can come in between.
    async fn open(&mut self) -> Result<()> {
        if self.session.is_none() {
            self.session = Some(self.shared.own.session().await?);
        }
        if self.is_unknown
            && let Some(session) = &self.session
        {
            // The lost transaction held this row: when this returns it has ended.
            let sql = "SELECT state FROM hookfast.nodes WHERE incarnation = $1 FOR UPDATE";
            let params: super::db::Params<'_> = &[(&self.shared.incarnation, Type::INT8)];
            let locked = tokio::time::timeout(STATEMENT_MAX, session.one(sql, params)).await;
            let state: i16 = locked.map_err(|_| Error::Silent)??.try_get(0)?;
            if state != 0 {
                return Err(Error::Fenced);
            }
            self.is_unknown = false;
        }
        Ok(())
    }

    /// The store is being closed and the server has been away for too long.
    fn gives_up(&self) -> bool {
        self.shared.inbox.is_closed() && self.lost_at.is_some_and(|at| at.elapsed() > UNKNOWN_MAX)
    }

    /// The connection is not to be used any more.
    fn lose(&mut self) {
        self.lost_at.get_or_insert_with(Instant::now);
        if let Some(session) = self.session.take() {
            session.discard();
        }
    }
}

/// The one statement of a commit. It answers: is the fence held, was everything stored, what was, leased rows found.
fn compose<'a>(
    incarnation: &'a i64,
    batch: &'a AcceptBatch,
    columns: &'a EventColumns<'a>,
    settle: &'a SettleBatch,
    done: &'a Vec<i64>,
) -> Statement<'a> {
    let mut statement = Statement::new(incarnation);
    let mut stored = "true, NULL::uuid[]".to_owned();
    if !batch.is_empty() {
        batch.write(&mut statement, columns);
        let all = "(SELECT count(*) FROM e) = cardinality($2::uuid[])";
        stored = format!("{all}, CASE WHEN {all} THEN NULL ELSE (SELECT array_agg(id) FROM e) END");
    }
    settle.write(&mut statement);
    if !done.is_empty() {
        let sql = "hd AS (DELETE FROM hookfast.handoff h USING me WHERE h.incarnation = $1 AND h.batch = ANY(@))";
        statement.part(sql, &[(done, Type::INT8_ARRAY)]);
    }
    statement.select(&format!("SELECT (SELECT count(*) FROM me), {stored}, {}", settle.found_leases()));
    statement
}
