//! One function per question to the node: which calls it takes and what their failures mean.

use crate::answers::{self, Block, Coin, Header, Info, Place, Tip};
use crate::rpc::{self, Call, Failure, MAX_ANSWER_BYTES, RawResult, Transport, bad};
use duxnet_units::transaction::{Output, Transaction, encode_unsigned};
use duxnet_units::{BlockHash, OutPoint, Txid};
use serde_json::{Value, json};

/// Highest number of confirmations that `listunspent` is asked for: all.
const ALL_CONFIRMATIONS: u32 = 9_999_999;
/// How long an unlocked wallet stays unlocked at most, should the lock call not arrive. An
/// integer: any other type unlocks for ever (FACTS 11).
const UNLOCK_SECONDS: u32 = 10;
/// How often a signature is tried anew when another request locked the wallet in between. With
/// many requests at once that happens to one of them many times; the deadline usually comes first.
const UNLOCK_ATTEMPTS: u32 = 50;

/// Most blocks of one answer.
pub const MAX_BLOCKS: u32 = 64;
/// Largest answer with blocks, bytes. The largest block described takes 25 MB: a byte of it is at
/// most an opcode's name of 22 letters, a blank and two hexadecimal digits.
pub const MAX_BLOCKS_BYTES: usize = 32 * 1024 * 1024;
/// Most heights of one question.
pub const MAX_HEADERS: usize = 2_000;
/// Transactions of the mempool described in one round trip: some 500 KB of ordinary ones.
const TRANSACTIONS_AT_ONCE: usize = 250;
/// Most addresses made at once.
pub const MAX_NEW_ADDRESSES: u32 = 100;

/// Unknown address, transaction or block.
const NOT_FOUND: i32 = -5;
/// `getblockhash` of a height above the tip.
const OUT_OF_RANGE: i32 = -8;
/// The wallet is locked.
const LOCKED: i32 = -13;
/// `walletpassphrase` of a wallet that has none.
const NOT_ENCRYPTED: i32 = -15;
/// `sendrawtransaction` of a transaction in a block.
const ALREADY_IN_CHAIN: i32 = -27;

fn call(method: &'static str, parameters: Vec<Value>) -> Call {
    Call::new(method, parameters)
}

/// A question without effect may be asked again when the kept-alive connection turned out dead.
async fn ask(node: &impl Transport, question: Call) -> Result<RawResult, Failure> {
    match rpc::call(node, question.clone()).await {
        Err(Failure::OutcomeUnknown(_)) => rpc::call(node, question).await,
        result => result,
    }
}

async fn ask_all(
    node: &impl Transport,
    questions: &[Call],
) -> Result<Vec<Result<RawResult, Failure>>, Failure> {
    ask_within(node, questions, MAX_ANSWER_BYTES).await
}

async fn ask_within(
    node: &impl Transport,
    questions: &[Call],
    max_bytes: usize,
) -> Result<Vec<Result<RawResult, Failure>>, Failure> {
    match rpc::batch_within(node, questions, max_bytes).await {
        Err(Failure::OutcomeUnknown(_)) => rpc::batch_within(node, questions, max_bytes).await,
        result => result,
    }
}

/// Asks about the first of `items`, all of them if the answer is not too large, else half, and so
/// on down to one. Gives one result for each item asked about.
async fn ask_about_first<T>(
    node: &impl Transport,
    items: &[T],
    question: impl Fn(&T) -> Call,
    max_bytes: usize,
) -> Result<Vec<Result<RawResult, Failure>>, Failure> {
    let mut questions: Vec<Call> = items.iter().map(question).collect();
    loop {
        match ask_within(node, &questions, max_bytes).await {
            Err(Failure::TooLarge(_)) if questions.len() > 1 => {
                questions.truncate(questions.len() / 2);
            }
            result => return result,
        }
    }
}

/// The best block.
///
/// # Errors
/// See [`Failure`].
pub async fn tip(node: &impl Transport) -> Result<Tip, Failure> {
    answers::tip(&ask(node, call("getblockchaininfo", vec![])).await?)
}

/// Whether a text is an address, in canonical form, and ours.
///
/// # Errors
/// See [`Failure`].
pub async fn validate_address(
    node: &impl Transport,
    address: &str,
) -> Result<Option<(String, bool)>, Failure> {
    answers::address(&ask(node, call("validateaddress", vec![json!(address)])).await?)
}

