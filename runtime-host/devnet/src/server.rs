//! What happens to a request between the socket and the methods.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::faults::{Action, Faults, When};
use crate::forward::{Forward, unsupported};
use crate::json::{Json, Object};
use crate::ledger::Ledger;
use crate::rpc::{self, Call, Context, RpcError, codes, devnet, read_call, reply};

/// Requests that run at once (`-rpcthreads`).
pub const WORKERS: usize = 4;
/// Requests that wait for a worker (`-rpcworkqueue`).
pub const QUEUE: usize = 16;
/// Names that the statistics keep apart.
const MAX_COUNTED_METHODS: usize = 500;
/// The longest name that they keep.
const MAX_METHOD_NAME_BYTES: usize = 64;

/// Who executes Core's methods.
#[derive(Debug)]
pub enum Backend {
    /// The devnet's own state.
    Own(Box<Ledger>),
    /// A real node.
    Real(Box<Forward>),
}

/// A restart that is under way.
#[derive(Clone, Debug)]
struct Warmup {
    until: Instant,
    message: String,
}

/// Asks the listener to close all connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closing {
    /// How often that was asked.
    pub generation: u64,
    /// For how long new connections are refused then.
    pub refuse: Duration,
}

/// Everything that requests share.
#[derive(Debug)]
pub struct Server {
    backend: Backend,
    /// Faults that are set.
    pub faults: Faults,
    /// Workers that are free.
    pub workers: Semaphore,
    in_flight: AtomicUsize,
    counts: Mutex<(u64, BTreeMap<String, u64>)>,
    warmup: Mutex<Option<Warmup>>,
    /// Connections are to be closed.
    pub closing: watch::Sender<Closing>,
    /// How often a block is mined; zero for never.
    pub interval: watch::Sender<Duration>,
}

/// A place among the requests that run or wait.
#[derive(Debug)]
pub struct Place(Arc<Server>);

impl std::ops::Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A body that was read, as far as it could be.
#[derive(Clone, Debug)]
pub enum Body {
    /// Not JSON, or no request.
    Unreadable(RpcError, Json),
    /// One call.
    One(Call),
    /// Many; those that are no call stay as errors.
    Batch(Vec<Result<Call, (RpcError, Json)>>),
}

impl Body {
    /// Reads a body.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Body {
        let Some(json) = std::str::from_utf8(bytes).ok().and_then(Json::parse) else {
            return Body::Unreadable(RpcError::parse(), Json::Null);
        };
        match &json {
            Json::Object(_) => match read_call(&json) {
                Ok(call) => Body::One(call),
                Err((error, id)) => Body::Unreadable(error, id),
            },
            Json::Array(calls) => Body::Batch(calls.iter().map(read_call).collect()),
            _ => Body::Unreadable(
                RpcError::new(codes::PARSE, "Top-level object parse error"),
                Json::Null,
            ),
        }
    }

    fn calls(&self) -> impl Iterator<Item = &Call> {
        let (one, many) = match self {
            Body::Unreadable(..) => (None, [].as_slice()),
            Body::One(call) => (Some(call), [].as_slice()),
            Body::Batch(calls) => (None, calls.as_slice()),
        };
        one.into_iter()
            .chain(many.iter().filter_map(|call| call.as_ref().ok()))
    }

    /// The methods of Core's that are called.
    #[must_use]
    pub fn core_methods(&self) -> Vec<&str> {
        self.calls()
            .map(|call| call.method.as_str())
            .filter(|method| !is_own(method))
            .collect()
    }

    /// Whether nothing but the devnet's own methods is called.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.calls().next().is_some() && self.core_methods().is_empty() && !self.has_errors()
    }

    fn has_errors(&self) -> bool {
        matches!(self, Body::Batch(calls) if calls.iter().any(Result::is_err))
    }
}

fn is_own(method: &str) -> bool {
    method.starts_with(devnet::PREFIX)
}

/// The node behind the devnet does not answer, so neither does the devnet.
#[derive(Debug)]
pub struct NoAnswer;

impl Server {
    /// A server for this backend.
    #[must_use]
    pub fn new(backend: Backend, interval: Duration) -> Self {
        Server {
            backend,
            faults: Faults::default(),
            workers: Semaphore::new(WORKERS),
            in_flight: AtomicUsize::new(0),
            counts: Mutex::default(),
            warmup: Mutex::default(),
            closing: watch::Sender::default(),
            interval: watch::Sender::new(interval),
        }
    }

