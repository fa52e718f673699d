//! Routes, headers and what the server itself answers.

use crate::client::{Client, head};
use crate::process::{Application, Host};

fn routed() -> Application {
    Application::new(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [[trigger.http]]
        route = "/headers/:node_id/..."
        component = "probe"
        [[trigger.http]]
        route = "/headers/known"
        component = "probe"
        [[trigger.http]]
        route = { private = true }
        component = "check"
        [component.probe]
        source = "@probe@"
        description = "does as asked"
        [component.check]
        source = "@check@"
        "#,
    )
}

fn header(host: &Host, path: &str, name: &str) -> String {
    let body = host.get(path).body;
    body.lines()
        .find_map(|line| line.strip_prefix(&format!("{name}: ")))
        .unwrap_or_else(|| panic!("no {name} in {body}"))
        .to_owned()
}

#[test]
fn components_get_the_headers_of_spin_that_the_application_names() {
    let app = Application::new(
        "[application.tool.runtime-host]\nspin_headers = [\"matched-route\"]\n\
         [[trigger.http]]\nroute = \"/headers/:node_id\"\ncomponent = \"probe\"\n\
         [component.probe]\nsource = \"@probe@\"\n",
    );
    let host = app.start(&[]);
    let body = host.get("/headers/n1").body;
    let mut names: Vec<&str> = body
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("spin-"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["spin-matched-route", "spin-path-match-node-id"]);

    let app = Application::new(
        "[application.tool.runtime-host]\nspin_headers = [\"route\"]\n\
         [[trigger.http]]\nroute = \"/\"\ncomponent = \"probe\"\n\
         [component.probe]\nsource = \"@probe@\"\n",
    );
    let (lines, code) = app.refused(&[]);
    assert_eq!((lines.len(), code), (1, 2), "{lines:#?}");
    assert!(lines[0].contains("`route`, expected one of"), "{lines:?}");
    assert!(lines[0].contains("`matched-route`"), "{lines:?}");
}

#[test]
fn the_best_route_wins_and_headers_tell_of_it() {
    let app = routed();
    let host = app.start(&[]);
    for (path, route) in [
        ("/headers", "/..."),
        ("/headers/known", "/headers/known"),
        ("/headers/n1", "/headers/:node_id/..."),
        ("/headers/n1/x/y", "/headers/:node_id/..."),
    ] {
        assert_eq!(header(&host, path, "spin-matched-route"), route, "{path}");
    }
    let path = "/headers/n1/x/y?q=1";
    assert_eq!(header(&host, path, "spin-path-match-node-id"), "n1");
    assert_eq!(header(&host, path, "spin-path-info"), "/x/y");
    assert_eq!(
        header(&host, path, "spin-full-url"),
        format!("http://localhost{path}")
    );
    assert!(header(&host, path, "spin-client-addr").starts_with("127.0.0.1:"));

    // Printed for people; the first line is for scripts.
    let lines = host.stdout_lines();
    assert_eq!(lines[0], format!("Serving http://{}", host.address));
    host.printed(&format!("  probe: http://{}/headers/known", host.address));
    host.printed("does as asked");
}

#[test]
fn a_client_cannot_pretend_to_be_the_host() {
    let app = routed();
    let host = app.start(&[]);
    let mut client = Client::connect(host.address);
    client.write(
        b"GET /headers/n1 HTTP/1.1\r\nhost: localhost\r\nspin-client-addr: 9.9.9.9:9\r\n\
          spin-path-match-node-id: n2\r\nspin-path-match-other: x\r\n\r\n",
    );
    let body = client.read().body;
    assert!(body.contains("spin-path-match-node-id: n1"), "{body}");
    assert!(!body.contains("n2") && !body.contains("9.9.9.9"), "{body}");
    assert!(!body.contains("spin-path-match-other"), "{body}");
}

