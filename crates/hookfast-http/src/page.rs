//! Lists: the parameters that choose a page, and the body that carries one. Knows no resource.

use crate::extract::{Problem, QueryReader};
use hookfast_core::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use hookfast_core::ports::{Found, Order, Page, PageOf};
use serde::Serialize;
use std::fmt::Display;
use utoipa::{IntoParams, ToSchema};

/// Longest iterator that is looked at.
const ITERATOR_CHARS_MAX: usize = 260;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListResponse<T> {
    /// The items.
    data: Vec<T>,
    /// Give it back as `iterator` to get the next page; null when there is none. Of a list with a filter a page may be
    /// short, or empty, and another one follow.
    #[schema(required)]
    iterator: Option<String>,
    /// Give it back as `iterator` to get the page before.
    #[schema(required)]
    prev_iterator: Option<String>,
    /// Nothing follows in the direction that was asked for.
    done: bool,
}

/// The parameters of a page, for the documentation.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what PageQuery::read reads")]
pub(crate) struct PageParams {
    /// At most so many items; 0 only asks whether there are any.
    #[param(minimum = 0, maximum = 250, default = 50)]
    limit: Option<u32>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
    /// The order of the list.
    #[param(inline)]
    order: Option<Ordering>,
}

/// The parameters of a page of a list that has one order only.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what PageQuery::read reads")]
pub(crate) struct FixedPageParams {
    /// At most so many items; 0 only asks whether there are any.
    #[param(minimum = 0, maximum = 250, default = 50)]
    limit: Option<u32>,
    /// The `iterator` or `prevIterator` of an earlier page.
    iterator: Option<String>,
}

/// The order of a list.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what PageQuery::read reads")]
enum Ordering {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// Which page was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageQuery<K> {
    page: Page<K>,
    wanted: u32,
}

impl<K> PageQuery<K> {
    /// Reads `limit`, `iterator` and, where the list has it, `order`. `parse` reads the key in an iterator.
    pub(crate) fn read(
        query: &mut QueryReader,
        order: Order,
        has_order: bool,
        parse: impl FnOnce(&str) -> Option<K>,
    ) -> Self {
        let wanted = query.number("limit", &(0..=PAGE_ROWS_MAX)).unwrap_or(PAGE_ROWS_DEFAULT);
        let orders = [("ascending", Order::Ascending), ("descending", Order::Descending)];
        let asked = if has_order { query.choice("order", &orders) } else { None };
        let iterator = query.text("iterator").unwrap_or_default();
        let (backwards, key) = match iterator.strip_prefix('-') {
            Some(key) => (true, key),
            None => (false, iterator.as_str()),
        };
        let after = if key.len() <= ITERATOR_CHARS_MAX { parse(key) } else { None };
        if after.is_none() && !iterator.is_empty() {
            let msg = "expected the `iterator` or `prevIterator` of an earlier page of this list, got something else";
            query.note("iterator", Problem::new("value_error", msg));
        }
        // A page of no rows still says whether there are any.
        let limit = wanted.max(1);
        Self { page: Page { limit, after, backwards, order: asked.unwrap_or(order) }, wanted }
    }

    /// The page to ask the store for.
    pub(crate) fn page(&self) -> Page<K>
    where
        K: Clone,
    {
        self.page.clone()
    }

    /// The answer for what the store gave.
    pub(crate) fn answer<S, T>(
        &self,
        found: impl Into<Found<S, K>>,
        key: impl Fn(&S) -> String,
        show: impl Fn(S) -> T,
    ) -> ListResponse<T>
    where
        K: Display,
    {
        let Found { mut items, done, stopped_at } = found.into();
        let stopped_at = stopped_at.map(|key| key.to_string());
        if self.wanted == 0 {
            let done = items.is_empty() && done;
            return ListResponse { data: Vec::new(), iterator: stopped_at, prev_iterator: None, done };
        }
        items.truncate(usize::try_from(self.wanted).unwrap_or(usize::MAX));
        let (first, last) = (items.first().map(&key), items.last().map(&key));
        let (previous, next) = if self.page.backwards {
            (stopped_at.clone().or(first), last.or(stopped_at))
        } else {
            (first.or_else(|| stopped_at.clone()), stopped_at.or(last))
        };
        let prev_iterator = previous.map(|key| format!("-{key}"));
        ListResponse { data: items.into_iter().map(show).collect(), iterator: next, prev_iterator, done }
    }

