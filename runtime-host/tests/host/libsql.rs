//! Databases with a libSQL server. These tests need one, so they run only when asked for:
//! `cargo test --release -p runtime-host --test host -- --ignored`

use crate::process::{Application, Host, granted, sql};
use crate::sqld::Sqld;
use crate::sqlite::{VALUES, VALUES_GIVE};

fn start(app: &Application, server: &Sqld) -> Host {
    let config = app.write("runtime-config.toml", &server.runtime_config());
    app.start(&["--runtime-config-file", config.to_str().unwrap()])
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
