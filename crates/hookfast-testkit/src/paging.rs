//! Checks any paged list against what it should hold, in every direction.

use hookfast_core::ports::{Order, Page, PageOf};
use std::fmt::Debug;

/// Walks a list with pages of several sizes, from every item, forwards and backwards, in each of `orders`.
///
/// `ascending` is the whole list, oldest first; `fetch` answers a page with its items turned into their keys.
///
/// # Panics
/// When a page is not what it should be.
pub async fn check<K: Clone + PartialEq + Debug>(
    ascending: &[K],
    orders: &[Order],
    fetch: impl AsyncFn(Page<K>) -> PageOf<K>,
) {
    for &order in orders {
        let mut whole = ascending.to_vec();
        if order == Order::Descending {
            whole.reverse();
        }
        for limit in [1u32, 2, 3, 7, 250] {
            check_walk(&whole, order, limit, &fetch).await;
            check_from_every_item(&whole, order, limit, &fetch).await;
        }
    }
}

async fn check_walk<K: Clone + PartialEq + Debug>(
    whole: &[K],
    order: Order,
    limit: u32,
    fetch: &impl AsyncFn(Page<K>) -> PageOf<K>,
) {
    let mut walked = Vec::new();
    let mut after = None;
    loop {
        let page = fetch(Page { limit, after: after.clone(), backwards: false, order }).await;
        assert!(page.items.len() <= limit as usize, "a page of {limit} has {} items", page.items.len());
        assert!(walked.len() + page.items.len() <= whole.len(), "the list has more items than it should");
        walked.extend(page.items);
        if page.done {
            break;
        }
        assert!(walked.last() != after.as_ref(), "an empty page that says there is more, after {after:?}");
        after = walked.last().cloned();
    }
    assert_eq!(walked, whole, "{order:?} by {limit}");
}

async fn check_from_every_item<K: Clone + PartialEq + Debug>(
    whole: &[K],
    order: Order,
    limit: u32,
    fetch: &impl AsyncFn(Page<K>) -> PageOf<K>,
) {
    let limit_items = limit as usize;
    for (at, item) in whole.iter().enumerate() {
        let behind = &whole[at + 1..];
        let page = fetch(Page { limit, after: Some(item.clone()), backwards: false, order }).await;
        assert_eq!(page.items, behind[..behind.len().min(limit_items)], "{limit} after item {at}, {order:?}");
        assert_eq!(page.done, behind.len() <= limit_items, "done of {limit} after item {at}, {order:?}");

        let before = &whole[..at];
        let page = fetch(Page { limit, after: Some(item.clone()), backwards: true, order }).await;
        assert_eq!(
            page.items,
            before[before.len().saturating_sub(limit_items)..],
            "{limit} before item {at}, {order:?}"
        );
        assert_eq!(page.done, before.len() <= limit_items, "done of {limit} before item {at}, {order:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::AssertUnwindSafe;

    const BOTH: [Order; 2] = [Order::Ascending, Order::Descending];

    /// A right answer, by the book.
    fn answer(whole: &[u32], page: &Page<u32>) -> PageOf<u32> {
        let mut list = whole.to_vec();
        // A page before an item is a page behind it in the list turned round.
        if (page.order == Order::Descending) != page.backwards {
            list.reverse();
        }
        let from = page.after.map_or(0, |after| list.iter().position(|item| *item == after).unwrap() + 1);
        let mut items: Vec<u32> = list[from..].iter().take(page.limit as usize).copied().collect();
        let done = from + items.len() == list.len();
        if page.backwards {
            items.reverse();
        }
        PageOf { items, done }
    }

    fn check_with(spoil: impl Fn(&Page<u32>, &mut PageOf<u32>)) -> bool {
        let whole: Vec<u32> = (0..9).collect();
        let test = AssertUnwindSafe(|| {
            crate::run(check(&whole, &BOTH, async |page| {
                let mut answer = answer(&whole, &page);
                spoil(&page, &mut answer);
                answer
            }));
        });
        std::panic::catch_unwind(test).is_ok()
    }

    #[test]
    fn a_right_list_passes_and_every_planted_fault_is_found() {
        assert!(check_with(|_, _| {}));
        assert!(!check_with(|_, answer| answer.items.truncate(6)), "items lost");
        assert!(!check_with(|page, answer| answer.done |= page.limit == 7), "done too early");
        assert!(!check_with(|page, answer| answer.done &= page.limit != 7), "never done");
        assert!(
            !check_with(|page, answer| if page.backwards {
                answer.items.reverse()
            }),
            "wrong order backwards"
        );
        assert!(!check_with(|page, answer| answer.items.extend(page.after)), "the item itself");
    }
}
