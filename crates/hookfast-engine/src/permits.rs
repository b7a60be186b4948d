//! How many tries may be in flight in all: fast permits for the first second of a try, slow ones beyond. Pure
//! accounting; must not know endpoints or time.

/// Which permit a try holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// In its first second, or no slow permit was free.
    Fast,
    /// Older.
    Slow,
}

/// The permits of one engine.
#[derive(Debug)]
pub(crate) struct Permits {
    fast_max: u32,
    slow_max: u32,
    fast: u32,
    slow: u32,
}

impl Permits {
    pub(crate) fn new(fast_max: u32, slow_max: u32) -> Self {
        Self { fast_max: fast_max.max(1), slow_max, fast: 0, slow: 0 }
    }

    /// Takes a fast permit.
    pub(crate) fn take(&mut self) -> bool {
        let free = self.has_fast();
        self.fast += u32::from(free);
        free
    }

    /// Swaps a fast permit for a slow one, if one is free.
    pub(crate) fn slow_down(&mut self) -> bool {
        let free = self.has_slow() && self.fast > 0;
        if free {
            self.fast -= 1;
            self.slow += 1;
        }
        free
    }

    pub(crate) fn release(&mut self, class: Class) {
        match class {
            Class::Fast => self.fast = self.fast.saturating_sub(1),
            Class::Slow => self.slow = self.slow.saturating_sub(1),
        }
    }

    pub(crate) fn has_fast(&self) -> bool {
        self.fast < self.fast_max
    }

    pub(crate) fn has_slow(&self) -> bool {
        self.slow < self.slow_max
    }

    /// May an endpoint start a try of which nobody knows whether it answers? A quarter of the fast permits is kept
    /// for those that do.
    pub(crate) fn allow_unproven(&self) -> bool {
        self.has_slow() && self.fast_max - self.fast > self.fast_max / 4
    }

    /// Few fast permits are left: each endpoint is held to its share.
    pub(crate) fn is_scarce(&self) -> bool {
        self.fast_max - self.fast <= (self.fast_max / 20).max(1)
    }

    /// What one endpoint may hold while others wait: 5 % of all, one at least.
    pub(crate) fn share(&self) -> u32 {
        ((self.fast_max + self.slow_max) / 20).max(1)
    }

    pub(crate) fn fast(&self) -> u32 {
        self.fast
    }

    pub(crate) fn slow(&self) -> u32 {
        self.slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is done, the counts stay within their bounds and end at nothing when all is given back.
        #[test]
        fn counts_stay_in_bounds(fast_max in 1u32..8, slow_max in 0u32..8, steps in proptest::collection::vec(0u8..3, 0..80)) {
            let mut permits = Permits::new(fast_max, slow_max);
            let mut held: Vec<Class> = Vec::new();
            for step in steps {
                match step {
                    0 => if permits.take() { held.push(Class::Fast) },
                    1 => if let Some(one) = held.iter_mut().find(|class| **class == Class::Fast)
                        && permits.slow_down() { *one = Class::Slow },
                    _ => if let Some(class) = held.pop() { permits.release(class) },
                }
                prop_assert!(permits.fast() <= fast_max && permits.slow() <= slow_max);
                prop_assert_eq!(held.len() as u32, permits.fast() + permits.slow());
            }
            for class in held {
                permits.release(class);
            }
            prop_assert_eq!((permits.fast(), permits.slow()), (0, 0));
        }
    }

    #[test]
    fn the_unproven_leave_a_quarter_and_need_a_slow_permit_to_fall_back_on() {
        let mut permits = Permits::new(8, 1);
        for _ in 0..6 {
            assert!(permits.allow_unproven() && permits.take());
        }
        assert!(!permits.allow_unproven() && permits.has_fast());
        assert!(permits.slow_down());
        assert!(!permits.allow_unproven(), "no slow permit is left");
    }
}
