//! One guest's use of one connection to a file.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::authorizer::RESTORED;
use super::database::SqliteLimits;
use super::file::FileDatabase;
use super::query::{self, Outcome};
use crate::bindings::spin::sqlite::sqlite::{Error, Value};

/// How long a reading statement may run on the thread that runs the guest,
/// before it is started again on another one.
const INLINE_TIMEOUT: Duration = Duration::from_millis(2);

/// A connection and what is noted about it.
pub struct Link {
    pub(super) connection: rusqlite::Connection,
    pub(super) state: Arc<State>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("state", &self.state).finish()
    }
}

/// What a guest has done to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Taint {
    /// Changed settings that can be put back.
    Restore = 1,
    /// Made something that lives as long as the connection.
    Discard = 2,
}

/// Shared with the callbacks that SQLite calls.
#[derive(Debug)]
pub struct State {
    taint: AtomicU8,
    /// In microseconds since [`EPOCH`].
    deadline: AtomicU64,
    /// How long to wait for another writer: at first, and at most, as long as a
    /// statement may run.
    busy_timeout_millis: AtomicU64,
    inserted: AtomicBool,
    wrote: AtomicBool,
    /// The instance is gone.
    cancelled: AtomicBool,
    limits: SqliteLimits,
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    pub(super) fn new(limits: SqliteLimits) -> Self {
        Self {
            taint: AtomicU8::new(0),
            deadline: AtomicU64::new(u64::MAX),
            busy_timeout_millis: AtomicU64::new(millis(limits.timeout)),
            inserted: AtomicBool::new(false),
            wrote: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            limits,
        }
    }

