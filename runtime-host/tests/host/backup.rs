//! Backups while requests go on, and what is restored from them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::process::{Application, Host, refused};

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn application(backups: &str) -> Application {
    Application::new(&format!(
        r#"
        [application.tool.runtime-host]
        {backups}
        [variables]
        interval = {{ default = "1" }}
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        sqlite_databases = ["default"]
        "#
    ))
}

fn sql(host: &Host, script: &[&str]) -> String {
    let answer = host.post("/sql", &script.join("\n"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.body.contains("rror"), "{}", answer.body);
    answer.body
}

/// `backup` or `restore`, on `app`.
fn command(app: &Application, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtime-host"));
    command.args(arguments).arg("--from").arg(app.path());
    command
}

/// Runs what must succeed: what it prints.
fn run(app: &Application, arguments: &[&str]) -> String {
    let output = command(app, arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

fn numbers(file: &Path, query: &str) -> Vec<i64> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
    let mut statement = connection.prepare(query).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends a host that must not have more to do.
fn stop(mut host: Host) {
    host.signal("TERM");
    assert_eq!(host.ended().code(), Some(0));
}

#[test]
fn backups_are_consistent_while_writes_go_on_and_only_so_many_are_kept() {
    let app = application("backups = { every_seconds = \"{{ interval }}\", keep = 2 }");
    let host = app.start(&[]);
    let directory = app.path().join(".spin/backups");
    let made = || {
        let lines = host.log_lines();
        lines.iter().filter(|l| l.contains("backed up to")).count()
    };
    sql(
        &host,
        &[
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
            "CREATE TABLE filler (v)",
            "BEGIN",
            "INSERT INTO t VALUES (1, 100000), (2, 0)",
            "COMMIT",
        ],
    );
    let before = made();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    sql(
                        &host,
                        &[
                            "BEGIN IMMEDIATE",
                            "UPDATE t SET v = v - 1 WHERE id = 1",
                            "INSERT INTO filler VALUES (randomblob(10000))",
                            "UPDATE t SET v = v + 1 WHERE id = 2",
                            "COMMIT",
                        ],
                    );
                }
            });
        }
        let started = Instant::now();
        // One may have begun before the table was there.
        while made() < before + 4 && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(made() >= before + 4, "backups are made");
    stop(host);
    let names = files(&directory);
    assert_eq!(names.len(), 2, "{names:?}");
    let mut earlier = 0;
    for name in names {
        let file = directory.join(&name);
        assert!(
            name.starts_with("default-20") && name.ends_with("Z.db"),
            "{name}"
        );
        let values = numbers(&file, "SELECT v FROM t ORDER BY id");
        assert_eq!(values.iter().sum::<i64>(), 100_000, "{values:?}");
        let rows = numbers(&file, "SELECT count(*) FROM filler");
        assert_eq!(rows, [values[1]], "of one moment");
        assert!(values[1] > earlier, "writes went on");
        earlier = values[1];
    }
}

#[test]
fn the_age_of_the_newest_backup_counts_across_restarts() {
    let app = application("backups = { every_seconds = 86400, directory = \"kept\" }");
    let host = app.start(&[]);
    host.logged("the next in 0 s");
    host.logged("backed up to");
    stop(host);
    let first = files(&app.path().join("kept"));
    assert_eq!(first.len(), 1);

    let host = app.start(&[]);
    let line = host.logged("the next in");
    let left: u64 = line
        .split_once("the next in ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap();
    assert!((80_000..=86_400).contains(&left), "{line}");
    stop(host);
    assert_eq!(files(&app.path().join("kept")), first);

    // One that is too old is followed by another at once.
    std::fs::rename(
        app.path().join("kept").join(&first[0]),
        app.path().join("kept/default-20200101T000000Z.db"),
    )
    .unwrap();
    let host = app.start(&[]);
    host.logged("backed up to");
    assert_eq!(files(&app.path().join("kept")).len(), 2);
}

#[test]
fn a_backup_that_fails_is_told_and_the_old_ones_stay() {
    let app = application("backups = { every_seconds = 1, keep = 1 }");
    let state = app.path().join(".spin");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("backups"), "no directory").unwrap();
    let host = app.start(&[]);
    host.logged("the backup failed: cannot make");
    assert_eq!(host.get("/count").status, 200);

    let app = application("backups = { every_seconds = 1, keep = 1, directory = \"other\" }");
    let old = app.path().join("other/default-20200101T000000Z.db");
    std::fs::create_dir(app.path().join("other")).unwrap();
    std::fs::write(&old, "old").unwrap();
    // The unfinished copy cannot be made.
    std::fs::create_dir(app.path().join("other/default.partial")).unwrap();
    let host = app.start(&[]);
    host.logged("the backup failed");
    assert!(old.exists());
    // Once it can be, the next one is made.
    std::fs::remove_dir(app.path().join("other/default.partial")).unwrap();
    wait_until("a backup is made", || !old.exists());
    assert_eq!(files(&app.path().join("other")).len(), 1);
}

