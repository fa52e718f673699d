//! Request ids, and the access log.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::{Answer, Client};
use crate::process::{Application, Host};

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn ask(host: &Host, path: &str, headers: &str) -> Answer {
    let mut client = Client::connect(host.address);
    client.write(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").as_bytes());
    client.read()
}

/// Waits for a line of a file.
fn line(path: &Path, needle: &str) -> String {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains(needle)) {
            return line.to_owned();
        }
        assert!(started.elapsed() < PATIENCE, "{needle:?} in {text}");
        std::thread::yield_now();
    }
}

#[test]
fn a_request_has_one_id_for_client_component_log_and_error() {
    let app = Application::new(
        "[[trigger.http]]\nroute = \"/headers\"\ncomponent = \"probe\"\n\
         [[trigger.http]]\nroute = \"/trap\"\ncomponent = \"probe\"\n\
         [component.probe]\nsource = \"@probe@\"\n",
    );
    let host = app.start(&[]);
    let answer = ask(&host, "/headers", "x-request-id: mine-1.a:b\r\n");
    assert_eq!(answer.headers["x-request-id"], "mine-1.a:b");
    assert!(
        answer.body.contains("x-request-id: mine-1.a:b"),
        "{}",
        answer.body
    );

    for bad in [
        "",
        "x-request-id: a b\r\n",
        "x-request-id: a\r\nx-request-id: b\r\n",
    ] {
        let answer = ask(&host, "/headers", bad);
        let id = &answer.headers["x-request-id"];
        assert_eq!(id.len(), 16, "{id}");
        let told: Vec<&str> = answer
            .body
            .lines()
            .filter(|l| l.starts_with("x-request-id"))
            .collect();
        assert_eq!(told, [format!("x-request-id: {id}")]);
    }
    let long = format!("x-request-id: {}\r\n", "a".repeat(65));
    assert_eq!(
        ask(&host, "/headers", &long).headers["x-request-id"].len(),
        16
    );

    let answer = ask(&host, "/trap", "x-request-id: trap-1\r\n");
    assert_eq!(answer.status, 500);
    assert_eq!(answer.headers["x-request-id"], "trap-1");
    assert!(answer.body.contains(r#""id":"trap-1""#), "{}", answer.body);
    host.logged("trap-1");
    for path in ["/nowhere", "/.well-known/spin/health"] {
        let answer = ask(&host, path, "x-request-id: other\r\n");
        assert_eq!(answer.headers["x-request-id"], "other", "{path}");
    }
}

#[test]
fn the_access_log_has_a_line_for_each_request_without_its_query() {
    let app = Application::probe("");
    let file = app.path().join("logs/access.log");
    let path = file.to_str().unwrap();
    let host = app.start(&["--access-log", "json", "--access-log-file", path]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let headers = format!("x-request-id: one\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");
    let answer = ask(&host, "/echo/a%20b?token=secret", &headers);
    assert_eq!(answer.status, 200);
    let text = line(&file, "one");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["request_id"], "one");
    assert_eq!(value["method"], "GET");
    assert_eq!(value["path"], "/echo/a%20b");
    assert_eq!(value["route"], "/...");
    assert_eq!(value["component"], "probe");
    assert_eq!(value["status"], 200);
    assert_eq!(value["bytes"], answer.body.len());
    assert_eq!(value["trace_id"], trace);
    assert!(value["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(value["time"].as_str().unwrap().ends_with('Z'));
    assert!(value["duration_seconds"].is_number());
    ask(&host, "/trap?token=secret", "x-request-id: two\r\n");
    assert!(line(&file, "two").contains(r#""status":500"#));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("secret"));

    let host = app.start(&["--access-log", "text"]);
    ask(&host, "/count?token=secret", "x-request-id: three\r\n");
    let text = host.logged("request_id=three");
    for part in [
        " access ",
        "method=GET path=\"/count\" route=/... component=probe status=200 bytes=1 duration_seconds=0.",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        !text.contains("secret") && !text.contains("trace_id"),
        "{text}"
    );

    let host = app.start(&[]);
    ask(&host, "/count", "x-request-id: four\r\n");
    host.signal("TERM");
    host.logged("stopping");
    assert!(!host.log_lines().iter().any(|line| line.contains("four")));
}