    pub(super) fn taint(&self, taint: Taint) {
        self.taint.fetch_max(taint as u8, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_cancelled() || micros(EPOCH.elapsed()) >= self.deadline.load(Ordering::Relaxed)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(super) fn limits(&self) -> SqliteLimits {
        self.limits
    }

    fn set_deadline(&self, timeout: Duration) {
        let deadline = micros(EPOCH.elapsed()).saturating_add(micros(timeout));
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    pub(super) fn set_busy_timeout(&self, value: &str) {
        let wanted = value.parse::<u64>().unwrap_or(0);
        self.busy_timeout_millis
            .store(wanted.min(millis(self.limits.timeout)), Ordering::Relaxed);
    }

    fn busy_timeout(&self) -> Duration {
        Duration::from_millis(self.busy_timeout_millis.load(Ordering::Relaxed))
    }

    pub(super) fn note_insert(&self) {
        self.inserted.store(true, Ordering::Relaxed);
    }

    pub(super) fn note_write(&self) {
        self.wrote.store(true, Ordering::Relaxed);
    }

    /// For the next guest.
    fn reset(&self) {
        let Self {
            taint,
            deadline,
            busy_timeout_millis,
            inserted,
            wrote,
            cancelled,
            limits,
        } = self;
        taint.store(0, Ordering::Relaxed);
        deadline.store(u64::MAX, Ordering::Relaxed);
        busy_timeout_millis.store(millis(limits.timeout), Ordering::Relaxed);
        inserted.store(false, Ordering::Relaxed);
        wrote.store(false, Ordering::Relaxed);
        cancelled.store(false, Ordering::Relaxed);
    }
}

/// Where a statement runs, and so whether it may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the thread that runs guests: only what reads, briefly, without
    /// waiting for a lock.
    Inline,
    /// On a thread for that.
    Blocking,
    /// At a server.
    Server,
}

/// One guest's use of one connection. Statements run one after the other.
pub struct FileSession {
    link: Mutex<Option<Link>>,
    database: Arc<FileDatabase>,
    /// Its connection's, to be seen while a statement runs.
    state: Arc<State>,
    /// Whose turn it is among the statements that need a thread. Those that wait
    /// have none: there are as many as all components together get.
    turn: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

impl FileSession {
    pub(super) fn new(
        link: Link,
        database: Arc<FileDatabase>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            state: Arc::clone(&link.state),
            link: Mutex::new(Some(link)),
            turn: Arc::new(Semaphore::new(1)),
            database,
            _permit: permit,
        }
    }

    fn link(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one statement. What only reads and is quick runs here and now; all
    /// else on a thread that may wait.
    pub async fn execute(self: &Arc<Self>, statement: String, parameters: Vec<Value>) -> Outcome {
        let inline = self
            .link
            .try_lock()
            .ok()
            .and_then(|link| run(link.as_ref()?, &statement, &parameters, Place::Inline));
        if let Some(outcome) = inline {
            return outcome;
        }
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else {
            return Outcome::failed(Error::InvalidConnection);
        };
        let session = Arc::clone(self);
        let outcome = tokio::task::spawn_blocking(move || {
            // Also when the guest has given up waiting, the turn ends with the
            // statement.
            let _turn = turn;
            let link = session.link();
            run(link.as_ref()?, &statement, &parameters, Place::Blocking)
        })
        .await;
        match outcome {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Outcome::failed(Error::InvalidConnection),
            Err(e) => Outcome::failed(Error::Io(e.to_string())),
        }
    }

    /// The row id of the last insertion of this session, or 0.
    pub fn last_insert_rowid(&self) -> i64 {
        match &*self.link() {
            Some(link) if link.state.inserted.load(Ordering::Relaxed) => {
                link.connection.last_insert_rowid()
            }
            _ => 0,
        }
    }

    /// The rows that the last writing statement of this session changed, or 0.
    pub fn changes(&self) -> u64 {
        match &*self.link() {
            Some(link) if link.state.wrote.load(Ordering::Relaxed) => link.connection.changes(),
            _ => 0,
        }
    }

    /// Stops what runs.
    pub(super) fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::Relaxed);
    }

    /// Undoes a transaction that is open; whether there was one. Undoing in
    /// write-ahead mode forgets pages in memory and waits for nothing.
    pub(super) fn roll_back(&self) -> bool {
        let Ok(link) = self.link.try_lock() else {
            return false;
        };
        match &*link {
            Some(link) if !link.connection.is_autocommit() => {
                link.state.set_deadline(self.database.limits().timeout);
                if let Err(e) = link.connection.execute_batch("ROLLBACK") {
                    tracing::error!("cannot undo a transaction: {e}");
                }
                true
            }
            _ => false,
        }
    }
}

fn run(link: &Link, statement: &str, parameters: &[Value], place: Place) -> Option<Outcome> {
    let (timeout, busy) = match place {
        Place::Inline => (INLINE_TIMEOUT, Duration::ZERO),
        Place::Blocking | Place::Server => (link.state.limits.timeout, link.state.busy_timeout()),
    };
    if link.state.is_cancelled() {
        return Some(Outcome::failed(Error::Io("interrupted".to_owned())));
    }
    link.state.set_deadline(timeout);
    if let Err(e) = link.connection.busy_timeout(busy) {
        return Some(Outcome::failed(Error::Io(e.to_string())));
    }
    query::run(link, statement, parameters, place)
}

/// Gives the connection back, or closes it if the guest has left something
/// behind: closing undoes an open transaction.
impl Drop for FileSession {
    fn drop(&mut self) {
        let link = self
            .link
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(link) = link else { return };
        if restore(&link) {
            link.state.reset();
            self.database.put_back(link);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Closing may write to the file.
            runtime.spawn_blocking(move || drop(link));
        }
    }
}

/// Whether the connection is as it was when it was opened.
fn restore(link: &Link) -> bool {
    if !link.connection.is_autocommit() {
        return false;
    }
    link.state.cancelled.store(false, Ordering::Relaxed);
    match link.state.taint.load(Ordering::Relaxed) {
        0 => true,
        taint if taint == Taint::Restore as u8 => {
            link.state.set_deadline(link.state.limits.timeout);
            RESTORED
                .iter()
                .all(|(pragma, value)| link.connection.pragma_update(None, pragma, value).is_ok())
        }
        _ => false,
    }
}
