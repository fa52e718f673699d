//! Databases: who may open them, what errors say, and what is left behind.

use crate::process::{Application, COUNTING, granted, sql};

/// Values of every kind, and what tells of writes.
pub const VALUES: [&str; 9] = [
    "rowid",
    "changes",
    "CREATE TABLE t (i INTEGER PRIMARY KEY, v)",
    "INSERT INTO t (v) VALUES (1), (2.5), ('text'), (x'0102'), (NULL)",
    "changes",
    "rowid",
    "SELECT * FROM t ORDER BY i",
    "UPDATE t SET v = 0 WHERE i < 3 RETURNING i",
    "changes",
];
/// What they give.
pub const VALUES_GIVE: [&str; 9] = [
    "0",
    "0",
    "",
    "",
    "5",
    "5",
    "1|1 2|2.5 3|text 4|[1, 2] 5|null",
    "1 2",
    "2",
];

#[test]
fn a_database_must_be_granted() {
    let app = Application::probe("");
    let host = app.start(&[]);
    assert_eq!(sql(&host, &["SELECT 1"]), ["error: Error::AccessDenied"]);
    let file = app.path().join(".spin/sqlite_db.db");
    assert!(!file.exists(), "nothing is made");

    let app = granted();
    let host = app.start(&[]);
    let other = host.post("/sql?database=other", "SELECT 1").body;
    assert_eq!(other, "error: Error::AccessDenied");
    assert_eq!(sql(&host, &["SELECT 1"]), ["1"]);
    let file = app.path().join(".spin/sqlite_db.db");
    assert!(file.exists());
}

#[test]
fn values_changes_and_row_ids() {
    let app = granted();
    let state = app.path().join("elsewhere");
    let host = app.start(&["--state-dir", state.to_str().unwrap()]);
    assert_eq!(sql(&host, &VALUES), VALUES_GIVE);
    // A connection that was used before shows nothing of that.
    assert_eq!(sql(&host, &["rowid", "changes"]), ["0", "0"]);
    assert!(state.join("sqlite_db.db").exists());
}

#[test]
fn what_a_component_counts_goes_from_request_to_request_with_its_connection() {
    let app = granted();
    let host = app.start(&[]);
    let keep = |script: &str| host.post("/sql?keep", script).body;
    sql(&host, &["CREATE TABLE t (v)"]);
    assert_eq!(keep("INSERT INTO t VALUES (1), (2), (3)"), "");
    sql(
        &host,
        &["INSERT INTO t VALUES (4)", "DELETE FROM t WHERE v = 9"],
    );
    let asked = "SELECT changes(), total_changes(), last_insert_rowid()\nchanges\nrowid";
    assert_eq!(keep(asked), "3|3|3\n3\n3");
}

#[test]
fn errors_keep_the_text_of_sqlite() {
    let app = granted();
    let host = app.start(&[]);
    let answers = sql(
        &host,
        &[
            "CREATE TABLE p (id INTEGER PRIMARY KEY)",
            "CREATE TABLE t (c TEXT UNIQUE, n INTEGER NOT NULL CHECK (n > 0), p REFERENCES p(id))",
            "CREATE TRIGGER tr BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'never delete'); END",
            "INSERT INTO t VALUES ('a', 1, NULL)",
            "INSERT INTO t VALUES ('a', 1, NULL)",
            "INSERT INTO t VALUES ('b', 0, NULL)",
            "INSERT INTO t VALUES ('c', 1, 99)",
            "DELETE FROM t",
            "SELECT missing FROM t",
            "SELEC",
            "SELECT ?",
            "SELECT 1; SELECT 2",
        ],
    );
    for (answer, needle) in answers[4..].iter().zip([
        "UNIQUE constraint failed: t.c",
        "CHECK constraint failed: n > 0",
        "FOREIGN KEY constraint failed",
        "never delete",
        "no such column: missing",
        "syntax error",
        "Wrong number of parameters",
        "Multiple statements",
    ]) {
        assert!(
            answer.starts_with("error: Error::Io(") && answer.contains(needle),
            "{needle} in {answer}"
        );
    }
}

#[test]
fn a_transaction_that_is_left_open_is_undone() {
    let app = granted();
    let host = app.start(&[]);
    sql(&host, &["CREATE TABLE t (v)"]);
    sql(&host, &["BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)"]);
    assert_eq!(
        sql(&host, &["INSERT INTO t VALUES (2)", "SELECT v FROM t"]),
        ["", "2"],
        "the connection was dropped"
    );
    // The same with a connection that lives on in its instance.
    let keep = |script: &str| host.post("/sql?keep", script).body;
    assert_eq!(keep("BEGIN IMMEDIATE\nINSERT INTO t VALUES (3)"), "\n");
    host.logged("ended amid a transaction");
    assert_eq!(keep("BEGIN IMMEDIATE\nSELECT v FROM t\nCOMMIT"), "\n2\n");
    assert_eq!(sql(&host, &["INSERT INTO t VALUES (4)"]), [""]);
}

