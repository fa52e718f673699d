//! What is noted of a request of a client, from its head to the end of its
//! answer: for metrics, access log and trace, and its id.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::HeaderValue;
use http::{HeaderMap, Request, Response};

use crate::observe::access_log::{self, AccessLog};
use crate::observe::metrics::{self, Held, Method};
use crate::observe::trace::{self, Span};
use crate::server::request_id::{RequestId, X_REQUEST_ID};
use crate::server::routes::{Found, Routes};

/// Where it is noted.
pub struct Observer {
    access_log: Option<Arc<AccessLog>>,
    /// In the order of the routes.
    routes: Vec<Arc<metrics::Route>>,
    /// What the host itself answers, under its own paths.
    own: Arc<metrics::Route>,
    /// What no route fits.
    unrouted: Arc<metrics::Route>,
}

impl Observer {
    /// For requests on `routes`.
    pub fn new(routes: &Routes, access_log: Option<AccessLog>) -> Self {
        let route = |component: &str, raw: &str| Arc::new(metrics::Route::new(component, raw));
        let entries = routes.entries().iter();
        Self {
            access_log: access_log.map(Arc::new),
            routes: entries.map(|e| route(&e.component, &e.raw)).collect(),
            own: route("", "/.well-known/..."),
            unrouted: route("", ""),
        }
    }

    /// Begins to watch `request`.
    pub fn begin<B>(&self, request: &Request<B>, client: SocketAddr) -> Watch {
        let headers = request.headers();
        let id = RequestId::of(headers);
        let method = Method::of(request.method());
        let span = Span::of_request(method, request.uri().path(), headers);
        let line = self.access_log.as_ref().map(|log| {
            let trace_id = match &span {
                Some(span) => Some(span.trace_id()),
                None => trace::told(headers).map(str::to_owned),
            };
            Box::new(Noted {
                log: Arc::clone(log),
                client,
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
                trace_id,
            })
        });
        Watch {
            begun: Instant::now(),
            id,
            header: id.header(),
            method,
            route: Arc::clone(&self.unrouted),
            status: None,
            bytes: 0,
            span,
            line,
            _in_flight: Held::request(),
        }
    }

    /// The request is for the host itself.
    pub fn own(&self, watch: &mut Watch) {
        watch.route = Arc::clone(&self.own);
    }

    /// The request is for the component that `found` tells, which gets its id
    /// among the `headers`.
    pub fn routed(&self, watch: &mut Watch, found: &Found<'_>, headers: &mut HeaderMap) {
        if let Some(route) = self.routes.get(found.index) {
            watch.route = Arc::clone(route);
        }
        headers.insert(X_REQUEST_ID, watch.header.clone());
        if let Some(span) = &watch.span {
            let route = &watch.route;
            span.routed(watch.method, route.route(), route.component(), headers);
        }
    }
}

/// A request; dropped, it is over.
pub struct Watch {
    begun: Instant,
    id: RequestId,
    header: HeaderValue,
    method: Method,
    route: Arc<metrics::Route>,
    status: Option<u16>,
    bytes: u64,
    span: Option<Span>,
    line: Option<Box<Noted>>,
    _in_flight: Held,
}

/// For the access log.
struct Noted {
    log: Arc<AccessLog>,
    client: SocketAddr,
    method: http::Method,
    path: String,
    trace_id: Option<String>,
}

impl Watch {
    /// The request's id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Its span, if there is tracing.
    pub fn span(&self) -> Option<Span> {
        self.span.clone()
    }

    /// `response` is the answer, which is given the id.
    pub fn answered<B>(&mut self, response: &mut Response<B>) {
        self.status = Some(response.status().as_u16());
        let header = std::mem::replace(&mut self.header, HeaderValue::from_static(""));
        response.headers_mut().insert(X_REQUEST_ID, header);
    }

    /// So many bytes of the answer's body are on their way.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes += u64::try_from(bytes).unwrap_or(0);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let time = self.begun.elapsed();
        self.route.ended(self.method, self.status, time, self.bytes);
        if let Some(span) = &self.span {
            span.answered(&self.id, self.status, self.bytes);
        }
        if let Some(noted) = &self.line {
            noted.log.write(access_log::Line {
                time: "",
                request_id: self.id.as_str(),
                client: noted.client,
                method: noted.method.as_str(),
                path: &noted.path,
                route: self.route.route(),
                component: self.route.component(),
                status: self.status,
                bytes: self.bytes,
                duration_seconds: access_log::seconds(time),
                trace_id: noted.trace_id.as_deref(),
            });
        }
    }
}
