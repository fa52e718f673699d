//! What HTTP/1.1 clients are told whose requests cannot be read.
//!
//! hyper answers those itself, with nothing but a status. [`Guarded`] is put
//! between hyper and the connection, and tells in its place what the host tells
//! elsewhere. It knows hyper's own answers from those of the application by
//! when they are written: while no request is open, and none has been since all
//! that was to be written was written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::bound::Bound;
use crate::observe::metrics;
use crate::server::answers::{Form, Problem};
use crate::server::connection::Requests;
use crate::server::request_id::{RequestId, X_REQUEST_ID};

/// How long a client that is refused may go on to send.
const LINGER: Duration = Duration::from_secs(1);

/// The bytes that tell of `problem`, the last of a connection, with an id like any
/// other answer.
pub fn answer(problem: Problem) -> Bytes {
    let (status, headers, body) = problem.parts(Form::Json);
    let id = RequestId::next();
    tracing::debug!(request_id = %id, status = status.as_u16(), "what is no request is refused");
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!(
        "HTTP/1.1 {} {reason}\r\n{X_REQUEST_ID}: {id}\r\n",
        status.as_u16()
    );
    for (name, value) in &headers {
        if !matches!(name.as_str(), "connection" | "content-length") {
            text.push_str(&format!(
                "{name}: {}\r\n",
                value.to_str().unwrap_or_default()
            ));
        }
    }
    text.push_str(&format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    ));
    text.push_str(&body);
    text.into()
}

/// A connection that refuses what is not a request.
pub struct Guarded<S> {
    stream: S,
    requests: Arc<Requests>,
    /// The largest head.
    head_bytes: usize,
    /// What has come of the next one.
    received: usize,
    /// Requests that had begun when everything was written.
    written: u64,
    refusal: Option<Refusal>,
}

struct Refusal {
    unwritten: Bytes,
    /// Ends the time for which more is read, once the answer is written.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    /// `stream`, on which `requests` are made, with heads of at most
    /// `head_bytes`.
    pub fn new(stream: S, requests: Arc<Requests>, head_bytes: usize) -> Self {
        Self {
            stream,
            requests,
            head_bytes,
            received: 0,
            written: 0,
            refusal: None,
        }
    }

    /// Whether there is nothing that an application might have to say.
    fn is_quiet(&self) -> bool {
        self.requests.quiet_at() == Some(self.written)
    }

    /// Takes `bytes`, if they are hyper's own answer.
    fn intercept(&mut self, bytes: &[u8]) -> bool {
        if self.refusal.is_some() {
            return true;
        }
        if !self.is_quiet() {
            return false;
        }
        let problem = match bytes.get(..12) {
            Some(b"HTTP/1.1 431" | b"HTTP/1.0 431") => {
                if self.received < self.head_bytes {
                    let what = format_args!("a request has too many headers");
                    Bound::RequestHeaders.exceeded("", what);
                } else {
                    let what = format_args!("the head of a request is too large");
                    Bound::RequestHead.exceeded("", what);
                }
                Problem::HeadTooLarge
            }
            Some(b"HTTP/1.1 414" | b"HTTP/1.0 414") => Problem::TargetTooLong,
            Some(b"HTTP/1.1 400" | b"HTTP/1.0 400") => Problem::BadRequest("This is not HTTP"),
            _ => return false,
        };
        self.refuse(problem);
        true
    }

    fn refuse(&mut self, problem: Problem) {
        metrics::refused(problem.status());
        self.refusal = Some(Refusal {
            unwritten: answer(problem),
            lingering: None,
        });
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(refusal) = &mut self.refusal {
            while refusal.unwritten.has_remaining() {
                let stream = Pin::new(&mut self.stream);
                let written = ready!(stream.poll_write(cx, &refusal.unwritten))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                refusal.unwritten.advance(written);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what still comes, for a while: to close what has unread bytes makes
    /// the system send a reset, which may overtake the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(refusal) = &mut self.refusal else {
            return Poll::Ready(());
        };
        let end = refusal
            .lingering
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut unread = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut unread);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.requests.head_is_given_up() {
            if this.refusal.is_none() {
                this.refuse(Problem::HeadTimeout);
            }
            ready!(this.poll_refusal(cx))?;
            ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            ready!(this.poll_linger(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        if read > 0 && this.requests.quiet_at().is_some() {
            this.received += read;
            this.requests.note_partial();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.intercept(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let first = slices.iter().find(|slice| !slice.is_empty());
        if this.intercept(first.map_or(&[], |slice| slice)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(cx))?;
        // hyper flushes when it has nothing more to write.
        if let Some(begun) = this.requests.quiet_at()
            && this.written != begun
        {
            this.written = begun;
            this.received = 0;
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_none() && this.requests.lingers() {
            this.refusal = Some(Refusal {
                unwritten: Bytes::new(),
                lingering: None,
            });
        }
        ready!(this.poll_refusal(cx))?;
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        ready!(this.poll_linger(cx));
        Poll::Ready(Ok(()))
    }
}
