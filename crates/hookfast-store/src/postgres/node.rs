//! The life of a node: its incarnation, its beat, and finding out who no longer beats.
//!
//! A node is dead when its beat stood still for `lease_ms` while every beat of the observer succeeded. Declaring it dead is a
//! transaction of its own; what it held comes back afterwards, in `rescue`.

use super::db::{Run, Session};
use super::wire::Uuid;
use super::{PostgresConfig, Shared, claim, rescue as taking_over};
use crate::{Error, Result, failpoint};
use hookfast_core::{AttemptId, IdGenerator, UnixMs};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::types::Type;

/// From one beat to the next: at most one a second, and several within a lease.
const BEAT_MS_MAX: u64 = 1_000;
/// While the server is away it is asked again so often.
const AWAY: Duration = Duration::from_millis(200);
/// From one look for what the dead held to the next.
const RESCUE_EVERY: Duration = Duration::from_millis(500);
/// So long a declaration may wait for what the dead node has under way before its connections are ended.
const BLOCKED_MAX: Duration = Duration::from_millis(1_000);

/// New ids are higher than every id in the store, whatever the clock says now.
pub(crate) async fn resume_ids(session: &Session, ids: &IdGenerator, now: UnixMs) -> Result<()> {
    let last = session.one("SELECT coalesce(max(last_id), 0) FROM hookfast.beats", &[]).await?;
    ids.resume_after(last.try_get::<_, i64>(0)?.cast_unsigned());
    for table in ["events", "applications", "endpoints", "tokens", "tasks"] {
        let sql = format!("SELECT id FROM hookfast.{table} ORDER BY id DESC LIMIT 1");
        if let Some(row) = session.opt(&sql, &[]).await? {
            ids.resume_after(AttemptId::from(row.try_get::<_, Uuid>(0)?).high());
        }
    }
    let ahead_ms = AttemptId::from_u128(ids.next(now)).time().since(now);
    if ahead_ms > 60_000 {
        tracing::warn!(ahead_ms, "ids in the store are from the future: a node's clock was, or this one's is, wrong");
    }
    Ok(())
}

