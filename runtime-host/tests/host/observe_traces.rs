//! Spans, and the trace context that goes in and out.

use std::net::TcpListener;
use std::process::Command;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use crate::client::Client;
use crate::collector::{Received, TraceCollector};
use crate::process::{Application, Host};
use crate::upstream::{Next, Upstream, respond};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn app() -> Application {
    Application::probe(
        "sqlite_databases = [\"default\"]\nallowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n",
    )
}

fn traced(app: &Application, collector: &TraceCollector) -> Command {
    let mut command = app.command();
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "50");
    command
}

fn get(host: &Host, path: &str, headers: &str) -> String {
    let mut client = Client::connect(host.address);
    client.write(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").as_bytes());
    client.read().body
}

fn context(span: &str, state: &str) -> String {
    let state = if state.is_empty() {
        String::new()
    } else {
        format!("tracestate: {state}\r\n")
    };
    format!("traceparent: 00-{TRACE}-{span}-01\r\n{state}")
}

fn kind(kind: SpanKind) -> impl Fn(&Received) -> bool {
    move |received| received.span.kind == kind as i32
}

#[test]
fn a_trace_goes_through_the_host_to_what_the_component_asks() {
    let collector = TraceCollector::start();
    let upstream = Upstream::answering("hello");
    let app = app();
    let host = Host::start(
        traced(&app, &collector)
            .env("OTEL_SERVICE_NAME", "a-service")
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=mine"),
    );
    let path = format!("/forward?{}", upstream.address);
    let headers = context(PARENT, "vendor=1") + "x-request-id: traced-1\r\n";
    assert_eq!(get(&host, &path, &headers), "hello");

    let server = collector.find(kind(SpanKind::Server));
    assert_eq!(server.trace_id(), TRACE);
    assert_eq!(server.parent(), PARENT);
    assert_eq!(server.span.name, "GET /...");
    assert_eq!(server.span.trace_state, "vendor=1");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/..."),
        ("url.path", "/forward"),
        ("http.response.status_code", "200"),
        ("component", "probe"),
        ("request.id", "traced-1"),
    ] {
        assert_eq!(server.attribute(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(
        server.resource("service.name").as_deref(),
        Some("a-service")
    );
    assert_eq!(
        server.resource("deployment.environment").as_deref(),
        Some("test")
    );
    assert!(
        server.head.starts_with("post /v1/traces "),
        "{}",
        server.head
    );
    assert!(server.head.contains("x-tenant: mine"), "{}", server.head);

    let client = collector.find(kind(SpanKind::Client));
    assert_eq!(client.trace_id(), TRACE);
    assert_eq!(client.parent(), server.id());
    assert_eq!(
        client.attribute("server.address").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(
        client.attribute("http.response.status_code").as_deref(),
        Some("200")
    );

    // The upstream was told of the child, the component of its request's span.
    let seen = upstream.next_request().to_ascii_lowercase();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let told = format!("traceparent: 00-{TRACE}-{}-01", client.id());
    assert!(head.contains(&told), "{told} in {head}");
    assert!(head.contains("tracestate: vendor=1"), "{head}");
    let told = format!("traceparent: 00-{TRACE}-{}-01", server.id());
    assert!(body.contains(&told), "{told} in {body}");
}

#[test]
fn a_scheduled_call_has_a_trace_and_an_id_of_its_own() {
    let collector = TraceCollector::start();
    let upstream = Upstream::answering("hello");
    let app = Application::probe(&format!(
        "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n\
         [component.probe.tool.runtime-host]\n\
         schedule = [{{ path = \"/forward?{}\", every_seconds = 3600 }}]\n",
        upstream.address
    ));
    let _host = Host::start(&mut traced(&app, &collector));
    let server = collector.find(kind(SpanKind::Server));
    assert_eq!(server.span.name, "GET /...");
    assert_eq!(server.parent(), "");
    for (name, value) in [
        ("component", "probe"),
        ("url.path", "/forward"),
        ("http.response.status_code", "200"),
        ("http.response.body.size", "5"),
    ] {
        assert_eq!(server.attribute(name).as_deref(), Some(value), "{name}");
    }
    // The component was told of both.
    let seen = upstream.next_request().to_ascii_lowercase();
    let (_, body) = seen.split_once("\r\n\r\n").unwrap();
    let id = server.attribute("request.id").unwrap();
    for told in [
        format!("x-request-id: {id}"),
        format!("traceparent: 00-{}-{}-01", server.trace_id(), server.id()),
    ] {
        assert!(body.contains(&told), "{told} in {body}");
    }
}

#[test]
fn a_component_s_own_trace_is_left_alone_and_failures_are_marked() {
    let collector = TraceCollector::start();
    let upstream = Upstream::start(|_, stream| {
        respond(stream, "503 Service Unavailable", "");
        Next::KeepAlive
    });
    let app = app();
    let host = Host::start(&mut traced(&app, &collector));
    get(&host, &format!("/traced?{}", upstream.address), "");
    let seen = upstream.next_request().to_ascii_lowercase();
    assert_eq!(seen.matches("traceparent:").count(), 1, "{seen}");
    assert!(
        seen.contains("traceparent: 00-11111111111111111111111111111111-"),
        "{seen}"
    );
    let failed = |received: &Received| {
        let status = received.span.status.as_ref();
        status.is_some_and(|status| status.code == StatusCode::Error as i32)
    };
    let client = collector.find(kind(SpanKind::Client));
    assert!(failed(&client), "{client:?}");

    get(&host, "/trap", "");
    let trap = collector.find(|r| r.attribute("url.path").as_deref() == Some("/trap"));
    assert!(failed(&trap), "{trap:?}");
    assert_eq!(trap.parent(), "", "a trace of its own");
    assert_eq!(
        trap.resource("service.name").as_deref(),
        Some("runtime-host")
    );
}

#[test]
fn statements_are_traced_at_debug_level_only() {
    let script = "SELECT 'traced'";
    let statement = |r: &Received| r.attribute("db.query.text").as_deref() == Some(script);
    let app = app();
    for (level, traced_there) in [("debug", true), ("info", false)] {
        let collector = TraceCollector::start();
        let mut host = Host::start(traced(&app, &collector).env("RUST_LOG", level));
        assert_eq!(host.post("/sql", script).body, "traced");
        let request = collector.find(kind(SpanKind::Server));
        host.signal("TERM");
        assert!(host.ended().success());
        if traced_there {
            let statement = collector.find(statement);
            assert_eq!(statement.parent(), request.id());
        } else {
            assert!(!collector.all().iter().any(statement));
        }
    }
}

#[test]
fn what_is_not_sampled_is_not_sent_and_the_last_spans_are() {
    let app = app();
    let collector = TraceCollector::start();
    // Nothing is sent before the end.
    let mut host = Host::start(
        traced(&app, &collector)
            .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
            .env("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    );
    get(&host, "/count", "");
    get(&host, "/echo", &context(PARENT, ""));
    host.signal("TERM");
    assert!(host.ended().success());
    let paths: Vec<_> = collector
        .all()
        .iter()
        .map(|r| r.attribute("url.path"))
        .collect();
    assert_eq!(paths, [Some("/echo".to_owned())]);
}

#[test]
fn a_collector_that_is_down_is_no_reason_not_to_serve() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let app = app();
    let mut command = app.command();
    command
        .env(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            format!("http://{closed}/v1/traces"),
        )
        .env("OTEL_BSP_SCHEDULE_DELAY", "10");
    let mut host = Host::start(&mut command);
    for _ in 0..20 {
        assert_eq!(host.get("/count").status, 200);
    }
    host.logged("the OTLP collector does not take spans");
    host.signal("TERM");
    assert!(host.ended().success());
    let told = |line: &&String| line.contains("does not take spans");
    assert_eq!(host.log_lines().iter().filter(told).count(), 1);
}

#[test]
fn a_collector_that_does_not_answer_has_as_long_as_it_is_told() {
    let silent = crate::upstream::Upstream::silent();
    let app = app();
    let mut command = app.command();
    command
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", silent.address),
        )
        .env("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "20")
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
        .env("OTEL_BSP_SCHEDULE_DELAY", "10");
    let host = Host::start(&mut command);
    assert_eq!(host.get("/count").status, 200);
    host.logged("the OTLP collector does not take spans");
}

#[test]
fn what_there_is_not_is_refused_and_what_is_off_is_off() {
    let app = app();
    let collector = TraceCollector::start();
    let refused = |name: &str, value: &str| {
        crate::process::refused(traced(&app, &collector).env(name, value))
    };
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/client.pem"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
    ] {
        let (lines, code) = refused(name, value);
        assert_eq!(code, 2, "{name}");
        assert!(lines[0].contains(name), "{lines:?}");
    }
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let mut host = Host::start(traced(&app, &collector).env(name, value));
        let body = get(&host, "/headers", &context(PARENT, ""));
        assert!(body.contains(PARENT), "it goes through unchanged: {body}");
        host.signal("TERM");
        assert!(host.ended().success());
        assert!(collector.all().is_empty());
    }
}
