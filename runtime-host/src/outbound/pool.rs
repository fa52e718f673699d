//! Connections kept for the next request.
//!
//! A request is sent a second time only if the first connection was found
//! closed before any of it was written, which is the one case in which the
//! other side cannot have seen it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, WasiBody};

use super::Timeouts;
use super::connect::Connector;
use super::reach::Reach;
use crate::allowed_hosts::usual_port;

/// How long an idle connection is kept. Bitcoin-like nodes close theirs after
/// 30 s; ours must go first, so that a request does not meet the closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Idle connections kept for each destination.
const MAX_IDLE: usize = 32;
/// Connections at once, to everywhere.
const MAX_CONNECTIONS: usize = 512;

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
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
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
}

impl InUse {
    /// The answer has been read to its end: another request may follow.
    pub fn put_back(mut self) {
        if self.connection.sender.is_ready() {
            self.pool.keep(self.key, self.connection);
        } else {
            tokio::spawn(async move {
                if self.connection.sender.ready().await.is_ok() {
                    self.pool.keep(self.key, self.connection);
                }
            });
        }
    }
}

impl Pool {
    pub fn new(connector: Connector) -> Self {
        Self {
            connector,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Key, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: Key, connection: Connection) {
        let mut idle = self.idle();
        let connections = idle.entry(key).or_default();
        if connections.len() < MAX_IDLE {
            connections.push(Idle {
                connection,
                since: Instant::now(),
            });
        }
    }

    /// The connection used last, which is the least likely to be closed. Those
    /// that are too old are closed on the way.
    fn take(&self, key: &Key) -> Option<Connection> {
        let mut idle = self.idle();
        for connections in idle.values_mut() {
            connections
                .retain(|i| i.since.elapsed() < IDLE_TIMEOUT && !i.connection.sender.is_closed());
        }
        idle.retain(|_, connections| !connections.is_empty());
        Some(idle.get_mut(key)?.pop()?.connection)
    }

    fn close_the_longest_idle(&self) {
        let mut idle = self.idle();
        // Of each destination the first is the longest idle.
        let oldest = idle
            .iter()
            .filter_map(|(key, connections)| Some((connections.first()?.since, key.clone())))
            .min_by_key(|(since, _)| *since);
        if let Some((_, key)) = oldest
            && let Some(connections) = idle.get_mut(&key)
        {
            connections.remove(0);
        }
    }

    async fn open(&self, key: &Key, timeout: Duration) -> Result<Connection, Error> {
        let started = Instant::now();
        // What one component leaves idle must not keep another from connecting.
        if self.permits.available_permits() == 0 {
            self.close_the_longest_idle();
        }
        let permit = tokio::time::timeout(timeout, Arc::clone(&self.permits).acquire_owned())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(Error::ConnectionLimitReached)?;
        let sender = self
            .connector
            .connect(key, timeout.saturating_sub(started.elapsed()))
            .await?;
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
    ) -> Result<(Response<Incoming>, InUse), Error> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", PathAndQuery::as_str);
        *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        loop {
            let (mut connection, reused) = match self.take(key) {
                Some(connection) => (connection, true),
                None => (self.open(key, timeouts.connect).await?, false),
            };
            let sent = tokio::time::timeout(
                timeouts.first_byte,
                connection.sender.try_send_request(request),
            )
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?;
            match sent {
                Ok(response) => {
                    let in_use = InUse {
                        connection,
                        key: key.clone(),
                        pool: Arc::clone(self),
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
