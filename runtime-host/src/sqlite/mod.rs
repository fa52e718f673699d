//! `spin:sqlite`: databases for components.
//!
//! A guest's `open` gets a connection of its own, which nobody else uses while
//! it is open; when it is dropped the connection is put back into its first
//! state and kept for the next `open`, or closed if that is not possible.

mod authorizer;
pub mod copy;
mod database;
mod file;
mod file_session;
mod hrana;
mod lock;
mod query;
mod server;
mod session;

pub use database::{DEFAULT_DATABASE, DEFAULT_FILE, Database, Databases, Place};
pub use file::FileDatabase;
pub use lock::{Lock, LockError};
pub use server::{Reachable, ServerAddress};
pub use session::{Session, Sessions};

use std::sync::Arc;

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use crate::bindings::Host;
use crate::bindings::spin::sqlite::sqlite::{
    Error, Host as SqliteHost, HostConnection, HostConnectionWithStore, QueryResult, RowResult,
    Value,
};
use crate::instance::StoreData;

/// Connections that one instance may have open at once.
const MAX_CONNECTIONS_PER_INSTANCE: usize = 16;

/// An open connection as a guest holds it.
pub struct GuestConnection(Session);

/// What a guest gets of an asynchronous execution: columns, rows, and at last
/// whether all went well.
type Execution = (
    Vec<String>,
    StreamReader<RowResult>,
    FutureReader<Result<(), Error>>,
);

async fn open(
    databases: Arc<crate::sqlite::Databases>,
    sessions: Arc<Sessions>,
    name: String,
) -> Result<GuestConnection, Error> {
    let database = databases.granted(&name).ok_or(Error::AccessDenied)?;
    if sessions.live() >= MAX_CONNECTIONS_PER_INSTANCE {
        return Err(Error::Io("too many connections opened".to_owned()));
    }
    let session = database.open().await.map_err(Error::Io)?;
    sessions.add(&session);
    Ok(GuestConnection(session))
}

impl StoreData {
    fn session(&self, connection: &Resource<GuestConnection>) -> wasmtime::Result<Session> {
        Ok(self.table.get(connection)?.0.clone())
    }
}

impl SqliteHost for StoreData {}

impl HostConnection for StoreData {
    async fn open(
        &mut self,
        database: String,
    ) -> wasmtime::Result<Result<Resource<GuestConnection>, Error>> {
        let (databases, sessions) = (
            Arc::clone(&self.grants.databases),
            Arc::clone(&self.sessions),
        );
        Ok(match open(databases, sessions, database).await {
            Ok(connection) => Ok(self.table.push(connection)?),
            Err(error) => Err(error),
        })
    }

    async fn execute(
        &mut self,
        connection: Resource<GuestConnection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<QueryResult, Error>> {
        let session = self.session(&connection)?;
        let outcome = session.execute(statement, parameters).await;
        Ok(outcome.result.map(|()| QueryResult {
            columns: outcome.columns,
            rows: outcome.rows,
        }))
    }

    async fn last_insert_rowid(
        &mut self,
        connection: Resource<GuestConnection>,
    ) -> wasmtime::Result<i64> {
        Ok(self.session(&connection)?.last_insert_rowid())
    }

    async fn changes(&mut self, connection: Resource<GuestConnection>) -> wasmtime::Result<u64> {
        Ok(self.session(&connection)?.changes())
    }

    async fn drop(&mut self, connection: Resource<GuestConnection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send + 'static> HostConnectionWithStore<T> for Host {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        database: String,
    ) -> wasmtime::Result<Result<Resource<GuestConnection>, Error>> {
        let (databases, sessions) = accessor.with(|mut access| {
            let data = access.get();
            (
                Arc::clone(&data.grants.databases),
                Arc::clone(&data.sessions),
            )
        });
        match open(databases, sessions, database).await {
            Ok(connection) => {
                accessor.with(|mut access| Ok(Ok(access.get().table.push(connection)?)))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<GuestConnection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> wasmtime::Result<Result<Execution, Error>> {
        let session = accessor.with(|mut access| access.get().session(&connection))?;
        let outcome = session.execute(statement, parameters).await;
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, outcome.rows)?;
            let result = outcome.result;
            let result =
                FutureReader::new(&mut access, async move { wasmtime::error::Ok(result) })?;
            Ok(Ok((outcome.columns, rows, result)))
        })
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<GuestConnection>,
    ) -> wasmtime::Result<i64> {
        let session = accessor.with(|mut access| access.get().session(&connection))?;
        Ok(session.last_insert_rowid())
    }

    async fn changes_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<GuestConnection>,
    ) -> wasmtime::Result<u64> {
        let session = accessor.with(|mut access| access.get().session(&connection))?;
        Ok(session.changes())
    }
}
