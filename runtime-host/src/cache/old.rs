//! What no start has needed for long is removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a file is kept that no start needs.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many bytes of such files are kept.
const KEPT_BYTES: u64 = 1 << 30;

/// A file of the cache that this start has not used.
struct Unused {
    path: PathBuf,
    bytes: u64,
    /// Since a start used it last.
    age: Duration,
}

/// Removes files of the cache from `directory` that are not among the `used` and
/// are too old or too many, and what a write that did not end has left. Failures
/// are only logged: another process may be doing the same.
pub(super) fn remove(directory: &Path, used: &BTreeSet<PathBuf>) {
    let Ok(files) = std::fs::read_dir(directory) else {
        return;
    };
    let mut unused = Vec::new();
    for file in files.flatten() {
        let path = file.path();
        let kind = file.file_name().to_str().and_then(Kind::of);
        let (Some(kind), Ok(metadata)) = (kind, file.metadata()) else {
            continue;
        };
        let age = age(&metadata).unwrap_or_default();
        match kind {
            Kind::LeftOver if age > DAY => delete(&path),
            Kind::Component if !used.contains(&path) => unused.push(Unused {
                bytes: metadata.len(),
                age,
                path,
            }),
            Kind::LeftOver | Kind::Component => {}
        }
    }
    unused.sort_by_key(|file| file.age);
    let mut bytes = 0;
    for file in unused {
        bytes += file.bytes;
        if file.age > KEPT || bytes > KEPT_BYTES {
            delete(&file.path);
        }
    }
}

/// Notes that a start uses the file at `path`, if the last note is old: it is the
/// time of modification, and to set it makes the file one to be looked at anew.
pub(super) fn mark(path: &Path) {
    let marked_for = std::fs::metadata(path).ok().as_ref().and_then(age);
    if marked_for.is_some_and(|age| age > KEPT / 2) {
        let marked = std::fs::File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(e) = marked {
            tracing::debug!("cannot mark {}: {e}", path.display());
        }
    }
}

/// Since it was written or marked.
fn age(metadata: &std::fs::Metadata) -> Option<Duration> {
    SystemTime::now()
        .duration_since(metadata.modified().ok()?)
        .ok()
}

fn delete(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => tracing::debug!("removed {}", path.display()),
        Err(e) => tracing::debug!("cannot remove {}: {e}", path.display()),
    }
}

/// What a file of the cache is, by its name. Others are not the cache's.
enum Kind {
    Component,
    LeftOver,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        let is_hex = |text: &str, digits| {
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_key = |text| is_hex(text, 64);
        if name.strip_suffix(".cwasm").is_some_and(is_key) {
            return Some(Self::Component);
        }
        let (file, random) = name.strip_suffix(".tmp")?.split_once('.')?;
        let is_ours = (file == "known" || is_key(file)) && is_hex(random, 16);
        is_ours.then_some(Self::LeftOver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &Path, name: &str, bytes: u64, age: Duration) -> PathBuf {
        let path = directory.join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(bytes).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        path
    }

    fn component(directory: &Path, digit: char, bytes: u64, age: Duration) -> PathBuf {
        let name = format!("{}.cwasm", digit.to_string().repeat(64));
        file(directory, &name, bytes, age)
    }

    #[test]
    fn what_no_start_needs_is_removed_once_it_is_old() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path();
        let used = component(directory, 'a', 1, KEPT * 2);
        let recent = component(directory, 'b', 1, KEPT - DAY);
        let old = component(directory, 'c', 1, KEPT + DAY);
        let left_over = file(directory, "known.0123456789abcdef.tmp", 1, DAY * 2);
        let key = "d".repeat(64);
        let half = format!("{key}.0123456789abcdef.tmp");
        let half_written = file(directory, &half, 1, DAY * 2);
        let writing = file(directory, "known.fedcba9876543210.tmp", 1, Duration::ZERO);
        let of_others = [
            "mine.cwasm",
            "notes.tmp",
            "known.json",
            "known.1.tmp",
            &format!("{key}.wasm"),
            &format!("x{key}.cwasm"),
        ]
        .map(|name| file(directory, name, 1, KEPT * 2));
        remove(directory, &BTreeSet::from([used.clone()]));
        for gone in [old, left_over, half_written] {
            assert!(!gone.exists(), "{}", gone.display());
        }
        for left in [&used, &recent, &writing].into_iter().chain(&of_others) {
            assert!(left.exists(), "{}", left.display());
        }
    }

    #[test]
    fn a_use_counts_from_then_on() {
        let home = tempfile::tempdir().unwrap();
        let used = component(home.path(), 'a', 1, KEPT * 2);
        mark(&used);
        remove(home.path(), &BTreeSet::new());
        assert!(used.exists());
        // It is not noted at each start: what is known of the file would be lost.
        let noted = std::fs::metadata(&used).unwrap().modified().unwrap();
        mark(&used);
        let then = std::fs::metadata(&used).unwrap().modified().unwrap();
        assert_eq!(noted, then);
        mark(&home.path().join("missing"));
    }

    #[test]
    fn of_many_files_those_are_removed_that_were_used_longest_ago() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path();
        let half = KEPT_BYTES / 2;
        let [oldest, older, newer, used] = [('a', 3), ('b', 2), ('c', 1), ('d', 0)]
            .map(|(digit, days)| component(directory, digit, half, DAY * days));
        remove(directory, &BTreeSet::from([used.clone()]));
        assert!(!oldest.exists());
        assert!(older.exists() && newer.exists() && used.exists());
    }
}
