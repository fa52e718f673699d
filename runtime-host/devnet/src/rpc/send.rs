//! Payments that the wallet makes itself.

use bitcoin::secp256k1::rand::{self, Rng};
use bitcoin::sighash::EcdsaSighashType;
use bitcoin::{ScriptBuf, Transaction, TxOut, absolute};

use super::args::{self, Args};
use super::{Context, RpcError, codes};
use crate::amount::Florins;
use crate::codec;
use crate::event::Event;
use crate::faucet::unsigned;
use crate::json::Json;
use crate::network::Address;
use crate::node::{Node, now};
use crate::script;
use crate::validation::MAX_FEE;
use crate::wallet::fee_for;
use crate::wallet::view::WalletCoin;

/// Payments below this are refused, change below it goes to the miner (`-discardthreshold`).
const DISCARD_BELOW: Florins = Florins::new(1_000_000);
/// Bytes of a transaction without inputs and outputs, as Core estimates them.
const OVERHEAD: usize = 10;

pub(super) fn settxfee(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let rate = args::amount(args.get(0))?;
    context.node.commit(Event::FeeRate {
        florins: rate.florins(),
    })?;
    Ok(true.into())
}

pub(super) fn sendtoaddress(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let address = Address::parse(args.text(0)?)
        .ok_or_else(|| RpcError::new(codes::ADDRESS_OR_KEY, "Invalid Flopcoin address"))?;
    let amount = args::amount(args.get(1))?;
    if amount <= Florins::ZERO {
        return Err(RpcError::new(codes::TYPE, "Invalid amount for send"));
    }
    let comment = args.given(2).map_or(Ok(""), args::text)?.to_owned();
    let to = args.given(3).map_or(Ok(""), args::text)?.to_owned();
    let subtract_fee = args.bool_or(4, false)?;
    let node = &mut *context.node;
    if node.wallet.is_locked(now()) {
        return Err(super::wallet::locked());
    }
    let balance = node.view().balance();
    if amount > balance {
        return Err(RpcError::new(
            codes::INSUFFICIENT_FUNDS,
            "Insufficient funds",
        ));
    }
    let plan = plan(node, &address.script(), amount, subtract_fee).map_err(|(message, fee)| {
        if !subtract_fee && amount.plus(fee) > balance {
            let message = format!(
                "Error: This transaction requires a transaction fee of at least {}",
                fee.to_trimmed()
            );
            return RpcError::new(codes::WALLET, message);
        }
        RpcError::new(codes::WALLET, message)
    })?;
    let transaction = build(node, plan, &address.script())?;
    let txid = transaction.compute_txid();
    // Core believes its own transaction even if its memory pool does not take it.
    if let Err(refusal) = node.accept(&transaction, None)? {
        tracing::debug!(%txid, %refusal, "a payment of the wallet is not in the memory pool");
        node.commit(Event::Stuck {
            transaction: codec::encode_hex(&transaction),
            time: now(),
        })?;
    }
    if !(comment.is_empty() && to.is_empty()) {
        node.commit(Event::Noted {
            txid: txid.to_string(),
            comment,
            to,
        })?;
    }
    Ok(Json::text(txid))
}

/// What a payment spends and pays.
struct Plan {
    coins: Vec<WalletCoin>,
    paid: Florins,
    change: Florins,
}

/// Bytes that an input takes, with the longest signature.
fn input_size(coin: &WalletCoin) -> usize {
    if coin.output.script_pubkey.is_p2pk() {
        114
    } else {
        148
    }
}

/// Bytes that an output takes.
fn output_size(script: &ScriptBuf) -> usize {
    8 + 1 + script.len()
}

