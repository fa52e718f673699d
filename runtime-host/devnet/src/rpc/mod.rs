//! JSON-RPC as Core speaks it: one request in, one answer out.

pub mod args;
pub mod blockchain;
pub mod devnet;
pub mod info;
pub mod listing;
pub mod rawtx;
pub mod send;
pub mod wallet;

use std::path::Path;

use crate::json::{Json, Object};
use crate::node::{Node, NodeError};
use args::Args;

/// An error as JSON-RPC carries it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RpcError {
    /// Core's number.
    pub code: i64,
    /// Core's text.
    pub message: String,
}

impl RpcError {
    /// An error with this number and text.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        RpcError {
            code,
            message: message.into(),
        }
    }

    /// The body was not JSON.
    #[must_use]
    pub fn parse() -> Self {
        RpcError::new(codes::PARSE, "Parse error")
    }

    /// The status of an answer that is this error alone.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.code {
            codes::INVALID_REQUEST => 400,
            codes::METHOD_NOT_FOUND => 404,
            _ => 500,
        }
    }
}

impl From<NodeError> for RpcError {
    fn from(error: NodeError) -> Self {
        RpcError::new(codes::INTERNAL, error.to_string())
    }
}

/// Core's error numbers.
pub mod codes {
    /// Not JSON.
    pub const PARSE: i64 = -32700;
    /// Not a request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// A fault of the node.
    pub const INTERNAL: i64 = -32603;
    /// Anything else: usage, wrong types.
    pub const MISC: i64 = -1;
    /// A type or an amount.
    pub const TYPE: i64 = -3;
    /// The wallet cannot.
    pub const WALLET: i64 = -4;
    /// An address, key, transaction or block that is none or unknown.
    pub const ADDRESS_OR_KEY: i64 = -5;
    /// Not enough money.
    pub const INSUFFICIENT_FUNDS: i64 = -6;
    /// A parameter that makes no sense.
    pub const PARAMETER: i64 = -8;
    /// A reserved account name.
    pub const ACCOUNT_NAME: i64 = -11;
    /// A locked wallet without prepared keys.
    pub const KEYPOOL: i64 = -12;
    /// The wallet is locked.
    pub const UNLOCK_NEEDED: i64 = -13;
    /// A wrong passphrase.
    pub const PASSPHRASE: i64 = -14;
    /// Encryption is not as the method needs it.
    pub const ENCRYPTION_STATE: i64 = -15;
    /// Bytes that are no transaction.
    pub const DESERIALIZATION: i64 = -22;
    /// A transaction without its inputs.
    pub const TRANSACTION: i64 = -25;
    /// A transaction that breaks a rule.
    pub const REJECTED: i64 = -26;
    /// A transaction that is in the chain.
    pub const IN_CHAIN: i64 = -27;
    /// The node is starting.
    pub const WARMUP: i64 = -28;
}

/// One call, its envelope read.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is called.
    pub method: String,
    /// A list, or an object of named ones.
    pub params: Json,
    /// Handed back as it came.
    pub id: Json,
}

/// Reads the envelope of one call. The error comes with the id, as far as that could be read.
///
/// # Errors
/// [`codes::INVALID_REQUEST`] for anything that is no call.
pub fn read_call(request: &Json) -> Result<Call, (RpcError, Json)> {
    let refuse =
        |message: &str, id: Json| Err((RpcError::new(codes::INVALID_REQUEST, message), id));
    if !matches!(request, Json::Object(_)) {
        return refuse("Invalid Request object", Json::Null);
    }
    let id = request.get("id").cloned().unwrap_or(Json::Null);
    let method = match request.get("method") {
        None | Some(Json::Null) => return refuse("Missing method", id),
        Some(Json::String(method)) => method.clone(),
        Some(_) => return refuse("Method must be a string", id),
    };
    let params = match request.get("params") {
        None | Some(Json::Null) => Json::Array(Vec::new()),
        Some(params @ (Json::Array(_) | Json::Object(_))) => params.clone(),
        Some(_) => return refuse("Params must be an array or object", id),
    };
    Ok(Call { method, params, id })
}

/// One answer: `result`, `error`, `id`, in this order.
#[must_use]
pub fn reply(result: Result<Json, RpcError>, id: Json) -> Json {
    let (result, error) = match result {
        Ok(result) => (result, Json::Null),
        Err(error) => {
            let error = Object::new()
                .with("code", Json::int(error.code))
                .with("message", error.message);
            (Json::Null, error.into())
        }
    };
    Object::new()
        .with("result", result)
        .with("error", error)
        .with("id", id)
        .into()
}

/// What a method may use beside its parameters.
#[derive(Debug)]
pub struct Context<'a> {
    /// The state.
    pub node: &'a mut Node,
    /// Where `backupwallet` writes.
    pub backups: &'a Path,
}

