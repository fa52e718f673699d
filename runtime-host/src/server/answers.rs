//! Answers which the host itself gives.

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde::Serialize;
use wasmtime_wasi_http::WasiBody;

use crate::server::request_id::RequestId;

const JSON: &str = "application/json";
const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, without anything about why: that is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The request makes no sense.
    BadRequest(&'static str),
    /// No route fits.
    NotFound,
    /// The head did not come in time.
    HeadTimeout,
    /// The head is too large, or has too many headers.
    HeadTooLarge,
    /// The target of the request is too long.
    TargetTooLong,
    /// The client has too many connections.
    TooManyConnections,
    /// There are too many connections.
    Full,
    /// The body did not come in time.
    BodyTimeout,
    /// The body is too large.
    BodyTooLarge,
    /// The component failed.
    Internal(RequestId),
    /// Too much to do.
    Busy,
    /// The component did not answer in time.
    Timeout(RequestId),
}

/// How a [`Problem`] is labelled. Its body is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`
    Json,
    /// `application/problem+json` (RFC 9457)
    ProblemJson,
}

impl Form {
    /// What the client of a request with `headers` asks for.
    pub fn wanted(headers: &HeaderMap) -> Self {
        let wanted = headers.get_all(ACCEPT).iter().any(|value| {
            let text = value.to_str().unwrap_or_default();
            text.contains(PROBLEM_JSON)
        });
        if wanted {
            Self::ProblemJson
        } else {
            Self::Json
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::ProblemJson => PROBLEM_JSON,
        }
    }
}

/// What is always the same of a problem.
struct Row {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: Option<&'static str>,
    retryable: bool,
}

/// `message` is for clients that know no more than that and `success`; the
/// others are RFC 9457's, and two that it allows to be added.
#[derive(Serialize)]
struct Body {
    success: bool,
    message: &'static str,
    code: &'static str,
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// Whether the same request may do better later.
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Problem {
    fn row(self) -> Row {
        let (status, code, title, detail, retryable) = match self {
            Self::BadRequest(why) => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "Bad request",
                Some(why),
                false,
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found", None, false),
            Self::HeadTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "The head of the request did not arrive in time",
                None,
                true,
            ),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                "The head of the request is too large",
                None,
                false,
            ),
            Self::TargetTooLong => (
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "The target of the request is too long",
                None,
                false,
            ),
            Self::TooManyConnections => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_connections",
                "There are too many connections from your address",
                Some("nothing was done"),
                true,
            ),
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_connections",
                "There are too many connections",
                Some("nothing was done"),
                true,
            ),
            Self::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "The request body did not arrive in time",
                None,
                true,
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "The request body is too large",
                None,
                false,
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                Some("it may have been done or not; the log has more under the id"),
                true,
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "Busy",
                Some("nothing was done"),
                true,
            ),
            Self::Timeout(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "The request took too long",
                Some("it may have been done or not; the log has more under the id"),
                true,
            ),
        };
        Row {
            status,
            code,
            title,
            detail,
            retryable,
        }
    }

    fn id(self) -> Option<RequestId> {
        match self {
            Self::Internal(id) | Self::Timeout(id) => Some(id),
            Self::BadRequest(_)
            | Self::NotFound
            | Self::HeadTimeout
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::TooManyConnections
            | Self::Full
            | Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::Busy => None,
        }
    }

    /// Its status.
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    /// As a response with a JSON body.
    pub fn response(self, form: Form) -> Response<WasiBody> {
        let (status, headers, body) = self.parts(form);
        let mut response = Response::new(full(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// Status, headers and JSON body.
    pub fn parts(self, form: Form) -> (StatusCode, HeaderMap, String) {
        let row = self.row();
        let message = if let Self::BadRequest(why) = self {
            why
        } else {
            row.title
        };
        let body = Body {
            success: false,
            message,
            code: row.code,
            kind: format!("urn:runtime-host:problem:{}", row.code),
            title: row.title,
            status: row.status.as_u16(),
            detail: row.detail,
            retryable: row.retryable,
            id: self.id().map(|id| id.to_string()),
        };
        // A structure of strings and numbers always has a JSON form.
        let body = serde_json::to_string(&body).unwrap_or_default();
        let mut headers = HeaderMap::new();
        let content_type = HeaderValue::from_static(form.content_type());
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        match self {
            // The rest of the body is not read.
            Self::BodyTimeout | Self::BodyTooLarge => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Busy | Self::Full | Self::TooManyConnections => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::BadRequest(_)
            | Self::NotFound
            | Self::HeadTimeout
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::Internal(_)
            | Self::Timeout(_) => {}
        }
        (row.status, headers, body)
    }
}

/// A response with `body`.
pub fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<WasiBody> {
    let body: Bytes = body.into();
    let length = body.len();
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> WasiBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response<WasiBody>) -> String {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn an_internal_problem_tells_its_id_and_nothing_else() {
        let id = RequestId::next();
        let response = Problem::Internal(id).response(Form::Json);
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[CONTENT_TYPE], JSON);
        assert_eq!(
            body(response).await,
            format!(
                r#"{{"success":false,"message":"Internal error","code":"internal","type":"urn:runtime-host:problem:internal","title":"Internal error","status":500,"detail":"it may have been done or not; the log has more under the id","retryable":true,"id":"{id}"}}"#
            )
        );
    }

    #[tokio::test]
    async fn a_bad_request_says_what_is_wrong() {
        let response = Problem::BadRequest("The Host header is missing").response(Form::Json);
        assert_eq!(response.status(), 400);
        let body: serde_json::Value = serde_json::from_str(&body(response).await).unwrap();
        assert_eq!(body["message"], "The Host header is missing");
        assert_eq!(body["detail"], "The Host header is missing");
        assert_eq!(body["title"], "Bad request");
        assert_eq!(body["retryable"], false);
    }

    #[test]
    fn problem_json_is_for_those_that_ask() {
        let mut headers = HeaderMap::new();
        assert_eq!(Form::wanted(&headers), Form::Json);
        headers.insert(ACCEPT, HeaderValue::from_static("text/html, */*"));
        assert_eq!(Form::wanted(&headers), Form::Json);
        headers.append(
            ACCEPT,
            HeaderValue::from_static("application/problem+json;q=0.9, */*"),
        );
        assert_eq!(Form::wanted(&headers), Form::ProblemJson);
        let response = Problem::NotFound.response(Form::ProblemJson);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    }
}
