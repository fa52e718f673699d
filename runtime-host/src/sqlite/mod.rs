//! `spin:sqlite`: databases for components.
//!
//! A guest's `open` gives it what looks like a connection of its own: nobody
//! else's statements, settings or temporary tables show in it. Those to a file
//! are lent (see [`file_session`]); one in which the guest has left something is
//! put back into its first state, or closed if that is not possible.

mod authorizer;
mod beside;
pub mod copy;
mod counts;
mod database;
mod file;
mod file_session;
mod hrana;
mod lock;
mod query;
mod server;
mod session;
mod verb;

pub use beside::{COMPANIONS, beside};
pub use database::{DEFAULT_DATABASE, DEFAULT_FILE, Database, Location, OpenError, SqliteLimits};
pub use file::FileDatabase;
pub use lock::{Lock, LockError};
pub use server::ServerAddress;
pub use session::{Session, Sessions};

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use self::file_session::Place;
use self::query::Outcome;
use crate::bound::Bound;
use crate::component::bindings::Host;
use crate::component::bindings::spin::sqlite::sqlite::{
    Error, Host as SqliteHost, HostConnection, HostConnectionWithStore, QueryResult, RowResult,
    Value,
};
use crate::component::instance::{Grants, StoreData};
use crate::observe::metrics::Statement;
use crate::observe::trace::Span;

/// An open connection as a guest holds it.
#[derive(Clone)]
pub struct GuestConnection {
    session: Session,
    /// Its database's name.
    database: Arc<str>,
}

/// What a guest gets of an asynchronous execution: columns, rows, and at last
/// whether all went well.
type Execution = (
    Vec<String>,
    StreamReader<RowResult>,
    FutureReader<Result<(), Error>>,
);

async fn open(
    grants: Arc<Grants>,
    sessions: Arc<Sessions>,
    name: String,
) -> Result<GuestConnection, Error> {
    let component = &*grants.component;
    let database = grants.databases.get(&name).ok_or(Error::AccessDenied)?;
    let most = grants.limits.connections;
    let place = sessions.reserve(most).ok_or_else(|| {
        Bound::InstanceConnections.exceeded(
            component,
            format_args!("an instance wanted more than {most} connections to databases"),
        );
        Error::Io("too many connections opened".to_owned())
    })?;
    let session = database.open().await.map_err(|e| {
        if let OpenError::TooMany = e {
            let why = format_args!("no connection to the database {name:?} became free");
            Bound::DatabaseConnections.exceeded(component, why);
        }
        Error::Io(e.to_string())
    })?;
    place.take(&session);
    Ok(GuestConnection {
        session,
        database: Arc::from(name),
    })
}

/// Logs a bound that a statement was over, without the statement: what is in
/// it is nobody's business.
fn tell(outcome: &Outcome, database: &str, grants: &Grants, begun: Instant, span: Option<Span>) {
    let kind = match outcome.place {
        Place::Inline => Statement::Inline,
        Place::Blocking => Statement::Blocking,
        Place::Server => Statement::Server,
    };
    let error = match &outcome.result {
        Ok(()) => None,
        Err(Error::Io(message)) => Some(message.as_str()),
        Err(_) => Some(""),
    };
    grants.metrics.statement(kind, begun.elapsed(), error);
    if let Some(waited) = outcome.waited {
        grants.metrics.waited_to_write(waited);
    }
    if let Some(span) = span {
        span.operation_ended(error.is_none());
    }
    if let (Some(bound), Err(error)) = (outcome.exceeded, &outcome.result) {
        bound.exceeded(
            &grants.component,
            format_args!("a statement to the database {database:?} was stopped: {error:?}"),
        );
    }
}

impl StoreData {
    fn begin_statement(&self, text: &str) -> (Instant, Option<Span>) {
        let span = self.span.as_ref().and_then(|span| span.statement(text));
        (Instant::now(), span)
    }

    fn connection(
        &self,
        connection: &Resource<GuestConnection>,
    ) -> wasmtime::Result<GuestConnection> {
        Ok(self.table.get(connection)?.clone())
    }
}

impl SqliteHost for StoreData {}

impl HostConnection for StoreData {
    async fn open(
        &mut self,
        database: String,
    ) -> wasmtime::Result<Result<Resource<GuestConnection>, Error>> {
        let (grants, sessions) = (Arc::clone(&self.grants), Arc::clone(&self.sessions));
        Ok(match open(grants, sessions, database).await {
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
        let GuestConnection { session, database } = self.connection(&connection)?;
        let (begun, span) = self.begin_statement(&statement);
        let outcome = session.execute(statement, parameters).await;
        tell(&outcome, &database, &self.grants, begun, span);
        Ok(outcome.result.map(|()| QueryResult {
            columns: outcome.columns,
            rows: outcome.rows,
        }))
    }

    async fn last_insert_rowid(
        &mut self,
        connection: Resource<GuestConnection>,
    ) -> wasmtime::Result<i64> {
        Ok(self.connection(&connection)?.session.last_insert_rowid())
    }

    async fn changes(&mut self, connection: Resource<GuestConnection>) -> wasmtime::Result<u64> {
        Ok(self.connection(&connection)?.session.changes())
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
        let (grants, sessions) = accessor.with(|mut access| {
            let data = access.get();
            (Arc::clone(&data.grants), Arc::clone(&data.sessions))
        });
        match open(grants, sessions, database).await {
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
        let (connection, (begun, span)) = accessor.with(|mut access| {
            let data = access.get();
            let connection = data.connection(&connection)?;
            wasmtime::error::Ok((connection, data.begin_statement(&statement)))
        })?;
        let GuestConnection { session, database } = connection;
        let outcome = session.execute(statement, parameters).await;
        accessor.with(|mut access| {
            tell(&outcome, &database, &access.get().grants, begun, span);
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
        let connection = accessor.with(|mut access| access.get().connection(&connection))?;
        Ok(connection.session.last_insert_rowid())
    }

    async fn changes_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<GuestConnection>,
    ) -> wasmtime::Result<u64> {
        let connection = accessor.with(|mut access| access.get().connection(&connection))?;
        Ok(connection.session.changes())
    }
}
