//! Databases with a libSQL server. These tests need one, so they run only when asked for:
//! `cargo test --release -p runtime-host --test host -- --ignored`

use crate::process::{Application, COUNTING, Host, granted, granted_beside_hostile, sql};
use crate::sqld::Sqld;
use crate::sqlite::{VALUES, VALUES_GIVE};
use crate::upstream::Upstream;

fn start(app: &Application, server: &Sqld) -> Host {
    start_with(app, server, &[])
}

fn start_with(app: &Application, server: &Sqld, arguments: &[&str]) -> Host {
    let config = app.write("runtime-config.toml", &server.runtime_config());
    let config = ["--runtime-config-file", config.to_str().unwrap()];
    app.start(&[&config, arguments].concat())
}

#[test]
#[ignore = "needs sqld"]
fn values_changes_and_row_ids_are_those_of_a_file() {
    let (app, server) = (granted(), Sqld::start());
    let host = start(&app, &server);
    assert_eq!(sql(&host, &VALUES), VALUES_GIVE);
    assert!(
        !app.path().join(".spin/sqlite_db.db").exists(),
        "no file is made"
    );
}

#[test]
#[ignore = "needs sqld"]
fn two_hosts_see_one_database_and_constraints_by_name() {
    let server = Sqld::start();
    let (one, two) = (granted(), granted());
    let (one, two) = (start(&one, &server), start(&two, &server));
    sql(
        &one,
        &[
            "CREATE TABLE t (v INTEGER UNIQUE)",
            "CREATE TRIGGER tr BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'never delete'); END",
        ],
    );
    assert_eq!(sql(&two, &["INSERT INTO t VALUES (1)"]), [""]);
    let answers = sql(&one, &["INSERT INTO t VALUES (1)", "DELETE FROM t"]);
    assert!(
        answers[0].contains("UNIQUE constraint failed: t.v"),
        "{answers:?}"
    );
    assert!(answers[1].contains("never delete"), "{answers:?}");
}

#[test]
#[ignore = "needs sqld"]
fn transactions_are_kept_apart_and_end_with_their_request() {
    let (app, server) = (granted(), Sqld::start());
    let host = start(&app, &server);
    let answers = sql(
        &host,
        &[
            "CREATE TABLE t (v)",
            "BEGIN IMMEDIATE",
            "INSERT INTO t VALUES (1)",
            "COMMIT",
            "SAVEPOINT a",
            "INSERT INTO t VALUES (2)",
            "ROLLBACK TO a",
            "RELEASE a",
            "SELECT v FROM t",
        ],
    );
    assert_eq!(answers.last().unwrap(), "1", "{answers:?}");
    // Left open: undone, and nobody waits for it.
    sql(&host, &["BEGIN IMMEDIATE", "INSERT INTO t VALUES (3)"]);
    assert_eq!(
        sql(&host, &["INSERT INTO t VALUES (4)", "SELECT v FROM t"]),
        ["", "1 4"]
    );
    // The same with a connection that its instance keeps.
    let keep = |script: &str| host.post("/sql?keep", script).body;
    assert_eq!(keep("BEGIN IMMEDIATE\nINSERT INTO t VALUES (5)"), "\n");
    assert_eq!(
        sql(&host, &["INSERT INTO t VALUES (6)", "SELECT v FROM t"]),
        ["", "1 4 6"]
    );
    let hidden = sql(&host, &["/* a comment */ BEGIN", "SELECT 1", "(BEGIN"]);
    assert_eq!(hidden[..2], ["", "1"]);
}

#[test]
#[ignore = "needs sqld"]
fn a_transaction_dies_with_its_instance() {
    let (app, server) = (granted(), Sqld::start());
    let host = start(&app, &server);
    sql(&host, &["CREATE TABLE t (v)"]);
    let kept = host.post("/sql?keep", "BEGIN IMMEDIATE\nINSERT INTO t VALUES (1)");
    assert_eq!(kept.status, 200);
    assert_eq!(host.get("/trap").status, 500);
    assert_eq!(
        sql(&host, &["INSERT INTO t VALUES (2)", "SELECT v FROM t"]),
        ["", "2"]
    );
}

