//! What earlier starts have found out about files, for as long as these stay as
//! they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A change that is less long ago might be followed by another one that the
/// clock of a file system does not tell from it.
const SETTLED: Duration = Duration::from_secs(2);

/// What is different once a file is changed or replaced: no program can set the
/// time of the last change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Since 1970.
    changed: Duration,
}

/// File systems of Linux that keep the time of a file's last change themselves, by
/// their magic numbers (linux/magic.h, and OpenZFS). Elsewhere an image or a server
/// may give another file the same one.
#[cfg(target_os = "linux")]
const TRUSTED: [u64; 6] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0x0102_1994, // tmpfs
];

impl Stamp {
    /// None where it would not tell enough.
    #[cfg(target_os = "linux")]
    fn of(file: &File) -> Option<Self> {
        use std::os::linux::fs::MetadataExt as _;
        let kind = rustix::fs::fstatfs(file).ok()?.f_type;
        if !TRUSTED.contains(&u64::try_from(kind).ok()?) {
            return None;
        }
        let metadata = file.metadata().ok()?;
        let seconds = u64::try_from(metadata.st_ctime()).ok()?;
        let nanoseconds = u32::try_from(metadata.st_ctime_nsec()).ok()?;
        Some(Self {
            device: metadata.st_dev(),
            inode: metadata.st_ino(),
            bytes: metadata.st_size(),
            changed: Duration::new(seconds, nanoseconds),
        })
    }

    #[cfg(not(target_os = "linux"))]
    fn of(_: &File) -> Option<Self> {
        None
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        now.duration_since(SystemTime::UNIX_EPOCH + self.changed)
            .is_ok_and(|age| age >= SETTLED)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    fact: String,
}

/// Facts about files, one of each. Nothing is lost with them but the time to
/// find them out.
#[derive(Debug)]
pub(super) struct Known {
    entries: Mutex<BTreeMap<PathBuf, Entry>>,
    is_new: AtomicBool,
}

impl Known {
    /// Those that [`Self::news`] gave, or none.
    pub fn new(news: &[u8]) -> Self {
        Self {
            entries: Mutex::new(serde_json::from_slice(news).unwrap_or_default()),
            is_new: AtomicBool::new(false),
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fact about `file`, which was opened at `path`, if it is known and is
    /// `wanted`; otherwise what `find_out` tells of it.
    ///
    /// # Errors
    ///
    /// `path` cannot be made absolute, or that of `find_out`.
    pub fn fact<E: From<io::Error>>(
        &self,
        path: &Path,
        file: &File,
        wanted: impl FnOnce(&str) -> bool,
        find_out: impl FnOnce() -> Result<String, E>,
    ) -> Result<String, E> {
        let path = std::path::absolute(path)?;
        let stamp = Stamp::of(file);
        if let Some(entry) = self.entries().get(&path)
            && Some(&entry.stamp) == stamp.as_ref()
            && wanted(&entry.fact)
        {
            return Ok(entry.fact.clone());
        }
        let now = SystemTime::now();
        let fact = find_out()?;
        if let Some(stamp) = stamp.filter(|stamp| stamp.is_settled(now))
            && Stamp::of(file).as_ref() == Some(&stamp)
        {
            let fact = fact.clone();
            self.entries().insert(path, Entry { stamp, fact });
            self.is_new.store(true, Ordering::Relaxed);
        }
        Ok(fact)
    }

    /// What is kept for the next start, if there is more than before: that of
    /// files which still are as they were.
    pub fn news(&self) -> Option<Vec<u8>> {
        if !self.is_new.swap(false, Ordering::Relaxed) {
            return None;
        }
        let mut entries = self.entries();
        entries.retain(|path, entry| {
            let stamp = File::open(path).ok().as_ref().and_then(Stamp::of);
            stamp.as_ref() == Some(&entry.stamp)
        });
        serde_json::to_vec(&*entries).ok()
    }
}

#[cfg(target_os = "linux")]
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
        fn fact(&self, wanted: impl FnOnce(&str) -> bool) -> String {
            let read = || {
                self.count.set(self.count.get() + 1);
                std::fs::read_to_string(self.path)
            };
            let file = File::open(self.path).unwrap();
            self.known.fact(self.path, &file, wanted, read).unwrap()
        }

        fn any(&self) -> String {
            self.fact(|_| true)
        }
    }

    /// On a file system that is trusted wherever the tests run.
    fn home() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn stamp(path: &Path) -> Stamp {
        Stamp::of(&File::open(path).unwrap()).unwrap()
    }

    fn wait_until_settled(path: &Path) {
        while !stamp(path).is_settled(SystemTime::now()) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn a_change_just_now_is_not_relied_on() {
        let home = home();
        let path = home.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let stamp = stamp(&path);
        let changed = SystemTime::UNIX_EPOCH + stamp.changed;
        assert!(!stamp.is_settled(changed));
        assert!(!stamp.is_settled(changed + SETTLED - Duration::from_nanos(1)));
        assert!(stamp.is_settled(changed + SETTLED));
        // A clock that was set back.
        assert!(!stamp.is_settled(changed - SETTLED));
    }

    #[test]
    fn what_says_nothing_of_changes_is_never_known() {
        let path = Path::new("/proc/self/stat");
        assert_eq!(Stamp::of(&File::open(path).unwrap()), None);
    }

    #[test]
    fn a_file_is_read_again_only_after_it_has_changed() {
        let home = home();
        let path = home.path().join("a");
        std::fs::write(&path, "one").unwrap();
        let known = Known::new(b"");
        let reads = Reads {
            known: &known,
            path: &path,
            count: Cell::new(0),
        };
        wait_until_settled(&path);
        assert_eq!((reads.any(), reads.any()), ("one".into(), "one".into()));
        assert_eq!(reads.count.get(), 1);
        assert_eq!(reads.fact(|fact| fact != "one"), "one");
        assert_eq!(reads.count.get(), 2, "it is not what is wanted");

        // As long, and as if it had been changed at the same time.
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "two").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(reads.any(), "two");
        wait_until_settled(&path);
        assert_eq!(reads.any(), "two");

        let next = Known::new(&known.news().unwrap());
        assert_eq!(known.news(), None, "nothing is new since");
        let read = || Err(io::Error::other("it is read"));
        let file = File::open(&path).unwrap();
        assert_eq!(next.fact(&path, &file, |_| true, read).unwrap(), "two");
        assert!(Known::new(b"no JSON").entries().is_empty());
    }

    #[test]
    fn what_is_kept_is_that_of_files_which_are_still_there() {
        let home = home();
        let paths = ["a", "b"].map(|name| home.path().join(name));
        for path in &paths {
            std::fs::write(path, "text").unwrap();
        }
        let known = Known::new(b"");
        for path in &paths {
            wait_until_settled(path);
            let read = || Ok::<_, io::Error>("fact".into());
            let file = File::open(path).unwrap();
            known.fact(path, &file, |_| true, read).unwrap();
        }
        std::fs::remove_file(&paths[0]).unwrap();
        let kept = Known::new(&known.news().unwrap());
        assert_eq!(kept.entries().keys().collect::<Vec<_>>(), [&paths[1]]);
    }
}
