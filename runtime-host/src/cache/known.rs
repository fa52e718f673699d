//! Digests of files that earlier starts have read, for as long as the files stay
//! as they are.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A change that is less long ago might be followed by another one that the
/// clock of a file system does not tell from it.
const SETTLED: Duration = Duration::from_secs(2);

/// What is different once a file is changed or replaced. The time of its last
/// change is none that a program can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Since 1970.
    changed: Duration,
}

impl Stamp {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let seconds = u64::try_from(metadata.ctime()).ok()?;
        let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            changed: Duration::new(seconds, nanoseconds),
        })
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }

    fn is_settled(&self) -> bool {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH + self.changed)
            .is_ok_and(|age| age >= SETTLED)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    digest: String,
}

/// The digests that are known. Nothing is lost with them but the time to read
/// the files.
#[derive(Debug)]
pub(super) struct Known {
    file: PathBuf,
    entries: Mutex<BTreeMap<PathBuf, Entry>>,
    is_new: AtomicBool,
}

impl Known {
    /// Those that `file` has.
    pub fn load(file: PathBuf) -> Self {
        let entries = std::fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self {
            file,
            entries: Mutex::new(entries),
            is_new: AtomicBool::new(false),
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest of the file at `path`, which `read` finds out if it is not known.
    ///
    /// # Errors
    ///
    /// There is no such file, or that of `read`.
    pub fn digest(
        &self,
        path: &Path,
        read: impl FnOnce() -> io::Result<String>,
    ) -> io::Result<String> {
        let path = std::path::absolute(path)?;
        let stamp = Stamp::of(&std::fs::metadata(&path)?);
        if let Some(entry) = self.entries().get(&path)
            && Some(&entry.stamp) == stamp.as_ref()
        {
            return Ok(entry.digest.clone());
        }
        let digest = read()?;
        if let Some(stamp) = stamp.filter(Stamp::is_settled)
            && Stamp::of(&std::fs::metadata(&path)?).as_ref() == Some(&stamp)
        {
            let digest = digest.clone();
            self.entries().insert(path, Entry { stamp, digest });
            self.is_new.store(true, Ordering::Relaxed);
        }
        Ok(digest)
    }

    /// What is kept for the next start, if it is more than the file has: that of
    /// files which still are as they were.
    pub fn news(&self) -> Option<Vec<u8>> {
        if !self.is_new.swap(false, Ordering::Relaxed) {
            return None;
        }
        let mut entries = self.entries();
        entries.retain(|path, entry| {
            let stamp = std::fs::metadata(path).ok().as_ref().and_then(Stamp::of);
            stamp.as_ref() == Some(&entry.stamp)
        });
        serde_json::to_vec(&*entries).ok()
    }

    /// Where it is kept.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Reads<'a> {
        known: &'a Known,
        path: &'a Path,
        count: Cell<u32>,
    }

    impl Reads<'_> {
        fn digest(&self) -> String {
            let read = || {
                self.count.set(self.count.get() + 1);
                std::fs::read_to_string(self.path)
            };
            self.known.digest(self.path, read).unwrap()
        }
    }

    fn wait_until_settled(path: &Path) {
        let changed = |path| Stamp::of(&std::fs::metadata(path).unwrap()).unwrap();
        while !changed(path).is_settled() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn a_file_is_read_again_only_after_it_has_changed() {
        let home = tempfile::tempdir().unwrap();
        let (path, index) = (home.path().join("a"), home.path().join("known"));
        std::fs::write(&path, "one").unwrap();
        let known = Known::load(index.clone());
        let reads = Reads {
            known: &known,
            path: &path,
            count: Cell::new(0),
        };
        assert_eq!(
            (reads.digest(), reads.digest()),
            ("one".into(), "one".into())
        );
        assert_eq!(reads.count.get(), 2, "a change just now is not relied on");
        wait_until_settled(&path);
        assert_eq!(
            (reads.digest(), reads.digest()),
            ("one".into(), "one".into())
        );
        assert_eq!(reads.count.get(), 3);

        // As long, and as if it had been changed at the same time.
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "two").unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(reads.digest(), "two");
        wait_until_settled(&path);
        assert_eq!(reads.digest(), "two");

        std::fs::write(&index, known.news().unwrap()).unwrap();
        assert_eq!(known.news(), None);
        let next = Known::load(index.clone());
        let read = || Err(io::Error::other("it is read"));
        assert_eq!(next.digest(&path, read).unwrap(), "two");
        std::fs::remove_file(&path).unwrap();
        assert!(next.digest(&path, || Ok("gone".into())).is_err());

        std::fs::write(&index, "no JSON").unwrap();
        assert!(Known::load(index).entries().is_empty());
    }

    #[test]
    fn what_is_kept_is_that_of_files_which_are_still_there() {
        let home = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| home.path().join(name));
        for path in &paths {
            std::fs::write(path, "text").unwrap();
        }
        let known = Known::load(home.path().join("known"));
        for path in &paths {
            wait_until_settled(path);
            known.digest(path, || Ok("digest".into())).unwrap();
        }
        std::fs::remove_file(&paths[0]).unwrap();
        let kept: BTreeMap<PathBuf, Entry> =
            serde_json::from_slice(&known.news().unwrap()).unwrap();
        assert_eq!(kept.keys().collect::<Vec<_>>(), [&paths[1]]);
    }
}
