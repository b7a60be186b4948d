//! Starts the engine's loops around a dispatcher, and ends them without losing what it holds. Must not know which
//! store and which sink it was given.

use crate::dispatcher::{Dispatcher, Parts};
use crate::state::Phase;
use crate::{Error, background, claimer};
use hookfast_core::IdGenerator;
use hookfast_core::ports::{Queue, Sink};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After the deadline of a drain, what was given back may take this long to become durable.
const SETTLE_AFTER_DEADLINE: Duration = Duration::from_secs(5);

/// What an engine works with.
pub struct EnginePorts {
    /// Where deliveries come from and are settled.
    pub queue: Arc<dyn Queue>,
    /// How deliveries go out.
    pub sink: Arc<dyn Sink>,
    /// Makes the ids of attempts.
    pub ids: Arc<IdGenerator>,
}

/// What a drain left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Tries that were cut off at the deadline; their receivers may get the event again.
    pub cut_off: usize,
    /// Deliveries that the store had not confirmed in time; they are recovered at the next start.
    pub unsettled: usize,
}

/// An engine at work. Dropped without [`Engine::drain`], its loops end, and what it holds is recovered by the store at
/// the next start.
pub struct Engine {
    dispatcher: Arc<Dispatcher>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Engine {
    /// Starts delivering, on the runtime of `handle`.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`] when the dispatcher works for another engine.
    pub fn start(dispatcher: Arc<Dispatcher>, ports: EnginePorts, handle: &Handle) -> Result<Self, Error> {
        let EnginePorts { queue, sink, ids } = ports;
        let parts = dispatcher.give(Parts { queue, sink, ids, handle: handle.clone() })?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        dispatcher.change(|state, now, fx| state.set_phase(Phase::Running, now, fx));
        let shared = || Arc::clone(&dispatcher);
        tasks.spawn_on(claimer::claim(shared(), Arc::clone(&parts)), handle);
        tasks.spawn_on(claimer::learn(shared(), parts, stop.clone()), handle);
        tasks.spawn_on(background::sweep(shared(), stop.clone()), handle);
        tasks.spawn_on(background::pace(shared()), handle);
        tasks.close();
        Ok(Self { dispatcher, stop, tasks })
    }

    /// Ends work: no new try starts, tries in flight may take until `deadline` from now, everything else goes back to
    /// the queue. Returns once all of it is durable, or 5 s past the deadline at the latest.
    ///
    /// Not cancel-safe: await it to the end.
    pub async fn drain(self, deadline: Duration) -> Drained {
        let until = Instant::now() + deadline;
        self.stop.cancel();
        let dispatcher = &self.dispatcher;
        dispatcher.change(|state, now, fx| state.set_phase(Phase::Draining, now, fx));
        dispatcher.pacer.notify_one();
        background::give_back(dispatcher).await;
        let in_time = tokio::time::timeout_at(until, async {
            self.tasks.wait().await;
            self.no_more_held().await;
        });
        let mut left = Drained { cut_off: 0, unsettled: 0 };
        if in_time.await.is_err() {
            left.cut_off = self.cut_off().await;
            let patience = until.max(Instant::now()) + SETTLE_AFTER_DEADLINE;
            if tokio::time::timeout_at(patience, self.no_more_held()).await.is_err() {
                left.unsettled = dispatcher.held();
                tracing::warn!(unsettled = left.unsettled, "the store did not confirm everything in time");
            }
        }
        left
    }

    async fn no_more_held(&self) {
        loop {
            let signal = self.dispatcher.drained.notified();
            if self.dispatcher.state().is_drained() {
                return;
            }
            signal.await;
        }
    }

    /// Gives up the tries in flight; their guards settle them before this returns.
    async fn cut_off(&self) -> usize {
        let cut_off = self.dispatcher.state().in_flight() as usize;
        let mut workers = std::mem::take(&mut *self.dispatcher.workers.lock().unwrap_or_else(PoisonError::into_inner));
        workers.shutdown().await;
        cut_off
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.cancel();
        self.dispatcher.change(|state, now, fx| state.set_phase(Phase::Draining, now, fx));
        self.dispatcher.pacer.notify_one();
        self.dispatcher.let_parts_go();
    }
}
