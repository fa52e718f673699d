//! What clients may take: each bound is gone over, its answer and its line in
//! the log are looked at, and somebody else is answered meanwhile.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::client::{Answer, Client, tcp};
use crate::process::{Application, Host};
use crate::tls_client::{Keys, secure};

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/json");
    for part in [
        r#""success":false"#.to_owned(),
        format!(r#""code":"{code}""#),
        format!(r#""type":"urn:runtime-host:problem:{code}""#),
        format!(r#""status":{status}"#),
        r#""retryable":"#.to_owned(),
    ] {
        assert!(answer.body.contains(&part), "{part} in {}", answer.body);
    }
}

/// What the host answers to these bytes, and that it closes then.
fn last_answer(host: &Host, bytes: &[u8]) -> Answer {
    let mut client = Client::connect(host.address);
    client.write(bytes);
    let answer = client.read();
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(answer.headers["x-request-id"].len(), 16);
    assert!(client.try_read().is_none(), "nothing comes after it");
    answer
}

#[test]
fn a_head_that_is_too_large_is_431_with_the_whole_body() {
    let app = Application::probe("");
    let host = app.start(&["--max-request-head", "8192"]);
    let head = |bytes: usize| {
        format!(
            "GET /count HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n",
            "y".repeat(bytes)
        )
    };
    let mut client = Client::connect(host.address);
    client.write(head(7000).as_bytes());
    assert_eq!(client.read().status, 200);
    // On a connection that was used before, too.
    client.write(head(9000).as_bytes());
    let answer = client.read();
    assert_problem(&answer, 431, "headers_too_large");
    assert!(client.try_read().is_none());

    // More than sockets hold, and still the answer is read.
    let answer = last_answer(&host, head(100_000).as_bytes());
    assert_problem(&answer, 431, "headers_too_large");
    let line = host.logged("--max-request-head");
    assert!(line.contains("too large"), "{line}");
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn too_many_headers_are_431() {
    let app = Application::probe("");
    let host = app.start(&["--max-request-headers", "20"]);
    let head = |number: usize| {
        let headers: String = (1..number).map(|n| format!("x-{n}: y\r\n")).collect();
        format!("GET /count HTTP/1.1\r\nhost: h\r\n{headers}\r\n")
    };
    let mut client = Client::connect(host.address);
    client.write(head(20).as_bytes());
    assert_eq!(client.read().status, 200);
    assert_problem(
        &last_answer(&host, head(21).as_bytes()),
        431,
        "headers_too_large",
    );
    host.logged("--max-request-headers");
}

#[test]
fn what_is_not_http_is_400_with_the_whole_body() {
    let app = Application::probe("");
    let host = app.start(&[]);
    for nonsense in [
        &b"this is not HTTP\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /count HTTP/1.1\r\nhost h\r\n\r\n",
        b"GET /count HTTP/9.9\r\nhost: h\r\n\r\n",
    ] {
        assert_problem(&last_answer(&host, nonsense), 400, "bad_request");
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "x".repeat(70_000));
    let host = app.start(&["--max-request-head", "100000"]);
    assert_problem(&last_answer(&host, long.as_bytes()), 414, "uri_too_long");
}

#[test]
fn an_answer_of_a_component_is_never_taken_for_the_host_s() {
    let app = Application::probe("");
    let host = app.start(&[
        "--max-request-body",
        "20000000",
        "--max-instance-memory",
        "512",
    ]);
    let mut client = Client::connect(host.address);
    // Whatever a component's answer has in it, and wherever it is cut.
    let body = "HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n".repeat(100_000);
    client.write(crate::client::head("POST", "/echo", &body).as_bytes());
    let answer = client.read();
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "it is as it was");
}

#[test]
fn a_head_that_does_not_end_is_408_and_an_idle_connection_just_closed() {
    let app = Application::probe("");
    let host = app.start(&["--head-timeout", "500ms"]);
    // Byte after byte: only the whole head counts.
    let slow = tcp(host.address);
    let writer = slow.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        let mut writer = writer;
        for byte in b"GET /count HTTP/1.1\r\nhost: h\r\nx: "
            .iter()
            .chain([b'y'].iter().cycle())
        {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(
        host.get("/count").status,
        200,
        "others are answered meanwhile"
    );
    let mut client = Client::over(slow.try_clone().unwrap());
    assert_problem(&client.read(), 408, "request_timeout");
    slow.shutdown(Shutdown::Both).unwrap();
    dripping.join().unwrap();
    host.logged("--head-timeout");

    // The second head, after an answer.
    let mut client = Client::connect(host.address);
    client.write(b"GET /count HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.read().status, 200);
    client.write(b"GET /co");
    assert_problem(&client.read(), 408, "request_timeout");

    let mut idle = tcp(host.address);
    let mut nothing = Vec::new();
    idle.read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty(), "it asked nothing");
}

#[test]
fn bodies_are_bounded_in_size_and_time() {
    let app = Application::probe("");
    let host = app.start(&["--max-request-body", "1000", "--body-timeout", "200ms"]);
    // More than sockets hold: it is told all the same.
    let large = crate::client::head("POST", "/echo", &"x".repeat(900_000));
    assert_problem(
        &last_answer(&host, large.as_bytes()),
        413,
        "payload_too_large",
    );
    let line = host.logged("--max-request-body");
    assert!(line.contains("probe"), "{line}");
    let slow = b"POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab";
    assert_problem(&last_answer(&host, slow), 408, "request_timeout");
    host.logged("--body-timeout");
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn one_address_has_only_its_share_of_connections() {
    let app = Application::probe("");
    let host = app.start(&["--max-connections-per-address", "3"]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(host.address)).collect();
    for client in &mut clients {
        client.write(b"GET /count HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(client.read().status, 200);
    }
    for _ in 0..20 {
        let answer = last_answer(&host, b"GET /count HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_problem(&answer, 429, "too_many_connections");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    host.logged("--max-connections-per-address");
    // Those that it has are not touched, and when one ends there is another.
    for client in &mut clients {
        client.write(b"GET /count HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(client.read().status, 200);
    }
    clients.pop();
    let started = Instant::now();
    while host.get("/count").status != 200 {
        assert!(started.elapsed() < PATIENCE);
    }
}

#[test]
fn beyond_all_connections_is_503() {
    let app = Application::probe("");
    let host = app.start(&["--max-connections", "2"]);
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(host.address)).collect();
    for client in &mut clients {
        client.write(b"GET /count HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(client.read().status, 200);
    }
    let answer = last_answer(&host, b"");
    assert_problem(&answer, 503, "too_many_connections");
    host.logged("see --max-connections");
    clients.pop();
    let started = Instant::now();
    while host.get("/count").status != 200 {
        assert!(started.elapsed() < PATIENCE);
    }
}

#[test]
fn those_who_are_refused_and_do_not_go_keep_nobody_from_being_let_in() {
    let app = Application::probe("");
    let host = app.start(&["--max-connections-per-address", "1"]);
    let mut first = Client::connect(host.address);
    first.write(b"GET /count HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(first.read().status, 200);
    // They neither read nor close.
    let stubborn: Vec<_> = (0..200).map(|_| tcp(host.address)).collect();
    // They are looked at in turn: once this one is refused, all are.
    let mut last = Vec::new();
    let _ = tcp(host.address).read_to_end(&mut last);
    first.write(b"GET /count HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(first.read().status, 200);
    drop(first);
    let started = Instant::now();
    while Client::connect(host.address)
        .get("/count")
        .is_none_or(|answer| answer.status != 200)
    {
        assert!(started.elapsed() < PATIENCE);
    }
    drop(stubborn);
    let lines = host.log_lines();
    let told = lines.iter().filter(|line| line.contains("is refused"));
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(
        told.count() < 100 + seconds,
        "a flood is not logged line by line"
    );
}

#[test]
fn a_tls_handshake_that_does_not_end_is_given_up() {
    let keys = Keys::new();
    let app = Application::probe("");
    keys.write(&app);
    let host = secure(&app, &["--tls-handshake-timeout", "200ms"]);
    let mut silent = tcp(host.address);
    let mut nothing = Vec::new();
    silent.read_to_end(&mut nothing).unwrap();
    assert!(nothing.is_empty());
    host.logged("--tls-handshake-timeout");
}
