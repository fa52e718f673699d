//! The methods that only a devnet has, as far as they change the state.

use std::collections::HashSet;
use std::time::Duration;

use bitcoin::sighash::EcdsaSighashType;
use bitcoin::{OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use bytes::Bytes;

use super::args::{self, Args};
use super::blockchain::MAX_BLOCKS_PER_CALL;
use super::{RpcError, codes};
use crate::amount::Florins;
use crate::event::Event;
use crate::faucet::unsigned;
use crate::faults::{Action, Fault, When};
use crate::json::{Json, Object};
use crate::network::Address;
use crate::node::{Node, Payee};
use crate::script;
use crate::wallet::{LEAST_FEE_RATE, fee_for};

/// What every such method's name starts with.
pub const PREFIX: &str = "devnet_";

/// The parameters of `devnet_faucet`.
#[derive(Clone, Copy, Debug)]
pub struct Payment {
    /// To whom.
    pub address: Address,
    /// How much.
    pub amount: Florins,
}

/// The parameters of `devnet_reorg`.
#[derive(Clone, Debug)]
pub struct Reorg {
    /// Blocks to replace.
    pub depth: u32,
    /// Blocks to replace them with.
    pub blocks: u32,
    /// Transactions that do not come back.
    pub drop: Drop,
    /// Whether the new branch takes the old one's transactions.
    pub include: bool,
}

/// Which transactions of a replaced branch are forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drop {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// These.
    These(HashSet<Txid>),
}

/// The parameters of `devnet_doublespend`.
#[derive(Clone, Copy, Debug)]
pub struct DoubleSpend {
    /// The transaction that is to be in conflict.
    pub txid: Txid,
    /// Where its money goes instead; the faucet, unless given.
    pub to: Option<Address>,
}

/// The parameters of `devnet_restart`.
#[derive(Clone, Debug)]
pub struct Restart {
    /// Whether the memory pool is lost.
    pub lose_mempool: bool,
    /// Whether the wallet brings its transactions back, as Core's does.
    pub reaccept: bool,
    /// How long it takes to start.
    pub warmup: Duration,
    /// What it says meanwhile.
    pub message: String,
    /// How long connections are refused before that.
    pub refuse: Duration,
}

fn parameter(message: impl Into<String>) -> RpcError {
    RpcError::new(codes::PARAMETER, message)
}

fn count(value: &Json) -> Result<u32, RpcError> {
    let count = args::number::<u32>(value)?;
    if count > MAX_BLOCKS_PER_CALL {
        return Err(parameter(format!(
            "the devnet mines at most {MAX_BLOCKS_PER_CALL} blocks at once"
        )));
    }
    Ok(count)
}

fn milliseconds(value: &Json) -> Result<Duration, RpcError> {
    args::number(value).map(Duration::from_millis)
}

/// Reads the parameters of `devnet_faucet`.
///
/// # Errors
/// As for `sendtoaddress`.
pub fn read_payment(params: &Json) -> Result<Payment, RpcError> {
    let args = Args::new(params, &["address", "amount"])?;
    let address = Address::parse(args.text(0)?)
        .ok_or_else(|| RpcError::new(codes::ADDRESS_OR_KEY, "Invalid Flopcoin address"))?;
    let amount = args::amount(args.get(1))?;
    if amount <= Florins::ZERO {
        return Err(RpcError::new(codes::TYPE, "Invalid amount for send"));
    }
    Ok(Payment { address, amount })
}

/// Reads the parameters of `devnet_mine`.
///
/// # Errors
/// For anything but a number of blocks.
pub fn read_mine(params: &Json) -> Result<u32, RpcError> {
    let args = Args::new(params, &["blocks"])?;
    args.given(0).map_or(Ok(1), count)
}

/// Reads the parameters of `devnet_setinterval`.
///
/// # Errors
/// For anything but a number of milliseconds.
pub fn read_interval(params: &Json) -> Result<Duration, RpcError> {
    milliseconds(Args::new(params, &["milliseconds"])?.get(0))
}

