//! Spin's runtime configuration file: where an application's state is.
//!
//! Only what this host has is read; the rest of what Spin knows is told as a
//! fault, since a setting without effect would be taken for one with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::fault::{Collector, Faults, Result};
use crate::sqlite::{DEFAULT_DATABASE, DEFAULT_FILE, Location, ServerAddress};

/// What this host reads, at the top of the file.
const KNOWN: &str = "state_dir, sqlite_database.<label>";

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `state_dir`; empty and not set are the same.
    pub state_directory: Option<PathBuf>,
    /// `sqlite_database.<label>`
    databases: BTreeMap<String, Location>,
}

/// Reads `path`. Relative paths in it are relative to `directory`: for Spin,
/// and here, the one that the program runs in.
///
/// # Errors
///
/// All faults of the file. They never show a token.
pub fn load(path: &Path, directory: &Path) -> Result<RuntimeConfig> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Faults::one(format!("cannot read {}: {e}", path.display())))?;
    parse(&text, directory).map_err(|faults| faults.prefixed(format!("{}: ", path.display())))
}

fn parse(text: &str, directory: &Path) -> Result<RuntimeConfig> {
    // The parser's own message shows the line, which may hold a token.
    let table: Table = toml::from_str(text).map_err(|e| {
        let before = text.get(..e.span().map_or(0, |span| span.start));
        let line = before.unwrap_or_default().matches('\n').count() + 1;
        Faults::one(format!("line {line}: {}", e.message()))
    })?;
    let mut faults = Collector::default();
    let mut config = RuntimeConfig::default();
    for (key, value) in table {
        match (key.as_str(), value) {
            ("state_dir", Value::String(path)) => {
                config.state_directory = (!path.is_empty()).then(|| directory.join(path));
            }
            ("state_dir", _) => faults.push("state_dir must be a string"),
            ("sqlite_database", Value::Table(databases)) => {
                for (label, value) in databases {
                    let place = place(value, directory)
                        .map_err(|f| f.prefixed(format!("sqlite_database.{label}: ")));
                    if let Some(place) = faults.keep(place) {
                        config.databases.insert(label, place);
                    }
                }
            }
            ("sqlite_database", _) => faults.push("sqlite_database must be a table of tables"),
            (other, _) => faults.push(format!(
                "{other} is not supported by this host; it reads {KNOWN}"
            )),
        }
    }
    faults.finish_with(config)
}

fn place(value: Value, directory: &Path) -> Result<Location> {
    let Value::Table(mut table) = value else {
        return Err(Faults::one("must be a table"));
    };
    let mut faults = Collector::default();
    let kind = faults.keep(text(&mut table, "type"));
    let place = match kind.as_deref() {
        None => None,
        Some("spin") => {
            let path = text(&mut table, "path").map_err(|_| {
                Faults::one("path is missing: this host keeps no databases in memory")
            });
            if table.remove("allow_attach_file") == Some(Value::Boolean(true)) {
                faults.push("allow_attach_file is not supported: files are never attached");
            }
            faults
                .keep(path)
                .map(|path| Location::File(directory.join(path)))
        }
        Some("libsql") => {
            let url = faults.keep(text(&mut table, "url"));
            let token = faults.keep(text(&mut table, "token"));
            url.zip(token).and_then(|(url, token)| {
                let address = ServerAddress::new(&url, &token);
                faults
                    .keep(address.map_err(|e| Faults::one(e.to_string())))
                    .map(Location::Server)
            })
        }
        Some(other) => {
            return Err(Faults::one(format!(
                "type {other:?} is not known; allowed are \"spin\" and \"libsql\""
            )));
        }
    };
    for key in table.keys() {
        faults.push(format!("{key} is not known here"));
    }
    faults.finish()?;
    place.ok_or_else(|| Faults::one("has no type"))
}

fn text(table: &mut Table, key: &str) -> Result<String> {
    match table.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Faults::one(format!("{key} must be a string"))),
        None => Err(Faults::one(format!("{key} is missing"))),
    }
}

impl RuntimeConfig {
    /// Where each database is, the default one too, which needs no
    /// configuration.
    pub fn databases(mut self, state_directory: &Path) -> BTreeMap<String, Location> {
        self.databases
            .entry(DEFAULT_DATABASE.to_owned())
            .or_insert_with(|| Location::File(state_directory.join(DEFAULT_FILE)));
        self.databases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RuntimeConfig, Vec<String>> {
        parse(text, Path::new("/w")).map_err(|faults| faults.lines().to_vec())
    }

    #[test]
    fn databases_are_files_or_servers() {
        let config = read(
            r#"
            state_dir = "state"
            [sqlite_database.notes]
            type = "spin"
            path = "notes.db"
            [sqlite_database.default]
            type = "libsql"
            url = "https://db.example.org"
            token = "s3cret"
            "#,
        )
        .unwrap();
        assert_eq!(
            config.state_directory.as_deref(),
            Some(Path::new("/w/state"))
        );
        let databases = config.databases(Path::new("/w/state"));
        assert_eq!(
            databases["notes"],
            Location::File(PathBuf::from("/w/notes.db"))
        );
        let server = ServerAddress::new("https://db.example.org", "s3cret").unwrap();
        assert_eq!(databases["default"], Location::Server(server));
    }

    #[test]
    fn the_default_database_needs_no_configuration() {
        let databases = read("").unwrap().databases(Path::new("/s"));
        let file = Location::File(PathBuf::from("/s/sqlite_db.db"));
        assert_eq!(databases, BTreeMap::from([("default".to_owned(), file)]));
    }

    #[test]
    fn every_fault_is_told_and_no_token() {
        let faults = read(
            r#"
            llm_compute = "x"
            [sqlite_database.a]
            type = "libsql"
            url = "libsql://db"
            token = "s3cret"
            [sqlite_database.b]
            type = "postgres"
            [sqlite_database.c]
            type = "spin"
            allow_attach_file = true
            size = 1
            [sqlite_database.d]
            type = "libsql"
            "#,
        )
        .unwrap_err();
        assert_eq!(faults.len(), 8, "{faults:#?}");
        for (fault, expected) in faults.iter().zip([
            "llm_compute is not supported by this host",
            "sqlite_database.a: url must be http://",
            "sqlite_database.b: type \"postgres\" is not known",
            "sqlite_database.c: allow_attach_file",
            "sqlite_database.c: path is missing",
            "sqlite_database.c: size is not known",
            "sqlite_database.d: url is missing",
            "sqlite_database.d: token is missing",
        ]) {
            assert!(fault.starts_with(expected), "{fault}");
        }
        let faults = read("[sqlite_database.a]\ntoken = \"s3cret").unwrap_err();
        assert!(faults[0].starts_with("line 2"), "{faults:?}");
        assert!(!faults[0].contains("s3cret"), "{faults:?}");
    }
}
