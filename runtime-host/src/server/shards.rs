//! Threads that serve connections, each with a runtime and instances of its own.
//!
//! A connection stays on one of them: its requests are read, run and answered
//! without another thread being woken in between, which is most of what a small
//! request would otherwise cost.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::fault::{Faults, Result};

/// The place of threads that serve no connections: the program's own runtime.
const ELSEWHERE: usize = 0;

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(ELSEWHERE) };
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Makes a task on the thread that will run it, so that what it opens belongs
/// to that thread's runtime.
type Begin = Box<dyn FnOnce() -> Task + Send>;

/// The threads.
#[derive(Debug)]
pub struct Shards {
    threads: Vec<UnboundedSender<Begin>>,
    next: AtomicUsize,
}

impl Shards {
    /// Starts so many threads, which end when this is dropped.
    ///
    /// # Errors
    ///
    /// The system has no more threads.
    pub fn start(threads: usize) -> Result<Self> {
        let threads = (1..=threads.max(1)).map(start).collect::<Result<_>>()?;
        Ok(Self {
            threads,
            next: AtomicUsize::new(0),
        })
    }

    /// Runs what `begin` makes on one thread, in turn.
    pub fn spawn<T>(&self, begin: impl FnOnce() -> T + Send + 'static)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        // A thread that is gone has panicked; its connections are closed, and
        // so is this one.
        let _ = self.threads[turn].send(Box::new(move || Box::pin(begin())));
    }
}

/// How many places there are with so many threads.
pub fn places(threads: usize) -> usize {
    threads.max(1) + 1
}

/// The calling thread's place, less than [`places`].
pub fn place() -> usize {
    PLACE.get()
}

fn start(place: usize) -> Result<UnboundedSender<Begin>> {
    let failed = |e| Faults::one(format!("cannot start a thread: {e}"));
    let (sender, receiver) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    std::thread::Builder::new()
        .name(format!("serve-{place}"))
        .spawn(move || {
            PLACE.set(place);
            runtime.block_on(run(receiver));
            runtime.shutdown_background();
        })
        .map_err(failed)?;
    Ok(sender)
}

async fn run(mut tasks: UnboundedReceiver<Begin>) {
    while let Some(begin) = tasks.recv().await {
        tokio::spawn(begin());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_take_turns_on_threads_of_their_own() {
        let shards = Shards::start(2).unwrap();
        assert_eq!(place(), ELSEWHERE);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            shards.spawn(|| async move {
                let _ = sender.send(place());
            });
            seen.push(receiver.await.unwrap());
        }
        assert_eq!(seen, [1, 2, 1, 2]);
        assert!(seen.iter().all(|place| *place < places(2)));
    }
}
