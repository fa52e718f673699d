//! What Prometheus is told.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::client;
use crate::process::{Application, Host};
use crate::upstream::Upstream;

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn address(host: &Host) -> SocketAddr {
    let line = host.printed("Metrics at http://");
    let address = line
        .strip_prefix("Metrics at http://")
        .and_then(|rest| rest.strip_suffix("/metrics"))
        .unwrap();
    address.parse().unwrap()
}

fn scrape(address: SocketAddr) -> String {
    let answer = client::request(address, "GET", "/metrics", "");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    answer.body
}

/// A wanted line that ends with a space may have any value.
fn is_like(line: &str, wanted: &str) -> bool {
    line == wanted || wanted.ends_with(' ') && line.starts_with(wanted)
}

/// Scrapes until all of `lines` are there: a request is counted when its answer
/// has been sent.
fn scrape_until(host: &Host, lines: &[&str]) -> String {
    let address = address(host);
    let started = Instant::now();
    loop {
        let text = scrape(address);
        let missing: Vec<_> = lines
            .iter()
            .filter(|wanted| !text.lines().any(|line| is_like(line, wanted)))
            .collect();
        if missing.is_empty() {
            return text;
        }
        assert!(started.elapsed() < PATIENCE, "{missing:#?} in {text}");
        std::thread::yield_now();
    }
}

