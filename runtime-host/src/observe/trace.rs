//! Tracing: one span for each request, one for each request that its component
//! makes, and at debug level one for each statement; with W3C's trace context
//! in and out, sent to a collector by OTLP over HTTP.
//!
//! Set by OpenTelemetry's own variables. Without an endpoint nothing of it
//! exists, and a request pays for one look at that.

use std::env;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::fault::{Collector, Faults, Result};
use crate::observe::metrics::{self, Method};
use crate::observe::trouble::Trouble;
use crate::outbound::{Client, OutboundLimits};
use crate::server::answers;
use crate::server::request_id::RequestId;

/// W3C's header.
pub const TRACEPARENT: &str = "traceparent";

/// The service's name, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES`
/// has one.
const SERVICE: &str = "runtime-host";
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
/// What this host has nothing for.
const UNKNOWN: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
];
/// The largest answer of a collector that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How long a collector may take for one batch: milliseconds, or else [`EXPORT_TIMEOUT`].
const TIMEOUTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
];
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last spans may take at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
static TRACING: OnceLock<Tracing> = OnceLock::new();

struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Begins to trace, if the environment asks for it.
///
/// # Errors
///
/// It asks for what there is not.
pub fn start(limits: OutboundLimits) -> Result<()> {
    let off = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    let Some(endpoint) = ENDPOINTS.into_iter().find_map(set) else {
        return Ok(());
    };
    if off {
        return Ok(());
    }
    let timeout = check(&endpoint)?;
    let failed = |e: &dyn fmt::Display| Faults::one(format!("OTLP: {e}"));
    let client = Client::new(limits).map_err(|e| failed(&e))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender {
            client: Arc::new(client),
            timeout,
            runtime: tokio::runtime::Handle::current(),
            trouble: Arc::default(),
        })
        .build()
        .map_err(|e| failed(&e))?;
    let mut resource = Resource::builder();
    let named = set("OTEL_SERVICE_NAME").is_some()
        || set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|list| list.contains("service.name="));
    if !named {
        resource = resource.with_service_name(SERVICE);
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    let tracer = provider.tracer(SERVICE);
    let _ = TRACING.set(Tracing {
        provider,
        tracer,
        propagator: TraceContextPropagator::new(),
    });
    tracing::info!("traces are sent by OTLP");
    Ok(())
}

/// Gives how long a batch may take.
fn check(endpoint: &str) -> Result<Duration> {
    let mut faults = Collector::default();
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        // It may have credentials, so it is not shown.
        faults.push(format!(
            "{} or {} is neither an http: nor an https: URL",
            ENDPOINTS[0], ENDPOINTS[1]
        ));
    }
    if let Some((name, protocol)) = PROTOCOLS
        .into_iter()
        .find_map(|name| Some((name, set(name)?)))
        && protocol != "http/protobuf"
    {
        faults.push(format!("{name}={protocol:?}: only http/protobuf is there"));
    }
    let mut timeout = EXPORT_TIMEOUT;
    if let Some((name, value)) = TIMEOUTS
        .into_iter()
        .find_map(|name| Some((name, set(name)?)))
    {
        match value.parse() {
            Ok(millis @ 1..) => timeout = Duration::from_millis(millis),
            Ok(0) | Err(_) => faults.push(format!(
                "{name}={value:?}: a whole number of milliseconds is wanted, at least 1"
            )),
        }
    }
    for name in UNKNOWN {
        if set(name).is_some() {
            faults.push(format!(
                "{name}: certificates are checked against the public roots only"
            ));
        }
    }
    faults.finish_with(timeout)
}

/// Sends what is left to the collector, if it takes it in time.
pub async fn finish() {
    if TRACING.get().is_none() {
        return;
    }
    let flush = tokio::task::spawn_blocking(|| {
        let Some(tracing) = TRACING.get() else { return };
        if let Err(e) = tracing.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!("the last spans may be lost: {e}");
        }
    });
    if tokio::time::timeout(FLUSH_TIMEOUT, flush).await.is_err() {
        tracing::warn!("the last spans are lost: the collector did not take them in time");
    }
}

/// A span that is not ended. What happens for it has it as parent.
#[derive(Debug, Clone)]
pub struct Span(Context);

impl Span {
    fn begin(tracing: &Tracing, builder: SpanBuilder, parent: &Context) -> Self {
        let span = tracing.tracer.build_with_context(builder, parent);
        Self(parent.with_span(span))
    }

