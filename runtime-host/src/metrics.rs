//! Figures about the host, for Prometheus. What they mean to an operator is in
//! docs/observability.md.
//!
//! There is one set of them in a process. Labels are names of the manifest and
//! words of this program, so that no client can make new series.

use std::sync::LazyLock;
use std::time::Duration;

use http::Method;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// From half a millisecond to the deadline of a request.
const SECONDS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// All figures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests, by component, route, method and status.
    requests: IntCounterVec,
    /// From the head of a request to the head of its answer.
    request_seconds: HistogramVec,
    /// Requests whose answer has not begun.
    pub in_flight: IntGauge,
    /// Connections of clients.
    pub connections: IntGauge,
    /// Requests that wait for an instance.
    pub waiting: IntGaugeVec,
    /// How long those waited that had to.
    pub waited_seconds: HistogramVec,
    /// Instances there are.
    pub instances: IntGaugeVec,
    /// Instances that were started.
    pub instances_started: IntCounterVec,
    /// Instances that ended, by the reason.
    pub instances_ended: IntCounterVec,
    /// Requests of components, by what came of them.
    outbound: IntCounterVec,
    /// From a request of a component to the head of its answer.
    outbound_seconds: HistogramVec,
    /// Statements on the thread that runs the guest.
    pub sqlite_inline: Histogram,
    /// Statements on a thread that may wait.
    pub sqlite_blocking: Histogram,
    /// Statements at a server.
    pub sqlite_server: Histogram,
    /// Calls of the schedule, by what came of them.
    scheduled: IntCounterVec,
    /// Attempts to read TLS keys again, by what came of them.
    tls_reloads: IntCounterVec,
    /// When each database was last backed up.
    backups: IntGaugeVec,
}

/// The figures of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "the names below are right, and once each")]
        Metrics::new().expect("metrics have good names")
    });
    &METRICS
}

