//! Components that fail, loop, grow, and live long.

use std::time::{Duration, Instant};

use crate::process::{Application, refused};

/// For what takes a while.
const PATIENCE: Duration = Duration::from_secs(60);
/// Each connection meets the instance of the one before.
const ONE_THREAD: [&str; 2] = ["--threads", "1"];

#[test]
fn connections_take_turns_at_the_threads() {
    let app = Application::probe("");
    let host = app.start(&["--threads", "2"]);
    let counts: Vec<String> = (0..4).map(|_| host.get("/count").body).collect();
    assert_eq!(counts, ["1", "1", "2", "2"]);
}

#[test]
fn a_trap_is_500_with_an_id_and_the_next_request_is_answered() {
    let app = Application::probe("");
    let host = app.start(&ONE_THREAD);
    assert_eq!(host.get("/count").body, "1");
    assert_eq!(host.get("/count").body, "2", "instances are used again");
    let answer = host.get("/trap");
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.contains(r#""message":"Internal error""#),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("as asked"), "no detail goes out");
    let id = answer
        .body
        .split(r#""id":""#)
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    host.logged(id);
    host.logged("as asked");
    assert_eq!(host.get("/count").body, "1", "a fresh instance");
}

#[test]
fn a_guest_that_never_gives_way_is_stopped() {
    let app = Application::probe("");
    let host = app.start(&["--request-timeout", "300ms", "--max-instances", "4"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let started = Instant::now();
                let answer = host.get("/spin");
                assert_eq!(answer.status, 504, "{}", answer.body);
                assert!(started.elapsed() < Duration::from_secs(10));
            });
        }
    });
    // They are gone, and others are answered.
    for _ in 0..4 {
        assert_eq!(host.get("/count").status, 200);
    }
}

#[test]
fn requests_beyond_all_instances_wait_and_are_then_refused() {
    let app = Application::probe("");
    let host = app.start(&[
        "--max-instances",
        "1",
        "--queue-timeout",
        "100ms",
        "--request-timeout",
        "2s",
    ]);
    std::thread::scope(|scope| {
        let spinning = scope.spawn(|| host.get("/spin"));
        // Whether it has begun shows in that others have to wait.
        let started = Instant::now();
        while host.get("/count").status != 503 {
            assert!(started.elapsed() < Duration::from_secs(2));
        }
        assert_eq!(spinning.join().unwrap().status, 504);
    });
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn memory_is_bounded() {
    let app = Application::probe("");
    let host = app.start(&["--threads", "1", "--max-instance-memory", "16"]);
    assert_eq!(host.get("/grow?8").status, 200);
    assert_eq!(host.get("/grow?32").status, 500);
    assert_eq!(host.get("/count").body, "1");
}

#[test]
fn an_instance_is_replaced_after_so_many_requests() {
    let app = Application::probe("");
    let host = app.start(&["--threads", "1", "--max-instance-reuse-count", "2"]);
    let counts: Vec<String> = (0..5).map(|_| host.get("/count").body).collect();
    assert_eq!(counts, ["1", "2", "1", "2", "1"]);
}

#[test]
fn output_is_logged_with_the_component_s_name() {
    let app = Application::probe("");
    let host = app.start(&[]);
    host.get("/print?hello");
    let line = host.logged("hello to stdout");
    assert!(line.contains("INFO") && line.contains("probe"), "{line}");
    let line = host.logged("hello to stderr");
    assert!(line.contains("WARN") && line.contains("probe"), "{line}");

    let host = app.start(&["--quiet"]);
    host.get("/print?hello");
    assert_eq!(host.get("/trap").status, 500);
    host.logged("the instance was stopped");
    assert!(!host.log_lines().iter().any(|line| line.contains("hello")));
}

#[cfg(target_os = "linux")]
#[test]
fn compiled_components_are_kept() {
    let app = Application::probe("");
    // Where times of change are relied on, wherever the tests run.
    let home = tempfile::tempdir_in("/dev/shm").unwrap();
    let cache = home.path().join("cache");
    let start = || {
        crate::process::Host::start(
            app.command()
                .args(["--cache-dir", cache.to_str().unwrap()])
                .env("RUST_LOG", "debug"),
        )
    };
    let files = || -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(&cache).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|e| e == "cwasm"))
            .collect()
    };
    start().logged("is not in the cache");
    let made = files();
    assert_eq!(made.len(), 1);
    start().logged("is whole and can be loaded");
    // Once the file is known to be as it was, nothing of it is read.
    let begun = Instant::now();
    let known = loop {
        assert!(begun.elapsed() < PATIENCE);
        let next = start();
        if next
            .logged(".cwasm is ")
            .contains("as an earlier start left it")
        {
            break next;
        }
        // What a start has found out is written once it serves.
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(known.get("/count").body, "1");
    assert_eq!(files(), made);

    // It does not fit under every bound.
    let mut narrow = app.command();
    narrow.args(["--cache-dir", cache.to_str().unwrap()]);
    let (lines, code) = refused(narrow.args(["--max-instance-memory", "1"]));
    assert_ne!(code, 0);
    assert!(
        lines.iter().any(|line| line.contains("memory")),
        "{lines:?}"
    );

    let mut bytes = std::fs::read(&made[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&made[0], bytes).unwrap();
    let mended = start();
    mended.logged("is unusable: it is damaged");
    assert_eq!(mended.get("/count").body, "1");
    assert_eq!(files(), made);

    // What is yet to be loaded needs no more than was found at the start.
    let last = start();
    last.logged("is whole and can be loaded");
    std::fs::remove_file(&made[0]).unwrap();
    assert_eq!(last.get("/count").body, "1");
}
