//! The component: variables in, `wasi:http/client` out, `duxnet:chain` exported.

use crate::answers;
use crate::node::{self, Standing};
use crate::rpc::{Failure, HttpAnswer, Transport};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bindings::exports::duxnet::chain::{admin, keys, reader, relay, signer, types};
use duxnet_units::transaction::Output;
use duxnet_units::{Address, Amount, BlockHash, Network, OutPoint, Txid};
use futures::future::{Either, select};
use http_body_util::BodyExt as _;
use spin_sdk::http::{FullBody, Request, send};
use spin_sdk::time::sleep;
use spin_sdk::variables;
use spin_sdk::wasip3::http::types::ErrorCode;
use std::cell::{Cell, OnceCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    reason = "generated from wit/chain"
)]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        inline: "
            package duxnet:flopcoin-core;
            world gateway {
                export duxnet:chain/types@1.0.0;
                export duxnet:chain/reader@1.0.0;
                export duxnet:chain/keys@1.0.0;
                export duxnet:chain/signer@1.0.0;
                export duxnet:chain/relay@1.0.0;
                export duxnet:chain/admin@1.0.0;
            }
        ",
        path: "../../../wit/chain",
        world: "duxnet:flopcoin-core/gateway",
        runtime_path: "spin_sdk::wit_bindgen::rt",
    });
}

/// Deadline of one call when `rpc_timeout_seconds` is not set.
const DEFAULT_TIMEOUT_SECONDS: u64 = 10;
/// Between two tries at a full work queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(50);
/// What must be left for another try: one that the deadline cuts off has an unknown outcome, where
/// giving up now is certain not to have been executed.
const LEAST_TRY: Duration = Duration::from_millis(250);

struct Connection {
    url: String,
    authorization: String,
    passphrase: Option<String>,
    timeout: Duration,
}

thread_local! {
    /// Variables do not change while an instance lives.
    static CONNECTION: OnceCell<Rc<Connection>> = const { OnceCell::new() };
}

async fn connection() -> Result<Rc<Connection>, Failure> {
    if let Some(known) = CONNECTION.with(|cell| cell.get().cloned()) {
        return Ok(known);
    }
    let host = required("rpc_host").await?;
    let port = required("rpc_port").await?;
    let user = required("rpc_user").await?;
    let password = required("rpc_password").await?;
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    let timeout = optional("rpc_timeout_seconds").await;
    let connection = Rc::new(Connection {
        url: format!("http://{host}:{port}/"),
        authorization: format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
        passphrase: optional("rpc_wallet_passphrase").await,
        timeout: Duration::from_secs(
            timeout
                .and_then(|s| s.parse().ok())
                .unwrap_or(DEFAULT_TIMEOUT_SECONDS),
        ),
    });
    Ok(CONNECTION.with(|cell| cell.get_or_init(|| connection).clone()))
}

async fn required(name: &str) -> Result<String, Failure> {
    optional(name)
        .await
        .ok_or_else(|| Failure::Unreachable(format!("variable {name} is not set")))
}

async fn optional(name: &str) -> Option<String> {
    variables::get(name)
        .await
        .ok()
        .filter(|value| !value.is_empty())
}

/// One question's way to the node: its deadline spans every try.
struct Line {
    connection: Rc<Connection>,
    deadline: Instant,
    was_full: Cell<bool>,
}

impl Line {
    async fn open() -> Result<Self, Failure> {
        let connection = connection().await?;
        let deadline = Instant::now() + connection.timeout;
        Ok(Line {
            connection,
            deadline,
            was_full: Cell::new(false),
        })
    }
}

impl Transport for Line {
    async fn exchange(&self, body: Vec<u8>, max_bytes: usize) -> Result<HttpAnswer, Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(if self.was_full.get() {
                Failure::Unreachable("work queue full".into())
            } else {
                Failure::OutcomeUnknown("deadline".into())
            });
        }
        self.was_full.set(false);
        let round_trip = round_trip(&self.connection, body, max_bytes);
        match select(pin!(round_trip), pin!(sleep(left))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(Failure::OutcomeUnknown(
                "no answer before the deadline".into(),
            )),
        }
    }

    async fn wait_for_a_free_worker(&self) -> bool {
        self.was_full.set(true);
        sleep(QUEUE_PAUSE).await;
        Instant::now() + LEAST_TRY < self.deadline
    }
}

async fn round_trip(
    connection: &Connection,
    body: Vec<u8>,
    max_bytes: usize,
) -> Result<HttpAnswer, Failure> {
    let request = Request::post(&connection.url)
        .header("authorization", &connection.authorization)
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(FullBody::new(bytes::Bytes::from(body)))
        .map_err(|_| Failure::Unreachable("rpc_host and rpc_port make no URL".into()))?;
    let response = send(request).await.map_err(transport_failure)?;
    let status = response.status().as_u16();
    let announced = announced_bytes(response.headers());
    if announced > max_bytes {
        return Err(Failure::TooLarge(max_bytes));
    }
    let mut body = response.into_body();
    // A buffer that grows would take twice the memory of a large answer.
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::OutcomeUnknown(format!("answer cut off: {e:?}")))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > max_bytes {
                return Err(Failure::TooLarge(max_bytes));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(HttpAnswer {
        status,
        body: bytes,
    })
}

