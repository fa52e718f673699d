//! Stopping.

use std::sync::mpsc::channel;

use crate::process::{Application, sql};
use crate::upstream::{Next, Upstream, respond};

/// A server that holds each answer back until it is released.
fn held() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (release, released) = channel();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        respond(stream, "200 OK", "late");
        Next::KeepAlive
    });
    (upstream, release)
}

#[test]
fn requests_in_flight_are_answered_before_the_end() {
    for signal in ["TERM", "INT"] {
        let (upstream, release) = held();
        let app = Application::probe("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
        let mut host = app.start(&[]);
        let address = host.address;
        let what = format!("GET http://{}/", upstream.address);
        let in_flight =
            std::thread::spawn(move || crate::client::request(address, "POST", "/fetch", &what));
        upstream.next_request();
        host.signal(signal);
        host.logged("stopping");
        // Nobody else is let in.
        while std::net::TcpStream::connect(address).is_ok() {
            std::thread::yield_now();
        }
        release.send(()).unwrap();
        let answer = in_flight.join().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "200 late"));
        assert_eq!(host.ended().code(), Some(0));
    }
}

#[test]
fn idle_connections_do_not_keep_it() {
    let app = Application::probe("");
    let mut host = app.start(&[]);
    let mut client = crate::client::Client::connect(host.address);
    client.write(crate::client::head("GET", "/count", "").as_bytes());
    assert_eq!(client.read().status, 200);
    host.signal("TERM");
    assert_eq!(host.ended().code(), Some(0));
    let lines = host.log_lines();
    assert!(
        !lines.iter().any(|line| line.contains("ERROR")),
        "its idle instance is no fault: {lines:?}"
    );
}

#[test]
fn a_second_signal_and_the_timeout_end_it_at_once() {
    for arguments in [&["--shutdown-timeout", "100ms"][..], &[]] {
        let (upstream, _release) = held();
        let app = Application::probe("allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
        let mut host = app.start(arguments);
        let address = host.address;
        let what = format!("GET http://{}/", upstream.address);
        let in_flight = std::thread::spawn(move || {
            let mut client = crate::client::Client::connect(address);
            client.write(crate::client::head("POST", "/fetch", &what).as_bytes());
            client.try_read().is_none()
        });
        upstream.next_request();
        host.signal("TERM");
        host.logged("stopping");
        if arguments.is_empty() {
            host.signal("TERM");
        }
        assert_eq!(host.ended().code(), Some(0));
        assert!(in_flight.join().unwrap(), "its connection was closed");
    }
}

#[test]
fn it_tells_that_it_leaves_before_it_does() {
    const READY: &str = "/.well-known/runtime-host/ready";
    let app = Application::probe("");
    let mut host = app.start(&["--shutdown-delay", "1h"]);
    let mut kept = crate::client::Client::connect(host.address);
    kept.write(crate::client::head("GET", "/count", "").as_bytes());
    assert!(!kept.read().headers.contains_key("connection"));
    let answer = host.get(READY);
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready"));

    host.signal("TERM");
    host.logged("stopping");
    let answer = host.get(READY);
    assert_eq!((answer.status, answer.body.as_str()), (503, "draining"));
    assert_eq!(host.get("/.well-known/runtime-host/live").status, 200);
    assert_eq!(host.get("/.well-known/spin/health").body, "OK");
    assert_eq!(host.get("/.well-known/runtime-host/other").status, 404);
    // Requests are answered as before, and their connections end.
    assert_eq!(host.get("/count").status, 200);
    kept.write(crate::client::head("GET", "/count", "").as_bytes());
    let answer = kept.read();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["connection"], "close");
    assert!(kept.try_read().is_none());

    host.signal("TERM");
    host.logged("stopping at once");
    assert_eq!(host.ended().code(), Some(0));
}

#[test]
fn after_the_delay_it_ends() {
    let app = Application::probe("");
    let mut host = app.start(&["--shutdown-delay", "100ms"]);
    let mut idle = crate::client::Client::connect(host.address);
    idle.write(crate::client::head("GET", "/count", "").as_bytes());
    assert_eq!(idle.read().status, 200);
    host.signal("TERM");
    assert!(idle.try_read().is_none());
    assert_eq!(host.ended().code(), Some(0));
}

#[test]
fn a_stop_leaves_databases_and_stores_complete_in_one_file_each() {
    let grants = "sqlite_databases = [\"default\"]\nkey_value_stores = [\"default\"]\n";
    let app = Application::probe(grants);
    let mut host = app.start(&[]);
    sql(&host, &["CREATE TABLE t (v)", "INSERT INTO t VALUES (7)"]);
    assert_eq!(host.post("/store", "set a 8").status, 200);
    let logs = ["sqlite_db.db-wal", "sqlite_key_value.db-wal"]
        .map(|name| app.path().join(".spin").join(name));
    assert!(logs.iter().all(|log| log.exists()));
    host.signal("TERM");
    assert_eq!(host.ended().code(), Some(0));
    assert!(!logs.iter().any(|log| log.exists()));
    let host = app.start(&[]);
    assert_eq!(sql(&host, &["SELECT v FROM t"]), ["7"]);
    assert_eq!(host.post("/store", "get a").body, "8");
}
