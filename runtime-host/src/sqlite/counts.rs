//! What SQLite counts for a connection, kept for each session: `changes()`,
//! `total_changes()` and `last_insert_rowid()` tell of the session, whichever
//! connections it was lent.
//!
//! The row id of a connection can be set. Its counts cannot, so SQL's functions
//! for them are replaced: as long as a connection counts what it did when it was
//! lent, the session has changed nothing on it. Where that does not tell, since
//! the last to write changed nothing and a trigger may do the same, the connection
//! is made to count something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ffi};

/// What SQLite counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Rows that the last writing statement changed.
    pub changes: u64,
    /// Rows that all statements changed, triggers among them.
    pub total_changes: u64,
    /// The row id of the last insertion.
    pub last_insert_rowid: i64,
}

impl Counts {
    fn of(connection: &Connection) -> Self {
        Self {
            changes: connection.changes(),
            total_changes: connection.total_changes(),
            last_insert_rowid: connection.last_insert_rowid(),
        }
    }
}

/// A connection's counts as its session sees them. Shared with SQL's functions.
#[derive(Debug, Default)]
pub struct Tally {
    lent: Mutex<Lent>,
    /// A statement that was prepared asks for `changes()`, it or a trigger.
    is_asked: AtomicBool,
    is_marking: AtomicBool,
}

/// As it was when the connection was lent.
#[derive(Debug, Default, Clone, Copy)]
struct Lent {
    session: Counts,
    connection: Counts,
    /// A statement that counts changes has ended since.
    has_counted: bool,
}

impl Lent {
    fn is_as_lent(&self, now: &Counts) -> bool {
        !self.has_counted
            && now.changes == self.connection.changes
            && now.total_changes == self.connection.total_changes
    }
}

impl Tally {
    /// The counts of `connection`, in a session that had counted `session`.
    pub fn lend(&self, connection: &Connection, session: Counts) {
        set_last_insert_rowid(connection, session.last_insert_rowid);
        *self.lent() = Lent {
            session,
            connection: Counts::of(connection),
            has_counted: false,
        };
    }

    /// What the session has counted by now.
    pub fn counts(&self, connection: &Connection) -> Counts {
        let lent = *self.lent();
        let now = Counts::of(connection);
        let changed = now
            .total_changes
            .wrapping_sub(lent.connection.total_changes);
        Counts {
            changes: match lent.is_as_lent(&now) {
                true => lent.session.changes,
                false => now.changes,
            },
            total_changes: lent.session.total_changes.wrapping_add(changed),
            last_insert_rowid: now.last_insert_rowid,
        }
    }

    /// A statement has ended that counts changes.
    pub fn note_counted(&self) {
        self.lent().has_counted = true;
    }

    /// A statement is prepared that asks for `changes()`.
    pub fn note_asked(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
    }

    /// Whether what the connection runs is [`Tally::prepare`]'s.
    pub fn is_marking(&self) -> bool {
        self.is_marking.load(Ordering::Relaxed)
    }

    /// Before a prepared statement runs.
    pub fn prepare(&self, connection: &Connection) {
        if !self.is_asked.load(Ordering::Relaxed) {
            return;
        }
        let counts = self.counts(connection);
        let is_told = counts.changes == connection.changes() || connection.changes() != 0;
        if is_told {
            return;
        }
        self.is_marking.store(true, Ordering::Relaxed);
        let marked = mark(connection);
        self.is_marking.store(false, Ordering::Relaxed);
        // Where nothing can be written, no trigger does.
        if let Err(e) = marked {
            tracing::debug!("a connection to a database cannot count: {e}");
        }
        self.lend(connection, counts);
    }

    fn lent(&self) -> MutexGuard<'_, Lent> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has SQL's functions on `connection` tell what `tally` does.
pub fn replace_functions(connection: &Connection, tally: &Arc<Tally>) -> rusqlite::Result<()> {
    replace(connection, tally, "changes", |counts| counts.changes)?;
    replace(connection, tally, "total_changes", |counts| {
        counts.total_changes
    })
}

fn replace(
    connection: &Connection,
    tally: &Arc<Tally>,
    name: &str,
    count: fn(Counts) -> u64,
) -> rusqlite::Result<()> {
    let tally = Arc::clone(tally);
    // As SQLite's own: to be used by triggers and views, too.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(name, 0, flags, move |context| {
        #[allow(
            unsafe_code,
            reason = "rusqlite offers a function its connection only as unsafe"
        )]
        // SAFETY: it does not leave this call, which SQLite makes on the thread that
        // has the connection.
        let connection = unsafe { context.get_connection() }?;
        // Nobody changes 2^63 rows.
        Ok(count(tally.counts(&connection)).cast_signed())
    })
}

/// Has `connection` count a change, in a table that is gone again.
fn mark(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TEMP TABLE counted (v); INSERT INTO temp.counted VALUES (0); DROP TABLE temp.counted",
    )
}

