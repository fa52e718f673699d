//! Core's replies, read into checked types. Whatever Core must not say is a
//! [`Failure::BadResponse`] that names the field.

use crate::rpc::{Failure, RawResult, bad};
use duxnet_units::{Amount, BlockHash, Network, OutPoint, Txid};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Highest fee rate that is believed, florins per 1000 bytes: 1 FLOP, a hundred times Core's
/// default. Above, a mistake is likelier than a policy.
pub const MAX_FEE_RATE: u64 = 100_000_000;
/// Core never pays less (`-mintxfee`, FACTS 3): 0.01 FLOP per 1000 bytes.
pub const MIN_FEE_RATE: u64 = 1_000_000;

/// Reads a reply of a fixed shape.
///
/// # Errors
/// [`Failure::BadResponse`].
pub fn read<T: DeserializeOwned>(what: &str, raw: &RawResult) -> Result<T, Failure> {
    serde_json::from_str(raw.get()).map_err(|e| bad(&format!("{what}: {e}")))
}

fn amount(what: &str, raw: &RawValue) -> Result<Amount, Failure> {
    Amount::from_flop_literal(raw.get()).map_err(|e| bad(&format!("{what}: {e}")))
}

fn txid(what: &str, text: &str) -> Result<Txid, Failure> {
    Txid::parse(text).map_err(|e| bad(&format!("{what}: {e}")))
}

fn block_hash(what: &str, text: &str) -> Result<BlockHash, Failure> {
    BlockHash::parse(text).map_err(|e| bad(&format!("{what}: {e}")))
}

/// The best block and its network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tip {
    /// Which network.
    pub network: Network,
    /// Height of the best block.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// `getblockchaininfo`.
///
/// # Errors
/// [`Failure::BadResponse`].
pub fn tip(raw: &RawResult) -> Result<Tip, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        chain: String,
        blocks: u32,
        bestblockhash: String,
    }
    let answer: Answer = read("getblockchaininfo", raw)?;
    Ok(Tip {
        network: Network::from_name(&answer.chain).ok_or_else(|| bad("getblockchaininfo.chain"))?,
        height: answer.blocks,
        hash: block_hash("getblockchaininfo.bestblockhash", &answer.bestblockhash)?,
    })
}

/// `getinfo`, as much as is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    /// Florins per 1000 bytes that Core's own wallet would pay.
    pub fee_rate: u64,
    /// Client version.
    pub version: u32,
    /// Height.
    pub blocks: u32,
    /// Peers.
    pub connections: u32,
    /// None: the wallet is not encrypted; 0: locked; else unix seconds.
    pub unlocked_until: Option<i64>,
}

/// `getinfo`.
///
/// # Errors
/// [`Failure::BadResponse`], also for a fee rate beyond belief.
pub fn info(raw: &RawResult) -> Result<Info, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        version: u32,
        blocks: u32,
        connections: u32,
        paytxfee: Box<RawValue>,
        relayfee: Box<RawValue>,
        unlocked_until: Option<i64>,
    }
    let answer: Answer = read("getinfo", raw)?;
    let fee_rate = amount("getinfo.paytxfee", &answer.paytxfee)?
        .max(amount("getinfo.relayfee", &answer.relayfee)?)
        .florins()
        .max(MIN_FEE_RATE);
    if fee_rate > MAX_FEE_RATE {
        return Err(bad("getinfo: a fee rate above 1 FLOP per 1000 bytes"));
    }
    Ok(Info {
        fee_rate,
        version: answer.version,
        blocks: answer.blocks,
        connections: answer.connections,
        unlocked_until: answer.unlocked_until,
    })
}

/// An entry of `listunspent`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Coin {
    /// Which output.
    pub outpoint: OutPoint,
    /// At which address.
    pub address: String,
    /// What it is worth.
    pub value: Amount,
    /// 0: in the mempool.
    pub confirmations: u32,
}

/// `listunspent`: only coins that the node's wallet can spend, and only at `addresses`.
///
/// # Errors
/// [`Failure::BadResponse`], also for a coin that was not asked for.
pub fn coins(raw: &RawResult, addresses: &[String]) -> Result<Vec<Coin>, Failure> {
    #[derive(Deserialize)]
    struct Entry {
        txid: String,
        vout: u32,
        address: Option<String>,
        amount: Box<RawValue>,
        confirmations: u32,
        spendable: bool,
    }
    let entries: Vec<Entry> = read("listunspent", raw)?;
    let mut coins = Vec::with_capacity(entries.len());
    for entry in entries.into_iter().filter(|entry| entry.spendable) {
        let address = entry.address.filter(|address| addresses.contains(address));
        coins.push(Coin {
            outpoint: OutPoint {
                txid: txid("listunspent.txid", &entry.txid)?,
                vout: entry.vout,
            },
            address: address
                .ok_or_else(|| bad("listunspent.address: one that was not asked for"))?,
            value: amount("listunspent.amount", &entry.amount)?,
            confirmations: entry.confirmations,
        });
    }
    Ok(coins)
}

