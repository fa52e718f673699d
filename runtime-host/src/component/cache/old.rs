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

/// Removes compiled components from `directory` that are not among the `used` and
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
        let own = age(&metadata);
        match kind {
            Kind::Component if !used.contains(&path) => {
                let marked = std::fs::metadata(marker(&path));
                unused.push(Unused {
                    bytes: metadata.len(),
                    age: marked.map_or(own, |marked| own.min(age(&marked))),
                    path,
                });
            }
            Kind::LeftOver if own > DAY => delete(&path),
            Kind::Marker if own > KEPT => delete(&path),
            Kind::Component | Kind::LeftOver | Kind::Marker => {}
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

/// Notes that a start uses the compiled component at `path`: by the time of a file
/// beside it, for that of its own would have to be looked at anew.
pub(super) fn mark(path: &Path) {
    let marked =
        std::fs::File::create(marker(path)).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(e) = marked {
        tracing::debug!("cannot mark {}: {e}", path.display());
    }
}

fn marker(path: &Path) -> PathBuf {
    path.with_extension("used")
}

/// Since it was written; nothing if it is yet to come.
fn age(metadata: &std::fs::Metadata) -> Duration {
    let written = metadata.modified().unwrap_or_else(|_| SystemTime::now());
    SystemTime::now()
        .duration_since(written)
        .unwrap_or_default()
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
    /// Beside a component: when it was used.
    Marker,
    /// Of a write that did not end.
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
        if name.strip_suffix(".used").is_some_and(is_key) {
            return Some(Self::Marker);
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
        let marker = file(directory, &format!("{key}.used"), 0, KEPT + DAY);
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
        for gone in [old, left_over, half_written, marker] {
            assert!(!gone.exists(), "{}", gone.display());
        }
        for left in [&used, &recent, &writing].into_iter().chain(&of_others) {
            assert!(left.exists(), "{}", left.display());
        }
    }

    #[test]
    fn a_use_counts_from_then_on_and_does_not_change_the_file() {
        let home = tempfile::tempdir().unwrap();
        let used = component(home.path(), 'a', 1, KEPT * 2);
        let written = std::fs::metadata(&used).unwrap().modified().unwrap();
        mark(&used);
        remove(home.path(), &BTreeSet::new());
        let then = std::fs::metadata(&used).unwrap().modified().unwrap();
        assert_eq!(written, then);
        // Long after it was marked last.
        let marker = std::fs::File::create(marker(&used)).unwrap();
        marker.set_modified(SystemTime::now() - KEPT - DAY).unwrap();
        remove(home.path(), &BTreeSet::new());
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
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
