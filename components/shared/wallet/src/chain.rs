//! What the domain needs of a blockchain node (wit/chain).

use duxnet_units::{Address, Amount, Network, OutPoint, Timestamp, Txid};

/// Why a call to the chain node gave no answer. The texts are for logs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChainError {
    /// The node said no.
    #[error("the chain node refused with {code}: {message}")]
    Rejected {
        /// Its error code.
        code: i32,
        /// Its words.
        message: String,
    },
    /// Certainly not executed.
    #[error("the chain node is unreachable: {0}")]
    Unreachable(String),
    /// Sent, no answer: it may have been executed.
    #[error("the chain node did not answer: {0}")]
    OutcomeUnknown(String),
    /// An answer that breaks the contract.
    #[error("the chain node answered what it must not: {0}")]
    BadResponse(String),
}

/// An unspent output of one of our addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coin {
    /// Which.
    pub outpoint: OutPoint,
    /// What it is worth.
    pub value: Amount,
    /// 0: in the mempool.
    pub confirmations: u32,
}

/// What is unspent, with the fee policy of the same moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unspent {
    /// Which network the node is on.
    pub network: Network,
    /// Florins per 1000 bytes.
    pub fee_rate: u64,
    /// The coins.
    pub coins: Vec<Coin>,
}

/// Where a transaction stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Unknown to the node.
    Absent,
    /// Known to the node's wallet, but in neither mempool nor chain.
    NotInMempool,
    /// In the mempool.
    Mempool,
    /// In a block.
    Confirmed {
        /// The block itself counts as one.
        confirmations: u32,
        /// The block's height.
        height: u32,
        /// The block's time.
        time: Timestamp,
    },
    /// A conflicting transaction is in the chain.
    Conflicted,
}

/// A transaction that is ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    /// Its id.
    pub txid: Txid,
    /// Its bytes, hex.
    pub hex: String,
}

/// Reading the chain.
pub trait Reader {
    /// Everything unspent at these addresses, unconfirmed too.
    fn list_unspent(
        &self,
        addresses: &[String],
    ) -> impl Future<Output = Result<Unspent, ChainError>>;
    /// One standing for each txid, in that order.
    fn standings(&self, txids: &[&Txid])
    -> impl Future<Output = Result<Vec<Standing>, ChainError>>;
}

/// Making keys.
pub trait Keys {
    /// A fresh address.
    fn new_address(&self, label: &str) -> impl Future<Output = Result<String, ChainError>>;
}

/// Spending.
pub trait Signer {
    /// Builds and signs; sends nothing.
    fn sign_payment(
        &self,
        inputs: &[OutPoint],
        outputs: &[(&Address, Amount)],
    ) -> impl Future<Output = Result<Signed, ChainError>>;
    /// Sends; what the node already has is success.
    fn broadcast(&self, signed: &Signed) -> impl Future<Output = Result<(), ChainError>>;
}
