//! A connection to a file as one guest has it.
//!
//! A connection of SQLite's, which has read the whole schema, is lent to it for a
//! statement, and stays while it matters which one it is: amid a transaction, and
//! once it is tainted (settings changed, temporary tables made), until it is
//! dropped. What it counts goes with the guest (see [`super::counts`]). So there are
//! about as many as statements and transactions at once, not as many as guests.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::TransactionState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::authorizer::RESTORED;
use super::counts::{Counts, Tally};
use super::database::{OpenError, SqliteLimits};
use super::file::{FileDatabase, Lease, close};
use super::query::{self, Attempt, Outcome};
use crate::bound::Bound;
use crate::component::bindings::spin::sqlite::sqlite::{Error, Value};

/// How long a reading statement may run on the thread that runs the guest,
/// before it is started again on another one.
const INLINE_TIMEOUT: Duration = Duration::from_millis(2);

/// A connection and what is noted about it.
pub struct Link {
    pub(super) connection: rusqlite::Connection,
    pub(super) state: Arc<State>,
    pub(super) tally: Arc<Tally>,
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
    /// Changed settings that can be put back, or asked what only this connection
    /// tells.
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
            cancelled: AtomicBool::new(false),
            limits,
        }
    }

    pub(super) fn taint(&self, taint: Taint) {
        self.taint.fetch_max(taint as u8, Ordering::Relaxed);
    }

    pub(super) fn is_tainted(&self) -> bool {
        self.taint.load(Ordering::Relaxed) != 0
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

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
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

    /// For the next guest.
    fn reset(&self) {
        let Self {
            taint,
            deadline,
            busy_timeout_millis,
            cancelled,
            limits,
        } = self;
        taint.store(0, Ordering::Relaxed);
        deadline.store(u64::MAX, Ordering::Relaxed);
        busy_timeout_millis.store(millis(limits.timeout), Ordering::Relaxed);
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

/// A connection as one guest has it. Statements run one after the other.
pub struct FileSession {
    database: Arc<FileDatabase>,
    /// What is lent to it.
    lease: Mutex<Option<Lease>>,
    running: Mutex<Running>,
    /// Whose turn it is among the statements that need a thread. Those that wait
    /// have none: there are as many as all components together get.
    turn: Arc<Semaphore>,
    /// While it writes, or is in a transaction that does.
    writer: Mutex<Option<OwnedSemaphorePermit>>,
    counts: Mutex<Counts>,
}

/// What a statement was waited for.
struct Lent {
    /// None if the session has a connection.
    lease: Option<Lease>,
    /// In the queue of those who write.
    place: Option<OwnedSemaphorePermit>,
}

/// What is seen of a session while a statement runs.
#[derive(Debug, Default)]
struct Running {
    /// That of the connection which is lent.
    state: Option<Arc<State>>,
    is_cancelled: bool,
}

impl FileSession {
    pub(super) fn new(database: Arc<FileDatabase>) -> Self {
        Self {
            database,
            lease: Mutex::default(),
            running: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            writer: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    fn lease(&self) -> MutexGuard<'_, Option<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one statement. What only reads and is quick runs here and now; all
    /// else on a thread that may wait.
    pub async fn execute(self: &Arc<Self>, statement: String, parameters: Vec<Value>) -> Outcome {
        let attempt = self.lease.try_lock().ok().and_then(|mut lease| {
            let link = self.lent(&mut lease, || self.database.try_lease())?;
            let writer = self.writer().is_some().then_some(Duration::ZERO);
            let attempt = run(link, &statement, &parameters, Place::Inline, writer);
            self.settle(&mut lease);
            Some(attempt)
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
            let mut place = None;
            if writes {
                let begun = Instant::now();
                match self.place_to_write().await {
                    Ok(own) => place = own,
                    Err(locked) => return locked,
                }
                waited = Some(begun.elapsed());
            }
            let lease = match self.has_lease() {
                true => None,
                false => match self.database.lease().await {
                    Ok(lease) => Some(lease),
                    Err(error) => return not_lent(&error),
                },
            };
            let lent = Lent { lease, place };
            let (session, what) = (Arc::clone(&self), Arc::clone(&what));
            let turn = Arc::clone(&turn);
            let attempt = tokio::task::spawn_blocking(move || {
                // Also when the guest has given up waiting, the turn ends with the
                // statement.
                let _turn = turn;
                session.run_blocking(lent, &what.0, &what.1, waited.unwrap_or_default())
            })
            .await;
            return match attempt {
                Ok(Some(Attempt::Done(outcome))) => Outcome { waited, ..outcome },
                Ok(Some(Attempt::Writes)) => {
                    writes = true;
                    continue;
                }
                // It was given back meanwhile, at the end of a request.
                Ok(None) => continue,
                Ok(Some(Attempt::Waits)) => Outcome::failed(Error::InvalidConnection),
                Err(e) => Outcome::failed(Error::Io(e.to_string())),
            };
        }
    }

    /// Waits in the queue of those who write, for as long as SQLite would; none if
    /// it writes already.
    async fn place_to_write(&self) -> Result<Option<OwnedSemaphorePermit>, Outcome> {
        if self.writer().is_some() {
            return Ok(None);
        }
        let queue = Arc::clone(self.database.writer());
        if let Ok(place) = queue.try_acquire_owned() {
            return Ok(Some(place));
        }
        let queue = Arc::clone(self.database.writer()).acquire_owned();
        match tokio::time::timeout(self.busy_timeout(), queue).await {
            Ok(Ok(place)) => Ok(Some(place)),
            Ok(Err(_)) | Err(_) => Err(Outcome::locked()),
        }
    }

    fn busy_timeout(&self) -> Duration {
        match &self.running().state {
            Some(state) => state.busy_timeout(),
            None => self.database.limits().timeout,
        }
    }

    /// None if there is no connection.
    fn run_blocking(
        &self,
        lent: Lent,
        statement: &str,
        parameters: &[Value],
        waited: Duration,
    ) -> Option<Attempt> {
        let mut lease = self.lease();
        let link = self.lent(&mut lease, || lent.lease)?;
        if lent.place.is_some() {
            *self.writer() = lent.place;
        }
        let writer = self.writer().is_some().then_some(waited);
        let attempt = run(link, statement, parameters, Place::Blocking, writer);
        self.settle(&mut lease);
        Some(attempt)
    }

    fn has_lease(&self) -> bool {
        self.lease.try_lock().is_ok_and(|lease| lease.is_some())
    }

    /// The connection that it has, or else the one that it is `offered`.
    fn lent<'a>(
        &self,
        lease: &'a mut Option<Lease>,
        offered: impl FnOnce() -> Option<Lease>,
    ) -> Option<&'a Link> {
        if lease.is_none() {
            let offered = offered()?;
            let mut running = self.running();
            if running.is_cancelled {
                offered.link.state.cancel();
            }
            running.state = Some(Arc::clone(&offered.link.state));
            let Link {
                connection, tally, ..
            } = &offered.link;
            tally.lend(connection, *self.counts());
            *lease = Some(offered);
        }
        lease.as_ref().map(|lease| &lease.link)
    }

    /// After a statement: notes what it did, and gives the connection back unless
    /// it matters which one the next has.
    fn settle(&self, lease: &mut Option<Lease>) {
        let Some(Lease { link, .. }) = lease else {
            return;
        };
        *self.counts() = link.tally.counts(&link.connection);
        // Also after a statement that only reads: an error can end a transaction.
        self.leave_queue(link);
        if link.connection.is_autocommit() && !link.state.is_tainted() {
            self.give_back(lease.take());
        }
    }

    /// Gives back a connection that is as it was when it was opened.
    fn give_back(&self, lease: Option<Lease>) {
        let Some(lease) = lease else { return };
        self.running().state = None;
        lease.link.state.reset();
        self.database.put_back(lease);
    }

    /// Lets the next one write, unless a transaction of this one does.
    fn leave_queue(&self, link: &Link) {
        let state = link.connection.transaction_state(Some("main"));
        if !matches!(state, Ok(TransactionState::Write)) {
            *self.writer() = None;
        }
    }

    /// The row id of the last insertion of this session, or 0.
    pub fn last_insert_rowid(&self) -> i64 {
        self.counts().last_insert_rowid
    }

    /// The rows that the last writing statement of this session changed, or 0.
    pub fn changes(&self) -> u64 {
        self.counts().changes
    }

    /// Stops what runs.
    pub(super) fn cancel(&self) {
        let mut running = self.running();
        running.is_cancelled = true;
        if let Some(state) = &running.state {
            state.cancel();
        }
    }

    /// Undoes a transaction that a request has left open, and gives the connection
    /// back if it may. Whether there was one. Undoing in write-ahead mode forgets
    /// pages in memory and waits for nothing.
    pub(super) fn end_request(&self) -> bool {
        let Ok(mut lease) = self.lease.try_lock() else {
            return false;
        };
        let Some(Lease { link, .. }) = &*lease else {
            return false;
        };
        if link.connection.is_autocommit() {
            return false;
        }
        link.state.set_deadline(self.database.limits().timeout);
        if let Err(e) = link.connection.execute_batch("ROLLBACK") {
            tracing::error!("cannot undo a transaction: {e}");
        }
        self.settle(&mut lease);
        true
    }
}

/// What a statement is answered with for which there is no connection.
fn not_lent(error: &OpenError) -> Outcome {
    let why = Error::Io(error.to_string());
    match error {
        OpenError::TooMany => Outcome::over(Bound::DatabaseConnections, why),
        OpenError::Failed(_) => Outcome::failed(why),
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
        let lease = self.lease().take();
        match lease {
            Some(lease) if restore(&lease.link) => self.give_back(Some(lease)),
            Some(lease) => close(lease.link),
            None => {}
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
            // A PRAGMA is judged, and some act, when it is prepared.
            link.connection.flush_prepared_statement_cache();
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
            connections: 2,
            ..SqliteLimits::SMALL
        };
        let path = folder.path().join("db");
        let database = FileDatabase::prepare(path, limits, "CREATE TABLE t (v)").unwrap();
        let (one, two) = (database.open(), database.open());
        (folder, one, two)
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
        assert!(two.end_request());
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

    /// The first row.
    async fn integers(session: &Arc<FileSession>, statement: &str) -> Vec<i64> {
        let outcome = session.execute(statement.to_owned(), Vec::new()).await;
        let values = outcome.rows[0].values.iter();
        let integer = |value: &Value| match value {
            Value::Integer(integer) => *integer,
            other => panic!("{other:?}"),
        };
        values.map(integer).collect()
    }

    fn connections(session: &FileSession) -> usize {
        session.database.idle_connections()
    }

    #[tokio::test]
    async fn who_only_reads_has_a_connection_for_a_statement_only() {
        let (_folder, one, two) = two().await;
        for session in [&one, &two, &one] {
            run(session, "SELECT v FROM t").await.unwrap();
            assert!(!session.has_lease());
            assert_eq!(connections(session), 1, "they share it");
        }
        run(&one, "BEGIN").await.unwrap();
        run(&two, "SELECT v FROM t").await.unwrap();
        assert!(one.has_lease() && !two.has_lease());
        run(&one, "COMMIT").await.unwrap();
        assert!(!one.has_lease());
        assert_eq!(connections(&one), 2);
    }

    const COUNTS: &str = "SELECT changes(), total_changes(), last_insert_rowid()";

    #[tokio::test]
    async fn what_a_session_counted_stays_with_it() {
        let (_folder, one, two) = two().await;
        run(&one, "INSERT INTO t VALUES (1), (2)").await.unwrap();
        run(&two, INSERT).await.unwrap();
        run(&two, INSERT).await.unwrap();
        for session in [&one, &two] {
            assert!(!session.has_lease());
            assert_eq!(connections(session), 1, "they share it");
        }
        assert_eq!(integers(&one, COUNTS).await, [2, 2, 2]);
        assert!(!one.end_request(), "no transaction was open");
        run(&two, "DELETE FROM t").await.unwrap();
        assert_eq!(integers(&one, COUNTS).await, [2, 2, 2]);
        assert_eq!((one.changes(), one.last_insert_rowid()), (2, 2));
        assert_eq!(integers(&two, COUNTS).await, [4, 6, 4]);
        assert_eq!((two.changes(), two.last_insert_rowid()), (4, 4));
    }

    #[tokio::test]
    async fn who_asks_whether_others_wrote_keeps_the_connection() {
        const ASK: &str = "PRAGMA data_version";
        let (_folder, one, two) = two().await;
        let before = integers(&one, ASK).await;
        assert_eq!(integers(&one, ASK).await, before);
        run(&two, INSERT).await.unwrap();
        assert_ne!(integers(&one, ASK).await, before);
    }

    #[tokio::test]
    async fn settings_stay_with_who_made_them() {
        const SETTING: &str = "PRAGMA recursive_triggers";
        let (_folder, one, two) = two().await;
        for _ in 0..2 {
            run(&one, "PRAGMA recursive_triggers = 1").await.unwrap();
            one.end_request();
            assert_eq!(integers(&one, SETTING).await, [1]);
            assert_eq!(integers(&two, SETTING).await, [0]);
            run(&one, "PRAGMA recursive_triggers = 0").await.unwrap();
        }
        drop(one);
        assert_eq!(integers(&two, SETTING).await, [0]);
    }

    #[tokio::test]
    async fn an_error_that_ends_a_transaction_lets_the_next_one_write() {
        let (_folder, one, two) = two().await;
        run(&one, "CREATE TABLE u (v UNIQUE ON CONFLICT ROLLBACK)")
            .await
            .unwrap();
        run(&one, "INSERT INTO u VALUES (1)").await.unwrap();
        run(&one, "BEGIN IMMEDIATE").await.unwrap();
        run(&one, "INSERT INTO u VALUES (1)").await.unwrap_err();
        assert!(!one.has_lease());
        run(&two, INSERT).await.unwrap();
    }

    #[tokio::test]
    async fn temporary_settings_of_one_are_not_seen_by_the_next() {
        let (_folder, one, two) = two().await;
        run(&one, "PRAGMA temp.user_version = 42").await.unwrap();
        drop(one);
        assert_eq!(integers(&two, "PRAGMA temp.user_version").await, [0]);
    }

    #[tokio::test]
    async fn who_waits_in_vain_for_a_connection_keeps_nobody_from_writing() {
        let (_folder, one, two) = two().await;
        let three = one.database.open();
        run(&one, "BEGIN").await.unwrap();
        run(&two, "BEGIN").await.unwrap();
        // There are two.
        let mut given_up = Box::pin(run(&three, INSERT));
        assert!(given_up.as_mut().now_or_never().is_none());
        tokio::time::sleep(TIMEOUT / 10).await;
        drop(given_up);
        let refused = run(&three, INSERT).await;
        assert_eq!(refused, Err("too many connections opened".to_owned()));
        run(&one, INSERT).await.unwrap();
        run(&one, "COMMIT").await.unwrap();
        one.end_request();
        run(&three, INSERT).await.unwrap();
    }

    #[tokio::test]
    async fn a_statement_that_waits_outlives_the_request() {
        let (_folder, one, two) = two().await;
        run(&one, INSERT).await.unwrap();
        run(&two, "BEGIN IMMEDIATE").await.unwrap();
        let mut waits = Box::pin(run(&one, INSERT));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(!one.end_request());
        assert!(!one.has_lease());
        run(&two, "COMMIT").await.unwrap();
        waits.await.unwrap();
        assert_eq!(integers(&two, "SELECT count(*) FROM t").await, [2]);
    }

    #[tokio::test]
    async fn a_session_that_is_cancelled_runs_nothing_more() {
        let (_folder, one, two) = two().await;
        one.cancel();
        let interrupted = Err("interrupted".to_owned());
        assert_eq!(run(&one, "SELECT v FROM t").await, interrupted);
        assert_eq!(run(&one, INSERT).await, interrupted);
        run(&two, INSERT).await.unwrap();
    }
}