    /// The span of a request with this head, in the trace that it tells of.
    pub fn of_request(method: Method, path: &str, headers: &HeaderMap) -> Option<Self> {
        let tracing = TRACING.get()?;
        // A context of this thread's is none of this request.
        let parent = tracing
            .propagator
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let builder = SpanBuilder::from_name(method.name())
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", method.name()),
                KeyValue::new("url.path", path.to_owned()),
            ]);
        Some(Self::begin(tracing, builder, &parent))
    }

    /// Who answers the request is found, and gets this as the parent of what it
    /// traces itself.
    pub fn routed(&self, method: Method, route: &str, component: &str, headers: &mut HeaderMap) {
        let span = self.0.span();
        span.update_name(format!("{} {route}", method.name()));
        span.set_attribute(KeyValue::new("http.route", route.to_owned()));
        span.set_attribute(KeyValue::new("component", component.to_owned()));
        self.inject(headers);
    }

    /// Ends it.
    pub fn answered(&self, id: &RequestId, status: Option<u16>, bytes: u64) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("request.id", id.to_string()));
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        span.set_attribute(KeyValue::new("http.response.body.size", bytes));
        match status {
            Some(status) => {
                span.set_attribute(KeyValue::new(
                    "http.response.status_code",
                    i64::from(status),
                ));
                if status >= 500 {
                    span.set_status(Status::error(""));
                }
            }
            None => span.set_status(Status::error("the client went away")),
        }
        span.end();
    }

    /// A child for a request to `host` and `port`, which tells the other side of
    /// it, unless the component has told of a trace itself.
    pub fn outbound(&self, request: &mut Request<impl Sized>) -> Option<Self> {
        let tracing = TRACING.get()?;
        let method = Method::of(request.method()).name();
        let uri = request.uri();
        let host = uri.host().unwrap_or_default().to_owned();
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("server.address", host),
        ];
        if let Some(port) = uri.port_u16() {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
        let builder = SpanBuilder::from_name(method)
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        let span = Self::begin(tracing, builder, &self.0);
        if !request.headers().contains_key(TRACEPARENT) {
            span.inject(request.headers_mut());
        }
        Some(span)
    }

    /// Ends the span of a request of a component.
    pub fn outbound_ended(&self, status: Option<StatusCode>, outcome: &'static str) {
        let span = self.0.span();
        match status {
            Some(status) => {
                let number = i64::from(status.as_u16());
                span.set_attribute(KeyValue::new("http.response.status_code", number));
                if status.as_u16() >= 400 {
                    span.set_status(Status::error(""));
                }
            }
            None => {
                span.set_attribute(KeyValue::new("error.type", outcome));
                span.set_status(Status::error(outcome));
            }
        }
        span.end();
    }

    /// A child for a statement, only if the log is at debug level. Its text has
    /// what the component wrote; values that it binds are not shown.
    pub fn statement(&self, text: &str) -> Option<Self> {
        if !tracing::enabled!(target: "runtime_host::sqlite", tracing::Level::DEBUG) {
            return None;
        }
        let tracing = TRACING.get()?;
        let builder = SpanBuilder::from_name("sqlite")
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("db.system.name", "sqlite"),
                KeyValue::new("db.query.text", text.to_owned()),
            ]);
        Some(Self::begin(tracing, builder, &self.0))
    }

    /// A child for the operation `name` on the key-value store `label`, only if
    /// the log is at debug level. It shows neither key nor value.
    pub fn key_value(&self, name: &'static str, label: &str) -> Option<Self> {
        if !tracing::enabled!(target: "runtime_host::key_value", tracing::Level::DEBUG) {
            return None;
        }
        let tracing = TRACING.get()?;
        let builder = SpanBuilder::from_name("key_value")
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("db.operation.name", name),
                KeyValue::new("db.namespace", label.to_owned()),
            ]);
        Some(Self::begin(tracing, builder, &self.0))
    }

    /// Ends the span of a statement or an operation.
    pub fn operation_ended(&self, good: bool) {
        let span = self.0.span();
        if !good {
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// The id of its trace.
    pub fn trace_id(&self) -> String {
        self.0.span().span_context().trace_id().to_string()
    }

    fn inject(&self, headers: &mut HeaderMap) {
        if let Some(tracing) = TRACING.get() {
            // Of the one before; a state that is empty is not written.
            headers.remove("tracestate");
            tracing
                .propagator
                .inject_context(&self.0, &mut HeaderInjector(headers));
        }
    }
}

/// The id of the trace that `headers` tell of, as W3C has it.
pub fn told(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(TRACEPARENT)?.to_str().ok()?;
    let id = text.get(3..35)?;
    let hex = id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let known = text.get(2..3) == Some("-") && text.get(35..36) == Some("-");
    (hex && known && id.bytes().any(|b| b != b'0')).then_some(id)
}

/// Sends batches over the host's own connections. It is asked on a thread
/// without a runtime.
struct Sender {
    client: Arc<Client>,
    timeout: Duration,
    runtime: tokio::runtime::Handle,
    trouble: Arc<Mutex<Trouble>>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

#[wasmtime_wasi::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, timeout) = (Arc::clone(&self.client), self.timeout);
        let sending = self.runtime.spawn(async move {
            let (mut head, body) = request.into_parts();
            head.headers
                .insert(header::CONTENT_LENGTH, body.len().into());
            let request = Request::from_parts(head, answers::full(body));
            let response = client
                .send_own(request, timeout, MAX_ANSWER_BYTES, "OTLP")
                .await?;
            Ok::<_, HttpError>(response)
        });
        let sent = sending.await.map_err(HttpError::from).flatten();
        let why = match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(e) => Some(e.to_string()),
        };
        metrics::span_export(why.is_none());
        if let Some(why) = why {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(batches) = trouble.another(Instant::now()) {
                tracing::warn!(batches, "the OTLP collector does not take spans: {why}");
            }
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_what_w3c_says() {
        let told_of = |text: &str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(TRACEPARENT),
                http::HeaderValue::from_str(text).unwrap(),
            )]);
            told(&headers).map(str::to_owned)
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            told_of(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(),
            Some(id)
        );
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(told_of(bad), None, "{bad}");
        }
    }
}
