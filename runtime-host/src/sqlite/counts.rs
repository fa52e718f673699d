//! What SQLite counts for a connection, kept for each session: `changes()`,
//! `total_changes()` and `last_insert_rowid()` tell of the session, whichever
//! connections it was lent.
//!
//! The row id of a connection can be set. Its counts cannot, so SQL's functions
//! for them are replaced: as long as a connection counts what it did when it was
//! lent, the session has changed nothing on it. That does not tell whether a
//! trigger has, if it changed nothing or has ended: before a statement that asks
//! for `changes()`, it or a trigger, the connection is made to count as many rows
//! as the session.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ErrorCode, ffi};

/// The rows that a connection is made to count at most. Of more, a session that
/// has changed them hears the right number unless a trigger ended just before.
const MOST_MADE: u64 = 1000;
/// Statements that are known to ask; if there are so many, all are taken to.
const MOST_ASKING: usize = 256;

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
    /// Statements that ask for `changes()`, they or a trigger.
    asking: Mutex<HashSet<String>>,
    /// What is prepared or runs now is one.
    is_asked: AtomicBool,
    is_counting: AtomicBool,
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

    /// `changes()` is asked for by what is prepared or runs.
    pub fn note_asked(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
    }

    /// Whether what the connection runs is [`Tally::prepare`]'s.
    pub fn is_counting(&self) -> bool {
        self.is_counting.load(Ordering::Relaxed)
    }

    /// After `sql` was prepared or has run: whether it asks is not told again when
    /// its prepared statement is used again.
    pub fn learn(&self, sql: &str) {
        if self.is_asked.swap(false, Ordering::Relaxed) {
            let mut asking = self.asking();
            if asking.len() < MOST_ASKING {
                asking.insert(sql.to_owned());
            }
        }
    }

    /// Before `sql`, which is prepared, runs.
    ///
    /// # Errors
    ///
    /// SQLite's; the connection may have a table too many then.
    pub fn prepare(&self, connection: &Connection, sql: &str) -> rusqlite::Result<()> {
        if !self.asks(sql) {
            return Ok(());
        }
        let session = self.counts(connection);
        if session.changes == connection.changes() {
            return Ok(());
        }
        self.is_counting.store(true, Ordering::Relaxed);
        let counted = count(connection, session.changes.min(MOST_MADE));
        self.is_counting.store(false, Ordering::Relaxed);
        self.lend(connection, session);
        match counted {
            // Where nothing can be written, no trigger does.
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::ReadOnly) => Ok(()),
            counted => counted,
        }
    }

    /// A statement has ended that counts what it changes.
    pub fn note_counted(&self) {
        self.lent().has_counted = true;
    }

    fn asks(&self, sql: &str) -> bool {
        let asking = self.asking();
        asking.len() >= MOST_ASKING || asking.contains(sql)
    }

    fn asking(&self) -> MutexGuard<'_, HashSet<String>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Whoever uses it in a column's default is not seen before.
        tally.note_asked();
        // Nobody changes 2^63 rows.
        Ok(count(tally.counts(&connection)).cast_signed())
    })
}

/// Has `connection` count `rows`, in a table that is gone again.
fn count(connection: &Connection, rows: u64) -> rusqlite::Result<()> {
    let done = connection.execute_batch(&format!(
        "SAVEPOINT \"runtime-host\";
         CREATE TEMP TABLE \"runtime-host\" (v);
         INSERT INTO temp.\"runtime-host\"
         WITH RECURSIVE n (v) AS (SELECT 1 WHERE {rows} > 0 UNION ALL SELECT v + 1 FROM n WHERE v < {rows})
         SELECT v FROM n;
         DROP TABLE temp.\"runtime-host\";
         RELEASE \"runtime-host\""
    ));
    if done.is_err() {
        // It may have ended the transaction, and this with it.
        let _ = connection.execute_batch("ROLLBACK TO \"runtime-host\"; RELEASE \"runtime-host\"");
    }
    done
}

