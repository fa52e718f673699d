//! One guest's use of one connection to a file.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::TransactionState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::authorizer::RESTORED;
use super::database::SqliteLimits;
use super::file::FileDatabase;
use super::query::{self, Attempt, Outcome};
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
    /// While it writes, or is in a transaction that does.
    writer: Mutex<Option<OwnedSemaphorePermit>>,
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
            writer: Mutex::default(),
            database,
            _permit: permit,
        }
    }

    fn link(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one statement. What only reads and is quick runs here and now; all
    /// else on a thread that may wait.
    pub async fn execute(self: &Arc<Self>, statement: String, parameters: Vec<Value>) -> Outcome {
        let attempt = self.link.try_lock().ok().and_then(|link| {
            let writer = self.writer().is_some().then_some(Duration::ZERO);
            let link = link.as_ref()?;
            Some(run(link, &statement, &parameters, Place::Inline, writer))
        });
        let writes = match attempt {
            Some(Attempt::Done(outcome)) => return outcome,
            Some(Attempt::Writes) => true,
            Some(Attempt::Waits) | None => false,
        };
        // It goes on also while nobody asks for it: a guest that waits in a
        // synchronous call is at nothing else, and what it waits for may be that an
        // earlier statement of its own ends. When this is dropped, it ends.
        let mut running = JoinSet::new();
        running.spawn(Arc::clone(self).wait_and_run(statement, parameters, writes));
        match running.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(e)) => Outcome::failed(Error::Io(e.to_string())),
            None => Outcome::failed(Error::InvalidConnection),
        }
    }

    async fn wait_and_run(
        self: Arc<Self>,
        statement: String,
        parameters: Vec<Value>,
        mut writes: bool,
    ) -> Outcome {
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else {
            return Outcome::failed(Error::InvalidConnection);
        };
        let turn = Arc::new(turn);
        let what = Arc::new((statement, parameters));
        loop {
            let mut waited = None;
            if writes {
                let begun = Instant::now();
                if !self.become_writer().await {
                    return Outcome::locked();
                }
                waited = Some(begun.elapsed());
            }
            let (session, what) = (Arc::clone(&self), Arc::clone(&what));
            let turn = Arc::clone(&turn);
            let attempt = tokio::task::spawn_blocking(move || {
                // Also when the guest has given up waiting, the turn ends with the
                // statement.
                let _turn = turn;
                session.run_blocking(&what.0, &what.1, waited.unwrap_or_default())
            })
            .await;
            return match attempt {
                Ok(Some(Attempt::Done(outcome))) => Outcome { waited, ..outcome },
                Ok(Some(Attempt::Writes)) if !writes => {
                    writes = true;
                    continue;
                }
                Ok(_) => Outcome::failed(Error::InvalidConnection),
                Err(e) => Outcome::failed(Error::Io(e.to_string())),
            };
        }
    }

    /// Waits in the queue of those who write, unless it does already; for as
    /// long as SQLite would. Whether it may write then.
    async fn become_writer(&self) -> bool {
        if self.writer().is_some() {
            return true;
        }
        let queue = Arc::clone(self.database.writer());
        let permit = match queue.try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let queue = Arc::clone(self.database.writer()).acquire_owned();
                match tokio::time::timeout(self.state.busy_timeout(), queue).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) | Err(_) => return false,
                }
            }
        };
        *self.writer() = Some(permit);
        true
    }

    fn run_blocking(
        &self,
        statement: &str,
        parameters: &[Value],
        waited: Duration,
    ) -> Option<Attempt> {
        let link = self.link();
        let link = link.as_ref()?;
        let writer = self.writer().is_some().then_some(waited);
        let attempt = run(link, statement, parameters, Place::Blocking, writer);
        self.leave_queue(link);
        Some(attempt)
    }

    /// Lets the next one write, unless a transaction of this one does.
    fn leave_queue(&self, link: &Link) {
        let state = link.connection.transaction_state::<&str>(None);
        if !matches!(state, Ok(TransactionState::Write)) {
            *self.writer() = None;
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
                self.leave_queue(link);
                true
            }
            _ => false,
        }
    }
}

