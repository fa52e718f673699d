//! The body of an answer: its pauses and its size are bounded, and its end sets
//! the connection free.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;
use wasmtime_wasi_http::Error;

use super::pool::{self, InUse};

/// The largest body of an answer.
const MAX_RESPONSE_BYTES: u64 = 64 << 20;

pub struct ResponseBody {
    state: Option<(Incoming, InUse)>,
    pause: Option<Pin<Box<Sleep>>>,
    timeout: Duration,
    received: u64,
}

impl ResponseBody {
    pub fn new(incoming: Incoming, timeout: Duration, connection: InUse) -> Self {
        let mut body = Self {
            state: Some((incoming, connection)),
            pause: None,
            timeout,
            received: 0,
        };
        body.finish_if_ended();
        body
    }

    fn finish_if_ended(&mut self) {
        if let Some((incoming, connection)) =
            self.state.take_if(|(incoming, _)| incoming.is_end_stream())
        {
            drop(incoming);
            connection.put_back();
        }
    }

    /// Drops the connection, which is of no further use, and tells why.
    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.state = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some((incoming, _)) = &mut this.state else {
            return Poll::Ready(None);
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.pause = None;
                let length = frame.data_ref().map_or(0, Bytes::len);
                this.received = this
                    .received
                    .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                if this.received > MAX_RESPONSE_BYTES {
                    return this.fail(Error::HttpResponseBodySize(Some(this.received)));
                }
                this.finish_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(e))) => this.fail(pool::failed(&e)),
            Poll::Ready(None) => {
                if let Some((_, connection)) = this.state.take() {
                    connection.put_back();
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                let timeout = this.timeout;
                let pause = this
                    .pause
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                match pause.as_mut().poll(cx) {
                    Poll::Ready(()) => this.fail(Error::ConnectionReadTimeout),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.state.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            Some((incoming, _)) => incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
