//! A database in a file, and the connections to it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::authorizer::authorizer;
use super::beside::{LOG, beside};
use super::counts;
use super::database::{OpenError, SqliteLimits, permit};
use super::file_session::{FileSession, Link, State};
use super::lock::{Lock, LockError};

/// How long a connection that nobody needs is kept at least.
const KEPT_IDLE: Duration = Duration::from_secs(10);
/// The memory of SQLite, all databases together: what one statement may take is
/// bounded by less, but SQLite looks at that only when it has a row.
const MAX_HEAP_BYTES: i64 = 1 << 30;
/// Statements kept prepared for each connection, of all components that use it.
const STATEMENT_CACHE: usize = 256;
/// How often a running statement looks at its deadline, in instructions.
const PROGRESS_INSTRUCTIONS: i32 = 1000;

/// A SQLite file.
#[derive(Debug)]
pub struct FileDatabase {
    path: PathBuf,
    pool: Mutex<Pool>,
    permits: Arc<Semaphore>,
    /// Whose turn it is to connect. Reading the schema takes longer than most
    /// statements: who waits here finds a connection that came back meanwhile.
    opener: Arc<Semaphore>,
    /// Whose turn it is to write. SQLite has those who must wait sleep and try
    /// again, with which some wait for long; here they stand in a queue.
    writer: Arc<Semaphore>,
    limits: SqliteLimits,
    _lock: Lock,
}

/// The connections that nobody uses.
#[derive(Debug)]
struct Pool {
    /// The one that was used last is the last.
    idle: VecDeque<Idle>,
    /// From then on none is kept.
    is_closed: bool,
}

/// A connection that nobody uses.
#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
    /// That used it last: what the connection has in memory is in the cache of
    /// its processor.
    thread: ThreadId,
}

impl Idle {
    fn new(link: Link) -> Self {
        Self {
            link,
            since: Instant::now(),
            thread: std::thread::current().id(),
        }
    }
}

/// A connection that is lent.
#[derive(Debug)]
pub struct Lease {
    pub(super) link: Link,
    _permit: OwnedSemaphorePermit,
}

impl FileDatabase {
    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens or makes the file and puts it into write-ahead mode, in which
    /// readers do not wait for a writer; `schema` makes what is to be in it.
    ///
    /// # Errors
    ///
    /// The directory or file cannot be made, is not a database, or is being
    /// replaced.
    pub fn prepare(path: PathBuf, limits: SqliteLimits, schema: &str) -> Result<Arc<Self>, String> {
        let named =
            |e: &dyn std::fmt::Display| format!("cannot open the database {}: {e}", path.display());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| named(&e))?;
        }
        let lock = Lock::shared(&path).map_err(|e| match e {
            LockError::Held => named(&"it is being restored from a backup"),
            LockError::Failed(e) => named(&e),
        })?;
        let connection = rusqlite::Connection::open(&path).map_err(|e| named(&e))?;
        connection
            .pragma_update(None, "journal_mode", "wal")
            .map_err(|e| named(&e))?;
        // Of the whole process, whatever connection says it.
        connection
            .pragma_update(None, "hard_heap_limit", MAX_HEAP_BYTES)
            .map_err(|e| named(&e))?;
        connection.execute_batch(schema).map_err(|e| named(&e))?;
        let link = configured(connection, limits).map_err(|e| named(&e))?;
        Ok(Arc::new(Self {
            path,
            pool: Mutex::new(Pool {
                idle: VecDeque::from([Idle::new(link)]),
                is_closed: false,
            }),
            permits: Arc::new(Semaphore::new(limits.connections)),
            opener: Arc::new(Semaphore::new(1)),
            writer: Arc::new(Semaphore::new(1)),
            limits,
            _lock: lock,
        }))
    }

    /// A connection as a guest sees it.
    pub fn open(self: &Arc<Self>) -> Arc<FileSession> {
        Arc::new(FileSession::new(Arc::clone(self)))
    }

    /// A connection, if there is one that nobody uses.
    pub(super) fn try_lease(&self) -> Option<Lease> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let link = self.take_idle()?;
        Some(Lease {
            link,
            _permit: permit,
        })
    }

    /// A connection, opened if nobody has one to spare.
    ///
    /// # Errors
    ///
    /// Too many are in use, or SQLite's message.
    pub(super) async fn lease(&self) -> Result<Lease, OpenError> {
        let place = permit(&self.permits, self.limits.timeout).await?;
        let opener = permit(&self.opener, self.limits.timeout)
            .await
            .map_err(|_| OpenError::Failed("connecting takes too long".to_owned()))?;
        let link = match self.take_idle() {
            Some(link) => link,
            None => {
                let (path, limits) = (self.path.clone(), self.limits);
                tokio::task::spawn_blocking(move || connect(&path, limits))
                    .await
                    .map_err(|e| OpenError::Failed(e.to_string()))?
                    .map_err(|e| OpenError::Failed(e.to_string()))?
            }
        };
        drop(opener);
        Ok(Lease {
            link,
            _permit: place,
        })
    }

    #[cfg(test)]
    pub(super) fn idle_connections(&self) -> usize {
        self.pool().idle.len()
    }

    pub(super) fn writer(&self) -> &Arc<Semaphore> {
        &self.writer
    }

    pub(super) fn limits(&self) -> SqliteLimits {
        self.limits
    }

    /// Takes back a connection that is as it was when it was opened, and closes one
    /// that has not been needed for long.
    pub(super) fn put_back(&self, lease: Lease) {
        let returned = Idle::new(lease.link);
        let is_spare = |oldest: &Idle| returned.since - oldest.since > KEPT_IDLE;
        let mut pool = self.pool();
        if pool.is_closed {
            drop(pool);
            return;
        }
        let spare = match pool.idle.front() {
            Some(oldest) if is_spare(oldest) => pool.idle.pop_front(),
            _ => None,
        };
        pool.idle.push_back(returned);
        drop(pool);
        if let Some(spare) = spare {
            close(spare.link);
        }
    }

    /// Closes each connection, those in use once they are given back. Whoever closes
    /// the last one to a file, of all processes, brings into it what is in its
    /// write-ahead log, and removes that.
    pub fn close(&self) {
        let mut pool = self.pool();
        pool.is_closed = true;
        let idle = std::mem::take(&mut pool.idle);
        drop(pool);
        drop(idle);
    }

    /// Whether its write-ahead log is there: it is open somewhere, or could not be
    /// written at its last close.
    pub fn has_log(&self) -> bool {
        beside(&self.path, LOG).exists()
    }

    /// This thread's, or else the one that was used last.
    fn take_idle(&self) -> Option<Link> {
        let thread = std::thread::current().id();
        let idle = &mut self.pool().idle;
        let own = idle.iter().rposition(|idle| idle.thread == thread);
        let taken = match own {
            Some(own) => idle.remove(own),
            None => idle.pop_back(),
        };
        taken.map(|taken| taken.link)
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a connection, which may write to the file.
pub(super) fn close(link: Link) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn_blocking(move || drop(link));
    }
}

