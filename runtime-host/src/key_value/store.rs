//! A store, wherever it is, and what bounds its use.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::file::FileStore;
use super::redis_server::{RedisAddress, RedisStore};
use crate::bound::Bound;

/// The store that needs no configuration, and its file, as in Spin.
pub const DEFAULT_STORE: &str = "default";
/// See [`DEFAULT_STORE`].
pub const DEFAULT_FILE: &str = "sqlite_key_value.db";

/// What bounds the use of one store.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueLimits {
    /// How long an operation may wait for its turn, and how long it may take.
    pub timeout: Duration,
    /// The longest key.
    pub key_bytes: usize,
    /// The largest value.
    pub value_bytes: usize,
    /// The memory of all keys of a store when they are listed.
    pub list_bytes: usize,
    /// Operations at once; a further one waits.
    pub operations: usize,
}

impl KeyValueLimits {
    /// A turn among the operations of one store, of which there are as many
    /// `permits` as there may be at once.
    pub(super) async fn turn(self, permits: &Semaphore) -> Result<SemaphorePermit<'_>, Failure> {
        match timeout(self.timeout, permits.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Failure::over(
                Bound::KeyValueOperations,
                "too many operations at once",
            )),
        }
    }
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a SQLite file.
    File(PathBuf),
    /// With a Redis server.
    Redis(RedisAddress),
}

/// A store.
#[derive(Debug, Clone)]
pub enum Store {
    /// In a SQLite file, perhaps with others.
    File(Arc<FileStore>),
    /// With a Redis server: all keys of one of its databases.
    Redis(Arc<RedisStore>),
}

/// Why an operation failed.
#[derive(Debug)]
pub struct Failure {
    /// What the guest is told. Has nothing of keys and values.
    pub why: String,
    /// The bound that it was over.
    pub exceeded: Option<Bound>,
}

impl Failure {
    pub(super) fn other(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            exceeded: None,
        }
    }

    pub(super) fn over(bound: Bound, why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            exceeded: Some(bound),
        }
    }

    pub(super) fn value_too_large(limits: KeyValueLimits) -> Self {
        let most = limits.value_bytes;
        let why = format!("value too large: {most} bytes are allowed");
        Self::over(Bound::KeyValueValue, why)
    }

    pub(super) fn list_too_large(limits: KeyValueLimits) -> Self {
        let most = limits.list_bytes;
        let why = format!("too many keys: {most} bytes of them are allowed");
        Self::over(Bound::KeyValueList, why)
    }
}

impl Store {
    /// The store `label` at `place`.
    ///
    /// # Errors
    ///
    /// The file cannot be made or is no database; TLS does not work.
    pub fn prepare(label: &str, place: Location, limits: KeyValueLimits) -> Result<Self, String> {
        Ok(match place {
            Location::File(path) => Self::File(Arc::new(FileStore::prepare(label, path, limits)?)),
            Location::Redis(address) => Self::Redis(Arc::new(RedisStore::new(address, limits)?)),
        })
    }

    /// Whether it is with a server.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    fn limits(&self) -> KeyValueLimits {
        match self {
            Self::File(store) => store.limits(),
            Self::Redis(store) => store.limits(),
        }
    }

    fn check_key(&self, key: &str) -> Result<(), Failure> {
        let most = self.limits().key_bytes;
        if key.len() > most {
            let why = format!("key too long: {most} bytes are allowed");
            return Err(Failure::over(Bound::KeyValueKey, why));
        }
        Ok(())
    }

    pub(super) async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Failure> {
        self.check_key(&key)?;
        match self {
            Self::File(store) => store.get(key).await,
            Self::Redis(store) => store.get(&key).await,
        }
    }

    pub(super) async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        self.check_key(&key)?;
        if value.len() > self.limits().value_bytes {
            return Err(Failure::value_too_large(self.limits()));
        }
        match self {
            Self::File(store) => store.set(key, value).await,
            Self::Redis(store) => store.set(&key, &value).await,
        }
    }

    pub(super) async fn delete(&self, key: String) -> Result<(), Failure> {
        self.check_key(&key)?;
        match self {
            Self::File(store) => store.delete(key).await,
            Self::Redis(store) => store.delete(&key).await,
        }
    }

    pub(super) async fn exists(&self, key: String) -> Result<bool, Failure> {
        self.check_key(&key)?;
        match self {
            Self::File(store) => store.exists(key).await,
            Self::Redis(store) => store.exists(&key).await,
        }
    }

    pub(super) async fn keys(&self) -> Result<Vec<String>, Failure> {
        match self {
            Self::File(store) => store.keys().await,
            Self::Redis(store) => store.keys().await,
        }
    }
}