/// Chooses coins and settles the fee, which depends on the coins. On failure the text and the fee
/// reckoned so far come back.
fn plan(
    node: &Node,
    script: &ScriptBuf,
    amount: Florins,
    subtract_fee: bool,
) -> Result<Plan, (&'static str, Florins)> {
    let rate = node.wallet.effective_fee_rate();
    let mut fee = Florins::ZERO;
    loop {
        let paid = if subtract_fee {
            amount.minus(fee)
        } else {
            amount
        };
        if paid < DISCARD_BELOW {
            let message = match (subtract_fee && fee > Florins::ZERO, paid < Florins::ZERO) {
                (true, true) => "The transaction amount is too small to pay the fee",
                (true, false) => {
                    "The transaction amount is too small to send after the fee has been deducted"
                }
                (false, _) => "Transaction amount too small",
            };
            return Err((message, fee));
        }
        let coins = choose(node, paid.plus(fee)).ok_or(("Insufficient funds", fee))?;
        let total: Florins = coins
            .iter()
            .map(|coin| Florins::of_output(&coin.output))
            .sum();
        let mut change = total.minus(paid).minus(fee);
        let mut extra = Florins::ZERO;
        if change > Florins::ZERO && change < DISCARD_BELOW {
            extra = change;
            change = Florins::ZERO;
        }
        let change_size = if change > Florins::ZERO { 34 } else { 0 };
        let inputs: usize = coins.iter().map(input_size).sum();
        let needed =
            fee_for(rate, OVERHEAD + inputs + output_size(script) + change_size).min(MAX_FEE);
        let offered = fee.plus(extra);
        if offered >= needed {
            if change > Florins::ZERO {
                change = change.plus(offered.minus(needed));
            }
            return Ok(Plan {
                coins,
                paid,
                change,
            });
        }
        fee = needed;
    }
}

/// Coins for at least `target`: old ones first, own unconfirmed change last.
fn choose(node: &Node, target: Florins) -> Option<Vec<WalletCoin>> {
    let coins: Vec<WalletCoin> = node
        .view()
        .coins()
        .into_iter()
        .filter(|coin| coin.trusted)
        .collect();
    let old = |coin: &WalletCoin| coin.depth >= if coin.from_me { 1 } else { 6 };
    let confirmed = |coin: &WalletCoin| coin.depth >= 1;
    let any = |_: &WalletCoin| true;
    let tiers: [&dyn Fn(&WalletCoin) -> bool; 3] = [&old, &confirmed, &any];
    tiers.into_iter().find_map(|tier| {
        let mut usable: Vec<&WalletCoin> = coins.iter().filter(|coin| tier(coin)).collect();
        usable.sort_by_key(|coin| coin.output.value);
        let single = usable
            .iter()
            .find(|coin| Florins::of_output(&coin.output) >= target);
        if let Some(single) = single {
            return Some(vec![(*single).clone()]);
        }
        let mut chosen = Vec::new();
        let mut total = Florins::ZERO;
        for coin in usable.into_iter().rev() {
            total = total.plus(Florins::of_output(&coin.output));
            chosen.push(coin.clone());
            if total >= target {
                return Some(chosen);
            }
        }
        None
    })
}

/// Makes and signs the transaction. Change goes to a new key, at a random place.
fn build(node: &mut Node, plan: Plan, script: &ScriptBuf) -> Result<Transaction, RpcError> {
    let broken = || RpcError::new(codes::WALLET, "Signing transaction failed");
    let mut outputs = vec![TxOut {
        value: plan.paid.to_output_value().ok_or_else(broken)?,
        script_pubkey: script.clone(),
    }];
    if plan.change > Florins::ZERO {
        let key = super::wallet::take_key(node, now())?;
        let change = TxOut {
            value: plan.change.to_output_value().ok_or_else(broken)?,
            script_pubkey: ScriptBuf::new_p2pkh(&key.pubkey_hash()),
        };
        let place = rand::thread_rng().gen_range(0..=outputs.len());
        outputs.insert(place, change);
    }
    let mut transaction = unsigned(plan.coins.iter().map(|coin| coin.outpoint), outputs);
    transaction.lock_time = absolute::LockTime::from_consensus(node.chain.height());
    let mut unlocking = Vec::with_capacity(plan.coins.len());
    for (index, coin) in plan.coins.iter().enumerate() {
        let script = &coin.output.script_pubkey;
        let key = node.wallet.key_for(script).ok_or_else(broken)?;
        let signed = script::sign_input(
            &node.secp,
            &transaction,
            index,
            script,
            &key.secret,
            EcdsaSighashType::All,
        );
        unlocking.push(signed.ok_or_else(broken)?);
    }
    for (input, script) in transaction.input.iter_mut().zip(unlocking) {
        input.script_sig = script;
    }
    Ok(transaction)
}
