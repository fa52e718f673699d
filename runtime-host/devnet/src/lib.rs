//! An in-process Flopcoin development chain that speaks Flopcoin Core's JSON-RPC over real HTTP.
//!
//! A [`Devnet`] is a regtest node for tests and first steps: real transactions with real signatures,
//! blocks on demand or on a timer, a faucet, reorganisations, double spends and faults on demand. It
//! follows Flopcoin Core 2.0.0 down to error texts, member order and number formats; recordings of
//! the real daemon are replayed against it in its tests. With [`Options::forward`] the same front
//! (credentials, faults, statistics, `devnet_` methods) stands before a real regtest node.
//!
//! It guards no real money: its keys are kept in the clear.

pub mod amount;
mod body;
mod chain;
mod codec;
mod event;
mod faucet;
mod faults;
mod forward;
mod http;
pub mod json;
mod ledger;
mod mempool;
mod network;
mod node;
mod options;
mod rpc;
mod script;
mod server;
mod store;
mod validation;
mod wallet;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::Connection;
use crate::server::{Backend, Closing, Server};

pub use options::Options;

/// Core closes a connection that is idle for so long (`-rpcservertimeout`).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers under way may take when the devnet stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// Requests' heads are cut at 8 KiB by [`http`]; the reader needs some more to see them whole.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// A devnet cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not this machine's.
    #[error("the devnet cannot listen on {address}: {reason}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The saved state cannot be used.
    #[error("the devnet cannot use its saved state: {0}")]
    State(String),
    /// The node to forward to cannot be used.
    #[error("{0}")]
    Forward(String),
}

/// A running devnet. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Devnet {
    address: SocketAddr,
    server: Arc<Server>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Devnet {
    /// Starts a devnet; it answers once this returns.
    ///
    /// # Errors
    /// [`Error`], in one line.
    pub async fn start(options: Options) -> Result<Devnet, Error> {
        let listener = bind(options.listen).await?;
        let unusable = |reason: String| Error::Listen {
            address: options.listen,
            reason,
        };
        let address = listener
            .local_addr()
            .map_err(|error| unusable(error.to_string()))?;
        let backend = match &options.forward {
            Some(node) => {
                let connected = forward::Forward::connect(node).await;
                Backend::Real(Box::new(
                    connected.map_err(|error| Error::Forward(error.to_string()))?,
                ))
            }
            None => {
                let folder = options.state_dir.clone();
                let opened =
                    tokio::task::spawn_blocking(move || ledger::Ledger::open(folder.as_deref()))
                        .await;
                let opened = opened.map_err(|error| Error::State(error.to_string()))?;
                Backend::Own(Box::new(
                    opened.map_err(|error| Error::State(error.to_string()))?,
                ))
            }
        };
        let interval = options.block_interval.unwrap_or_default();
        let server = Arc::new(Server::new(backend, interval));
        let stop = watch::Sender::new(false);
        let accepting = Accepting {
            address,
            server: Arc::clone(&server),
            credentials: format!("{}:{}", options.rpc_user, options.rpc_password),
            stop: stop.subscribe(),
        };
        let tasks = vec![
            tokio::spawn(accepting.run(listener)),
            tokio::spawn(mine_on_time(Arc::clone(&server), stop.subscribe())),
        ];
        tracing::debug!(%address, "the devnet listens");
        Ok(Devnet {
            address,
            server,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: answers that are under way are finished, the journal is synced, the port is free.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        self.server.faults.clear(None);
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
        self.server.sync();
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "the port is in use; choose another with --rpc-listen, or port 0 for any free one"
                    .to_owned()
            }
            _ => error.to_string(),
        };
        Error::Listen { address, reason }
    })
}

/// Until the devnet is told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Mines a block every interval, while that is not zero.
async fn mine_on_time(server: Arc<Server>, mut stop: watch::Receiver<bool>) {
    let mut interval = server.interval.subscribe();
    loop {
        let every = *interval.borrow_and_update();
        tokio::select! {
            () = stopped(&mut stop) => return,
            changed = interval.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(every), if !every.is_zero() => {
                if let Err(error) = server.mine(1).await {
                    tracing::error!(%error, "no block was mined");
                }
            }
        }
    }
}

/// The task that accepts connections.
struct Accepting {
    address: SocketAddr,
    server: Arc<Server>,
    credentials: String,
    stop: watch::Receiver<bool>,
}

impl Accepting {
    async fn run(self, listener: TcpListener) {
        let mut stop = self.stop.clone();
        let mut closing = self.server.closing.subscribe();
        let mut connections = tokio::task::JoinSet::new();
        let mut listener = Some(listener);
        loop {
            let Some(open) = listener.as_ref() else {
                match bind(self.address).await {
                    Ok(again) => listener = Some(again),
                    Err(error) => {
                        tracing::error!(%error, "the devnet cannot come back after its restart");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                continue;
            };
            tokio::select! {
                () = stopped(&mut stop) => break,
                _ = closing.changed() => {
                    let refuse = closing.borrow_and_update().refuse;
                    if !refuse.is_zero() {
                        listener = None;
                        tokio::time::sleep(refuse).await;
                    }
                }
                accepted = open.accept() => match accepted {
                    Ok((stream, _)) => { connections.spawn(self.connection(stream)); }
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
        std::mem::drop(listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_GRACE, finished)
            .await
            .is_err()
        {
            connections.shutdown().await;
        }
    }

    /// Serves one connection until it ends, the node "restarts" or the devnet stops.
    fn connection(&self, stream: TcpStream) -> impl Future<Output = ()> + use<> {
        let spared = Arc::new(AtomicBool::new(false));
        let connection = Arc::new(Connection {
            server: Arc::clone(&self.server),
            credentials: self.credentials.clone(),
            spared: Arc::clone(&spared),
        });
        let mut stop = self.stop.clone();
        let mut closing = self.server.closing.subscribe();
        let born = closing.borrow_and_update().generation;
        async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request| {
                let connection = Arc::clone(&connection);
                async move { connection.answer(request).await }
            });
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE_TIMEOUT)
                .title_case_headers(true)
                .max_buf_size(READ_BUFFER_BYTES);
            let mut serving =
                std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
            let restarted = async {
                closing
                    .wait_for(|closing: &Closing| closing.generation != born)
                    .await
                    .is_ok()
            };
            tokio::select! {
                result = serving.as_mut() => {
                    if let Err(error) = result {
                        tracing::trace!(%error, "a connection ended early");
                    }
                    return;
                }
                _ = restarted => if !spared.load(Ordering::Acquire) { return },
                () = stopped(&mut stop) => {}
            }
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}
