//! How far prompt deliveries lag behind, and the gate that slows accepting down to their pace. The estimate is pure;
//! the gate only wakes whom the estimate lets in. Must not know single endpoints.

use hookfast_core::{Error, Result};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// So many deliveries may always wait, however slow the pace seems.
const WAITING_MIN: usize = 1_000;
/// The pace that is assumed before one was measured, deliveries per second.
const RATE_GUESS: f64 = 10_000.0;
/// How much a new measurement counts. A slower one may come from callers who want no more, so it counts for less.
const FASTER_WEIGHT: f64 = 0.5;
const SLOWER_WEIGHT: f64 = 0.05;

/// The estimate of the lag. Times and counts come in.
#[derive(Debug)]
pub(crate) struct Estimate {
    lag_ms_max: u64,
    /// Deliveries per second that end while there is something to do.
    rate: f64,
    done: u64,
    /// Prompt deliveries waiting in memory.
    waiting: usize,
    close_at: usize,
    /// Deliveries per event.
    fan_out: f64,
    /// What ended since the last waiter was let in, in events.
    credit: f64,
    is_open: bool,
}

impl Estimate {
    pub(crate) fn new(lag_ms_max: u64) -> Self {
        let mut new = Self {
            lag_ms_max,
            rate: RATE_GUESS,
            done: 0,
            waiting: 0,
            close_at: 0,
            fan_out: 1.0,
            credit: 0.0,
            is_open: true,
        };
        new.set_bound();
        new
    }

    fn set_bound(&mut self) {
        self.close_at = ((self.rate * self.lag_ms_max as f64 / 1000.0) as usize).max(WAITING_MIN);
    }

    /// So many prompt deliveries wait more.
    pub(crate) fn joined(&mut self, count: usize) {
        self.waiting += count;
    }

    /// So many prompt deliveries wait no more.
    pub(crate) fn left(&mut self, count: usize) {
        self.waiting = self.waiting.saturating_sub(count);
    }

    /// So many deliveries of so many events came in. True when the gate closes now.
    pub(crate) fn came(&mut self, deliveries: usize, events: usize) -> bool {
        if events > 0 {
            self.fan_out += (deliveries as f64 / events as f64 - self.fan_out) * 0.05;
        }
        let closes = self.is_open && self.waiting > self.close_at;
        if closes {
            self.is_open = false;
            self.credit = 0.0;
        }
        closes
    }

    /// A prompt delivery ended. How many of the waiters may go, one event out for one event in.
    pub(crate) fn ended(&mut self) -> usize {
        self.done += 1;
        if self.is_open || self.waiting > self.close_at {
            return 0;
        }
        // Twice the pace once the lag is halved, so that the gate can open again.
        let share = if self.waiting * 2 <= self.close_at { 2.0 } else { 1.0 };
        self.credit += share / self.fan_out.max(1.0);
        let whole = self.credit.floor();
        self.credit -= whole;
        whole as usize
    }

    /// `elapsed_ms` have passed since the last tick. How many of `waiters` may go now, and is the gate open?
    pub(crate) fn tick(&mut self, elapsed_ms: u64, waiters: usize) -> (usize, bool) {
        // An idle engine says nothing about how fast it could be.
        if self.waiting > 0 && elapsed_ms > 0 {
            let fresh = self.done as f64 * 1000.0 / elapsed_ms as f64;
            let weight = if fresh > self.rate { FASTER_WEIGHT } else { SLOWER_WEIGHT };
            self.rate += (fresh - self.rate) * weight;
        }
        self.done = 0;
        self.set_bound();
        if self.is_open {
            return (waiters, true);
        }
        if self.waiting * 2 > self.close_at {
            return (0, false);
        }
        let room = (((self.close_at - self.waiting) as f64 / self.fan_out.max(1.0)) as usize).max(1);
        self.is_open = waiters <= room;
        (waiters.min(room), self.is_open)
    }

    /// How long what waits now would take, in milliseconds.
    pub(crate) fn lag_ms(&self) -> u64 {
        (self.waiting as f64 * 1000.0 / self.rate.max(1.0)) as u64
    }
}

/// The gate in front of accepting.
#[derive(Debug)]
pub(crate) struct Gate {
    open: AtomicBool,
    waiters: AtomicUsize,
    turns: Semaphore,
    /// What a refused caller is told to wait.
    retry_after_ms: AtomicUsize,
    wait_ms_max: u64,
}

struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    pub(crate) fn new(wait_ms_max: u64) -> Self {
        Self {
            open: AtomicBool::new(true),
            waiters: AtomicUsize::new(0),
            turns: Semaphore::new(0),
            retry_after_ms: AtomicUsize::new(1_000),
            wait_ms_max,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn waiters(&self) -> usize {
        self.waiters.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        // Turns that nobody took any more were for callers of the past.
        self.turns.forget_permits(self.turns.available_permits());
        self.open.store(false, Ordering::Release);
    }

    /// Lets so many go, in the order they came; then everybody, if it is open again.
    pub(crate) fn let_go(&self, count: usize, open: bool) {
        if open {
            self.open.store(true, Ordering::Release);
        }
        let waiting = self.waiters();
        let unused = self.turns.available_permits();
        let turns = if open { waiting.max(count) } else { count.min(waiting) };
        if turns > unused {
            self.turns.add_permits(turns - unused);
        }
    }

    pub(crate) fn set_retry_after_ms(&self, lag_ms: u64) {
        let bounded = usize::try_from(lag_ms.clamp(1_000, 30_000)).unwrap_or(1_000);
        self.retry_after_ms.store(bounded, Ordering::Relaxed);
    }

    /// Waits for a turn. Cancel-safe.
    pub(crate) async fn pass(&self) -> Result<()> {
        self.waiters.fetch_add(1, Ordering::AcqRel);
        let _waiter = Waiter(&self.waiters);
        if self.is_open() {
            return Ok(());
        }
        match tokio::time::timeout(Duration::from_millis(self.wait_ms_max), self.turns.acquire()).await {
            Ok(turn) => {
                if let Ok(turn) = turn {
                    turn.forget();
                }
                Ok(())
            }
            Err(_) if self.is_open() => Ok(()),
            Err(_) => Err(Error::Overloaded {
                reason: "deliveries lag behind",
                retry_after_ms: self.retry_after_ms.load(Ordering::Relaxed) as u64,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_bound_follows_the_pace_and_idleness_does_not_lower_it() {
        let mut estimate = Estimate::new(100);
        for _ in 0..40 {
            estimate.joined(10);
            estimate.done = 4_000;
            estimate.tick(100, 0);
        }
        assert!((3_990..=4_000).contains(&estimate.close_at), "{}", estimate.close_at);
        estimate.waiting = 0;
        for _ in 0..1_000 {
            estimate.tick(100, 0);
        }
        assert!(estimate.close_at >= 3_990);
    }

    #[test]
    fn it_closes_over_the_bound_lets_in_one_for_one_and_opens_when_the_lag_is_halved() {
        let mut estimate = Estimate::new(100);
        estimate.waiting = estimate.close_at;
        assert!(!estimate.came(1, 1));
        estimate.waiting += 1;
        assert!(estimate.came(1, 1) && !estimate.is_open);
        assert_eq!(estimate.ended(), 0, "still over the bound");
        estimate.waiting = estimate.close_at - 1;
        assert_eq!((0..10).map(|_| estimate.ended()).sum::<usize>(), 10);
        estimate.waiting = estimate.close_at / 4;
        let (gone, open) = estimate.tick(100, 1_000_000);
        assert!(gone > 0 && gone < 1_000_000 && !open, "not all at once");
        assert_eq!(estimate.tick(100, 3), (3, true));
    }

    #[test]
    fn events_with_many_deliveries_count_as_many() {
        let mut estimate = Estimate::new(100);
        for _ in 0..1_000 {
            estimate.came(20, 1);
        }
        estimate.waiting = estimate.close_at + 1;
        assert!(estimate.came(0, 0));
        estimate.waiting = estimate.close_at;
        let gone = (0..200).map(|_| estimate.ended()).sum::<usize>();
        assert!((9..=10).contains(&gone), "{gone}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_go_in_turn_and_are_refused_after_their_time() {
        let gate = Arc::new(Gate::new(1_000));
        gate.close();
        let pass = |gate: &Arc<Gate>| {
            let gate = Arc::clone(gate);
            tokio::spawn(async move { gate.pass().await })
        };
        let (first, second) = (pass(&gate), pass(&gate));
        while gate.waiters() < 2 {
            tokio::task::yield_now().await;
        }
        gate.let_go(1, false);
        assert!(first.await.unwrap().is_ok());
        assert!(!second.is_finished());
        assert!(matches!(second.await.unwrap(), Err(Error::Overloaded { .. })));
        let third = pass(&gate);
        while gate.waiters() < 1 {
            tokio::task::yield_now().await;
        }
        gate.let_go(0, true);
        assert!(third.await.unwrap().is_ok() && gate.pass().await.is_ok());
    }
}