impl Metrics {
    fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let sqlite = seconds(
            "runtime_host_sqlite_statement_seconds",
            "Time of SQLite statements, by where they run",
            &["place"],
        )?;
        registry.register(Box::new(sqlite.clone()))?;
        let build = gauge(
            "runtime_host_build_info",
            "The version of the host",
            &["version"],
        )?;
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        registry.register(Box::new(build))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let metrics = Self {
            requests: counter(
                "runtime_host_http_requests_total",
                "Answers, by component, route of the manifest, method and status",
                &["component", "route", "method", "status"],
            )?,
            request_seconds: seconds(
                "runtime_host_http_request_duration_seconds",
                "From the head of a request to the head of its answer",
                &["component", "route"],
            )?,
            in_flight: IntGauge::new(
                "runtime_host_http_requests_in_flight",
                "Requests whose answer has not begun",
            )?,
            connections: IntGauge::new(
                "runtime_host_http_connections",
                "Connections of clients",
            )?,
            waiting: gauge(
                "runtime_host_queue_depth",
                "Requests that wait for an instance",
                &["component"],
            )?,
            waited_seconds: seconds(
                "runtime_host_queue_wait_seconds",
                "How long requests waited for an instance that had to",
                &["component"],
            )?,
            instances: gauge(
                "runtime_host_instances",
                "Instances of components",
                &["component"],
            )?,
            instances_started: counter(
                "runtime_host_instances_started_total",
                "Instances that were started",
                &["component"],
            )?,
            instances_ended: counter(
                "runtime_host_instances_ended_total",
                "Instances that ended: retired, or failed by a trap, a deadline or a bound",
                &["component", "reason"],
            )?,
            outbound: counter(
                "runtime_host_outbound_requests_total",
                "Requests of components: answered, denied, not_sent, or unknown",
                &["component", "outcome"],
            )?,
            outbound_seconds: seconds(
                "runtime_host_outbound_request_duration_seconds",
                "From a request of a component to the head of its answer",
                &["component"],
            )?,
            sqlite_inline: sqlite.with_label_values(&["inline"]),
            sqlite_blocking: sqlite.with_label_values(&["blocking"]),
            sqlite_server: sqlite.with_label_values(&["server"]),
            scheduled: counter(
                "runtime_host_scheduled_calls_total",
                "Calls of the schedule",
                &["component", "path", "outcome"],
            )?,
            tls_reloads: counter(
                "runtime_host_tls_reloads_total",
                "Attempts to read changed TLS keys",
                &["outcome"],
            )?,
            backups: gauge(
                "runtime_host_backup_last_success_timestamp_seconds",
                "When a database was last backed up by this process",
                &["database"],
            )?,
            registry,
        };
        let all: [Box<dyn prometheus::core::Collector>; 15] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.request_seconds.clone()),
            Box::new(metrics.in_flight.clone()),
            Box::new(metrics.connections.clone()),
            Box::new(metrics.waiting.clone()),
            Box::new(metrics.waited_seconds.clone()),
            Box::new(metrics.instances.clone()),
            Box::new(metrics.instances_started.clone()),
            Box::new(metrics.instances_ended.clone()),
            Box::new(metrics.outbound.clone()),
            Box::new(metrics.outbound_seconds.clone()),
            Box::new(metrics.scheduled.clone()),
            Box::new(metrics.tls_reloads.clone()),
            Box::new(metrics.backups.clone()),
            Box::new(metrics.bounds().clone()),
        ];
        for collector in all {
            metrics.registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Requests that went over a bound, by its flag.
    fn bounds(&self) -> &'static IntCounterVec {
        static BOUNDS: LazyLock<IntCounterVec> = LazyLock::new(|| {
            #[expect(clippy::expect_used, reason = "the name is right")]
            counter(
                "runtime_host_bound_exceeded_total",
                "How often a bound was reached, by its flag",
                &["bound"],
            )
            .expect("a good name")
        });
        &BOUNDS
    }

    /// Counts an answer. `route` and `component` are empty where none fitted.
    pub fn answered(
        &self,
        component: &str,
        route: &str,
        method: &Method,
        status: u16,
        taken: Duration,
    ) {
        self.requests
            .with_label_values(&[component, route, known(method), digits(status, &mut [0; 3])])
            .inc();
        self.request_seconds
            .with_label_values(&[component, route])
            .observe(taken.as_secs_f64());
    }

    /// Counts a request of a component.
    pub fn sent(&self, component: &str, outcome: &str, taken: Duration) {
        self.outbound.with_label_values(&[component, outcome]).inc();
        self.outbound_seconds
            .with_label_values(&[component])
            .observe(taken.as_secs_f64());
    }

    /// Counts a call of the schedule.
    pub fn called(&self, component: &str, path: &str, succeeded: bool) {
        self.scheduled
            .with_label_values(&[component, path, outcome(succeeded)])
            .inc();
    }

    /// Counts an attempt to read TLS keys again.
    pub fn tls_reload(&self, succeeded: bool) {
        self.tls_reloads
            .with_label_values(&[outcome(succeeded)])
            .inc();
    }

    /// Notes that a database is backed up now.
    pub fn backed_up(&self, database: &str) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        self.backups
            .with_label_values(&[database])
            .set(i64::try_from(now).unwrap_or(i64::MAX));
    }

    /// Counts that a bound was reached.
    pub fn bound(&self, flag: &str) -> IntCounter {
        self.bounds().with_label_values(&[flag])
    }

    /// All of it in Prometheus' text format.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(e) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!("metrics cannot be written: {e}");
        }
        text
    }
}

fn outcome(succeeded: bool) -> &'static str {
    if succeeded { "success" } else { "failure" }
}

/// A client may invent methods.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// A status as text, without an allocation.
fn digits(status: u16, room: &mut [u8; 3]) -> &str {
    let digit = |power: u16| b'0' + u8::try_from(status / power % 10).unwrap_or(0);
    *room = [digit(100), digit(10), digit(1)];
    std::str::from_utf8(room).unwrap_or_default()
}

fn counter(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn gauge(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

fn seconds(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
    HistogramVec::new(
        HistogramOpts::new(name, help).buckets(SECONDS.to_vec()),
        labels,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_makes_no_new_series() {
        for (method, label) in [("GET", "GET"), ("BREW", "other"), ("get", "other")] {
            assert_eq!(known(&Method::from_bytes(method.as_bytes()).unwrap()), label);
        }
        assert_eq!(digits(204, &mut [0; 3]), "204");
    }

    #[test]
    fn all_have_a_name_of_their_own_and_a_unit() {
        let metrics = metrics();
        metrics.answered("c", "/r", &Method::GET, 200, Duration::from_millis(3));
        metrics.bound("--max-instances").inc();
        let text = String::from_utf8(metrics.text()).unwrap();
        for expected in [
            "runtime_host_http_requests_total{component=\"c\",method=\"GET\",route=\"/r\",status=\"200\"} 1",
            "runtime_host_http_request_duration_seconds_bucket{component=\"c\",route=\"/r\",le=\"0.005\"} 1",
            "runtime_host_bound_exceeded_total{bound=\"--max-instances\"} 1",
            "runtime_host_sqlite_statement_seconds_count{place=\"inline\"}",
            "process_resident_memory_bytes",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
    }
}
