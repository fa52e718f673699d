//! What the node says about itself.

use super::args::{Args, expect_type};
use super::{Context, RpcError};
use crate::amount::Florins;
use crate::json::{Json, Object};
use crate::network::{self, DIFFICULTY};
use crate::node::{Node, now};
use crate::validation::RELAY_FEE_RATE;
use crate::wallet::Lock;

const VERSION: i64 = 2_000_000;
const PROTOCOL_VERSION: i64 = 70_016;
const WALLET_VERSION: i64 = 130_000;

pub(super) fn getconnectioncount(_: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    Ok(Json::int(0))
}

pub(super) fn getpeerinfo(_: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    Ok(Json::Array(Vec::new()))
}

pub(super) fn ping(_: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    Ok(Json::Null)
}

/// `unlocked_until`, which only an encrypted wallet has.
fn unlocked_until(node: &Node) -> Option<Json> {
    let encryption = node.wallet.encryption.as_ref()?;
    Some(Json::int(match encryption.lock {
        Lock::Until(end) if now() < end => end,
        Lock::Until(_) | Lock::Locked | Lock::Open => 0,
    }))
}

pub(super) fn getinfo(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    let node = &context.node;
    let keys = &node.wallet.keys;
    Ok(Object::new()
        .with("version", Json::int(VERSION))
        .with("protocolversion", Json::int(PROTOCOL_VERSION))
        .with("walletversion", Json::int(WALLET_VERSION))
        .with("balance", node.view().balance())
        .with("blocks", Json::int(node.chain.height()))
        .with("timeoffset", Json::int(0))
        .with("connections", Json::int(0))
        .with("proxy", "")
        .with("difficulty", Json::Number(DIFFICULTY.into()))
        .with("testnet", false)
        .with("keypoololdest", Json::int(keys.pool_since))
        .with("keypoolsize", Json::size(keys.pool))
        .with_some("unlocked_until", unlocked_until(node))
        .with("paytxfee", node.wallet.fee_rate)
        .with("relayfee", RELAY_FEE_RATE)
        .with("errors", "")
        .into())
}

pub(super) fn getwalletinfo(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    let node = &context.node;
    let view = node.view();
    let keys = &node.wallet.keys;
    Ok(Object::new()
        .with("walletversion", Json::int(WALLET_VERSION))
        .with("balance", view.balance())
        .with("unconfirmed_balance", view.unconfirmed_balance())
        .with("immature_balance", view.immature_balance())
        .with("txcount", Json::size(node.wallet.transactions.len()))
        .with("keypoololdest", Json::int(keys.pool_since))
        .with("keypoolsize", Json::size(keys.pool))
        .with_some("unlocked_until", unlocked_until(node))
        .with("paytxfee", node.wallet.fee_rate)
        .with("hdmasterkeyid", keys.master())
        .into())
}

pub(super) fn getnetworkinfo(_: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    let network = |name: &str, reachable: bool| {
        Object::new()
            .with("name", name)
            .with("limited", !reachable)
            .with("reachable", reachable)
            .with("proxy", "")
            .with("proxy_randomize_credentials", false)
            .into()
    };
    Ok(Object::new()
        .with("version", Json::int(VERSION))
        .with("subversion", "/Floptoshi:2.0.0/")
        .with("protocolversion", Json::int(PROTOCOL_VERSION))
        .with("localservices", "000000000000000d")
        .with("localrelay", true)
        .with("timeoffset", Json::int(0))
        .with("networkactive", true)
        .with("connections", Json::int(0))
        .with(
            "networks",
            Json::Array(vec![
                network("ipv4", true),
                network("ipv6", true),
                network("onion", false),
            ]),
        )
        .with("relayfee", RELAY_FEE_RATE)
        .with("incrementalfee", Florins::new(10_000))
        .with("softdustlimit", Florins::new(1_000_000))
        .with("harddustlimit", Florins::new(100_000))
        .with("localaddresses", Json::Array(Vec::new()))
        .with("warnings", "")
        .into())
}

pub(super) fn getmininginfo(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    let node = &context.node;
    Ok(Object::new()
        .with("blocks", Json::int(node.chain.height()))
        .with("currentblocksize", Json::int(0))
        .with("currentblockweight", Json::int(0))
        .with("currentblocktx", Json::int(0))
        .with("difficulty", Json::Number(DIFFICULTY.into()))
        .with("errors", "")
        .with("networkhashps", Json::int(0))
        .with("pooledtx", Json::size(node.mempool.len()))
        .with("chain", network::CHAIN)
        .into())
}

pub(super) fn help(_: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let wanted = if args.has(0) { args.text(0)? } else { "" };
    if wanted.is_empty() {
        let lines: Vec<&str> = super::usages().map(|(_, usage)| usage).collect();
        return Ok(format!("== Devnet ==\n{}", lines.join("\n")).into());
    }
    let usage = super::usages()
        .find(|(name, _)| *name == wanted)
        .map(|(_, usage)| format!("{usage}\n"));
    Ok(usage
        .unwrap_or_else(|| format!("help: unknown command: {wanted}"))
        .into())
}

/// A devnet never has enough data for an estimate.
pub(super) fn estimatefee(_: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    expect_type(args.get(0), "number")?;
    args.int(0)?;
    Ok(Json::int(-1))
}

pub(super) fn estimatesmartfee(_: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    expect_type(args.get(0), "number")?;
    args.int(0)?;
    Ok(Object::new()
        .with("feerate", Json::int(-1))
        .with("blocks", Json::int(25))
        .into())
}
