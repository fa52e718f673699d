//! One connection of a client: HTTP/1.1 or HTTP/2, and when it is given up.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper_util::server::graceful::GracefulConnection;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::bound::Bound;
use crate::server::shutdown::{Phase, Shutdown};
use crate::server::watch::Watch;

/// How long a client may take to say goodbye on a connection without requests.
const FAREWELL: Duration = Duration::from_secs(1);

/// When a connection is given up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From its beginning, or from the end of its last answer, to the head of
    /// a request.
    pub idle: Duration,
    /// From the head of a request to when the client has taken the whole
    /// answer.
    pub request: Duration,
}

/// The requests of one connection that are not answered to the end.
#[derive(Debug)]
pub struct Requests {
    open: Mutex<Open>,
    begun: AtomicU64,
    ended: AtomicU64,
    /// Something has come of the next head.
    partial: AtomicBool,
    given_up: AtomicBool,
    lingers: AtomicBool,
}

#[derive(Debug)]
struct Open {
    since: BTreeMap<u64, Instant>,
    next: u64,
    idle_since: Instant,
}

impl Requests {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::new(Open {
                since: BTreeMap::new(),
                next: 0,
                idle_since: Instant::now(),
            }),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            partial: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
        })
    }

    /// One more, whose head has come.
    pub fn begin(self: &Arc<Self>) -> Begun {
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.since.insert(number, Instant::now());
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.partial.store(false, Ordering::Relaxed);
        Begun {
            requests: Arc::clone(self),
            number,
        }
    }

    /// If none is open, how many there have been.
    pub fn quiet_at(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::Relaxed);
        (begun == self.ended.load(Ordering::Relaxed)).then_some(begun)
    }

    /// Something of the head of one has come.
    pub fn note_partial(&self) {
        self.partial.store(true, Ordering::Relaxed);
    }

    /// The head that has begun to come is to be answered with 408; whether
    /// there is one.
    fn give_up_head(&self) -> bool {
        let partial = self.partial.load(Ordering::Relaxed) && self.quiet_at().is_some();
        self.given_up.fetch_or(partial, Ordering::Relaxed);
        partial
    }

    /// Whether the head that has begun to come is to be answered with 408.
    pub fn head_is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// The client may still be sending when the connection is closed.
    pub fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// Whether the client may still be sending.
    pub fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    /// When the connection is to be given up if nothing happens until then,
    /// `farewell` being when the client was told that it was idle too long.
    fn deadline(&self, limits: Limits, farewell: Option<Instant>) -> Deadline {
        let open = self.open();
        match (open.since.first_key_value(), farewell) {
            (Some((_, since)), _) => Deadline::Overdue(*since + limits.request),
            (None, None) => Deadline::Idle(open.idle_since + limits.idle),
            (None, Some(told)) => Deadline::Idle(open.idle_since.max(told) + FAREWELL),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why and when a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    /// There is no request.
    Idle(Instant),
    /// The oldest request is not finished.
    Overdue(Instant),
}

/// A request of a connection; dropped, it is finished.
#[derive(Debug)]
pub struct Begun {
    requests: Arc<Requests>,
    number: u64,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut open = self.requests.open();
        open.since.remove(&self.number);
        if open.since.is_empty() {
            open.idle_since = Instant::now();
        }
        self.requests.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer, with whose end its request is finished.
pub struct Answer {
    body: WasiBody,
    watch: Option<Watch>,
    _begun: Begun,
}

impl Answer {
    /// The answer to `begun`, as which it is noted in `watch`.
    pub fn new(body: WasiBody, begun: Begun, watch: Watch) -> Self {
        Self {
            body,
            watch: Some(watch),
            _begun: begun,
        }
    }

    /// The answer to `begun`, after what was noted of it was lost.
    pub fn unwatched(body: WasiBody, begun: Begun) -> Self {
        Self {
            body,
            watch: None,
            _begun: begun,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(Ok(frame)), Some(watch)) = (&frame, &mut self.watch) {
            watch.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Drives `connection`, of which `requests` tells, to its end: by the client,
/// by `limits`, or by `shutdown` once it is in the phase `goodbye`, after which
/// requests that have begun are answered.
///
/// # Errors
///
/// Why it ended too early, for the log.
pub async fn drive<C>(
    connection: C,
    requests: &Requests,
    limits: Limits,
    shutdown: &Shutdown,
    goodbye: Phase,
) -> Result<(), String>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = std::pin::pin!(connection);
    let mut farewell = None;
    let mut closing = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => return result.map_err(|e| e.to_string()),
            why = expired(requests, limits, farewell) => match why {
                Deadline::Overdue(_) => {
                    return Err("the client did not take its answer in time".to_owned());
                }
                Deadline::Idle(_) if farewell.is_some() => {
                    return Err("the head of a request did not arrive in time".to_owned());
                }
                Deadline::Idle(_) => {
                    if requests.give_up_head() {
                        let what = format_args!("the head of a request did not arrive in time");
                        Bound::HeadTimeout.exceeded("", what);
                    } else {
                        connection.as_mut().graceful_shutdown();
                    }
                    farewell = Some(Instant::now());
                }
            },
            () = shutdown.reached(goodbye), if !closing => {
                connection.as_mut().graceful_shutdown();
                closing = true;
            }
        }
    }
}

/// Ready once the connection is to be given up.
async fn expired(requests: &Requests, limits: Limits, farewell: Option<Instant>) -> Deadline {
    loop {
        let deadline = requests.deadline(limits, farewell);
        let (Deadline::Idle(at) | Deadline::Overdue(at)) = deadline;
        let now = Instant::now();
        if at <= now {
            return deadline;
        }
        // A request that begins or ends meanwhile may make an earlier deadline,
        // but not earlier than this.
        let idle = farewell.map_or(limits.idle, |_| FAREWELL);
        let at = at.min(now + idle.min(limits.request));
        tokio::time::sleep_until(at.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        idle: Duration::from_secs(1),
        request: Duration::from_secs(10),
    };

    #[tokio::test]
    async fn a_request_counts_also_when_it_begins_late() {
        let requests = Requests::new();
        let limits = Limits {
            idle: Duration::from_secs(3600),
            request: Duration::from_millis(20),
        };
        let waiting = expired(&requests, limits, None);
        let mut waiting = std::pin::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        let _request = requests.begin();
        assert!(matches!(waiting.await, Deadline::Overdue(_)));
    }

    #[test]
    fn the_oldest_request_counts_and_then_the_end_of_the_last() {
        let requests = Requests::new();
        let Deadline::Idle(at_first) = requests.deadline(LIMITS, None) else {
            panic!("it has a request");
        };
        let first = requests.begin();
        let of_first = requests.deadline(LIMITS, None);
        assert!(matches!(of_first, Deadline::Overdue(_)));
        let second = requests.begin();
        assert_eq!(requests.deadline(LIMITS, None), of_first);
        drop(first);
        let of_second = requests.deadline(LIMITS, None);
        assert!(matches!(of_second, Deadline::Overdue(_)));
        drop(second);
        let Deadline::Idle(at_last) = requests.deadline(LIMITS, None) else {
            panic!("it has a request");
        };
        assert!(at_last > at_first);
    }
}