#[test]
fn a_transaction_dies_with_its_instance() {
    let app = granted();
    let host = app.start(&[]);
    sql(&host, &["CREATE TABLE t (v)"]);
    assert_eq!(
        host.post("/sql?keep", "BEGIN IMMEDIATE\nINSERT INTO t VALUES (1)")
            .status,
        200
    );
    assert_eq!(host.get("/trap").status, 500);
    assert_eq!(
        sql(&host, &["INSERT INTO t VALUES (2)", "SELECT v FROM t"]),
        ["", "2"]
    );
}

#[test]
fn settings_and_temporary_tables_do_not_outlive_their_connection() {
    let app = granted();
    let host = app.start(&[]);
    sql(
        &host,
        &[
            "CREATE TABLE p (id INTEGER PRIMARY KEY)",
            "CREATE TABLE c (p REFERENCES p(id))",
            "CREATE TEMP TABLE secret (v)",
            "PRAGMA query_only = 1",
        ],
    );
    sql(
        &host,
        &["PRAGMA foreign_keys = 0", "PRAGMA busy_timeout = 1"],
    );
    let answers = sql(
        &host,
        &[
            "INSERT INTO c VALUES (1)",
            "SELECT * FROM secret",
            "INSERT INTO p VALUES (1)",
            "PRAGMA foreign_keys",
            "PRAGMA journal_mode",
        ],
    );
    assert!(answers[0].contains("FOREIGN KEY"), "{answers:?}");
    assert!(answers[1].contains("no such table"), "{answers:?}");
    assert_eq!(answers[2..], ["", "1", "wal"]);
}

#[test]
fn other_files_and_the_process_are_out_of_reach() {
    let app = granted();
    let host = app.start(&[]);
    let file = app.path().join("stolen.db");
    let attach = format!("ATTACH '{}' AS other", file.display());
    let vacuum = format!("VACUUM INTO '{}'", file.display());
    let answers = sql(
        &host,
        &[
            &attach,
            &vacuum,
            "ATTACH ':memory:' AS m",
            "DETACH main",
            "SELECT load_extension('/tmp/x')",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA locking_mode = EXCLUSIVE",
            "PRAGMA writable_schema = 1",
            "PRAGMA temp_store_directory = '/'",
            "PRAGMA hard_heap_limit = 1",
            "PRAGMA database_list",
            "SELECT * FROM pragma_database_list",
            "VACUUM",
            "PRAGMA user_version = 7",
            "PRAGMA user_version",
            "SELECT name FROM pragma_table_info('sqlite_schema') LIMIT 1",
        ],
    );
    for answer in &answers[..12] {
        assert!(
            answer.contains("not authorized") || answer.contains("authoriz"),
            "{answer} of {answers:#?}"
        );
    }
    assert_eq!(answers[12..], ["", "", "7", "type"]);
    assert!(!file.exists());
}

#[test]
fn long_queries_and_large_answers_are_stopped() {
    let app = granted();
    let host = app.start(&["--request-timeout", "30s"]);
    let forever = format!("{COUNTING} SELECT count(*) FROM n");
    let large = format!("{COUNTING} SELECT zeroblob(1000000) FROM n");
    let many = format!("{COUNTING} SELECT i FROM n");
    let answers = sql(&host, &[&forever, &large, &many, "SELECT 1"]);
    assert!(answers[0].contains("interrupted"), "{}", answers[0]);
    assert!(
        answers[1].contains("exceeds limit of 33554432 bytes"),
        "{}",
        answers[1]
    );
    assert!(answers[2].contains("exceeds limit of"), "{}", answers[2]);
    assert_eq!(answers[3], "1");
}

#[test]
fn writers_wait_for_each_other() {
    const WRITERS: usize = 8;
    const EACH: usize = 5;
    let app = granted();
    let host = app.start(&[]);
    sql(&host, &["CREATE TABLE t (v)", "INSERT INTO t VALUES (0)"]);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let answers = sql(
                        &host,
                        &["BEGIN IMMEDIATE", "UPDATE t SET v = v + 1", "COMMIT"],
                    );
                    assert_eq!(answers, ["", "", ""]);
                }
            });
        }
    });
    assert_eq!(
        sql(&host, &["SELECT v FROM t"]),
        [(WRITERS * EACH).to_string()]
    );
}
