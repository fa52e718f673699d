//! Calls that the host makes by itself.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use crate::process::{Application, Host};
use crate::upstream::{Next, Upstream, respond};

/// What no log may show.
const TOKEN: &str = "s3cret-token";

/// A component on `/forward/:name` and `/trap`, with these entries.
fn application(entries: &[String]) -> Application {
    Application::new(&format!(
        r#"
        [variables]
        token = {{ default = "{TOKEN}", secret = true }}
        interval = {{ default = "0.05" }}
        never = {{ default = "0" }}
        [[trigger.http]]
        route = "/forward/:name"
        component = "probe"
        [[trigger.http]]
        route = "/trap"
        component = "probe"
        [component.probe]
        source = "@probe@"
        allowed_outbound_hosts = ["http://127.0.0.1:*"]
        [component.probe.tool.runtime-host]
        schedule = [{}]
        "#,
        entries.join(", ")
    ))
}

/// An entry that makes the component tell `address`.
fn telling(name: &str, address: SocketAddr, every: &str) -> String {
    format!(
        "{{ path = \"/forward/{name}?{address}\", method = \"POST\", every_seconds = {every}, \
         headers = {{ authorization = \"Bearer {{{{ token }}}}\" }} }}"
    )
}

/// A server that answers each request only when it is told to.
fn held() -> (Upstream, Sender<()>) {
    let (release, released) = channel();
    let released = Mutex::new(released);
    let upstream = Upstream::start(move |_, stream| {
        let _ = released.lock().unwrap().recv();
        respond(stream, "200 OK", "late");
        Next::KeepAlive
    });
    (upstream, release)
}

fn logged(host: &Host, needle: &str) -> usize {
    let lines = host.log_lines();
    lines.iter().filter(|line| line.contains(needle)).count()
}

#[test]
fn a_component_is_called_again_and_again() {
    let upstream = Upstream::answering("well");
    let app = application(&[telling("tick", upstream.address, "\"{{ interval }}\"")]);
    let mut host = app.start(&[]);
    for _ in 0..3 {
        let request = upstream.next_request();
        for needle in [
            "method: POST",
            "authorization: Bearer s3cret-token",
            "spin-full-url: http://localhost/forward/tick?",
            "spin-path-match-name: tick",
            "spin-matched-route: /forward/:name",
            "spin-client-addr: 0.0.0.0:0",
        ] {
            assert!(request.contains(needle), "{needle} in {request}");
        }
    }
    host.signal("TERM");
    assert_eq!(host.ended().code(), Some(0));
    assert_eq!(logged(&host, TOKEN), 0);
    assert_eq!(logged(&host, "failed"), 0);
}

#[test]
fn calls_of_one_entry_never_overlap_and_the_end_waits_for_them() {
    let (upstream, release) = held();
    let clock = Upstream::answering("tick");
    let app = application(&[
        telling("held", upstream.address, "0.05"),
        telling("clock", clock.address, "0.05"),
    ]);
    let mut host = app.start(&[]);
    upstream.next_request();
    for _ in 0..5 {
        clock.next_request();
    }
    assert_eq!(upstream.requests(), 1, "the first is not answered yet");
    release.send(()).unwrap();
    upstream.next_request();
    host.signal("TERM");
    host.logged("stopping");
    release.send(()).unwrap();
    assert_eq!(host.ended().code(), Some(0));
    assert_eq!(upstream.requests(), 2);
    assert_eq!(logged(&host, "unanswered"), 0);
    assert_eq!(logged(&host, "failed"), 0, "it was answered");
}

#[test]
fn zero_means_never() {
    let (never, often) = (Upstream::answering("a"), Upstream::answering("b"));
    let app = application(&[
        telling("never", never.address, "0"),
        telling("either", never.address, "\"{{ never }}\""),
        telling("often", often.address, "\"0.05\""),
    ]);
    let _host = app.start(&[]);
    for _ in 0..5 {
        often.next_request();
    }
    assert_eq!(never.requests(), 0);
}

#[test]
fn failures_are_logged_once_and_so_is_their_end() {
    let upstream = Upstream::start(|number, stream| {
        if number < 4 {
            respond(
                stream,
                "500 Internal Server Error",
                "boom s3cret-token boom",
            );
        } else {
            respond(stream, "200 OK", "well");
        }
        Next::KeepAlive
    });
    let app = application(&[telling("tick", upstream.address, "0.05")]);
    let host = app.start(&[]);
    let line = host.logged("works again, after 4 failures");
    assert!(line.contains("INFO"), "{line}");
    let line = host.logged("a scheduled call failed");
    for needle in [
        "WARN",
        "component=\"probe\"",
        "path=\"/forward/tick?",
        "status=500",
        "request_id=",
        r#""boom [hidden] boom""#,
    ] {
        assert!(line.contains(needle), "{needle} in {line}");
    }
    for _ in 0..8 {
        upstream.next_request();
    }
    assert_eq!(logged(&host, "a scheduled call failed"), 1);
    assert_eq!(logged(&host, "works again"), 1);
    assert_eq!(logged(&host, TOKEN), 0);
}

