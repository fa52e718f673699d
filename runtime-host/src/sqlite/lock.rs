//! Who may replace a database: nobody while a host runs on it.
//!
//! The lock is the system's, on a file beside the database, so that it ends
//! with the process that holds it, however that ends. The file stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::beside::beside;

/// Held while a database is used or replaced.
#[derive(Debug)]
pub struct Lock(File);

/// Ends it by name: closing the file does not, as long as a child process that
/// has yet to begin its program holds a copy of it.
impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(e) = self.0.unlock() {
            tracing::warn!("cannot unlock: {e}");
        }
    }
}

/// Why there is no [`Lock`].
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("it is in use")]
    Held,
    /// The file cannot be made, or its file system knows no locks.
    #[error("{0}")]
    Failed(String),
}

impl Lock {
    /// For using `database`: others may, too.
    ///
    /// # Errors
    ///
    /// It is being replaced, or see [`LockError::Failed`].
    pub fn shared(database: &Path) -> Result<Self, LockError> {
        take(&path(database), File::try_lock_shared)
    }

    /// For replacing `database`: nobody else uses it.
    ///
    /// # Errors
    ///
    /// It is in use, or see [`LockError::Failed`].
    pub fn exclusive(database: &Path) -> Result<Self, LockError> {
        take(&path(database), File::try_lock)
    }

    /// For writing to the directory of backups: one at a time, others wait.
    ///
    /// # Errors
    ///
    /// See [`LockError::Failed`].
    pub fn directory(directory: &Path) -> Result<Self, LockError> {
        take(&directory.join(".lock"), |file| {
            file.lock().map_err(TryLockError::Error)
        })
    }
}

fn take(
    path: &Path,
    lock: impl FnOnce(&File) -> Result<(), TryLockError>,
) -> Result<Lock, LockError> {
    let failed = |e| LockError::Failed(format!("cannot lock {}: {e}", path.display()));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .or_else(|e| match e.kind() {
            // Another user's: to lock it, reading is enough.
            std::io::ErrorKind::PermissionDenied => File::open(path),
            _ => Err(e),
        })
        .map_err(failed)?;
    match lock(&file) {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(LockError::Held),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}

/// `<database>.lock`
fn path(database: &Path) -> PathBuf {
    beside(database, ".lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_share_and_exclude_a_replacement() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("x.db");
        let first = Lock::shared(&database).unwrap();
        let second = Lock::shared(&database).unwrap();
        assert!(matches!(Lock::exclusive(&database), Err(LockError::Held)));
        drop((first, second));
        let replacing = Lock::exclusive(&database).unwrap();
        assert!(matches!(Lock::shared(&database), Err(LockError::Held)));
        drop(replacing);
        Lock::shared(&database).unwrap();
    }

    #[test]
    fn a_copy_in_a_process_about_to_begin_does_not_prolong_it() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("x.db");
        let first = Lock::exclusive(&database).unwrap();
        let copy = first.0.try_clone().unwrap();
        drop(first);
        Lock::exclusive(&database).unwrap();
        drop(copy);
    }
}
