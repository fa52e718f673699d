//! What changes the state. The journal is a list of these; applying them again gives the state back.

use serde::{Deserialize, Serialize};

/// One change. Hashes, blocks, transactions and seeds are in hexadecimal, times in unix seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The devnet was made. Always the first event.
    Created {
        /// What the wallet derives its keys from.
        wallet_seed: String,
        /// The key of the faucet.
        faucet_key: String,
        /// When.
        time: i64,
    },
    /// A block came onto the tip.
    Connected {
        /// The block.
        block: String,
        /// When.
        time: i64,
    },
    /// A block that is already known came onto the tip.
    Reconnected {
        /// Which.
        hash: String,
        /// When.
        time: i64,
    },
    /// The tip was taken off.
    Disconnected,
    /// A block was marked as refused, or no longer.
    Marked {
        /// Which.
        hash: String,
        /// Whether it is refused.
        invalid: bool,
    },
    /// A transaction came into the memory pool.
    Accepted {
        /// The transaction.
        transaction: String,
        /// What it pays the miner, in florins.
        fee: i64,
        /// When.
        time: i64,
    },
    /// Transactions left the memory pool without being mined.
    Evicted {
        /// Which.
        txids: Vec<String>,
    },
    /// The wallet made a transaction that the memory pool refused.
    Stuck {
        /// The transaction.
        transaction: String,
        /// When.
        time: i64,
    },
    /// The sender noted something with a wallet transaction.
    Noted {
        /// Which.
        txid: String,
        /// What.
        comment: String,
        /// For whom.
        to: String,
    },
    /// A key was taken and its address named.
    Named {
        /// The account.
        account: String,
        /// When.
        time: i64,
    },
    /// A key was taken for change.
    Taken {
        /// When.
        time: i64,
    },
    /// The wallet's fee rate was set.
    FeeRate {
        /// In florins per 1000 bytes.
        florins: i64,
    },
    /// The wallet was encrypted; further keys come from a new seed.
    Encrypted {
        /// Mixed with the passphrase.
        salt: String,
        /// What the right passphrase gives.
        digest: String,
        /// The new seed.
        wallet_seed: String,
        /// When.
        time: i64,
    },
}
