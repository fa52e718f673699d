//! Hrana 3 over HTTP, as far as it is used: the protocol of libSQL servers
//! (`POST /v3/pipeline`, JSON; HRANA_3_SPEC of tursodatabase/libsql).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use super::database::SqliteLimits;
use super::file_session::Place;
use super::query::{self, Outcome};
use crate::bound::Bound;
use crate::component::bindings::spin::sqlite::sqlite::{Error, RowResult, Value};

/// The server writes none, and reads both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is asked for on one stream, in order.
#[derive(Debug, Serialize)]
pub struct Pipeline<'a> {
    /// Which stream; none for a new one.
    pub baton: Option<&'a str>,
    /// What to do.
    pub requests: Vec<Request<'a>>,
}

/// One thing to do. Later ones are done even if earlier ones fail.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request<'a> {
    /// Runs one statement.
    Execute {
        /// The statement.
        stmt: Statement<'a>,
    },
    /// Asks whether no transaction is open.
    GetAutocommit,
    /// Ends the stream; an open transaction is rolled back.
    Close,
}

/// A statement and what stands for its parameters.
#[derive(Debug, Serialize)]
pub struct Statement<'a> {
    sql: &'a str,
    args: Vec<Argument<'a>>,
    want_rows: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Argument<'a> {
    Null,
    Integer { value: String },
    Float { value: f64 },
    Text { value: &'a str },
    Blob { base64: String },
}

impl<'a> Statement<'a> {
    /// `sql` with `parameters` by their positions.
    ///
    /// # Errors
    ///
    /// A number that JSON cannot say.
    pub fn new(sql: &'a str, parameters: &'a [Value]) -> Result<Self, Error> {
        let argument = |value: &'a Value| {
            Ok(match value {
                Value::Null => Argument::Null,
                Value::Integer(value) => Argument::Integer {
                    value: value.to_string(),
                },
                Value::Real(value) if value.is_finite() => Argument::Float { value: *value },
                Value::Real(value) => {
                    return Err(Error::Io(format!(
                        "{value} is no parameter for a database with a server"
                    )));
                }
                Value::Text(value) => Argument::Text { value },
                Value::Blob(value) => Argument::Blob {
                    base64: BASE64.encode(value),
                },
            })
        };
        Ok(Self {
            sql,
            args: parameters.iter().map(argument).collect::<Result<_, _>>()?,
            want_rows: true,
        })
    }
}

/// The answer to a [`Pipeline`].
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// The stream from now on; none if it is closed.
    pub baton: Option<String>,
    /// One for each request.
    results: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    Ok { response: Response },
    Error { error: Message },
}

#[derive(Debug, Deserialize)]
struct Message {
    message: String,
    #[serde(default)]
    code: String,
}

/// Another writer was in the way, longer than the server waits: nothing was
/// executed.
const BUSY: &str = "SQLITE_BUSY";

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Response {
    Execute { result: StatementResult },
    GetAutocommit { is_autocommit: bool },
    Close,
}

#[derive(Debug, Deserialize)]
struct StatementResult {
    cols: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    affected_row_count: u64,
    last_insert_rowid: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Cell {
    Null,
    Integer { value: String },
    // serde_json's numbers keep their text, which a tagged enum hands on as such.
    Float { value: serde_json::Number },
    Text { value: String },
    Blob { base64: String },
}

/// What a statement did, besides its rows.
#[derive(Debug)]
pub struct Done {
    /// For the guest.
    pub outcome: Outcome,
    /// Whether another writer was in the way, and nothing was executed.
    pub is_busy: bool,
    /// Whether no transaction is open after it.
    pub is_autocommit: bool,
    /// Rows that it wrote, and the last row's id; none if it failed.
    pub written: Option<(u64, Option<i64>)>,
}

impl Answer {
    /// Reads the answer to `Execute` and `GetAutocommit`, if it is within `limits`.
    ///
    /// # Errors
    ///
    /// What breaks the protocol.
    pub fn done(self, limits: SqliteLimits) -> Result<Done, &'static str> {
        let mut results = self.results.into_iter();
        let executed = results.next().ok_or("no result")?;
        let is_autocommit = match results.next() {
            Some(Item::Ok {
                response: Response::GetAutocommit { is_autocommit },
            }) => is_autocommit,
            _ => return Err("it does not say whether a transaction is open"),
        };
        let mut is_busy = false;
        let (outcome, written) = match executed {
            Item::Error { error } => {
                is_busy = error.code == BUSY;
                (Outcome::failed(Error::Io(error.message)), None)
            }
            Item::Ok {
                response: Response::Execute { result },
            } => {
                let rowid = match &result.last_insert_rowid {
                    Some(text) => Some(text.parse().map_err(|_| "a row id is no integer")?),
                    None => None,
                };
                let written = Some((result.affected_row_count, rowid));
                (outcome(result, limits)?, written)
            }
            Item::Ok {
                response: Response::GetAutocommit { .. } | Response::Close,
            } => return Err("a result of another kind"),
        };
        Ok(Done {
            outcome,
            is_busy,
            is_autocommit,
            written,
        })
    }
}

