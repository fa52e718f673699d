//! The work of a start, on all processors.

/// What `work` gives for each of `items`, in their order, several at a time; and
/// what `failed` gives for the share of a thread that panicked.
pub fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    failed: impl Fn(&T) -> R,
) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(threads).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let workers: Vec<_> = items
            .chunks(share)
            .map(|share| {
                let worker = scope.spawn(move || share.iter().map(work).collect::<Vec<R>>());
                (share, worker)
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|(share, worker)| {
                let failed = |_| share.iter().map(&failed).collect();
                worker.join().unwrap_or_else(failed)
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_and_a_panic_costs_its_own_share_only() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(
            each(&items, |n| n + 1, |_| 0),
            (1..=1000).collect::<Vec<_>>()
        );
        let last = each(&items, |n| assert!(*n < 999), |_| ());
        assert_eq!(last.len(), 1000);
        assert!(each(&[], |n: &u32| *n, |n| *n).is_empty());
    }
}
