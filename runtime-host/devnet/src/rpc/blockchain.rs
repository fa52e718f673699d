//! Blocks and what waits for them.

use bitcoin::{BlockHash, OutPoint};

use super::args::{self, Args};
use super::{Context, RpcError, codes};
use crate::amount::Florins;
use crate::chain::{Chain, StoredBlock};
use crate::json::{Json, Object};
use crate::mempool::Waiting;
use crate::network::{self, Address, DIFFICULTY, lenient_block_hash};
use crate::node::{Node, Payee, now};
use crate::script;
use crate::wallet::view::describe_transaction;

/// Most blocks that one call may mine.
pub const MAX_BLOCKS_PER_CALL: u32 = 10_000;

pub(super) fn getblockcount(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    Ok(Json::int(context.node.chain.height()))
}

pub(super) fn getbestblockhash(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    Ok(Json::text(context.node.chain.tip()))
}

pub(super) fn getdifficulty(_: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    Ok(Json::Number(DIFFICULTY.into()))
}

pub(super) fn getblockhash(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let height = u32::try_from(args.int(0)?).ok();
    let hash = height.and_then(|height| context.node.chain.at(height));
    hash.map(Json::text)
        .ok_or_else(|| RpcError::new(codes::PARAMETER, "Block height out of range"))
}

fn known_block<'a>(chain: &'a Chain, text: &str) -> Result<(BlockHash, &'a StoredBlock), RpcError> {
    let hash = lenient_block_hash(text);
    let stored = chain
        .block(&hash)
        .ok_or_else(|| RpcError::new(codes::ADDRESS_OR_KEY, "Block not found"))?;
    Ok((hash, stored))
}

pub(super) fn getblock(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let chain = &context.node.chain;
    let text = args.text(0)?;
    let verbosity = match args.get(1) {
        _ if !args.has(1) => 1,
        value @ Json::Number(_) => args::int(value)?,
        value => i32::from(args::bool(value)?),
    };
    let (hash, stored) = known_block(chain, text)?;
    if verbosity <= 0 {
        return Ok(bitcoin::consensus::encode::serialize_hex(&stored.block).into());
    }
    let transactions = stored.block.txdata.iter().map(|transaction| {
        if verbosity >= 2 {
            describe_transaction(transaction).into()
        } else {
            Json::text(transaction.compute_txid())
        }
    });
    let size = network::block_size(&stored.block);
    let header = &stored.block.header;
    let mut block = Object::new()
        .with("hash", Json::text(hash))
        .with("confirmations", Json::int(chain.block_confirmations(&hash)))
        .with("strippedsize", Json::size(size))
        .with("size", Json::size(size))
        .with("weight", Json::size(size * 4))
        .with("height", Json::int(stored.height))
        .with("version", Json::int(header.version.to_consensus()))
        .with(
            "versionHex",
            format!("{:08x}", header.version.to_consensus()),
        )
        .with("merkleroot", Json::text(header.merkle_root))
        .with("tx", Json::Array(transactions.collect()));
    block.extend(header_tail(chain, &hash, stored));
    Ok(block.into())
}

pub(super) fn getblockheader(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let chain = &context.node.chain;
    let text = args.text(0)?;
    let verbose = args.bool_or(1, true)?;
    let (hash, stored) = known_block(chain, text)?;
    if !verbose {
        return Ok(bitcoin::consensus::encode::serialize_hex(&stored.block.header).into());
    }
    let header = &stored.block.header;
    let mut object = Object::new()
        .with("hash", Json::text(hash))
        .with("confirmations", Json::int(chain.block_confirmations(&hash)))
        .with("height", Json::int(stored.height))
        .with("version", Json::int(header.version.to_consensus()))
        .with(
            "versionHex",
            format!("{:08x}", header.version.to_consensus()),
        )
        .with("merkleroot", Json::text(header.merkle_root));
    object.extend(header_tail(chain, &hash, stored));
    Ok(object.into())
}

fn header_tail(chain: &Chain, hash: &BlockHash, stored: &StoredBlock) -> Object {
    let header = &stored.block.header;
    let previous = (stored.height > 0).then(|| Json::text(header.prev_blockhash));
    let next = if chain.is_active(hash) {
        chain.at(stored.height + 1).map(Json::text)
    } else {
        None
    };
    Object::new()
        .with("time", Json::int(header.time))
        .with("mediantime", Json::int(chain.median_time(hash)))
        .with("nonce", Json::int(header.nonce))
        .with("bits", format!("{:08x}", header.bits.to_consensus()))
        .with("difficulty", Json::Number(DIFFICULTY.into()))
        .with("chainwork", chain_work(stored.height))
        .with_some("previousblockhash", previous)
        .with_some("nextblockhash", next)
}

