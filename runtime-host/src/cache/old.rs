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

/// Removes files from `directory` that are not among the `used` and are too old
/// or too many, and what a write that did not end has left. Failures are only
/// logged: another process may be doing the same.
pub(super) fn remove(directory: &Path, used: &BTreeSet<PathBuf>) {
    let now = SystemTime::now();
    for path in used {
        mark(path, now);
    }
    let Ok(files) = std::fs::read_dir(directory) else {
        return;
    };
    let mut unused: Vec<Unused> = files
        .flatten()
        .filter_map(|file| {
            let path = file.path();
            let age_kept = match path.extension()?.to_str()? {
                "cwasm" => Duration::ZERO,
                "tmp" => DAY,
                _ => return None,
            };
            let metadata = file.metadata().ok()?;
            let age = now.duration_since(metadata.modified().ok()?).ok()?;
            let is_unused = !used.contains(&path) && age >= age_kept;
            is_unused.then_some(Unused {
                bytes: metadata.len(),
                age,
                path,
            })
        })
        .collect();
    unused.sort_by_key(|file| file.age);
    let mut bytes = 0;
    for file in unused {
        bytes += file.bytes;
        let is_left_over = file.path.extension().is_some_and(|e| e == "tmp");
        if is_left_over || file.age > KEPT || bytes > KEPT_BYTES {
            match std::fs::remove_file(&file.path) {
                Ok(()) => tracing::debug!("removed {}", file.path.display()),
                Err(e) => tracing::debug!("cannot remove {}: {e}", file.path.display()),
            }
        }
    }
}

/// Notes that `path` was used, once a day: its time of modification says so.
fn mark(path: &Path, now: SystemTime) {
    let is_marked = std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age < DAY));
    if !is_marked {
        let marked = std::fs::File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.set_modified(now));
        if let Err(e) = marked {
            tracing::debug!("cannot mark {}: {e}", path.display());
        }
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

    fn left(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_no_start_needs_is_removed_once_it_is_old() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path();
        let used = file(directory, "used.cwasm", 1, KEPT * 2);
        file(directory, "recent.cwasm", 1, KEPT - DAY);
        file(directory, "old.cwasm", 1, KEPT + DAY);
        file(directory, "half.1.tmp", 1, DAY * 2);
        file(directory, "being-written.2.tmp", 1, Duration::ZERO);
        file(directory, "of-somebody-else", 1, KEPT * 2);
        remove(directory, &BTreeSet::from([used.clone()]));
        assert_eq!(
            left(directory),
            [
                "being-written.2.tmp",
                "of-somebody-else",
                "recent.cwasm",
                "used.cwasm"
            ]
        );
        // It was used now, so it is kept from now on.
        remove(directory, &BTreeSet::new());
        assert!(used.exists());
    }

    #[test]
    fn of_many_files_those_are_removed_that_were_used_longest_ago() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path();
        let half = KEPT_BYTES / 2;
        file(directory, "a.cwasm", half, DAY * 3);
        file(directory, "b.cwasm", half, DAY * 2);
        file(directory, "c.cwasm", half, DAY);
        let used = file(directory, "d.cwasm", half, Duration::ZERO);
        remove(directory, &BTreeSet::from([used]));
        assert_eq!(left(directory), ["b.cwasm", "c.cwasm", "d.cwasm"]);
    }
}