#[test]
fn requests_are_counted_by_component_route_method_and_status() {
    let app = Application::new(
        "[[trigger.http]]\nroute = \"/count\"\ncomponent = \"probe\"\n\
         [[trigger.http]]\nroute = \"/trap/:what\"\ncomponent = \"probe\"\n\
         [component.probe]\nsource = \"@probe@\"\n",
    );
    let host = app.start(&["--threads", "1", "--max-request-body", "10"]);
    assert_eq!(host.get("/count?secret=1").status, 200);
    assert_eq!(host.get("/count").status, 200);
    assert_eq!(host.get("/trap/raw-segment").status, 500);
    assert_eq!(host.get("/nowhere/at/all").status, 404);
    assert_eq!(
        client::request(host.address, "BREW", "/count", "").status,
        200
    );
    assert_eq!(host.post("/count", "longer than that").status, 413);
    assert_eq!(host.get("/.well-known/spin/health").status, 200);
    let requests =
        |labels: &str, n: u32| format!("runtime_host_http_requests_total{{{labels}}} {n}");
    let wanted = [
        requests(
            r#"component="probe",method="GET",route="/count",status="200""#,
            2,
        ),
        requests(
            r#"component="probe",method="GET",route="/trap/:what",status="500""#,
            1,
        ),
        requests(r#"component="",method="GET",route="",status="404""#, 1),
        requests(
            r#"component="probe",method="other",route="/count",status="200""#,
            1,
        ),
        requests(
            r#"component="probe",method="POST",route="/count",status="413""#,
            1,
        ),
        requests(
            r#"component="",method="GET",route="/.well-known/...",status="200""#,
            1,
        ),
        r#"runtime_host_bounds_hit_total{bound="--max-request-body"} 1"#.to_owned(),
        r#"runtime_host_http_request_duration_seconds_count{component="probe",route="/count"} 4"#
            .to_owned(),
        r#"runtime_host_instances_started_total{component="probe"} 2"#.to_owned(),
        r#"runtime_host_instances_stopped_total{component="probe",reason="trap"} 1"#.to_owned(),
        r#"runtime_host_instances{component="probe"} 1"#.to_owned(),
        "runtime_host_http_requests_in_flight 0".to_owned(),
    ];
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let text = scrape_until(&host, &wanted);
    for absent in ["raw-segment", "nowhere", "secret", "BREW"] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    assert!(text.contains(r#"runtime_host_http_request_duration_seconds_bucket{component="probe",route="/count",le="0.0005"}"#));
    assert!(
        text.contains("runtime_host_build_info{version=\""),
        "{text}"
    );
    if cfg!(target_os = "linux") {
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
        ] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            // That one has whole seconds.
            let zero = line.ends_with(" 0");
            assert!(!zero || name == "process_cpu_seconds_total", "{line}");
        }
    }
}

#[test]
fn what_components_do_is_counted() {
    let upstream = Upstream::answering("hello");
    let app = Application::probe(
        "sqlite_databases = [\"default\"]\nkey_value_stores = [\"default\"]\n\
         allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n",
    );
    let host = app.start(&["--max-kv-value", "10"]);
    let url = format!("GET http://{}/path/of/mine", upstream.address);
    assert_eq!(host.post("/fetch", &url).body, "200 hello");
    let denied = host.post("/fetch", "GET http://elsewhere.example/").body;
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    let script = "CREATE TABLE t (a INTEGER UNIQUE)\nINSERT INTO t VALUES (1)\n\
                  INSERT INTO t VALUES (1)\nSELECT a FROM t";
    assert!(host.post("/sql", script).body.ends_with('1'));
    let stored = host.post("/store", "set a 1\nset a x11\nget a").body;
    assert!(stored.ends_with("\n1"), "{stored}");
    let text = scrape_until(
        &host,
        &[
            r#"runtime_host_outbound_requests_total{component="probe",host="http://127.0.0.1:*",outcome="2xx"} 1"#,
            r#"runtime_host_outbound_requests_total{component="probe",host="",outcome="denied"} 1"#,
            r#"runtime_host_outbound_request_duration_seconds_count{component="probe",host="http://127.0.0.1:*"} 1"#,
            r#"runtime_host_sqlite_statement_duration_seconds_count{component="probe",kind="inline"} 1"#,
            r#"runtime_host_sqlite_statement_duration_seconds_count{component="probe",kind="blocking"} 3"#,
            r#"runtime_host_sqlite_errors_total{component="probe",kind="constraint"} 1"#,
            r#"runtime_host_sqlite_errors_total{component="probe",kind="busy"} 0"#,
            r#"runtime_host_key_value_operation_duration_seconds_count{component="probe",kind="file"} 3"#,
            r#"runtime_host_key_value_errors_total{component="probe"} 1"#,
        ],
    );
    let port = upstream.address.port().to_string();
    assert!(
        !text.contains(&format!("127.0.0.1:{port}")),
        "no address that a component chose"
    );
}

#[test]
fn a_queue_and_what_leaves_it_is_counted() {
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
        scope.spawn(|| assert_eq!(host.get("/spin").status, 504));
        let started = Instant::now();
        while host.get("/count").status != 503 {
            assert!(started.elapsed() < PATIENCE);
        }
    });
    let text = scrape_until(
        &host,
        &[
            r#"runtime_host_queue_depth{component="probe"} 0"#,
            r#"runtime_host_instances_stopped_total{component="probe",reason="deadline"} 1"#,
        ],
    );
    let value = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(value(r#"runtime_host_queue_wait_duration_seconds_count{component="probe"}"#) >= 1);
    assert!(value(r#"runtime_host_bounds_hit_total{bound="--max-instances"}"#) >= 1);
    assert!(value(r#"runtime_host_bounds_hit_total{bound="--request-timeout"}"#) >= 1);
}

#[test]
fn an_instance_without_work_ends_as_does_one_that_has_answered_enough() {
    let app = Application::probe("");
    let host = app.start(&["--threads", "1", "--idle-instance-timeout", "50ms"]);
    let stopped = |reason: &str, times: u32| {
        format!(
            r#"runtime_host_instances_stopped_total{{component="probe",reason="{reason}"}} {times}"#
        )
    };
    assert_eq!(host.get("/count").body, "1");
    scrape_until(&host, &[&stopped("idle", 1)]);
    let host = app.start(&["--threads", "1", "--max-instance-reuse-count", "2"]);
    for count in ["1", "2", "1"] {
        assert_eq!(host.get("/count").body, count);
    }
    scrape_until(&host, &[&stopped("used", 1), &stopped("idle", 0)]);
}

#[test]
fn what_is_refused_before_it_is_a_request_is_counted_by_status() {
    let app = Application::probe("");
    let host = app.start(&["--max-request-head", "8192"]);
    for head in ["this is not HTTP", &"x".repeat(10_000)] {
        let mut client = client::Client::connect(host.address);
        client.write(format!("{head}\r\n\r\n").as_bytes());
        client.read();
    }
    scrape_until(
        &host,
        &[
            r#"runtime_host_http_refusals_total{status="400"} 1"#,
            r#"runtime_host_http_refusals_total{status="431"} 1"#,
        ],
    );
}

#[test]
fn backups_and_scheduled_calls_are_counted() {
    let app = Application::new(
        "[application.tool.runtime-host]\nbackups = { every_seconds = 3600, keep = 2 }\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"probe\"\n\
         [component.probe]\nsource = \"@probe@\"\nsqlite_databases = [\"default\"]\n\
         [component.probe.tool.runtime-host]\n\
         schedule = [{ path = \"/count\", every_seconds = 3600 }, { path = \"/trap\", every_seconds = 3600 }]\n",
    );
    let host = app.start(&[]);
    let stamp = r#"runtime_host_backup_last_success_timestamp_seconds{database="default"} "#;
    let text = scrape_until(
        &host,
        &[
            stamp,
            r#"runtime_host_backups_total{database="default",outcome="success"} 1"#,
            r#"runtime_host_schedule_runs_total{component="probe",outcome="success",path="/count"} 1"#,
            r#"runtime_host_schedule_runs_total{component="probe",outcome="failure",path="/trap"} 1"#,
        ],
    );
    let line = text.lines().find(|line| line.starts_with(stamp)).unwrap();
    assert!(
        line[stamp.len()..].parse::<u64>().unwrap() > 1_700_000_000,
        "{line}"
    );
}

#[test]
fn metrics_are_on_a_listener_of_their_own() {
    let app = Application::probe("");
    let host = app.start(&[]);
    let metrics = address(&host);
    assert!(metrics.ip().is_loopback());
    assert_ne!(metrics, host.address);
    let answer = host.get("/metrics");
    assert_eq!(
        answer.body, "unknown: metrics",
        "that path is the application's"
    );
    assert_eq!(client::request(metrics, "GET", "/count", "").status, 404);
    let answer = client::request(metrics, "DELETE", "/metrics", "");
    assert_eq!(
        (answer.status, answer.headers["allow"].as_str()),
        (405, "GET, HEAD")
    );

    let host = app.start(&["--metrics-listen", "off"]);
    assert_eq!(host.get("/count").status, 200);
    assert!(
        !host
            .stdout_lines()
            .iter()
            .any(|line| line.contains("Metrics"))
    );
    assert!(
        !host
            .log_lines()
            .iter()
            .any(|line| line.contains("metrics at"))
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (lines, code) = app.refused(&["--metrics-listen", &address]);
    assert_eq!(code, 2);
    assert!(
        lines[0].contains(&address) && lines[0].contains("--metrics-listen"),
        "{lines:?}"
    );
}

#[cfg(unix)]
#[test]
fn the_port_of_metrics_goes_to_the_process_that_takes_over() {
    let app = Application::probe("");
    let socket = app.path().join("handover");
    let socket = socket.to_str().unwrap();
    let mut first = app.start(&["--handover", socket]);
    let metrics = address(&first);
    let port = metrics.to_string();
    let second = app.start(&["--handover", socket, "--metrics-listen", &port]);
    assert_eq!(address(&second), metrics);
    assert!(first.ended().success());
    second.logged(&format!("metrics at http://{port}/metrics"));
    let started = Instant::now();
    // The second one listens as soon as it notices that the port is free.
    while std::net::TcpStream::connect(metrics).is_err() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert!(scrape(metrics).contains("runtime_host_build_info"));
}