/// Reads the parameters of `devnet_reorg`.
///
/// # Errors
/// For a new branch that is not longer than the old one.
pub fn read_reorg(params: &Json) -> Result<Reorg, RpcError> {
    let args = Args::new(params, &["depth", "blocks", "drop", "include"])?;
    let depth = count(args.get(0))?;
    let blocks = args.given(1).map_or(Ok(depth + 1), count)?;
    if depth == 0 || blocks <= depth {
        return Err(parameter(
            "the new branch must be longer than the one that it replaces",
        ));
    }
    let drop = match args.get(2) {
        Json::Null | Json::Bool(false) => Drop::Nothing,
        Json::Bool(true) => Drop::Everything,
        Json::Array(txids) => {
            let txids: Result<_, _> = txids.iter().map(|txid| args::txid(txid, "txid")).collect();
            Drop::These(txids?)
        }
        _ => return Err(parameter("drop is a list of txids, true or false")),
    };
    Ok(Reorg {
        depth,
        blocks,
        drop,
        include: args.given(3).map_or(Ok(false), args::bool)?,
    })
}

/// Reads the parameters of `devnet_doublespend`.
///
/// # Errors
/// For anything but a txid and, if given, an address.
pub fn read_double_spend(params: &Json) -> Result<DoubleSpend, RpcError> {
    let args = Args::new(params, &["txid", "address"])?;
    let address = |value: &Json| {
        Address::parse(args::text(value)?)
            .ok_or_else(|| RpcError::new(codes::ADDRESS_OR_KEY, "Invalid Flopcoin address"))
    };
    Ok(DoubleSpend {
        txid: args::txid(args.get(0), "txid")?,
        to: args.given(1).map(address).transpose()?,
    })
}

/// Reads the parameters of `devnet_restart`.
///
/// # Errors
/// For a mempool that is neither kept nor lost.
pub fn read_restart(params: &Json) -> Result<Restart, RpcError> {
    let args = Args::new(
        params,
        &[
            "mempool",
            "milliseconds",
            "message",
            "reaccept",
            "refuse_milliseconds",
        ],
    )?;
    let lose_mempool = match args.given(0).map_or(Ok("keep"), args::text)? {
        "keep" => false,
        "lose" => true,
        _ => return Err(parameter("mempool is \"keep\" or \"lose\"")),
    };
    Ok(Restart {
        lose_mempool,
        reaccept: args.given(3).map_or(Ok(true), args::bool)?,
        warmup: args.given(1).map_or(Ok(Duration::ZERO), milliseconds)?,
        message: args
            .given(2)
            .map_or(Ok("Loading wallet..."), args::text)?
            .to_owned(),
        refuse: args.given(4).map_or(Ok(Duration::ZERO), milliseconds)?,
    })
}

/// Reads the parameters of `devnet_fault`.
///
/// # Errors
/// For a fault that there is not.
pub fn read_fault(params: &Json) -> Result<Fault, RpcError> {
    let names = [
        "method",
        "when",
        "action",
        "milliseconds",
        "code",
        "message",
        "status",
        "body",
        "times",
    ];
    let args = Args::new(params, &names)?;
    let method = args.text(0)?.to_owned();
    if method.starts_with(PREFIX) {
        return Err(parameter("methods of the devnet itself have no faults"));
    }
    let when = match args.text(1)? {
        "before" => When::Before,
        "after" => When::After,
        _ => return Err(parameter("when is \"before\" or \"after\"")),
    };
    let status = args.given(6).map(args::number::<u16>).transpose()?;
    if status.is_some_and(|status| !(200..=599).contains(&status)) {
        return Err(parameter("status is from 200 to 599"));
    }
    let action = match args.text(2)? {
        "hang" => Action::Hang,
        "drop" => Action::Drop,
        "delay" => Action::Delay(milliseconds(args.get(3))?),
        "garbage" => {
            let body = args
                .given(7)
                .map_or(Ok("<html>no JSON here</html>\n"), args::text)?;
            Action::Garbage(
                status.unwrap_or(200),
                Bytes::copy_from_slice(body.as_bytes()),
            )
        }
        "huge" => Action::Huge,
        "truncate" => Action::Truncate,
        "refuse" => Action::Refuse,
        "error" => {
            let code = args.given(4).map_or(Ok(codes::MISC), args::number::<i64>)?;
            let message = args
                .given(5)
                .map_or(Ok("a fault of the devnet"), args::text)?;
            Action::Error(RpcError::new(code, message), status)
        }
        _ => {
            return Err(parameter(
                "action is \"hang\", \"drop\", \"delay\", \"garbage\", \"huge\", \"truncate\", \"refuse\" or \"error\"",
            ));
        }
    };
    Ok(Fault {
        method,
        when,
        action,
        times: args.given(8).map(args::number::<u64>).transpose()?,
    })
}

