//! Files beside a database, named after it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The write-ahead log.
pub const LOG: &str = "-wal";
/// What SQLite keeps beside a database.
pub const COMPANIONS: [&str; 3] = [LOG, "-shm", "-journal"];

/// The file beside `database` whose name is its own and `suffix`.
pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(suffix);
    path.into()
}
