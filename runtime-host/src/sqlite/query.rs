//! Runs one statement.

use std::time::Duration;

use rusqlite::ErrorCode;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

use super::database::SqliteLimits;
use super::file_session::{Link, Place, Taint};
use super::verb;
use crate::bound::Bound;
use crate::component::bindings::spin::sqlite::sqlite::{Error, RowResult, Value};

/// What a statement gave: rows up to an error, if there was one.
#[derive(Debug)]
pub struct Outcome {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<RowResult>,
    /// Whether all went well. SQLite's messages are handed on unchanged, since
    /// guests recognise constraints by them.
    pub result: Result<(), Error>,
    /// The bound that it was over.
    pub exceeded: Option<Bound>,
    /// Where it ran.
    pub place: Place,
    /// How long it waited for other writers of this process to end.
    pub waited: Option<Duration>,
}

/// What came of trying to run a statement.
pub enum Attempt {
    /// It ran.
    Done(Outcome),
    /// It writes, which only one connection may do at a time.
    Writes,
    /// It may wait, which is not to be done in this place.
    Waits,
}

impl Outcome {
    pub(super) fn failed(error: Error) -> Self {
        Self {
            columns: Vec::new(),
            rows: Vec::new(),
            result: Err(error),
            exceeded: None,
            place: Place::Blocking,
            waited: None,
        }
    }

    /// What SQLite says, too, when another connection writes for too long.
    pub(super) fn locked() -> Self {
        Self::failed(Error::Io("database is locked".to_owned()))
    }

    pub(super) fn over(bound: Bound, error: Error) -> Self {
        Self {
            exceeded: Some(bound),
            ..Self::failed(error)
        }
    }
}

/// What a statement is answered with that is longer than `limits` let it be.
pub(super) fn too_long(sql: &str, limits: SqliteLimits) -> Option<Outcome> {
    let is_over = usize::try_from(limits.statement_bytes).is_ok_and(|most| sql.len() > most);
    is_over.then(|| {
        let why = "statement too long".to_owned();
        Outcome::over(Bound::SqlStatement, Error::Io(why))
    })
}

/// What a statement is answered with of whose `values` one is larger than `limits` let
/// it be, in SQLite's words.
pub(super) fn too_big(values: &[Value], limits: SqliteLimits) -> Option<Outcome> {
    let most = usize::try_from(limits.value_bytes).unwrap_or(usize::MAX);
    let is_over = values.iter().any(|value| length(value) > most);
    is_over.then(|| {
        let why = "string or blob too big".to_owned();
        Outcome::over(Bound::SqlValue, Error::Io(why))
    })
}

/// In words.
pub(super) fn result_too_large(most: usize) -> String {
    format!("query result exceeds limit of {most} bytes")
}

/// Runs `sql`, if that can be done in this `place`, and by one who `may_write`
/// or not.
pub fn run(link: &Link, sql: &str, parameters: &[Value], place: Place, may_write: bool) -> Attempt {
    let limits = link.state.limits();
    if let Some(refused) = too_long(sql, limits) {
        return Attempt::Done(refused);
    }
    let mut statement = match link.connection.prepare_cached(sql) {
        Ok(statement) => statement,
        Err(e) if place == Place::Inline && may_succeed_later(&e) => return Attempt::Waits,
        Err(e) => return Attempt::Done(Outcome::failed(io(&e))),
    };
    link.tally.learn(sql);
    // By SQLite's definition BEGIN IMMEDIATE writes, and COMMIT reads.
    let reads = statement.readonly();
    if !reads && !may_write {
        return Attempt::Writes;
    }
    // COMMIT has no columns.
    if place == Place::Inline && !(reads && statement.column_count() > 0) {
        return Attempt::Waits;
    }
    let columns = statement
        .column_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    if let Err(e) = link.tally.prepare(&link.connection, sql) {
        link.state.taint(Taint::Discard);
        return match place == Place::Inline && may_succeed_later(&e) {
            true => Attempt::Waits,
            false => Attempt::Done(Outcome::failed(io(&e))),
        };
    }
    let mut rows = Vec::new();
    let result = statement
        .query(rusqlite::params_from_iter(parameters.iter().map(Parameter)))
        .map_err(Failure::Sqlite)
        .and_then(|mut cursor| {
            let collected = collect(&mut cursor, &mut rows, limits);
            drop(cursor);
            if !reads && verb::counts_changes(sql) {
                link.tally.note_counted();
            }
            collected
        });
    link.tally.learn(sql);
    if link.state.is_tainted() {
        // A PRAGMA is judged, and some act, when it is prepared.
        statement.discard();
    }
    let mut exceeded = None;
    let result = match result {
        Ok(()) => Ok(()),
        Err(Failure::Sqlite(e)) if place == Place::Inline && may_succeed_later(&e) => {
            return Attempt::Waits;
        }
        Err(Failure::Sqlite(e)) => {
            exceeded = match e.sqlite_error_code() {
                Some(ErrorCode::OperationInterrupted) if !link.state.is_cancelled() => {
                    Some(Bound::SqlTimeout)
                }
                Some(ErrorCode::TooBig) => Some(Bound::SqlValue),
                _ => None,
            };
            Err(io(&e))
        }
        Err(Failure::TooLarge(bound, why)) => {
            exceeded = Some(bound);
            Err(Error::Io(why))
        }
        Err(Failure::Unreadable(why)) => Err(Error::Io(why)),
    };
    Attempt::Done(Outcome {
        columns,
        rows,
        result,
        exceeded,
        place,
        waited: None,
    })
}

enum Failure {
    Sqlite(rusqlite::Error),
    TooLarge(Bound, String),
    Unreadable(String),
}

fn collect(
    cursor: &mut rusqlite::Rows<'_>,
    rows: &mut Vec<RowResult>,
    limits: SqliteLimits,
) -> Result<(), Failure> {
    let columns = cursor.as_ref().map_or(0, |s| s.column_count());
    let mut bytes = 0;
    while let Some(row) = cursor.next().map_err(Failure::Sqlite)? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            let value = row.get_ref(column).map_err(Failure::Sqlite)?;
            let value = owned(value).map_err(|e| {
                Failure::Unreadable(format!("column {column} is not valid UTF-8: {e}"))
            })?;
            values.push(value);
        }
        bytes += size(&values);
        if bytes > limits.result_bytes {
            let why = result_too_large(limits.result_bytes);
            return Err(Failure::TooLarge(Bound::SqlResult, why));
        }
        if rows.len() >= limits.rows {
            let why = format!("query result exceeds limit of {} rows", limits.rows);
            return Err(Failure::TooLarge(Bound::SqlRows, why));
        }
        rows.push(RowResult { values });
    }
    Ok(())
}

fn owned(value: ValueRef<'_>) -> Result<Value, std::str::Utf8Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text)?.to_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    })
}

/// The memory of a row.
pub(super) fn size(row: &[Value]) -> usize {
    let values = row.iter().map(|value| size_of::<Value>() + length(value));
    size_of::<RowResult>() + values.sum::<usize>()
}

fn length(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
    }
}

/// Interrupted for taking long, or another connection has a lock.
fn may_succeed_later(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn io(error: &rusqlite::Error) -> Error {
    Error::Io(error.to_string())
}

struct Parameter<'a>(&'a Value);

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}
