//! Up to when the due rows of endpoints were taken, so that a claim need not pass again over what is gone: while an old
//! transaction is open somewhere, PostgreSQL keeps every row that was ever claimed in the index. Must not know the queue.

use hookfast_core::UnixMs;
use std::collections::HashMap;

/// After so long a claim begins at the beginning: rows that are older come back when somebody gives them back.
const TRUSTED_MS: u64 = 5_000;
/// New rows may be due so long before they are committed, by another node's clock. Later ones wait for a claim that begins at
/// the beginning.
const LATE_MS: u64 = 3_000;
/// Endpoints kept in mind.
const ENDPOINTS_MAX: usize = 10_000;

/// Before everything.
pub(crate) const BEGINNING: i64 = i64::MIN;

/// What was taken, by endpoint number.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    marks: HashMap<i64, Mark>,
    /// Rises whenever older rows came back, so that a claim that began before does not hide them.
    news: u64,
}

#[derive(Debug)]
struct Mark {
    /// Nothing that is due earlier waits.
    due: i64,
    /// When the claim was that began at the beginning.
    since: UnixMs,
}

impl Mark {
    fn is_trusted(&self, now: UnixMs) -> bool {
        now >= self.since && now.since(self.since) < TRUSTED_MS
    }
}

impl Swept {
    /// A claim begins. What it finds is told with this number.
    pub(crate) fn begin(&self) -> u64 {
        self.news
    }

    /// Rows of this endpoint are to be looked for from this due time on.
    pub(crate) fn from(&self, endpoint: i64, now: UnixMs) -> i64 {
        self.marks.get(&endpoint).filter(|mark| mark.is_trusted(now)).map_or(BEGINNING, |mark| mark.due)
    }

    /// A claim at `now`, which began with this number where [`Self::from`] said, left nothing that is due before.
    pub(crate) fn took(&mut self, endpoint: i64, due: i64, now: UnixMs, begun: u64) {
        if begun != self.news {
            return;
        }
        let due = due.min(now.minus_ms(LATE_MS).0);
        if let Some(mark) = self.marks.get_mut(&endpoint).filter(|mark| mark.is_trusted(now)) {
            mark.due = due;
            return;
        }
        if self.marks.len() >= ENDPOINTS_MAX {
            self.marks.retain(|_, mark| mark.is_trusted(now));
        }
        if self.marks.len() < ENDPOINTS_MAX {
            self.marks.insert(endpoint, Mark { due, since: now });
        }
    }

    /// A row of this endpoint waits that is due then.
    pub(crate) fn found(&mut self, endpoint: i64, due: i64) {
        if self.marks.get(&endpoint).is_some_and(|mark| due < mark.due) {
            self.forget(endpoint);
        }
    }

    /// Rows of this endpoint, however old, were given back.
    pub(crate) fn forget(&mut self, endpoint: i64) {
        self.marks.remove(&endpoint);
        self.news += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000);

    #[test]
    fn what_was_taken_is_not_passed_over_again_for_a_while() {
        let mut swept = Swept::default();
        assert_eq!(swept.from(1, NOW), BEGINNING);
        swept.took(1, 5_000, NOW, 0);
        assert_eq!((swept.from(1, NOW), swept.from(2, NOW)), (5_000, BEGINNING));
        // Going on does not put off the next look at everything.
        swept.took(1, 6_000, NOW.plus_ms(4_999), 0);
        assert_eq!(swept.from(1, NOW.plus_ms(4_999)), 6_000);
        assert_eq!(swept.from(1, NOW.plus_ms(5_000)), BEGINNING);
        assert_eq!(swept.from(1, NOW.minus_ms(1)), BEGINNING, "a clock that was set back");
    }

    #[test]
    fn rows_that_are_committed_late_are_found() {
        let mut swept = Swept::default();
        swept.took(1, NOW.0, NOW, 0);
        assert_eq!(swept.from(1, NOW), NOW.0 - 3_000);
    }

    #[test]
    fn an_older_row_that_was_seen_is_not_left_behind() {
        let mut swept = Swept::default();
        swept.took(1, 5_000, NOW, 0);
        swept.found(1, 5_000);
        assert_eq!(swept.from(1, NOW), 5_000);
        swept.found(1, 4_999);
        assert_eq!(swept.from(1, NOW), BEGINNING);
    }

    #[test]
    fn what_was_given_back_is_looked_for_everywhere() {
        let mut swept = Swept::default();
        swept.took(1, 5_000, NOW, 0);
        swept.forget(1);
        assert_eq!(swept.from(1, NOW), BEGINNING);
    }

    #[test]
    fn a_claim_that_began_before_does_not_hide_what_was_given_back_meanwhile() {
        let mut swept = Swept::default();
        let begun = swept.begin();
        swept.forget(1);
        swept.took(1, 5_000, NOW, begun);
        assert_eq!(swept.from(1, NOW), BEGINNING);
    }

    #[test]
    fn it_keeps_a_bounded_number_in_mind() {
        let mut swept = Swept::default();
        for endpoint in 0..20_000 {
            swept.took(endpoint, 5_000, NOW, 0);
        }
        assert_eq!(swept.marks.len(), ENDPOINTS_MAX);
        swept.took(30_000, 5_000, NOW.plus_ms(6_000), 0);
        assert_eq!(swept.marks.len(), 1);
    }
}
