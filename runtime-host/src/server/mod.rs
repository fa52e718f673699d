//! The HTTP server towards clients.

pub mod admission;
pub mod answers;
pub mod connection;
#[cfg_attr(not(unix), path = "no_handover.rs")]
pub mod handover;
pub mod headers;
#[cfg(unix)]
pub mod open_files;
pub mod refusal;
pub mod request_id;
pub mod routes;
pub mod shards;
pub mod shutdown;
pub mod tls;
pub mod watch;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::header::{CONNECTION, HeaderValue};
use http::uri::Scheme;
use http::{Request, Response, StatusCode, request};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use wasmtime_wasi_http::WasiBody;

use self::admission::Admission;
use self::answers::{Form, Problem};
use self::connection::{Answer, Requests};
use self::refusal::Guarded;
use self::request_id::RequestId;
use self::routes::{HOST_PREFIX, WELL_KNOWN_PREFIX};
use self::shards::Shards;
use self::shutdown::{Phase, Shutdown};
use self::watch::{Observer, Watch};
use crate::app::App;
use crate::bound::{self, Bound};
use crate::component::dispatch::{Failure, Runner};
use crate::observe::metrics::Held;
use crate::observe::trace::Span;

/// Of one HTTP/2 stream, what is waiting to be sent.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// After an error of accepting, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What bounds a client.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Connections of one client address at once.
    pub connections_per_address: usize,
    /// The largest head of a request, in bytes; a larger one is answered with
    /// 431.
    pub head_bytes: u32,
    /// Headers of a request; more are answered with 431.
    pub headers: usize,
    /// The largest body of a request, in bytes; a larger one is answered with
    /// 413.
    pub body_bytes: usize,
    /// How long its body may take; then it is answered with 408.
    pub body_timeout: Duration,
    /// How long the TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Requests of one HTTP/2 connection at once.
    pub streams: u32,
    /// When a connection is given up.
    pub connection: connection::Limits,
}

/// What is served, and how.
pub struct Site {
    /// What answers.
    pub app: Arc<App>,
    /// What bounds clients.
    pub bounds: Bounds,
    /// Makes connections TLS ones, if they are to be.
    pub tls: Option<TlsAcceptor>,
    /// Ends it.
    pub shutdown: Shutdown,
    /// Where connections are served.
    pub shards: Shards,
    /// Where requests are noted.
    pub observer: Observer,
}

impl Site {
    /// `https` or `http`
    pub fn scheme(&self) -> Scheme {
        match self.tls {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        }
    }
}

/// Serves `site` on `listener` until its shutdown, and then until every request
/// that was begun is answered.
pub async fn serve(listener: TcpListener, site: Arc<Site>) {
    let bounds = &site.bounds;
    let admission = Admission::new(bounds.connections, bounds.connections_per_address);
    // Every connection has a clone of the sender; the last one's end is seen.
    let (alive, mut ended) = mpsc::channel::<Infallible>(1);
    let connected = |(stream, client): (TcpStream, SocketAddr)| match admission.admit(client.ip()) {
        Ok(admitted) => begin(
            &site,
            stream,
            client,
            (admitted, Held::connection(), alive.clone()),
        ),
        Err(problem) => admission.refuse(stream, problem, site.tls.is_some()),
    };
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = site.shutdown.reached(Phase::Left) => break,
        };
        let Some(accepted) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        connected(accepted);
    }
    // Those that the kernel has let in already.
    while let Some(Some(accepted)) = accept(&listener).now_or_never() {
        connected(accepted);
    }
    drop(listener);
    drop(alive);
    ended.recv().await;
}

/// Has one of the threads serve a connection; `held` is dropped with its end.
fn begin(site: &Arc<Site>, stream: TcpStream, client: SocketAddr, held: impl Send + 'static) {
    let stream = match stream.into_std() {
        Ok(stream) => stream,
        Err(e) => return tracing::warn!("cannot serve a connection: {e}"),
    };
    let serving = Arc::clone(site);
    site.shards.spawn(move || async move {
        match TcpStream::from_std(stream) {
            Ok(stream) => accepted(&serving, stream, client).await,
            Err(e) => tracing::warn!("cannot serve a connection: {e}"),
        }
        drop(held);
    });
}