#[test]
fn without_a_route_the_answer_is_404() {
    let app = Application::new(
        r#"
        [[trigger.http]]
        route = "/count"
        component = "probe"
        [[trigger.http]]
        route = { private = true }
        component = "check"
        [component.probe]
        source = "@probe@"
        [component.check]
        source = "@check@"
        "#,
    );
    let host = app.start(&["--quiet"]);
    let answer = host.get("/nothing");
    assert_eq!(answer.status, 404);
    assert!(
        answer.body.contains(r#""code":"not_found""#),
        "{}",
        answer.body
    );
    assert_eq!(host.get("/count").status, 200);
    assert_eq!(host.get("/.well-known/spin/health").body, "OK");
    let info = host.get("/.well-known/spin/info").body;
    assert!(info.contains(r#""name":"test""#) && info.contains(r#""version":"1.2.3""#));
    assert_eq!(host.get("/.well-known/spin/other").status, 404);
    assert_eq!(host.stdout_lines().len(), 1, "quiet");
}

#[test]
fn content_length_and_bodies_pass_and_connections_stay_open() {
    let app = Application::probe("");
    let host = app.start(&[]);
    let mut client = Client::connect(host.address);
    for body in ["", "x", "a longer one, ä"] {
        client.write(head("POST", "/echo", body).as_bytes());
        let answer = client.read();
        assert_eq!(answer.body, body);
    }
    client.write(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    client.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.read().body, "abcde");
}

#[test]
fn what_is_too_large_or_unclear_is_refused() {
    let app = Application::probe("");
    let host = app.start(&["--max-request-body", "1000"]);
    assert_eq!(host.post("/echo", &"x".repeat(1000)).status, 200);
    let answer = host.post("/echo", &"x".repeat(1001));
    assert_eq!(answer.status, 413);
    assert!(
        answer.body.contains(r#""success":false"#),
        "{}",
        answer.body
    );

    let mut client = Client::connect(host.address);
    client.write(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    client.write(format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000)).as_bytes());
    assert_eq!(
        client.read().status,
        413,
        "also when its size is not announced"
    );

    let mut client = Client::connect(host.address);
    client.write(
        format!(
            "GET /echo HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
            "y".repeat(20_000)
        )
        .as_bytes(),
    );
    assert_eq!(client.read().status, 431);

    let mut client = Client::connect(host.address);
    client.write(b"GET /echo HTTP/1.1\r\n\r\n");
    assert_eq!(client.read().status, 400);
}

#[test]
fn slow_clients_are_let_go() {
    let app = Application::probe("");
    let host = app.start(&["--body-timeout", "100ms", "--head-timeout", "200ms"]);
    let mut client = Client::connect(host.address);
    client.write(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nab");
    assert_eq!(client.read().status, 408);
    let mut client = Client::connect(host.address);
    client.write(b"GET /echo HT");
    assert!(
        client.try_read().is_none_or(|answer| answer.status == 408),
        "it is closed"
    );
    assert_eq!(host.get("/count").status, 200);
}

#[test]
fn refusals_have_the_whole_error_body() {
    let app = Application::new(
        "[[trigger.http]]\nroute = \"/echo\"\ncomponent = \"probe\"\n\
         [component.probe]\nsource = \"@probe@\"\n",
    );
    let host = app.start(&["--max-request-body", "10"]);
    for (accept, content_type) in [
        ("*/*", "application/json"),
        (
            "application/problem+json, application/json",
            "application/problem+json",
        ),
    ] {
        for (head, status, code, retryable) in [
            ("GET /none HTTP/1.1\r\nhost: h", 404, "not_found", "false"),
            (
                "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 11",
                413,
                "payload_too_large",
                "false",
            ),
            ("GET /echo HTTP/1.1", 400, "bad_request", "false"),
        ] {
            let mut client = Client::connect(host.address);
            client.write(format!("{head}\r\naccept: {accept}\r\n\r\n").as_bytes());
            let answer = client.read();
            assert_eq!(answer.status, status);
            assert_eq!(answer.headers["content-type"], content_type);
            for part in [
                r#""success":false"#.to_owned(),
                r#""message":""#.to_owned(),
                format!(r#""code":"{code}""#),
                format!(r#""type":"urn:runtime-host:problem:{code}""#),
                r#""title":""#.to_owned(),
                format!(r#""status":{status}"#),
                format!(r#""retryable":{retryable}"#),
            ] {
                assert!(answer.body.contains(&part), "{part} in {}", answer.body);
            }
        }
    }
}

#[test]
fn an_answer_that_nobody_takes_frees_its_instance() {
    let app = Application::probe("");
    let size = 12 << 20;
    let host = app.start(&[
        "--max-instances",
        "1",
        "--max-request-body",
        &size.to_string(),
        "--max-instance-memory",
        "512",
        "--request-timeout",
        "2s",
        "--body-timeout",
        "2s",
        "--queue-timeout",
        "50ms",
    ]);
    let mut client = Client::connect(host.address);
    client.write(head("POST", "/echo", &"x".repeat(size)).as_bytes());
    // It has the only instance until it has handed its answer over, which is
    // larger than what the sockets hold.
    for status in [503, 200] {
        let started = std::time::Instant::now();
        while host.get("/count").status != status {
            assert!(started.elapsed() < std::time::Duration::from_secs(60));
        }
    }
}
