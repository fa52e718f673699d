//! Transactions as text: making, showing, signing and sending them.

use std::collections::{BTreeSet, HashMap};

use bitcoin::script::PushBytesBuf;
use bitcoin::secp256k1::SecretKey;
use bitcoin::sighash::EcdsaSighashType;
use bitcoin::{
    OutPoint, PrivateKey, PublicKey, ScriptBuf, Sequence, Transaction, TxIn, TxOut, absolute,
    opcodes, transaction,
};

use super::args::{self, Args, expect_type};
use super::{Context, RpcError, codes};
use crate::codec;
use crate::json::{Json, Object};
use crate::network::Address;
use crate::node::now;
use crate::script;
use crate::validation::{MAX_FEE, Refusal};
use crate::wallet::view::describe_transaction;

fn decode_failed() -> RpcError {
    RpcError::new(codes::DESERIALIZATION, "TX decode failed")
}

fn parameter(message: impl Into<String>) -> RpcError {
    RpcError::new(codes::PARAMETER, message)
}

pub(super) fn createrawtransaction(_: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    args.expect_types(&["array", "object", "number"], true)?;
    let (Json::Array(inputs), Json::Object(outputs)) = (args.get(0), args.get(1)) else {
        return Err(parameter(
            "Invalid parameter, arguments 1 and 2 must be non-null",
        ));
    };
    let lock_time = match args.given(2) {
        None => 0,
        Some(value) => u32::try_from(args::number::<i64>(value)?)
            .map_err(|_| parameter("Invalid parameter, locktime out of range"))?,
    };
    let default_sequence = if lock_time == 0 {
        Sequence::MAX
    } else {
        Sequence::ENABLE_LOCKTIME_NO_RBF
    };
    let transaction = Transaction {
        version: transaction::Version::ONE,
        lock_time: absolute::LockTime::from_consensus(lock_time),
        input: inputs
            .iter()
            .map(|input| read_input(input, default_sequence))
            .collect::<Result<_, _>>()?,
        output: read_outputs(outputs)?,
    };
    Ok(codec::encode_hex(&transaction).into())
}

fn read_input(input: &Json, default_sequence: Sequence) -> Result<TxIn, RpcError> {
    if !matches!(input, Json::Object(_)) {
        return Err(RpcError::new(
            codes::MISC,
            "JSON value is not an object as expected",
        ));
    }
    let txid = args::txid(input.get("txid").unwrap_or(&Json::Null), "txid")?;
    let vout = match input.get("vout") {
        Some(value @ Json::Number(_)) => u32::try_from(args::int(value)?)
            .map_err(|_| parameter("Invalid parameter, vout must be positive"))?,
        _ => return Err(parameter("Invalid parameter, missing vout key")),
    };
    let sequence = match input.get("sequence") {
        Some(value @ Json::Number(_)) => u32::try_from(args::number::<i64>(value)?)
            .map(Sequence::from_consensus)
            .map_err(|_| parameter("Invalid parameter, sequence number is out of range"))?,
        _ => default_sequence,
    };
    Ok(TxIn {
        previous_output: OutPoint::new(txid, vout),
        sequence,
        ..TxIn::default()
    })
}

fn read_outputs(members: &[(String, Json)]) -> Result<Vec<TxOut>, RpcError> {
    let mut seen = BTreeSet::new();
    let mut outputs = Vec::new();
    for (name, value) in members {
        if name == "data" {
            let bytes = args::hex_bytes(value, "Data")?;
            let push = PushBytesBuf::try_from(bytes).map_err(|_| parameter("Data is too long"))?;
            let script = ScriptBuf::builder()
                .push_opcode(opcodes::all::OP_RETURN)
                .push_slice(push)
                .into_script();
            outputs.push(TxOut {
                value: bitcoin::Amount::ZERO,
                script_pubkey: script,
            });
            continue;
        }
        let address = Address::parse(name).ok_or_else(|| {
            RpcError::new(
                codes::ADDRESS_OR_KEY,
                format!("Invalid Flopcoin address: {name}"),
            )
        })?;
        if !seen.insert(address) {
            return Err(parameter(format!(
                "Invalid parameter, duplicated address: {name}"
            )));
        }
        let amount = args::amount(value)?.to_output_value();
        let value = amount.ok_or_else(|| RpcError::new(codes::TYPE, "Amount out of range"))?;
        outputs.push(TxOut {
            value,
            script_pubkey: address.script(),
        });
    }
    Ok(outputs)
}

pub(super) fn decoderawtransaction(_: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    args.expect_types(&["string"], false)?;
    let transaction = codec::decode_hex(args.text(0)?).ok_or_else(decode_failed)?;
    Ok(describe_transaction(&transaction).into())
}

