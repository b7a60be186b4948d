//! Configuration: applications, endpoints, event types, tokens.

mod applications;
mod endpoints;
mod event_types;
mod tokens;

pub(crate) use endpoints::{is_disabled, mark, number};

use crate::Result;
use crate::sqlite::dedupe;
use crate::sqlite::writer::JobTx;
use hookfast_core::model::CallerKey;
use hookfast_core::ports::{Order, Page, PageOf};

/// Pages of a table whose key sorts as its bytes: one row more than asked for is read, to know whether more follow.
pub(crate) struct PageSql {
    /// `>` or `<`.
    pub(crate) compare: &'static str,
    /// `ASC` or `DESC`.
    pub(crate) order: &'static str,
    reverse: bool,
    limit: usize,
}

impl PageSql {
    pub(crate) fn new<K>(page: &Page<K>) -> Self {
        let ascending = (page.order == Order::Ascending) != page.backwards;
        Self {
            compare: if ascending { ">" } else { "<" },
            order: if ascending { "ASC" } else { "DESC" },
            reverse: page.backwards,
            limit: page.limit as usize,
        }
    }

    /// Rows to read.
    pub(crate) fn rows(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX - 1) + 1
    }

    /// The page from what was read.
    pub(crate) fn page<T>(&self, mut items: Vec<T>) -> PageOf<T> {
        let done = items.len() <= self.limit;
        items.truncate(self.limit);
        if self.reverse {
            items.reverse();
        }
        PageOf { items, done }
    }
}

/// What an earlier call with the same key made, if there was one.
pub(crate) fn made_before(tx: &JobTx<'_>, key: Option<&CallerKey>) -> Result<Option<[u8; 16]>> {
    let Some(key) = key else { return Ok(None) };
    let mut statement = tx.conn.prepare_cached(dedupe::FIND)?;
    dedupe::find(&mut statement, dedupe::day(tx.shared.clock.now()), key)
}

/// Remembers what this call made under its key.
pub(crate) fn remember(tx: &JobTx<'_>, key: Option<&CallerKey>, object: [u8; 16]) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    let mut statement = tx.conn.prepare_cached(dedupe::INSERT)?;
    dedupe::insert(&mut statement, dedupe::day(tx.shared.clock.now()), key, &object)
}
