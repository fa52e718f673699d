//! Questions about the wallet's money: balances, lists, coins.

use std::collections::BTreeSet;

use super::args::{self, Args, expect_type};
use super::{Context, RpcError, codes};
use crate::amount::{Florins, MAX_MONEY};
use crate::json::{Json, Object};
use crate::network::{Address, lenient_block_hash, lenient_txid};

pub(super) fn getbalance(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let view = context.node.view();
    if args.is_empty() {
        return Ok(view.balance().into());
    }
    let least = args.int_or(1, 1)?;
    args.bool_or(2, false)?;
    let account = args.text(0)?;
    Ok(view
        .account_balance(
            Some(account).filter(|account| *account != "*"),
            i64::from(least),
        )
        .into())
}

pub(super) fn getunconfirmedbalance(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    Ok(context.node.view().unconfirmed_balance().into())
}

pub(super) fn gettransaction(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let txid = lenient_txid(args.text(0)?);
    args.bool_or(1, false)?;
    let node = &context.node;
    let known = node.wallet.transactions.get(&txid).ok_or_else(|| {
        RpcError::new(
            codes::ADDRESS_OR_KEY,
            "Invalid or non-wallet transaction id",
        )
    })?;
    Ok(node.view().describe(&txid, known).into())
}

pub(super) fn listtransactions(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let account = if args.has(0) { args.text(0)? } else { "*" };
    let count = args.int_or(1, 10)?;
    let skip = args.int_or(2, 0)?;
    args.bool_or(3, false)?;
    let count =
        usize::try_from(count).map_err(|_| RpcError::new(codes::PARAMETER, "Negative count"))?;
    let skip =
        usize::try_from(skip).map_err(|_| RpcError::new(codes::PARAMETER, "Negative from"))?;
    let account = Some(account).filter(|account| *account != "*");
    let view = context.node.view();
    let mut newest_first: Vec<_> = view.wallet.transactions.iter().collect();
    newest_first.sort_unstable_by_key(|(_, known)| std::cmp::Reverse(known.order));
    let entries = newest_first
        .into_iter()
        .flat_map(|(txid, known)| view.entries(txid, known, account, true));
    let mut page: Vec<Json> = entries.skip(skip).take(count).collect();
    page.reverse();
    Ok(Json::Array(page))
}

pub(super) fn listsinceblock(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let view = context.node.view();
    let chain = view.chain;
    // An unknown hash, even one that is none, means: from the beginning.
    let since = if args.has(0) {
        chain.fork_height(&lenient_block_hash(args.text(0)?))
    } else {
        None
    };
    let target = args.int_or(1, 1)?;
    if target < 1 {
        return Err(RpcError::new(codes::PARAMETER, "Invalid parameter"));
    }
    args.bool_or(2, false)?;
    let depth_limit = since.map(|height| chain.confirmations_at(height));
    let mut entries = Vec::new();
    for (txid, known) in &view.wallet.transactions {
        if depth_limit.is_none_or(|limit| view.depth(txid) < limit) {
            entries.extend(view.entries(txid, known, None, true));
        }
    }
    let last = u32::try_from(i64::from(chain.height()) + 1 - i64::from(target)).ok();
    let last = last
        .and_then(|height| chain.at(height))
        .unwrap_or_else(bitcoin::hashes::Hash::all_zeros);
    Ok(Object::new()
        .with("transactions", Json::Array(entries))
        .with("lastblock", Json::text(last))
        .into())
}

/// `query_options` of `listunspent`.
struct Query {
    least: Florins,
    most: Florins,
    enough: Florins,
    count: u64,
}

fn read_query(options: &Json) -> Result<Query, RpcError> {
    if !matches!(options, Json::Object(_)) {
        return Err(RpcError::new(
            codes::MISC,
            "JSON value is not an object as expected",
        ));
    }
    let amount = |name: &str, default: i64| {
        options
            .get(name)
            .map_or(Ok(Florins::new(default)), args::amount)
    };
    Ok(Query {
        least: amount("minimumAmount", 0)?,
        most: amount("maximumAmount", MAX_MONEY)?,
        enough: amount("minimumSumAmount", MAX_MONEY)?,
        count: options
            .get("maximumCount")
            .map_or(Ok(0), args::number::<u64>)?,
    })
}

pub(super) fn listunspent(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let depth = |place: usize, default: i32| match args.given(place) {
        None => Ok(default),
        Some(value) => expect_type(value, "number").and_then(|()| args::int(value)),
    };
    let least_depth = depth(0, 1)?;
    let most_depth = depth(1, 9_999_999)?;
    let mut addresses = BTreeSet::new();
    if let Some(value) = args.given(2) {
        expect_type(value, "array")?;
        for address in value.as_array().unwrap_or_default() {
            let text = args::text(address)?;
            let address = Address::parse(text).ok_or_else(|| {
                RpcError::new(
                    codes::ADDRESS_OR_KEY,
                    format!("Invalid Flopcoin address: {text}"),
                )
            })?;
            if !addresses.insert(address) {
                let message = format!("Invalid parameter, duplicated address: {text}");
                return Err(RpcError::new(codes::PARAMETER, message));
            }
        }
    }
    let unsafe_too = match args.given(3) {
        None => true,
        Some(value) => expect_type(value, "bool").and_then(|()| args::bool(value))?,
    };
    let no_options = Json::Object(Vec::new());
    let query = read_query(if args.has(4) {
        args.get(4)
    } else {
        &no_options
    })?;

    let view = context.node.view();
    let mut listed = Vec::new();
    let mut sum = Florins::ZERO;
    // Core limits by amount, sum and count before it looks at the addresses.
    for coin in view.coins() {
        let amount = Florins::of_output(&coin.output);
        let deep_enough =
            coin.depth >= i64::from(least_depth) && coin.depth <= i64::from(most_depth);
        let safe = coin.depth > 0 || coin.trusted;
        if !deep_enough || !(unsafe_too || safe) || amount < query.least || amount > query.most {
            continue;
        }
        listed.push(coin);
        sum = sum.plus(amount);
        let reached = query.enough.florins() != MAX_MONEY && sum >= query.enough;
        if reached
            || (query.count > 0
                && u64::try_from(listed.len()).is_ok_and(|length| length >= query.count))
        {
            break;
        }
    }
    let wanted = listed.iter().filter(|coin| {
        addresses.is_empty()
            || Address::of_script(&coin.output.script_pubkey)
                .is_some_and(|address| addresses.contains(&address))
    });
    Ok(Json::Array(
        wanted.map(|coin| view.describe_coin(coin).into()).collect(),
    ))
}