/// Begins a new incarnation; durable when this returns.
pub(crate) async fn begin(session: &mut Session, config: &PostgresConfig, now: UnixMs) -> Result<i64> {
    let tx = session.begin().await?;
    let row = tx
        .one(
            "INSERT INTO hookfast.nodes (name, version, started_at, roles) VALUES ($1, $2, $3, $4) RETURNING incarnation",
            &[
                (&config.node_name, Type::TEXT),
                (&env!("CARGO_PKG_VERSION"), Type::TEXT),
                (&now.0, Type::INT8),
                (&config.roles, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    let incarnation: i64 = row.try_get(0)?;
    tx.change(
        "INSERT INTO hookfast.beats (incarnation, seen_at) VALUES ($1, $2)",
        &[(&incarnation, Type::INT8), (&now.0, Type::INT8)],
    )
    .await?;
    tx.commit().await?;
    Ok(incarnation)
}

/// Ends this incarnation: what it still has in the store belongs to the others at once.
pub(crate) async fn end(shared: &Shared) -> Result<()> {
    let mut session = shared.own.session().await?;
    let (me, now) = (shared.incarnation, shared.clock.now());
    let last_id = AttemptId::from_u128(shared.ids.next(now)).high().cast_signed();
    let tx = session.begin().await?;
    tx.change(
        "UPDATE hookfast.nodes SET state = 1, ended_at = $2 WHERE incarnation = $1 AND state = 0",
        &[(&me, Type::INT8), (&now.0, Type::INT8)],
    )
    .await?;
    tx.change(
        "UPDATE hookfast.beats SET seen_at = $2, last_id = $3 WHERE incarnation = $1",
        &[(&me, Type::INT8), (&now.0, Type::INT8), (&last_id, Type::INT8)],
    )
    .await?;
    tx.commit().await
}

/// Holds this node's row until the transaction ends: while it is held nobody can declare the node dead.
///
/// # Errors
/// [`Error::Fenced`] when it was declared dead before.
pub(crate) async fn fence(run: &impl Run, incarnation: i64) -> Result<()> {
    run.opt(fence_sql(), &[(&incarnation, Type::INT8)]).await?.map(drop).ok_or(Error::Fenced)
}

/// What a fence selects: one row while the node of `$1` is alive. A declaration, which changes this row, waits for all
/// that hold it; a weaker lock would let it pass.
pub(crate) fn fence_sql() -> &'static str {
    match () {
        () if failpoint::planted("no_fence") => "SELECT FROM hookfast.nodes WHERE incarnation = $1 FOR SHARE",
        () if failpoint::planted("key_share") => {
            "SELECT FROM hookfast.nodes WHERE incarnation = $1 AND state = 0 FOR KEY SHARE"
        }
        () => "SELECT FROM hookfast.nodes WHERE incarnation = $1 AND state = 0 FOR SHARE",
    }
}

/// What one beat told.
struct Heard {
    /// Beats of the other nodes that are alive.
    others: HashMap<i64, i64>,
}

async fn beat_once(shared: &Shared, session: &Session) -> Result<Heard> {
    let sent = shared.clock.now();
    let last_id = AttemptId::from_u128(shared.ids.next(sent)).high().cast_signed();
    let rows = session
        .rows(
            "WITH mine AS (UPDATE hookfast.beats SET beat = beat + 1, seen_at = $2, last_id = $3 WHERE incarnation = $1)
             SELECT n.incarnation, b.beat FROM hookfast.nodes n JOIN hookfast.beats b USING (incarnation) WHERE n.state = 0",
            &[(&shared.incarnation, Type::INT8), (&sent.0, Type::INT8), (&last_id, Type::INT8)],
        )
        .await?;
    let mut others = HashMap::with_capacity(rows.len());
    for row in &rows {
        others.insert(row.try_get(0)?, row.try_get(1)?);
    }
    if others.remove(&shared.incarnation).is_none() {
        return Err(Error::Fenced);
    }
    // The time of sending: the answer may have taken long.
    shared.confirmed.fetch_max(sent.0, Ordering::AcqRel);
    Ok(Heard { others })
}

/// The others' beats, and since when each stands still.
#[derive(Default)]
struct Watch {
    beats: HashMap<i64, (i64, Instant)>,
}

impl Watch {
    /// The own beat failed: what was seen before proves nothing any more.
    fn forget(&mut self) {
        self.beats.clear();
    }

    /// Those that have been silent for too long, with their last beat.
    fn silent(&mut self, heard: &Heard, lease: Duration) -> Vec<(i64, i64)> {
        let now = Instant::now();
        self.beats.retain(|incarnation, _| heard.others.contains_key(incarnation));
        let mut silent = Vec::new();
        for (incarnation, beat) in &heard.others {
            let seen = self.beats.entry(*incarnation).or_insert((*beat, now));
            if seen.0 != *beat {
                *seen = (*beat, now);
            } else if now - seen.1 > lease {
                silent.push((*incarnation, *beat));
            }
        }
        silent
    }
}

/// Beats and listens until the store is closed.
pub(crate) async fn beat(shared: Arc<Shared>) {
    let lease = Duration::from_millis(shared.config.lease_ms);
    let every = Duration::from_millis((shared.config.lease_ms / 6).clamp(10, BEAT_MS_MAX));
    let mut session: Option<Session> = None;
    let mut watch = Watch::default();
    loop {
        let connected = match session.take() {
            Some(session) => Ok(session),
            None => shared.own.session().await,
        };
        let pause = match connected {
            Err(error) => {
                tracing::debug!(%error, "no connection for the beat");
                None
            }
            Ok(open) => match tokio::time::timeout(lease / 3, beat_once(&shared, &open)).await {
                Ok(Ok(heard)) => {
                    session = Some(open);
                    shared.set_away(false);
                    for (incarnation, beat) in watch.silent(&heard, lease) {
                        declare_dead(&shared, incarnation, beat).await;
                    }
                    Some(every)
                }
                Ok(Err(error)) if matches!(error, Error::Fenced) => return shared.fatal(&error),
                _ => {
                    open.discard();
                    None
                }
            },
        };
        if pause.is_none() {
            watch.forget();
            shared.set_away(true);
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(pause.unwrap_or(AWAY)) => {}
        }
    }
}

/// Declares a node dead unless its beat has gone on. Bounded: beats go on meanwhile only if this returns soon.
async fn declare_dead(shared: &Shared, incarnation: i64, beat: i64) {
    let declared = tokio::time::timeout(BLOCKED_MAX * 2, declare(shared, incarnation, beat)).await;
    match declared {
        Ok(Ok(true)) => tracing::warn!(incarnation, "a node was silent too long: its work is taken over"),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => tracing::warn!(incarnation, %error, "a silent node could not be declared dead yet"),
        Err(_) => tracing::warn!(incarnation, "a silent node could not be declared dead yet: it holds a lock"),
    }
}

async fn declare(shared: &Shared, incarnation: i64, beat: i64) -> Result<bool> {
    let mut session = shared.own.session().await?;
    let tx = session.begin().await?;
    // In the transaction: behind a proxy the next one may have another backend.
    let pid: i32 = tx.one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
    fence(&tx, shared.incarnation).await?;
    let now = shared.clock.now().0;
    let params: super::db::Params<'_> = &[(&incarnation, Type::INT8), (&beat, Type::INT8), (&now, Type::INT8)];
    let mut update = Box::pin(tx.change(declaration(), params));
    let changed = match tokio::time::timeout(BLOCKED_MAX, &mut update).await {
        Ok(changed) => changed?,
        // A client frozen in the middle of a statement holds its row for ever; no timeout of the server ends that.
        Err(_) => {
            let other = shared.db.session().await?;
            let sql = "SELECT pg_terminate_backend(pid) FROM unnest(pg_blocking_pids($1)) AS pid";
            other.rows(sql, &[(&pid, Type::INT4)]).await?;
            update.as_mut().await?
        }
    };
    drop(update);
    tx.commit().await?;
    Ok(changed > 0)
}

/// How a node is declared dead that still has this beat.
fn declaration() -> &'static str {
    if failpoint::planted("recover_in_declaration") {
        // What was committed while this waited is not seen by it: it began before.
        return "WITH dead AS (
           UPDATE hookfast.nodes SET state = 2, ended_at = $3 WHERE incarnation = $1 AND state = 0
           AND (SELECT b.beat FROM hookfast.beats b WHERE b.incarnation = $1) = $2 RETURNING incarnation),
         taken AS (DELETE FROM hookfast.handoff h USING dead WHERE h.incarnation = dead.incarnation RETURNING h.events)
         INSERT INTO hookfast.queue (event, endpoint, run, retention_days, due, tries, crashes, manual)
         SELECT e.id, n.no, 0, e.retention_days, $3, 0, 0, false FROM taken
         JOIN hookfast.events e ON e.id = ANY(taken.events) JOIN hookfast.endpoints n ON n.app = e.app";
    }
    "UPDATE hookfast.nodes SET state = 2, ended_at = $3 WHERE incarnation = $1 AND state = 0
     AND (SELECT b.beat FROM hookfast.beats b WHERE b.incarnation = $1) = $2"
}

/// Takes over what ended nodes held, until the store is closed.
pub(crate) async fn rescue(shared: Arc<Shared>) {
    loop {
        if let Err(error) = claim::give_back_lost(&shared).await {
            tracing::debug!(%error, "what a lost claim left could not be given back yet");
        }
        match taking_over::step(&shared).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "what ended nodes held could not be taken over yet"),
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(RESCUE_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(beats: &[(i64, i64)]) -> Heard {
        Heard { others: beats.iter().copied().collect() }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_beat_that_stood_still_through_a_whole_lease_is_silence() {
        let (mut watch, lease) = (Watch::default(), Duration::from_secs(6));
        for second in 0..6 {
            assert_eq!(watch.silent(&heard(&[(1, second), (2, 7)]), lease), []);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(watch.silent(&heard(&[(1, 6), (2, 7)]), lease), [(2, 7)]);
        // After a failure of its own the observer begins anew.
        watch.forget();
        assert_eq!(watch.silent(&heard(&[(1, 6), (2, 7)]), lease), []);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(watch.silent(&heard(&[(1, 6), (2, 8)]), lease), []);
    }
}