pub(super) fn getrawtransaction(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let node = &context.node;
    let txid = args::txid(args.get(0), "parameter 1")?;
    let verbose = match args.get(1) {
        _ if !args.has(1) => false,
        Json::Bool(verbose) => *verbose,
        value @ Json::Number(_) => args::int(value)? != 0,
        _ => {
            let message = "Invalid type provided. Verbose parameter must be a boolean.";
            return Err(RpcError::new(codes::TYPE, message));
        }
    };
    let waiting = node.mempool.get(&txid).map(|waiting| &waiting.transaction);
    // Without an index Core finds a confirmed transaction by what is unspent of it.
    let confirmed = if node.chain.has_unspent(&txid) {
        node.chain.transaction(&txid)
    } else {
        None
    };
    let transaction = waiting.or(confirmed).ok_or_else(|| {
        RpcError::new(
            codes::ADDRESS_OR_KEY,
            "No such mempool transaction. Use -txindex to enable blockchain transaction queries. Use gettransaction for wallet transactions.",
        )
    })?;
    let hex = codec::encode_hex(transaction);
    if !verbose {
        return Ok(hex.into());
    }
    let mut object = Object::new().with("hex", hex);
    object.extend(describe_transaction(transaction));
    if let Some((height, _)) = node.chain.place(&txid)
        && let Some(hash) = node.chain.at(height)
        && let Some(stored) = node.chain.block(&hash)
    {
        object.push("blockhash", Json::text(hash));
        object.push(
            "confirmations",
            Json::int(node.chain.confirmations_at(height)),
        );
        object.push("time", Json::int(stored.block.header.time));
        object.push("blocktime", Json::int(stored.block.header.time));
    }
    Ok(object.into())
}

pub(super) fn sendrawtransaction(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    args.expect_types(&["string", "bool"], false)?;
    let transaction = codec::decode_hex(args.text(0)?).ok_or_else(decode_failed)?;
    // Core takes a transaction without inputs for one in the SegWit form here, and a broken one.
    if transaction.input.is_empty() && !transaction.output.is_empty() {
        return Err(decode_failed());
    }
    let fee_cap = if args.bool_or(1, false)? {
        None
    } else {
        Some(MAX_FEE)
    };
    let txid = transaction.compute_txid();
    let node = &mut *context.node;
    if node.mempool.contains(&txid) {
        return Ok(Json::text(txid));
    }
    if node.chain.has_unspent(&txid) {
        return Err(RpcError::new(
            codes::IN_CHAIN,
            "transaction already in block chain",
        ));
    }
    match node.accept(&transaction, fee_cap)? {
        Ok(()) => Ok(Json::text(txid)),
        Err(refusal @ Refusal::MissingInputs) => {
            Err(RpcError::new(codes::TRANSACTION, refusal.to_string()))
        }
        Err(refusal @ Refusal::Rule { .. }) => {
            Err(RpcError::new(codes::REJECTED, refusal.to_string()))
        }
    }
}

pub(super) fn signrawtransaction(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    args.expect_types(&["string", "array", "array", "string"], true)?;
    let bytes = args::hex_bytes(args.get(0), "argument 1")?;
    let mut rest = bytes.as_slice();
    let mut variants = Vec::new();
    while !rest.is_empty() {
        variants.push(codec::decode_prefix(&mut rest).ok_or_else(decode_failed)?);
    }
    let mut merged = variants
        .first()
        .cloned()
        .ok_or_else(|| RpcError::new(codes::DESERIALIZATION, "Missing transaction"))?;
    let given_keys = args.given(2).map(read_keys).transpose()?;
    if given_keys.is_none() && context.node.wallet.is_locked(now()) {
        return Err(super::wallet::locked());
    }
    let mut scripts: HashMap<OutPoint, ScriptBuf> = HashMap::new();
    for outpoint in merged.input.iter().map(|input| input.previous_output) {
        let waiting = context.node.mempool.output(&outpoint).cloned();
        if let Some(output) =
            waiting.or_else(|| context.node.chain.coin(&outpoint).map(|coin| coin.output))
        {
            scripts.insert(outpoint, output.script_pubkey);
        }
    }
    for previous in args.given(1).and_then(Json::as_array).unwrap_or_default() {
        let (outpoint, script) = read_previous(previous)?;
        if let Some(known) = scripts.get(&outpoint).filter(|known| **known != script) {
            let message = format!(
                "Previous output scriptPubKey mismatch:\n{}\nvs:\n{}",
                script::asm(known, false),
                script::asm(&script, false)
            );
            return Err(RpcError::new(codes::DESERIALIZATION, message));
        }
        scripts.insert(outpoint, script);
    }
    let hash_type = read_hash_type(args.given(3))?;
    let single = matches!(
        hash_type,
        EcdsaSighashType::Single | EcdsaSighashType::SinglePlusAnyoneCanPay
    );
    let mut errors = Vec::new();
    for index in 0..merged.input.len() {
        let Some(outpoint) = merged.input.get(index).map(|input| input.previous_output) else {
            continue;
        };
        let Some(script) = scripts.get(&outpoint) else {
            errors.push(input_error(
                &merged,
                index,
                "Input not found or already spent",
            ));
            continue;
        };
        let key = match &given_keys {
            Some(keys) => keys.get(script),
            None => context.node.wallet.key_for(script).map(|key| &key.secret),
        };
        let key = key.filter(|_| !single || index < merged.output.len());
        let signed = key.and_then(|key| {
            script::sign_input(&context.node.secp, &merged, index, script, key, hash_type)
        });
        let mut earlier = variants
            .iter()
            .filter_map(|variant| variant.input.get(index))
            .map(|input| &input.script_sig);
        let unlocking = signed.or_else(|| earlier.rfind(|script| !script.is_empty()).cloned());
        if let (Some(input), Some(unlocking)) = (merged.input.get_mut(index), unlocking) {
            input.script_sig = unlocking;
        }
        if let Err(error) = script::verify_input(&context.node.secp, &merged, index, script) {
            errors.push(input_error(&merged, index, error.message));
        }
    }
    let complete = errors.is_empty();
    Ok(Object::new()
        .with("hex", codec::encode_hex(&merged))
        .with("complete", complete)
        .with_some("errors", (!complete).then_some(Json::Array(errors)))
        .into())
}