/// The content's length as its header says; 0 where none does.
fn announced_bytes(headers: &http::HeaderMap) -> usize {
    headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// Only what happens before a connection stands is certain not to have been executed.
fn transport_failure(code: ErrorCode) -> Failure {
    let text = format!("{code:?}");
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_)
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestUriInvalid => Failure::Unreachable(text),
        _ => Failure::OutcomeUnknown(text),
    }
}

impl From<Failure> for types::ChainError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected { code, message } => {
                types::ChainError::Rejected(types::Rejection { code, message })
            }
            Failure::Unreachable(text) => types::ChainError::Unreachable(text),
            Failure::OutcomeUnknown(text) => types::ChainError::OutcomeUnknown(text),
            Failure::BadResponse(text) => types::ChainError::BadResponse(text),
            Failure::TooLarge(max_bytes) => {
                types::ChainError::BadResponse(format!("an answer above {max_bytes} bytes"))
            }
        }
    }
}

impl From<Network> for types::Network {
    fn from(network: Network) -> Self {
        match network {
            Network::Main => types::Network::Main,
            Network::Test => types::Network::Test,
            Network::Regtest => types::Network::Regtest,
        }
    }
}

/// The caller's own mistake: it never reached the node.
fn invalid(what: &str) -> types::ChainError {
    types::ChainError::Unreachable(format!("not asked: {what} is not valid"))
}

fn parse_txid(text: &str) -> Result<Txid, types::ChainError> {
    Txid::parse(text).map_err(|_| invalid("txid"))
}

fn parse_txids(texts: &[String]) -> Result<Vec<Txid>, types::ChainError> {
    texts.iter().map(|text| parse_txid(text)).collect()
}

fn block_ref(height: u32, hash: &BlockHash) -> types::BlockRef {
    types::BlockRef {
        height,
        hash: hash.to_string(),
    }
}

fn outpoint(outpoint: &OutPoint) -> types::Outpoint {
    types::Outpoint {
        txid: outpoint.txid.to_string(),
        vout: outpoint.vout,
    }
}

struct Gateway;

impl reader::Guest for Gateway {
    async fn tip() -> Result<reader::ChainTip, types::ChainError> {
        let tip = node::tip(&Line::open().await?).await?;
        Ok(reader::ChainTip {
            network: tip.network.into(),
            block: block_ref(tip.height, &tip.hash),
        })
    }

    async fn validate_address(
        address: String,
    ) -> Result<Option<types::AddressInfo>, types::ChainError> {
        let found = node::validate_address(&Line::open().await?, &address).await?;
        Ok(found.map(|(address, is_mine)| types::AddressInfo { address, is_mine }))
    }

    async fn list_unspent(
        addresses: Vec<String>,
        min_conf: u32,
    ) -> Result<types::Unspent, types::ChainError> {
        let (tip, info, coins) =
            node::list_unspent(&Line::open().await?, &addresses, min_conf).await?;
        Ok(types::Unspent {
            network: tip.network.into(),
            tip: block_ref(tip.height, &tip.hash),
            fee_rate: info.fee_rate,
            coins: coins.into_iter().map(coin).collect(),
        })
    }

    async fn get_transactions(
        txids: Vec<String>,
    ) -> Result<Vec<types::Standing>, types::ChainError> {
        let txids = parse_txids(&txids)?;
        let standings = node::standings(&Line::open().await?, &txids).await?;
        Ok(standings.into_iter().map(standing).collect())
    }

    async fn snapshot() -> Result<types::NodeView, types::ChainError> {
        let (tip, info, mempool) = node::snapshot(&Line::open().await?).await?;
        Ok(types::NodeView {
            network: tip.network.into(),
            tip: block_ref(tip.height, &tip.hash),
            fee_rate: info.fee_rate,
            mempool: mempool.iter().map(Txid::to_string).collect(),
        })
    }

    async fn headers(heights: Vec<u32>) -> Result<Vec<Option<types::Header>>, types::ChainError> {
        if heights.len() > node::MAX_HEADERS {
            return Err(invalid("the number of heights"));
        }
        let headers = node::headers(&Line::open().await?, &heights).await?;
        Ok(headers.into_iter().map(|found| found.map(header)).collect())
    }

    async fn blocks(first_height: u32, count: u32) -> Result<Vec<types::Block>, types::ChainError> {
        let blocks = node::blocks(&Line::open().await?, first_height, count).await?;
        Ok(blocks.into_iter().map(block).collect())
    }

