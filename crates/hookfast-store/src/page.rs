//! Pages of a table whose key sorts as its bytes, whatever the database. Must not know which table.

use hookfast_core::limits::LOOKED_AT_MAX;
use hookfast_core::ports::{Found, Order, Page, PageOf};

/// A key as a database has it.
pub(crate) trait Key: Copy + Ord {
    /// The one behind it; the greatest has none and answers itself.
    fn next(self) -> Self;
}

impl Key for i64 {
    fn next(self) -> Self {
        self.saturating_add(1)
    }
}

/// How a page is read: one row more than asked for, to know whether more follow.
pub(crate) struct PageSql {
    /// `>` or `<`.
    pub(crate) compare: &'static str,
    /// `ASC` or `DESC`.
    pub(crate) order: &'static str,
    ascending: bool,
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

    /// Of the keys from the first on and before the second, those that a page behind `after` may have.
    pub(crate) fn behind<K: Key>(&self, after: Option<K>, (low, end): (K, K)) -> (K, K) {
        match after {
            Some(after) if self.ascending => (low.max(after.next()), end),
            Some(before) => (low, end.min(before)),
            None => (low, end),
        }
    }

    /// The statement that finds where to stop looking, if that comes before all was looked at. Each part is `SELECT key AS
    /// stop FROM table WHERE condition`, and should need nothing but an index.
    pub(crate) fn stop(&self, parts: &[String]) -> String {
        let (order, last) = (self.order, LOOKED_AT_MAX - 1);
        let last_of =
            |part: &String| format!("SELECT stop FROM ({part} ORDER BY stop {order} LIMIT 1 OFFSET {last}) part");
        let parts: Vec<String> = parts.iter().map(last_of).collect();
        format!("SELECT stop FROM ({}) parts ORDER BY stop {order} LIMIT 1", parts.join(" UNION ALL "))
    }

    /// Of these keys those up to where looking stops.
    pub(crate) fn up_to<K: Key>(&self, stop: Option<K>, (low, end): (K, K)) -> (K, K) {
        match stop {
            Some(stop) if self.ascending => (low, end.min(stop.next())),
            Some(stop) => (low.max(stop), end),
            None => (low, end),
        }
    }

    /// The page from what was found before looking stopped.
    pub(crate) fn found<T, K>(&self, items: Vec<T>, stop: Option<K>) -> Found<T, K> {
        let PageOf { items, done } = self.page(items);
        // A full page ends by itself, with its last item.
        let stopped_at = stop.filter(|_| done);
        Found { items, done: done && stopped_at.is_none(), stopped_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(order: Order, backwards: bool) -> PageSql {
        PageSql::new(&Page::<i64> { limit: 2, after: None, backwards, order })
    }

    #[test]
    fn a_page_begins_behind_its_cursor_and_stays_in_its_range() {
        let range = |order, backwards, after: Option<i64>| plan(order, backwards).behind(after, (10, 20));
        assert_eq!(range(Order::Ascending, false, None), (10, 20));
        assert_eq!(range(Order::Ascending, false, Some(15)), (16, 20));
        assert_eq!(range(Order::Ascending, true, Some(15)), (10, 15));
        assert_eq!(range(Order::Descending, false, Some(15)), (10, 15));
        assert_eq!(range(Order::Descending, true, Some(15)), (16, 20));
        assert_eq!(range(Order::Ascending, false, Some(3)), (10, 20));
        assert_eq!(range(Order::Descending, false, Some(30)), (10, 20));
    }

    #[test]
    fn looking_stops_with_the_row_it_was_told() {
        for (order, backwards, within) in [
            (Order::Ascending, false, (10, 16)),
            (Order::Ascending, true, (15, 20)),
            (Order::Descending, false, (15, 20)),
            (Order::Descending, true, (10, 16)),
        ] {
            assert_eq!(plan(order, backwards).up_to(Some(15), (10, 20)), within);
            assert_eq!(plan(order, backwards).up_to(None, (10, 20)), (10, 20));
        }
        let found = |items: &[u8], stop| {
            let Found { items, done, stopped_at } = plan(Order::Ascending, false).found(items.to_vec(), stop);
            (items.len(), done, stopped_at)
        };
        assert_eq!(found(&[1], None::<i64>), (1, true, None));
        assert_eq!(found(&[1, 2], Some(7)), (2, false, Some(7)));
        assert_eq!(found(&[1, 2, 3], Some(7)), (2, false, None));
    }
}
