//! A [`Database`] over rusqlite, for tests and servers outside WebAssembly.

use crate::{Database, DatabaseError, Row, Value};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::cell::RefCell;
use std::path::Path;

/// One connection to one file.
#[derive(Debug)]
pub struct NativeDatabase {
    connection: RefCell<rusqlite::Connection>,
}

impl NativeDatabase {
    /// Opens a file, or creates it.
    ///
    /// # Errors
    /// SQLite's text.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let connection = rusqlite::Connection::open(path).map_err(failed)?;
        // Otherwise a statement with `LIMIT ?` is prepared anew each time it is used.
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
            .map_err(failed)?;
        Ok(NativeDatabase {
            connection: RefCell::new(connection),
        })
    }
}

fn failed(error: rusqlite::Error) -> DatabaseError {
    DatabaseError(error.to_string())
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl Database for NativeDatabase {
    async fn query(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached(sql).map_err(failed)?;
        let columns = statement.column_count();
        let mut rows = statement
            .query(rusqlite::params_from_iter(parameters))
            .map_err(failed)?;
        let mut result = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let mut values = Vec::with_capacity(columns);
            for index in 0..columns {
                values.push(match row.get_ref(index).map_err(failed)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(value) => Value::Integer(value),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    other => {
                        return Err(DatabaseError(format!(
                            "unexpected column type {}",
                            other.data_type()
                        )));
                    }
                });
            }
            result.push(Row(values));
        }
        Ok(result)
    }
}

impl<D: Database> Database for std::rc::Rc<D> {
    async fn query(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        D::query(self, sql, parameters).await
    }
}