#[allow(unsafe_code, reason = "rusqlite does not offer it")]
fn set_last_insert_rowid(connection: &Connection, rowid: i64) {
    // SAFETY: the handle is that of an open connection, which is borrowed.
    unsafe { ffi::sqlite3_set_last_insert_rowid(connection.handle(), rowid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::spin::sqlite::sqlite::Value;
    use crate::sqlite::{FileDatabase, SqliteLimits};
    use proptest::prelude::*;
    use std::time::Duration;

    /// `told` has a trigger that counts, and writes what is not there yet.
    const SCHEMA: &str = "
        CREATE TABLE t (v);
        CREATE TABLE log (n UNIQUE);
        CREATE TABLE told (v);
        CREATE TRIGGER logs AFTER UPDATE ON t BEGIN
            INSERT INTO log SELECT coalesce(max(n), 0) + 100 FROM log;
        END;
        CREATE TRIGGER upserts AFTER INSERT ON told BEGIN
            UPDATE log SET n = n + 1000 WHERE n % 100 = new.v;
            INSERT INTO log SELECT new.v WHERE changes() = 0;
        END;
        CREATE VIEW counted AS SELECT changes() AS n;
        CREATE VIEW window AS SELECT v FROM t;
        CREATE TRIGGER into_window INSTEAD OF INSERT ON window BEGIN
            INSERT INTO t VALUES (new.v), (new.v);
        END;";

    fn integer(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_mark_leaves_nothing_behind() {
        let connection = Connection::open_in_memory().unwrap();
        mark(&connection).unwrap();
        let counts = Counts::of(&connection);
        assert_eq!((counts.changes, counts.total_changes), (1, 1));
        let left = "SELECT count(*) FROM sqlite_temp_schema";
        assert_eq!(integer(&connection, left), 0);
        let tally = Tally::default();
        tally.lend(&connection, Counts::default());
        assert_eq!(tally.counts(&connection), Counts::default());
    }

    /// What a session may do, without others in between.
    const STEPS: [&[&str]; 14] = [
        &["INSERT INTO t VALUES (1), (2)"],
        &["INSERT INTO t VALUES (3)"],
        &["DELETE FROM t WHERE v = 9"],
        &["UPDATE t SET v = v + 1 WHERE v < 3"],
        &["INSERT INTO told VALUES (1)"],
        &["INSERT INTO told VALUES (1), (2), (1)"],
        &["INSERT INTO told SELECT changes()"],
        &["INSERT INTO told VALUES (7) RETURNING changes()"],
        &["INSERT INTO window VALUES (1), (2)"],
        // The second time, it is there.
        &["INSERT INTO log VALUES (-1), (-2), (-1)"],
        &["CREATE TABLE IF NOT EXISTS more AS SELECT 1"],
        &["BEGIN IMMEDIATE", "COMMIT"],
        &["BEGIN IMMEDIATE", "INSERT INTO t VALUES (5)", "ROLLBACK"],
        &[
            "BEGIN",
            "DELETE FROM t WHERE v = 9",
            "UPDATE t SET v = 0",
            "COMMIT",
        ],
    ];
    /// What is looked at by SQL.
    const TOLD: [&str; 5] = [
        "SELECT changes()",
        "SELECT total_changes()",
        "SELECT last_insert_rowid()",
        "SELECT n FROM counted",
        "SELECT 1000000 * count(*) + coalesce(sum(n), 0) FROM log",
    ];

    /// Who takes a step, which, and whether its request ends then, and both look.
    type Step = (bool, usize, bool, bool);

    /// Two sessions, and two connections of SQLite's own, which do the same.
    async fn counts_as_sqlite(script: &[Step]) {
        let folder = tempfile::tempdir().unwrap();
        let limits = SqliteLimits {
            timeout: Duration::from_secs(60),
            rows: 10,
            result_bytes: 1000,
            statement_bytes: 1000,
            value_bytes: 1000,
            connections: 4,
        };
        let path = folder.path().join("db");
        let database = FileDatabase::prepare(path, limits, SCHEMA).unwrap();
        let sessions = [database.open(), database.open()];
        let path = folder.path().join("reference");
        let references = [(); 2].map(|()| Connection::open(&path).unwrap());
        references[0].execute_batch(SCHEMA).unwrap();
        let run = async |who: usize, sql: &str| {
            let outcome = sessions[who].execute(sql.to_owned(), Vec::new()).await;
            outcome.result.map(|()| outcome.rows)
        };
        for (index, &(second, step, ends_request, looks)) in script.iter().enumerate() {
            let who = usize::from(second);
            for sql in STEPS[step] {
                let ran = run(who, sql).await;
                let expected = references[who].execute_batch(sql);
                assert_eq!(ran.is_ok(), expected.is_ok(), "{ran:?}, not {expected:?}");
            }
            if ends_request {
                sessions[who].end_request();
            }
            for (who, reference) in references.iter().enumerate() {
                let told = (sessions[who].changes(), sessions[who].last_insert_rowid());
                let expected = (reference.changes(), reference.last_insert_rowid());
                assert_eq!(told, expected, "by {who} after {index}");
                for sql in TOLD.into_iter().filter(|_| looks) {
                    let told = run(who, sql).await.unwrap();
                    let expected = integer(reference, sql);
                    assert!(
                        matches!(told[0].values[..], [Value::Integer(told)] if told == expected),
                        "{sql} by {who} after {index}: {told:?}, not {expected}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn sessions_that_share_connections_count_as_those_of_sqlite(
            script in proptest::collection::vec(any::<(bool, proptest::sample::Index, bool, bool)>(), 1..16)
        ) {
            let script: Vec<Step> = script
                .into_iter()
                .map(|(who, step, ends, looks)| (who, step.index(STEPS.len()), ends, looks))
                .collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(counts_as_sqlite(&script));
        }
    }
}
