//! `wasi:http/client`: requests that components make.
//!
//! A request goes out only where `allowed_outbound_hosts` lets it. Redirects are
//! answers like any other. The errors tell a caller what it must know before it
//! asks again:
//!
//! * `HTTP-request-denied`, `HTTP-request-URI-invalid`, `DNS-error`,
//!   `destination-IP-prohibited`, `connection-refused`, `connection-timeout` and the TLS errors: nothing was
//!   sent.
//! * `connection-terminated`, `connection-read-timeout`, `HTTP-protocol-error`
//!   and what else there is: the request may have been carried out.

pub mod allowed_hosts;
mod body;
mod connect;
mod own;
mod pool;
mod reach;

pub use self::own::is_unsent;
pub use self::reach::Reach;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use self::allowed_hosts::{AllowedHosts, Destination};
use self::body::ResponseBody;
use self::pool::{Key, Pool};
use crate::bound::{self, Bound};
use crate::observe::metrics::{self, Outcome};
use crate::observe::trace::Span;

/// The host which SDKs that need one write for requests to the application
/// itself.
const SELF_HOST: &str = "self.alt";

/// What bounds requests that components make. The times are the longest; a
/// guest may ask for shorter ones.
#[derive(Debug, Clone, Copy)]
pub struct OutboundLimits {
    /// To wait for a connection, and to connect.
    pub connect_timeout: Duration,
    /// To the head of the answer.
    pub first_byte_timeout: Duration,
    /// Of a pause in its body.
    pub between_bytes_timeout: Duration,
    /// Its body.
    pub response_bytes: u64,
    /// Connections of all components at once.
    pub connections: usize,
    /// Connections to one host and port at once.
    pub connections_per_host: usize,
}

/// How one component may connect.
#[derive(Debug)]
pub struct Grant {
    /// The component's id, for the log.
    pub component: Arc<str>,
    /// Where to.
    pub allowed: AllowedHosts,
    /// To which addresses.
    pub reach: Reach,
    /// With what.
    pub client: Arc<Client>,
    /// What is counted of it.
    pub metrics: metrics::Outbound,
}

/// The connections of all components.
#[derive(Debug)]
pub struct Client {
    pool: Arc<Pool>,
    limits: OutboundLimits,
    own_address: OnceLock<SocketAddr>,
}

impl Client {
    /// A client without connections.
    ///
    /// # Errors
    ///
    /// The TLS library refuses its settings.
    pub fn new(limits: OutboundLimits) -> Result<Self, rustls::Error> {
        Ok(Self {
            pool: Arc::new(Pool::new(connect::Connector::new()?, limits)),
            limits,
            own_address: OnceLock::new(),
        })
    }

    /// Tells where requests of the application to itself go.
    pub fn set_own_address(&self, address: SocketAddr) {
        let _ = self.own_address.set(address);
    }
}

/// The time limits of one request.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Timeout,
    first_byte: Timeout,
    between_bytes: Timeout,
}

impl Timeouts {
    fn of(options: Option<RequestOptions>, limits: &OutboundLimits) -> Self {
        let options = options.unwrap_or_default();
        Self {
            connect: Timeout::of(
                options.connect_timeout,
                limits.connect_timeout,
                Bound::OutboundConnectTimeout,
            ),
            first_byte: Timeout::of(
                options.first_byte_timeout,
                limits.first_byte_timeout,
                Bound::OutboundFirstByteTimeout,
            ),
            between_bytes: Timeout::of(
                options.between_bytes_timeout,
                limits.between_bytes_timeout,
                Bound::OutboundBetweenBytesTimeout,
            ),
        }
    }
}

/// A time, and the bound that it is if the guest has not asked for less.
#[derive(Debug, Clone, Copy)]
struct Timeout {
    time: Duration,
    begun: Instant,
    bound: Option<Bound>,
}

impl Timeout {
    fn of(wanted: Option<Duration>, most: Duration, bound: Bound) -> Self {
        let (time, bound) = match wanted {
            Some(time) if time < most => (time, None),
            _ => (most, Some(bound)),
        };
        Self {
            time,
            begun: Instant::now(),
            bound,
        }
    }

    /// For what consists of several steps.
    fn left(self) -> Duration {
        self.time.saturating_sub(self.begun.elapsed())
    }

    /// Logs that it passed, if that is of interest.
    fn passed(self, component: &str, destination: &Key) {
        if let Some(bound) = self.bound {
            let (host, port) = (&destination.host, destination.port);
            bound.exceeded(
                component,
                format_args!("{host}:{port} took longer than {:?}", self.time),
            );
        }
    }
}

/// What `wasi:http` calls for one instance.
pub struct Hooks {
    grant: Arc<Grant>,
    /// Requests of the instance at once.
    permits: Arc<Semaphore>,
    /// Of the request that the instance is at.
    span: Option<Span>,
}

