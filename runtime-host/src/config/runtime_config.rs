//! Spin's runtime configuration file: where an application's state is.
//!
//! Only what this host has is read; the rest of what Spin knows is told as a
//! fault, since a setting without effect would be taken for one with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::fault::{Collector, Faults, Result};
use crate::key_value::{self, RedisAddress};
use crate::sqlite::{self, Location, ServerAddress};

/// What this host reads, at the top of the file.
const KNOWN: &str = "state_dir, sqlite_database.<label>, key_value_store.<label>";

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `state_dir`; empty and not set are the same.
    pub state_directory: Option<PathBuf>,
    /// `sqlite_database.<label>`
    databases: BTreeMap<String, Location>,
    /// `key_value_store.<label>`
    stores: BTreeMap<String, key_value::Location>,
}

/// What the relative paths of a file are relative to.
#[derive(Debug, Clone, Copy)]
struct Directories<'a> {
    /// Of databases and the state: for Spin, and here, where the program runs.
    working: &'a Path,
    /// Of key-value stores: for Spin, and here, where the file is.
    file: &'a Path,
}

/// Reads `path`, for a program that runs in `directory`.
///
/// # Errors
///
/// All faults of the file. They never show a token.
pub fn load(path: &Path, directory: &Path) -> Result<RuntimeConfig> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Faults::one(format!("cannot read {}: {e}", path.display())))?;
    let directories = Directories {
        working: directory,
        file: &directory.join(path.parent().unwrap_or(path)),
    };
    parse(&text, directories).map_err(|faults| faults.prefixed(format!("{}: ", path.display())))
}

fn parse(text: &str, directories: Directories<'_>) -> Result<RuntimeConfig> {
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
                config.state_directory = (!path.is_empty()).then(|| directories.working.join(path));
            }
            ("state_dir", _) => faults.push("state_dir must be a string"),
            ("sqlite_database", value) => {
                let databases = labelled("sqlite_database", value, |table| {
                    database(table, directories.working)
                });
                config.databases = faults.keep(databases).unwrap_or_default();
            }
            ("key_value_store", value) => {
                let stores = labelled("key_value_store", value, |table| {
                    store(table, directories.file)
                });
                config.stores = faults.keep(stores).unwrap_or_default();
            }
            (other, _) => faults.push(format!(
                "{other} is not supported by this host; it reads {KNOWN}"
            )),
        }
    }
    faults.finish_with(config)
}

/// What `read` makes of each table of a table of tables. What it leaves in one
/// is not known.
fn labelled<T>(
    key: &str,
    value: Value,
    read: impl Fn(&mut Table) -> Result<T>,
) -> Result<BTreeMap<String, T>> {
    let Value::Table(tables) = value else {
        return Err(Faults::one(format!("{key} must be a table of tables")));
    };
    let mut faults = Collector::default();
    let mut places = BTreeMap::new();
    for (label, value) in tables {
        let place = match value {
            Value::Table(mut table) => {
                let mut faults = Collector::default();
                let place = faults.keep(read(&mut table));
                for unknown in table.keys() {
                    faults.push(format!("{unknown} is not known here"));
                }
                faults.finish_with(place)
            }
            _ => Err(Faults::one("must be a table")),
        };
        let place = place.map_err(|faults| faults.prefixed(format!("{key}.{label}: ")));
        if let Some(Some(place)) = faults.keep(place) {
            places.insert(label, place);
        }
    }
    faults.finish_with(places)
}

fn database(table: &mut Table, directory: &Path) -> Result<Location> {
    let mut faults = Collector::default();
    match kind(table)?.as_str() {
        "spin" => {
            let path = file(table, directory);
            if table.remove("allow_attach_file") == Some(Value::Boolean(true)) {
                faults.push("allow_attach_file is not supported: files are never attached");
            }
            let path = faults.keep(path).unwrap_or_default();
            faults.finish_with(Location::File(path))
        }
        "libsql" => {
            let url = faults.keep(text(table, "url"));
            let token = faults.keep(text(table, "token"));
            faults.finish()?;
            let address = ServerAddress::new(&url.unwrap_or_default(), &token.unwrap_or_default());
            address
                .map(Location::Server)
                .map_err(|e| Faults::one(e.to_string()))
        }
        other => unknown(table, other, "\"spin\" and \"libsql\""),
    }
}

