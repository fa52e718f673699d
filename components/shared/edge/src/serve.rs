//! From request to response: the same for every endpoint.

use crate::{Call, Failure};
use bytes::Bytes;
use duxnet_api::problem::{Code, Problem};
use duxnet_render::{Answer, JSON};
use spin_sdk::http::{FullBody, HeaderValue, Request, Response};

/// Reads the request, has it handled, and writes the answer or the problem.
pub async fn serve(
    request: Request,
    handle: impl AsyncFnOnce(&Call) -> Result<Answer, Failure>,
) -> Response<FullBody<Bytes>> {
    let as_problem = Call::wants_problem_json(request.headers());
    match handled(request, handle).await {
        Ok(answer) => answered(answer),
        Err(failure) => refused(failure, as_problem),
    }
}

/// Reads the request and has it handled; no success leaves that was not authenticated.
pub(crate) async fn handled<T>(
    request: Request,
    handle: impl AsyncFnOnce(&Call) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match Call::read(request).await {
        Ok(call) => match handle(&call).await {
            Ok(_) if !call.is_proved() => {
                eprintln!("{} {} was not authenticated", call.method, call.path());
                Err(Problem::new(Code::Internal).into())
            }
            result => result,
        },
        Err(problem) => Err(problem.into()),
    }
}

pub(crate) fn answered(answer: Answer) -> Response<FullBody<Bytes>> {
    let mut response = respond(answer.status, answer.content_type, answer.body);
    if answer.replayed {
        response
            .headers_mut()
            .insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

pub(crate) fn refused(failure: Failure, as_problem: bool) -> Response<FullBody<Bytes>> {
    let problem = failure.into_problem();
    let content_type = if as_problem {
        "application/problem+json"
    } else {
        JSON
    };
    let mut response = respond(problem.code.status(), content_type, problem.to_json());
    let headers = response.headers_mut();
    if let Some(seconds) = problem.retry_after_seconds {
        headers.insert("retry-after", HeaderValue::from(seconds));
    }
    if let Some(allow) = problem
        .allow
        .and_then(|list| HeaderValue::from_str(&list).ok())
    {
        headers.insert("allow", allow);
    }
    response
}

/// Content-length is set because a body without it goes out chunked, which costs 40 ms where the
/// host leaves TCP_NODELAY off (DESIGN 6).
fn respond(status: u16, content_type: &'static str, body: Vec<u8>) -> Response<FullBody<Bytes>> {
    let length = body.len();
    let mut response = Response::new(FullBody::new(Bytes::from(body)));
    *response.status_mut() = status.try_into().unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    headers.insert("content-length", HeaderValue::from(length));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    response
}
