//! HTTP as Core's server speaks it (libevent's, with Core's own limits on top).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::body::AnswerBody;
use crate::faults::{Action, When};
use crate::server::{Body, Server};

/// Longest request head.
const MAX_HEADER_BYTES: usize = 8192;
/// Longest request body.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// How long a wrong password holds a worker.
const WRONG_PASSWORD_DELAY: Duration = Duration::from_millis(250);
/// The type of everything that is not JSON.
const TEXT: &str = "text/html; charset=ISO-8859-1";

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
pub struct Hangup;

/// What is known about the connection of a request.
#[derive(Debug)]
pub struct Connection {
    /// What requests share.
    pub server: Arc<Server>,
    /// `user:password`.
    pub credentials: String,
    /// Set while this connection may outlive a restart to bring its answer home.
    pub spared: Arc<AtomicBool>,
}

type Answer = Response<AnswerBody>;

/// How a request authenticates itself.
enum Authentication {
    Right,
    Wrong,
    Missing,
}

impl Connection {
    fn authentication(&self, headers: &HeaderMap) -> Authentication {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Authentication::Missing;
        };
        let given = value
            .as_bytes()
            .strip_prefix(b"Basic ")
            .and_then(|text| BASE64.decode(text.trim_ascii()).ok());
        if given.is_some_and(|given| given == self.credentials.as_bytes()) {
            Authentication::Right
        } else {
            Authentication::Wrong
        }
    }

    /// Answers one request.
    ///
    /// # Errors
    /// [`Hangup`] closes the connection instead.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Hangup> {
        let (head, body) = request.into_parts();
        let size: usize = head
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        if size > MAX_HEADER_BYTES {
            return Ok(page(StatusCode::BAD_REQUEST, "Bad Request"));
        }
        let method = head.method;
        if !matches!(
            method,
            Method::GET | Method::POST | Method::PUT | Method::HEAD | Method::DELETE
        ) {
            return Ok(page(StatusCode::NOT_IMPLEMENTED, "Not Implemented"));
        }
        let announced = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
            return Ok(page(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Request Entity Too Large",
            ));
        }
        let raw = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Ok(page(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "Request Entity Too Large",
                ));
            }
            Err(_) => return Err(Hangup),
        };
        if matches!(method, Method::HEAD | Method::DELETE) {
            return Ok(text(StatusCode::METHOD_NOT_ALLOWED, ""));
        }
        let exact_path = head.uri.authority().is_none()
            && head.uri.path_and_query().is_some_and(|path| path == "/");
        if !exact_path {
            return Ok(text(StatusCode::NOT_FOUND, ""));
        }
        let authentication = self.authentication(&head.headers);
        if matches!(
            (&method, &authentication),
            (&Method::POST, Authentication::Right)
        ) {
            let body = Body::read(&raw);
            if body.is_own() {
                return self.own(raw, body).await;
            }
            return self.core(raw, body).await;
        }
        let Some(place) = self.server.place() else {
            return Ok(queue_full());
        };
        if method != Method::POST {
            return Ok(text(
                StatusCode::METHOD_NOT_ALLOWED,
                "JSONRPC server handles only POST requests",
            ));
        }
        if matches!(authentication, Authentication::Wrong) {
            let server = Arc::clone(&self.server);
            // The worker sleeps on even if the client goes away.
            let sleep = tokio::spawn(async move {
                let worker = server.workers.acquire().await;
                tokio::time::sleep(WRONG_PASSWORD_DELAY).await;
                std::mem::drop((worker, place));
            });
            let _ = sleep.await;
        }
        let mut answer = text(StatusCode::UNAUTHORIZED, "");
        answer.headers_mut().insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"jsonrpc\""),
        );
        Ok(answer)
    }

    /// The devnet's own methods: no queue, no faults.
    async fn own(&self, raw: Bytes, body: Body) -> Result<Answer, Hangup> {
        self.spared.store(true, Ordering::Release);
        let (status, body) = self.server.answer(raw, body).await.map_err(|_| Hangup)?;
        Ok(json(status, body))
    }

    /// Core's methods.
    async fn core(&self, raw: Bytes, body: Body) -> Result<Answer, Hangup> {
        self.spared.store(false, Ordering::Release);
        let methods: Vec<String> = body.core_methods().into_iter().map(str::to_owned).collect();
        let methods: Vec<&str> = methods.iter().map(String::as_str).collect();
        let Some(place) = self.server.place() else {
            return Ok(queue_full());
        };
        let mut slow = Duration::ZERO;
        for strike in self.server.faults.strike_answer(&methods, When::Before) {
            match strike.action {
                Action::Delay(time) => slow += time,
                Action::Hang => {
                    // Nothing runs, so no worker is held.
                    std::mem::drop(place);
                    strike.hold.released().await;
                    return Err(Hangup);
                }
                action => return broken(action, &Bytes::new()),
            }
        }
        let server = Arc::clone(&self.server);
        // What was started is finished, whether or not the client still waits for it.
        let work = tokio::spawn(async move {
            let worker = server.workers.acquire().await;
            tokio::time::sleep(slow).await;
            let answer = server.answer(raw, body).await;
            std::mem::drop((worker, place));
            answer
        });
        let (status, body) = work.await.map_err(|_| Hangup)?.map_err(|_| Hangup)?;
        for strike in self.server.faults.strike_answer(&methods, When::After) {
            match strike.action {
                Action::Delay(time) => tokio::time::sleep(time).await,
                Action::Hang => {
                    strike.hold.released().await;
                    return Err(Hangup);
                }
                action => return broken(action, &body),
            }
        }
        Ok(json(status, body))
    }
}

/// The answer that a fault gives instead of `body`.
fn broken(action: Action, body: &Bytes) -> Result<Answer, Hangup> {
    match action {
        Action::Garbage(status, body) => Ok(json(status, body)),
        Action::Huge => Ok(with_type(
            StatusCode::OK,
            "application/json",
            AnswerBody::huge(),
        )),
        Action::Truncate if !body.is_empty() => Ok(with_type(
            StatusCode::OK,
            "application/json",
            AnswerBody::half(body),
        )),
        Action::Refuse => Ok(page(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")),
        Action::Hang | Action::Drop | Action::Delay(_) | Action::Truncate | Action::Error(..) => {
            Err(Hangup)
        }
    }
}

fn with_type(status: StatusCode, kind: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn json(status: u16, body: Bytes) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if body.first().is_some_and(|byte| matches!(byte, b'{' | b'[')) {
        "application/json"
    } else {
        TEXT
    };
    with_type(status, kind, AnswerBody::whole(body))
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    with_type(status, TEXT, AnswerBody::whole(body))
}

fn queue_full() -> Answer {
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Work queue depth exceeded",
    )
}

/// libevent's own answers, after which it closes.
fn page(status: StatusCode, title: &str) -> Answer {
    let code = status.as_u16();
    let body = format!(
        "<HTML><HEAD>\n<TITLE>{code} {title}</TITLE>\n</HEAD><BODY>\n<H1>{title}</H1>\n</BODY></HTML>\n"
    );
    let mut answer = with_type(status, "text/html", AnswerBody::whole(body));
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
