//! Merging indexes: an event on several channels stands in several.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Merges runs that ascend by `order` into one that does, with each item once.
pub(super) fn merge<T: Copy + Ord, K: Ord>(
    mut runs: Vec<impl Iterator<Item = T>>,
    order: impl Fn(T) -> K,
) -> impl Iterator<Item = T> {
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for (run, items) in runs.iter_mut().enumerate() {
        heads.extend(items.next().map(|item| Reverse((order(item), run, item))));
    }
    let mut last = None;
    std::iter::from_fn(move || {
        loop {
            let Reverse((_, run, item)) = heads.pop()?;
            heads.extend(runs[run].next().map(|next| Reverse((order(next), run, next))));
            if last.replace(item) != Some(item) {
                return Some(item);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_of_several_runs_comes_once_and_in_order() {
        let runs = || vec![vec![1, 4, 5].into_iter(), vec![].into_iter(), vec![2, 4].into_iter()];
        assert!(merge(runs(), |item| item).eq([1, 2, 4, 5]));
        let backwards: Vec<_> = runs().into_iter().map(Iterator::rev).collect();
        assert!(merge(backwards, Reverse).eq([5, 4, 2, 1]));
    }
}
