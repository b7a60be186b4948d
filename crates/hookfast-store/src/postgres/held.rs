//! The queue rows this node has claimed: what the database calls leased to it and what its memory knows must agree. Must
//! not know how rows are claimed.

use super::ordering::Key;
use super::wire::Uuid;
use std::collections::HashMap;

/// The key of a queue row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowKey {
    pub(crate) event: Uuid,
    pub(crate) endpoint: i64,
    pub(crate) run: i32,
}

/// Rows in the engine's hands, with their lease numbers and, of those that keep order, their keys. At most what the engine may claim.
#[derive(Debug, Default)]
pub(crate) struct Held {
    rows: HashMap<RowKey, (i64, Option<Key>)>,
    /// A claim or a settlement whose end is unknown may have left rows that are leased and not held, or the reverse.
    pub(crate) doubtful: bool,
}

impl Held {
    pub(crate) fn take(&mut self, key: RowKey, lease_no: i64, order_key: Option<Key>) {
        self.rows.insert(key, (lease_no, order_key));
    }

    /// The key of a row that keeps order and is held under this lease.
    pub(crate) fn order_key(&self, key: RowKey, lease_no: i64) -> Option<Key> {
        self.rows.get(&key).filter(|(held, _)| *held == lease_no)?.1
    }

    /// Only under the lease that was settled: the row may have been claimed anew already.
    pub(crate) fn release(&mut self, key: RowKey, lease_no: i64) {
        if self.rows.get(&key).is_some_and(|(held, _)| *held == lease_no) {
            self.rows.remove(&key);
        }
    }

    pub(crate) fn has(&self, key: RowKey) -> bool {
        self.rows.contains_key(&key)
    }
}
