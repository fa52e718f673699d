//! `restore`: puts a backup in the place of a database.
//!
//! What was there is kept beside it. Until the last step, which replaces the
//! file at once, the database is as it was.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::backup::{self, Stamp};
use crate::cli;
use crate::fault::{Faults, Result};
use crate::manifest;
use crate::sqlite::copy::{self, Check, Source};
use crate::sqlite::{COMPANIONS, Location, Lock, LockError, beside};

/// Puts `args.backup` in the place of a database, and tells what it did.
///
/// # Errors
///
/// The backup is not sound, or the database is in use; nothing is changed then.
pub(crate) fn restore(args: &cli::Restore) -> Result<()> {
    let manifest = manifest::load(&args.from.path)?;
    let name = &args.database;
    let mut places = args.state.places(&manifest)?;
    let database = match places.databases.remove(name) {
        Some(Location::File(path)) => path,
        Some(Location::Server(server)) => {
            return Err(Faults::one(format!(
                "--database: {name:?} is with {server}, and is restored by the server's own means"
            )));
        }
        None => {
            return Err(Faults::one(format!(
                "--database: there is no database {name:?}"
            )));
        }
    };
    let replaced = replace(&database, &args.backup).map_err(Faults::one)?;
    let mut text = format!(
        "Restored {} from {}, which is sound.\n",
        database.display(),
        args.backup.display()
    );
    if let Some(Replaced { kept, damage }) = replaced {
        text.push_str(&format!("What was there is kept: {}\n", kept.display()));
        if let Some(damage) = damage {
            text.push_str(&format!(
                "It is kept as it was, since it is damaged: {damage}\n"
            ));
        }
    }
    // Nobody reads it: it is restored all the same.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// What became of the database that was there.
struct Replaced {
    kept: PathBuf,
    /// Why its log could not be merged into it.
    damage: Option<String>,
}

fn replace(database: &Path, backup: &Path) -> Result<Option<Replaced>, String> {
    let failed =
        |what: &str, path: &Path, e: &dyn fmt::Display| format!("{what} {}: {e}", path.display());
    let directory = database.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(|e| failed("cannot make", directory, &e))?;
    let in_use = |by: &str| format!("{} is in use by {by}; stop it first", database.display());
    let _lock = Lock::exclusive(database).map_err(|e| match e {
        LockError::Held => in_use("a running host"),
        LockError::Failed(e) => e,
    })?;
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(database, backup) {
        return Err(format!("{} is the database itself", backup.display()));
    }

    let partial = Partial::new(beside(database, ".restoring"));
    let never = Arc::new(AtomicBool::new(false));
    copy::copy(backup, Source::File, &partial.0, Check::Thorough, &never)
        .map_err(|e| failed("cannot restore", backup, &e))?;
    let replaced = match fs::metadata(database) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed("cannot read", database, &e)),
        Ok(metadata) => {
            take_over(&metadata, &partial.0).map_err(|e| failed("cannot write", &partial.0, &e))?;
            let damage = merge_log(database).map_err(|Busy| in_use("another program"))?;
            let kept = free_name(database);
            keep(database, &kept).map_err(|e| failed("cannot make", &kept, &e))?;
            Some(Replaced { kept, damage })
        }
    };
    fs::rename(&partial.0, database)
        .and_then(|()| copy::sync_directory(directory))
        .map_err(|e| failed("cannot replace", database, &e))?;
    Ok(replaced)
}

/// Gives `path` the owner and the permissions of the file whose place it takes.
fn take_over(of: &fs::Metadata, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let own = fs::metadata(path)?;
        if (own.uid(), own.gid()) != (of.uid(), of.gid()) {
            chown(path, Some(of.uid()), Some(of.gid()))?;
        }
    }
    fs::set_permissions(path, of.permissions())
}

/// Somebody else has the database open.
struct Busy;

/// Brings everything into the file itself; or why that is not possible.
fn merge_log(database: &Path) -> Result<Option<String>, Busy> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let merged = Connection::open_with_flags(database, flags).and_then(|connection| {
        // Else, closing it deletes a log that it could not read.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        copy::settle(&connection)
    });
    match merged {
        Ok(()) => Ok(None),
        Err(e) if copy::is_busy(&e) => Err(Busy),
        Err(e) => Ok(Some(e.to_string())),
    }
}

