//! Addresses, accounts, encryption and backups.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use bitcoin::PublicKey;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::hex::DisplayHex;

use super::args::{self, Args};
use super::{Context, RpcError, codes};
use crate::event::Event;
use crate::json::{Json, Object};
use crate::network::Address;
use crate::node::{Node, now, random_bytes};
use crate::wallet::Lock;
use crate::wallet::keys::POOL_SIZE;

/// Rounds of hashing that make guessing a passphrase slow.
const KEY_ROUNDS: u32 = 25_000;
/// Core forgets time-outs beyond this many seconds: the sum wraps or the timer ends at once.
const LONGEST_UNLOCK_SECONDS: i64 = i64::MAX / 2;

/// The wallet must be unlocked first.
pub(super) fn locked() -> RpcError {
    let message = "Error: Please enter the wallet passphrase with walletpassphrase first.";
    RpcError::new(codes::UNLOCK_NEEDED, message)
}

fn invalid_address() -> RpcError {
    RpcError::new(codes::ADDRESS_OR_KEY, "Invalid Flopcoin address")
}

/// An account name; only `"*"` is none.
fn account(value: &Json) -> Result<&str, RpcError> {
    match args::text(value)? {
        "*" => Err(RpcError::new(codes::ACCOUNT_NAME, "Invalid account name")),
        name => Ok(name),
    }
}

/// Counts one key out of the pool, which only an unlocked wallet fills again.
fn use_pool(node: &mut Node, time: i64) -> Result<(), RpcError> {
    if !node.wallet.is_locked(time) {
        node.wallet.keys.pool = POOL_SIZE;
        return Ok(());
    }
    node.wallet.keys.pool = node.wallet.keys.pool.checked_sub(1).ok_or_else(|| {
        RpcError::new(
            codes::KEYPOOL,
            "Error: Keypool ran out, please call keypoolrefill first",
        )
    })?;
    Ok(())
}

/// Takes a key that gets no name: for change or for mining.
pub(super) fn take_key(node: &mut Node, time: i64) -> Result<PublicKey, RpcError> {
    use_pool(node, time)?;
    node.commit(Event::Taken { time })?;
    let key = node.wallet.keys.taken().last().map(|key| key.public);
    key.ok_or_else(|| RpcError::new(codes::INTERNAL, "no key was taken"))
}

pub(super) fn getnewaddress(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let account = if args.has(0) {
        account(args.get(0))?
    } else {
        ""
    };
    let node = &mut *context.node;
    use_pool(node, now())?;
    node.commit(Event::Named {
        account: account.to_owned(),
        time: now(),
    })?;
    let key = node.wallet.keys.taken().last();
    key.map(|key| Json::text(key.address()))
        .ok_or_else(|| RpcError::new(codes::INTERNAL, "no key was taken"))
}

pub(super) fn getrawchangeaddress(context: &mut Context<'_>, _: &Args) -> Result<Json, RpcError> {
    let key = take_key(context.node, now())?;
    Ok(Json::text(Address::Key(key.pubkey_hash())))
}

pub(super) fn getaddressesbyaccount(
    context: &mut Context<'_>,
    args: &Args,
) -> Result<Json, RpcError> {
    let account = account(args.get(0))?;
    Ok(Json::Array(
        context
            .node
            .wallet
            .addresses_of(account)
            .map(Json::text)
            .collect(),
    ))
}

pub(super) fn getaccount(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let address = Address::parse(args.text(0)?).ok_or_else(invalid_address)?;
    Ok(context
        .node
        .wallet
        .book
        .get(&address)
        .cloned()
        .unwrap_or_default()
        .into())
}

pub(super) fn validateaddress(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let Some(address) = Address::parse(args.text(0)?) else {
        return Ok(Object::new().with("isvalid", false).into());
    };
    let wallet = &context.node.wallet;
    let script = address.script();
    let key = wallet.key_for(&script);
    let account = wallet.book.get(&address).map(String::as_str);
    Ok(Object::new()
        .with("isvalid", true)
        .with("address", Json::text(address))
        .with("scriptPubKey", script.to_hex_string())
        .with("ismine", key.is_some())
        .with("iswatchonly", false)
        .with("isscript", matches!(address, Address::Script(_)))
        .with_some("pubkey", key.map(|key| key.public.to_string()))
        .with_some("iscompressed", key.map(|_| true))
        .with_some("account", account)
        .with_some("timestamp", key.map(|key| Json::int(key.created)))
        .with_some("hdkeypath", key.map(|key| key.shown_path()))
        .with_some("hdmasterkeyid", key.map(|key| key.master.clone()))
        .into())
}

/// A passphrase as Core reads it: up to the first NUL.
fn passphrase(args: &Args) -> Result<String, RpcError> {
    Ok(args
        .text(0)?
        .split('\0')
        .next()
        .unwrap_or_default()
        .to_owned())
}

