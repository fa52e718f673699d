//! The instances of a component, and what they do.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::{Histogram, IntCounter, IntGauge};

use super::{METRICS, seconds};

/// Why an instance was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It had no work for long.
    Idle,
    /// It had answered as many requests as one may.
    Used,
    /// A request, or what followed it, took too long.
    Deadline,
    /// It trapped.
    Trap,
}

impl Stopped {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Idle, "idle"),
        (Self::Used, "used"),
        (Self::Deadline, "deadline"),
        (Self::Trap, "trap"),
    ];
}

/// How a statement ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// On the thread that runs the guest.
    Inline,
    /// On a thread that may wait.
    Blocking,
    /// At a server.
    Server,
}

/// How statements fail. By SQLite's messages, which is what guests get, too.
const ERRORS: [(&str, &str); 3] = [
    ("database is locked", "busy"),
    ("constraint failed", "constraint"),
    ("interrupted", "timeout"),
];

/// What is counted of one component.
pub struct Component {
    live: IntGauge,
    started: IntCounter,
    failed: IntCounter,
    start_time: Histogram,
    stopped: [IntCounter; Stopped::ALL.len()],
    queue: IntGauge,
    queue_time: Histogram,
    inline: Histogram,
    blocking: Histogram,
    server: Histogram,
    writer_wait: Histogram,
    errors: [IntCounter; ERRORS.len()],
    other_errors: IntCounter,
    file_store: Histogram,
    server_store: Histogram,
    store_errors: IntCounter,
}

impl Component {
    /// That of the component `id`.
    pub fn new(id: &str) -> Arc<Self> {
        let m = &*METRICS;
        let error = |kind| m.sqlite_errors.with_label_values(&[id, kind]);
        let statement = |kind| m.sqlite_seconds.with_label_values(&[id, kind]);
        Arc::new(Self {
            live: m.instances.with_label_values(&[id]),
            started: m.instances_started.with_label_values(&[id]),
            failed: m.instances_failed.with_label_values(&[id]),
            start_time: m.instance_start_seconds.with_label_values(&[id]),
            stopped: Stopped::ALL
                .map(|(_, reason)| m.instances_stopped.with_label_values(&[id, reason])),
            queue: m.queue.with_label_values(&[id]),
            queue_time: m.queue_seconds.with_label_values(&[id]),
            inline: statement("inline"),
            blocking: statement("blocking"),
            server: statement("server"),
            writer_wait: m.sqlite_writer_seconds.with_label_values(&[id]),
            errors: ERRORS.map(|(_, kind)| error(kind)),
            other_errors: error("other"),
            file_store: m.key_value_seconds.with_label_values(&[id, "file"]),
            server_store: m.key_value_seconds.with_label_values(&[id, "server"]),
            store_errors: m.key_value_errors.with_label_values(&[id]),
        })
    }

    /// An instance was begun to be started at `begun`, and exists.
    pub fn started(self: &Arc<Self>, begun: Instant) -> Live {
        self.started.inc();
        self.start_time.observe(seconds(begun.elapsed()));
        self.live.inc();
        Live(Arc::clone(self))
    }

    /// An instance could not be started.
    pub fn start_failed(&self) {
        self.failed.inc();
    }

    /// A request waits for an instance, until what this gives is dropped.
    pub fn waits(&self) -> Waiting<'_> {
        self.queue.inc();
        Waiting {
            component: self,
            begun: Instant::now(),
        }
    }

    /// A statement ran for `time`; `error` is SQLite's message.
    pub fn statement(&self, kind: Statement, time: Duration, error: Option<&str>) {
        let times = match kind {
            Statement::Inline => &self.inline,
            Statement::Blocking => &self.blocking,
            Statement::Server => &self.server,
        };
        times.observe(seconds(time));
        if let Some(message) = error {
            let known = ERRORS.iter().position(|(part, _)| message.contains(part));
            known
                .and_then(|index| self.errors.get(index))
                .unwrap_or(&self.other_errors)
                .inc();
        }
    }
}

impl Component {
    /// A statement that writes waited for other writers for `time`.
    pub fn waited_to_write(&self, time: Duration) {
        self.writer_wait.observe(seconds(time));
    }

    /// An operation on a key-value store, one with a server or in a file, took
    /// `time`.
    pub fn key_value(&self, is_remote: bool, time: Duration, good: bool) {
        let times = if is_remote {
            &self.server_store
        } else {
            &self.file_store
        };
        times.observe(seconds(time));
        if !good {
            self.store_errors.inc();
        }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component").finish_non_exhaustive()
    }
}

/// An instance.
#[derive(Debug)]
pub struct Live(Arc<Component>);

impl Live {
    /// Why it is about to be stopped.
    pub fn stopped(&self, why: Stopped) {
        let index = Stopped::ALL.iter().position(|(reason, _)| *reason == why);
        if let Some(counter) = index.and_then(|index| self.0.stopped.get(index)) {
            counter.inc();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.dec();
    }
}

/// A request that waits.
#[derive(Debug)]
pub struct Waiting<'a> {
    component: &'a Component,
    begun: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.component.queue.dec();
        let waited = seconds(self.begun.elapsed());
        self.component.queue_time.observe(waited);
    }
}