fn store(table: &mut Table, directory: &Path) -> Result<key_value::Location> {
    match kind(table)?.as_str() {
        "spin" => file(table, directory).map(key_value::Location::File),
        "redis" => RedisAddress::new(&text(table, "url")?)
            .map(key_value::Location::Redis)
            .map_err(|e| Faults::one(e.to_string())),
        other => unknown(table, other, "\"spin\" and \"redis\""),
    }
}

/// The type, on which it depends what else is known.
fn kind(table: &mut Table) -> Result<String> {
    text(table, "type").inspect_err(|_| table.clear())
}

fn unknown<T>(table: &mut Table, kind: &str, allowed: &str) -> Result<T> {
    table.clear();
    Err(Faults::one(format!(
        "type {kind:?} is not known; allowed are {allowed}"
    )))
}

fn file(table: &mut Table, directory: &Path) -> Result<PathBuf> {
    let path = text(table, "path")
        .map_err(|_| Faults::one("path is missing: this host keeps nothing in memory"))?;
    Ok(directory.join(path))
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
    pub fn databases(&self, state_directory: &Path) -> BTreeMap<String, Location> {
        let mut databases = self.databases.clone();
        databases
            .entry(sqlite::DEFAULT_DATABASE.to_owned())
            .or_insert_with(|| Location::File(state_directory.join(sqlite::DEFAULT_FILE)));
        databases
    }

    /// Where each key-value store is, the default one too, which needs no
    /// configuration.
    pub fn stores(&self, state_directory: &Path) -> BTreeMap<String, key_value::Location> {
        let mut stores = self.stores.clone();
        stores
            .entry(key_value::DEFAULT_STORE.to_owned())
            .or_insert_with(|| {
                key_value::Location::File(state_directory.join(key_value::DEFAULT_FILE))
            });
        stores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RuntimeConfig, Vec<String>> {
        let directories = Directories {
            working: Path::new("/w"),
            file: Path::new("/c"),
        };
        parse(text, directories).map_err(|faults| faults.lines().to_vec())
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
    fn stores_are_files_or_servers() {
        let config = read(
            r#"
            [key_value_store.near]
            type = "spin"
            path = "near.db"
            [key_value_store.default]
            type = "redis"
            url = "redis://:s3cret@h"
            "#,
        )
        .unwrap();
        let stores = config.stores(Path::new("/w/state"));
        let near = key_value::Location::File(PathBuf::from("/c/near.db"));
        assert_eq!(stores["near"], near);
        let far = RedisAddress::new("redis://:s3cret@h").unwrap();
        assert_eq!(stores["default"], key_value::Location::Redis(far));
    }

    #[test]
    fn the_default_ones_need_no_configuration() {
        let config = read("").unwrap();
        let file = Location::File(PathBuf::from("/s/sqlite_db.db"));
        assert_eq!(
            config.databases(Path::new("/s")),
            BTreeMap::from([("default".to_owned(), file)])
        );
        let file = key_value::Location::File(PathBuf::from("/s/sqlite_key_value.db"));
        assert_eq!(
            config.stores(Path::new("/s")),
            BTreeMap::from([("default".to_owned(), file)])
        );
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
            [key_value_store.e]
            type = "azure_cosmos"
            [key_value_store.f]
            type = "redis"
            url = "rediss://:s3cret@h/#insecure"
            "#,
        )
        .unwrap_err();
        assert_eq!(faults.len(), 10, "{faults:#?}");
        for (fault, expected) in faults.iter().zip([
            "llm_compute is not supported by this host",
            "sqlite_database.a: url must be http://",
            "sqlite_database.b: type \"postgres\" is not known",
            "sqlite_database.c: allow_attach_file",
            "sqlite_database.c: path is missing",
            "sqlite_database.c: size is not known",
            "sqlite_database.d: url is missing",
            "sqlite_database.d: token is missing",
            "key_value_store.e: type \"azure_cosmos\" is not known",
            "key_value_store.f: url must be redis://",
        ]) {
            assert!(fault.starts_with(expected), "{fault}");
            assert!(!fault.contains("s3cret"), "{fault}");
        }
        let faults = read("[sqlite_database.a]\ntoken = \"s3cret").unwrap_err();
        assert!(faults[0].starts_with("line 2"), "{faults:?}");
        assert!(!faults[0].contains("s3cret"), "{faults:?}");
    }
}
