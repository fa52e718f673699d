//! The domain's chain over the imported interfaces `duxnet:chain`.
//!
//! Three zero-sized adapters, so that a component imports only what it uses: [`ChainReader`],
//! [`ChainKeys`], [`ChainSpender`].

use crate::bindings::duxnet::chain::{keys, reader, signer, types};
use duxnet_units::{Address, Amount, Network, OutPoint, Timestamp, Txid};
use duxnet_wallet::chain::{ChainError, Coin, Keys, Reader, Signed, Signer, Standing, Unspent};

/// Reads only.
#[derive(Clone, Copy, Debug)]
pub struct ChainReader;

/// Makes addresses only.
#[derive(Clone, Copy, Debug)]
pub struct ChainKeys;

/// Reads and spends.
#[derive(Clone, Copy, Debug)]
pub struct ChainSpender;

/// The network that the chain node is on, and its height.
///
/// # Errors
/// See [`ChainError`].
pub async fn tip() -> Result<(Network, u32), ChainError> {
    let tip = reader::tip().await?;
    Ok((tip.network.into(), tip.block.height))
}

impl Reader for ChainReader {
    async fn list_unspent(&self, addresses: &[String]) -> Result<Unspent, ChainError> {
        let unspent = reader::list_unspent(addresses.to_vec(), 0).await?;
        Ok(Unspent {
            network: unspent.network.into(),
            fee_rate: unspent.fee_rate,
            coins: unspent
                .coins
                .into_iter()
                .map(coin)
                .collect::<Result<_, _>>()?,
        })
    }

    async fn standings(&self, txids: &[&Txid]) -> Result<Vec<Standing>, ChainError> {
        let asked: Vec<String> = txids.iter().map(|txid| txid.to_string()).collect();
        let standings = reader::get_transactions(asked).await?;
        if standings.len() != txids.len() {
            return Err(bad("get-transactions: another number of answers"));
        }
        standings.into_iter().map(standing).collect()
    }
}

impl Reader for ChainSpender {
    async fn list_unspent(&self, addresses: &[String]) -> Result<Unspent, ChainError> {
        ChainReader.list_unspent(addresses).await
    }

    async fn standings(&self, txids: &[&Txid]) -> Result<Vec<Standing>, ChainError> {
        ChainReader.standings(txids).await
    }
}

impl Keys for ChainKeys {
    async fn new_address(&self, label: &str) -> Result<String, ChainError> {
        Ok(keys::new_address(label.to_owned()).await?)
    }
}

impl Signer for ChainSpender {
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

    async fn broadcast(&self, signed: &Signed) -> Result<(), ChainError> {
        Ok(signer::broadcast(signed.txid.to_string(), signed.hex.clone()).await?)
    }
}

fn bad(what: &str) -> ChainError {
    ChainError::BadResponse(what.to_owned())
}

fn txid(text: &str) -> Result<Txid, ChainError> {
    Txid::parse(text).map_err(|e| bad(&format!("txid: {e}")))
}

fn coin(coin: types::Coin) -> Result<Coin, ChainError> {
    Ok(Coin {
        outpoint: OutPoint {
            txid: txid(&coin.outpoint.txid)?,
            vout: coin.outpoint.vout,
        },
        value: Amount::from_florins(coin.value).map_err(|e| bad(&format!("coin value: {e}")))?,
        confirmations: coin.confirmations,
    })
}

fn standing(standing: types::Standing) -> Result<Standing, ChainError> {
    Ok(match standing {
        types::Standing::Absent => Standing::Absent,
        types::Standing::NotInMempool => Standing::NotInMempool,
        types::Standing::Mempool => Standing::Mempool,
        types::Standing::Conflicted(_) => Standing::Conflicted,
        types::Standing::Confirmed(confirmation) => Standing::Confirmed {
            confirmations: confirmation.confirmations,
            height: confirmation.block.height,
            time: Timestamp::from_unix_seconds(confirmation.time)
                .map_err(|e| bad(&format!("block time: {e}")))?,
        },
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
