//! A database and the connections to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use tokio::sync::Semaphore;

use super::authorizer::authorizer;
use super::lock::{Lock, LockError};
use super::session::{Link, Session, State};

/// The database that needs no configuration, and its file, as in Spin.
const DEFAULT_DATABASE: &str = "default";
const DEFAULT_FILE: &str = "sqlite_db.db";

/// Connections kept open for the next `open`.
const MAX_IDLE_CONNECTIONS: usize = 64;
/// Statements kept prepared for each connection.
const STATEMENT_CACHE: usize = 128;
/// How often a running statement looks at its deadline, in instructions.
const PROGRESS_INSTRUCTIONS: i32 = 1000;

/// What bounds the use of one database.
#[derive(Debug, Clone, Copy)]
pub struct SqliteLimits {
    /// How long a statement may run, and `open` may wait for a connection.
    pub timeout: Duration,
    /// Rows of one result.
    pub rows: usize,
    /// The memory of one result, in bytes.
    pub result_bytes: usize,
    /// The longest statement, in bytes.
    pub statement_bytes: i32,
    /// The largest string, blob or row, in bytes.
    pub value_bytes: i32,
    /// Connections at once; an `open` beyond that waits.
    pub connections: usize,
}

/// A SQLite file.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    idle: Mutex<Vec<Link>>,
    permits: Arc<Semaphore>,
    limits: SqliteLimits,
    _lock: Lock,
}

impl Database {
    /// The file of the database `name` under the state directory, if there can
    /// be such a database.
    pub fn path_of(name: &str, state_directory: &Path) -> Option<PathBuf> {
        (name == DEFAULT_DATABASE).then(|| state_directory.join(DEFAULT_FILE))
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens or makes the file and puts it into write-ahead mode, in which
    /// readers do not wait for a writer.
    ///
    /// # Errors
    ///
    /// The directory or file cannot be made, is not a database, or is being
    /// replaced.
    pub fn prepare(path: PathBuf, limits: SqliteLimits) -> Result<Arc<Self>, String> {
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
        drop(connection);
        Ok(Arc::new(Self {
            path,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            limits,
            _lock: lock,
        }))
    }

    /// A connection for one guest.
    ///
    /// # Errors
    ///
    /// Too many are open, or SQLite's message.
    pub async fn open(self: &Arc<Self>) -> Result<Arc<Session>, OpenError> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = tokio::time::timeout(self.limits.timeout, permit)
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(OpenError::TooMany)?;
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
        Ok(Arc::new(Session::new(link, Arc::clone(self), permit)))
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

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// See [`SqliteLimits::connections`].
    #[error("too many connections opened")]
    TooMany,
    /// SQLite's message.
    #[error("{0}")]
    Failed(String),
}

/// The databases that one component may open.
#[derive(Debug, Default)]
pub struct Databases(BTreeMap<String, Arc<Database>>);

impl Databases {
    /// The databases of `names` among those that exist.
    ///
    /// # Errors
    ///
    /// The names for which there is none.
    pub fn grant(
        names: &[String],
        existing: &BTreeMap<String, Arc<Database>>,
    ) -> Result<Self, Vec<String>> {
        let (known, unknown): (Vec<_>, Vec<_>) = names
            .iter()
            .cloned()
            .partition(|name| existing.contains_key(name));
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let granted = known
            .into_iter()
            .filter_map(|name| Some((name.clone(), Arc::clone(existing.get(&name)?))));
        Ok(Self(granted.collect()))
    }

    /// The names which need no configuration.
    pub fn well_known() -> &'static str {
        DEFAULT_DATABASE
    }

    /// The database `name`, if the component may open it.
    pub fn granted(&self, name: &str) -> Option<&Arc<Database>> {
        self.0.get(name)
    }
}
