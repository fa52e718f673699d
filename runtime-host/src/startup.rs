//! The startup check: a component that tells, before the first request, whether
//! the configuration is right.

use std::net::{Ipv4Addr, SocketAddr};

use http::uri::Scheme;
use http::{Request, header};
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::app::App;
use crate::component::dispatch::Failure;
use crate::fault::{Collector, Faults, Result};
use crate::server::answers;
use crate::server::headers;
use crate::server::request_id::RequestId;
use crate::server::routes::Found;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// What the component answers, if it answers in JSON.
#[derive(Debug, Default, Deserialize)]
struct Report {
    #[serde(default)]
    faults: Vec<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// Asks the component `id` once, with `GET /`. A 2xx answer is consent; the
/// `warnings` in it are logged.
///
/// # Errors
///
/// The faults which the component lists, as JSON or as lines.
pub async fn check(app: &App, id: &str) -> Result<()> {
    let place = |what: String| Faults::one(format!("the startup check of {id} {what}"));
    let runner = app.runner(id).ok_or_else(|| {
        place("is not possible: it is not loaded, or no trigger names it".to_owned())
    })?;
    let (mut head, ()) = Request::get("/")
        .header(header::HOST, "localhost")
        .body(())
        .map_err(|e| place(format!("is not possible: {e}")))?
        .into_parts();
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    headers::prepare(
        &mut head,
        &Found::internal(id, "/"),
        &app.headers,
        nobody,
        Scheme::HTTP,
    )
    .map_err(|e| place(format!("is not possible: {e}")))?;
    let request = Request::from_parts(head, answers::full(""));
    let response = runner
        .run(RequestId::next(), None, request)
        .await
        .map_err(|failure| {
            place(match failure {
                Failure::Timeout => "did not end in time".to_owned(),
                Failure::Busy | Failure::Failed => "failed; the log says why".to_owned(),
            })
        })?;
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|e| place(format!("gave no whole answer: {e}")))?
        .to_bytes();
    let report = read(&body);
    if status.is_success() {
        for warning in report.warnings {
            tracing::warn!(component = id, "{warning}");
        }
        return Ok(());
    }
    let mut faults = Collector::default();
    for fault in report.faults {
        faults.push(fault);
    }
    faults.finish()?;
    Err(place(format!("answered {status}")))
}

fn read(body: &[u8]) -> Report {
    serde_json::from_slice(body).unwrap_or_else(|_| Report {
        faults: String::from_utf8_lossy(body)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
        warnings: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_json_or_lines() {
        let report = read(br#"{"faults":["a","b"],"more":1}"#);
        assert_eq!(report.faults, ["a", "b"]);
        assert_eq!(read(b"a\n\n b \n").faults, ["a", "b"]);
        assert_eq!(read(br#"{"warnings":["w"]}"#).warnings, ["w"]);
    }
}
