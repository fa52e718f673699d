//! A database, wherever it is, and who may open it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::file::FileDatabase;
use super::server::{Server, ServerAddress};
use super::session::Session;
use crate::outbound::OutboundLimits;

/// The database that needs no configuration, and its file, as in Spin.
pub const DEFAULT_DATABASE: &str = "default";
/// See [`DEFAULT_DATABASE`].
pub const DEFAULT_FILE: &str = "sqlite_db.db";

/// What bounds the use of one database.
#[derive(Debug, Clone, Copy)]
pub struct SqliteLimits {
    /// How long a statement may run, and wait for a connection.
    pub timeout: Duration,
    /// Rows of one result.
    pub rows: usize,
    /// The memory of one result, in bytes.
    pub result_bytes: usize,
    /// The longest statement, in bytes.
    pub statement_bytes: i32,
    /// The largest string, blob or row, in bytes.
    pub value_bytes: i32,
    /// Connections in use at once; who needs one more waits.
    pub connections: usize,
}

#[cfg(test)]
impl SqliteLimits {
    /// For a few small statements, of which none is hurried.
    pub(super) const SMALL: Self = Self {
        timeout: Duration::from_secs(60),
        rows: 10,
        result_bytes: 1000,
        statement_bytes: 1000,
        value_bytes: 1000,
        connections: 4,
    };
}

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a file.
    File(PathBuf),
    /// With a libSQL server.
    Server(ServerAddress),
}

/// A database.
#[derive(Debug, Clone)]
pub enum Database {
    /// In a file.
    File(Arc<FileDatabase>),
    /// With a libSQL server, which is shared with others.
    Server(Arc<Server>),
}

impl Database {
    /// The database at `place`; connecting to a server is bounded by `outbound`.
    ///
    /// # Errors
    ///
    /// See [`FileDatabase::prepare`], or the TLS library refuses its settings.
    pub fn prepare(
        place: Location,
        outbound: OutboundLimits,
        limits: SqliteLimits,
    ) -> Result<Self, String> {
        Ok(match place {
            Location::File(path) => Self::File(FileDatabase::prepare(path, limits, "")?),
            Location::Server(address) => {
                let server = Server::new(address, outbound, limits);
                Self::Server(Arc::new(server.map_err(|e| format!("TLS: {e}"))?))
            }
        })
    }

    /// A connection for one guest.
    ///
    /// # Errors
    ///
    /// Too many are open, or SQLite's message.
    pub async fn open(&self) -> Result<Session, OpenError> {
        Ok(match self {
            Self::File(database) => Session::File(database.open()),
            Self::Server(server) => Session::Server(server.open().await?),
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// See [`SqliteLimits::connections`].
    #[error("too many connections opened")]
    TooMany,
    /// SQLite's message.
    #[error("{0}")]
    Failed(String),
}

/// A permit for one more connection.
///
/// # Errors
///
/// None became free in time.
pub(super) async fn permit(
    permits: &Arc<Semaphore>,
    timeout: Duration,
) -> Result<OwnedSemaphorePermit, OpenError> {
    tokio::time::timeout(timeout, Arc::clone(permits).acquire_owned())
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or(OpenError::TooMany)
}