fn digest(salt: &str, passphrase: &str) -> String {
    let mut digest = sha256::Hash::hash(format!("{salt}:{passphrase}").as_bytes());
    for _ in 0..KEY_ROUNDS {
        let mut engine = sha256::Hash::engine();
        engine.input(digest.as_byte_array());
        engine.input(passphrase.as_bytes());
        digest = sha256::Hash::from_engine(engine);
    }
    digest.to_string()
}

fn encryption_state(encrypted: bool, method: &str) -> RpcError {
    let state = if encrypted {
        "an encrypted"
    } else {
        "an unencrypted"
    };
    let message = format!("Error: running with {state} wallet, but {method} was called.");
    RpcError::new(codes::ENCRYPTION_STATE, message)
}

/// Encrypts and locks at once. Core would now exit and have to be started again; the devnet goes on.
/// Only the passphrase check is real: the keys stay as they are in memory and in the journal.
pub(super) fn encryptwallet(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let node = &mut *context.node;
    if node.wallet.encryption.is_some() {
        return Err(encryption_state(true, "encryptwallet"));
    }
    if args.len() != 1 {
        return Err(super::usage("encryptwallet"));
    }
    let passphrase = passphrase(args)?;
    if passphrase.is_empty() {
        let usage = "encryptwallet <passphrase>\nEncrypts the wallet with <passphrase>.";
        return Err(RpcError::new(codes::MISC, usage));
    }
    let salt = random_bytes().to_lower_hex_string();
    let digest = digest(&salt, &passphrase);
    let wallet_seed = random_bytes().to_lower_hex_string();
    node.commit(Event::Encrypted {
        salt,
        digest,
        wallet_seed,
        time: now(),
    })?;
    Ok("wallet encrypted; Flopcoin server stopping, restart to run with encrypted wallet. The keypool has been flushed and a new HD seed was generated (if you are using HD). You need to make a new backup.".into())
}

/// Unlocks before it reads the time-out, as Core does: with one that is no number the call fails,
/// and the wallet stays open for ever.
pub(super) fn walletpassphrase(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let wallet = &mut context.node.wallet;
    let Some(encryption) = wallet.encryption.as_mut() else {
        return Err(encryption_state(false, "walletpassphrase"));
    };
    if args.len() != 2 {
        return Err(super::usage("walletpassphrase"));
    }
    let passphrase = passphrase(args)?;
    if passphrase.is_empty() {
        let usage = "walletpassphrase <passphrase> <timeout>\nStores the wallet decryption key in memory for <timeout> seconds.";
        return Err(RpcError::new(codes::MISC, usage));
    }
    if digest(&encryption.salt, &passphrase) != encryption.digest {
        return Err(RpcError::new(
            codes::PASSPHRASE,
            "Error: The wallet passphrase entered was incorrect.",
        ));
    }
    if !matches!(encryption.lock, Lock::Until(end) if now() < end) {
        encryption.lock = Lock::Open;
    }
    wallet.keys.pool = POOL_SIZE;
    let seconds = args::number::<i64>(args.get(1))?;
    encryption.lock = if (1..LONGEST_UNLOCK_SECONDS).contains(&seconds) {
        Lock::Until(now().saturating_add(seconds))
    } else {
        Lock::Locked
    };
    Ok(Json::Null)
}

pub(super) fn walletlock(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let Some(encryption) = context.node.wallet.encryption.as_mut() else {
        return Err(encryption_state(false, "walletlock"));
    };
    if !args.is_empty() {
        return Err(super::usage("walletlock"));
    }
    encryption.lock = Lock::Locked;
    Ok(Json::Null)
}

/// Writes the keys, with the accounts of their addresses, to a new file of the backup folder. As in
/// Core the directory part of the name does not count and nothing is overwritten.
pub(super) fn backupwallet(context: &mut Context<'_>, args: &Args) -> Result<Json, RpcError> {
    let name = args.text(0)?.rsplit('/').next().unwrap_or_default();
    let exists = || {
        RpcError::new(
            codes::PARAMETER,
            "Wallet dump file already exists; not overwriting",
        )
    };
    if matches!(name, "" | "." | "..") {
        return Err(exists());
    }
    let failed = |error: std::io::Error| RpcError::new(codes::MISC, format!("backup: {error}"));
    std::fs::create_dir_all(context.backups).map_err(failed)?;
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(context.backups.join(name));
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(),
        _ => failed(error),
    })?;
    let wallet = &context.node.wallet;
    let mut dump = String::new();
    for key in wallet.keys.taken() {
        let address = key.address();
        let account = wallet
            .book
            .get(&address)
            .map(|name| Json::text(name).to_string());
        let wif = bitcoin::PrivateKey::new(key.secret, bitcoin::NetworkKind::Test).to_wif();
        dump.push_str(&format!(
            "{wif} {address} {}\n",
            account.as_deref().unwrap_or("change")
        ));
    }
    file.write_all(dump.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(Json::Null)
}
