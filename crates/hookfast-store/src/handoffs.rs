//! Which hand-off rows of this incarnation are still needed. Must not know how they are stored.

use std::collections::HashMap;

/// Hand-off rows of this incarnation: how many pairs of each are still without a row of their own.
#[derive(Debug, Default)]
pub(crate) struct Handoffs {
    open: HashMap<u64, u32>,
    done: Vec<u64>,
}

impl Handoffs {
    pub(crate) fn opened(&mut self, no: u64, pairs: u32) {
        self.open.insert(no, pairs);
    }

    pub(crate) fn settled(&mut self, no: u64) {
        if let Some(pairs) = self.open.get_mut(&no) {
            *pairs -= 1;
            if *pairs == 0 {
                self.open.remove(&no);
                self.done.push(no);
            }
        }
    }

    /// Rows whose every pair has a row of its own by a commit that has happened: to be deleted in the next one.
    pub(crate) fn done(&self) -> &[u64] {
        &self.done
    }

    pub(crate) fn deleted(&mut self, count: usize) {
        self.done.drain(..count);
    }
}