/// `devnet_faucet`: the foreign wallet pays.
///
/// # Errors
/// [`codes::INSUFFICIENT_FUNDS`] until a block confirms more of its coins.
pub fn faucet(node: &mut Node, payment: &Payment) -> Result<Json, RpcError> {
    let script = payment.address.script();
    let transaction = node
        .faucet
        .pay(
            &node.secp,
            &node.chain,
            &node.mempool,
            &script,
            payment.amount,
        )
        .ok_or_else(|| {
            let message = "the faucet has too few confirmed coins for that; mine a block";
            RpcError::new(codes::INSUFFICIENT_FUNDS, message)
        })?;
    let txid = transaction.compute_txid();
    match node.accept(&transaction, None)? {
        Ok(()) => Ok(Object::new().with("txid", Json::text(txid)).into()),
        Err(refusal) => Err(RpcError::new(codes::REJECTED, refusal.to_string())),
    }
}

/// `devnet_mine`: blocks for the faucet.
///
/// # Errors
/// None, but for a bug.
pub fn mine(node: &mut Node, blocks: u32) -> Result<Json, RpcError> {
    let mut hashes = Vec::new();
    for _ in 0..blocks {
        node.split_faucet()?;
        hashes.extend(node.mine(1, &Payee::Faucet)?);
    }
    Ok(Json::Array(hashes.into_iter().map(Json::text).collect()))
}

/// `devnet_reorg`: another branch takes the place of the last blocks.
///
/// # Errors
/// [`codes::PARAMETER`] for more blocks than there are.
pub fn reorg(node: &mut Node, reorg: &Reorg) -> Result<Json, RpcError> {
    let fork = node
        .chain
        .height()
        .checked_sub(reorg.depth)
        .ok_or_else(|| parameter("the chain is not that long"))?;
    let replaced: Vec<Json> = (fork + 1..=node.chain.height())
        .filter_map(|height| node.chain.at(height))
        .map(Json::text)
        .collect();
    let disconnected = node.rewind(fork)?;
    let forgotten: HashSet<Txid> = match &reorg.drop {
        Drop::Nothing => HashSet::new(),
        Drop::Everything => disconnected.iter().map(Transaction::compute_txid).collect(),
        Drop::These(txids) => txids.clone(),
    };
    node.refill(disconnected, &forgotten)?;
    let mut connected = Vec::new();
    if reorg.include {
        connected.extend(node.mine(reorg.blocks, &Payee::Faucet)?);
    } else {
        for _ in 0..reorg.blocks {
            connected.push(node.mine_one(&[], &Payee::Faucet)?);
        }
    }
    node.refill(Vec::new(), &HashSet::new())?;
    Ok(Object::new()
        .with("disconnected", Json::Array(replaced))
        .with(
            "connected",
            Json::Array(connected.into_iter().map(Json::text).collect()),
        )
        .into())
}

