//! Waiting for conditions, never for a time.

use std::time::{Duration, Instant};

/// How long a condition may take. Generous: it only matters when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, condition);
}

/// Waits until `condition` holds, for what may take longer than anything else.
pub fn eventually_within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < patience, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `work(0..count)` on that many threads, released at once, and gives the results in order.
pub fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|index| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(index)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a worker ends"))
            .collect()
    })
}