#[test]
fn a_trap_is_a_failure_and_the_next_call_comes() {
    let upstream = Upstream::answering("well");
    let app = application(&[
        "{ path = \"/trap\", every_seconds = 0.05 }".to_owned(),
        telling("tick", upstream.address, "0.05"),
    ]);
    let host = app.start(&[]);
    let line = host.logged("a scheduled call failed");
    assert!(
        line.contains("status=500") && line.contains("path=\"/trap\""),
        "{line}"
    );
    for _ in 0..3 {
        upstream.next_request();
    }
    assert_eq!(logged(&host, "a scheduled call failed"), 1);
}

fn refused(settings: &str) -> Vec<String> {
    let app = Application::new(&format!(
        r#"
        [variables]
        bad = {{ default = "often" }}
        secret = {{ default = "two\nlines", secret = true }}
        [[trigger.http]]
        route = "/a"
        component = "probe"
        [[trigger.http]]
        route = "/b"
        component = "other"
        [component.other]
        source = "@probe@"
        [component.probe]
        source = "@probe@"
        [component.probe.tool.runtime-host]
        {settings}
        "#
    ));
    let (lines, code) = app.refused(&[]);
    assert_eq!(code, 2);
    lines
}

fn entries(entries: &[(&str, &str)], place: &str) {
    let tables: Vec<&str> = entries.iter().map(|(table, _)| *table).collect();
    let lines = refused(&format!("schedule = [{}]", tables.join(", ")));
    assert_eq!(lines.len(), entries.len(), "{lines:#?}");
    for (number, ((_, needle), line)) in entries.iter().zip(&lines).enumerate() {
        let place = format!(
            "{place}component.probe.tool.runtime-host.schedule number {}: ",
            number + 1
        );
        assert!(
            line.contains(&place) && line.contains(needle),
            "{place}{needle} in {line}"
        );
    }
}

#[test]
fn misconfigurations_are_told_together() {
    let lines = refused("shedule = []");
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(
            "component.probe.tool.runtime-host: unknown field `shedule`, expected `schedule`"
        ),
        "{lines:#?}"
    );
    entries(
        &[
            ("{ path = \"/a\", every_seconds = 1, evry = 2 }", "`evry`"),
            ("{ path = \"a\", every_seconds = 1 }", "must begin with /"),
            ("{ path = \"/a b\", every_seconds = 1 }", "path \"/a b\""),
            (
                "{ path = \"/.well-known/spin/health\", every_seconds = 1 }",
                "is the host's",
            ),
            ("{ path = \"/a\" }", "`every_seconds`"),
            (
                "{ path = \"/a\", every_seconds = true }",
                "number of seconds",
            ),
            (
                "{ path = \"/a\", every_seconds = 1, method = \"FETCH\" }",
                "method \"FETCH\" is not supported; allowed are \"GET\"",
            ),
            (
                "{ path = \"/a\", every_seconds = 1, headers = { \"a b\" = \"\" } }",
                "\"a b\" is no name of a header",
            ),
            (
                "{ path = \"/a\", every_seconds = 1, headers = { Content-Length = \"1\" } }",
                "\"Content-Length\" cannot be set",
            ),
        ],
        "spin.toml: ",
    );
    entries(
        &[
            (
                "{ path = \"/b\", every_seconds = 1 }",
                "path \"/b\" leads to other, not to probe",
            ),
            (
                "{ path = \"/c?d\", every_seconds = 1 }",
                "no route fits path \"/c\"",
            ),
            (
                "{ path = \"/a\", every_seconds = \"{{ bad }}\" }",
                "every_seconds: \"often\", the value of \"{{ bad }}\", is not allowed: \
                 seconds are needed, 0 for never or 0.05 to 86400",
            ),
            (
                "{ path = \"/a\", every_seconds = 0.04 }",
                "\"0.04\" is not allowed",
            ),
            (
                "{ path = \"/a\", every_seconds = 86401 }",
                "\"86401\" is not allowed",
            ),
            (
                "{ path = \"/a\", every_seconds = \"{{ nope }}\" }",
                "unknown variable \"nope\"",
            ),
            (
                "{ path = \"/a\", every_seconds = 1, headers = { x = \"{{ secret }}\" } }",
                "header \"x\": its value has characters",
            ),
        ],
        "",
    );
}
