//! Paging by the last id seen.

/// Which way a list runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// At most so many items; at most [`crate::limits::PAGE_ROWS_MAX`].
    pub limit: u32,
    /// Continue after this item (before it, when `backwards`).
    pub after: Option<K>,
    /// The page before `after` instead of the one behind it; items still come in `order`.
    pub backwards: bool,
    /// The order of the list.
    pub order: Order,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOf<T> {
    /// The items.
    pub items: Vec<T>,
    /// Nothing follows in the direction asked for.
    pub done: bool,
}

/// One page of a list with a filter that few may pass: a store looks at no more than
/// [`crate::limits::LOOKED_AT_MAX`] rows for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T, K> {
    /// The items.
    pub items: Vec<T>,
    /// Nothing follows in the direction asked for.
    pub done: bool,
    /// The store stopped looking here, before the page was full and all was looked at: the next page goes on behind it.
    pub stopped_at: Option<K>,
}

impl<T, K> From<PageOf<T>> for Found<T, K> {
    /// All was looked at.
    fn from(PageOf { items, done }: PageOf<T>) -> Self {
        Self { items, done, stopped_at: None }
    }
}
