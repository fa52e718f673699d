//! A file that is appended to, and begun anew when it is large.
//!
//! `name` becomes `name.1`, that `name.2` and so on; the last is deleted. The
//! libraries for this bring a calendar and compression along, and do not look
//! whether another process has rotated the file meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// How large files become, and how many old ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// In bytes; a file is longer only by the line that is longer by itself.
    pub bytes: u64,
    /// Old files beside the one that is written.
    pub keep: u32,
}

impl Rotation {
    /// For what is no file.
    pub const NEVER: Self = Self {
        bytes: u64::MAX,
        keep: 0,
    };
}

/// Such a file.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    size: u64,
    rotation: Rotation,
}

impl RotatingFile {
    /// Appends to `path`, which is made, with the directories above it, if it is
    /// not there: for the owner to write and the group to read.
    ///
    /// # Errors
    ///
    /// It cannot be.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            directory(parent)?;
        }
        let file = append(path)?;
        Ok(Self {
            path: path.to_owned(),
            size: file.metadata()?.len(),
            file,
            rotation,
        })
    }

    /// Writes `bytes`, whole lines, to this file or to the next.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.size > 0 && self.size.saturating_add(length) > self.rotation.bytes {
            self.rotate()?;
        }
        self.file.write_all(bytes)?;
        self.size = self.size.saturating_add(length);
        Ok(())
    }

    /// Goes on in the file that `path` names now: another program may have moved
    /// the old one away.
    ///
    /// # Errors
    ///
    /// It cannot be opened; then the old one is gone on with.
    pub fn reopen(&mut self) -> io::Result<()> {
        let file = append(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = file;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Another process with the same file, while one takes the other's place,
        // may have done so, or written to it.
        if !same(&self.file, &self.path) {
            self.reopen()?;
        }
        self.size = self.file.metadata()?.len();
        if self.size == 0 {
            return Ok(());
        }
        if self.rotation.keep == 0 {
            self.file.set_len(0)?;
        } else {
            for number in (1..self.rotation.keep).rev() {
                rename(&self.numbered(number), &self.numbered(number + 1))?;
            }
            rename(&self.path, &self.numbered(1))?;
        }
        self.reopen()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Makes `path` and what is above it, unless it is there; not for strangers.
fn directory(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    builder.create(path)
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

#[cfg(unix)]
fn same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn same(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn what_is_kept_is_bounded_and_lines_stay_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/a.log");
        let rotation = Rotation { bytes: 10, keep: 2 };
        let mut file = RotatingFile::open(&path, rotation).unwrap();
        for line in [
            "one\n",
            "two\n",
            "three\n",
            "a line too long for any\n",
            "four\n",
            "five\n",
        ] {
            file.write(line.as_bytes()).unwrap();
        }
        let old = |n: u32| read(&file.numbered(n));
        assert_eq!(read(&path), "four\nfive\n");
        assert_eq!(old(1), "a line too long for any\n");
        assert_eq!(old(2), "three\n");
        assert_eq!(old(3), "");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o137, 0, "{mode:o}");
        }
    }

    #[test]
    fn two_that_write_one_file_rotate_it_once_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let rotation = Rotation { bytes: 8, keep: 3 };
        let mut one = RotatingFile::open(&path, rotation).unwrap();
        let mut two = RotatingFile::open(&path, rotation).unwrap();
        one.write(b"111\n").unwrap();
        two.write(b"222\n").unwrap();
        one.write(b"333\n").unwrap();
        // It rotates once more, for it is its own third line; nothing is lost.
        one.write(b"444\n").unwrap();
        two.write(b"555\n").unwrap();
        let all: String = (1..=3).rev().map(|n| read(&one.numbered(n))).collect();
        let all = all + read(&path).as_str();
        for line in ["111", "222", "333", "444", "555"] {
            assert_eq!(all.matches(line).count(), 1, "{line} in {all}");
        }
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let none_kept = Rotation { bytes: 8, keep: 0 };
        let mut file = RotatingFile::open(&path, none_kept).unwrap();
        file.write(b"1\n").unwrap();
        let moved = directory.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        file.reopen().unwrap();
        file.write(b"2\n").unwrap();
        assert_eq!((read(&moved), read(&path)), ("1\n".into(), "2\n".into()));
        file.write(b"3456789\n").unwrap();
        assert_eq!(read(&path), "3456789\n");
    }
}
