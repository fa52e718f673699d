//! How evenly the machine itself computes: what a tail of latencies has to be read beside.

use std::time::{Duration, Instant};

/// How long it is watched each time.
const WATCHED: Duration = Duration::from_secs(1);
/// Work between two looks at the clock, some microseconds.
const STEPS: u32 = 1_000;
const MEMORY: usize = 1 << 18;

/// Milliseconds of threads that only computed, one on each processor.
#[derive(Debug, Default)]
pub struct Machine {
    all: u32,
    /// In which less than half of the usual work was done.
    slow: u32,
    /// The most of these on end.
    longest: u32,
}

impl Machine {
    /// Watches it for a second, in which nothing else is to be at work.
    pub fn watch(&mut self) {
        let processors = std::thread::available_parallelism().unwrap().get();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                self.add(&thread.join().unwrap());
            }
        });
    }

    fn add(&mut self, done: &[u32]) {
        let mut sorted = done.to_vec();
        sorted.sort_unstable();
        let usual = sorted[sorted.len() / 2];
        let mut on_end = 0;
        for &work in done {
            self.all += 1;
            if work * 2 < usual {
                self.slow += 1;
                on_end += 1;
                self.longest = self.longest.max(on_end);
            } else {
                on_end = 0;
            }
        }
    }

    pub fn report(&self) {
        println!(
            "the machine, with nothing else at work: {:.1} % of the milliseconds at less than half \
             of its usual speed, up to {} on end",
            f64::from(self.slow) * 100.0 / f64::from(self.all.max(1)),
            self.longest,
        );
    }
}

/// The work done in each millisecond.
fn work() -> Vec<u32> {
    let mut done = vec![0; usize::try_from(WATCHED.as_millis()).unwrap()];
    let mut memory = vec![0_u32; MEMORY];
    let mut state = 1_u32;
    let started = Instant::now();
    loop {
        let elapsed = usize::try_from(started.elapsed().as_millis()).unwrap();
        let Some(millisecond) = done.get_mut(elapsed) else {
            return done;
        };
        for _ in 0..STEPS {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let place = usize::try_from(state).unwrap() % MEMORY;
            memory[place] = memory[place].wrapping_add(state);
        }
        std::hint::black_box(&memory);
        *millisecond += 1;
    }
}
