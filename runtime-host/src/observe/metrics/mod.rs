//! What is counted and timed, for Prometheus.
//!
//! The handles of a component and of a route are made once, at start, so that a
//! request pays for a few atomic additions: no label is looked up and no lock is
//! taken. Every label is from a set that the manifest or this file bounds.

mod component;
mod listener;
mod outbound;
mod route;

pub use component::{Component, Live, Statement, Stopped};
pub use listener::{Listener, Wanted};
pub use outbound::{Outbound, Outcome};
pub use route::{Method, Route};

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use prometheus::core::Collector;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

/// In seconds: from less than a cached answer takes to the usual deadline.
const BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// In seconds, for statements.
const FINE_BUCKETS: [f64; 12] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0,
];

/// Those of this process.
static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    response_bytes: IntCounterVec,
    in_flight: IntGauge,
    connections: IntGauge,
    connections_opened: IntCounter,
    refused: IntCounterVec,
    instances: IntGaugeVec,
    instances_started: IntCounterVec,
    instances_failed: IntCounterVec,
    instances_stopped: IntCounterVec,
    instance_start_seconds: HistogramVec,
    queue: IntGaugeVec,
    queue_seconds: HistogramVec,
    bounds: IntCounterVec,
    outbound: IntCounterVec,
    outbound_seconds: HistogramVec,
    sqlite_seconds: HistogramVec,
    sqlite_writer_seconds: HistogramVec,
    sqlite_errors: IntCounterVec,
    key_value_seconds: HistogramVec,
    key_value_errors: IntCounterVec,
    tls_reloads: IntCounterVec,
    schedule: IntCounterVec,
    backups: IntCounterVec,
    backup_success: IntGaugeVec,
    log_lines_lost: IntCounterVec,
    span_exports: IntCounterVec,
}

/// Makes and registers the metrics, all under one prefix.
struct Maker(Registry);

impl Maker {
    const VALID: &str = "the names are constant and differ";

    fn add<T: Collector + Clone + 'static>(&self, made: prometheus::Result<T>) -> T {
        let made = made.expect(Self::VALID);
        self.0.register(Box::new(made.clone())).expect(Self::VALID);
        made
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("runtime_host_{name}"), help)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Self::opts(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Self::opts(name, help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::with_opts(Self::opts(name, help)))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::with_opts(Self::opts(name, help)))
    }

    fn times(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let options = HistogramOpts::from(Self::opts(name, help)).buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, labels))
    }
}

impl Metrics {
    fn new() -> Self {
        let new = Maker(Registry::new());
        let build = new.gauges("build_info", "Always 1.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        #[cfg(target_os = "linux")]
        new.0
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .expect(Maker::VALID);
        Self {
            requests: new.counters(
                "http_requests_total",
                "Requests answered to the end, or given up by their client (status \"none\").",
                &["component", "route", "method", "status"],
            ),
            request_seconds: new.times(
                "http_request_duration_seconds",
                "From the head of a request to the end of its answer.",
                &["component", "route"],
                &BUCKETS,
            ),
            response_bytes: new.counters(
                "http_response_body_bytes_total",
                "Bytes of the bodies of answers.",
                &["component", "route"],
            ),
            in_flight: new.gauge(
                "http_requests_in_flight",
                "Requests not answered to the end.",
            ),
            connections: new.gauge("http_connections", "Open connections of clients."),
            connections_opened: new.counter("http_connections_total", "Connections of clients."),
            refused: new.counters(
                "http_refusals_total",
                "Answers to what was not read as a request, and to connections that are too many.",
                &["status"],
            ),
            instances: new.gauges("instances", "Instances that exist.", &["component"]),
            instances_started: new.counters(
                "instances_started_total",
                "Instances that were started.",
                &["component"],
            ),
            instances_failed: new.counters(
                "instance_start_failures_total",
                "Instances that could not be started.",
                &["component"],
            ),
            instances_stopped: new.counters(
                "instances_stopped_total",
                "Instances that were stopped, by reason.",
                &["component", "reason"],
            ),
            instance_start_seconds: new.times(
                "instance_start_duration_seconds",
                "To start an instance.",
                &["component"],
                &FINE_BUCKETS,
            ),
            queue: new.gauges(
                "queue_depth",
                "Requests that wait for an instance or their turn.",
                &["component"],
            ),
            queue_seconds: new.times(
                "queue_wait_duration_seconds",
                "How long requests waited for an instance; those that did not wait are not in it.",
                &["component"],
                &BUCKETS,
            ),
            bounds: new.counters(
                "bounds_hit_total",
                "How often something was over a bound, by the flag that sets it.",
                &["bound"],
            ),
            outbound: new.counters(
                "outbound_requests_total",
                "Requests of components, by the entry of allowed_outbound_hosts that allows them.",
                &["component", "host", "outcome"],
            ),
            outbound_seconds: new.times(
                "outbound_request_duration_seconds",
                "From a component's request to the head of its answer, or to its failure.",
                &["component", "host"],
                &BUCKETS,
            ),
            sqlite_seconds: new.times(
                "sqlite_statement_duration_seconds",
                "To run a statement: inline on the guest's thread, or blocking, with its waits.",
                &["component", "kind"],
                &FINE_BUCKETS,
            ),
            sqlite_writer_seconds: new.times(
                "sqlite_writer_wait_duration_seconds",
                "How long statements that write waited for other writers of this process to end.",
                &["component"],
                &FINE_BUCKETS,
            ),
            sqlite_errors: new.counters(
                "sqlite_errors_total",
                "Statements that failed; busy is those that waited for a lock in vain.",
                &["component", "kind"],
            ),
            key_value_seconds: new.times(
                "key_value_operation_duration_seconds",
                "To carry out an operation on a key-value store, with its waits.",
                &["component", "kind"],
                &FINE_BUCKETS,
            ),
            key_value_errors: new.counters(
                "key_value_errors_total",
                "Operations on key-value stores that failed.",
                &["component"],
            ),
            tls_reloads: new.counters(
                "tls_reloads_total",
                "TLS keys that were read.",
                &["outcome"],
            ),
            schedule: new.counters(
                "schedule_runs_total",
                "Calls of the schedule.",
                &["component", "path", "outcome"],
            ),
            backups: new.counters("backups_total", "Backups.", &["database", "outcome"]),
            backup_success: new.gauges(
                "backup_last_success_timestamp_seconds",
                "When the last good backup of this process ended.",
                &["database"],
            ),
            log_lines_lost: new.counters(
                "log_lines_lost_total",
                "Lines that were not written because writing was too slow or failed.",
                &["log"],
            ),
            span_exports: new.counters(
                "span_exports_total",
                "Batches of spans sent to the collector.",
                &["outcome"],
            ),
            registry: new.0,
        }
    }
}

fn outcome(good: bool) -> &'static str {
    if good { "success" } else { "failure" }
}

