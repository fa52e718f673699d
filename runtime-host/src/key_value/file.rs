//! A store in a SQLite file, in Spin's own table, so that either host goes on
//! where the other stopped.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::store::{Failure, KeyValueLimits};
use crate::bound::Bound;
use crate::component::bindings::spin::sqlite::sqlite::{Error, RowResult, Value};
use crate::sqlite::{FileDatabase, SqliteLimits};

/// Spin's, of `key-value-spin`.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (
    store TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,

    PRIMARY KEY (store, key)
)";
const GET: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";
const SET: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
    ON CONFLICT (store, key) DO UPDATE SET value = ?3";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2";
const EXISTS: &str = "SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2";
const KEYS: &str = "SELECT key FROM spin_key_value WHERE store = ?1";
/// More than the longest of them.
const STATEMENT_BYTES: i32 = 1000;

/// What a row takes beside key and value.
const ROW_BYTES: usize = 1 << 10;

/// A store in a file.
#[derive(Debug)]
pub struct FileStore {
    label: String,
    database: Arc<FileDatabase>,
    permits: Semaphore,
    limits: KeyValueLimits,
}

impl FileStore {
    pub(super) fn prepare(
        label: &str,
        path: PathBuf,
        limits: KeyValueLimits,
    ) -> Result<Self, String> {
        Ok(Self {
            label: label.to_owned(),
            database: FileDatabase::prepare(path, sqlite(limits), SCHEMA)?,
            permits: Semaphore::new(limits.operations),
            limits,
        })
    }

    /// What it is in.
    pub fn database(&self) -> &FileDatabase {
        &self.database
    }

    pub(super) fn limits(&self) -> KeyValueLimits {
        self.limits
    }

    pub(super) async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Failure> {
        let row = self.run(GET, vec![Value::Text(key)]).await?.pop();
        match row.and_then(|mut row| row.values.pop()) {
            None => Ok(None),
            Some(Value::Blob(value)) if value.len() > self.limits.value_bytes => {
                Err(Failure::value_too_large(self.limits))
            }
            Some(Value::Blob(value)) => Ok(Some(value)),
            Some(_) => Err(Failure::other("the value is not a blob")),
        }
    }

    pub(super) async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        let parameters = vec![Value::Text(key), Value::Blob(value)];
        self.run(SET, parameters).await.map(drop)
    }

    pub(super) async fn delete(&self, key: String) -> Result<(), Failure> {
        self.run(DELETE, vec![Value::Text(key)]).await.map(drop)
    }

    pub(super) async fn exists(&self, key: String) -> Result<bool, Failure> {
        let rows = self.run(EXISTS, vec![Value::Text(key)]).await?;
        Ok(!rows.is_empty())
    }

    pub(super) async fn keys(&self) -> Result<Vec<String>, Failure> {
        let rows = self.run(KEYS, Vec::new()).await?;
        let keys = rows.into_iter().map(|mut row| match row.values.pop() {
            Some(Value::Text(key)) => Ok(key),
            _ => Err(Failure::other("a key is not a text")),
        });
        keys.collect()
    }

    /// Runs `statement` with the store's label before `parameters`.
    async fn run(
        &self,
        statement: &str,
        mut parameters: Vec<Value>,
    ) -> Result<Vec<RowResult>, Failure> {
        parameters.insert(0, Value::Text(self.label.clone()));
        let _turn = self.limits.turn(&self.permits).await?;
        let session = self.database.open();
        let outcome = session.execute(statement.to_owned(), parameters).await;
        match (outcome.result, outcome.exceeded) {
            (Ok(()), _) => Ok(outcome.rows),
            (Err(_), Some(Bound::SqlValue)) => Err(Failure::value_too_large(self.limits)),
            (Err(_), Some(Bound::SqlResult | Bound::SqlRows)) => {
                Err(Failure::list_too_large(self.limits))
            }
            (Err(_), Some(Bound::SqlTimeout)) => {
                Err(Failure::over(Bound::KeyValueTimeout, "interrupted"))
            }
            (Err(Error::Io(why)), _) => Err(Failure::other(why)),
            (Err(error), _) => Err(Failure::other(format!("{error:?}"))),
        }
    }
}

/// The bounds of the database that come to those of the store.
fn sqlite(limits: KeyValueLimits) -> SqliteLimits {
    let row = limits
        .value_bytes
        .saturating_add(limits.key_bytes)
        .saturating_add(ROW_BYTES);
    SqliteLimits {
        timeout: limits.timeout,
        rows: usize::MAX,
        result_bytes: limits.list_bytes.max(row),
        statement_bytes: STATEMENT_BYTES,
        value_bytes: i32::try_from(row).unwrap_or(i32::MAX),
        connections: limits.operations,
    }
}