    /// One page of a list that is whole in memory, which must be sorted by its key, ascending.
    pub(crate) fn cut<S>(&self, mut items: Vec<S>, key: impl Fn(&S) -> K) -> PageOf<S>
    where
        K: Ord,
    {
        let descending = self.page.order == Order::Descending;
        if let Some(after) = &self.page.after {
            // Forwards in ascending order and backwards in descending order both keep the higher keys.
            let higher = descending == self.page.backwards;
            items.retain(|item| if higher { key(item) > *after } else { key(item) < *after });
        }
        if descending {
            items.reverse();
        }
        let limit = usize::try_from(self.page.limit).unwrap_or(usize::MAX);
        let done = items.len() <= limit;
        if self.page.backwards && self.page.after.is_some() {
            items.drain(..items.len().saturating_sub(limit));
        } else {
            items.truncate(limit);
        }
        PageOf { items, done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookfast_core::AppId;
    use proptest::prelude::*;

    fn read(query: &str) -> Result<PageQuery<AppId>, crate::ApiError> {
        let mut reader = QueryReader::new(Some(query));
        let page = PageQuery::read(&mut reader, Order::Ascending, true, |key| key.parse().ok());
        reader.finish().map(|()| page)
    }

    #[test]
    fn limits_orders_and_iterators_are_checked() {
        let page = read("").unwrap().page();
        assert_eq!((page.limit, page.after, page.backwards), (50, None, false));
        let id = AppId::from_u128(5);
        let page = read(&format!("limit=250&order=descending&iterator=-{id}")).unwrap().page();
        assert_eq!(page, Page { limit: 250, after: Some(id), backwards: true, order: Order::Descending });
        for wrong in
            ["limit=251", "limit=-1", "limit=x", "iterator=app_garbage", "iterator=msg_0", "iterator=-", "order=up"]
        {
            assert_eq!(read(wrong).unwrap_err().status(), 422, "{wrong}");
        }
    }

    #[test]
    fn a_page_of_no_rows_tells_whether_there_are_any() {
        let query = read("limit=0").unwrap();
        let answer = |items: Vec<u8>| query.answer(PageOf { items, done: true }, u8::to_string, |item| item);
        assert_eq!(query.page().limit, 1);
        assert!(answer(vec![]).done && !answer(vec![1]).done && answer(vec![1]).data.is_empty());
        let stopped_at = Some(AppId::from_u128(7));
        let stopped = query.answer(stopped(Vec::new(), stopped_at), u8::to_string, |item| item);
        assert_eq!((stopped.done, stopped.iterator), (false, stopped_at.map(|at| at.to_string())));
    }

    fn stopped(items: Vec<u8>, stopped_at: Option<AppId>) -> Found<u8, AppId> {
        Found { items, done: stopped_at.is_none(), stopped_at }
    }

    #[test]
    fn a_page_on_which_the_store_stopped_looking_is_gone_on_behind_it_in_its_direction() {
        let at = AppId::from_u128(7);
        let ends = |query: &str, items: &[u8]| {
            let answer = read(query).unwrap().answer(stopped(items.to_vec(), Some(at)), u8::to_string, |item| item);
            assert!(!answer.done);
            (answer.prev_iterator.unwrap(), answer.iterator.unwrap())
        };
        let backwards = format!("iterator=-{}", AppId::from_u128(9));
        assert_eq!(ends("", &[]), (format!("-{at}"), at.to_string()));
        assert_eq!(ends("", &[1, 2]), ("-1".to_owned(), at.to_string()));
        assert_eq!(ends(&backwards, &[]), (format!("-{at}"), at.to_string()));
        assert_eq!(ends(&backwards, &[1, 2]), (format!("-{at}"), "2".to_owned()));
    }

    proptest! {
        /// Walking a list forwards and then back again shows every item once each way.
        #[test]
        fn walking_there_and_back(count in 0u128..60, limit in 1u32..12, descending: bool) {
            let all: Vec<AppId> = (0..count).map(AppId::from_u128).collect();
            let order = if descending { "descending" } else { "ascending" };
            let mut want = all.clone();
            if descending { want.reverse(); }
            let step = |iterator: &str| {
                let query = read(&format!("limit={limit}&order={order}&iterator={iterator}")).unwrap();
                query.answer(query.cut(all.clone(), |id| *id), AppId::to_string, |id| id)
            };
            let mut there = Vec::new();
            let mut iterator = String::new();
            let mut last;
            loop {
                last = step(&iterator);
                there.extend(last.data.iter().copied());
                let Some(next) = last.iterator.clone() else { break };
                iterator = next;
                if last.done { break }
            }
            prop_assert_eq!(&there, &want);
            let mut back = last.data;
            let mut previous = last.prev_iterator;
            while let Some(iterator) = previous {
                let page = step(&iterator);
                previous = if page.done { None } else { page.prev_iterator };
                back.splice(0..0, page.data);
            }
            prop_assert_eq!(back, want);
        }
    }
}
