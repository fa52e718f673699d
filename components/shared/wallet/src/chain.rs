//! What the domain needs of a blockchain node (wit/chain).

use duxnet_store::{LedgerBlock, SeenOutput};
use duxnet_units::{Address, Amount, BlockHash, Network, OutPoint, Txid};

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

/// An unspent output of one of our addresses, as the chain node's wallet counts it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coin {
    /// Which.
    pub outpoint: OutPoint,
    /// What it is worth.
    pub value: Amount,
}

/// What is confirmed and unspent, and the block at the same moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unspent {
    /// The node's tip.
    pub tip: BlockHash,
    /// The coins.
    pub coins: Vec<Coin>,
}

/// Where a transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Unknown to the node.
    Absent,
    /// Known to the node's wallet, but in neither mempool nor chain.
    NotInMempool,
    /// In the mempool.
    Mempool,
    /// In a block.
    Confirmed,
    /// A conflicting transaction is in the chain, this many blocks deep.
    Conflicted(u32),
}

/// The node at one moment; the mempool was read before the tip (wit/chain).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Which network the node is on.
    pub network: Network,
    /// Its tip's height.
    pub height: u32,
    /// Its tip.
    pub hash: BlockHash,
    /// Florins per 1000 bytes.
    pub fee_rate: u64,
    /// What is in its mempool.
    pub mempool: Vec<Txid>,
}

/// A transaction, with those outputs that pay one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainTransaction {
    /// Its id.
    pub txid: Txid,
    /// Whether it is a coinbase.
    pub is_coinbase: bool,
    /// What it spends.
    pub inputs: Vec<OutPoint>,
    /// What it pays.
    pub outputs: Vec<SeenOutput>,
}

/// A block of the best chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its place.
    pub block: LedgerBlock,
    /// The block before; none for the first.
    pub previous: Option<BlockHash>,
    /// All of it.
    pub transactions: Vec<ChainTransaction>,
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
    /// Tip, fee rate and mempool.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, ChainError>>;
    /// The best chain's block at each height, in that order; none above the tip.
    fn headers(
        &self,
        heights: &[u32],
    ) -> impl Future<Output = Result<Vec<Option<LedgerBlock>>, ChainError>>;
    /// Blocks of the best chain from a height upwards: at most `count`, none only above the tip.
    fn blocks(
        &self,
        first: u32,
        count: u32,
    ) -> impl Future<Output = Result<Vec<Block>, ChainError>>;
    /// Transactions of the mempool; none for one that has left it.
    fn mempool_transactions(
        &self,
        txids: &[Txid],
    ) -> impl Future<Output = Result<Vec<Option<ChainTransaction>>, ChainError>>;
    /// Confirmed and unspent at these addresses, as the node's wallet sees it.
    fn list_unspent(&self, addresses: &[&str])
    -> impl Future<Output = Result<Unspent, ChainError>>;
    /// One standing for each txid, in that order.
    fn standings(&self, txids: &[&Txid])
    -> impl Future<Output = Result<Vec<Standing>, ChainError>>;
}

/// Making keys.
pub trait Keys {
    /// A fresh address.
    fn new_address(&self, label: &str) -> impl Future<Output = Result<String, ChainError>>;
    /// Fresh addresses without an owner yet.
    fn new_addresses(&self, count: u32) -> impl Future<Output = Result<Vec<String>, ChainError>>;
}

/// Signing: the authority to spend.
pub trait Signer {
    /// Builds and signs; sends nothing.
    fn sign_payment(
        &self,
        inputs: &[OutPoint],
        outputs: &[(&Address, Amount)],
    ) -> impl Future<Output = Result<Signed, ChainError>>;
}

/// Handing on what is signed.
pub trait Relay {
    /// Sends; what the node already has is success.
    fn broadcast(&self, signed: &Signed) -> impl Future<Output = Result<(), ChainError>>;
}

/// For operators and background work.
pub trait Admin {
    /// Writes a backup of the node's wallet, at the node.
    fn backup(&self, name: &str) -> impl Future<Output = Result<(), ChainError>>;
}
