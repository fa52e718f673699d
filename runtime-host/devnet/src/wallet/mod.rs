//! The node's wallet: its keys, address book and transactions.

pub mod keys;
pub mod view;

use std::collections::{BTreeMap, HashMap};

use bitcoin::secp256k1::{All, Secp256k1};
use bitcoin::{OutPoint, Script, Transaction, Txid};

use crate::amount::Florins;
use crate::network::Address;
use keys::{Key, KeyError, Keys};

/// The least fee rate of the wallet, in florins per 1000 bytes (`-mintxfee`).
pub const LEAST_FEE_RATE: Florins = Florins::new(1_000_000);

/// Seconds by which a transaction's time may be ahead of the clock and still count for the next one.
const MAX_TIME_AHEAD: i64 = 300;

/// A transaction that pays to or from the wallet.
#[derive(Clone, Debug)]
pub struct WalletTx {
    /// The transaction.
    pub transaction: Transaction,
    /// When the wallet first saw it, unix seconds.
    pub received: i64,
    /// The time shown to users: `received`, or that of its block if it was first seen in one.
    pub time: i64,
    /// Place in order of arrival.
    pub order: u64,
    /// What the sender noted.
    pub comment: String,
    /// Whom the sender named as receiver.
    pub to: String,
}

/// How an encrypted wallet knows its passphrase.
#[derive(Clone, Debug)]
pub struct Encryption {
    /// Random bytes mixed with the passphrase, in hexadecimal.
    pub salt: String,
    /// The digest that the right passphrase gives.
    pub digest: String,
    /// Until when it is unlocked.
    pub lock: Lock,
}

/// Whether an encrypted wallet signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// It does not.
    Locked,
    /// It does until this unix time.
    Until(i64),
    /// It does for ever: what Core's `walletpassphrase` leaves behind when its time-out is not a number.
    Open,
}

/// The wallet.
#[derive(Debug)]
pub struct Wallet {
    /// Its keys.
    pub keys: Keys,
    /// Names of addresses.
    pub book: BTreeMap<Address, String>,
    /// Its transactions.
    pub transactions: BTreeMap<Txid, WalletTx>,
    /// Which of its transactions spend an output.
    pub spends: HashMap<OutPoint, Vec<Txid>>,
    /// The rate set by `settxfee`.
    pub fee_rate: Florins,
    /// Set once it is encrypted.
    pub encryption: Option<Encryption>,
    orders: u64,
}

impl Wallet {
    /// A new wallet that derives its keys from `seed`. Like Core's it starts with one named address,
    /// in the default account.
    ///
    /// # Errors
    /// [`KeyError`] for the rare seed that gives no valid key.
    pub fn new(secp: &Secp256k1<All>, seed: [u8; 32], time: i64) -> Result<Self, KeyError> {
        let mut wallet = Wallet {
            keys: Keys::new(secp, seed)?,
            book: BTreeMap::new(),
            transactions: BTreeMap::new(),
            spends: HashMap::new(),
            fee_rate: LEAST_FEE_RATE,
            encryption: None,
            orders: 0,
        };
        let address = wallet.keys.take(secp, time)?.address();
        wallet.book.insert(address, String::new());
        Ok(wallet)
    }

    /// The key that can spend outputs with this script.
    #[must_use]
    pub fn key_for(&self, script: &Script) -> Option<&Key> {
        self.keys.for_script(script)
    }

    /// Whether an output with this script is the wallet's.
    #[must_use]
    pub fn is_mine(&self, script: &Script) -> bool {
        self.key_for(script).is_some()
    }

    /// What an outpoint holds, if it is an output of a wallet transaction that is the wallet's.
    #[must_use]
    pub fn own_output(&self, outpoint: &OutPoint) -> Option<Florins> {
        let parent = &self.transactions.get(&outpoint.txid)?.transaction;
        let output = parent.output.get(usize::try_from(outpoint.vout).ok()?)?;
        self.is_mine(&output.script_pubkey)
            .then(|| Florins::of_output(output))
    }

    /// Keeps a transaction if it pays to or from the wallet.
    pub fn observe(&mut self, transaction: &Transaction, now: i64, block_time: Option<i64>) {
        let txid = transaction.compute_txid();
        if self.transactions.contains_key(&txid) {
            return;
        }
        let receives = transaction
            .output
            .iter()
            .any(|output| self.is_mine(&output.script_pubkey));
        let spends = transaction
            .input
            .iter()
            .any(|input| self.own_output(&input.previous_output).is_some());
        if receives || spends {
            self.insert(txid, transaction.clone(), now, block_time);
        }
    }

    fn insert(&mut self, txid: Txid, transaction: Transaction, now: i64, block_time: Option<i64>) {
        for input in &transaction.input {
            if !transaction.is_coinbase() {
                self.spends
                    .entry(input.previous_output)
                    .or_default()
                    .push(txid);
            }
        }
        self.orders += 1;
        let time = match block_time {
            None => now,
            // First seen in a block: that block's time, but not before what came earlier.
            Some(block_time) => {
                let earlier = self.transactions.values().map(|known| known.time);
                let latest = earlier.filter(|time| *time <= now + MAX_TIME_AHEAD).max();
                latest.unwrap_or_default().max(block_time.min(now))
            }
        };
        let known = WalletTx {
            transaction,
            received: now,
            time,
            order: self.orders,
            comment: String::new(),
            to: String::new(),
        };
        self.transactions.insert(txid, known);
    }

    /// The addresses of an account, in the order of their hashes.
    pub fn addresses_of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = Address> + 'a {
        self.book
            .iter()
            .filter(move |(_, name)| *name == account)
            .map(|(address, _)| *address)
    }

    /// Whether the wallet refuses to sign at this time.
    #[must_use]
    pub fn is_locked(&self, now: i64) -> bool {
        match self.encryption.as_ref().map(|encryption| encryption.lock) {
            None | Some(Lock::Open) => false,
            Some(Lock::Locked) => true,
            Some(Lock::Until(end)) => now >= end,
        }
    }

    /// The rate for new transactions, in florins per 1000 bytes.
    #[must_use]
    pub fn effective_fee_rate(&self) -> Florins {
        self.fee_rate.max(LEAST_FEE_RATE)
    }
}

/// The fee of `size` bytes at a rate per 1000 bytes, as Core rounds it: down, but never to nothing.
#[must_use]
pub fn fee_for(rate: Florins, size: usize) -> Florins {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let fee = rate.florins().saturating_mul(size) / 1000;
    if fee == 0 && size != 0 && rate > Florins::ZERO {
        rate
    } else {
        Florins::new(fee)
    }
}
