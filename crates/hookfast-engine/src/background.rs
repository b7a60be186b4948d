//! Two loops on time: the sweep, ten times a second, and the pacer, which starts the tries of failing and of throttled
//! endpoints when their time has come.

use crate::claimer::sleep_until;
use crate::dispatcher::Dispatcher;
use crate::state::{Phase, Swept};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const TICK: Duration = Duration::from_millis(100);
/// Steps of the sweep per tick: a round over very many lanes takes several ticks.
const STEPS_PER_TICK: u32 = 16;

/// Sweeps until stopped.
pub(crate) async fn sweep(dispatcher: Arc<Dispatcher>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = Swept::default();
    let mut last = dispatcher.clock.now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = dispatcher.clock.now();
        let elapsed_ms = now.since(last);
        last = now;
        tick(&dispatcher, elapsed_ms);
        for _ in 0..STEPS_PER_TICK {
            if step(&dispatcher, &mut swept) {
                break;
            }
        }
        reap(&dispatcher);
    }
}

fn tick(dispatcher: &Dispatcher, elapsed_ms: u64) {
    let waiters = dispatcher.gate.waiters();
    let sure = dispatcher.parts().is_none_or(|parts| parts.queue.may_try());
    let (open, let_go) = dispatcher.change(|state, now, fx| {
        state.set_sure(sure, fx);
        let open = state.tick(now, elapsed_ms, waiters, fx);
        dispatcher.gate.set_retry_after_ms(state.lag_ms());
        (open, std::mem::take(&mut fx.let_go))
    });
    if !open && dispatcher.gate.is_open() {
        // It was closed while an earlier tick was opening it.
        dispatcher.gate.close();
    }
    if let_go > 0 || (open && !dispatcher.gate.is_open()) {
        dispatcher.gate.let_go(let_go, open);
    }
}

/// One step of the sweep; true when a round is done.
fn step(dispatcher: &Dispatcher, swept: &mut Swept) -> bool {
    let (done, gauges) = dispatcher.change(|state, now, fx| {
        let done = state.sweep(swept, now, fx);
        (done, done.then(|| state.gauges(swept)))
    });
    if let Some(gauges) = gauges {
        dispatcher.metrics().show(gauges);
    }
    done
}

/// Gives everything that waits in memory back to the queue; for an engine that drains.
pub(crate) async fn give_back(dispatcher: &Dispatcher) {
    let mut swept = Swept::default();
    while !step(dispatcher, &mut swept) {
        tokio::task::yield_now().await;
    }
}

/// Forgets workers that have ended.
fn reap(dispatcher: &Dispatcher) {
    let mut workers = dispatcher.workers.lock().unwrap_or_else(PoisonError::into_inner);
    while workers.try_join_next().is_some() {}
}

/// Starts tries whose pause is over, until the engine drains.
pub(crate) async fn pace(dispatcher: Arc<Dispatcher>) {
    loop {
        let now = dispatcher.clock.now();
        let next =
            dispatcher.change(|state, now, fx| (state.phase() != Phase::Draining).then(|| state.unpace(now, fx)));
        let Some(next) = next else { return };
        sleep_until(next.min(now.plus_ms(1_000)), now, &dispatcher.pacer).await;
    }
}
