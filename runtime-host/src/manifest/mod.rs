//! The Spin v2 manifest (`spin.toml`), as far as this host runs it.
//!
//! Parsing is strict: an unknown field is an error, and what Spin knows but
//! this host does not do (remote sources, files, key-value stores, models,
//! triggers other than HTTP) is refused at start instead of being ignored.

mod check;
mod names;
mod schema;
mod value;

pub use check::{
    BackupSettings, Build, Component, Dependency, DependencySource, Inherit, InheritKey, Manifest,
    Route, ScheduledCall, Trigger, Variable,
};
pub use names::ImportName;

use std::path::{Path, PathBuf};

use crate::fault::{Faults, Result};

/// The file name looked for when a directory is given.
pub const DEFAULT_MANIFEST_FILE: &str = "spin.toml";

/// Reads and checks the manifest at `from`, which is a file or a directory that
/// holds a [`DEFAULT_MANIFEST_FILE`].
///
/// # Errors
///
/// Every fault found: the file cannot be read, is not TOML, or asks for what
/// this host does not do.
pub fn load(from: &Path) -> Result<Manifest> {
    let path = locate(from)?;
    let text = std::fs::read_to_string(&path)
        .map_err(|e| Faults::one(format!("cannot read {}: {e}", path.display())))?;
    parse(&text, &path)
}

/// Parses manifest `text`; `path` is named in faults and its directory is what
/// relative paths are relative to.
///
/// # Errors
///
/// As [`load`].
pub fn parse(text: &str, path: &Path) -> Result<Manifest> {
    let raw: schema::Manifest = toml::from_str(text).map_err(|e| toml_fault(path, text, &e))?;
    check::check(raw, path)
}

fn locate(from: &Path) -> Result<PathBuf> {
    if from.is_dir() {
        let path = from.join(DEFAULT_MANIFEST_FILE);
        if !path.is_file() {
            return Err(Faults::one(format!(
                "there is no {DEFAULT_MANIFEST_FILE} in {}; name one with --from",
                from.display()
            )));
        }
        return Ok(path);
    }
    if !from.is_file() {
        return Err(Faults::one(format!(
            "there is no manifest at {}; name one with --from",
            from.display()
        )));
    }
    Ok(from.to_owned())
}

/// One line for a TOML error: file, line, message.
fn toml_fault(path: &Path, text: &str, error: &toml::de::Error) -> Faults {
    let place = match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or_default();
            format!(
                "{}:{}",
                path.display(),
                before.bytes().filter(|b| *b == b'\n').count() + 1
            )
        }
        None => path.display().to_string(),
    };
    Faults::one(format!("{place}: {}", error.message()))
}
