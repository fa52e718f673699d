//! Where Prometheus asks: a listener of its own, so that what it tells is not
//! open to the application's clients.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::fault::{Faults, Result};
use crate::server::shutdown::{Phase, Shutdown};

/// How far the default port is from the application's.
const PORT_DISTANCE: u16 = 1000;
/// Scrapes at once.
const MAX_CONNECTIONS: usize = 16;
/// How long a head may take, and an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where metrics are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => text
                .parse()
                .map(Self::At)
                .map_err(|e| format!("an address or \"off\" is needed: {e}")),
        }
    }
}

/// Where metrics are told.
#[derive(Debug)]
pub enum Listener {
    /// Nowhere.
    Off,
    /// Here.
    Here(TcpListener),
    /// As soon as the process before this one is gone from there.
    After(SocketAddr),
}

impl Listener {
    /// As `wanted`, or beside the application's `own` address: on the loopback
    /// interface, 1000 ports further, and on any port if that one is taken.
    /// `succeeds` is whether another process, whose place this one takes, is
    /// still there.
    ///
    /// # Errors
    ///
    /// The address that is wanted cannot be listened on.
    pub async fn bind(wanted: Option<Wanted>, own: SocketAddr, succeeds: bool) -> Result<Self> {
        let (address, any) = match wanted {
            Some(Wanted::Off) => return Ok(Self::Off),
            Some(Wanted::At(address)) => (address, false),
            None => (default(own), true),
        };
        let taken = match TcpListener::bind(address).await {
            Ok(listener) => return Ok(Self::Here(listener)),
            Err(e) => e,
        };
        if succeeds && taken.kind() == std::io::ErrorKind::AddrInUse {
            return Ok(Self::After(address));
        }
        let failed = |e: std::io::Error| {
            Faults::one(format!(
                "cannot listen on {address} for metrics: {e}; choose another address with \
                 --metrics-listen, or \"off\""
            ))
        };
        if !any {
            return Err(failed(taken));
        }
        let listener = TcpListener::bind(SocketAddr::new(address.ip(), 0))
            .await
            .map_err(failed)?;
        tracing::warn!("metrics are on another port, since {address} is not free: {taken}");
        Ok(Self::Here(listener))
    }

    /// What to tell of it, if there is something.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::Here(listener) => listener.local_addr().ok(),
            Self::After(address) => Some(*address),
        }
    }

    /// Answers to the end of the process, or until `shutdown` leaves the port
    /// to a process that takes the place of this one.
    pub async fn serve(self, shutdown: &Shutdown) {
        let listener = match self {
            Self::Off => return,
            Self::Here(listener) => listener,
            Self::After(address) => tokio::select! {
                listener = free(address) => listener,
                () = shutdown.reached(Phase::Left) => return,
            },
        };
        let handed_over = async {
            shutdown.reached(Phase::Left).await;
            if shutdown.phase() != Phase::Left {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = accept(listener) => {}
            () = handed_over => {}
        }
    }
}

fn default(own: SocketAddr) -> SocketAddr {
    let port = match own.port() {
        0 => 0,
        port => port.checked_add(PORT_DISTANCE).unwrap_or(0),
    };
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn free(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            tracing::info!("metrics at http://{address}/metrics");
            return listener;
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn accept(listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::debug!("metrics: cannot accept a connection: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
            if let Err(e) = served {
                tracing::debug!("metrics: a connection ended: {e}");
            }
            drop(permit);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if request.method() != Method::GET && request.method() != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
    } else {
        *response.body_mut() = Full::new(super::text().into());
        let content = HeaderValue::from_static(CONTENT);
        response.headers_mut().insert(CONTENT_TYPE, content);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_local_address_beside_the_application_s() {
        let of = |text: &str| default(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:8000"), "127.0.0.1:9000");
        assert_eq!(of("127.0.0.1:0"), "127.0.0.1:0");
        assert_eq!(of("[::]:65000"), "127.0.0.1:0");
    }

    #[tokio::test]
    async fn a_port_in_use_is_a_fault_only_if_it_was_asked_for() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let refused = Listener::bind(Some(Wanted::At(address)), address, false).await;
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("--metrics-listen")
        );
        let waits = Listener::bind(Some(Wanted::At(address)), address, true).await;
        assert!(matches!(waits.unwrap(), Listener::After(_)));
        let own = SocketAddr::new(address.ip(), address.port().wrapping_sub(PORT_DISTANCE));
        if own.port() != 0 && own.port() < address.port() {
            let elsewhere = Listener::bind(None, own, false).await.unwrap();
            assert_ne!(elsewhere.address(), Some(address));
        }
        assert!("off".parse::<Wanted>().is_ok() && "8000".parse::<Wanted>().is_err());
    }
}
