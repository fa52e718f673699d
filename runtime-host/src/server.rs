//! The HTTP server towards clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wasmtime_wasi_http::WasiBody;

use crate::answers::{self, Problem};
use crate::app::App;
use crate::dispatch::{Failure, RequestId, Runner};
use crate::headers;
use crate::routes::WELL_KNOWN_PREFIX;
use crate::shutdown::Shutdown;

/// The largest head of a request; a larger one is answered with 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// After an error of accepting, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a request may stay in the kernel's hands before it is accepted.
const MAX_CONNECTIONS: usize = 4096;

/// What bounds a client.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The largest body of a request, in bytes; a larger one is answered with
    /// 413.
    pub body_bytes: usize,
    /// How long the head of a request may take, counted from the answer before
    /// it.
    pub head_timeout: Duration,
    /// How long its body may take; then it is answered with 408.
    pub body_timeout: Duration,
}

/// Serves `app` on `listener` until `shutdown`, and then until every request
/// that was begun is answered.
pub async fn serve(listener: TcpListener, app: Arc<App>, bounds: Bounds, shutdown: Shutdown) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = shutdown.requested() => break,
        };
        let Some((stream, client, permit)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
        connections.spawn(async move {
            connection(stream, client, app, bounds, shutdown).await;
            drop(permit);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, client)) => Some((stream, client, permit)),
        Err(e) => {
            tracing::warn!("cannot accept a connection: {e}");
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    app: Arc<App>,
    bounds: Bounds,
    shutdown: Shutdown,
) {
    // Without this, an answer in two segments waits for the client's delayed
    // acknowledgement: 40 ms.
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY: {e}");
    }
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, std::convert::Infallible>(answer(&app, request, client, bounds).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = result {
        tracing::debug!(%client, "a connection ended: {e}");
    }
}

async fn answer(
    app: &App,
    request: Request<Incoming>,
    client: SocketAddr,
    bounds: Bounds,
) -> Response<WasiBody> {
    let path = request.uri().path().to_owned();
    if let Some(name) = path.strip_prefix(WELL_KNOWN_PREFIX) {
        return well_known(app, name);
    }
    let Some(found) = app.routes.find(&path) else {
        return Problem::NotFound.response();
    };
    let Some(runner) = app.runner(&found.entry.component) else {
        return Problem::NotFound.response();
    };
    let (mut head, body) = request.into_parts();
    if let Err(why) = headers::prepare(&mut head, &found, client) {
        return Problem::BadRequest(why).response();
    }
    // The whole body is here before an instance is asked, so that a slow client
    // keeps nothing waiting but itself.
    let body = match read(body, bounds).await {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    deliver(runner, head, body).await
}

/// The answer of a component, or what is answered in its place, to a request
/// whose head is prepared.
pub async fn deliver(runner: &Runner, head: request::Parts, body: Bytes) -> Response<WasiBody> {
    let id = RequestId::next();
    let request = Request::from_parts(head, answers::full(body));
    match runner.run(id, request).await {
        Ok(response) => response,
        Err(Failure::Busy) => Problem::Busy.response(),
        Err(Failure::Timeout) => Problem::Timeout(id).response(),
        Err(Failure::Failed) => Problem::Internal(id).response(),
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

fn well_known(app: &App, name: &str) -> Response<WasiBody> {
    match name {
        "health" => answers::text(StatusCode::OK, "text/plain", "OK"),
        "info" => answers::text(StatusCode::OK, "application/json", app.info.clone()),
        _ => Problem::NotFound.response(),
    }
}