/// A name for the database that is replaced, which nothing has yet.
fn free_name(database: &Path) -> PathBuf {
    let name = beside(database, &format!(".before-restore-{}", Stamp::now()));
    let mut free = name.clone();
    // Another one in the same second; nobody else has the lock.
    for number in 2.. {
        if !free.exists() {
            break;
        }
        free = beside(&name, &format!("-{number}"));
    }
    free
}

/// Gives `database` a second name, so that there is a database at any time; and
/// what belongs to it and must not be taken for that of the next, another one.
fn keep(database: &Path, kept: &Path) -> io::Result<()> {
    for suffix in COMPANIONS {
        match fs::rename(beside(database, suffix), beside(kept, suffix)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            moved => moved?,
        }
    }
    match fs::hard_link(database, kept) {
        // The file system may have no second names.
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => fs::rename(database, kept),
        linked => linked,
    }
}

/// A file that is removed unless it was renamed.
struct Partial(PathBuf);

impl Partial {
    /// Also removes what an earlier process left; nobody else has the lock.
    fn new(path: PathBuf) -> Self {
        backup::remove(&path);
        Self(path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        backup::remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(path: &Path, value: i64) {
        let connection = Connection::open(path).unwrap();
        connection
            .pragma_update(None, "journal_mode", "wal")
            .unwrap();
        connection
            .execute_batch(&format!("CREATE TABLE t AS SELECT {value} AS v"))
            .unwrap();
    }

    fn value(path: &Path) -> i64 {
        let connection = Connection::open(path).unwrap();
        connection
            .query_row("SELECT v FROM t", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn the_old_file_is_kept_with_what_was_in_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let (database, backup) = (directory.path().join("a.db"), directory.path().join("b.db"));
        made(&backup, 1);
        assert!(replace(&database, &backup).unwrap().is_none());
        assert_eq!(value(&database), 1);

        // As after a crash: the change is in the log only.
        let live = Connection::open(&database).unwrap();
        live.pragma_update(None, "journal_mode", "wal").unwrap();
        live.execute_batch("UPDATE t SET v = 2").unwrap();
        assert!(
            replace(&database, &backup).is_err_and(|e| e.contains("in use by another program"))
        );
        assert_eq!(value(&database), 2);
        let crashed = directory.path().join("crashed.db");
        for suffix in ["", "-wal"] {
            fs::copy(beside(&database, suffix), beside(&crashed, suffix)).unwrap();
        }
        let replaced = replace(&crashed, &backup).unwrap().unwrap();
        assert!(replaced.damage.is_none());
        assert_eq!((value(&crashed), value(&replaced.kept)), (1, 2));
        assert!(!beside(&crashed, "-wal").exists());
    }

    #[test]
    fn a_damaged_database_is_kept_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (database, backup) = (directory.path().join("a.db"), directory.path().join("b.db"));
        made(&backup, 1);
        let damaged = "no database".repeat(1000);
        fs::write(&database, &damaged).unwrap();
        fs::write(beside(&database, "-wal"), "its log").unwrap();
        let replaced = replace(&database, &backup).unwrap().unwrap();
        assert!(replaced.damage.is_some());
        assert_eq!(fs::read(&replaced.kept).unwrap(), damaged.as_bytes());
        assert_eq!(
            fs::read(beside(&replaced.kept, "-wal")).unwrap(),
            b"its log"
        );
        assert_eq!(value(&database), 1);
    }

    #[test]
    fn what_is_not_sound_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (database, backup) = (directory.path().join("a.db"), directory.path().join("b.db"));
        made(&database, 1);
        fs::write(&backup, "no database, but longer than a header would be").unwrap();
        assert!(replace(&database, &backup).is_err());
        assert!(replace(&database, &directory.path().join("missing")).is_err());
        assert!(replace(&database, &database).is_err_and(|e| e.contains("itself")));
        assert_eq!(value(&database), 1);
        assert!(!beside(&database, ".restoring").exists());
    }
}
