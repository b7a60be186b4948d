//! The engine as others see it: the store's writer through `Dispatch`, intake through `Admission`. Holds the state
//! and its lock, and does outside the lock what the state asks for. Holds no store until an engine is started.

use crate::admission::Gate;
use crate::state::{Effects, Job, State};
use crate::worker::{Guard, work};
use crate::{EngineConfig, Error, Metrics};
use hookfast_core::delivery::DeliveryState;
use hookfast_core::model::{AppThrottle, Endpoint};
use hookfast_core::ports::{Admission, BoxFuture, Delivery, Dispatch, Outcome, Queue, Settlement, Sink, Wanted};
use hookfast_core::{AppId, Clock, EndpointId, IdGenerator, Result, UnixMs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What the engine works with.
pub(crate) struct Parts {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) ids: Arc<IdGenerator>,
    pub(crate) handle: Handle,
}

/// The engine's memory. Made before the store, which tells it what it commits; starts work with
/// [`crate::Engine::start`], and until then grants no slots.
pub struct Dispatcher {
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: Gate,
    pub(crate) claimer: Notify,
    pub(crate) pacer: Notify,
    pub(crate) drained: Notify,
    pub(crate) workers: Mutex<JoinSet<()>>,
    state: Mutex<State>,
    /// Held while marks go to the store, so that they go in order.
    marks: Mutex<()>,
    /// Set while an engine runs; the store knows the dispatcher, so this ends the circle.
    parts: Mutex<Option<Arc<Parts>>>,
    me: Weak<Self>,
    metrics: Metrics,
}

impl Dispatcher {
    /// A dispatcher without an engine yet.
    #[must_use]
    pub fn new(config: EngineConfig, clock: Arc<dyn Clock>) -> Arc<Self> {
        let config = Arc::new(config);
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            gate: Gate::new(config.admission_wait_ms),
            claimer: Notify::new(),
            pacer: Notify::new(),
            drained: Notify::new(),
            workers: Mutex::new(JoinSet::new()),
            state: Mutex::new(State::new(Arc::clone(&config))),
            marks: Mutex::new(()),
            parts: Mutex::new(None),
            metrics: Metrics::default(),
            clock,
            config,
        })
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Deliveries that memory answers for now: waiting, in flight, or settled and not yet durable.
    #[must_use]
    pub fn held(&self) -> usize {
        self.state().held()
    }

    pub(crate) fn give(&self, parts: Parts) -> std::result::Result<Arc<Parts>, Error> {
        let mut place = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() {
            return Err(Error::AlreadyStarted);
        }
        Ok(Arc::clone(place.insert(Arc::new(parts))))
    }

    pub(crate) fn parts(&self) -> Option<Arc<Parts>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets store and sink: the engine has ended.
    pub(crate) fn let_parts_go(&self) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The state stays usable after a panic elsewhere: each method leaves it whole.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the state asked for.
    pub(crate) fn apply(&self, mut effects: Effects) {
        effects.jobs.extend(effects.next.take());
        self.apply_signals(&effects);
        if effects.settlements.is_empty() && effects.jobs.is_empty() && !effects.has_marks {
            return;
        }
        if let Some(parts) = self.parts() {
            self.apply_work(&parts, effects);
        }
    }

    /// Does what the state asked for after a try, whose worker makes the next one itself.
    pub(crate) fn apply_after_try(&self, parts: &Arc<Parts>, mut effects: Effects) -> Option<Job> {
        let next = effects.next.take();
        self.apply_signals(&effects);
        self.apply_work(parts, effects);
        next
    }

    fn apply_signals(&self, effects: &Effects) {
        if effects.wake_claimer {
            self.claimer.notify_one();
        }
        if effects.wake_pacer {
            self.pacer.notify_one();
        }
        if effects.close_gate {
            self.gate.close();
        }
        if effects.let_go > 0 {
            self.gate.let_go(effects.let_go, false);
        }
        if effects.drained {
            self.drained.notify_one();
        }
    }

    fn apply_work(&self, parts: &Arc<Parts>, effects: Effects) {
        if !effects.settlements.is_empty() {
            let now = self.clock.now();
            effects.settlements.iter().for_each(|one| self.count(one, now));
            parts.queue.settle(effects.settlements);
        }
        if effects.has_marks {
            self.send_marks(parts);
        }
        if effects.jobs.is_empty() {
            return;
        }
        let Some(me) = self.me.upgrade() else { return };
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        for job in effects.jobs {
            // The guard is made here: a task that is dropped before it ran settles its delivery too.
            let guard = Guard::new(Arc::clone(&me), Arc::clone(parts), job);
            // Boxed, as the allocator has no fast way to the alignment that tasks want, but for small ones.
            workers.spawn_on(Box::pin(work(guard)), &parts.handle);
        }
    }

    pub(crate) fn count(&self, settlement: &Settlement, now: UnixMs) {
        match settlement.outcome {
            Outcome::End(DeliveryState::Delivered, _) => {
                self.metrics.delivered(now.since(settlement.key.event.time()));
            }
            Outcome::End(DeliveryState::Cancelled, _) => self.metrics.cancelled(),
            Outcome::End(..) => self.metrics.dead(),
            Outcome::Retry { .. } => self.metrics.retried(),
            Outcome::Wait { .. } => self.metrics.returned(),
        }
    }

    fn send_marks(&self, parts: &Parts) {
        let _order = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = self.state().take_marks();
        if !marks.is_empty() {
            parts.queue.mark(marks);
        }
    }

    /// Runs a change of the state and does what it asks for.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State, UnixMs, &mut Effects) -> T) -> T {
        let now = self.clock.now();
        let mut effects = Effects::default();
        let answer = change(&mut self.state(), now, &mut effects);
        self.apply(effects);
        answer
    }
}

impl Dispatch for Dispatcher {
    fn reserve(&self, wanted: &[Wanted<'_>], granted: &mut Vec<bool>) {
        let now = self.clock.now();
        self.state().reserve(wanted, granted, now);
    }

    fn unreserve(&self, wanted: &[Wanted<'_>], granted: &[bool]) {
        self.change(|state, now, fx| state.unreserve(wanted, granted, now, fx));
    }

    fn hand_over(&self, deliveries: Vec<(Arc<Endpoint>, Delivery)>) {
        self.change(|state, now, fx| state.hand_over(deliveries, now, fx));
    }

    fn settled(&self, settlements: Vec<Settlement>) {
        self.change(|state, now, fx| state.settled(&settlements, now, fx));
    }

    fn queued(&self, waiting: &[(Arc<Endpoint>, UnixMs)]) {
        self.change(|state, now, fx| state.queued(waiting, now, fx));
    }

    fn endpoint_changed(&self, endpoint: &Arc<Endpoint>) {
        self.change(|state, now, fx| state.endpoint_changed(endpoint, now, fx));
    }

    fn app_throttle_changed(&self, app: AppId, throttle: AppThrottle) {
        self.change(|state, now, fx| state.app_throttle_changed(app, throttle, now, fx));
    }

    fn endpoint_removed(&self, endpoint: EndpointId) {
        self.change(|state, _, fx| state.endpoint_removed(endpoint, fx));
    }
}

impl Admission for Dispatcher {
    fn admit(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.gate.pass())
    }

    fn is_open(&self) -> bool {
        self.gate.is_open()
    }
}
