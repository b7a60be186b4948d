//! Does the store still confirm what is settled? Pure counting: settlements are confirmed in about the order they were
//! given, so the age of the oldest unconfirmed one follows from two totals and a mark per tick.

use hookfast_core::UnixMs;
use std::collections::VecDeque;

/// Totals of settlements given and confirmed.
#[derive(Debug, Default)]
pub(crate) struct Stall {
    given: u64,
    confirmed: u64,
    /// When (at the latest) so many had been given.
    marks: VecDeque<(UnixMs, u64)>,
    stalled: bool,
}

impl Stall {
    pub(crate) fn given(&mut self, count: usize) {
        self.given += count as u64;
    }

    pub(crate) fn confirmed(&mut self, count: usize) {
        self.confirmed = (self.confirmed + count as u64).min(self.given);
    }

    /// Settlements not confirmed yet.
    pub(crate) fn open(&self) -> u64 {
        self.given - self.confirmed
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Judges anew; to be called each tick and after confirmations while stalled. True when the judgement changed.
    pub(crate) fn judge(&mut self, now: UnixMs, wait_ms: u64) -> bool {
        if self.open() > 0 && self.marks.back().is_none_or(|(_, given)| *given < self.given) {
            self.marks.push_back((now, self.given));
        }
        while self.marks.front().is_some_and(|(_, given)| *given <= self.confirmed) {
            self.marks.pop_front();
        }
        let stalled = self.marks.front().is_some_and(|(at, _)| now.since(*at) > wait_ms);
        std::mem::replace(&mut self.stalled, stalled) != stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stalls_when_confirmations_stop_and_recovers_by_itself() {
        let mut stall = Stall::default();
        for tick in 0..100 {
            stall.given(10);
            stall.judge(UnixMs(tick * 100), 1_000);
            stall.confirmed(10);
            assert!(!stall.is_stalled());
        }
        stall.given(5);
        for tick in 100..=110 {
            assert!(!stall.judge(UnixMs(tick * 100), 1_000));
        }
        assert!(stall.judge(UnixMs(11_200), 1_000) && stall.is_stalled());
        stall.confirmed(4);
        assert!(!stall.judge(UnixMs(11_250), 1_000) && stall.is_stalled());
        stall.confirmed(1);
        assert!(stall.judge(UnixMs(11_300), 1_000) && !stall.is_stalled());
        assert!(stall.marks.is_empty());
    }
}
