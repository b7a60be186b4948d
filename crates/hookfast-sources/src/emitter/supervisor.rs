//! Emitters that outlive processes: of all nodes one runs those that the store lists, and tells the store how far they
//! came, so that the next one goes on there. Must not know which store, nor who starts and stops them.

use super::durable::{DurableEmitter, Link};
use hookfast_core::ports::{
    Accepted, BoxFuture, EmitterProgress, Emitters, Exclusive, Intake, RunningEmitter, Submission,
};
use hookfast_core::{Clock, EndpointId, Error, ErrorKind, Result, UnixMs};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the node that runs them holds.
const WORK: &str = "emitters";
/// How often the list is read, told or not.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the store is told how far they came.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// An emitter that could not go on is run again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// So long a stop waits for what is under way, and for the store.
const STOP_MAX: Duration = Duration::from_secs(5);
/// One run of an emitter: its endpoint, and when it was started.
type Key = (EndpointId, UnixMs);

/// Runs what the store lists.
pub struct EmitterSupervisor {
    emitters: Arc<dyn Emitters>,
    exclusive: Arc<dyn Exclusive>,
    intake: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    changed: Arc<Notify>,
}

impl EmitterSupervisor {
    /// `changed` is to be notified when one was started or stopped through this node: it is looked at at once then, and
    /// within half a second otherwise.
    pub fn new(
        emitters: Arc<dyn Emitters>,
        exclusive: Arc<dyn Exclusive>,
        intake: Arc<dyn Intake>,
        clock: Arc<dyn Clock>,
        changed: Arc<Notify>,
    ) -> Self {
        let guarded = Guarded { exclusive: Arc::clone(&exclusive), intake };
        Self { emitters, exclusive, intake: Arc::new(guarded), clock, changed }
    }

