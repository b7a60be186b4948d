//! What a reader and its thread tell each other besides records. Each wish is kept by partition, so that it is bounded
//! by their number. Must not know the client.

use hookfast_core::Error;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Inbox {
    /// Rises with each change of what is this reader's.
    assignment: AtomicU64,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    wishes: Wishes,
    /// There is room again for what was read.
    taken: bool,
    away: Option<Error>,
}

/// What the thread is to do.
#[derive(Default)]
pub(super) struct Wishes {
    /// Of which assignment `starts` are.
    pub(super) assignment: u64,
    /// Where to begin to read partitions.
    pub(super) starts: BTreeMap<i32, Option<i64>>,
    /// How far the group came.
    pub(super) notes: BTreeMap<i32, i64>,
    pub(super) close: bool,
}

impl Wishes {
    fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.notes.is_empty() && !self.close
    }
}

impl Inbox {
    pub(super) fn start_at(&self, assignment: u64, positions: Vec<(i32, Option<i64>)>) {
        let mut state = self.lock();
        if state.wishes.assignment != assignment {
            state.wishes.starts.clear();
            state.wishes.assignment = assignment;
        }
        state.wishes.starts.extend(positions);
        self.wake.notify_one();
    }

    pub(super) fn note(&self, positions: &[(i32, i64)]) {
        self.lock().wishes.notes.extend(positions.iter().copied());
        self.wake.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().wishes.close = true;
        self.wake.notify_one();
    }

    /// Something that was read was taken away.
    pub(super) fn taken(&self) {
        self.lock().taken = true;
        self.wake.notify_one();
    }

    pub(super) fn assignment(&self) -> u64 {
        self.assignment.load(Ordering::Acquire)
    }

    /// What was read until now is of the past; the answer is the new assignment.
    pub(super) fn next_assignment(&self) -> u64 {
        self.assignment.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The log is away, for this reason, or is back.
    pub(super) fn set_away(&self, away: Option<Error>) {
        self.lock().away = away;
    }

    pub(super) fn away(&self) -> Option<Error> {
        self.lock().away.clone()
    }

    /// What is wished, now.
    pub(super) fn wishes(&self) -> Wishes {
        std::mem::take(&mut self.lock().wishes)
    }

    /// Waits until something is wished or was taken.
    pub(super) fn wait(&self, at_most: Duration) {
        let idle = |state: &mut State| state.wishes.is_empty() && !state.taken;
        let waited = self.wake.wait_timeout_while(self.lock(), at_most, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.taken = false;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_wishes_replace_earlier_ones_and_those_of_another_assignment_fall() {
        let inbox = Inbox::default();
        inbox.start_at(1, vec![(0, None), (1, Some(5))]);
        inbox.start_at(2, vec![(1, Some(7))]);
        inbox.start_at(2, vec![(2, None), (1, Some(8))]);
        inbox.note(&[(1, 8)]);
        inbox.note(&[(1, 9)]);
        let wishes = inbox.wishes();
        assert_eq!(wishes.assignment, 2);
        assert_eq!(wishes.starts.into_iter().collect::<Vec<_>>(), [(1, Some(8)), (2, None)]);
        assert_eq!(wishes.notes.into_iter().collect::<Vec<_>>(), [(1, 9)]);
        assert!(inbox.wishes().is_empty());
    }
}