/// Runs a statement, of one who may write if `writer` tells how long it waited
/// for others who did.
fn run(
    link: &Link,
    statement: &str,
    parameters: &[Value],
    place: Place,
    writer: Option<Duration>,
) -> Attempt {
    let (timeout, busy) = match place {
        Place::Inline => (INLINE_TIMEOUT, Duration::ZERO),
        Place::Blocking | Place::Server => {
            let waited = writer.unwrap_or_default();
            let busy = link.state.busy_timeout().saturating_sub(waited);
            (link.state.limits.timeout, busy)
        }
    };
    if link.state.is_cancelled() {
        let interrupted = Error::Io("interrupted".to_owned());
        return Attempt::Done(Outcome::failed(interrupted));
    }
    link.state.set_deadline(timeout);
    if let Err(e) = link.connection.busy_timeout(busy) {
        return Attempt::Done(Outcome::failed(Error::Io(e.to_string())));
    }
    query::run(link, statement, parameters, place, writer.is_some())
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    const TIMEOUT: Duration = Duration::from_millis(300);
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A database with a table `t`, and two connections to it.
    async fn two() -> (tempfile::TempDir, Arc<FileSession>, Arc<FileSession>) {
        let folder = tempfile::tempdir().unwrap();
        let limits = SqliteLimits {
            timeout: TIMEOUT,
            rows: 10,
            result_bytes: 1000,
            statement_bytes: 1000,
            value_bytes: 1000,
            connections: 2,
        };
        let path = folder.path().join("db");
        let database = FileDatabase::prepare(path, limits, "CREATE TABLE t (v)").unwrap();
        let (one, two) = (database.open().await, database.open().await);
        (folder, one.unwrap(), two.unwrap())
    }

    async fn run(session: &Arc<FileSession>, statement: &str) -> Result<Option<Duration>, String> {
        let outcome = session.execute(statement.to_owned(), Vec::new()).await;
        match outcome.result {
            Ok(()) => Ok(outcome.waited),
            Err(Error::Io(why)) => Err(why),
            Err(other) => Err(format!("{other:?}")),
        }
    }

    const INSERT: &str = "INSERT INTO t VALUES (1)";

    #[tokio::test]
    async fn who_writes_waits_in_a_queue_and_not_longer_than_a_statement_may_run() {
        let (_folder, one, two) = two().await;
        assert_eq!(
            run(&one, "SELECT v FROM t").await,
            Ok(None),
            "reading does not"
        );
        run(&one, "BEGIN IMMEDIATE").await.unwrap();
        run(&one, INSERT).await.unwrap();
        let locked = Err("database is locked".to_owned());
        assert_eq!(run(&two, INSERT).await, locked);
        let (committed, waited) = tokio::join!(
            async {
                tokio::time::sleep(TIMEOUT / 10).await;
                run(&one, "COMMIT").await
            },
            run(&two, INSERT),
        );
        committed.unwrap();
        assert!(waited.unwrap().unwrap() > Duration::ZERO);
        run(&one, "BEGIN IMMEDIATE").await.unwrap();
        run(&two, "PRAGMA busy_timeout = 0").await.unwrap();
        assert_eq!(run(&two, INSERT).await, locked);
    }

    #[tokio::test]
    async fn a_statement_ends_also_while_nobody_asks_whether_it_has() {
        let (_folder, one, two) = two().await;
        run(&one, "BEGIN IMMEDIATE").await.unwrap();
        let mut write = Box::pin(run(&two, INSERT));
        assert!(write.as_mut().now_or_never().is_none());
        run(&one, "COMMIT").await.unwrap();
        // The next of the same connection, as from a guest that waits for it alone.
        let read = tokio::time::timeout(PATIENCE, run(&two, "SELECT v FROM t"));
        read.await.expect("an end").unwrap();
        write.await.unwrap();
    }

    #[tokio::test]
    async fn a_statement_that_nobody_waits_for_any_more_leaves_the_queue() {
        let (_folder, one, two) = two().await;
        run(&one, "BEGIN IMMEDIATE").await.unwrap();
        let mut write = Box::pin(run(&two, INSERT));
        assert!(write.as_mut().now_or_never().is_none());
        drop(write);
        let read = tokio::time::timeout(PATIENCE, run(&two, "SELECT v FROM t"));
        read.await.expect("its turn").unwrap();
    }

    #[tokio::test]
    async fn a_place_in_the_queue_ends_with_the_connection() {
        let (_folder, one, two) = two().await;
        run(&one, "BEGIN IMMEDIATE").await.unwrap();
        drop(one);
        run(&two, INSERT).await.unwrap();
        run(&two, "BEGIN IMMEDIATE").await.unwrap();
        assert!(two.roll_back());
        assert!(two.writer().is_none());
    }

    #[tokio::test]
    async fn a_transaction_that_read_something_older_keeps_nobody_from_writing() {
        let (_folder, one, two) = two().await;
        run(&one, "BEGIN").await.unwrap();
        run(&one, "SELECT v FROM t").await.unwrap();
        run(&two, INSERT).await.unwrap();
        assert_eq!(
            run(&one, INSERT).await,
            Err("database is locked".to_owned())
        );
        run(&two, INSERT).await.unwrap();
        // From the beginning, it may.
        run(&one, "ROLLBACK").await.unwrap();
        run(&one, INSERT).await.unwrap();
    }
}
