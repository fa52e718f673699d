//! Answers which the host itself gives.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::WasiBody;

use crate::dispatch::RequestId;

/// What went wrong, without anything about why: that is for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The request makes no sense.
    BadRequest(&'static str),
    /// No route fits.
    NotFound,
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

impl Problem {
    fn parts(self) -> (StatusCode, &'static str, &'static str, Option<RequestId>) {
        match self {
            Self::BadRequest(why) => (StatusCode::BAD_REQUEST, "bad_request", why, None),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found", None),
            Self::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "The request body did not arrive in time",
                None,
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "The request body is too large",
                None,
            ),
            Self::Internal(id) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                Some(id),
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy", None),
            Self::Timeout(id) => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "The request took too long",
                Some(id),
            ),
        }
    }

    /// As a response with a JSON body.
    pub fn response(self) -> Response<WasiBody> {
        let (status, code, message, id) = self.parts();
        let mut body = serde_json::json!({
            "success": false,
            "message": message,
            "code": code,
            "status": status.as_u16(),
        });
        if let (Some(id), Some(object)) = (id, body.as_object_mut()) {
            object.insert("id".to_owned(), id.to_string().into());
        }
        let mut response = text(status, "application/json", body.to_string());
        if matches!(self, Self::BodyTimeout | Self::BodyTooLarge) {
            // The rest of the body is not read.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
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

    #[tokio::test]
    async fn an_internal_problem_tells_its_id_and_nothing_else() {
        let id = RequestId::next();
        let response = Problem::Internal(id).response();
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "success": false,
                "message": "Internal error",
                "code": "internal",
                "status": 500,
                "id": id.to_string(),
            })
        );
    }
}