    /// A place to run or wait, if one is free.
    #[must_use]
    pub fn place(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        if self.in_flight.fetch_add(1, Ordering::AcqRel) < WORKERS + QUEUE {
            Some(place)
        } else {
            None
        }
    }

    /// Status and body of the answer to a body.
    ///
    /// # Errors
    /// [`NoAnswer`] if the connection is to be closed.
    pub async fn answer(
        self: &Arc<Self>,
        raw: Bytes,
        body: Body,
    ) -> Result<(u16, Bytes), NoAnswer> {
        self.count(&body);
        if let Backend::Real(forward) = &self.backend
            && self.can_forward(&body)
        {
            return forward.send(raw).await.map_err(|error| {
                tracing::warn!(%error, "a request is left without an answer");
                NoAnswer
            });
        }
        let text = |json: Json| Bytes::from(format!("{json}\n"));
        match body {
            Body::Unreadable(error, id) => Ok((error.status(), text(reply(Err(error), id)))),
            Body::One(call) => {
                let id = call.id.clone();
                let (result, status) = self.call(call).await?;
                let status = status
                    .unwrap_or_else(|| result.as_ref().map_or_else(RpcError::status, |_| 200));
                Ok((status, text(reply(result, id))))
            }
            Body::Batch(calls) => {
                let mut replies = Vec::with_capacity(calls.len());
                for call in calls {
                    replies.push(match call {
                        Ok(call) => {
                            let id = call.id.clone();
                            reply(self.call(call).await?.0, id)
                        }
                        Err((error, id)) => reply(Err(error), id),
                    });
                }
                Ok((200, text(Json::Array(replies))))
            }
        }
    }

    /// Whether a real node may get the body as it is: nothing in it is the devnet's business.
    fn can_forward(&self, body: &Body) -> bool {
        let own = body.calls().any(|call| is_own(&call.method));
        // An error fault strikes single calls, so those are taken apart.
        !own && !self.faults.has_errors()
    }

    /// One call: its result, and the status if a fault asks for another than its own.
    async fn call(
        self: &Arc<Self>,
        call: Call,
    ) -> Result<(Result<Json, RpcError>, Option<u16>), NoAnswer> {
        if is_own(&call.method) {
            return Ok((self.own(&call).await, None));
        }
        if let Some(error) = self.warming_up() {
            return Ok((Err(error), None));
        }
        if let Some(Action::Error(error, status)) =
            self.faults.strike_call(&call.method, When::Before)
        {
            return Ok((Err(error), status));
        }
        let method = call.method.clone();
        let result = match &self.backend {
            Backend::Own(_) => {
                let server = Arc::clone(self);
                let work = move || server.run(&call);
                tokio::task::spawn_blocking(work)
                    .await
                    .unwrap_or_else(|error| Err(internal(error)))
            }
            Backend::Real(forward) => forward
                .call(&call.method, call.params)
                .await
                .map_err(|_| NoAnswer)?,
        };
        if let Some(Action::Error(error, status)) = self.faults.strike_call(&method, When::After) {
            return Ok((Err(error), status));
        }
        Ok((result, None))
    }

    /// Runs one of Core's methods on the devnet's own state.
    fn run(&self, call: &Call) -> Result<Json, RpcError> {
        self.on_ledger("Core's methods", |node, backups| {
            rpc::run(&mut Context { node, backups }, &call.method, &call.params)
        })
    }

    fn on_ledger(
        &self,
        what: &str,
        work: impl FnOnce(&mut crate::node::Node, &std::path::Path) -> Result<Json, RpcError>,
    ) -> Result<Json, RpcError> {
        match &self.backend {
            Backend::Own(ledger) => ledger
                .with(work)
                .unwrap_or_else(|error| Err(internal(error))),
            Backend::Real(_) => Err(unsupported(what)),
        }
    }

