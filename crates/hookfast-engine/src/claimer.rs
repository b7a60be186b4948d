//! Two loops around the queue: one claims what is due, one walks over it to learn of endpoints that nobody told this
//! node of (after a restart, or from other nodes).

use crate::dispatcher::{Dispatcher, Parts};
use crate::state::Phase;
use hookfast_core::UnixMs;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// After a failed claim: the first pause, doubled up to the longest.
const BACK_OFF_MS_MIN: u64 = 100;
const BACK_OFF_MS_MAX: u64 = 5_000;
/// From one walk to the next.
const WALK_EVERY: Duration = Duration::from_secs(5);
/// Endpoints per page, and pages per walk: a walk that is cut short goes on where it stopped.
const WALK_PAGE: u32 = 256;
const WALK_PAGES: u32 = 64;

/// Claims due rows until the engine drains. A claim under way is always awaited to its end.
pub(crate) async fn claim(dispatcher: Arc<Dispatcher>, parts: Arc<Parts>) {
    let mut back_off_ms = 0;
    loop {
        let now = dispatcher.clock.now();
        let planned = {
            let mut state = dispatcher.state();
            if state.phase() == Phase::Draining {
                return;
            }
            state.plan_claims(now)
        };
        if planned.wanted.is_empty() {
            sleep_until(planned.wake_at, now, &dispatcher.claimer).await;
            continue;
        }
        let answer = parts.queue.claim(planned.wanted.clone(), now).await;
        match answer {
            Ok(claims) => {
                back_off_ms = 0;
                dispatcher.change(|state, now, fx| state.claimed(&planned.wanted, Ok(claims), now, fx));
            }
            Err(error) => {
                if back_off_ms == 0 {
                    tracing::warn!(%error, "claiming failed; trying again");
                }
                back_off_ms = (back_off_ms * 2).clamp(BACK_OFF_MS_MIN, BACK_OFF_MS_MAX);
                let again_at = dispatcher.clock.now().plus_ms(back_off_ms);
                dispatcher.change(|state, now, fx| state.claimed(&planned.wanted, Err(again_at), now, fx));
            }
        }
    }
}

/// Waits for a signal or for a time on the scheduling clock, whose pace differs a little from the timer's.
pub(crate) async fn sleep_until(at: UnixMs, now: UnixMs, signal: &tokio::sync::Notify) {
    let wait = Duration::from_millis(at.since(now).max(1));
    let _ = tokio::time::timeout(wait, signal.notified()).await;
}

/// Walks over the endpoints that have rows, a bounded part at a time.
pub(crate) async fn learn(dispatcher: Arc<Dispatcher>, parts: Arc<Parts>, stop: CancellationToken) {
    let mut after = None;
    let mut reported = false;
    loop {
        let next = Instant::now() + WALK_EVERY;
        for _ in 0..WALK_PAGES {
            let page = match parts.queue.waiting(after, WALK_PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    if !std::mem::replace(&mut reported, true) {
                        tracing::warn!(%error, "reading the queue failed; trying again");
                    }
                    break;
                }
            };
            reported = false;
            after = page.last().map(|last| last.endpoint.id);
            let is_last = page.len() < WALK_PAGE as usize;
            dispatcher.change(|state, now, fx| state.learn(&page, now, fx));
            if is_last {
                after = None;
                break;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
        }
    }
}