/// Two hashes of work for every block.
fn chain_work(height: u32) -> String {
    format!("{:064x}", (u64::from(height) + 1) * 2)
}

pub(super) fn getblockchaininfo(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    let chain = &context.node.chain;
    let tip = chain.tip();
    let height = chain.height();
    let old_fork = |id: &str, version: i64| {
        Object::new()
            .with("id", id)
            .with("version", Json::int(version))
            .with("reject", Object::new().with("status", true))
            .into()
    };
    let new_fork = || {
        Object::new()
            .with("status", "defined")
            .with("startTime", Json::int(0))
            .with("timeout", Json::int(999_999_999_999_i64))
            .with("since", Json::int(0))
    };
    let blocks = (0..=height).filter_map(|height| chain.block(&chain.at(height)?));
    let bytes: usize = blocks
        .map(|stored| network::block_size(&stored.block) + 8)
        .sum();
    Ok(Object::new()
        .with("chain", network::CHAIN)
        .with("blocks", Json::int(height))
        .with("headers", Json::int(height))
        .with("bestblockhash", Json::text(tip))
        .with("difficulty", Json::Number(DIFFICULTY.into()))
        .with("mediantime", Json::int(chain.median_time(&tip)))
        .with("verificationprogress", Json::int(1))
        .with("initialblockdownload", height == 0)
        .with("chainwork", chain_work(height))
        .with("size_on_disk", Json::size(bytes))
        .with("pruned", false)
        .with(
            "softforks",
            Json::Array(vec![
                old_fork("bip34", 2),
                old_fork("bip66", 3),
                old_fork("bip65", 4),
            ]),
        )
        .with(
            "bip9_softforks",
            Object::new()
                .with("csv", new_fork())
                .with("segwit", new_fork()),
        )
        .with("warnings", "")
        .with("v2_0_fork_height", Json::int(0))
        .with("message_start", "fabfb5da")
        .into())
}

pub(super) fn getchaintips(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    let chain = &context.node.chain;
    let tips = chain.tips().into_iter().filter_map(|hash| {
        let stored = chain.block(&hash)?;
        let fork = chain.fork_height(&hash)?;
        let branch = chain.branch(&hash);
        let refused = branch
            .iter()
            .any(|hash| chain.block(hash).is_some_and(|stored| stored.invalid));
        let status = if hash == chain.tip() {
            "active"
        } else if refused {
            "invalid"
        } else {
            "valid-fork"
        };
        let tip = Object::new()
            .with("height", Json::int(stored.height))
            .with("hash", Json::text(hash))
            .with("branchlen", Json::int(stored.height - fork))
            .with("status", status);
        Some(tip.into())
    });
    Ok(Json::Array(tips.collect()))
}

pub(super) fn getmempoolinfo(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    let mempool = &context.node.mempool;
    Ok(Object::new()
        .with("size", Json::size(mempool.len()))
        .with("bytes", Json::size(mempool.bytes()))
        .with("usage", Json::size(mempool.bytes() * 5))
        .with("maxmempool", Json::int(300_000_000))
        .with("mempoolminfee", Florins::ZERO)
        .into())
}

pub(super) fn getrawmempool(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let mempool = &context.node.mempool;
    if !args.bool_or(0, false)? {
        return Ok(Json::Array(
            mempool
                .by_depth_and_fee()
                .into_iter()
                .map(Json::text)
                .collect(),
        ));
    }
    let mut all = Object::new();
    for txid in mempool.by_depth_and_fee() {
        if let Some(waiting) = mempool.get(&txid) {
            all.push(
                &txid.to_string(),
                describe_waiting(context.node, &txid, waiting),
            );
        }
    }
    Ok(all.into())
}

fn describe_waiting(node: &Node, txid: &bitcoin::Txid, waiting: &Waiting) -> Object {
    let mempool = &node.mempool;
    let total = |txids: &mut dyn Iterator<Item = bitcoin::Txid>| {
        let (mut count, mut size, mut fee) = (0_usize, 0_usize, Florins::ZERO);
        for waiting in txids.filter_map(|txid| mempool.get(&txid)) {
            count += 1;
            size += waiting.size;
            fee = fee.plus(waiting.fee);
        }
        (
            Json::size(count),
            Json::size(size),
            Json::int(fee.florins()),
        )
    };
    let descendants = total(&mut mempool.with_descendants(txid).into_iter());
    let ancestors = total(
        &mut mempool
            .ancestors(&waiting.transaction)
            .into_iter()
            .chain([*txid]),
    );
    let depends = mempool
        .parents(&waiting.transaction)
        .into_iter()
        .map(Json::text)
        .collect();
    let priority = |height| {
        let (total, bytes) =
            crate::validation::priority_parts(&node.chain, &waiting.transaction, height);
        Json::Number(quotient(total, bytes))
    };
    Object::new()
        .with("size", Json::size(waiting.size))
        .with("fee", waiting.fee)
        .with("modifiedfee", waiting.fee)
        .with("time", Json::int(waiting.time))
        .with("height", Json::int(waiting.height))
        .with("startingpriority", priority(waiting.height))
        .with("currentpriority", priority(node.chain.height()))
        .with("descendantcount", descendants.0)
        .with("descendantsize", descendants.1)
        .with("descendantfees", descendants.2)
        .with("ancestorcount", ancestors.0)
        .with("ancestorsize", ancestors.1)
        .with("ancestorfees", ancestors.2)
        .with("depends", Json::Array(depends))
}