async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    listener
        .accept()
        .await
        .inspect_err(|e| {
            bound::denied(
                "accept",
                "",
                format_args!("cannot accept a connection: {e}"),
            )
        })
        .ok()
}

async fn accepted(site: &Arc<Site>, stream: TcpStream, client: SocketAddr) {
    // Without this, an answer in two segments waits for the client's delayed
    // acknowledgement: 40 ms.
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {e}");
    }
    let ended = match &site.tls {
        None => http_1(site, stream, client).await,
        Some(acceptor) => {
            let handshake =
                tokio::time::timeout(site.bounds.handshake_timeout, acceptor.accept(stream));
            let stream = tokio::select! {
                stream = handshake => stream,
                () = site.shutdown.reached(Phase::Closing) => return,
            };
            match stream {
                Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP_2) => {
                    http_2(site, stream, client).await
                }
                Ok(Ok(stream)) => http_1(site, stream, client).await,
                Ok(Err(e)) => Err(format!("TLS: {e}")),
                Err(_) => {
                    let what = format_args!("a TLS handshake took too long");
                    Bound::TlsHandshakeTimeout.exceeded("", what);
                    return;
                }
            }
        }
    };
    if let Err(e) = ended {
        tracing::debug!(%client, "a connection ended: {e}");
    }
}

async fn http_1(
    site: &Arc<Site>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    client: SocketAddr,
) -> Result<(), String> {
    let requests = Requests::new();
    let service = service_fn(|request| {
        let begun = requests.begin();
        let requests = &requests;
        let mut watch = site.observer.begin(&request, client);
        async move {
            let mut response = answer(site, request, client, &mut watch).await;
            watch.answered(&mut response);
            // The host's own, which has not read the whole request.
            if response.headers().contains_key(CONNECTION) {
                requests.linger();
            }
            if site.shutdown.phase() >= Phase::Leaving {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, begun, watch)))
        }
    });
    let head_bytes = usize::try_from(site.bounds.head_bytes).unwrap_or(usize::MAX);
    let guarded = Guarded::new(stream, Arc::clone(&requests), head_bytes);
    let connection = http1::Builder::new()
        // This is `drive`'s.
        .header_read_timeout(None)
        .max_buf_size(head_bytes)
        .max_headers(site.bounds.headers)
        .serve_connection(TokioIo::new(guarded), service);
    // A request that is on its way to an idle connection would be lost if it
    // were closed earlier: there is no way to tell the client but an answer.
    let (limits, goodbye) = (site.bounds.connection, Phase::Closing);
    connection::drive(connection, &requests, limits, &site.shutdown, goodbye).await
}

async fn http_2(
    site: &Arc<Site>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    client: SocketAddr,
) -> Result<(), String> {
    let requests = Requests::new();
    // A client that cancels requests as fast as it makes them does not have
    // more of them worked at than one that does not.
    let streams = usize::try_from(site.bounds.streams).unwrap_or(usize::MAX);
    let running = Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS)));
    let service = service_fn(|request| {
        let begun = requests.begin();
        let site = Arc::clone(site);
        let mut watch = site.observer.begin(&request, client);
        let permit = Arc::clone(&running).try_acquire_owned();
        async move {
            let form = Form::wanted(request.headers());
            let mut response = match permit {
                Ok(permit) => {
                    let id = watch.id();
                    // On its own, so that it ends before its permit does.
                    let answer = tokio::spawn(async move {
                        let response = answer(&site, request, client, &mut watch).await;
                        drop(permit);
                        (response, watch)
                    });
                    match answer.await {
                        Ok((response, of_answer)) => {
                            watch = of_answer;
                            response
                        }
                        Err(_) => {
                            let problem = Problem::Internal(id).response(form);
                            return Ok(problem.map(|body| Answer::unwatched(body, begun)));
                        }
                    }
                }
                Err(_) => {
                    let what = format_args!("a client that cancels requests is refused others");
                    Bound::Http2Streams.exceeded("", what);
                    Problem::Busy.response(form)
                }
            };
            response.headers_mut().remove(CONNECTION);
            watch.answered(&mut response);
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, begun, watch)))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(site.bounds.streams)
        .max_header_list_size(site.bounds.head_bytes)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let (limits, goodbye) = (site.bounds.connection, Phase::Leaving);
    connection::drive(connection, &requests, limits, &site.shutdown, goodbye).await
}