/// The bound that the flag `bound` sets was hit.
pub fn bound_hit(bound: &'static str) {
    METRICS.bounds.with_label_values(&[bound]).inc();
}

/// Something was refused with `status` before it was a request.
pub fn refused(status: StatusCode) {
    METRICS.refused.with_label_values(&[status.as_str()]).inc();
}

/// TLS keys were read, good ones or not.
pub fn tls_reload(good: bool) {
    METRICS
        .tls_reloads
        .with_label_values(&[outcome(good)])
        .inc();
}

/// A call of the schedule of `component` to `path`, as the manifest has it,
/// ended.
pub fn schedule_run(component: &str, path: &str, good: bool) {
    METRICS
        .schedule
        .with_label_values(&[component, path, outcome(good)])
        .inc();
}

/// A backup of `database` ended.
pub fn backup(database: &str, good: bool) {
    METRICS
        .backups
        .with_label_values(&[database, outcome(good)])
        .inc();
    if good {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        METRICS
            .backup_success
            .with_label_values(&[database])
            .set(seconds);
    }
}

/// So many lines of `log` were not written.
pub fn log_lines_lost(log: &str, lines: u64) {
    METRICS
        .log_lines_lost
        .with_label_values(&[log])
        .inc_by(lines);
}

/// A batch of spans was sent, or not.
pub fn span_export(good: bool) {
    METRICS
        .span_exports
        .with_label_values(&[outcome(good)])
        .inc();
}

/// Raises a gauge for as long as it exists.
#[derive(Debug)]
pub struct Held(&'static IntGauge);

impl Held {
    fn new(gauge: &'static IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }

    /// A connection of a client.
    pub fn connection() -> Self {
        METRICS.connections_opened.inc();
        Self::new(&METRICS.connections)
    }

    /// A request of a client.
    pub fn request() -> Self {
        Self::new(&METRICS.in_flight)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// Everything, in Prometheus' text format.
pub fn text() -> Vec<u8> {
    let mut text = Vec::new();
    if let Err(e) = TextEncoder::new().encode(&METRICS.registry.gather(), &mut text) {
        tracing::error!("metrics: {e}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_by_convention() {
        bound_hit("--test");
        tls_reload(true);
        backup("test", true);
        let text = String::from_utf8(text()).unwrap();
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let mut words = line.split(' ').skip(2);
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            let unit = match kind {
                "counter" => name.ends_with("_total"),
                "histogram" => name.ends_with("_seconds"),
                _ => !name.ends_with("_total"),
            };
            assert!(unit, "{line}");
        }
        assert!(text.contains("runtime_host_build_info{version="), "{text}");
    }
}
