//! A collector of traces: OTLP over HTTP, as protobuf.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span with what stands around it.
#[derive(Debug, Clone)]
pub struct Received {
    pub span: Span,
    pub resource: Vec<KeyValue>,
    /// The head of the request that brought it, in lower case.
    pub head: String,
}

impl Received {
    pub fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.span.attributes, name)
    }

    pub fn resource(&self, name: &str) -> Option<String> {
        attribute(&self.resource, name)
    }

    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    let value: &AnyValue = found.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

type Spans = Arc<(Mutex<Vec<Received>>, Condvar)>;

/// One on a port of its own. Its threads end with the process.
pub struct TraceCollector {
    address: SocketAddr,
    spans: Spans,
}

impl TraceCollector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Spans::default();
        let received = Arc::clone(&spans);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let spans = Arc::clone(&received);
                std::thread::spawn(move || while serve(&stream, &spans).is_some() {});
            }
        });
        Self { address, spans }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for a span.
    pub fn find(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        let spans = self.spans.0.lock().unwrap();
        let missing = |spans: &mut Vec<Received>| !spans.iter().any(&wanted);
        let (spans, _) = self
            .spans
            .1
            .wait_timeout_while(spans, PATIENCE, missing)
            .unwrap();
        let found = spans.iter().find(|span| wanted(span)).cloned();
        found.unwrap_or_else(|| panic!("no such span in {spans:#?}"))
    }

    /// Those that have come.
    pub fn all(&self) -> Vec<Received> {
        self.spans.0.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, spans: &Spans) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("it is protobuf");
    let mut new = Vec::new();
    for batch in request.resource_spans {
        let resource = batch.resource.map(|r| r.attributes).unwrap_or_default();
        for span in batch.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            new.push(Received {
                span,
                resource: resource.clone(),
                head: head.clone(),
            });
        }
    }
    spans.0.lock().unwrap().extend(new);
    spans.1.notify_all();
    let mut stream = stream;
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        )
        .ok()
}
