//! The domain's chain over the imported interfaces `duxnet:chain`.
//!
//! One adapter has everything; a component imports only the interfaces whose functions it calls,
//! and a test compares them with its world.

use crate::bindings::duxnet::chain::{admin, keys, reader, relay, signer, types};
use duxnet_store::{LedgerBlock, SeenOutput};
use duxnet_units::{Address, Amount, BlockHash, Network, OutPoint, Timestamp, Txid};
use duxnet_wallet::chain::{
    Admin, Block, ChainError, ChainTransaction, Coin, Keys, Reader, Relay, Signed, Signer,
    Snapshot, Standing, Unspent,
};

/// The chain node.
#[derive(Clone, Copy, Debug)]
pub struct ChainNode;

/// The label of addresses that belong to nobody yet, for the node's operator.
const POOL_LABEL: &str = "duxnet-pool";
/// Confirmations of a coin that the watchdog counts.
const CONFIRMED: u32 = 1;

/// The network that the chain node is on, and its height.
///
/// # Errors
/// See [`ChainError`].
pub async fn tip() -> Result<(Network, u32), ChainError> {
    let tip = reader::tip().await?;
    Ok((tip.network.into(), tip.block.height))
}

impl Reader for ChainNode {
    async fn snapshot(&self) -> Result<Snapshot, ChainError> {
        let snapshot = reader::snapshot().await?;
        Ok(Snapshot {
            network: snapshot.network.into(),
            height: snapshot.tip.height,
            hash: block_hash(&snapshot.tip.hash)?,
            fee_rate: snapshot.fee_rate,
            mempool: all(snapshot.mempool, |text| txid(&text))?,
        })
    }

    async fn headers(&self, heights: &[u32]) -> Result<Vec<Option<LedgerBlock>>, ChainError> {
        let headers = reader::headers(heights.to_vec()).await?;
        same_number(headers.len(), heights.len())?;
        all(headers, |header| {
            header.map(|h| place(h.block, h.time)).transpose()
        })
    }

    async fn blocks(&self, first: u32, count: u32) -> Result<Vec<Block>, ChainError> {
        all(reader::blocks(first, count).await?, |block| {
            Ok(Block {
                block: place(block.block, block.time)?,
                previous: block.previous.map(|hash| block_hash(&hash)).transpose()?,
                transactions: all(block.transactions, transaction)?,
            })
        })
    }

    async fn mempool_transactions(
        &self,
        txids: &[Txid],
    ) -> Result<Vec<Option<ChainTransaction>>, ChainError> {
        let asked = txids.iter().map(Txid::to_string).collect();
        let found = reader::mempool_transactions(asked).await?;
        same_number(found.len(), txids.len())?;
        all(found, |found| found.map(transaction).transpose())
    }

    async fn list_unspent(&self, addresses: &[&str]) -> Result<Unspent, ChainError> {
        let asked = addresses.iter().map(|a| (*a).to_owned()).collect();
        let unspent = reader::list_unspent(asked, CONFIRMED).await?;
        Ok(Unspent {
            tip: block_hash(&unspent.tip.hash)?,
            coins: all(unspent.coins, |coin| {
                Ok(Coin {
                    outpoint: outpoint(coin.outpoint)?,
                    value: amount(coin.value)?,
                })
            })?,
        })
    }

    async fn standings(&self, txids: &[&Txid]) -> Result<Vec<Standing>, ChainError> {
        let asked = txids.iter().map(|txid| txid.to_string()).collect();
        let standings = reader::get_transactions(asked).await?;
        same_number(standings.len(), txids.len())?;
        Ok(standings
            .into_iter()
            .map(|standing| match standing {
                types::Standing::Absent => Standing::Absent,
                types::Standing::NotInMempool => Standing::NotInMempool,
                types::Standing::Mempool => Standing::Mempool,
                types::Standing::Conflicted(depth) => Standing::Conflicted(depth),
                types::Standing::Confirmed(_) => Standing::Confirmed,
            })
            .collect())
    }
}

impl Keys for ChainNode {
    async fn new_address(&self, label: &str) -> Result<String, ChainError> {
        Ok(keys::new_address(label.to_owned()).await?)
    }