fn outcome(result: StatementResult, limits: SqliteLimits) -> Result<Outcome, &'static str> {
    let columns: Vec<String> = result
        .cols
        .into_iter()
        .map(|column| column.name.unwrap_or_default())
        .collect();
    if result.rows.len() > limits.rows {
        let why = format!("query result exceeds limit of {} rows", limits.rows);
        return Ok(Outcome::over(Bound::SqlRows, Error::Io(why)));
    }
    let mut rows = Vec::with_capacity(result.rows.len());
    let mut bytes = 0;
    for row in result.rows {
        if row.len() != columns.len() {
            return Err("a row of another length than the columns");
        }
        let values = row.into_iter().map(value).collect::<Result<Vec<_>, _>>()?;
        if let Some(over) = query::too_big(&values, limits) {
            return Ok(over);
        }
        bytes += query::size(&values);
        if bytes > limits.result_bytes {
            let why = query::result_too_large(limits.result_bytes);
            return Ok(Outcome::over(Bound::SqlResult, Error::Io(why)));
        }
        rows.push(RowResult { values });
    }
    Ok(Outcome {
        columns,
        rows,
        result: Ok(()),
        exceeded: None,
        place: Place::Server,
        waited: None,
    })
}

fn value(cell: Cell) -> Result<Value, &'static str> {
    Ok(match cell {
        Cell::Null => Value::Null,
        Cell::Integer { value } => {
            Value::Integer(value.parse().map_err(|_| "an integer that is none")?)
        }
        Cell::Float { value } => Value::Real(value.as_f64().ok_or("a float that is none")?),
        Cell::Text { value } => Value::Text(value),
        Cell::Blob { base64 } => {
            Value::Blob(BASE64.decode(base64).map_err(|_| "a blob that is none")?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Done, &'static str> {
        serde_json::from_str::<Answer>(json)
            .unwrap()
            .done(SqliteLimits::SMALL)
    }

    #[test]
    fn a_statement_is_written_as_the_server_reads_it() {
        let values = [
            Value::Integer(i64::MIN),
            Value::Real(0.5),
            Value::Text("a\"b".to_owned()),
            Value::Blob(vec![0, 255]),
            Value::Null,
        ];
        let pipeline = Pipeline {
            baton: None,
            requests: vec![
                Request::Execute {
                    stmt: Statement::new("select ?", &values).unwrap(),
                },
                Request::GetAutocommit,
                Request::Close,
            ],
        };
        assert_eq!(
            serde_json::to_string(&pipeline).unwrap(),
            r#"{"baton":null,"requests":[{"type":"execute","stmt":{"sql":"select ?","args":[{"type":"integer","value":"-9223372036854775808"},{"type":"float","value":0.5},{"type":"text","value":"a\"b"},{"type":"blob","base64":"AP8"},{"type":"null"}],"want_rows":true}},{"type":"get_autocommit"},{"type":"close"}]}"#
        );
        assert!(Statement::new("select ?", &[Value::Real(f64::INFINITY)]).is_err());
    }

    #[test]
    fn rows_are_read_as_sqld_writes_them() {
        let done = read(
            r#"{"baton":null,"base_url":null,"results":[{"type":"ok","response":{"type":"execute","result":{"cols":[{"name":"a","decltype":"INTEGER"},{"name":"b","decltype":"TEXT"},{"name":"1.5","decltype":null},{"name":"x'00'","decltype":null},{"name":"null","decltype":null}],"rows":[[{"type":"integer","value":"1"},{"type":"text","value":"x"},{"type":"float","value":1.5},{"type":"blob","base64":"AA"},{"type":"null"}]],"affected_row_count":0,"last_insert_rowid":null,"replication_index":"4","rows_read":1,"rows_written":0,"query_duration_ms":0.041}}},{"type":"ok","response":{"type":"get_autocommit","is_autocommit":true}},{"type":"ok","response":{"type":"close"}}]}"#,
        )
        .unwrap();
        assert!(done.is_autocommit);
        assert_eq!(done.outcome.columns, ["a", "b", "1.5", "x'00'", "null"]);
        let text = format!("{:?}", done.outcome.rows[0].values);
        assert_eq!(
            text,
            r#"[Value::Integer(1), Value::Text("x"), Value::Real(1.5), Value::Blob([0]), Value::Null]"#
        );
    }

    #[test]
    fn the_server_s_own_words_reach_the_guest() {
        let done = read(
            r#"{"baton":null,"results":[{"type":"error","error":{"message":"SQLite error: UNIQUE constraint failed: t.b","code":"SQLITE_CONSTRAINT"}},{"type":"ok","response":{"type":"get_autocommit","is_autocommit":false}}]}"#,
        )
        .unwrap();
        assert!(!done.is_autocommit && done.written.is_none());
        let text = format!("{:?}", done.outcome.result);
        assert!(text.contains("UNIQUE constraint failed: t.b"), "{text}");
    }

    #[test]
    fn another_writer_in_the_way_is_recognised() {
        let done = read(
            r#"{"results":[{"type":"error","error":{"message":"SQLite error: database is locked","code":"SQLITE_BUSY"}},{"type":"ok","response":{"type":"get_autocommit","is_autocommit":true}}]}"#,
        );
        assert!(done.unwrap().is_busy);
    }

    #[test]
    fn what_breaks_the_protocol_is_refused() {
        for bad in [
            r#"{"results":[]}"#,
            r#"{"results":[{"type":"ok","response":{"type":"close"}},{"type":"ok","response":{"type":"get_autocommit","is_autocommit":true}}]}"#,
            r#"{"results":[{"type":"ok","response":{"type":"execute","result":{"cols":[],"rows":[[{"type":"null"}]],"affected_row_count":0,"last_insert_rowid":null}}},{"type":"ok","response":{"type":"get_autocommit","is_autocommit":true}}]}"#,
            r#"{"results":[{"type":"ok","response":{"type":"execute","result":{"cols":[{"name":"a"}],"rows":[[{"type":"integer","value":"1.5"}]],"affected_row_count":0,"last_insert_rowid":null}}},{"type":"ok","response":{"type":"get_autocommit","is_autocommit":true}}]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
