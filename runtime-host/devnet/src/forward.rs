//! Handing Core's methods to a real node.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

use crate::amount::Florins;
use crate::json::{Json, Object};
use crate::network;
use crate::rpc::devnet::{Drop, Payment, Reorg};
use crate::rpc::{RpcError, codes};

/// Core closes a connection that was idle for 30 seconds; this side lets go of it before.
const IDLE: Duration = Duration::from_secs(20);
/// Funds that a node should have at start.
const LEAST_BALANCE: Florins = Florins::flop(1_000_000);
/// Coins that a node should have at start: each gives a payment between two blocks.
const LEAST_COINS: usize = 50;
/// Blocks mined at once to get there.
const FUNDING_BLOCKS: u32 = 60;
/// What a payment of the faucet costs: more than its bytes need.
const FAUCET_FEE: Florins = Florins::flop(1);
/// Moves a transaction out of what a miner takes. The node needs `-blockprioritysize=0`: else it
/// fills the first place of a block with whatever is oldest, however much that is deterred.
const DETER: i64 = -1_000_000_000_000;

/// The real node cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// What was given is no address of a node.
    #[error("--forward takes http://user:password@host:port")]
    Address,
    /// The node did not answer.
    #[error("the node at {0} does not answer: {1}")]
    Unreachable(String, String),
    /// The node says no.
    #[error("the node at {0} refuses {1}: {2}")]
    Refused(String, &'static str, RpcError),
    /// The node is not for tests.
    #[error("the node at {0} is on the network {1:?}; a devnet only forwards to {net:?}", net = network::CHAIN)]
    Network(String, String),
}

/// A connection to a real node.
#[derive(Debug)]
pub struct Forward {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    authorization: HeaderValue,
    /// Host and port, for messages.
    shown: String,
}

/// Status and body of an answer.
pub type Answer = (u16, Bytes);

