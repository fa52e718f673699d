//! One function per question to the node: which calls it takes and what their failures mean.

use crate::answers::{self, Coin, Info, Movement, Place, Tip};
use crate::rpc::{self, Call, Failure, RawResult, Transport, bad};
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

/// Unknown address, transaction or block.
const NOT_FOUND: i32 = -5;
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
    match rpc::batch_of(node, questions).await {
        Err(Failure::OutcomeUnknown(_)) => rpc::batch_of(node, questions).await,
        result => result,
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
        places.push(match result {
            Ok(raw) => Some(answers::place(&raw)?),
            Err(Failure::Rejected {
                code: NOT_FOUND, ..
            }) => None,
            Err(failure) => return Err(failure),
        });
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

/// Everything since a block, none from the start. Core answers an unknown block with everything
/// (FACTS 10), so the block is asked for first.
///
/// # Errors
/// See [`Failure`]; `Rejected` with -5 for an unknown block.
pub async fn list_since(
    node: &impl Transport,
    block: Option<&BlockHash>,
) -> Result<(BlockHash, Vec<Movement>), Failure> {
    let raw = match block {
        None => ask(node, call("listsinceblock", vec![])).await?,
        Some(hash) => {
            let hash = json!(hash.as_str());
            let questions = [
                call("getblockheader", vec![hash.clone()]),
                call("listsinceblock", vec![hash]),
            ];
            let mut results = ask_all(node, &questions).await?.into_iter();
            let mut next = || {
                results
                    .next()
                    .unwrap_or_else(|| Err(bad("a batch of another length")))
            };
            next()?;
            next()?
        }
    };
    answers::movements(&raw)
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
