//! The domain's database over Spin's SQLite interface.

use crate::bindings::spin::sqlite::sqlite::{Connection, Error, RowResult, Value as SqlValue};
use duxnet_store::{Database, DatabaseError, Row, StoreError, Value, migrate};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Between two tries while another process migrates.
const MIGRATION_PAUSE: Duration = Duration::from_millis(100);

thread_local! {
    /// Kept for the instance's life: opening one costs more than a query. Requests that run at
    /// once share it, so only single statements run on it.
    static CONNECTION: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

/// The shared connection, its schema brought up to date when this instance first opens it.
#[derive(Clone)]
pub struct SpinDatabase {
    connection: Rc<Connection>,
}

impl SpinDatabase {
    /// Opens the default database.
    ///
    /// # Errors
    /// The database's failure, or a schema that is newer than this service.
    pub async fn open() -> Result<Self, StoreError> {
        if let Some(connection) = CONNECTION.with(|cell| cell.borrow().clone()) {
            return Ok(SpinDatabase { connection });
        }
        let own = SpinDatabase::connect().await?;
        migrate(&own, || spin_sdk::time::sleep(MIGRATION_PAUSE)).await?;
        // A migration ends with its transaction, so the connection is as good as new.
        CONNECTION.with(|cell| cell.replace(Some(own.connection.clone())));
        Ok(own)
    }

    async fn connect() -> Result<Self, DatabaseError> {
        let connection = Connection::open_async("default".into())
            .await
            .map_err(failed)?;
        Ok(SpinDatabase {
            connection: Rc::new(connection),
        })
    }
}

fn failed(error: Error) -> DatabaseError {
    DatabaseError(match error {
        Error::Io(text) => text,
        Error::NoSuchDatabase => "no such database".into(),
        Error::AccessDenied => "access denied".into(),
        Error::InvalidConnection => "invalid connection".into(),
        Error::DatabaseFull => "database full".into(),
    })
}

impl Database for SpinDatabase {
    async fn query(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        let result = run(&self.connection, sql, parameters).await;
        if result.as_ref().is_err_and(|error| !error.is_constraint()) {
            // A connection that failed, to a server that restarted say, is not used again.
            CONNECTION.with(|cell| cell.take());
        }
        result
    }
}

async fn run(
    connection: &Connection,
    sql: &str,
    parameters: Vec<Value>,
) -> Result<Vec<Row>, DatabaseError> {
    let parameters: Vec<SqlValue> = parameters
        .into_iter()
        .map(|value| match value {
            Value::Null => SqlValue::Null,
            Value::Integer(value) => SqlValue::Integer(value),
            Value::Text(text) => SqlValue::Text(text),
        })
        .collect();
    execute(connection, sql, parameters)
        .await
        .map_err(failed)?
        .into_iter()
        .map(|row| {
            row.values
                .into_iter()
                .map(column)
                .collect::<Result<_, _>>()
                .map(Row)
        })
        .collect()
}

/// The synchronous call spares a read the streams and futures of the other (docs/performance.md);
/// meanwhile the instance is at nothing else. A write may wait for others, and lets it go on.
async fn execute(
    connection: &Connection,
    sql: &str,
    parameters: Vec<SqlValue>,
) -> Result<Vec<RowResult>, Error> {
    if sql.starts_with("SELECT") {
        return Ok(connection.execute(sql, &parameters)?.rows);
    }
    let (_, rows, result) = connection.execute_async(sql.into(), parameters).await?;
    let rows = rows.collect().await;
    result.await?;
    Ok(rows)
}

fn column(value: SqlValue) -> Result<Value, DatabaseError> {
    match value {
        SqlValue::Null => Ok(Value::Null),
        SqlValue::Integer(value) => Ok(Value::Integer(value)),
        SqlValue::Text(text) => Ok(Value::Text(text)),
        SqlValue::Real(_) | SqlValue::Blob(_) => {
            Err(DatabaseError("unexpected column type".into()))
        }
    }
}