    async fn new_addresses(&self, count: u32) -> Result<Vec<String>, ChainError> {
        Ok(keys::new_addresses(count, POOL_LABEL.to_owned()).await?)
    }
}

impl Signer for ChainNode {
    async fn sign_payment(
        &self,
        inputs: &[OutPoint],
        outputs: &[(&Address, Amount)],
    ) -> Result<Signed, ChainError> {
        let inputs = inputs
            .iter()
            .map(|input| types::Outpoint {
                txid: input.txid.to_string(),
                vout: input.vout,
            })
            .collect();
        let outputs = outputs
            .iter()
            .map(|(address, value)| types::Payee {
                address: address.to_string(),
                value: value.florins(),
            })
            .collect();
        let signed = signer::sign_payment(inputs, outputs).await?;
        Ok(Signed {
            txid: txid(&signed.txid)?,
            hex: signed.hex,
        })
    }
}

impl Relay for ChainNode {
    async fn broadcast(&self, signed: &Signed) -> Result<(), ChainError> {
        Ok(relay::broadcast(signed.txid.to_string(), signed.hex.clone()).await?)
    }
}

impl Admin for ChainNode {
    async fn backup(&self, name: &str) -> Result<(), ChainError> {
        Ok(admin::backup(name.to_owned()).await?)
    }
}

fn bad(what: &str) -> ChainError {
    ChainError::BadResponse(what.to_owned())
}

fn all<T, U>(
    items: Vec<T>,
    convert: impl FnMut(T) -> Result<U, ChainError>,
) -> Result<Vec<U>, ChainError> {
    items.into_iter().map(convert).collect()
}

fn same_number(answers: usize, questions: usize) -> Result<(), ChainError> {
    if answers == questions {
        Ok(())
    } else {
        Err(bad("another number of answers than questions"))
    }
}

fn txid(text: &str) -> Result<Txid, ChainError> {
    Txid::parse(text).map_err(|e| bad(&format!("txid: {e}")))
}

fn block_hash(text: &str) -> Result<BlockHash, ChainError> {
    BlockHash::parse(text).map_err(|e| bad(&format!("block hash: {e}")))
}

fn amount(florins: u64) -> Result<Amount, ChainError> {
    Amount::from_florins(florins).map_err(|e| bad(&format!("value: {e}")))
}

fn outpoint(outpoint: types::Outpoint) -> Result<OutPoint, ChainError> {
    Ok(OutPoint {
        txid: txid(&outpoint.txid)?,
        vout: outpoint.vout,
    })
}

fn place(block: types::BlockRef, time: i64) -> Result<LedgerBlock, ChainError> {
    Ok(LedgerBlock {
        height: block.height,
        hash: block_hash(&block.hash)?,
        time: Timestamp::from_unix_seconds(time).map_err(|e| bad(&format!("block time: {e}")))?,
    })
}

fn transaction(transaction: types::Transaction) -> Result<ChainTransaction, ChainError> {
    Ok(ChainTransaction {
        txid: txid(&transaction.txid)?,
        is_coinbase: transaction.coinbase,
        inputs: all(transaction.inputs, outpoint)?,
        outputs: all(transaction.outputs, |output| {
            Ok(SeenOutput {
                vout: output.vout,
                address: output.address,
                value: amount(output.value)?,
            })
        })?,
    })
}

impl From<types::ChainError> for ChainError {
    fn from(error: types::ChainError) -> Self {
        match error {
            types::ChainError::Rejected(rejection) => ChainError::Rejected {
                code: rejection.code,
                message: rejection.message,
            },
            types::ChainError::Unreachable(text) => ChainError::Unreachable(text),
            types::ChainError::OutcomeUnknown(text) => ChainError::OutcomeUnknown(text),
            types::ChainError::BadResponse(text) => ChainError::BadResponse(text),
        }
    }
}

impl From<types::Network> for Network {
    fn from(network: types::Network) -> Self {
        match network {
            types::Network::Main => Network::Main,
            types::Network::Test => Network::Test,
            types::Network::Regtest => Network::Regtest,
        }
    }
}