    /// Runs one of the devnet's methods.
    async fn own(self: &Arc<Self>, call: &Call) -> Result<Json, RpcError> {
        let params = &call.params;
        match (call.method.as_str(), &self.backend) {
            ("devnet_faucet", Backend::Own(_)) => {
                let payment = devnet::read_payment(params)?;
                self.on_ledger("", |node, _| devnet::faucet(node, &payment))
            }
            ("devnet_faucet", Backend::Real(forward)) => {
                forward.faucet(&devnet::read_payment(params)?).await
            }
            ("devnet_mine", _) => self.mine(devnet::read_mine(params)?).await,
            ("devnet_setinterval", _) => {
                let interval = devnet::read_interval(params)?;
                self.interval.send_replace(interval);
                Ok(Json::Null)
            }
            ("devnet_reorg", Backend::Own(_)) => {
                let reorg = devnet::read_reorg(params)?;
                self.on_ledger("", |node, _| devnet::reorg(node, &reorg))
            }
            ("devnet_reorg", Backend::Real(forward)) => {
                forward.reorg(&devnet::read_reorg(params)?).await
            }
            ("devnet_doublespend", _) => {
                let wanted = devnet::read_double_spend(params)?;
                self.on_ledger("devnet_doublespend", |node, _| {
                    devnet::double_spend(node, &wanted)
                })
            }
            ("devnet_fault", _) => {
                let id = self.faults.add(devnet::read_fault(params)?);
                Ok(Object::new().with("id", Json::int(id)).into())
            }
            ("devnet_faults", _) => Ok(self.faults.list()),
            ("devnet_clearfaults", _) => {
                let args = rpc::args::Args::new(params, &["id"])?;
                let id = args.given(0).map(rpc::args::number).transpose()?;
                Ok(Object::new()
                    .with("cleared", Json::size(self.faults.clear(id)))
                    .into())
            }
            ("devnet_restart", _) => self.restart(&devnet::read_restart(params)?),
            ("devnet_stats", _) => {
                let args = rpc::args::Args::new(params, &["reset"])?;
                let reset = args.given(0).map_or(Ok(false), rpc::args::bool)?;
                Ok(self.statistics(reset))
            }
            _ => Err(RpcError::new(codes::METHOD_NOT_FOUND, "Method not found")),
        }
    }

    /// Mines blocks, for the timer and for `devnet_mine`.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn mine(self: &Arc<Self>, blocks: u32) -> Result<Json, RpcError> {
        match &self.backend {
            Backend::Own(_) => {
                let server = Arc::clone(self);
                let work = move || server.on_ledger("", |node, _| devnet::mine(node, blocks));
                tokio::task::spawn_blocking(work)
                    .await
                    .unwrap_or_else(|error| Err(internal(error)))
            }
            Backend::Real(forward) => forward.mine(blocks).await,
        }
    }

    fn restart(&self, restart: &devnet::Restart) -> Result<Json, RpcError> {
        self.on_ledger("devnet_restart", |node, _| {
            devnet::restart(node, restart).map(|()| Json::Null)
        })?;
        let until = Instant::now() + restart.refuse + restart.warmup;
        *self.warmup.lock().unwrap_or_else(PoisonError::into_inner) = Some(Warmup {
            until,
            message: restart.message.clone(),
        });
        self.closing.send_modify(|closing| {
            closing.generation += 1;
            closing.refuse = restart.refuse;
        });
        Ok(Json::Null)
    }

    fn warming_up(&self) -> Option<RpcError> {
        let mut warmup = self.warmup.lock().unwrap_or_else(PoisonError::into_inner);
        if warmup
            .as_ref()
            .is_some_and(|warmup| warmup.until <= Instant::now())
        {
            *warmup = None;
        }
        warmup
            .as_ref()
            .map(|warmup| RpcError::new(codes::WARMUP, warmup.message.clone()))
    }

    fn counts(&self) -> MutexGuard<'_, (u64, BTreeMap<String, u64>)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, body: &Body) {
        let mut counts = self.counts();
        let core = body.core_methods();
        counts.0 += u64::from(!body.is_own());
        for method in core {
            let full = counts.1.len() >= MAX_COUNTED_METHODS && !counts.1.contains_key(method);
            let name = if full || method.len() > MAX_METHOD_NAME_BYTES {
                "(other)"
            } else {
                method
            };
            *counts.1.entry(name.to_owned()).or_default() += 1;
        }
    }

    fn statistics(&self, reset: bool) -> Json {
        let mut counts = self.counts();
        let mut calls = Object::new();
        for (method, count) in &counts.1 {
            calls.push(method, Json::int(*count));
        }
        let statistics = Object::new()
            .with("requests", Json::int(counts.0))
            .with("calls", calls);
        if reset {
            *counts = (0, BTreeMap::new());
        }
        statistics.into()
    }

    /// Makes the disk keep everything.
    pub fn sync(&self) {
        if let Backend::Own(ledger) = &self.backend
            && let Err(error) = ledger.sync()
        {
            tracing::error!(%error, "the journal may lose its end in a power cut");
        }
    }
}

fn internal(error: impl std::fmt::Display) -> RpcError {
    tracing::error!(%error, "a call failed");
    RpcError::new(codes::INTERNAL, error.to_string())
}
