//! How many tries one endpoint may have in flight: starts low, grows by one per full window of successes while there
//! is more to do, halves when the endpoint says or shows that it is too much. Pure.

use hookfast_core::UnixMs;

/// Where an endpoint starts.
const START: u32 = 2;

/// Which way a limit should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// More at once would be used, and help.
    More,
    /// It is right.
    Same,
    /// More at once than help: they wait for this node, not for the endpoint.
    Fewer,
}

/// The limit of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    limit: u32,
    /// Successes since the limit last changed.
    streak: u32,
    /// Tries that started before say nothing about the limit in force.
    cut_at: UnixMs,
}

impl Flow {
    pub(crate) fn new(max: u32) -> Self {
        Self { limit: START.min(max.max(1)), streak: 0, cut_at: UnixMs::ZERO }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// A try succeeded.
    pub(crate) fn succeeded(&mut self, wish: Wish, max: u32) {
        self.streak += 1;
        if self.streak >= self.limit {
            self.streak = 0;
            match wish {
                Wish::More if self.limit < max => self.limit += 1,
                Wish::Fewer if self.limit > 1 => self.limit -= 1,
                _ => {}
            }
        }
    }

    /// A try that started at `started` was too much for the endpoint: halves once per round of tries.
    pub(crate) fn overloaded(&mut self, started: UnixMs, now: UnixMs) {
        self.streak = 0;
        if started >= self.cut_at {
            self.limit = (self.limit / 2).max(1);
            self.cut_at = now;
        }
    }

    /// Back to one at a time.
    pub(crate) fn restart(&mut self, now: UnixMs) {
        *self = Self { limit: 1, streak: 0, cut_at: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_limit_stays_between_one_and_the_maximum(
            max in 1u32..100, steps in proptest::collection::vec((any::<bool>(), 0usize..3, 0i64..50), 0..300),
        ) {
            let mut flow = Flow::new(max);
            for (at, (success, wish, age)) in steps.into_iter().enumerate() {
                let now = UnixMs(at as i64);
                let before = flow.limit();
                if success {
                    let wish = [Wish::More, Wish::Same, Wish::Fewer][wish];
                    flow.succeeded(wish, max);
                    let steps = i64::from(flow.limit()) - i64::from(before);
                    let allowed = match wish {
                        Wish::More => 0..=1,
                        Wish::Same => 0..=0,
                        Wish::Fewer => -1..=0,
                    };
                    prop_assert!(allowed.contains(&steps));
                } else {
                    flow.overloaded(now.minus_ms(age as u64), now);
                    prop_assert!(flow.limit() == before || flow.limit() == (before / 2).max(1));
                }
                prop_assert!((1..=max).contains(&flow.limit()));
            }
        }
    }

    #[test]
    fn it_grows_by_one_per_window_and_halves_once_per_round() {
        let mut flow = Flow::new(64);
        for _ in 0..2 + 3 + 4 {
            flow.succeeded(Wish::More, 64);
        }
        assert_eq!(flow.limit(), 5);
        for _ in 0..5 {
            flow.overloaded(UnixMs(10), UnixMs(20));
        }
        assert_eq!(flow.limit(), 2);
        for _ in 0..50 {
            flow.succeeded(Wish::Same, 64);
        }
        assert_eq!(flow.limit(), 2, "it does not grow when nothing waits");
    }
}