fn connect(path: &Path, limits: SqliteLimits) -> rusqlite::Result<Link> {
    configured(rusqlite::Connection::open(path)?, limits)
}

/// A connection as components get it.
fn configured(connection: rusqlite::Connection, limits: SqliteLimits) -> rusqlite::Result<Link> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Otherwise a statement with `LIMIT ?` is prepared anew each time it is used.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, limits.value_bytes)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, limits.statement_bytes)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    for (pragma, value) in super::authorizer::RESTORED {
        connection.pragma_update(None, pragma, value)?;
    }
    let state = Arc::new(State::new(limits));
    let deadline = Arc::clone(&state);
    connection.progress_handler(PROGRESS_INSTRUCTIONS, Some(move || deadline.is_over()))?;
    let tally = Arc::default();
    counts::replace_functions(&connection, &tally)?;
    connection.authorizer(Some(authorizer(Arc::clone(&state), Arc::clone(&tally))))?;
    Ok(Link {
        connection,
        state,
        tally,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_in_the_file_once_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let schema = "CREATE TABLE t (a); INSERT INTO t VALUES (1)";
        let database = FileDatabase::prepare(path.clone(), SqliteLimits::SMALL, schema).unwrap();
        let other = FileDatabase::prepare(path.clone(), SqliteLimits::SMALL, "").unwrap();
        database.close();
        assert!(other.has_log(), "another one has it open");
        let lent = other.try_lease().unwrap();
        other.close();
        assert!(other.has_log(), "it is in use");
        other.put_back(lent);
        assert!(!folder.path().join("db-wal").exists());
        let connection = rusqlite::Connection::open(path).unwrap();
        let count = connection.query_row("SELECT a FROM t", [], |row| row.get(0));
        assert_eq!(count, Ok(1));
    }

    #[tokio::test]
    async fn a_connection_that_was_not_needed_for_long_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let database = FileDatabase::prepare(path, SqliteLimits::SMALL, "").unwrap();
        let mut leases = Vec::new();
        for _ in 0..3 {
            leases.push(database.lease().await.unwrap());
        }
        for lease in leases {
            database.put_back(lease);
        }
        assert_eq!(database.idle_connections(), 3, "they may be needed again");
        for idle in database.pool().idle.iter_mut().take(2) {
            idle.since -= KEPT_IDLE + Duration::from_secs(1);
        }
        // One each time, and the one that was used just now stays.
        for left in [2, 1, 1] {
            let used = database.try_lease().unwrap();
            database.put_back(used);
            assert_eq!(database.idle_connections(), left);
        }
    }
}
