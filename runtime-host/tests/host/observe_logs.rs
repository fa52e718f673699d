//! The log and what components print: formats, files and their rotation.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::Application;

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

fn output(app: &Application, name: &str) -> PathBuf {
    app.path().join(".spin/logs").join(name)
}

#[test]
fn the_log_can_be_json() {
    let app = Application::probe("");
    let mut host = app.start(&["--log-format", "json"]);
    host.get("/print?hello");
    host.logged("hello to stdout");
    host.signal("TERM");
    assert!(host.ended().success());
    host.logged("stopping");
    for line in host.log_lines() {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(
            value["level"].is_string() && value["timestamp"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn what_a_component_prints_is_in_files_as_with_spin() {
    let app = Application::new(
        "[[trigger.http]]\nroute = \"/print\"\ncomponent = \"one\"\n\
         [[trigger.http]]\nroute = \"/print/...\"\ncomponent = \"two\"\n\
         [component.one]\nsource = \"@probe@\"\n[component.two]\nsource = \"@probe@\"\n",
    );
    let host = app.start(&["--follow", "two"]);
    host.get("/print?first");
    host.get("/print/more?second");
    host.logged("second to stdout");
    host.logged("second to stderr");
    let (stdout, stderr) = (
        output(&app, "one_stdout.txt"),
        output(&app, "one_stderr.txt"),
    );
    wait_for("the files of one", || {
        read(&stdout) == "first to stdout\n" && read(&stderr) == "first to stderr\n"
    });
    wait_for("the files of two", || {
        read(&output(&app, "two_stdout.txt")) == "second to stdout\n"
    });
    assert!(!host.log_lines().iter().any(|line| line.contains("first")));
    drop(host);

    // Appended to, unless they are to be truncated; also when nothing is logged.
    let host = app.start(&["--quiet"]);
    host.get("/print?third");
    wait_for("the line of the second run", || {
        read(&stdout) == "first to stdout\nthird to stdout\n"
    });
    drop(host);
    let elsewhere = app.path().join("elsewhere");
    let host = app.start(&["-L", elsewhere.to_str().unwrap()]);
    host.get("/print?fourth");
    wait_for("the other directory", || {
        read(&elsewhere.join("one_stdout.txt")) == "fourth to stdout\n"
    });
    drop(host);
    let host = app.start(&["--truncate-logs"]);
    host.get("/print?fifth");
    wait_for("the truncated file", || {
        read(&stdout) == "fifth to stdout\n"
    });
    drop(host);
    let host = app.start(&["--log-dir", ""]);
    host.get("/print?sixth");
    host.logged("sixth to stdout");
    drop(host);
    assert_eq!(read(&stdout), "fifth to stdout\n");

    let (lines, code) = app.refused(&["--follow", "three"]);
    assert_eq!(code, 2);
    assert!(
        lines[0].contains("three") && lines[0].contains("one, two"),
        "{lines:?}"
    );
}

#[test]
fn files_are_bounded_and_not_for_everyone() {
    let app = Application::probe("");
    let log = app.path().join("host.log");
    let config = app.write(
        "config.yaml",
        &format!("logging:\n  file: {}\n", log.display()),
    );
    let host = app.start(&[
        "--config",
        config.to_str().unwrap(),
        "--log-max-size",
        "1",
        "--log-keep",
        "2",
    ]);
    let stdout = output(&app, "probe_stdout.txt");
    let old = |path: &Path, n: u32| PathBuf::from(format!("{}.{n}", path.display()));
    let text = "x".repeat(8000);
    // Each prints 8 000 bytes twice: both into the log, one into each file.
    for number in 0..600 {
        assert_eq!(host.get(&format!("/print?{number}-{text}")).status, 200);
    }
    wait_for("the last line", || read(&stdout).contains("599-"));
    wait_for("the last line in the log", || read(&log).contains("599-"));
    for path in [&stdout, &log] {
        for path in [path.clone(), old(path, 1), old(path, 2)] {
            let metadata = path
                .metadata()
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(metadata.len() <= 1 << 20, "{}", path.display());
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = metadata.permissions().mode();
                assert_eq!(mode & 0o137, 0, "{}: {mode:o}", path.display());
            }
        }
        assert!(!old(path, 3).exists());
    }
    // Of what was kept, no line was lost or cut between two files.
    let kept: String = [old(&stdout, 2), old(&stdout, 1), stdout.clone()]
        .iter()
        .map(|path| read(path))
        .collect();
    let numbers: Vec<u32> = kept
        .lines()
        .map(|line| line.split_once('-').unwrap().0.parse().unwrap())
        .collect();
    let first = numbers[0];
    assert!(numbers.iter().copied().eq(first..600), "{numbers:?}");
}

#[cfg(unix)]
#[test]
fn a_file_that_logrotate_moved_is_made_anew_on_sighup() {
    let app = Application::probe("");
    let host = app.start(&[]);
    let stdout = output(&app, "probe_stdout.txt");
    let moved = app.path().join("moved");
    host.get("/print?before");
    wait_for("the first line", || read(&stdout) == "before to stdout\n");
    std::fs::rename(&stdout, &moved).unwrap();
    host.signal("HUP");
    host.logged("log files are opened anew");
    wait_for("the new file", || stdout.exists());
    host.get("/print?after");
    wait_for("the second line", || read(&stdout) == "after to stdout\n");
    assert_eq!(read(&moved), "before to stdout\n");
}
