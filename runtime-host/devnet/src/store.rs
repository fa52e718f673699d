//! The journal on disk: every line is the list of changes that one call made.
//!
//! A line is written before its call is answered, in one write. Killing the process can therefore
//! cut the last line short, never a call in half; a cut line belongs to a call that nobody got an
//! answer to, and is dropped. The file is synced when the devnet stops, not on every call: a power
//! cut may cost the last seconds, as it may with Core.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::event::Event;

/// The name of the journal in its folder.
const FILE: &str = "journal.jsonl";

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another devnet has it.
    #[error("{0} is in use by another devnet")]
    Busy(PathBuf),
    /// A line that is none.
    #[error("{path}, line {line}: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
}

impl Store {
    /// Opens or makes the journal in `folder` and returns the changes of each line.
    ///
    /// # Errors
    /// [`StoreError`]; a last line that was cut short is none.
    pub fn open(folder: &Path) -> Result<(Store, Vec<Vec<Event>>), StoreError> {
        let path = folder.join(FILE);
        let failed = |source| StoreError::File {
            path: path.clone(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        let mut file = opened.map_err(failed)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
            .map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Busy(path.clone()),
            TryLockError::Error(source) => failed(source),
        })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        if whole < text.len() {
            tracing::warn!(path = %path.display(), "dropping a change that was cut short");
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))
                .map_err(failed)?;
            file.seek(SeekFrom::End(0)).map_err(failed)?;
            text.truncate(whole);
        }
        let mut lines = Vec::new();
        for (index, line) in text
            .split(|byte| *byte == b'\n')
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
        {
            lines.push(
                serde_json::from_slice(line).map_err(|error| StoreError::Damaged {
                    path: path.clone(),
                    line: index + 1,
                    reason: error.to_string(),
                })?,
            );
        }
        Ok((Store { path, file }, lines))
    }

    /// Writes the changes of one call.
    ///
    /// # Errors
    /// [`StoreError::File`] if the disk does not take them.
    pub fn append(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let failed = |source| StoreError::File {
            path: self.path.clone(),
            source,
        };
        let mut line = serde_json::to_vec(events).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)
    }

    /// Makes the disk keep what was written.
    ///
    /// # Errors
    /// [`StoreError::File`] if it does not.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|source| StoreError::File {
            path: self.path.clone(),
            source,
        })
    }
}

/// Ends the lock by name: closing the file does not, as long as a child process
/// that has yet to begin its program holds a copy of it.
impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(path = %self.path.display(), "cannot unlock the journal: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_in_a_process_about_to_begin_does_not_keep_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let copy = store.file.try_clone().unwrap();
        assert!(matches!(
            Store::open(folder.path()),
            Err(StoreError::Busy(_))
        ));
        drop(store);
        Store::open(folder.path()).unwrap();
        drop(copy);
    }
}
