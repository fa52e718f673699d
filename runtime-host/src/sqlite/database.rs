//! A database, wherever it is, and who may open it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::file::FileDatabase;
use super::server::{Server, ServerAddress};
use super::session::Session;
use crate::outbound::Client;

/// The database that needs no configuration, and its file, as in Spin.
pub const DEFAULT_DATABASE: &str = "default";
/// See [`DEFAULT_DATABASE`].
pub const DEFAULT_FILE: &str = "sqlite_db.db";

/// Where a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
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
    /// The database at `place`; connections to a server are `client`'s.
    ///
    /// # Errors
    ///
    /// See [`FileDatabase::prepare`].
    pub fn prepare(place: Place, client: &Arc<Client>) -> Result<Self, String> {
        Ok(match place {
            Place::File(path) => Self::File(FileDatabase::prepare(path)?),
            Place::Server(address) => {
                Self::Server(Arc::new(Server::new(address, Arc::clone(client))))
            }
        })
    }

    /// A connection for one guest.
    ///
    /// # Errors
    ///
    /// Too many are open, or SQLite's message.
    pub async fn open(&self) -> Result<Session, String> {
        Ok(match self {
            Self::File(database) => Session::File(database.open().await?),
            Self::Server(server) => Session::Server(server.open().await?),
        })
    }
}

/// The databases that one component may open.
#[derive(Debug, Default)]
pub struct Databases(BTreeMap<String, Database>);

impl Databases {
    /// The databases of `names` among those that exist.
    ///
    /// # Errors
    ///
    /// The names for which there is none.
    pub fn grant(
        names: &[String],
        existing: &BTreeMap<String, Database>,
    ) -> Result<Self, Vec<String>> {
        let (known, unknown): (Vec<_>, Vec<_>) = names
            .iter()
            .cloned()
            .partition(|name| existing.contains_key(name));
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let granted = known
            .into_iter()
            .filter_map(|name| Some((name.clone(), existing.get(&name)?.clone())));
        Ok(Self(granted.collect()))
    }

    /// The database `name`, if the component may open it.
    pub fn granted(&self, name: &str) -> Option<&Database> {
        self.0.get(name)
    }
}