    async fn mempool_transactions(
        txids: Vec<String>,
    ) -> Result<Vec<Option<types::Transaction>>, types::ChainError> {
        let txids = parse_txids(&txids)?;
        let found = node::mempool_transactions(&Line::open().await?, &txids).await?;
        Ok(found
            .into_iter()
            .map(|found| found.map(transaction))
            .collect())
    }
}

fn coin(coin: answers::Coin) -> types::Coin {
    types::Coin {
        outpoint: outpoint(&coin.outpoint),
        address: coin.address,
        value: coin.value.florins(),
        confirmations: coin.confirmations,
    }
}

fn header(header: answers::Header) -> types::Header {
    types::Header {
        block: block_ref(header.height, &header.hash),
        time: header.time,
    }
}

fn block(block: answers::Block) -> types::Block {
    types::Block {
        block: block_ref(block.height, &block.hash),
        previous: block.previous.map(|hash| hash.to_string()),
        time: block.time,
        transactions: block.transactions.into_iter().map(transaction).collect(),
    }
}

fn transaction(transaction: answers::Transaction) -> types::Transaction {
    types::Transaction {
        txid: transaction.txid.to_string(),
        inputs: transaction.inputs.iter().map(outpoint).collect(),
        outputs: transaction.outputs.into_iter().map(output).collect(),
        coinbase: transaction.is_coinbase,
    }
}

fn output(output: answers::Output) -> types::Output {
    types::Output {
        vout: output.vout,
        address: output.address,
        value: output.value.florins(),
    }
}

fn standing(standing: Standing) -> types::Standing {
    match standing {
        Standing::Absent => types::Standing::Absent,
        Standing::NotInMempool => types::Standing::NotInMempool,
        Standing::Mempool => types::Standing::Mempool,
        Standing::Conflicted(depth) => types::Standing::Conflicted(depth),
        Standing::Confirmed {
            confirmations,
            height,
            hash,
            time,
        } => types::Standing::Confirmed(types::Confirmation {
            confirmations,
            block: block_ref(height, &hash),
            time,
        }),
    }
}

impl keys::Guest for Gateway {
    async fn new_address(label: String) -> Result<String, types::ChainError> {
        Ok(node::new_address(&Line::open().await?, &label).await?)
    }

    async fn new_addresses(count: u32, label: String) -> Result<Vec<String>, types::ChainError> {
        Ok(node::new_addresses(&Line::open().await?, count, &label).await?)
    }
}

impl signer::Guest for Gateway {
    async fn sign_payment(
        inputs: Vec<types::Outpoint>,
        outputs: Vec<types::Payee>,
    ) -> Result<types::SignedTransaction, types::ChainError> {
        let inputs = inputs
            .into_iter()
            .map(|input| {
                Ok(OutPoint {
                    txid: parse_txid(&input.txid)?,
                    vout: input.vout,
                })
            })
            .collect::<Result<Vec<_>, types::ChainError>>()?;
        let outputs = outputs.iter().map(payee).collect::<Result<Vec<_>, _>>()?;
        let line = Line::open().await?;
        let passphrase = line.connection.passphrase.as_deref();
        let (txid, hex) = node::sign(&line, &inputs, &outputs, passphrase).await?;
        Ok(types::SignedTransaction {
            txid: txid.to_string(),
            hex,
        })
    }
}

impl relay::Guest for Gateway {
    async fn broadcast(txid: String, hex: String) -> Result<(), types::ChainError> {
        let txid = parse_txid(&txid)?;
        Ok(node::broadcast(&Line::open().await?, &txid, &hex).await?)
    }
}

/// The caller has checked the address for its network; the script is the same on each.
fn payee(payee: &types::Payee) -> Result<Output, types::ChainError> {
    let value = Amount::from_florins(payee.value).map_err(|_| invalid("amount"))?;
    [Network::Main, Network::Test, Network::Regtest]
        .into_iter()
        .find_map(|network| Address::parse(&payee.address, network).ok())
        .map(|address| Output::to(&address, value))
        .ok_or_else(|| invalid("address"))
}

impl admin::Guest for Gateway {
    async fn status() -> Result<admin::NodeStatus, types::ChainError> {
        let info = node::info(&Line::open().await?).await?;
        Ok(admin::NodeStatus {
            version: info.version,
            blocks: info.blocks,
            connections: info.connections,
            unlocked_until: info.unlocked_until,
        })
    }

    async fn backup(name: String) -> Result<(), types::ChainError> {
        Ok(node::backup(&Line::open().await?, &name).await?)
    }
}

#[allow(unsafe_code, reason = "the component model's exports")]
mod exported {
    use super::Gateway;
    super::bindings::export!(Gateway with_types_in super::bindings);
}
