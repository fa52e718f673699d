//! A database in a file, and the connections to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use tokio::sync::Semaphore;

use super::authorizer::authorizer;
use super::database::{OpenError, SqliteLimits, permit};
use super::file_session::{FileSession, Link, State};
use super::lock::{Lock, LockError};

/// Connections kept open for the next `open`.
const MAX_IDLE_CONNECTIONS: usize = 64;
/// The memory of SQLite, all databases together: what one statement may take is
/// bounded by less, but SQLite looks at that only when it has a row.
const MAX_HEAP_BYTES: i64 = 1 << 30;
/// Statements kept prepared for each connection.
const STATEMENT_CACHE: usize = 128;
/// How often a running statement looks at its deadline, in instructions.
const PROGRESS_INSTRUCTIONS: i32 = 1000;

/// A SQLite file.
#[derive(Debug)]
pub struct FileDatabase {
    path: PathBuf,
    idle: Mutex<Vec<Link>>,
    permits: Arc<Semaphore>,
    /// Whose turn it is to write. SQLite has those who must wait sleep and try
    /// again, with which some wait for long; here they stand in a queue.
    writer: Arc<Semaphore>,
    limits: SqliteLimits,
    _lock: Lock,
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
        drop(connection);
        Ok(Arc::new(Self {
            path,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            writer: Arc::new(Semaphore::new(1)),
            limits,
            _lock: lock,
        }))
    }

    /// A connection for one guest.
    ///
    /// # Errors
    ///
    /// Too many are open, or SQLite's message.
    pub async fn open(self: &Arc<Self>) -> Result<Arc<FileSession>, OpenError> {
        let permit = permit(&self.permits, self.limits.timeout).await?;
        let idle = self.idle().pop();
        let link = match idle {
            Some(link) => link,
            None => {
                let (path, limits) = (self.path.clone(), self.limits);
                tokio::task::spawn_blocking(move || connect(&path, limits))
                    .await
                    .map_err(|e| OpenError::Failed(e.to_string()))?
                    .map_err(|e| OpenError::Failed(e.to_string()))?
            }
        };
        Ok(Arc::new(FileSession::new(link, Arc::clone(self), permit)))
    }

    pub(super) fn writer(&self) -> &Arc<Semaphore> {
        &self.writer
    }

    pub(super) fn limits(&self) -> SqliteLimits {
        self.limits
    }

    /// Takes back a connection that is as it was when it was opened.
    pub(super) fn put_back(&self, link: Link) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE_CONNECTIONS {
            idle.push(link);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path, limits: SqliteLimits) -> rusqlite::Result<Link> {
    let connection = rusqlite::Connection::open(path)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, limits.value_bytes)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, limits.statement_bytes)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    for (pragma, value) in super::authorizer::RESTORED {
        connection.pragma_update(None, pragma, value)?;
    }
    let state = Arc::new(State::new(limits));
    let deadline = Arc::clone(&state);
    connection.progress_handler(PROGRESS_INSTRUCTIONS, Some(move || deadline.is_over()))?;
    let inserts = Arc::clone(&state);
    connection.update_hook(Some(
        move |action: rusqlite::hooks::Action, _: &str, _: &str, _: i64| {
            if action == rusqlite::hooks::Action::SQLITE_INSERT {
                inserts.note_insert();
            }
        },
    ))?;
    connection.authorizer(Some(authorizer(Arc::clone(&state))))?;
    Ok(Link { connection, state })
}