    /// Works until `stop` is cancelled. Then the store hears how far each came, and another node may go on at once; that
    /// takes 5 s at most. Dropped, it ends what it runs; the next one makes events of the last seconds again, the same to
    /// the byte, which intake knows by their ids.
    pub async fn run(self, stop: CancellationToken) {
        let mut crew = Crew::new();
        while !stop.is_cancelled() {
            if let Err(error) = self.turn(&mut crew).await {
                tracing::debug!(%error, "emitters could not be looked after; they go on as they are");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.changed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        if tokio::time::timeout(STOP_MAX, self.finish(crew)).await.is_err() {
            tracing::warn!("emitters did not end in time; the next node finds out how far they came");
        }
    }

    async fn turn(&self, crew: &mut Crew) -> Result<()> {
        if !crew.is_ours {
            crew.is_ours = self.exclusive.hold(WORK).await?;
            if !crew.is_ours {
                return Ok(());
            }
        }
        crew.note_ended().await;
        if crew.told_at.elapsed() >= TELL_EVERY || crew.is_waiting() {
            self.tell(crew).await?;
        }
        // Read after what they came to was told: whoever is started anew begins behind it.
        let listed = self.emitters.emitters().await?;
        self.match_to(crew, listed);
        Ok(())
    }

    /// Tells the store how far each came, then forgets those that ended.
    async fn tell(&self, crew: &mut Crew) -> Result<()> {
        let news = crew.news();
        if !news.is_empty() {
            self.emitters.emitted(news.clone()).await?;
        }
        for (endpoint, started_at, progress) in news {
            if let Some(member) = crew.members.get(&(endpoint, started_at)) {
                member.link.kept.send_replace(progress);
            }
        }
        crew.told_at = Instant::now();
        crew.members.retain(|_, member| !member.is_over());
        Ok(())
    }

    /// Starts those that are to run and do not, stops those that run and are not to.
    fn match_to(&self, crew: &mut Crew, listed: Vec<RunningEmitter>) {
        let mut wanted: HashMap<Key, RunningEmitter> = listed
            .into_iter()
            .filter(|one| !one.is_paused)
            .map(|one| ((one.spec.endpoint, one.started_at), one))
            .collect();
        for (key, member) in &crew.members {
            if wanted.remove(key).is_none() {
                member.stop.cancel();
            }
        }
        for (key, one) in wanted {
            crew.members.insert(key, self.start(&one, crew.all.child_token()));
        }
    }

    fn start(&self, one: &RunningEmitter, stop: CancellationToken) -> Member {
        let (intake, clock) = (Arc::clone(&self.intake), Arc::clone(&self.clock));
        let (emitter, link) = DurableEmitter::new(one, intake, clock, Arc::clone(&self.changed));
        let (run, ended) = (emitter.run(stop.clone()), Arc::clone(&self.changed));
        let task = tokio::spawn(async move {
            let outcome = run.await;
            ended.notify_one();
            outcome
        });
        Member { link, stop, state: State::Runs(task) }
    }

    async fn finish(&self, mut crew: Crew) {
        if !crew.is_ours {
            return;
        }
        crew.all.cancel();
        crew.until_all_ended().await;
        if let Err(error) = self.tell(&mut crew).await {
            tracing::warn!(%error, "how far emitters came could not be stored; the last seconds' events are made again");
        }
        if let Err(error) = self.exclusive.release(WORK).await {
            tracing::debug!(%error, "other nodes find out by themselves that emitters are free");
        }
    }
}

/// Those that run here: at most as many as the store lets start.
struct Crew {
    members: HashMap<Key, Member>,
    /// Ends them all, also when this is dropped.
    all: CancellationToken,
    _guard: DropGuard,
    is_ours: bool,
    told_at: Instant,
}

struct Member {
    link: Link,
    stop: CancellationToken,
    state: State,
}

enum State {
    Runs(JoinHandle<Result<()>>),
    Ended,
    /// It could not go on, then.
    Failed(Instant),
}

impl Member {
    /// How far it came, unless that is kept already.
    fn news(&self) -> Option<EmitterProgress> {
        let progress = *self.link.progress.borrow();
        (progress != *self.link.kept.borrow()).then_some(progress)
    }

    /// It ended, or does not go on before its progress is kept.
    fn is_waiting(&self) -> bool {
        let kept = *self.link.kept.borrow();
        self.is_over()
            || self.news().is_some_and(|news| (news.skipped_ms, news.unsure) != (kept.skipped_ms, kept.unsure))
    }

    /// It ended, or could not go on and may be tried again. One whose row is gone is never tried again.
    fn is_over(&self) -> bool {
        match &self.state {
            State::Runs(_) => false,
            State::Ended => true,
            State::Failed(at) => self.stop.is_cancelled() || at.elapsed() >= AGAIN_AFTER,
        }
    }
}

impl Crew {
    fn new() -> Self {
        let all = CancellationToken::new();
        let guard = all.clone().drop_guard();
        Self { members: HashMap::new(), all, _guard: guard, is_ours: false, told_at: Instant::now() }
    }

    fn is_waiting(&self) -> bool {
        self.members.values().any(Member::is_waiting)
    }

    /// How far those came that came further than is kept.
    fn news(&self) -> Vec<(EndpointId, UnixMs, EmitterProgress)> {
        let news = self.members.iter().filter_map(|(key, member)| Some((key.0, key.1, member.news()?)));
        news.collect()
    }

    /// Looks which tasks have ended, and waits for none.
    async fn note_ended(&mut self) {
        for (key, member) in &mut self.members {
            if let State::Runs(task) = &mut member.state
                && task.is_finished()
            {
                member.state = end(key.0, task.await);
            }
        }
    }

    async fn until_all_ended(&mut self) {
        for (key, member) in &mut self.members {
            if let State::Runs(task) = &mut member.state {
                member.state = end(key.0, task.await);
            }
        }
    }
}

fn end(endpoint: EndpointId, outcome: std::result::Result<Result<()>, tokio::task::JoinError>) -> State {
    match outcome {
        Ok(Ok(())) => return State::Ended,
        // Its row goes with its endpoint.
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
            tracing::debug!(%endpoint, %error, "an emitter ended with its endpoint");
        }
        Ok(Err(error)) => tracing::error!(%endpoint, %error, "an emitter could not go on; it is tried again in 30 s"),
        Err(lost) => tracing::error!(%endpoint, %lost, "an emitter was lost; it is run again in 30 s"),
    }
    State::Failed(Instant::now())
}

/// Lets nothing through while this node cannot be sure that it still holds the work.
struct Guarded {
    exclusive: Arc<dyn Exclusive>,
    intake: Arc<dyn Intake>,
}

impl Intake for Guarded {
    fn submit(&self, event: Submission) -> BoxFuture<'_, Result<Accepted>> {
        if self.exclusive.may_act() {
            return self.intake.submit(event);
        }
        let reason = "this node may have been taken for dead".to_owned();
        Box::pin(std::future::ready(Err(Error::Unavailable { reason })))
    }
}

#[cfg(test)]
mod tests;
