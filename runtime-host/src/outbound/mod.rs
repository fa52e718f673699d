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

mod body;
mod connect;
mod pool;
mod reach;

pub use self::reach::Reach;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use self::body::ResponseBody;
use self::pool::{Key, Pool};
use crate::allowed_hosts::{AllowedHosts, Destination};

/// How long connecting may take unless the guest says.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the beginning of the answer, and each pause in it, may take unless
/// the guest says. The deadline of the incoming request is usually earlier.
const READ_TIMEOUT: Duration = Duration::from_secs(600);

/// The host which SDKs that need one write for requests to the application
/// itself.
const SELF_HOST: &str = "self.alt";

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
}

/// The connections of all components.
#[derive(Debug)]
pub struct Client {
    pool: Arc<Pool>,
    own_address: OnceLock<SocketAddr>,
}

impl Client {
    /// A client without connections.
    ///
    /// # Errors
    ///
    /// The TLS library refuses its settings.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self {
            pool: Arc::new(Pool::new(connect::Connector::new()?)),
            own_address: OnceLock::new(),
        })
    }

    /// Tells where requests of the application to itself go.
    pub fn set_own_address(&self, address: SocketAddr) {
        let _ = self.own_address.set(address);
    }

    /// Sends a request of the host itself, which waits for the answer as long as
    /// it likes.
    ///
    /// # Errors
    ///
    /// Whether the request may have been carried out, and the reason.
    pub async fn send_own(
        self: &Arc<Self>,
        request: Request<WasiBody>,
        connect: Duration,
    ) -> Result<Response<WasiBody>, Sending> {
        let timeouts = Timeouts {
            connect,
            first_byte: READ_TIMEOUT,
            between_bytes: READ_TIMEOUT,
        };
        let sent = Arc::clone(self).send(request, Reach::Anywhere, timeouts);
        sent.await.map_err(|e| {
            if is_unsent(&e) {
                Sending::NotSent(e.to_string())
            } else {
                Sending::Unknown(e.to_string())
            }
        })
    }

    async fn send(
        self: Arc<Self>,
        request: Request<WasiBody>,
        reach: Reach,
        timeouts: Timeouts,
    ) -> Result<Response<WasiBody>, Error> {
        let key = Key::of(request.uri(), reach)?;
        let (response, connection) = self.pool.request(&key, request, timeouts).await?;
        Ok(response.map(|incoming| {
            ResponseBody::new(incoming, timeouts.between_bytes, connection).boxed_unsync()
        }))
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sending {
    /// Nothing was sent.
    NotSent(String),
    /// It may have been carried out.
    Unknown(String),
}

/// Whether nothing was sent; see the module's list.
fn is_unsent(error: &Error) -> bool {
    matches!(
        error,
        Error::HttpRequestDenied
            | Error::HttpRequestUriInvalid
            | Error::DnsError { .. }
            | Error::DestinationIpProhibited
            | Error::ConnectionRefused
            | Error::ConnectionTimeout
            | Error::ConnectionLimitReached
            | Error::TlsProtocolError
    )
}

/// The time limits of one request.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Timeouts {
    fn of(options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        Self {
            connect: options.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            first_byte: options.first_byte_timeout.unwrap_or(READ_TIMEOUT),
            between_bytes: options.between_bytes_timeout.unwrap_or(READ_TIMEOUT),
        }
    }
}

/// What `wasi:http` calls for one instance.
pub struct Hooks {
    grant: Arc<Grant>,
}

impl Hooks {
    /// The hooks of an instance with `grant`.
    pub fn new(grant: &Arc<Grant>) -> Self {
        Self {
            grant: Arc::clone(grant),
        }
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
        let grant = Arc::clone(&self.grant);
        Box::new(async move {
            grant.authorise(&mut request)?;
            let response = Arc::clone(&grant.client)
                .send(request, grant.reach, Timeouts::of(options))
                .await
                .inspect_err(|e| tracing::debug!(component = &*grant.component, "outbound: {e}"))?;
            let finished: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(async { Ok(()) });
            Ok((response, finished))
        })
    }
}

impl Grant {
    /// Checks where `request` goes and makes its address complete.
    fn authorise(&self, request: &mut Request<WasiBody>) -> Result<(), Error> {
        let uri = request.uri();
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || host == SELF_HOST {
            if !self.allowed.allows_self() {
                return Err(self.denied(uri));
            }
            let own = *self
                .client
                .own_address
                .get()
                .ok_or(Error::HttpRequestUriInvalid)?;
            *request.uri_mut() = own_uri(own, uri.path_and_query())?;
        } else {
            let destination = Destination {
                scheme: uri.scheme_str().unwrap_or("https"),
                host,
                port: uri.port_u16(),
            };
            if !self.allowed.allows(destination) {
                return Err(self.denied(uri));
            }
        }
        let host = request
            .uri()
            .authority()
            .and_then(|authority| HeaderValue::from_str(without_user(authority)).ok())
            .ok_or(Error::HttpRequestUriInvalid)?;
        request.headers_mut().insert(HOST, host);
        Ok(())
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
        tracing::warn!(
            component = &*self.component,
            "a request to {origin} was denied; to allow it, add {origin:?} to the component's \
             allowed_outbound_hosts"
        );
        Error::HttpRequestDenied
    }
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
