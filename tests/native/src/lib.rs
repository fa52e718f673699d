//! The endpoints that the benchmark measures, as an ordinary server: axum, rusqlite, and the very
//! crates of the domain (`duxnet-wallet`, `duxnet-store`, `duxnet-render`, the gateway's functions).
//!
//! It is the limit that a host of components is compared with, and the proof that the domain needs
//! no host. Requests are not signed, and what fails is answered with 500 and its text: it measures,
//! it does not serve anybody.

mod chain;

pub use chain::Rpc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use chain::ChainNode;
use duxnet_api::request::{Fields, HistoryQuery, Send, parse_node_id};
use duxnet_render::Answer;
use duxnet_store::native::NativeDatabase;
use duxnet_store::{HistoryFilter, Store};
use duxnet_units::{NodeId, Timestamp};
use duxnet_wallet::send::{HowMuch, Order};
use duxnet_wallet::{Caller, Clock, Policy, Service};
use http::{HeaderMap, Response};
use send_wrapper::SendWrapper;
use std::cell::OnceCell;
use std::fmt::Display;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database's file, with its schema.
    pub database: PathBuf,
    /// The chain node.
    pub rpc: Rpc,
    /// The domain's rules.
    pub policy: Policy,
    /// Seconds after which a read of the balance looks at the chain again.
    pub balance_max_age: u32,
    /// Threads, each with a runtime, a database connection and connections to the chain of its own.
    pub threads: usize,
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::of_clock(SystemTime::now())
    }

    async fn pause(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// What one thread works with. The domain's futures stay on it.
struct Worker {
    store: Store<NativeDatabase>,
    chain: ChainNode,
    policy: Policy,
    balance_max_age: u32,
}

impl Worker {
    fn service(&self) -> Service<'_, NativeDatabase, SystemClock> {
        Service {
            store: &self.store,
            clock: &SystemClock,
            policy: &self.policy,
        }
    }
}

thread_local! {
    static WORKER: OnceCell<Rc<Worker>> = const { OnceCell::new() };
}

/// Serves until the process ends.
///
/// # Errors
/// What keeps it from starting.
pub fn serve(listener: &TcpListener, options: &Options) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads.max(1))
            .map(|_| scope.spawn(|| work(listener.try_clone()?, options)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| other(&"a thread panicked"))??;
        }
        Ok(())
    })
}

fn other(error: &dyn Display) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

fn work(listener: TcpListener, options: &Options) -> std::io::Result<()> {
    let database = NativeDatabase::open(&options.database).map_err(|e| other(&e))?;
    let worker = Rc::new(Worker {
        store: Store::new(database),
        chain: ChainNode::new(&options.rpc),
        policy: options.policy.clone(),
        balance_max_age: options.balance_max_age,
    });
    WORKER.with(|cell| {
        cell.set(worker)
            .map_err(|_| other(&"a thread serves twice"))
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
            // Answers do not wait for the client's acknowledgements.
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router()).await
    })
}

fn router() -> Router {
    Router::new()
        .route(
            "/wallet/{node_id}",
            get(|Path(id)| on_this_thread(info(id))),
        )
        .route(
            "/wallet/{node_id}/balance",
            get(|Path(id)| on_this_thread(balance(id))),
        )
        .route(
            "/wallet/{node_id}/transactions",
            get(|Path(id), RawQuery(query)| on_this_thread(transactions(id, query))),
        )
        .route(
            "/wallet/{node_id}/send",
            post(|Path(id), headers, body| on_this_thread(send(id, headers, body))),
        )
}

/// A future that is polled by the thread that made it, because each thread's runtime is its own.
fn on_this_thread(
    future: impl Future<Output = Result<Answer, String>>,
) -> impl Future<Output = Response<Body>> + std::marker::Send {
    SendWrapper::new(async {
        match future.await {
            Ok(answer) => respond(answer.status, answer.content_type, answer.body),
            Err(why) => respond(500, "text/plain", why.into_bytes()),
        }
    })
}

fn respond(status: u16, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status.try_into().unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static(content_type));
    headers.insert("cache-control", http::HeaderValue::from_static("no-store"));
    response
}

fn worker() -> Result<Rc<Worker>, String> {
    WORKER
        .with(|cell| cell.get().cloned())
        .ok_or_else(|| "no worker on this thread".to_owned())
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn node(id: &str) -> Result<NodeId, String> {
    parse_node_id(id).map_err(|problem| format!("{problem:?}"))
}

async fn info(id: String) -> Result<Answer, String> {
    let worker = worker()?;
    let wallet = worker.service().wallet(&node(&id)?).await.map_err(text)?;
    Ok(duxnet_render::wallet(&wallet))
}

async fn balance(id: String) -> Result<Answer, String> {
    let worker = worker()?;
    let (wallet, as_of) = worker
        .service()
        .holdings(&worker.chain, &node(&id)?, worker.balance_max_age, |_| ())
        .await
        .map_err(text)?;
    Ok(duxnet_render::balance(&wallet, &as_of))
}

async fn transactions(id: String, query: Option<String>) -> Result<Answer, String> {
    let query = HistoryQuery::parse(&query.unwrap_or_default())
        .map_err(|problem| format!("{problem:?}"))?;
    let worker = worker()?;
    let service = worker.service();
    let wallet = service.wallet(&node(&id)?).await.map_err(text)?;
    let filter = HistoryFilter {
        before_id: query.page.after,
        transaction_type: query.transaction_type,
        status: query.status,
        since: query.since,
        until: query.until,
    };
    let page = service.history(&wallet, &filter, query.page.limit).await;
    Ok(duxnet_render::history(&wallet, &page.map_err(text)?))
}

async fn send(id: String, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
    let node = node(&id)?;
    let key = headers
        .get("idempotency-key")
        .and_then(|value| value.to_str().ok());
    let wanted = Fields::parse(&body, &Send::FIELDS)
        .and_then(|fields| Send::parse(&fields, &node, key))
        .map_err(|problem| format!("{problem:?}"))?;
    let order = Order {
        request_hash: wanted.hash(),
        idempotency_key: wanted.idempotency_key,
        recipient_address: wanted.recipient_address,
        amount: HowMuch::Exactly(wanted.amount),
    };
    let caller = Caller {
        node_id: node,
        signature: None,
    };
    let worker = worker()?;
    let sent = worker.service().send(&worker.chain, &caller, &order).await;
    Ok(duxnet_render::sent(&sent.map_err(text)?))
}