type Run = fn(&mut Context<'_>, &Args) -> Result<Json, RpcError>;

/// A method of Core's.
struct Method {
    name: &'static str,
    /// Names of the parameters, in order.
    names: &'static [&'static str],
    /// The least and the greatest number of parameters.
    count: (usize, usize),
    /// First line of the help text.
    usage: &'static str,
    run: Run,
}

macro_rules! method {
    ($name:literal, [$($arg:literal),*], $least:literal ..= $most:literal, $usage:literal, $run:path) => {
        Method { name: $name, names: &[$($arg),*], count: ($least, $most), usage: $usage, run: $run }
    };
}

const METHODS: &[Method] = &[
    method!(
        "getbestblockhash",
        [],
        0..=0,
        "getbestblockhash",
        blockchain::getbestblockhash
    ),
    method!(
        "getblock",
        ["blockhash", "verbosity"],
        1..=2,
        "getblock \"blockhash\" ( verbosity ) ",
        blockchain::getblock
    ),
    method!(
        "getblockchaininfo",
        [],
        0..=0,
        "getblockchaininfo",
        blockchain::getblockchaininfo
    ),
    method!(
        "getblockcount",
        [],
        0..=0,
        "getblockcount",
        blockchain::getblockcount
    ),
    method!(
        "getblockhash",
        ["height"],
        1..=1,
        "getblockhash height",
        blockchain::getblockhash
    ),
    method!(
        "getblockheader",
        ["blockhash", "verbose"],
        1..=2,
        "getblockheader \"hash\" ( verbose )",
        blockchain::getblockheader
    ),
    method!(
        "getchaintips",
        [],
        0..=0,
        "getchaintips",
        blockchain::getchaintips
    ),
    method!(
        "getdifficulty",
        [],
        0..=0,
        "getdifficulty",
        blockchain::getdifficulty
    ),
    method!(
        "getmempoolinfo",
        [],
        0..=0,
        "getmempoolinfo",
        blockchain::getmempoolinfo
    ),
    method!(
        "getrawmempool",
        ["verbose"],
        0..=1,
        "getrawmempool ( verbose )",
        blockchain::getrawmempool
    ),
    method!(
        "gettxout",
        ["txid", "n", "include_mempool"],
        2..=3,
        "gettxout \"txid\" n ( include_mempool )",
        blockchain::gettxout
    ),
    method!(
        "invalidateblock",
        ["blockhash"],
        1..=1,
        "invalidateblock \"blockhash\"",
        blockchain::invalidateblock
    ),
    method!(
        "reconsiderblock",
        ["blockhash"],
        1..=1,
        "reconsiderblock \"blockhash\"",
        blockchain::reconsiderblock
    ),
    method!(
        "generate",
        ["nblocks", "maxtries", "auxpow"],
        1..=3,
        "generate nblocks ( maxtries auxpow )",
        blockchain::generate
    ),
    method!(
        "generatetoaddress",
        ["nblocks", "address", "maxtries", "auxpow"],
        2..=4,
        "generatetoaddress nblocks address (maxtries auxpow)",
        blockchain::generatetoaddress
    ),
    method!(
        "getconnectioncount",
        [],
        0..=0,
        "getconnectioncount",
        info::getconnectioncount
    ),
    method!("getinfo", [], 0..=0, "getinfo", info::getinfo),
    method!(
        "getmininginfo",
        [],
        0..=0,
        "getmininginfo",
        info::getmininginfo
    ),
    method!(
        "getnetworkinfo",
        [],
        0..=0,
        "getnetworkinfo",
        info::getnetworkinfo
    ),
    method!("getpeerinfo", [], 0..=0, "getpeerinfo", info::getpeerinfo),
    method!(
        "getwalletinfo",
        [],
        0..=0,
        "getwalletinfo",
        info::getwalletinfo
    ),
    method!(
        "help",
        ["command"],
        0..=1,
        "help ( \"command\" )",
        info::help
    ),
    method!("ping", [], 0..=0, "ping", info::ping),
    method!(
        "estimatefee",
        ["nblocks"],
        1..=1,
        "estimatefee nblocks",
        info::estimatefee
    ),
    method!(
        "estimatesmartfee",
        ["nblocks"],
        1..=1,
        "estimatesmartfee nblocks",
        info::estimatesmartfee
    ),
    method!(
        "validateaddress",
        ["address"],
        1..=1,
        "validateaddress \"address\"",
        wallet::validateaddress
    ),
    method!(
        "createrawtransaction",
        ["inputs", "outputs", "locktime"],
        2..=3,
        "createrawtransaction [{\"txid\":\"id\",\"vout\":n},...] {\"address\":amount,\"data\":\"hex\",...} ( locktime )",
        rawtx::createrawtransaction
    ),
    method!(
        "decoderawtransaction",
        ["hexstring"],
        1..=1,
        "decoderawtransaction \"hexstring\"",
        rawtx::decoderawtransaction
    ),
    method!(
        "getrawtransaction",
        ["txid", "verbose"],
        1..=2,
        "getrawtransaction \"txid\" ( verbose )",
        rawtx::getrawtransaction
    ),
    method!(
        "sendrawtransaction",
        ["hexstring", "allowhighfees"],
        1..=2,
        "sendrawtransaction \"hexstring\" ( allowhighfees )",
        rawtx::sendrawtransaction
    ),
    method!(
        "signrawtransaction",
        ["hexstring", "prevtxs", "privkeys", "sighashtype"],
        1..=4,
        "signrawtransaction \"hexstring\" ( [{\"txid\":\"id\",\"vout\":n,\"scriptPubKey\":\"hex\",\"redeemScript\":\"hex\"},...] [\"privatekey1\",...] sighashtype )",
        rawtx::signrawtransaction
    ),
    method!(
        "backupwallet",
        ["destination"],
        1..=1,
        "backupwallet \"destination\"",
        wallet::backupwallet
    ),
    method!(
        "encryptwallet",
        ["passphrase"],
        0..=9,
        "encryptwallet \"passphrase\"",
        wallet::encryptwallet
    ),
    method!(
        "getaccount",
        ["address"],
        1..=1,
        "getaccount \"address\"",
        wallet::getaccount
    ),
    method!(
        "getaddressesbyaccount",
        ["account"],
        1..=1,
        "getaddressesbyaccount \"account\"",
        wallet::getaddressesbyaccount
    ),
    method!(
        "getnewaddress",
        ["account"],
        0..=1,
        "getnewaddress ( \"account\" )",
        wallet::getnewaddress
    ),
    method!(
        "getrawchangeaddress",
        [],
        0..=1,
        "getrawchangeaddress",
        wallet::getrawchangeaddress
    ),
    method!("walletlock", [], 0..=9, "walletlock", wallet::walletlock),
    method!(
        "walletpassphrase",
        ["passphrase", "timeout"],
        0..=9,
        "walletpassphrase \"passphrase\" timeout",
        wallet::walletpassphrase
    ),
    method!(
        "getbalance",
        ["account", "minconf", "include_watchonly"],
        0..=3,
        "getbalance ( \"account\" minconf include_watchonly )",
        listing::getbalance
    ),
    method!(
        "gettransaction",
        ["txid", "include_watchonly"],
        1..=2,
        "gettransaction \"txid\" ( include_watchonly )",
        listing::gettransaction
    ),
    method!(
        "getunconfirmedbalance",
        [],
        0..=0,
        "getunconfirmedbalance",
        listing::getunconfirmedbalance
    ),
    method!(
        "listsinceblock",
        ["blockhash", "target_confirmations", "include_watchonly"],
        0..=3,
        "listsinceblock ( \"blockhash\" target_confirmations include_watchonly)",
        listing::listsinceblock
    ),
    method!(
        "listtransactions",
        ["account", "count", "skip", "include_watchonly"],
        0..=4,
        "listtransactions ( \"account\" count skip include_watchonly)",
        listing::listtransactions
    ),
    method!(
        "listunspent",
        [
            "minconf",
            "maxconf",
            "addresses",
            "include_unsafe",
            "query_options"
        ],
        0..=5,
        "listunspent ( minconf maxconf  [\"addresses\",...] [include_unsafe] [query_options])",
        listing::listunspent
    ),
    method!(
        "sendtoaddress",
        [
            "address",
            "amount",
            "comment",
            "comment_to",
            "subtractfeefromamount"
        ],
        2..=5,
        "sendtoaddress \"address\" amount ( \"comment\" \"comment_to\" subtractfeefromamount )",
        send::sendtoaddress
    ),
    method!(
        "settxfee",
        ["amount"],
        1..=1,
        "settxfee amount",
        send::settxfee
    ),
];

/// Names and first help lines of all methods, in order of the table.
pub fn usages() -> impl Iterator<Item = (&'static str, &'static str)> {
    METHODS.iter().map(|method| (method.name, method.usage))
}

/// Runs one method of Core's.
///
/// # Errors
/// What Core would answer.
pub fn run(context: &mut Context<'_>, name: &str, params: &Json) -> Result<Json, RpcError> {
    let method = METHODS
        .iter()
        .find(|method| method.name == name)
        .ok_or_else(|| RpcError::new(codes::METHOD_NOT_FOUND, "Method not found"))?;
    let args = Args::new(params, method.names)?;
    if args.len() < method.count.0 || args.len() > method.count.1 {
        return Err(RpcError::new(codes::MISC, format!("{}\n", method.usage)));
    }
    (method.run)(context, &args)
}

/// Complains about the number of parameters, as the methods do that first look at something else.
fn usage(name: &str) -> RpcError {
    let usage = usages()
        .find(|(known, _)| *known == name)
        .map_or(name, |(_, usage)| usage);
    RpcError::new(codes::MISC, format!("{usage}\n"))
}
