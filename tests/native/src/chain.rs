//! The domain's chain over the gateway's own functions, without the component between them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chain_flopcoin_core::answers;
use chain_flopcoin_core::node::{self, Standing as NodeStanding};
use chain_flopcoin_core::rpc::{Failure, HttpAnswer, Transport};
use duxnet_store::{LedgerBlock, SeenOutput};
use duxnet_units::transaction::Output;
use duxnet_units::{Address, Amount, BlockHash, OutPoint, Timestamp, Txid};
use duxnet_wallet::chain::{
    Block, ChainError, ChainTransaction, Coin, Reader, Relay, Signed, Signer, Snapshot, Standing,
    Unspent,
};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::time::Duration;

/// Between two tries at a full work queue.
const QUEUE_PAUSE: Duration = Duration::from_millis(50);

/// Where the chain node is, and who asks.
#[derive(Clone, Debug)]
pub struct Rpc {
    /// Its JSON-RPC.
    pub address: SocketAddr,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// The chain node, with one thread's connections to it.
pub(crate) struct ChainNode {
    url: String,
    authorization: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl ChainNode {
    pub(crate) fn new(rpc: &Rpc) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        ChainNode {
            url: format!("http://{}/", rpc.address),
            authorization: format!(
                "Basic {}",
                STANDARD.encode(format!("{}:{}", rpc.user, rpc.password))
            ),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }
}

impl Transport for ChainNode {
    async fn exchange(&self, body: Vec<u8>, max_bytes: usize) -> Result<HttpAnswer, Failure> {
        let request = Request::post(&self.url)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| Failure::Unreachable(e.to_string()))?;
        let unknown = |e: &dyn std::fmt::Display| Failure::OutcomeUnknown(e.to_string());
        let response = self.client.request(request).await;
        let response = response.map_err(|e| unknown(&e))?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        let body = body.map_err(|e| unknown(&e))?.to_bytes().to_vec();
        if body.len() > max_bytes {
            return Err(Failure::TooLarge(max_bytes));
        }
        Ok(HttpAnswer { status, body })
    }

    async fn wait_for_a_free_worker(&self) -> bool {
        tokio::time::sleep(QUEUE_PAUSE).await;
        true
    }
}

fn failed(failure: Failure) -> ChainError {
    match failure {
        Failure::Rejected { code, message } => ChainError::Rejected { code, message },
        Failure::Unreachable(text) => ChainError::Unreachable(text),
        Failure::OutcomeUnknown(text) => ChainError::OutcomeUnknown(text),
        Failure::BadResponse(text) => ChainError::BadResponse(text),
        Failure::TooLarge(bytes) => ChainError::BadResponse(format!("above {bytes} bytes")),
    }
}

fn place(height: u32, hash: BlockHash, time: i64) -> Result<LedgerBlock, ChainError> {
    let time = Timestamp::from_unix_seconds(time)
        .map_err(|e| ChainError::BadResponse(format!("block time: {e}")))?;
    Ok(LedgerBlock { height, hash, time })
}

fn transaction(transaction: answers::Transaction) -> ChainTransaction {
    ChainTransaction {
        txid: transaction.txid,
        is_coinbase: transaction.is_coinbase,
        inputs: transaction.inputs,
        outputs: transaction
            .outputs
            .into_iter()
            .map(|output| SeenOutput {
                vout: output.vout,
                address: output.address,
                value: output.value,
            })
            .collect(),
    }
}

impl Reader for ChainNode {
    async fn snapshot(&self) -> Result<Snapshot, ChainError> {
        let (tip, info, mempool) = node::snapshot(self).await.map_err(failed)?;
        Ok(Snapshot {
            network: tip.network,
            height: tip.height,
            hash: tip.hash,
            fee_rate: info.fee_rate,
            mempool,
        })
    }

    async fn headers(&self, heights: &[u32]) -> Result<Vec<Option<LedgerBlock>>, ChainError> {
        let headers = node::headers(self, heights).await.map_err(failed)?;
        headers
            .into_iter()
            .map(|header| header.map(|h| place(h.height, h.hash, h.time)).transpose())
            .collect()
    }

    async fn blocks(&self, first: u32, count: u32) -> Result<Vec<Block>, ChainError> {
        let blocks = node::blocks(self, first, count).await.map_err(failed)?;
        blocks
            .into_iter()
            .map(|block| {
                Ok(Block {
                    block: place(block.height, block.hash, block.time)?,
                    previous: block.previous,
                    transactions: block.transactions.into_iter().map(transaction).collect(),
                })
            })
            .collect()
    }

    async fn mempool_transactions(
        &self,
        txids: &[Txid],
    ) -> Result<Vec<Option<ChainTransaction>>, ChainError> {
        let found = node::mempool_transactions(self, txids).await;
        let found = found.map_err(failed)?.into_iter();
        Ok(found.map(|found| found.map(transaction)).collect())
    }

    async fn list_unspent(&self, addresses: &[&str]) -> Result<Unspent, ChainError> {
        const CONFIRMED: u32 = 1;
        let addresses: Vec<String> = addresses.iter().map(|a| (*a).to_owned()).collect();
        let (tip, _, coins) = node::list_unspent(self, &addresses, CONFIRMED)
            .await
            .map_err(failed)?;
        let coins = coins.into_iter().map(|coin| Coin {
            outpoint: coin.outpoint,
            value: coin.value,
        });
        Ok(Unspent {
            tip: tip.hash,
            coins: coins.collect(),
        })
    }

    async fn standings(&self, txids: &[&Txid]) -> Result<Vec<Standing>, ChainError> {
        let txids: Vec<Txid> = txids.iter().map(|txid| (*txid).clone()).collect();
        let standings = node::standings(self, &txids).await.map_err(failed)?;
        let read = |standing| match standing {
            NodeStanding::Absent => Standing::Absent,
            NodeStanding::NotInMempool => Standing::NotInMempool,
            NodeStanding::Mempool => Standing::Mempool,
            NodeStanding::Conflicted(depth) => Standing::Conflicted(depth),
            NodeStanding::Confirmed { .. } => Standing::Confirmed,
        };
        Ok(standings.into_iter().map(read).collect())
    }
}

impl Signer for ChainNode {
    async fn sign_payment(
        &self,
        inputs: &[OutPoint],
        outputs: &[(&Address, Amount)],
    ) -> Result<Signed, ChainError> {
        let outputs: Vec<Output> = outputs
            .iter()
            .map(|(address, value)| Output::to(address, *value))
            .collect();
        let (txid, hex) = node::sign(self, inputs, &outputs, None)
            .await
            .map_err(failed)?;
        Ok(Signed { txid, hex })
    }
}

impl Relay for ChainNode {
    async fn broadcast(&self, signed: &Signed) -> Result<(), ChainError> {
        node::broadcast(self, &signed.txid, &signed.hex)
            .await
            .map_err(failed)
    }
}
