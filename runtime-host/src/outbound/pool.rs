//! Connections kept for the next request.
//!
//! A request is sent a second time only if the first connection was found
//! closed before any of it was written, which is the one case in which the
//! other side cannot have seen it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, WasiBody};

use super::connect::Connector;
use super::reach::Reach;
use super::{OutboundLimits, Timeout, Timeouts};
use crate::bound::Bound;
use crate::outbound::allowed_hosts::usual_port;

/// How long an idle connection is kept. Bitcoin-like nodes close theirs after
/// 30 s; ours must go first, so that a request does not meet the closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Idle connections kept for each destination.
const MAX_IDLE: usize = 32;

/// Where a connection goes, and under which rule it was made: a component that
/// may not reach private networks gets no connection of one that may.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    pub reach: Reach,
}

impl Key {
    pub fn of(uri: &Uri, reach: Reach) -> Result<Self, Error> {
        let tls = uri.scheme() != Some(&Scheme::HTTP);
        let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
        let port = uri
            .port_u16()
            .or_else(|| usual_port(if tls { "https" } else { "http" }))
            .ok_or(Error::HttpRequestUriInvalid)?;
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase(),
            port,
            reach,
        })
    }

    /// Without the brackets of an IPv6 address.
    pub fn bare_host(&self) -> &str {
        self.host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&self.host)
    }
}

#[derive(Debug)]
pub struct Pool {
    connector: Connector,
    hosts: Mutex<HashMap<Key, Host>>,
    permits: Arc<Semaphore>,
    /// Who waits for one of them.
    waiting: AtomicUsize,
    per_host: usize,
}

/// The connections to one destination.
#[derive(Debug)]
struct Host {
    idle: Vec<Idle>,
    /// Requests at once. A connection is opened only if none is idle, so there
    /// are never more connections than that.
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<WasiBody>,
    _permit: OwnedSemaphorePermit,
}

/// A connection whose answer is still being read.
#[derive(Debug)]
pub struct InUse {
    connection: Connection,
    key: Key,
    pool: Arc<Pool>,
    permit: OwnedSemaphorePermit,
}

impl InUse {
    /// Where it goes.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The answer has been read to its end: another request may follow.
    pub fn put_back(mut self) {
        if self.connection.sender.is_ready() {
            self.keep();
        } else {
            tokio::spawn(async move {
                if self.connection.sender.ready().await.is_ok() {
                    self.keep();
                }
            });
        }
    }

    fn keep(self) {
        self.pool.keep(&self.key, self.connection);
        // Now that the connection is there for who waits.
        drop(self.permit);
    }
}

impl Pool {
    pub fn new(connector: Connector, limits: OutboundLimits) -> Self {
        Self {
            connector,
            hosts: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            waiting: AtomicUsize::new(0),
            per_host: limits.connections_per_host,
        }
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Key, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The permits of `key`, which is remembered as long as there are any in
    /// use.
    fn permits_of(&self, key: &Key) -> Arc<Semaphore> {
        let mut hosts = self.hosts();
        if let Some(host) = hosts.get(key) {
            return Arc::clone(&host.permits);
        }
        let permits = Arc::new(Semaphore::new(self.per_host));
        let host = Host {
            idle: Vec::new(),
            permits: Arc::clone(&permits),
        };
        hosts.insert(key.clone(), host);
        permits
    }

    fn keep(&self, key: &Key, connection: Connection) {
        // Somebody needs one to elsewhere more.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return;
        }
        if let Some(host) = self.hosts().get_mut(key)
            && host.idle.len() < MAX_IDLE
        {
            host.idle.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    /// The connection used last, which is the least likely to be closed. Those
    /// that are too old are closed on the way.
    fn take(&self, key: &Key) -> Option<Connection> {
        let mut hosts = self.hosts();
        for host in hosts.values_mut() {
            host.idle
                .retain(|i| i.since.elapsed() < IDLE_TIMEOUT && !i.connection.sender.is_closed());
        }
        hosts.retain(|_, host| !host.idle.is_empty() || Arc::strong_count(&host.permits) > 1);
        Some(hosts.get_mut(key)?.idle.pop()?.connection)
    }

    fn close_the_longest_idle(&self) {
        let mut hosts = self.hosts();
        // Of each destination the first is the longest idle.
        let oldest = hosts
            .values_mut()
            .filter(|host| !host.idle.is_empty())
            .min_by_key(|host| host.idle.first().map(|idle| idle.since));
        if let Some(host) = oldest {
            host.idle.remove(0);
        }
    }

    async fn open(
        &self,
        key: &Key,
        timeout: Timeout,
        component: &str,
    ) -> Result<Connection, Error> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::begin(&self.waiting);
                // What one component leaves idle must not keep another from
                // connecting.
                self.close_the_longest_idle();
                let bound = Bound::OutboundConnections;
                permit(&self.permits, timeout, bound, component).await?
            }
        };
        let sender = self.connector.connect(key, timeout, component).await?;
        Ok(Connection {
            sender,
            _permit: permit,
        })
    }

    /// Sends `request` and waits for the head of the answer.
    pub async fn request(
        self: &Arc<Self>,
        key: &Key,
        mut request: Request<WasiBody>,
        timeouts: Timeouts,
        component: &str,
    ) -> Result<(Response<Incoming>, InUse), Error> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", PathAndQuery::as_str);
        *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        let permits = self.permits_of(key);
        let bound = Bound::OutboundConnectionsPerHost;
        let permit = permit(&permits, timeouts.connect, bound, component).await?;
        loop {
            let (mut connection, reused) = match self.take(key) {
                Some(connection) => (connection, true),
                None => (self.open(key, timeouts.connect, component).await?, false),
            };
            let sent = tokio::time::timeout(
                timeouts.first_byte.time,
                connection.sender.try_send_request(request),
            )
            .await
            .map_err(|_| {
                timeouts.first_byte.passed(component, key);
                Error::ConnectionReadTimeout
            })?;
            match sent {
                Ok(response) => {
                    let in_use = InUse {
                        connection,
                        key: key.clone(),
                        pool: Arc::clone(self),
                        permit,
                    };
                    return Ok((response, in_use));
                }
                Err(mut e) => match e.take_message() {
                    // Not a byte of it was written.
                    Some(unsent) if reused => request = unsent,
                    Some(_) => return Err(Error::ConnectionRefused),
                    None => return Err(failed(&e.into_error())),
                },
            }
        }
    }
}

/// Waits for one of `permits`, of which `bound` says how many there are.
///
/// # Errors
///
/// None became free in time. Nothing was sent.
pub async fn permit(
    permits: &Arc<Semaphore>,
    timeout: Timeout,
    bound: Bound,
    component: &str,
) -> Result<OwnedSemaphorePermit, Error> {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Ok(permit);
    }
    tokio::time::timeout(timeout.left(), Arc::clone(permits).acquire_owned())
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| {
            let what = format_args!("a request waited {:?} in vain for its turn", timeout.time);
            bound.exceeded(component, what);
            Error::ConnectionLimitReached
        })
}

/// Somebody who waits for a connection.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What went wrong after the request was, perhaps in part, sent.
pub fn failed(error: &hyper::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(e) = e.downcast_ref::<std::io::Error>()
            && e.kind() == std::io::ErrorKind::TimedOut
        {
            return Error::ConnectionReadTimeout;
        }
        cause = e.source();
    }
    if error.is_parse() || error.is_parse_too_large() {
        return Error::HttpProtocolError;
    }
    Error::ConnectionTerminated
}