impl Forward {
    /// Connects to `http://user:password@host:port`, sees that it is a regtest node, and mines until
    /// its wallet has money.
    ///
    /// # Errors
    /// [`ForwardError`]
    pub async fn connect(address: &str) -> Result<Forward, ForwardError> {
        let rest = address
            .strip_prefix("http://")
            .ok_or(ForwardError::Address)?;
        let (credentials, host) = rest
            .trim_end_matches('/')
            .rsplit_once('@')
            .ok_or(ForwardError::Address)?;
        let uri: Uri = format!("http://{host}/")
            .parse()
            .map_err(|_| ForwardError::Address)?;
        let authorization = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(credentials)))
            .map_err(|_| ForwardError::Address)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        let forward = Forward {
            client,
            uri,
            authorization,
            shown: host.to_owned(),
        };
        forward.check().await?;
        Ok(forward)
    }

    async fn check(&self) -> Result<(), ForwardError> {
        let info = self
            .setup("getblockchaininfo", Json::Array(Vec::new()))
            .await?;
        let chain = info.get("chain").and_then(Json::as_str).unwrap_or_default();
        if chain != network::CHAIN {
            return Err(ForwardError::Network(self.shown.clone(), chain.to_owned()));
        }
        for _ in 0..5 {
            let balance = match self.setup("getbalance", Json::Array(Vec::new())).await? {
                Json::Number(token) => Florins::parse(&token).unwrap_or_default(),
                _ => Florins::ZERO,
            };
            let coins = self.setup("listunspent", Json::Array(Vec::new())).await?;
            if balance >= LEAST_BALANCE
                && coins
                    .as_array()
                    .is_some_and(|coins| coins.len() >= LEAST_COINS)
            {
                break;
            }
            self.setup("generate", Json::Array(vec![Json::int(FUNDING_BLOCKS)]))
                .await?;
        }
        Ok(())
    }

    async fn setup(&self, method: &'static str, params: Json) -> Result<Json, ForwardError> {
        match self.call(method, params).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(ForwardError::Refused(self.shown.clone(), method, error)),
            Err(error) => Err(ForwardError::Unreachable(
                self.shown.clone(),
                error.to_string(),
            )),
        }
    }

    /// Sends a body as it is and returns the node's answer as it is.
    ///
    /// # Errors
    /// If the node cannot be reached or stops in the middle.
    pub async fn send(&self, body: Bytes) -> Result<Answer, Unanswered> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(HOST, self.shown.as_str())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Unanswered(error.to_string()))?;
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| Unanswered(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|error| Unanswered(error.to_string()))?;
        Ok((status, body.to_bytes()))
    }

    /// Calls one method.
    ///
    /// # Errors
    /// Outside: the node did not answer. Inside: its answer is an error.
    pub async fn call(
        &self,
        method: &str,
        params: Json,
    ) -> Result<Result<Json, RpcError>, Unanswered> {
        let request = Object::new()
            .with("id", Json::int(0))
            .with("method", method)
            .with("params", params);
        let (status, body) = self
            .send(Bytes::from(Json::from(request).to_string()))
            .await?;
        let parsed = std::str::from_utf8(&body).ok().and_then(Json::parse);
        let parsed =
            parsed.ok_or_else(|| Unanswered(format!("HTTP {status} without a JSON body")))?;
        match parsed.get("error") {
            None | Some(Json::Null) => Ok(Ok(parsed.get("result").cloned().unwrap_or(Json::Null))),
            Some(error) => {
                let code = match error.get("code") {
                    Some(Json::Number(token)) => token.parse().unwrap_or(codes::INTERNAL),
                    _ => codes::INTERNAL,
                };
                let message = error
                    .get("message")
                    .and_then(Json::as_str)
                    .unwrap_or_default();
                Ok(Err(RpcError::new(code, message)))
            }
        }
    }

    /// As [`Forward::call`], with a node that does not answer as an error of the call.
    async fn ask(&self, method: &str, params: Vec<Json>) -> Result<Json, RpcError> {
        match self.call(method, Json::Array(params)).await {
            Ok(result) => result,
            Err(error) => Err(RpcError::new(codes::INTERNAL, error.to_string())),
        }
    }

    /// `devnet_mine`.
    ///
    /// # Errors
    /// The node's.
    pub async fn mine(&self, blocks: u32) -> Result<Json, RpcError> {
        self.ask("generate", vec![Json::int(blocks)]).await
    }

    /// `devnet_faucet`: a coin that the node mined pays. The node's own selection is not asked: it
    /// would take coins of whoever else has addresses in its wallet (Core's accounts own none).
    ///
    /// # Errors
    /// The node's, and [`codes::INSUFFICIENT_FUNDS`] until a block confirms more of its coins.
    pub async fn faucet(&self, payment: &Payment) -> Result<Json, RpcError> {
        let price = payment.amount.plus(FAUCET_FEE);
        let coins = self.ask("listunspent", vec![Json::int(1)]).await?;
        let (coin, worth) = coins
            .as_array()
            .unwrap_or_default()
            .iter()
            .filter(|coin| matches!(coin.get("account").and_then(Json::as_str), None | Some("")))
            .filter_map(|coin| match coin.get("amount") {
                Some(Json::Number(token)) => Some((coin, Florins::parse(token).ok()?)),
                _ => None,
            })
            .max_by_key(|(_, worth)| *worth)
            .filter(|(_, worth)| *worth > price)
            .ok_or_else(|| {
                let message = "the node has no mined coin that is large enough; mine a block";
                RpcError::new(codes::INSUFFICIENT_FUNDS, message)
            })?;
        let member = |name| coin.get(name).cloned().unwrap_or(Json::Null);
        let input = Object::new()
            .with("txid", member("txid"))
            .with("vout", member("vout"));
        let Json::String(change) = self.ask("getrawchangeaddress", Vec::new()).await? else {
            return Err(RpcError::new(
                codes::INTERNAL,
                "getrawchangeaddress is no text",
            ));
        };
        let outputs = Object::new()
            .with(&payment.address.to_string(), Json::amount(payment.amount))
            .with(&change, Json::amount(worth.minus(price)));
        let inputs = Json::Array(vec![input.into()]);
        let raw = self
            .ask("createrawtransaction", vec![inputs, outputs.into()])
            .await?;
        let signed = self.ask("signrawtransaction", vec![raw]).await?;
        let hex = signed.get("hex").cloned().unwrap_or(Json::Null);
        let txid = self.ask("sendrawtransaction", vec![hex]).await?;
        Ok(Object::new().with("txid", txid).into())
    }

    /// `devnet_reorg`. A real node gives every transaction back, so none can be dropped. Those that
    /// the new branch shall not take are made unattractive to the miner; Core mines one transaction
    /// by priority in every block nevertheless, so the new branch may hold one in each.
    ///
    /// # Errors
    /// The node's, and [`codes::METHOD_NOT_FOUND`] for a drop.
    pub async fn reorg(&self, reorg: &Reorg) -> Result<Json, RpcError> {
        if reorg.drop != Drop::Nothing {
            return Err(unsupported("devnet_reorg with drop"));
        }
        let Json::Number(tip) = self.ask("getblockcount", Vec::new()).await? else {
            return Err(RpcError::new(codes::INTERNAL, "getblockcount is no number"));
        };
        let tip: u32 = tip
            .parse()
            .map_err(|_| RpcError::new(codes::INTERNAL, "getblockcount is no number"))?;
        let fork = tip
            .checked_sub(reorg.depth)
            .ok_or_else(|| RpcError::new(codes::PARAMETER, "the chain is not that long"))?;
        let mut replaced = Vec::new();
        let mut returning = Vec::new();
        for height in fork + 1..=tip {
            let hash = self.ask("getblockhash", vec![Json::int(height)]).await?;
            let block = self.ask("getblock", vec![hash.clone()]).await?;
            let transactions = block.get("tx").and_then(Json::as_array).unwrap_or_default();
            returning.extend(transactions.iter().skip(1).cloned());
            replaced.push(hash);
        }
        if let Json::Array(waiting) = self.ask("getrawmempool", Vec::new()).await? {
            returning.extend(waiting);
        }
        let first = replaced.first().cloned().unwrap_or(Json::Null);
        self.ask("invalidateblock", vec![first]).await?;
        let mut deterred = Vec::new();
        if !reorg.include
            && let Json::Array(waiting) = self.ask("getrawmempool", Vec::new()).await?
        {
            deterred = waiting;
        }
        for txid in &deterred {
            self.prioritise(txid, DETER).await?;
        }
        let connected = self.mine(reorg.blocks).await;
        for txid in &deterred {
            self.prioritise(txid, -DETER).await?;
        }
        // A payment of the wallet's may not be mined below the height at which it was made, so the node
        // lets go of it when the chain gets shorter. By now the chain is high enough again.
        for txid in returning {
            if let Ok(known) = self.ask("gettransaction", vec![txid]).await
                && let Some(hex) = known.get("hex")
                && let Err(error) = self.ask("sendrawtransaction", vec![hex.clone()]).await
            {
                tracing::debug!(%error, "a transaction of the old branch does not come back");
            }
        }
        Ok(Object::new()
            .with("disconnected", Json::Array(replaced))
            .with("connected", connected?)
            .into())
    }

    async fn prioritise(&self, txid: &Json, change: i64) -> Result<Json, RpcError> {
        // The miner's two orders are by priority and by fee; both are moved.
        let priority = Json::Number(format!("{change}000000000000"));
        self.ask(
            "prioritisetransaction",
            vec![txid.clone(), priority, Json::int(change)],
        )
        .await
    }
}

/// A method of the devnet that a real node cannot follow.
#[must_use]
pub fn unsupported(what: &str) -> RpcError {
    RpcError::new(
        codes::METHOD_NOT_FOUND,
        format!("{what} is not supported while forwarding to a real node"),
    )
}

/// The node did not answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer from the node: {0}")]
pub struct Unanswered(String);
