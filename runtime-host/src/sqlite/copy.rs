//! Whole copies of databases, and whether one is sound.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Pages that are copied between two looks at whether to stop.
const PAGES_PER_STEP: i32 = 1000;
/// The same for checking, in instructions.
const INSTRUCTIONS_PER_LOOK: i32 = 100_000;
/// How long another program's lock is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It was told to stop.
    #[error("it was stopped")]
    Stopped,
    /// Why.
    #[error("{0}")]
    Failed(String),
}

impl CopyError {
    fn new(e: impl std::fmt::Display) -> Self {
        Self::Failed(e.to_string())
    }
}

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A database that is in use; it may have a write-ahead log.
    Live,
    /// A file that is only read.
    File,
}

/// How a copy is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Its pages and records.
    Quick,
    /// Its indexes, too.
    Thorough,
}

/// Copies the database `from` to the file `to`, which must not be there: its
/// state at one moment, whatever is written meanwhile. The copy is checked, a
/// single file, and on the disk.
///
/// # Errors
///
/// [`CopyError`]; `to` may then be there in part.
pub fn copy(
    from: &Path,
    source: Source,
    to: &Path,
    check: Check,
    stop: &Arc<AtomicBool>,
) -> Result<(), CopyError> {
    let stoppable = |e: rusqlite::Error| match stop.load(Ordering::Relaxed) {
        true => CopyError::Stopped,
        false => CopyError::new(e),
    };
    private(to).map_err(CopyError::new)?;
    let flags = match source {
        Source::Live => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Source::File => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let from = Connection::open_with_flags(from, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(CopyError::new)?;
    from.busy_timeout(BUSY_TIMEOUT).map_err(CopyError::new)?;
    // A file of no bytes is a database, but not one that anybody made.
    let pages: i64 = from
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .map_err(CopyError::new)?;
    if pages == 0 {
        return Err(CopyError::Failed("it is empty".to_owned()));
    }
    transfer(&from, to, stop).map_err(stoppable)?;
    drop(from);
    if stop.load(Ordering::Relaxed) {
        return Err(CopyError::Stopped);
    }
    let copy = Connection::open(to).map_err(CopyError::new)?;
    let looking = Arc::clone(stop);
    copy.progress_handler(
        INSTRUCTIONS_PER_LOOK,
        Some(move || looking.load(Ordering::Relaxed)),
    )
    .map_err(CopyError::new)?;
    settle(&copy).map_err(stoppable)?;
    let problem = problem(&copy, check).map_err(stoppable)?;
    drop(copy);
    if let Some(problem) = problem {
        return Err(CopyError::Failed(format!("it is damaged: {problem}")));
    }
    File::options()
        .write(true)
        .open(to)
        .and_then(|file| file.sync_all())
        .map_err(CopyError::new)
}

/// Makes an empty file that only its owner can read.
fn private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn transfer(from: &Connection, to: &Path, stop: &AtomicBool) -> rusqlite::Result<()> {
    // With a transaction open, all steps see the same state, and do not begin
    // again when something is written.
    from.execute_batch("BEGIN")?;
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut to = Connection::open(to)?;
    // Nothing is lost with a copy that is not finished.
    to.pragma_update(None, "synchronous", "off")?;
    let backup = Backup::new(from, &mut to)?;
    while !stop.load(Ordering::Relaxed) {
        match backup.step(PAGES_PER_STEP)? {
            StepResult::Done => break,
            StepResult::More => {}
            // Not to be expected: the transaction is open, the copy is ours.
            _ => return Err(busy()),
        }
    }
    Ok(())
}

/// Takes a database out of write-ahead mode, so that it is a single file.
///
/// # Errors
///
/// Somebody else has it open ([`is_busy`]), or it is damaged.
pub fn settle(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String =
        connection.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    if mode == "delete" {
        return Ok(());
    }
    Err(busy())
}

fn busy() -> rusqlite::Error {
    let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(busy, None)
}

/// Whether somebody else has the database open.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// The first thing that is wrong with a database.
fn problem(connection: &Connection, check: Check) -> rusqlite::Result<Option<String>> {
    let pragma = match check {
        Check::Quick => "PRAGMA quick_check(1)",
        Check::Thorough => "PRAGMA integrity_check(1)",
    };
    let found: String = connection.query_row(pragma, [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

/// Brings what was renamed in `directory` onto the disk.
///
/// # Errors
///
/// Those of the system.
pub fn sync_directory(directory: &Path) -> std::io::Result<()> {
    // Elsewhere a directory cannot be opened.
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(from: &Path, to: &Path, stopped: bool) -> Result<(), CopyError> {
        let stop = Arc::new(AtomicBool::new(stopped));
        copy(from, Source::Live, to, Check::Thorough, &stop)
    }

    #[test]
    fn a_copy_is_a_single_private_file() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("a.db"), directory.path().join("b.db"));
        let live = Connection::open(&from).unwrap();
        live.pragma_update(None, "journal_mode", "wal").unwrap();
        live.execute_batch("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
            .unwrap();
        assert!(matches!(copied(&from, &to, true), Err(CopyError::Stopped)));
        std::fs::remove_file(&to).unwrap();
        copied(&from, &to, false).unwrap();
        live.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        let names = std::fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a.db", "a.db-shm", "a.db-wal", "b.db"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&to).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let count: i64 = Connection::open(&to)
            .unwrap()
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 1);
    }

    #[test]
    fn what_is_no_database_or_damaged_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("a.db"), directory.path().join("b.db"));
        let told = |content: &[u8]| {
            std::fs::write(&from, content).unwrap();
            let _ = std::fs::remove_file(&to);
            copied(&from, &to, false).unwrap_err().to_string()
        };
        assert!(told(b"").contains("empty"));
        assert!(told(&b"no database ".repeat(1000)).contains("not a database"));

        let good = directory.path().join("good.db");
        let connection = Connection::open(&good).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (v UNIQUE); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL \
                 SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO t SELECT i FROM n",
            )
            .unwrap();
        drop(connection);
        let mut bytes = std::fs::read(&good).unwrap();
        bytes[2 * 4096..3 * 4096].fill(0xa5);
        let problem = told(&bytes);
        assert!(
            !problem.is_empty() && problem.lines().count() <= 3,
            "{problem}"
        );
    }
}