#[test]
fn zero_means_none_and_misconfigurations_are_told() {
    let app = application("backups = { every_seconds = \"{{ interval }}\" }");
    let host = app.start(&["--variable", "interval=0"]);
    sql(&host, &["CREATE TABLE t (v)"]);
    stop(host);
    assert!(!app.path().join(".spin/backups").exists());
    let (lines, code) = app.refused(&["--variable", "interval=daily"]);
    assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
    assert!(
        lines[0].starts_with(
            "application.tool.runtime-host.backups.every_seconds: \"daily\", the value of"
        ),
        "{lines:#?}"
    );
    for (backups, needle) in [
        ("{ keep = 3 }", "missing field `every_seconds`"),
        (
            "{ every_seconds = 5, keep = 0 }",
            "backups.keep is 0; allowed are 1 to 1000",
        ),
        ("{ every_seconds = 5, keep = 1001 }", "backups.keep is 1001"),
        ("{ every_seconds = 5, kep = 1 }", "unknown field `kep`"),
        ("{ every_seconds = 0.5 }", "\"0.5\" is not allowed"),
        (
            "{ every_seconds = 5, directory = \"\" }",
            "backups.directory is empty",
        ),
    ] {
        let (lines, code) = application(&format!("backups = {backups}")).refused(&[]);
        assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
        assert!(lines[0].contains(needle), "{needle} in {lines:#?}");
    }
}

#[test]
fn a_restored_database_has_the_rows_of_the_backup_and_the_other_is_kept() {
    let app = application("backups = { every_seconds = 0, keep = 1 }");
    let (lines, _) = refused(&mut command(&app, &["backup"]));
    assert!(lines[0].contains("there is no database"), "{lines:?}");

    let host = app.start(&[]);
    sql(
        &host,
        &["CREATE TABLE t (v)", "INSERT INTO t VALUES (1), (2)"],
    );
    let printed = run(&app, &["backup"]);
    let backup = printed.trim().rsplit(' ').next().unwrap().to_owned();
    sql(
        &host,
        &["INSERT INTO t VALUES (3)", "DELETE FROM t WHERE v = 1"],
    );

    let restore = ["restore", &backup];
    let (lines, code) = refused(&mut command(&app, &restore));
    assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
    assert!(
        lines[0].contains("in use by a running host; stop it first"),
        "{lines:#?}"
    );
    assert_eq!(sql(&host, &["SELECT v FROM t"]), "2 3");
    // Killed: that must not be in the way.
    drop(host);

    let damaged = app.write("damaged.db", &"no database ".repeat(1000));
    let (lines, code) = refused(&mut command(&app, &["restore", damaged.to_str().unwrap()]));
    assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
    assert!(lines[0].contains("file is not a database"), "{lines:#?}");
    let (lines, _) = refused(&mut command(&app, &["restore", &backup, "--database", "x"]));
    assert!(
        lines[0].contains("there is no database \"x\""),
        "{lines:#?}"
    );

    let printed = run(&app, &restore);
    assert_eq!(printed.lines().count(), 2, "{printed}");
    let kept: Vec<PathBuf> = files(&app.path().join(".spin"))
        .iter()
        .filter(|name| name.starts_with("sqlite_db.db.before-restore-"))
        .map(|name| app.path().join(".spin").join(name))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(printed.contains(kept[0].to_str().unwrap()), "{printed}");
    assert_eq!(numbers(&kept[0], "SELECT v FROM t ORDER BY v"), [2, 3]);

    let host = app.start(&[]);
    assert_eq!(sql(&host, &["SELECT v FROM t"]), "1 2");
    sql(&host, &["INSERT INTO t VALUES (4)"]);
    stop(host);
    // And again, from the file that was kept.
    run(&app, &["restore", kept[0].to_str().unwrap()]);
    let host = app.start(&[]);
    assert_eq!(sql(&host, &["SELECT v FROM t"]), "2 3");
}

#[test]
fn a_backup_on_demand_rotates_too() {
    let app = application("backups = { every_seconds = 0, keep = 2 }");
    let state = app.path().join("state");
    let host = app.start(&["--state-dir", state.to_str().unwrap()]);
    sql(&host, &["CREATE TABLE t (v)"]);
    let directory = state.join("backups");
    std::fs::create_dir(&directory).unwrap();
    let old = [
        "default-20200101T000000Z.db",
        "default-20200102T000000Z.db",
        "default-mine.db",
        "other-20200101T000000Z.db",
    ];
    for name in old {
        std::fs::write(directory.join(name), "old").unwrap();
    }
    let printed = run(&app, &["backup", "--state-dir", state.to_str().unwrap()]);
    let made = printed.trim().rsplit('/').next().unwrap().to_owned();
    let mut expected = [old[1], &made, old[2], old[3]];
    expected.sort_unstable();
    assert_eq!(files(&directory), expected);
}
