//! Requests that components make.

use std::net::TcpListener;

use crate::process::{Application, Host};
use crate::upstream::{Next, Upstream, respond};

fn allowed(entry: &str) -> Application {
    Application::probe(&format!("allowed_outbound_hosts = [{entry:?}]\n"))
}

fn fetch(host: &Host, what: &str) -> String {
    let answer = host.post("/fetch", what);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[test]
fn only_what_is_allowed_is_reached() {
    let upstream = Upstream::answering("here");
    let other = Upstream::answering("there");
    let app = allowed(&format!("http://{}", upstream.address));
    let host = app.start(&[]);
    assert_eq!(
        fetch(&host, &format!("GET http://{}/", upstream.address)),
        "200 here"
    );
    for url in [
        format!("http://{}/", other.address),
        format!("https://{}/", upstream.address),
        format!("http://localhost:{}/", upstream.address.port()),
        "http://169.254.169.254/latest".to_owned(),
        "/relative".to_owned(),
    ] {
        let answer = fetch(&host, &format!("GET {url}"));
        assert!(
            answer.contains("HttpRequestDenied") || answer.contains("HttpRequestUriInvalid"),
            "{url}: {answer}"
        );
    }
    assert_eq!(other.requests(), 0);
    host.logged("allowed_outbound_hosts");
}

#[test]
fn redirects_are_answers() {
    let secret = Upstream::answering("secret");
    let location = format!("http://{}/", secret.address);
    let upstream = Upstream::start(move |_, stream| {
        respond(
            stream,
            &format!("302 Found\r\nlocation: {location}"),
            "moved",
        );
        Next::KeepAlive
    });
    let app = allowed(&format!("http://{}", upstream.address));
    let host = app.start(&[]);
    assert_eq!(
        fetch(&host, &format!("GET http://{}/", upstream.address)),
        "302 moved"
    );
    assert_eq!(secret.requests(), 0);
}

#[test]
fn hosts_may_be_templates() {
    let upstream = Upstream::answering("here");
    let app = Application::new(
        r#"
        [variables]
        rpc_host = { default = "127.0.0.1" }
        rpc_port = { required = true }
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        allowed_outbound_hosts = ["http://{{ rpc_host }}:{{ rpc_port }}"]
        "#,
    );
    let port = format!("rpc_port={}", upstream.address.port());
    let host = app.start(&["--variable", &port]);
    assert_eq!(
        fetch(&host, &format!("GET http://{}/", upstream.address)),
        "200 here"
    );
    let host = app.start(&["--variable", "rpc_port=1"]);
    let answer = fetch(&host, &format!("GET http://{}/", upstream.address));
    assert!(answer.contains("HttpRequestDenied"), "{answer}");
}

#[test]
fn bodies_and_connections_are_used_again() {
    let upstream = Upstream::answering("ok");
    let app = allowed("http://127.0.0.1:*");
    // With more, the next request may be there before a connection is back.
    let host = app.start(&["--threads", "1"]);
    for _ in 0..5 {
        let what = format!("POST http://{}/x?y=1\n{{\"a\":1}}", upstream.address);
        assert_eq!(fetch(&host, &what), "200 ok");
        let request = upstream.next_request();
        assert!(request.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{request}");
        assert!(
            request.ends_with("{\"a\":1}") || request.contains("{\"a\":1}"),
            "{request}"
        );
        let host_header = format!("host: {}\r\n", upstream.address);
        assert!(
            request.to_ascii_lowercase().contains(&host_header),
            "{request}"
        );
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn not_sent_and_perhaps_sent_are_told_apart() {
    let app = allowed("*://*:*");
    let host = app.start(&[]);
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let refused = fetch(&host, &format!("POST http://127.0.0.1:{port}/\nx"));
    assert!(refused.contains("ConnectionRefused"), "{refused}");
    let unknown = fetch(&host, "POST http://no-such-host.invalid/\nx");
    assert!(unknown.contains("DnsError"), "{unknown}");

    let dropping = Upstream::start(|_, _| Next::Close);
    let dropped = fetch(&host, &format!("POST http://{}/\nx", dropping.address));
    assert!(dropped.contains("ConnectionTerminated"), "{dropped}");
    assert_eq!(dropping.requests(), 1, "it is not sent again");

    let halting = Upstream::start(|_, stream| {
        use std::io::Write as _;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        Next::Close
    });
    let half = fetch(&host, &format!("GET http://{}/", halting.address));
    assert!(
        half.starts_with("200 error:") && half.contains("ConnectionTerminated"),
        "{half}"
    );

    let talking = Upstream::start(|_, stream| {
        use std::io::Write as _;
        let _ = stream.write_all(b"this is not HTTP\r\n\r\n");
        Next::Close
    });
    let nonsense = fetch(&host, &format!("GET http://{}/", talking.address));
    assert!(nonsense.contains("HttpProtocolError"), "{nonsense}");
}

#[test]
fn a_connection_closed_while_idle_costs_nothing() {
    // Answers, and closes without saying so beforehand.
    let upstream = Upstream::start(|_, stream| {
        respond(stream, "200 OK", "once");
        Next::Close
    });
    let app = allowed("http://127.0.0.1:*");
    let host = app.start(&[]);
    for number in 1..=5 {
        let answer = fetch(&host, &format!("POST http://{}/\nx", upstream.address));
        // Either the closing was seen in time and another connection made, or
        // it is told that the outcome is unknown; never is it sent twice.
        assert!(
            answer == "200 once" || answer.contains("ConnectionTerminated"),
            "{answer}"
        );
        assert!(upstream.requests() <= number);
    }
}

#[test]
fn private_networks_are_closed_where_the_manifest_says_so_whatever_the_name() {
    let upstream = Upstream::answering("here");
    let port = upstream.address.port();
    let app = Application::new(
        r#"
        [variables]
        private_networks = { default = "deny" }
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [component.probe]
        source = "@probe@"
        allowed_outbound_hosts = ["*://*:*"]
        [component.probe.tool.runtime-host]
        private_networks = "{{ private_networks }}"
        "#,
    );
    let host = app.start(&[]);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        // A name: only resolving it tells.
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        // The application itself.
        "http://self.alt/count".to_owned(),
    ] {
        let answer = fetch(&host, &format!("GET {url}"));
        assert!(
            answer.contains("DestinationIpProhibited"),
            "{url}: {answer}"
        );
    }
    assert_eq!(upstream.connections(), 0);
    host.logged("private_networks is deny");

    let host = app.start(&["--variable", "private_networks=allow"]);
    let answer = fetch(&host, &format!("GET http://localhost:{port}/"));
    assert_eq!(answer, "200 here");
}

#[test]
fn a_kept_connection_is_not_lent_to_a_component_that_could_not_have_made_it() {
    let upstream = Upstream::answering("here");
    let app = Application::new(
        r#"
        [[trigger.http]]
        route = "/fetch"
        component = "open"
        [component.open]
        source = "@probe@"
        allowed_outbound_hosts = ["*://*:*"]
        [[trigger.http]]
        route = "/fetch/guarded"
        component = "guarded"
        [component.guarded]
        source = "@probe@"
        allowed_outbound_hosts = ["*://*:*"]
        [component.guarded.tool.runtime-host]
        private_networks = "deny"
        "#,
    );
    let host = app.start(&[]);
    let what = format!("GET http://{}/", upstream.address);
    assert_eq!(fetch(&host, &what), "200 here");
    let answer = host.post("/fetch/guarded", &what).body;
    assert!(answer.contains("DestinationIpProhibited"), "{answer}");
    assert_eq!(fetch(&host, &what), "200 here");
    assert_eq!((upstream.requests(), upstream.connections()), (2, 1));
}

#[test]
fn a_word_that_private_networks_does_not_know_is_refused_at_start() {
    let app =
        Application::probe("[component.probe.tool.runtime-host]\nprivate_networks = \"no\"\n");
    let (lines, code) = app.refused(&[]);
    assert_eq!(code, 2);
    assert!(lines[0].contains("private_networks"), "{lines:?}");
}
