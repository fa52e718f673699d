//! What components' requests may take.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::process::Application;
use crate::upstream::{Next, Upstream, respond};

fn open() -> Application {
    Application::hostile("allowed_outbound_hosts = [\"*://*:*\"]\n")
}

/// Says nothing, or no more than its head and a beginning.
fn halting(beginning: &'static str) -> Upstream {
    Upstream::start(move |_, stream| {
        let _ = stream.write_all(beginning.as_bytes());
        std::thread::sleep(Duration::from_secs(3600));
        Next::Close
    })
}

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";

#[test]
fn the_host_s_times_hold_whatever_the_guest_asks_for() {
    let app = open();
    let silent = halting("");
    let host = app.start(&["--outbound-first-byte-timeout", "200ms"]);
    let url = format!("http://{}/", silent.address);
    for path in ["/parallel?1", "/impatient?3600000"] {
        let answer = host.post(path, &url).body;
        assert!(answer.contains("ConnectionReadTimeout"), "{answer}");
    }
    let line = host.logged("see --outbound-first-byte-timeout");
    let port = silent.address.port().to_string();
    assert!(line.contains("hostile") && line.contains(&port), "{line}");

    let half = halting(HALF);
    let host = app.start(&["--outbound-between-bytes-timeout", "200ms"]);
    let answer = host
        .post("/impatient?3600000", &format!("http://{}/", half.address))
        .body;
    assert!(
        answer.contains("body: ErrorCode::ConnectionReadTimeout"),
        "{answer}"
    );
    host.logged("see --outbound-between-bytes-timeout");
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn a_guest_may_ask_for_shorter_times() {
    let app = open();
    let silent = halting("");
    let host = app.start(&[]);
    let answer = host
        .post("/impatient?100", &format!("http://{}/", silent.address))
        .body;
    assert!(answer.contains("ConnectionReadTimeout"), "{answer}");
    let told = host
        .log_lines()
        .iter()
        .any(|line| line.contains("--outbound"));
    assert!(!told, "no bound of the host was exceeded");
}

#[test]
fn connecting_is_bounded_too() {
    // Takes the connection, and never answers the TLS handshake.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let app = open();
    let host = app.start(&["--outbound-connect-timeout", "200ms"]);
    let answer = host.post("/impatient?3600000", &url).body;
    assert!(answer.contains("ConnectionTimeout"), "{answer}");
    host.logged("see --outbound-connect-timeout");
}

#[test]
fn an_answer_that_is_too_large_is_cut_off() {
    let announced = Upstream::answering("x");
    let large = Upstream::start(|_, stream| {
        respond(stream, "200 OK", &"x".repeat(1001));
        Next::KeepAlive
    });
    let endless = Upstream::start(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = stream.write_all(b"5\r\nhello\r\n");
        }
        Next::Close
    });
    let app = open();
    let host = app.start(&["--max-outbound-response", "1000"]);
    let get = |upstream: &Upstream| {
        host.post("/parallel?1", &format!("http://{}/", upstream.address))
            .body
    };
    assert_eq!(get(&announced), "x");
    let answer = get(&large);
    assert!(
        answer.contains("error: ErrorCode::HttpResponseBodySize(Some(1001))"),
        "{answer}"
    );
    let answer = get(&endless);
    assert!(
        answer.contains("body: ErrorCode::HttpResponseBodySize"),
        "{answer}"
    );
    let line = host.logged("see --max-outbound-response");
    assert!(line.contains("hostile"), "{line}");
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn a_body_without_an_end_ends_with_its_request() {
    let upstream = Upstream::start(|_, _| Next::Close);
    let app = open();
    let host = app.start(&["--request-timeout", "1s"]);
    let status = host
        .get(&format!("/endless-upload?{}", upstream.address))
        .status;
    assert_eq!(status, 504);
    assert_eq!(host.get("/count").status, 200);
    assert_eq!(host.get("/fine").status, 200);
}

/// An upstream that holds all requests until so many are there at once, and
/// the most that there ever were.
fn crowd(wanted: usize) -> (Upstream, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new((Mutex::new(0_usize), std::sync::Condvar::new()));
    let counted = Arc::clone(&most);
    let upstream = Upstream::start(move |_, stream| {
        let (count, changed) = &*now;
        let mut there = count.lock().unwrap();
        *there += 1;
        counted.fetch_max(*there, Ordering::SeqCst);
        changed.notify_all();
        // Long enough for one more than is allowed to show up.
        let (mut there, _) = changed
            .wait_timeout_while(there, Duration::from_millis(300), |there| *there <= wanted)
            .unwrap();
        *there -= 1;
        drop(there);
        respond(stream, "200 OK", "ok");
        Next::KeepAlive
    });
    (upstream, most)
}

#[test]
fn requests_of_one_instance_take_turns() {
    let (upstream, most) = crowd(3);
    let app = open();
    let host = app.start(&["--max-instance-outbound-requests", "3"]);
    let answer = host
        .post("/parallel?12", &format!("http://{}/", upstream.address))
        .body;
    assert_eq!(answer, ["ok"; 12].join("\n"), "all of them are answered");
    assert!((2..=3).contains(&most.load(Ordering::SeqCst)));
}

#[test]
fn connections_to_one_host_are_bounded_and_used_again() {
    let (upstream, most) = crowd(2);
    let app = open();
    let host = app.start(&["--max-outbound-connections-per-host", "2"]);
    let answer = host
        .post("/parallel?10", &format!("http://{}/", upstream.address))
        .body;
    assert_eq!(answer, ["ok"; 10].join("\n"));
    assert!(most.load(Ordering::SeqCst) <= 2);
    assert!(upstream.connections() <= 2);
    // Another host is not in that queue.
    let other = Upstream::answering("other");
    let answer = host
        .post("/parallel?1", &format!("http://{}/", other.address))
        .body;
    assert_eq!(answer, "other");
}

#[test]
fn who_waits_in_vain_for_a_connection_is_told_that_nothing_was_sent() {
    let (release, released) = channel();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        respond(stream, "200 OK", "late");
        Next::KeepAlive
    });
    let app = open();
    for flag in [
        "--max-outbound-connections",
        "--max-outbound-connections-per-host",
        "--max-instance-outbound-requests",
    ] {
        let before = upstream.requests();
        let host = app.start(&[flag, "1", "--outbound-connect-timeout", "2s"]);
        let url = format!("http://{}/", upstream.address);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| host.post("/parallel?2", &url).body);
            let line = host.logged(&format!("see {flag}"));
            assert!(line.contains("hostile"), "{line}");
            release.send(()).unwrap();
            let answer = asked.join().unwrap();
            assert!(answer.contains("late"), "{answer}");
            assert!(answer.contains("ConnectionLimitReached"), "{answer}");
        });
        assert_eq!(upstream.requests() - before, 1);
    }
}

#[test]
fn idle_connections_make_room_for_others() {
    let (one, two) = (Upstream::answering("one"), Upstream::answering("two"));
    let app = open();
    let host = app.start(&["--max-outbound-connections", "1"]);
    for _ in 0..3 {
        for (upstream, body) in [(&one, "one"), (&two, "two")] {
            let answer = host
                .post("/parallel?1", &format!("http://{}/", upstream.address))
                .body;
            assert_eq!(answer, body);
        }
    }
}