/// `devnet_doublespend`: spends the inputs of an unconfirmed transaction otherwise, in a block.
///
/// # Errors
/// [`codes::ADDRESS_OR_KEY`] for a transaction that is unknown, confirmed or spends coins of others.
pub fn double_spend(node: &mut Node, wanted: &DoubleSpend) -> Result<Json, RpcError> {
    let txid = &wanted.txid;
    let refuse = |message: &str| RpcError::new(codes::ADDRESS_OR_KEY, message);
    if node.chain.place(txid).is_some() {
        return Err(refuse(
            "the transaction is confirmed; take it out with devnet_reorg first",
        ));
    }
    let waiting = node.mempool.get(txid).map(|waiting| &waiting.transaction);
    let known = node
        .wallet
        .transactions
        .get(txid)
        .map(|known| &known.transaction);
    let original = waiting
        .or(known)
        .cloned()
        .ok_or_else(|| refuse("unknown transaction"))?;
    let mut inputs: Vec<(OutPoint, TxOut)> = Vec::new();
    for outpoint in original.input.iter().map(|input| input.previous_output) {
        let coin = node.chain.coin(&outpoint).map(|coin| coin.output);
        let coin = coin.or_else(|| node.mempool.output(&outpoint).cloned());
        if let Some(output) = coin
            && key_for(node, &output.script_pubkey).is_some()
        {
            inputs.push((outpoint, output));
        }
    }
    if inputs.is_empty() {
        return Err(refuse(
            "none of its inputs is unspent and of the wallet's or the faucet's keys",
        ));
    }
    let total: Florins = inputs
        .iter()
        .map(|(_, output)| Florins::of_output(output))
        .sum();
    let fee = fee_for(LEAST_FEE_RATE, 44 + 148 * inputs.len());
    let value = total
        .minus(fee)
        .to_output_value()
        .ok_or_else(|| refuse("its inputs are worth too little"))?;
    let script_pubkey = wanted
        .to
        .map_or_else(|| node.faucet.script().clone(), |address| address.script());
    let output = TxOut {
        value,
        script_pubkey,
    };
    let mut rival = unsigned(inputs.iter().map(|(outpoint, _)| *outpoint), vec![output]);
    let mut unlocking = Vec::new();
    for (index, (_, output)) in inputs.iter().enumerate() {
        let key = key_for(node, &output.script_pubkey).ok_or_else(|| refuse("no key"))?;
        let signed = script::sign_input(
            &node.secp,
            &rival,
            index,
            &output.script_pubkey,
            &key,
            EcdsaSighashType::All,
        );
        unlocking.push(signed.ok_or_else(|| refuse("no signature"))?);
    }
    for (input, script) in rival.input.iter_mut().zip(unlocking) {
        input.script_sig = script;
    }
    let mut parents: Vec<_> = node
        .mempool
        .ancestors(&rival)
        .iter()
        .filter_map(|txid| node.mempool.get(txid))
        .cloned()
        .collect();
    parents.sort_unstable_by_key(|parent| parent.arrival);
    let mut block: Vec<(Transaction, Florins)> = parents
        .into_iter()
        .map(|parent| (parent.transaction, parent.fee))
        .collect();
    let rival_id = rival.compute_txid();
    block.push((rival, fee));
    let hash = node.mine_one(&block, &Payee::Faucet)?;
    Ok(Object::new()
        .with("txid", Json::text(rival_id))
        .with("blockhash", Json::text(hash))
        .into())
}

fn key_for(node: &Node, script: &ScriptBuf) -> Option<bitcoin::secp256k1::SecretKey> {
    if script == node.faucet.script() {
        return Some(*node.faucet.key());
    }
    node.wallet.key_for(script).map(|key| key.secret)
}

/// What `devnet_restart` does to the state.
///
/// # Errors
/// None, but for a bug.
pub fn restart(node: &mut Node, restart: &Restart) -> Result<(), RpcError> {
    if let Some(encryption) = node.wallet.encryption.as_mut() {
        encryption.lock = crate::wallet::Lock::Locked;
    }
    if restart.lose_mempool && !node.mempool.is_empty() {
        let txids = node
            .mempool
            .by_arrival()
            .into_iter()
            .map(|(txid, _)| txid.to_string())
            .collect();
        node.commit(Event::Evicted { txids })?;
    }
    if restart.reaccept {
        node.reaccept()?;
    }
    // `settxfee` does not outlive a restart.
    node.commit(Event::FeeRate {
        florins: LEAST_FEE_RATE.florins(),
    })?;
    Ok(())
}