#[test]
#[ignore = "needs sqld"]
fn statements_are_bounded_as_those_to_a_file() {
    let (app, server) = (granted(), Sqld::start());
    let bounds = [
        "--sql-timeout",
        "2s",
        "--max-sql-rows",
        "100",
        "--max-sql-result",
        "20000",
        "--max-sql-statement",
        "6000",
        "--max-sql-value",
        "5000",
    ];
    let host = start_with(&app, &server, &bounds);
    sql(&host, &["CREATE TABLE t (v)"]);
    let many = format!("{COUNTING} SELECT i FROM n LIMIT 101");
    let row = "printf('%.*c', 4000, 'x')";
    let much = format!("{COUNTING} SELECT {row} FROM n LIMIT 6");
    let far_more = format!("{COUNTING} SELECT {row} FROM n LIMIT 50");
    let long = format!("SELECT '{}'", "x".repeat(6000));
    let forever = format!("{COUNTING} SELECT count(*) FROM n");
    for (statement, error, flag) in [
        (many.as_str(), "exceeds limit of 100 rows", "--max-sql-rows"),
        (&much, "exceeds limit of 20000 bytes", "--max-sql-result"),
        (
            &far_more,
            "exceeds limit of 20000 bytes",
            "--max-sql-result",
        ),
        (&long, "statement too long", "--max-sql-statement"),
        (
            "SELECT printf('%.*c', 6000, 'x')",
            "too big",
            "--max-sql-value",
        ),
        (&forever, "interrupted", "--sql-timeout"),
    ] {
        let answers = sql(&host, &[statement, "SELECT 1"]);
        assert!(answers[0].contains(error), "{flag}: {answers:?}");
        assert_eq!(answers[1], "1", "the connection is of use afterwards");
        let line = host.logged(&format!("see {flag}"));
        assert!(line.contains("probe"), "{line}");
    }
    assert_eq!(sql(&host, &["SELECT count(*) FROM t"]), ["0"]);
}

#[test]
#[ignore = "needs sqld"]
fn requests_of_components_do_not_keep_a_database_waiting() {
    let app = granted_beside_hostile(
        "/parallel",
        "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]",
    );
    let server = Sqld::start();
    let bounds = ["--max-outbound-connections", "1", "--request-timeout", "3s"];
    let host = start_with(&app, &server, &bounds);
    let upstream = Upstream::silent();
    let url = format!("http://{}/", upstream.address);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| host.post("/parallel?1", &url).status);
        upstream.next_request();
        assert_eq!(sql(&host, &["SELECT 1"]), ["1"]);
        assert_eq!(asked.join().unwrap(), 504, "it had the only connection");
    });
}

#[test]
#[ignore = "needs sqld"]
fn what_could_break_isolation_is_refused() {
    let (app, server) = (granted(), Sqld::start());
    let host = start(&app, &server);
    sql(&host, &["CREATE TABLE t (v)"]);
    for statement in [
        "ATTACH ':memory:' AS a",
        "ATTACH '/tmp/other.db' AS a",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA temp_store_directory = '/tmp'",
        "SELECT load_extension('x')",
        "VACUUM INTO '/tmp/copy.db'",
    ] {
        let answers = sql(&host, &[statement, "INSERT INTO t VALUES (1)"]);
        assert!(
            answers[0].starts_with("error: "),
            "{statement}: {answers:?}"
        );
        assert_eq!(answers[1], "", "{statement}");
    }
}

#[test]
#[ignore = "needs sqld"]
fn a_server_that_goes_away_is_told_and_used_again_when_it_is_back() {
    let (app, server) = (granted(), Sqld::start());
    let host = start(&app, &server);
    sql(&host, &["CREATE TABLE t (v)", "INSERT INTO t VALUES (1)"]);
    server.kill();
    let answers = sql(&host, &["SELECT v FROM t"]);
    assert!(
        answers[0].contains("database server"),
        "the guest is told: {answers:?}"
    );
    server.restart();
    assert_eq!(sql(&host, &["SELECT v FROM t"]), ["1"]);
}

#[test]
#[ignore = "needs sqld"]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let (app, server) = (granted(), Sqld::start());
    server.kill();
    let host = start(&app, &server);
    host.logged("the database server cannot be reached");
    server.restart();
    assert_eq!(sql(&host, &["SELECT 1"]), ["1"]);
}

#[test]
#[ignore = "needs sqld"]
fn a_refused_token_keeps_it_from_starting_and_is_not_shown() {
    let app = granted();
    // user:password
    let server = Sqld::start_with(&["--http-auth", "basic:dXNlcjpwYXNzd29yZA=="]);
    let text = server
        .runtime_config()
        .replace("token = \"\"", "token = \"s3cret\"");
    let config = app.write("runtime-config.toml", &text);
    let (lines, code) = app.refused(&["--runtime-config-file", config.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("sqlite_database.default") && line.contains("refuses access")),
        "{lines:?}"
    );
    assert!(!lines.concat().contains("s3cret"));
}
