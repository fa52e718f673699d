//! The body of an answer: its pauses and its size are bounded, and its end sets
//! the connection free.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use wasmtime_wasi_http::Error;

use super::Timeout;
use super::pool::{self, InUse};
use crate::bound::Bound;

/// What bounds an answer.
pub struct Terms {
    /// Of a pause.
    pub timeout: Timeout,
    /// The most bytes.
    pub most: u64,
    /// Whose it is, for the log.
    pub component: Arc<str>,
    /// The place of the request among those of its instance.
    pub _permit: OwnedSemaphorePermit,
}

pub struct ResponseBody {
    state: Option<State>,
    pause: Option<Pin<Box<Sleep>>>,
    received: u64,
}

/// An answer that has not ended.
struct State {
    incoming: Incoming,
    connection: InUse,
    terms: Terms,
}

impl ResponseBody {
    /// # Errors
    ///
    /// The answer says that it is too large.
    pub fn new(incoming: Incoming, connection: InUse, terms: Terms) -> Result<Self, Error> {
        let announced = incoming.size_hint().lower();
        if announced > terms.most {
            return Err(too_large(announced, &terms, &connection));
        }
        let mut body = Self {
            state: Some(State {
                incoming,
                connection,
                terms,
            }),
            pause: None,
            received: 0,
        };
        body.finish_if_ended();
        Ok(body)
    }

    fn finish_if_ended(&mut self) {
        if let Some(state) = self.state.take_if(|state| state.incoming.is_end_stream()) {
            drop(state.incoming);
            state.connection.put_back();
        }
    }

    /// Drops the connection, which is of no further use, and tells why.
    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.state = None;
        Poll::Ready(Some(Err(error)))
    }
}

fn too_large(bytes: u64, terms: &Terms, connection: &InUse) -> Error {
    let (host, port) = (&connection.key().host, connection.key().port);
    Bound::OutboundResponse.exceeded(
        &terms.component,
        format_args!(
            "the answer of {host}:{port} has more than {} bytes",
            terms.most
        ),
    );
    Error::HttpResponseBodySize(Some(bytes))
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Some(state) = &mut this.state else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut state.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.pause = None;
                let length = frame.data_ref().map_or(0, Bytes::len);
                this.received = this
                    .received
                    .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                if this.received > state.terms.most {
                    let error = too_large(this.received, &state.terms, &state.connection);
                    return this.fail(error);
                }
                this.finish_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(e))) => this.fail(pool::failed(&e)),
            Poll::Ready(None) => {
                if let Some(state) = this.state.take() {
                    state.connection.put_back();
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                let timeout = state.terms.timeout;
                let pause = this
                    .pause
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout.time)));
                match pause.as_mut().poll(cx) {
                    Poll::Ready(()) => {
                        timeout.passed(&state.terms.component, state.connection.key());
                        this.fail(Error::ConnectionReadTimeout)
                    }
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
            Some(state) => state.incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
