//! Runs the store's background work: each duty in small steps, with pauses that keep it from being felt. A failed
//! step is tried again later; nothing ends the loop but its stop.

use crate::Metrics;
use hookfast_core::ports::{Duty, Maintenance};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A duty with more to do works at most one part in so many of the time.
const SHARE: u32 = 10;
/// Fan-out is part of delivering: it may take half of the time.
const FAN_OUT_SHARE: u32 = 2;
const PAUSE_MAX: Duration = Duration::from_secs(1);
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// The background work of a store, at work; beside an engine or without one. Dropped, it ends after its present step.
pub struct Duties {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Duties {
    /// Starts them on the runtime of `handle`; `metrics` counts what they do.
    #[must_use]
    pub fn start(store: Arc<dyn Maintenance>, metrics: Metrics, handle: &Handle) -> Self {
        let stop = CancellationToken::new();
        let task = handle.spawn(run(store, metrics, stop.clone()));
        Self { stop, task }
    }

    /// Starts no other step, and waits for the present one for at most `patience`; one that takes longer is given up,
    /// which is as a crash in its middle. Cancel-safe.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Duties {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// How long a duty sleeps when it has nothing more to do.
fn interval(duty: Duty) -> Duration {
    match duty {
        Duty::FanOut | Duty::Tasks => Duration::from_millis(200),
        Duty::Cancel => Duration::from_secs(1),
        Duty::Retention | Duty::Expire | Duty::RollUp => Duration::from_secs(10),
        Duty::Audit | Duty::Partitions => Duration::from_secs(60),
    }
}

struct Plan {
    duty: Duty,
    next: Instant,
    /// The pause after the last failure; zero when the last step succeeded.
    back_off: Duration,
}

/// Runs all duties until stopped, one step at a time.
async fn run(store: Arc<dyn Maintenance>, metrics: Metrics, stop: CancellationToken) {
    let start = Instant::now();
    let mut plans = Duty::ALL.map(|duty| Plan { duty, next: start, back_off: Duration::ZERO });
    loop {
        let Some(plan) = plans.iter_mut().min_by_key(|plan| plan.next) else { return };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(plan.next) => {}
        }
        step(store.as_ref(), &metrics, plan).await;
    }
}

async fn step(store: &dyn Maintenance, metrics: &Metrics, plan: &mut Plan) {
    let (start, name) = (Instant::now(), plan.duty.as_str());
    let answer = store.step(plan.duty).await;
    let end = Instant::now();
    let pause = match answer {
        Ok(step) => {
            if step.rows > 0 {
                metrics.duty(name, step.rows);
            }
            plan.back_off = Duration::ZERO;
            if step.more { pause_after(plan.duty, end - start) } else { interval(plan.duty) }
        }
        Err(error) => {
            metrics.duty_failed(name);
            if plan.back_off.is_zero() {
                tracing::warn!(duty = name, %error, "background work failed; trying again");
            }
            plan.back_off = (plan.back_off * 2).clamp(BACK_OFF_MIN, BACK_OFF_MAX);
            plan.back_off
        }
    };
    plan.next = end + pause;
}

/// The pause after a step that left more to do.
fn pause_after(duty: Duty, took: Duration) -> Duration {
    let share = if duty == Duty::FanOut { FAN_OUT_SHARE } else { SHARE };
    (took * (share - 1)).clamp(Duration::from_millis(1), PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_core::ports::{BoxFuture, Step};
    use hookfast_core::{Error, Result};
    use std::collections::HashMap;
    use std::sync::Mutex;

    /// Retention has more to do for a while, audit always fails.
    #[derive(Default)]
    struct Store(Mutex<HashMap<Duty, u64>>);

    impl Maintenance for Store {
        fn step(&self, duty: Duty) -> BoxFuture<'_, Result<Step>> {
            Box::pin(async move {
                let count = {
                    let mut counts = self.0.lock().unwrap();
                    let count = counts.entry(duty).or_insert(0);
                    *count += 1;
                    *count
                };
                tokio::time::sleep(Duration::from_millis(10)).await;
                match duty {
                    Duty::Audit => Err(Error::Unavailable { reason: "away".into() }),
                    Duty::Retention => Ok(Step { rows: 1, more: count <= 20 }),
                    _ => Ok(Step::default()),
                }
            })
        }
        fn nodes(&self) -> BoxFuture<'_, Result<Vec<hookfast_core::ports::Node>>> {
            Box::pin(std::future::ready(Ok(Vec::new())))
        }
        fn ping(&self) -> BoxFuture<'_, Result<()>> {
            Box::pin(std::future::ready(Ok(())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_waits_for_the_step_that_is_under_way_and_starts_no_other() {
        let store = Arc::new(Store::default());
        let duties = Duties::start(store.clone(), Metrics::default(), &Handle::current());
        tokio::time::sleep(Duration::from_millis(5)).await;
        let before = Instant::now();
        duties.stop(Duration::from_secs(1)).await;
        assert_eq!(before.elapsed(), Duration::from_millis(5));
        let steps = |store: &Store| store.0.lock().unwrap().values().sum::<u64>();
        assert_eq!(steps(&store), 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(steps(&store), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn duties_take_turns_keep_to_their_share_and_survive_errors() {
        let (store, stop) = (Arc::new(Store::default()), CancellationToken::new());
        let task = tokio::spawn(run(store.clone(), Metrics::default(), stop.clone()));
        tokio::time::sleep(Duration::from_millis(1_950)).await;
        let retention = store.0.lock().unwrap()[&Duty::Retention];
        assert!((14..=20).contains(&retention), "a tenth of the time: {retention}");
        assert!(store.0.lock().unwrap()[&Duty::FanOut] >= 7);
        tokio::time::sleep(Duration::from_secs(60)).await;
        stop.cancel();
        task.await.unwrap();
        let counts = store.0.lock().unwrap();
        assert!((5..=7).contains(&counts[&Duty::Audit]), "it backs off: {}", counts[&Duty::Audit]);
        assert!(counts[&Duty::Retention] >= 24 && counts[&Duty::Cancel] >= 50);
    }
}