/// Unspent outputs with tip and fee rate, in one round trip.
///
/// # Errors
/// See [`Failure`].
pub async fn list_unspent(
    node: &impl Transport,
    addresses: &[String],
    min_conf: u32,
) -> Result<(Tip, Info, Vec<Coin>), Failure> {
    let mut questions = vec![call("getblockchaininfo", vec![]), call("getinfo", vec![])];
    // An empty list would mean every address of the node's wallet.
    if !addresses.is_empty() {
        let parameters = vec![json!(min_conf), json!(ALL_CONFIRMATIONS), json!(addresses)];
        questions.push(call("listunspent", parameters));
    }
    let mut results = ask_all(node, &questions).await?.into_iter();
    let mut next = || {
        results
            .next()
            .unwrap_or_else(|| Err(bad("a batch of another length")))
    };
    let tip = answers::tip(&next()?)?;
    let info = answers::info(&next()?)?;
    let coins = if addresses.is_empty() {
        Vec::new()
    } else {
        answers::coins(&next()?, addresses)?
    };
    Ok((tip, info, coins))
}

/// Where a transaction stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Unknown to the node's wallet.
    Absent,
    /// In neither mempool nor chain.
    NotInMempool,
    /// In the mempool.
    Mempool,
    /// In the chain.
    Confirmed {
        /// The block itself counts as one.
        confirmations: u32,
        /// The block's height.
        height: u32,
        /// The block.
        hash: BlockHash,
        /// Unix seconds.
        time: i64,
    },
    /// A conflicting transaction is in the chain, this many blocks deep.
    Conflicted(u32),
}

/// One standing for each txid.
///
/// # Errors
/// See [`Failure`].
pub async fn standings(node: &impl Transport, txids: &[Txid]) -> Result<Vec<Standing>, Failure> {
    let questions: Vec<Call> = txids
        .iter()
        .map(|txid| call("gettransaction", vec![json!(txid.as_str())]))
        .collect();
    let mut places = Vec::with_capacity(txids.len());
    for result in ask_all(node, &questions).await? {
        let known = none_if(result, NOT_FOUND)?;
        places.push(known.map(|raw| answers::place(&raw)).transpose()?);
    }
    let mut hashes: Vec<BlockHash> = places
        .iter()
        .filter_map(|place| match place {
            Some(Place::Block { hash, .. }) => Some(hash.clone()),
            _ => None,
        })
        .collect();
    hashes.sort();
    hashes.dedup();
    let questions: Vec<Call> = hashes
        .iter()
        .map(|hash| call("getblockheader", vec![json!(hash.as_str())]))
        .collect();
    let mut heights = Vec::with_capacity(hashes.len());
    for result in ask_all(node, &questions).await? {
        heights.push(answers::header_height(&result?)?);
    }
    let height_of = |wanted: &BlockHash| {
        let index = hashes
            .binary_search(wanted)
            .map_err(|_| bad("getblockheader"))?;
        heights
            .get(index)
            .copied()
            .ok_or_else(|| bad("getblockheader"))
    };
    places
        .into_iter()
        .map(|place| {
            Ok(match place {
                None => Standing::Absent,
                Some(Place::NotInMempool) => Standing::NotInMempool,
                Some(Place::Mempool) => Standing::Mempool,
                Some(Place::Conflicted(depth)) => Standing::Conflicted(depth),
                Some(Place::Block {
                    confirmations,
                    hash,
                    time,
                }) => Standing::Confirmed {
                    confirmations,
                    height: height_of(&hash)?,
                    hash,
                    time,
                },
            })
        })
        .collect()
}

/// Tip, fee rate and mempool.
///
/// # Errors
/// See [`Failure`].
pub async fn snapshot(node: &impl Transport) -> Result<(Tip, Info, Vec<Txid>), Failure> {
    // Core runs a batch in order: the mempool is read before the tip.
    let questions = [
        call("getrawmempool", vec![]),
        call("getblockchaininfo", vec![]),
        call("getinfo", vec![]),
    ];
    // 67 bytes for each transaction of the mempool, which anybody can fill.
    let [mempool, tip, info]: [_; 3] = ask_within(node, &questions, MAX_BLOCKS_BYTES)
        .await?
        .try_into()
        .map_err(|_| bad("a batch of another length"))?;
    let mempool = answers::mempool(&mempool?)?;
    Ok((answers::tip(&tip?)?, answers::info(&info?)?, mempool))
}

/// The hash of the best chain's block at each height; none above the tip.
async fn hashes_at(
    node: &impl Transport,
    heights: &[u32],
) -> Result<Vec<Option<BlockHash>>, Failure> {
    let questions: Vec<Call> = heights
        .iter()
        .map(|height| call("getblockhash", vec![json!(height)]))
        .collect();
    let results = ask_all(node, &questions).await?.into_iter();
    results
        .map(|result| {
            none_if(result, OUT_OF_RANGE)?
                .map(|raw| answers::hash_at_height(&raw))
                .transpose()
        })
        .collect()
}