/// What `gettransaction` says of a transaction's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Neither mempool nor chain.
    NotInMempool,
    /// In the mempool.
    Mempool,
    /// In this block.
    Block {
        /// The block itself counts as one.
        confirmations: u32,
        /// The block.
        hash: BlockHash,
        /// Unix seconds.
        time: i64,
    },
    /// A conflicting transaction is in the chain, this many blocks deep.
    Conflicted(u32),
}

/// `gettransaction` (FACTS 10: negative confirmations are a conflict, `trusted` at none tells a
/// transaction of ours in the mempool from one outside it).
///
/// # Errors
/// [`Failure::BadResponse`].
pub fn place(raw: &RawResult) -> Result<Place, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        confirmations: i64,
        trusted: Option<bool>,
        blockhash: Option<String>,
        blocktime: Option<i64>,
    }
    let answer: Answer = read("gettransaction", raw)?;
    let count = u32::try_from(answer.confirmations.unsigned_abs())
        .map_err(|_| bad("gettransaction.confirmations"))?;
    match (answer.confirmations, answer.blockhash, answer.blocktime) {
        (..=-1, _, _) => Ok(Place::Conflicted(count)),
        (0, _, _) if answer.trusted == Some(true) => Ok(Place::Mempool),
        (0, _, _) => Ok(Place::NotInMempool),
        (_, Some(hash), Some(time)) => Ok(Place::Block {
            confirmations: count,
            hash: block_hash("gettransaction.blockhash", &hash)?,
            time,
        }),
        _ => Err(bad("gettransaction: confirmed in no block")),
    }
}

/// `getblockheader`: the height.
///
/// # Errors
/// [`Failure::BadResponse`].
pub fn header_height(raw: &RawResult) -> Result<u32, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        height: u32,
    }
    Ok(read::<Answer>("getblockheader", raw)?.height)
}

/// `signrawtransaction`: the hex, or what Core said of the first input it could not sign.
///
/// # Errors
/// [`Failure::Rejected`] for an incomplete signature, [`Failure::BadResponse`].
pub fn signed(raw: &RawResult) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        hex: String,
        complete: bool,
        #[serde(default)]
        errors: Vec<InputError>,
    }
    #[derive(Deserialize)]
    struct InputError {
        error: String,
    }
    let answer: Answer = read("signrawtransaction", raw)?;
    if answer.complete {
        return Ok(answer.hex);
    }
    Err(Failure::Rejected {
        code: 0,
        message: answer
            .errors
            .into_iter()
            .next()
            .map_or_else(|| "incomplete signature".to_owned(), |input| input.error),
    })
}

/// `validateaddress`: the canonical text and whether the key is ours; none for no address.
///
/// # Errors
/// [`Failure::BadResponse`].
pub fn address(raw: &RawResult) -> Result<Option<(String, bool)>, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        isvalid: bool,
        address: Option<String>,
        #[serde(default)]
        ismine: bool,
    }
    let answer: Answer = read("validateaddress", raw)?;
    match (answer.isvalid, answer.address) {
        (false, _) => Ok(None),
        (true, Some(address)) => Ok(Some((address, answer.ismine))),
        (true, None) => Err(bad("validateaddress.address")),
    }
}

/// An entry of `listsinceblock`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Movement {
    /// Which output.
    pub outpoint: OutPoint,
    /// Whose.
    pub address: String,
    /// Received, not sent.
    pub incoming: bool,
    /// How much.
    pub value: Amount,
    /// Negative: conflicted.
    pub confirmations: i32,
    /// Once in a block.
    pub block: Option<BlockHash>,
    /// Unix seconds.
    pub time: i64,
}

/// `listsinceblock`.
///
/// # Errors
/// [`Failure::BadResponse`].
pub fn movements(raw: &RawResult) -> Result<(BlockHash, Vec<Movement>), Failure> {
    #[derive(Deserialize)]
    struct Answer {
        transactions: Vec<Entry>,
        lastblock: String,
    }
    #[derive(Deserialize)]
    struct Entry {
        address: Option<String>,
        category: String,
        amount: Box<RawValue>,
        vout: u32,
        confirmations: i32,
        blockhash: Option<String>,
        txid: String,
        time: i64,
    }
    let answer: Answer = read("listsinceblock", raw)?;
    let mut movements = Vec::with_capacity(answer.transactions.len());
    for entry in answer.transactions {
        let Some(address) = entry.address else {
            continue;
        };
        let incoming = entry.category != "send";
        let literal = entry.amount.get();
        let magnitude = literal.strip_prefix('-').unwrap_or(literal);
        movements.push(Movement {
            outpoint: OutPoint {
                txid: txid("listsinceblock.txid", &entry.txid)?,
                vout: entry.vout,
            },
            address,
            incoming,
            value: Amount::from_flop_literal(magnitude)
                .map_err(|e| bad(&format!("listsinceblock.amount: {e}")))?,
            confirmations: entry.confirmations,
            block: entry
                .blockhash
                .map(|hash| block_hash("listsinceblock.blockhash", &hash))
                .transpose()?,
            time: entry.time,
        });
    }
    Ok((
        block_hash("listsinceblock.lastblock", &answer.lastblock)?,
        movements,
    ))
}
