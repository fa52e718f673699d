//! Whether a transaction may come into the memory pool: Core's checks, in Core's order.

use std::collections::BTreeSet;

use bitcoin::{Transaction, TxOut, Txid};

use crate::amount::{Florins, MAX_MONEY};
use crate::chain::Chain;
use crate::codec;
use crate::network::COINBASE_MATURITY;
use crate::node::Node;
use crate::script;
use crate::wallet::fee_for;
use crate::wallet::view::{is_final, signals_replacement};

/// The least fee rate for relay, in florins per 1000 bytes.
pub const RELAY_FEE_RATE: Florins = Florins::new(100_000);
/// What a replacement must add, in florins per 1000 bytes of its own.
const INCREMENTAL_FEE_RATE: Florins = Florins::new(10_000);
/// The fee above which a transaction is taken for a mistake (`-maxtxfee`).
pub const MAX_FEE: Florins = Florins::flop(100);
/// Most bytes of a transaction.
const MAX_BYTES: usize = 1_000_000;
/// Most transactions that one replacement may push out.
const MAX_REPLACED: usize = 100;
/// Priority above which too small a fee is forgiven: one FLOP that is 144 blocks old in 250 bytes.
const FREE_PRIORITY: i128 = 100_000_000 * 144 / 250;

/// Why a transaction may not come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It spends outputs of a transaction of which nothing unspent is known.
    #[error("Missing inputs")]
    MissingInputs,
    /// It breaks a rule.
    #[error("{code}: {reason}")]
    Rule {
        /// Core's reject code.
        code: u32,
        /// Core's name for the rule.
        reason: String,
    },
}

/// A transaction that may come in.
#[derive(Clone, Debug)]
pub struct Acceptable {
    /// What it pays the miner.
    pub fee: Florins,
    /// What it replaces.
    pub replaces: Vec<Txid>,
}

const INVALID: u32 = 16;
const DUPLICATE: u32 = 18;
const NONSTANDARD: u32 = 64;
const INSUFFICIENT_FEE: u32 = 66;
const HIGH_FEE: u32 = 256;
const ALREADY_KNOWN: u32 = 257;
const CONFLICT: u32 = 258;

fn refuse<T>(code: u32, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Rule {
        code,
        reason: reason.into(),
    })
}

/// Checks a transaction against chain and memory pool. A fee above `fee_cap` is refused.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(
    node: &Node,
    transaction: &Transaction,
    fee_cap: Option<Florins>,
) -> Result<Acceptable, Refusal> {
    check_alone(transaction)?;
    if !is_final(&node.chain, transaction) {
        return refuse(NONSTANDARD, "non-final");
    }
    let txid = transaction.compute_txid();
    if node.mempool.contains(&txid) {
        return refuse(ALREADY_KNOWN, "txn-already-in-mempool");
    }
    let rivals = rivals(node, transaction)?;
    if node.chain.has_unspent(&txid) {
        return refuse(ALREADY_KNOWN, "txn-already-known");
    }
    let coins = coins(node, transaction)?;
    let paid_in: Florins = coins
        .iter()
        .map(|coin| Florins::of_output(&coin.output))
        .sum();
    let paid_out: Florins = transaction.output.iter().map(Florins::of_output).sum();
    let fee = paid_in.minus(paid_out);
    let size = codec::size(transaction);
    if fee < fee_for(RELAY_FEE_RATE, size) && !is_free(&node.chain, transaction) {
        return refuse(INSUFFICIENT_FEE, "insufficient priority");
    }
    if fee_cap.is_some_and(|cap| fee > cap) {
        return refuse(HIGH_FEE, "absurdly-high-fee");
    }
    if node.mempool.chain_too_long(transaction) {
        return refuse(NONSTANDARD, "too-long-mempool-chain");
    }
    let replaces = replaced(node, transaction, &rivals, fee, size)?;
    check_inputs(node, transaction, &coins, paid_in, paid_out)?;
    Ok(Acceptable { fee, replaces })
}

/// What can be said without looking at the chain.
fn check_alone(transaction: &Transaction) -> Result<(), Refusal> {
    if transaction.input.is_empty() {
        return refuse(INVALID, "bad-txns-vin-empty");
    }
    if transaction.output.is_empty() {
        return refuse(INVALID, "bad-txns-vout-empty");
    }
    if codec::size(transaction) > MAX_BYTES {
        return refuse(INVALID, "bad-txns-oversize");
    }
    let mut total = Florins::ZERO;
    for output in &transaction.output {
        let value = Florins::of_output(output);
        if value < Florins::ZERO {
            return refuse(INVALID, "bad-txns-vout-negative");
        }
        if value.florins() > MAX_MONEY {
            return refuse(INVALID, "bad-txns-vout-toolarge");
        }
        total = total.plus(value);
        if !total.in_range() {
            return refuse(INVALID, "bad-txns-txouttotal-toolarge");
        }
    }
    let distinct: BTreeSet<_> = transaction
        .input
        .iter()
        .map(|input| input.previous_output)
        .collect();
    if distinct.len() != transaction.input.len() {
        return refuse(INVALID, "bad-txns-inputs-duplicate");
    }
    if transaction.is_coinbase() {
        return refuse(INVALID, "coinbase");
    }
    if distinct.iter().any(bitcoin::OutPoint::is_null) {
        return refuse(INVALID, "bad-txns-prevout-null");
    }
    Ok(())
}