/// The best chain's block at each height; none above the tip, or when a reorganisation took the
/// block while it was asked about.
///
/// # Errors
/// See [`Failure`].
pub async fn headers(
    node: &impl Transport,
    heights: &[u32],
) -> Result<Vec<Option<Header>>, Failure> {
    let hashes = hashes_at(node, heights).await?;
    let questions: Vec<Call> = hashes
        .iter()
        .flatten()
        .map(|hash| call("getblockheader", vec![json!(hash.as_str())]))
        .collect();
    let mut results = ask_all(node, &questions).await?.into_iter();
    let mut header_of = |height: u32, hash: &BlockHash| {
        let result = results
            .next()
            .unwrap_or_else(|| Err(bad("a batch of another length")));
        none_if(result, NOT_FOUND)?
            .map(|raw| answers::header(&raw, height, hash))
            .transpose()
    };
    heights
        .iter()
        .zip(hashes)
        .map(|(height, hash)| match hash {
            Some(hash) => header_of(*height, &hash),
            None => Ok(None),
        })
        .collect()
}

/// Blocks from a height upwards, each following on the one before: at most `count`, fewer where
/// their description is large, the chain ends, or a reorganisation came in between. None only
/// above the tip. What a reorganisation took back meanwhile may still be among them, as one right
/// after the answer would have it.
///
/// # Errors
/// See [`Failure`].
pub async fn blocks(
    node: &impl Transport,
    first_height: u32,
    count: u32,
) -> Result<Vec<Block>, Failure> {
    let end = first_height.saturating_add(count.min(MAX_BLOCKS));
    let heights: Vec<u32> = (first_height..end).collect();
    let hashes: Vec<(u32, BlockHash)> = heights
        .iter()
        .copied()
        .zip(hashes_at(node, &heights).await?)
        .map_while(|(height, hash)| Some((height, hash?)))
        .collect();
    let question = |(_, hash): &(u32, BlockHash)| {
        const WITH_TRANSACTIONS: u32 = 2;
        call(
            "getblock",
            vec![json!(hash.as_str()), json!(WITH_TRANSACTIONS)],
        )
    };
    let results = ask_about_first(node, &hashes, question, MAX_BLOCKS_BYTES).await?;
    let mut blocks: Vec<Block> = Vec::with_capacity(results.len());
    for ((height, hash), result) in hashes.iter().zip(results) {
        let block = match none_if(result, NOT_FOUND)? {
            Some(raw) => answers::block(&raw, *height, hash)?,
            None if blocks.is_empty() => return Err(bad("getblock: no block of the best chain")),
            None => break,
        };
        let follows = blocks
            .last()
            .is_none_or(|last| block.previous.as_ref() == Some(&last.hash));
        if !follows {
            break;
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// Each transaction as long as it is in the mempool; none for one that is not, or no more.
///
/// # Errors
/// See [`Failure`].
pub async fn mempool_transactions(
    node: &impl Transport,
    txids: &[Txid],
) -> Result<Vec<Option<answers::Transaction>>, Failure> {
    const VERBOSE: u32 = 1;
    let question = |txid: &Txid| {
        call(
            "getrawtransaction",
            vec![json!(txid.as_str()), json!(VERBOSE)],
        )
    };
    let mut found = Vec::with_capacity(txids.len());
    while found.len() < txids.len() {
        let mut rest = &txids[found.len()..];
        rest = &rest[..rest.len().min(TRANSACTIONS_AT_ONCE)];
        let results = ask_about_first(node, rest, question, MAX_ANSWER_BYTES).await?;
        for (txid, result) in rest.iter().zip(results) {
            let transaction = none_if(result, NOT_FOUND)?
                .map(|raw| answers::mempool_transaction(&raw, txid))
                .transpose()?;
            found.push(transaction.flatten());
        }
    }
    Ok(found)
}

/// `getinfo`: fee rate and status.
///
/// # Errors
/// See [`Failure`].
pub async fn info(node: &impl Transport) -> Result<Info, Failure> {
    answers::info(&ask(node, call("getinfo", vec![])).await?)
}

/// A fresh address, labelled. A call without an answer is repeated: a key too many hurts nobody.
///
/// # Errors
/// See [`Failure`].
pub async fn new_address(node: &impl Transport, label: &str) -> Result<String, Failure> {
    let raw = ask(node, call("getnewaddress", vec![json!(label)])).await?;
    answers::read("getnewaddress", &raw)
}

/// Fresh addresses, labelled: at most `count` and [`MAX_NEW_ADDRESSES`], fewer when the keys of a
/// locked wallet run out.
///
/// # Errors
/// See [`Failure`]; only when not one was made.
pub async fn new_addresses(
    node: &impl Transport,
    count: u32,
    label: &str,
) -> Result<Vec<String>, Failure> {
    let questions: Vec<Call> = (0..count.min(MAX_NEW_ADDRESSES))
        .map(|_| call("getnewaddress", vec![json!(label)]))
        .collect();
    let mut made = Vec::with_capacity(questions.len());
    for result in ask_all(node, &questions).await? {
        match result {
            Ok(raw) => made.push(answers::read("getnewaddress", &raw)?),
            Err(_) if !made.is_empty() => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(made)
}

/// Builds and signs a payment; sends nothing. Gives txid and hex.
///
/// # Errors
/// `Rejected` with -13 (locked, no passphrase configured) or -14 (wrong passphrase), others as in
/// [`Failure`].
pub async fn sign(
    node: &impl Transport,
    inputs: &[OutPoint],
    outputs: &[Output],
    passphrase: Option<&str>,
) -> Result<(Txid, String), Failure> {
    // Built here and not by createrawtransaction: a round trip less, and no error for a payment
    // to the wallet's own change address, which Core takes for a duplicate.
    let unsigned = json!(hex::encode(encode_unsigned(inputs, outputs)));
    let question = call("signrawtransaction", vec![unsigned]);
    let raw = match passphrase {
        None => ask(node, question).await?,
        Some(passphrase) => sign_unlocked(node, question, passphrase).await?,
    };
    let hex = answers::signed(&raw)?;
    let transaction = hex::decode(&hex)
        .ok()
        .and_then(|bytes| Transaction::decode(&bytes).ok())
        .ok_or_else(|| bad("signrawtransaction.hex"))?;
    Ok((transaction.txid, hex))
}

/// Unlocks, signs and locks in one batch, which Core runs in order. Another request's lock may
/// still come in between: then once more.
async fn sign_unlocked(
    node: &impl Transport,
    question: Call,
    passphrase: &str,
) -> Result<RawResult, Failure> {
    let mut attempt = 1;
    loop {
        let calls = [
            call(
                "walletpassphrase",
                vec![json!(passphrase), json!(UNLOCK_SECONDS)],
            ),
            question.clone(),
            call("walletlock", vec![]),
        ];
        let [unlocked, signed, _locked] = match rpc::batch(node, calls).await {
            Ok(results) => results,
            Err(failure) => {
                // The unlock may have happened and the lock not.
                let _ = rpc::call(node, call("walletlock", vec![])).await;
                return Err(failure);
            }
        };
        match (unlocked, signed) {
            (Err(failure), _) if !is_rejection(&failure, NOT_ENCRYPTED) => return Err(failure),
            (_, Err(failure)) if is_rejection(&failure, LOCKED) && attempt < UNLOCK_ATTEMPTS => {
                attempt += 1
            }
            (_, signed) => return signed,
        }
    }
}

/// None for a rejection with this code.
fn none_if(result: Result<RawResult, Failure>, code: i32) -> Result<Option<RawResult>, Failure> {
    match result {
        Ok(raw) => Ok(Some(raw)),
        Err(failure) if is_rejection(&failure, code) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn is_rejection(failure: &Failure, wanted: i32) -> bool {
    matches!(failure, Failure::Rejected { code, .. } if *code == wanted)
}

/// Sends signed bytes, once. In the mempool already and in a block already are success.
///
/// # Errors
/// See [`Failure`].
pub async fn broadcast(node: &impl Transport, txid: &Txid, hex: &str) -> Result<(), Failure> {
    match rpc::call(node, call("sendrawtransaction", vec![json!(hex)])).await {
        Ok(raw) => {
            let answered: String = answers::read("sendrawtransaction", &raw)?;
            if answered == txid.as_str() {
                Ok(())
            } else {
                Err(bad("sendrawtransaction: another txid"))
            }
        }
        Err(failure) if is_rejection(&failure, ALREADY_IN_CHAIN) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Writes a backup of the node's wallet.
///
/// # Errors
/// See [`Failure`].
pub async fn backup(node: &impl Transport, name: &str) -> Result<(), Failure> {
    rpc::call(node, call("backupwallet", vec![json!(name)]))
        .await
        .map(|_| ())
}
