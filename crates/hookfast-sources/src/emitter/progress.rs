//! How far a run of events came when several are under way at a time: all before a number are made. Pure.

use std::collections::BTreeSet;

/// The first number that is not made yet, and those behind it that are. Holds at most as many as are under way.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    next: u64,
    ahead: BTreeSet<u64>,
}

impl Progress {
    /// So many were made before.
    pub(super) fn from(made: u64) -> Self {
        Self { next: made, ahead: BTreeSet::new() }
    }

    /// How many are made without a gap.
    pub(super) fn made(&self) -> u64 {
        self.next
    }

    /// This one is made.
    pub(super) fn done(&mut self, number: u64) {
        if number >= self.next {
            self.ahead.insert(number);
        }
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_out_of_turn_counts_when_the_gap_is_closed() {
        let mut progress = Progress::from(10);
        for (number, made) in [(12, 10), (11, 10), (9, 10), (10, 13), (14, 13), (10, 13), (13, 15)] {
            progress.done(number);
            assert_eq!(progress.made(), made);
        }
        assert!(progress.ahead.is_empty());
    }
}