/// A quotient with the 16 digits that Core shows of a floating-point number.
fn quotient(dividend: i128, divisor: i128) -> String {
    const DIGITS: usize = 16;
    let divisor = divisor.max(1);
    let whole = (dividend / divisor).to_string();
    let mut rest = dividend % divisor;
    let mut decimals = String::new();
    for _ in 0..DIGITS.saturating_sub(whole.len()) {
        rest *= 10;
        decimals.push_str(&(rest / divisor).to_string());
        rest %= divisor;
    }
    let decimals = decimals.trim_end_matches('0');
    if decimals.is_empty() {
        whole
    } else {
        format!("{whole}.{decimals}")
    }
}

pub(super) fn gettxout(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let node = &context.node;
    let txid = network::lenient_txid(args.text(0)?);
    let vout = args.int(1)?;
    let with_mempool = args.bool_or(2, true)?;
    let Ok(vout) = u32::try_from(vout) else {
        return Ok(Json::Null);
    };
    let outpoint = OutPoint::new(txid, vout);
    if with_mempool && node.mempool.spender(&outpoint).is_some() {
        return Ok(Json::Null);
    }
    let waiting = if with_mempool {
        node.mempool.output(&outpoint)
    } else {
        None
    };
    let (output, confirmations, coinbase, version) = if let Some(output) = waiting {
        let version = node
            .mempool
            .get(&txid)
            .map(|waiting| waiting.transaction.version.0);
        (output.clone(), 0, false, version)
    } else if let Some(coin) = node.chain.coin(&outpoint) {
        let version = node
            .chain
            .transaction(&txid)
            .map(|transaction| transaction.version.0);
        (
            coin.output,
            node.chain.confirmations_at(coin.height),
            coin.coinbase,
            version,
        )
    } else {
        return Ok(Json::Null);
    };
    Ok(Object::new()
        .with("bestblock", Json::text(node.chain.tip()))
        .with("confirmations", Json::int(confirmations))
        .with("value", Florins::of_output(&output))
        .with("scriptPubKey", script::describe(&output.script_pubkey))
        .with("version", Json::int(version.unwrap_or(1)))
        .with("coinbase", coinbase)
        .into())
}

pub(super) fn invalidateblock(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let (hash, stored) = known_block(&context.node.chain, args.text(0)?)?;
    if stored.height == 0 {
        return Err(RpcError::new(-20, "the genesis block cannot be refused"));
    }
    context.node.invalidate(&hash)?;
    Ok(Json::Null)
}

pub(super) fn reconsiderblock(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let (hash, _) = known_block(&context.node.chain, args.text(0)?)?;
    context.node.reconsider(&hash)?;
    Ok(Json::Null)
}

/// A number of blocks to mine; like Core's, a negative one is none.
fn block_count(args: &Args) -> Result<u32, RpcError> {
    let count = u32::try_from(args.int(0)?).unwrap_or(0);
    if count > MAX_BLOCKS_PER_CALL {
        let message = format!("the devnet mines at most {MAX_BLOCKS_PER_CALL} blocks at once");
        return Err(RpcError::new(codes::PARAMETER, message));
    }
    Ok(count)
}

pub(super) fn generate(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let count = block_count(args)?;
    if count == 0 {
        return Ok(Json::Array(Vec::new()));
    }
    let key = super::wallet::take_key(context.node, now())?;
    let script = bitcoin::ScriptBuf::new_p2pk(&key);
    let hashes = context.node.mine(count, &Payee::Script(script))?;
    Ok(Json::Array(hashes.into_iter().map(Json::text).collect()))
}

pub(super) fn generatetoaddress(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let count = block_count(args)?;
    let address = Address::parse(args.text(1)?)
        .ok_or_else(|| RpcError::new(codes::ADDRESS_OR_KEY, "Error: Invalid address"))?;
    let hashes = context.node.mine(count, &Payee::Script(address.script()))?;
    Ok(Json::Array(hashes.into_iter().map(Json::text).collect()))
}
