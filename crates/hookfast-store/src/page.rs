//! Pages of a table whose key sorts as its bytes, whatever the database. Must not know which table.

use hookfast_core::ports::{Order, Page, PageOf};

/// How a page is read: one row more than asked for, to know whether more follow.
pub(crate) struct PageSql {
    /// `>` or `<`.
    pub(crate) compare: &'static str,
    /// `ASC` or `DESC`.
    pub(crate) order: &'static str,
    /// Rows are read from the lowest key on.
    pub(crate) ascending: bool,
    reverse: bool,
    limit: usize,
}

impl PageSql {
    pub(crate) fn new<K>(page: &Page<K>) -> Self {
        let ascending = (page.order == Order::Ascending) != page.backwards;
        Self {
            compare: if ascending { ">" } else { "<" },
            order: if ascending { "ASC" } else { "DESC" },
            ascending,
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