impl Hooks {
    /// The hooks of an instance with `grant` and at most `requests` at once.
    pub fn new(grant: &Arc<Grant>, requests: usize) -> Self {
        Self {
            grant: Arc::clone(grant),
            permits: Arc::new(Semaphore::new(requests)),
            span: None,
        }
    }

    /// What follows has `span` as its parent.
    pub fn begin_request(&mut self, span: Option<Span>) {
        self.span = span;
    }
}

type Sent = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let (grant, permits) = (Arc::clone(&self.grant), Arc::clone(&self.permits));
        let parent = self.span.clone();
        Box::new(async move {
            let begun = Instant::now();
            let span = parent.and_then(|parent| parent.outbound(&mut request));
            let pattern = grant.authorise(&mut request);
            let entry = pattern.as_ref().ok().copied();
            let response = match pattern {
                Ok(_) => {
                    let timeouts = Timeouts::of(options, &grant.client.limits);
                    grant.send(request, permits, timeouts).await
                }
                Err(e) => Err(e),
            };
            let outcome = match &response {
                Ok(response) => Outcome::answered(response.status()),
                Err(e) => Outcome::failed(e),
            };
            grant.metrics.ended(entry, outcome, begun.elapsed());
            if let Some(span) = span {
                let status = response.as_ref().ok().map(Response::status);
                span.outbound_ended(status, outcome.name());
            }
            let response = response
                .inspect_err(|e| tracing::debug!(component = &*grant.component, "outbound: {e}"))?;
            let finished: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(async { Ok(()) });
            Ok((response, finished))
        })
    }
}

impl Grant {
    async fn send(
        &self,
        request: Request<WasiBody>,
        permits: Arc<Semaphore>,
        timeouts: Timeouts,
    ) -> Result<Response<WasiBody>, Error> {
        let key = Key::of(request.uri(), self.reach)?;
        let component = &self.component;
        let permit = pool::permit(
            &permits,
            timeouts.connect,
            Bound::InstanceOutboundRequests,
            component,
        )
        .await?;
        let client = &self.client;
        let (response, connection) = client
            .pool
            .request(&key, request, timeouts, component)
            .await?;
        let terms = body::Terms {
            timeout: timeouts.between_bytes,
            most: client.limits.response_bytes,
            component: Arc::clone(component),
            _permit: permit,
        };
        let (head, body) = response.into_parts();
        let body = ResponseBody::new(body, connection, terms)?;
        Ok(Response::from_parts(head, body.boxed_unsync()))
    }

    /// Checks where `request` goes and makes its address complete. Gives the
    /// number of the entry that allows it.
    fn authorise(&self, request: &mut Request<WasiBody>) -> Result<usize, Error> {
        let uri = request.uri();
        let host = uri.host().unwrap_or_default();
        let entry = if host.is_empty() || host == SELF_HOST {
            let Some(entry) = self.allowed.find_self() else {
                return Err(self.denied(uri));
            };
            let own = *self
                .client
                .own_address
                .get()
                .ok_or(Error::HttpRequestUriInvalid)?;
            *request.uri_mut() = own_uri(own, uri.path_and_query())?;
            entry
        } else {
            let destination = Destination {
                scheme: uri.scheme_str().unwrap_or("https"),
                host,
                port: uri.port_u16(),
            };
            match self.allowed.find(destination) {
                Some(entry) => entry,
                None => return Err(self.denied(uri)),
            }
        };
        let host = host_header(request)?;
        request.headers_mut().insert(HOST, host);
        Ok(entry)
    }

    fn denied(&self, uri: &Uri) -> Error {
        let origin = match uri.authority() {
            Some(authority) if !authority.host().is_empty() => format!(
                "{}://{}",
                uri.scheme_str().unwrap_or("https"),
                without_user(authority)
            ),
            _ => "http://self".to_owned(),
        };
        bound::denied(
            "allowed_outbound_hosts",
            &self.component,
            format_args!(
                "a request to {origin} was denied; to allow it, add {origin:?} to the component's \
                 allowed_outbound_hosts"
            ),
        );
        Error::HttpRequestDenied
    }
}

/// The `Host` header of `request`, which its URL tells.
fn host_header<B>(request: &Request<B>) -> Result<HeaderValue, Error> {
    request
        .uri()
        .authority()
        .and_then(|authority| HeaderValue::from_str(without_user(authority)).ok())
        .ok_or(Error::HttpRequestUriInvalid)
}

/// Host and port, without the credentials that may stand before them.
fn without_user(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

fn own_uri(own: SocketAddr, path: Option<&PathAndQuery>) -> Result<Uri, Error> {
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(own.to_string())
        .path_and_query(path.map_or("/", PathAndQuery::as_str))
        .build()
        .map_err(|_| Error::HttpRequestUriInvalid)
}
