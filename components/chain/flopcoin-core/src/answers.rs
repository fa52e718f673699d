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

/// A block of the best chain, without its transactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// Unix seconds.
    pub time: i64,
}

/// `getblockhash`.
///
/// # Errors
/// [`Failure::BadResponse`].
pub fn hash_at_height(raw: &RawResult) -> Result<BlockHash, Failure> {
    block_hash("getblockhash", &read::<String>("getblockhash", raw)?)
}

/// `getblockheader` of the block that has this height and hash.
///
/// # Errors
/// [`Failure::BadResponse`], also for another block.
pub fn header(raw: &RawResult, height: u32, hash: &BlockHash) -> Result<Header, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        hash: String,
        height: u32,
        time: i64,
    }
    let answer: Answer = read("getblockheader", raw)?;
    if answer.height != height || answer.hash != hash.as_str() {
        return Err(bad("getblockheader: another block"));
    }
    Ok(Header {
        height,
        hash: hash.clone(),
        time: answer.time,
    })
}

/// An output that locks to exactly one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Its index in the transaction.
    pub vout: u32,
    /// Whose.
    pub address: String,
    /// How much.
    pub value: Amount,
}

/// What a transaction spends and pays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Its id.
    pub txid: Txid,
    /// None for a coinbase.
    pub inputs: Vec<OutPoint>,
    /// Those to exactly one address.
    pub outputs: Vec<Output>,
    /// Whether it makes new coins.
    pub is_coinbase: bool,
}

/// A block with its transactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// The block before; none for the first.
    pub previous: Option<BlockHash>,
    /// Unix seconds.
    pub time: i64,
    /// In the block's order.
    pub transactions: Vec<Transaction>,
}

/// A transaction as `getblock` and `getrawtransaction` describe it.
#[derive(Deserialize)]
struct Described {
    txid: String,
    vin: Vec<DescribedInput>,
    vout: Vec<DescribedOutput>,
}

#[derive(Deserialize)]
struct DescribedInput {
    coinbase: Option<String>,
    txid: Option<String>,
    vout: Option<u32>,
}

#[derive(Deserialize)]
struct DescribedOutput {
    value: Box<RawValue>,
    n: u32,
    #[serde(rename = "scriptPubKey")]
    script: DescribedScript,
}

#[derive(Deserialize)]
struct DescribedScript {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    addresses: Vec<String>,
}

/// Core's `MAX_MONEY` as it writes it: the one value of a valid output (anyone's) that is no
/// [`Amount`].
const MAX_MONEY: &str = "10000000000.00000000";

impl Described {
    fn check(self, what: &str) -> Result<Transaction, Failure> {
        let is_coinbase = match self.vin.as_slice() {
            [] => return Err(bad(&format!("{what}.vin: none"))),
            [only] => only.coinbase.is_some(),
            _ => false,
        };
        let inputs = if is_coinbase {
            Vec::new()
        } else {
            let inputs = self.vin.into_iter().map(|input| input.check(what));
            inputs.collect::<Result<_, _>>()?
        };
        let mut outputs = Vec::with_capacity(self.vout.len());
        for (index, output) in self.vout.into_iter().enumerate() {
            if usize::try_from(output.n) != Ok(index) {
                return Err(bad(&format!("{what}.vout.n")));
            }
            outputs.extend(output.check(what)?);
        }
        Ok(Transaction {
            txid: txid(&format!("{what}.txid"), &self.txid)?,
            inputs,
            outputs,
            is_coinbase,
        })
    }
}

impl DescribedInput {
    fn check(self, what: &str) -> Result<OutPoint, Failure> {
        match (self.coinbase, self.txid, self.vout) {
            (None, Some(spent), Some(vout)) => Ok(OutPoint {
                txid: txid(&format!("{what}.vin.txid"), &spent)?,
                vout,
            }),
            _ => Err(bad(&format!("{what}.vin"))),
        }
    }
}

impl DescribedOutput {
    /// None for an output that no wallet of the service can own: a script of another form, or of
    /// several keys.
    fn check(self, what: &str) -> Result<Option<Output>, Failure> {
        if self.value.get() == MAX_MONEY {
            return Ok(None);
        }
        let value = amount(&format!("{what}.vout.value"), &self.value)?;
        let has_one_owner = matches!(
            self.script.kind.as_str(),
            "pubkeyhash" | "pubkey" | "scripthash"
        );
        let address = match <[String; 1]>::try_from(self.script.addresses) {
            Ok([address]) if has_one_owner => address,
            _ => return Ok(None),
        };
        Ok(Some(Output {
            vout: self.n,
            address,
            value,
        }))
    }
}

/// `getblock` with verbosity 2, of the block that has this height and hash.
///
/// # Errors
/// [`Failure::BadResponse`], also for another block.
pub fn block(raw: &RawResult, height: u32, hash: &BlockHash) -> Result<Block, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        hash: String,
        height: u32,
        time: i64,
        previousblockhash: Option<String>,
        tx: Vec<Described>,
    }
    let answer: Answer = read("getblock", raw)?;
    if answer.height != height || answer.hash != hash.as_str() {
        return Err(bad("getblock: another block"));
    }
    let previous = answer
        .previousblockhash
        .map(|hash| block_hash("getblock.previousblockhash", &hash))
        .transpose()?;
    if previous.is_none() != (height == 0) {
        return Err(bad("getblock.previousblockhash"));
    }
    let transactions = answer.tx.into_iter().map(|tx| tx.check("getblock.tx"));
    Ok(Block {
        height,
        hash: hash.clone(),
        previous,
        time: answer.time,
        transactions: transactions.collect::<Result<_, _>>()?,
    })
}

/// `getrawmempool`.
///
/// # Errors
/// [`Failure::BadResponse`].
pub fn mempool(raw: &RawResult) -> Result<Vec<Txid>, Failure> {
    let txids: Vec<String> = read("getrawmempool", raw)?;
    txids
        .iter()
        .map(|text| txid("getrawmempool", text))
        .collect()
}

/// `getrawtransaction`, verbose, of this transaction; none when it is in a block: Core finds those
/// too while one of their outputs is unspent (FACTS 10).
///
/// # Errors
/// [`Failure::BadResponse`], also for another transaction.
pub fn mempool_transaction(raw: &RawResult, asked: &Txid) -> Result<Option<Transaction>, Failure> {
    #[derive(Deserialize)]
    struct InBlock {
        blockhash: Option<String>,
        confirmations: Option<i64>,
    }
    // Read twice: serde's `flatten` would read amounts as binary floats.
    let place: InBlock = read("getrawtransaction", raw)?;
    let transaction = read::<Described>("getrawtransaction", raw)?.check("getrawtransaction")?;
    if transaction.txid != *asked {
        return Err(bad("getrawtransaction: another transaction"));
    }
    let is_in_block = place.blockhash.is_some() || place.confirmations.is_some();
    Ok((!is_in_block).then_some(transaction))
}