/// The keys of the call, by the scripts that they fit.
fn read_keys(keys: &Json) -> Result<HashMap<ScriptBuf, SecretKey>, RpcError> {
    let secp = bitcoin::secp256k1::Secp256k1::new();
    let mut by_script = HashMap::new();
    for key in keys.as_array().unwrap_or_default() {
        let key = PrivateKey::from_wif(args::text(key)?)
            .ok()
            .filter(|key| key.compressed && key.network == bitcoin::NetworkKind::Test)
            .ok_or_else(|| RpcError::new(codes::ADDRESS_OR_KEY, "Invalid private key"))?;
        let public = PublicKey::new(key.inner.public_key(&secp));
        by_script.insert(ScriptBuf::new_p2pkh(&public.pubkey_hash()), key.inner);
        by_script.insert(ScriptBuf::new_p2pk(&public), key.inner);
    }
    Ok(by_script)
}

fn read_previous(previous: &Json) -> Result<(OutPoint, ScriptBuf), RpcError> {
    if !matches!(previous, Json::Object(_)) {
        let message = "expected object with {\"txid'\",\"vout\",\"scriptPubKey\"}";
        return Err(RpcError::new(codes::DESERIALIZATION, message));
    }
    for (name, expected) in [
        ("scriptPubKey", "string"),
        ("txid", "string"),
        ("vout", "number"),
    ] {
        match previous.get(name) {
            None | Some(Json::Null) => {
                return Err(RpcError::new(codes::TYPE, format!("Missing {name}")));
            }
            Some(value) => expect_type(value, expected).map_err(|_| {
                let message = format!(
                    "Expected type {expected} for {name}, got {}",
                    value.type_name()
                );
                RpcError::new(codes::TYPE, message)
            })?,
        }
    }
    let txid = args::txid(previous.get("txid").unwrap_or(&Json::Null), "txid")?;
    let vout = u32::try_from(args::int(previous.get("vout").unwrap_or(&Json::Null))?)
        .map_err(|_| RpcError::new(codes::DESERIALIZATION, "vout must be positive"))?;
    let script = args::hex_bytes(
        previous.get("scriptPubKey").unwrap_or(&Json::Null),
        "scriptPubKey",
    )?;
    Ok((OutPoint::new(txid, vout), ScriptBuf::from_bytes(script)))
}

fn read_hash_type(value: Option<&Json>) -> Result<EcdsaSighashType, RpcError> {
    let Some(value) = value else {
        return Ok(EcdsaSighashType::All);
    };
    match args::text(value)? {
        "ALL" => Ok(EcdsaSighashType::All),
        "NONE" => Ok(EcdsaSighashType::None),
        "SINGLE" => Ok(EcdsaSighashType::Single),
        "ALL|ANYONECANPAY" => Ok(EcdsaSighashType::AllPlusAnyoneCanPay),
        "NONE|ANYONECANPAY" => Ok(EcdsaSighashType::NonePlusAnyoneCanPay),
        "SINGLE|ANYONECANPAY" => Ok(EcdsaSighashType::SinglePlusAnyoneCanPay),
        _ => Err(parameter("Invalid sighash param")),
    }
}

fn input_error(transaction: &Transaction, index: usize, message: &str) -> Json {
    let Some(input) = transaction.input.get(index) else {
        return Json::Null;
    };
    Object::new()
        .with("txid", Json::text(input.previous_output.txid))
        .with("vout", Json::int(input.previous_output.vout))
        .with("scriptSig", input.script_sig.to_hex_string())
        .with("sequence", Json::int(input.sequence.to_consensus_u32()))
        .with("error", message)
        .into()
}