async fn answer(
    site: &Site,
    request: Request<Incoming>,
    client: SocketAddr,
    watch: &mut Watch,
) -> Response<WasiBody> {
    let app = &site.app;
    let form = Form::wanted(request.headers());
    // Of HTTP/2; of HTTP/1.1, more are not even read.
    if request.headers().len() > site.bounds.headers {
        Bound::RequestHeaders.exceeded("", format_args!("a request has too many headers"));
        return Problem::HeadTooLarge.response(form);
    }
    let path = request.uri().path().to_owned();
    if let Some(name) = path.strip_prefix(WELL_KNOWN_PREFIX) {
        site.observer.own(watch);
        return well_known(app, name, form);
    }
    if let Some(name) = path.strip_prefix(HOST_PREFIX) {
        site.observer.own(watch);
        return state(&site.shutdown, name, form);
    }
    let Some(found) = app.routes.find(&path) else {
        return Problem::NotFound.response(form);
    };
    let Some(runner) = app.runner(&found.entry.component) else {
        return Problem::NotFound.response(form);
    };
    let (mut head, body) = request.into_parts();
    site.observer.routed(watch, &found, &mut head.headers);
    if let Err(why) = headers::prepare(&mut head, &found, &app.headers, client, site.scheme()) {
        return Problem::BadRequest(why).response(form);
    }
    // The whole body is here before an instance is asked, so that a slow client
    // keeps nothing waiting but itself.
    let body = match read(body, site.bounds).await {
        Ok(body) => body,
        Err(problem) => {
            tell(problem, &found.entry.component);
            return problem.response(form);
        }
    };
    deliver(runner, watch.id(), watch.span(), head, body).await
}

/// The answer of a component, or what is answered in its place, to a request
/// whose head is prepared; `span` is its parent of what it does.
pub async fn deliver(
    runner: &Runner,
    id: RequestId,
    span: Option<Span>,
    head: request::Parts,
    body: Bytes,
) -> Response<WasiBody> {
    let form = Form::wanted(&head.headers);
    let request = Request::from_parts(head, answers::full(body));
    match runner.run(id, span, request).await {
        Ok(response) => response,
        Err(Failure::Busy) => Problem::Busy.response(form),
        Err(Failure::Timeout) => Problem::Timeout(id).response(form),
        Err(Failure::Failed) => Problem::Internal(id).response(form),
    }
}

async fn read(body: Incoming, bounds: Bounds) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let limit = u64::try_from(bounds.body_bytes).unwrap_or(u64::MAX);
    if body.size_hint().lower() > limit {
        return Err(Problem::BodyTooLarge);
    }
    let whole = Limited::new(body, bounds.body_bytes).collect();
    match tokio::time::timeout(bounds.body_timeout, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(Problem::BodyTooLarge),
        Ok(Err(_)) => Err(Problem::BadRequest("The request body is incomplete")),
        Err(_) => Err(Problem::BodyTimeout),
    }
}

fn tell(problem: Problem, component: &str) {
    match problem {
        Problem::BodyTimeout => Bound::BodyTimeout.exceeded(
            component,
            format_args!("the body of a request did not arrive in time"),
        ),
        Problem::BodyTooLarge => Bound::RequestBody.exceeded(
            component,
            format_args!("the body of a request is too large"),
        ),
        _ => {}
    }
}

/// What Spin answers under its prefix.
fn well_known(app: &App, name: &str, form: Form) -> Response<WasiBody> {
    match name {
        "health" => answers::text(StatusCode::OK, "text/plain", "OK"),
        "info" => answers::text(StatusCode::OK, "application/json", app.info.clone()),
        _ => Problem::NotFound.response(form),
    }
}

/// Whether this host lives, and whether it is to be given requests.
fn state(shutdown: &Shutdown, name: &str, form: Form) -> Response<WasiBody> {
    match (name, shutdown.phase()) {
        ("live", _) => answers::text(StatusCode::OK, "text/plain", "live"),
        ("ready", Phase::Serving) => answers::text(StatusCode::OK, "text/plain", "ready"),
        ("ready", Phase::Leaving | Phase::Left | Phase::Closing) => {
            answers::text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining")
        }
        _ => Problem::NotFound.response(form),
    }
}
