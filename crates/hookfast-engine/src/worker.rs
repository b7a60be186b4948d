//! One worker: makes a try, books what came of it, and goes on with the next one, so that no task is made per
//! delivery under load. Whatever happens to its task, what it holds is settled.

use crate::dispatcher::{Dispatcher, Parts};
use crate::state::{Effects, Ended, Job, Lost, Why};
use hookfast_core::AttemptId;
use hookfast_core::delivery::{Cause, DeliveryState, Next, TryResult, after_try};
use hookfast_core::limits::CRASHES_MAX;
use hookfast_core::model::Attempt;
use hookfast_core::ports::{Outcome, Settlement, Try, TryOutcome};
use std::sync::Arc;

/// After its worker died, a delivery waits this long.
const CRASH_WAIT_MS: u64 = 1_000;

/// Holds the delivery at hand; dropped with it, it gives it back.
pub(crate) struct Guard {
    dispatcher: Arc<Dispatcher>,
    parts: Arc<Parts>,
    job: Option<Job>,
}

impl Guard {
    pub(crate) fn new(dispatcher: Arc<Dispatcher>, parts: Arc<Parts>, job: Job) -> Self {
        Self { dispatcher, parts, job: Some(job) }
    }

    /// Settles the delivery at hand by what its try came to, and takes the next one.
    fn finish(&mut self, outcome: TryOutcome) {
        let Some(job) = self.job.take() else { return };
        let dispatcher = &self.dispatcher;
        let now = dispatcher.clock.now();
        let ended = Ended {
            lane: job.lane,
            flight: job.flight,
            started: job.started,
            cause: outcome.cause,
            duration_ms: outcome.duration_ms,
        };
        let result = TryResult { cause: outcome.cause, retry_after_ms: outcome.retry_after_ms };
        let policy = dispatcher.config.retry_of(&job.endpoint);
        let outcome_next = match after_try(policy, job.delivery.tries + 1, result, now, fastrand::f64()) {
            Next::End(state, cause) => Outcome::End(state, cause),
            Next::Retry { due } => Outcome::Retry { due },
        };
        let id = AttemptId::from_u128(self.parts.ids.next(now));
        let mut settlement = settlement(job, id, outcome, outcome_next);
        let mut effects = Effects::default();
        dispatcher.state().finished(ended, &mut settlement, now, &mut effects);
        dispatcher.metrics().tried(ended.cause, ended.duration_ms);
        dispatcher.count(&settlement, now);
        self.parts.queue.settle(vec![settlement]);
        self.job = dispatcher.apply_after_try(&self.parts, effects);
    }
}

fn settlement(job: Job, id: AttemptId, outcome: TryOutcome, next: Outcome) -> Settlement {
    let delivery = job.delivery;
    let tries = delivery.tries + 1;
    Settlement {
        key: delivery.key,
        hold: delivery.hold,
        attempt: Some(Attempt {
            id,
            event: delivery.key.event,
            endpoint: delivery.key.endpoint,
            run: delivery.key.run,
            number: tries,
            url: job.endpoint.url.clone(),
            cause: outcome.cause,
            status: outcome.status,
            duration_ms: outcome.duration_ms,
            excerpt: outcome.excerpt,
            trigger: delivery.trigger,
        }),
        tries,
        crashes: delivery.crashes,
        outcome: next,
        body_bytes: delivery.event.body_bytes(),
        retention_days: delivery.retention_days,
    }
}

impl Guard {
    /// Gives the delivery at hand back untried, and takes the next one.
    fn give_back(&mut self, why: Why) {
        let Some(job) = self.job.take() else { return };
        let panicked = why == Why::Panicked;
        let delivery = job.delivery;
        let dispatcher = &self.dispatcher;
        let now = dispatcher.clock.now();
        let crashes = delivery.crashes + u32::from(panicked);
        if panicked {
            tracing::error!(event = %delivery.key.event, endpoint = %delivery.key.endpoint, crashes, "a try panicked");
            dispatcher.metrics().panicked();
        }
        let outcome = if crashes >= CRASHES_MAX {
            Outcome::End(DeliveryState::Dead, Cause::Crashed)
        } else {
            Outcome::Wait { due: now.plus_ms(if panicked { CRASH_WAIT_MS } else { 0 }) }
        };
        let mut settlement = Settlement {
            key: delivery.key,
            hold: delivery.hold,
            attempt: None,
            tries: delivery.tries,
            crashes,
            outcome,
            body_bytes: delivery.event.body_bytes(),
            retention_days: delivery.retention_days,
        };
        let lost = Lost { lane: job.lane, flight: job.flight, why };
        let mut effects = Effects::default();
        dispatcher.state().lost(lost, &mut settlement, now, &mut effects);
        effects.settlements.push(settlement);
        if why != Why::Unsure {
            effects.jobs.extend(effects.next.take());
        }
        self.job = dispatcher.apply_after_try(&self.parts, effects);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.give_back(if std::thread::panicking() { Why::Panicked } else { Why::GivenUp });
    }
}

/// Makes tries until there is none to make.
pub(crate) async fn work(mut guard: Guard) {
    while let Some(job) = &guard.job {
        // As close to the first byte as can be: a node that was frozen may have been taken for dead meanwhile.
        if !guard.parts.queue.may_try() {
            guard.give_back(Why::Unsure);
            continue;
        }
        let outcome = guard.parts.sink.send(Try { endpoint: &job.endpoint, event: &job.delivery.event }).await;
        guard.finish(outcome);
        // A sink that never waits must not keep the thread for itself.
        tokio::task::coop::consume_budget().await;
    }
}