#[allow(unsafe_code, reason = "rusqlite does not offer it")]
fn set_last_insert_rowid(connection: &Connection, rowid: i64) {
    // SAFETY: the handle is that of an open connection, which is borrowed.
    unsafe { ffi::sqlite3_set_last_insert_rowid(connection.handle(), rowid) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::bindings::spin::sqlite::sqlite::Value;
    use crate::sqlite::file_session::{FileSession, Place};
    use crate::sqlite::query::{self, Attempt};
    use crate::sqlite::{FileDatabase, SqliteLimits};
    use proptest::prelude::*;

    /// `told` has a trigger that counts, and writes what is not there yet.
    const SCHEMA: &str = "
        CREATE TABLE t (v);
        CREATE TABLE log (n UNIQUE);
        CREATE TABLE told (v);
        CREATE TABLE plain (v, n DEFAULT (total_changes()));
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
    fn a_connection_counts_as_many_rows_as_it_is_told_and_keeps_none() {
        let connection = Connection::open_in_memory().unwrap();
        for rows in [1, 0, MOST_MADE, 0] {
            count(&connection, rows).unwrap();
            assert_eq!(connection.changes(), rows);
        }
        connection.execute_batch("BEGIN").unwrap();
        connection.pragma_update(None, "query_only", 1).unwrap();
        count(&connection, 1).unwrap_err();
        assert!(!connection.is_autocommit(), "the transaction goes on");
        let left = "SELECT count(*) FROM sqlite_temp_schema";
        assert_eq!(integer(&connection, left), 0);
    }

    #[test]
    fn all_statements_are_taken_to_ask_when_many_do() {
        let tally = Tally::default();
        for number in 0..MOST_ASKING {
            assert!(!tally.asks("SELECT 1"));
            tally.note_asked();
            tally.learn(&format!("SELECT changes() + {number}"));
        }
        assert!(tally.asks("SELECT 1"));
    }

    fn database() -> (tempfile::TempDir, Arc<FileDatabase>) {
        let folder = tempfile::tempdir().unwrap();
        let limits = SqliteLimits {
            rows: 100_000,
            result_bytes: 10_000_000,
            ..SqliteLimits::SMALL
        };
        let path = folder.path().join("db");
        let database = FileDatabase::prepare(path, limits, SCHEMA).unwrap();
        (folder, database)
    }

    #[test]
    fn a_statement_is_known_to_ask_also_where_it_was_only_prepared() {
        let (_folder, database) = database();
        let link = database.try_lease().unwrap().link;
        for (sql, asks) in [
            ("INSERT INTO t VALUES (1)", false),
            ("INSERT INTO told VALUES (1)", true),
        ] {
            let attempt = query::run(&link, sql, &[], Place::Inline, false);
            assert!(matches!(attempt, Attempt::Writes));
            assert_eq!(link.tally.asks(sql), asks, "{sql}");
        }
    }

    /// What a session may do, without others in between.
    const STEPS: [&[&str]; 19] = [
        &["INSERT INTO t VALUES (1), (2)"],
        &["INSERT INTO t VALUES (3)"],
        &["DELETE FROM t WHERE v = 9"],
        &["UPDATE t SET v = v + 1 WHERE v < 3 RETURNING changes()"],
        &["UPDATE t SET v = changes()"],
        &["INSERT INTO told VALUES (1)"],
        &["INSERT INTO told VALUES (1), (2), (1)"],
        &["INSERT INTO told SELECT changes() FROM t"],
        &["INSERT INTO told VALUES (7) RETURNING changes()"],
        &["INSERT INTO window VALUES (1), (2)"],
        &["INSERT INTO plain (v) VALUES (1)"],
        // The second time, it is there.
        &["INSERT INTO log VALUES (-1), (-2), (-1)"],
        // One parameter is missing.
        &["INSERT INTO t VALUES (?)"],
        &["CREATE TABLE IF NOT EXISTS more AS SELECT 1"],
        &["BEGIN IMMEDIATE", "COMMIT"],
        &["BEGIN", "SELECT changes() FROM t", "COMMIT"],
        &["BEGIN IMMEDIATE", "INSERT INTO told VALUES (5)", "ROLLBACK"],
        &[
            "BEGIN",
            "DELETE FROM t WHERE v = 9",
            "UPDATE t SET v = changes()",
            "COMMIT",
        ],
        &["SELECT changes(), total_changes(), last_insert_rowid()"],
    ];
    /// What is looked at.
    const TOLD: [&str; 5] = [
        "SELECT changes(), total_changes(), last_insert_rowid()",
        "SELECT n FROM counted",
        "SELECT n FROM log ORDER BY n",
        "SELECT v FROM t ORDER BY v",
        "SELECT n FROM plain ORDER BY n",
    ];

    #[derive(Debug, Clone)]
    struct Step {
        who: usize,
        what: &'static [&'static str],
        /// SQL's own counts are looked at then.
        looks: bool,
        /// Others have the connection that was used last.
        elsewhere: bool,
    }

    prop_compose! {
        fn step()(
            who in 0..2_usize,
            what in 0..STEPS.len(),
            looks in any::<bool>(),
            elsewhere in any::<bool>(),
        ) -> Step {
            Step { who, what: STEPS[what], looks, elsewhere }
        }
    }

    /// Rows of integers, or that it failed.
    type Told = Option<Vec<Vec<i64>>>;

    async fn told(session: &Arc<FileSession>, sql: &str) -> Told {
        let outcome = session.execute(sql.to_owned(), Vec::new()).await;
        outcome.result.ok()?;
        let integer = |value: &Value| match value {
            Value::Integer(integer) => *integer,
            other => panic!("{other:?}"),
        };
        let rows = outcome.rows.iter();
        Some(
            rows.map(|row| row.values.iter().map(integer).collect())
                .collect(),
        )
    }

    fn expected(reference: &Connection, sql: &str) -> Told {
        let mut statement = reference.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map((), |row| (0..columns).map(|at| row.get(at)).collect());
        rows.and_then(Iterator::collect).ok()
    }

    /// Two sessions, and two connections of SQLite's own, which do the same.
    async fn counts_as_sqlite(script: Vec<Step>) {
        let (folder, database) = database();
        let sessions = [database.open(), database.open()];
        let path = folder.path().join("reference");
        let references = [(); 2].map(|()| Connection::open(&path).unwrap());
        references[0].execute_batch(SCHEMA).unwrap();
        for step in script {
            let other = step.elsewhere.then(|| database.try_lease()).flatten();
            for sql in step.what {
                let told = told(&sessions[step.who], sql).await;
                assert_eq!(
                    told,
                    expected(&references[step.who], sql),
                    "{sql} in {step:?}"
                );
            }
            for (session, reference) in sessions.iter().zip(&references) {
                let told = (session.changes(), session.last_insert_rowid());
                let expected = (reference.changes(), reference.last_insert_rowid());
                assert_eq!(told, expected, "after {step:?}");
            }
            for (session, reference) in sessions.iter().zip(&references) {
                for sql in TOLD.into_iter().filter(|_| step.looks) {
                    let told = told(session, sql).await;
                    assert_eq!(told, expected(reference, sql), "{sql} after {step:?}");
                }
            }
            if let Some(other) = other {
                database.put_back(other);
            }
        }
    }

    proptest! {
        #[test]
        fn sessions_that_share_connections_count_as_those_of_sqlite(
            script in proptest::collection::vec(step(), 1..16)
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(counts_as_sqlite(script));
        }
    }
}