/// The waiting transactions that spend the same outputs, if they allow themselves to be replaced.
fn rivals(node: &Node, transaction: &Transaction) -> Result<BTreeSet<Txid>, Refusal> {
    let mut rivals = BTreeSet::new();
    for input in &transaction.input {
        let Some(rival) = node.mempool.spender(&input.previous_output) else {
            continue;
        };
        if !node
            .mempool
            .get(&rival)
            .is_some_and(|waiting| signals_replacement(&waiting.transaction))
        {
            return refuse(CONFLICT, "txn-mempool-conflict");
        }
        rivals.insert(rival);
    }
    Ok(rivals)
}

/// An output that an input spends; `height` is `None` while it waits in the memory pool.
struct InputCoin {
    output: TxOut,
    height: Option<u32>,
    coinbase: bool,
}

fn coins(node: &Node, transaction: &Transaction) -> Result<Vec<InputCoin>, Refusal> {
    for input in &transaction.input {
        let parent = &input.previous_output.txid;
        if !node.mempool.contains(parent) && !node.chain.has_unspent(parent) {
            return Err(Refusal::MissingInputs);
        }
    }
    let mut coins = Vec::with_capacity(transaction.input.len());
    for input in &transaction.input {
        if let Some(output) = node.mempool.output(&input.previous_output) {
            coins.push(InputCoin {
                output: output.clone(),
                height: None,
                coinbase: false,
            });
        } else if let Some(coin) = node.chain.coin(&input.previous_output) {
            coins.push(InputCoin {
                output: coin.output,
                height: Some(coin.height),
                coinbase: coin.coinbase,
            });
        } else {
            return refuse(DUPLICATE, "bad-txns-inputs-spent");
        }
    }
    Ok(coins)
}

/// Value times age of the inputs in the chain at `height`, and the bytes that are not for unlocking
/// them: what Core divides to get a priority.
#[must_use]
pub fn priority_parts(chain: &Chain, transaction: &Transaction, height: u32) -> (i128, i128) {
    let coins = transaction
        .input
        .iter()
        .filter_map(|input| chain.coin(&input.previous_output));
    let ages = coins.map(|coin| {
        let age = i64::from(height) - i64::from(coin.height);
        i128::from(Florins::of_output(&coin.output).florins()) * i128::from(age)
    });
    let total = ages.sum();
    let unlocking: usize = transaction
        .input
        .iter()
        .map(|input| 41 + input.script_sig.len().min(110))
        .sum();
    let size = codec::size(transaction).saturating_sub(unlocking).max(1);
    (total, i128::try_from(size).unwrap_or(i128::MAX))
}

/// Whether the inputs are old and big enough for a transaction without fee.
fn is_free(chain: &Chain, transaction: &Transaction) -> bool {
    let (total, bytes) = priority_parts(chain, transaction, chain.height());
    total / bytes > FREE_PRIORITY
}

/// What a replacement pushes out, if it pays for that.
fn replaced(
    node: &Node,
    transaction: &Transaction,
    rivals: &BTreeSet<Txid>,
    fee: Florins,
    size: usize,
) -> Result<Vec<Txid>, Refusal> {
    if rivals.is_empty() {
        return Ok(Vec::new());
    }
    if node
        .mempool
        .ancestors(transaction)
        .iter()
        .any(|ancestor| rivals.contains(ancestor))
    {
        return refuse(INVALID, "bad-txns-spends-conflicting-tx");
    }
    let rate = |fee: Florins, other: usize| {
        i128::from(fee.florins()) * i128::try_from(other).unwrap_or(i128::MAX)
    };
    let mut all: Vec<Txid> = Vec::new();
    for rival in rivals {
        let cheaper = node
            .mempool
            .get(rival)
            .is_some_and(|old| rate(fee, old.size) <= rate(old.fee, size));
        if cheaper {
            return refuse(INSUFFICIENT_FEE, "insufficient fee");
        }
        for txid in node.mempool.with_descendants(rival) {
            if !all.contains(&txid) {
                all.push(txid);
            }
        }
    }
    if all.len() > MAX_REPLACED {
        return refuse(NONSTANDARD, "too many potential replacements");
    }
    let old: Florins = all
        .iter()
        .filter_map(|txid| node.mempool.get(txid))
        .map(|waiting| waiting.fee)
        .sum();
    if fee.minus(old) < fee_for(INCREMENTAL_FEE_RATE, size) {
        return refuse(INSUFFICIENT_FEE, "insufficient fee");
    }
    Ok(all)
}

/// Age, sums and signatures.
fn check_inputs(
    node: &Node,
    transaction: &Transaction,
    coins: &[InputCoin],
    paid_in: Florins,
    paid_out: Florins,
) -> Result<(), Refusal> {
    let next = node.chain.height() + 1;
    for coin in coins {
        let young = coin
            .height
            .is_some_and(|height| next.saturating_sub(height) < COINBASE_MATURITY);
        if coin.coinbase && young {
            return refuse(INVALID, "bad-txns-premature-spend-of-coinbase");
        }
    }
    if !paid_in.in_range() {
        return refuse(INVALID, "bad-txns-inputvalues-outofrange");
    }
    if paid_in < paid_out {
        return refuse(INVALID, "bad-txns-in-belowout");
    }
    for (index, coin) in coins.iter().enumerate() {
        if let Err(error) =
            script::verify_input(&node.secp, transaction, index, &coin.output.script_pubkey)
        {
            return if error.mandatory {
                refuse(
                    INVALID,
                    format!("mandatory-script-verify-flag-failed ({})", error.message),
                )
            } else {
                refuse(
                    NONSTANDARD,
                    format!("non-mandatory-script-verify-flag ({})", error.message),
                )
            };
        }
    }
    Ok(())
}
