//! What statements and connections to databases may take.

use std::time::Duration;

use crate::process::{Application, COUNTING, granted_beside_hostile, sql};

fn application() -> Application {
    granted_beside_hostile("/hold", "sqlite_databases = [\"default\"]")
}

#[test]
fn statements_are_bounded_in_every_way() {
    let app = application();
    let host = app.start(&[
        "--sql-timeout",
        "500ms",
        "--max-sql-rows",
        "100",
        "--max-sql-result",
        "100000",
        "--max-sql-statement",
        "1000",
        "--max-sql-value",
        "50000",
    ]);
    let forever = format!("{COUNTING} SELECT count(*) FROM n");
    let writing = format!("INSERT INTO t {COUNTING} SELECT count(*) FROM n");
    let many = format!("{COUNTING} SELECT i FROM n LIMIT 101");
    let much = format!("{COUNTING} SELECT zeroblob(40000) FROM n LIMIT 3");
    let long = format!("SELECT '{}'", "x".repeat(1000));
    sql(&host, &["CREATE TABLE t (v)"]);
    for (statement, error, flag) in [
        (forever.as_str(), "interrupted", "--sql-timeout"),
        (&writing, "interrupted", "--sql-timeout"),
        (&many, "exceeds limit of 100 rows", "--max-sql-rows"),
        (&much, "exceeds limit of 100000 bytes", "--max-sql-result"),
        (&long, "statement too long", "--max-sql-statement"),
        ("SELECT zeroblob(60000)", "too big", "--max-sql-value"),
        (
            "INSERT INTO t VALUES (randomblob(60000))",
            "too big",
            "--max-sql-value",
        ),
        (
            "SELECT length(printf('%.*c', 60000, 'x'))",
            "too big",
            "--max-sql-value",
        ),
    ] {
        let answers = sql(&host, &[statement, "SELECT 1"]);
        assert!(answers[0].contains(error), "{flag}: {answers:?}");
        assert_eq!(answers[1], "1", "the connection is of use afterwards");
        let line = host.logged(&format!("see {flag}"));
        assert!(line.contains("probe"), "{line}");
        assert!(
            !line.contains("SELECT"),
            "no statement goes to the log: {line}"
        );
    }
    let many = format!("{COUNTING} SELECT i FROM n LIMIT 100");
    assert_eq!(sql(&host, &[&many])[0].split(' ').count(), 100);
    assert_eq!(sql(&host, &["SELECT count(*) FROM t"]), ["0"]);
}

#[test]
fn connections_of_one_instance_are_bounded_also_when_opened_at_once() {
    let app = application();
    let host = app.start(&["--max-instance-connections", "3"]);
    let answer = host.get("/hold?connections=3").body;
    assert_eq!(answer, "3 None");
    let answer = host.get("/hold?connections=50").body;
    assert!(
        answer.starts_with("3 ") && answer.contains("too many connections opened"),
        "{answer}"
    );
    let line = host.logged("see --max-instance-connections");
    assert!(line.contains("hostile"), "{line}");
    assert_eq!(sql(&host, &["SELECT 1"]), ["1"]);
}

#[test]
fn connections_to_a_database_are_bounded() {
    let app = application();
    let host = app.start(&["--max-database-connections", "2", "--sql-timeout", "200ms"]);
    let answer = host.get("/hold?connections=5").body;
    assert_eq!(answer, "5 None", "who runs nothing takes none");
    let answer = host.get("/hold?transactions=5").body;
    assert!(
        answer.starts_with("2 ") && answer.contains("too many connections opened"),
        "{answer}"
    );
    let line = host.logged("see --max-database-connections");
    assert!(
        line.contains("hostile") && line.contains("default"),
        "{line}"
    );
    assert_eq!(sql(&host, &["SELECT 1"]), ["1"], "they were given back");
}

#[test]
fn waiting_for_another_writer_is_bounded_too() {
    let app = application();
    let host = app.start(&["--sql-timeout", "300ms"]);
    sql(&host, &["CREATE TABLE t (v)"]);
    let file = app.path().join(".spin/sqlite_db.db");
    let writer = rusqlite::Connection::open(file).unwrap();
    writer.busy_timeout(Duration::from_secs(60)).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answers = sql(
        &host,
        &[
            "PRAGMA busy_timeout = 3600000",
            "INSERT INTO t VALUES (1)",
            "SELECT count(*) FROM t",
        ],
    );
    assert!(answers[1].contains("database is locked"), "{answers:?}");
    assert_eq!(answers[2], "0", "reading does not wait");
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(sql(&host, &["INSERT INTO t VALUES (1)"]), [""]);
}
