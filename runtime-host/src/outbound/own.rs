//! Requests that the host itself makes.

use std::time::{Duration, Instant};

use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use wasmtime_wasi_http::{Error, WasiBody};

use super::pool::Key;
use super::{Client, Reach, Timeout, Timeouts, host_header};

/// Whether an error means that nothing was sent; see [`super`].
pub fn is_unsent(error: &Error) -> bool {
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

impl Client {
    /// Sends `request` and reads the answer, which may take `time` and have
    /// `most` bytes; in the `name` of what is said in the log.
    ///
    /// # Errors
    ///
    /// There is no whole answer; `HTTP-response-body-size` for a larger one.
    pub async fn send_own(
        &self,
        mut request: Request<WasiBody>,
        time: Duration,
        most: usize,
        name: &str,
    ) -> Result<Response<bytes::Bytes>, Error> {
        let timeout = Timeout {
            time,
            begun: Instant::now(),
            bound: None,
        };
        let timeouts = Timeouts {
            connect: timeout,
            first_byte: timeout,
            between_bytes: timeout,
        };
        let host = host_header(&request)?;
        request.headers_mut().insert(HOST, host);
        let whole = async {
            let key = Key::of(request.uri(), Reach::Anywhere)?;
            let (response, connection) = self.pool.request(&key, request, timeouts, name).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, most).collect().await.map_err(|e| {
                if e.is::<LengthLimitError>() {
                    Error::HttpResponseBodySize(None)
                } else {
                    Error::ConnectionTerminated
                }
            })?;
            connection.put_back();
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(time, whole)
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
    }
}
