//! What clients get. Field names and order are the specification's; what it does not have comes
//! after. Amounts are JSON numbers with the exact decimal, and beside them the same in florins as
//! a string, for readers whose numbers are doubles.

use duxnet_units::{Amount, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The currency of every amount.
pub const CURRENCY: &str = "FLOP";
/// The only wallet type.
pub const WALLET_TYPE: &str = "flopcoin";

/// Serialises a body. Our own types always can be.
#[must_use]
pub fn to_json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

/// An amount as an exact JSON number of FLOP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flop(pub Amount);

impl Serialize for Flop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// An amount as a string of florins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Florins(pub Amount);

impl Serialize for Florins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.florins())
    }
}

/// A point in time as RFC 3339 text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A wallet; the whole answer of `GET /wallet/{node_id}`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the specification's")]
pub struct Wallet {
    pub id: i64,
    pub node_id: String,
    pub wallet_name: String,
    pub address: String,
    pub wallet_type: &'static str,
    /// What the wallet can spend now.
    pub balance: Flop,
    pub is_active: bool,
    pub created_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    pub balance_florins: Florins,
    /// Why an operator has frozen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_reason: Option<String>,
}

/// Answer of `POST /wallet/create`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the specification's")]
pub struct WalletCreated {
    pub success: bool,
    pub message: String,
    pub wallet: Wallet,
}

/// Answer of `GET /wallet/{node_id}/balance`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the specification's")]
pub struct Balance {
    pub success: bool,
    pub node_id: String,
    pub wallet_name: String,
    pub address: String,
    pub balance: Flop,
    pub currency: &'static str,
    pub balance_florins: Florins,
    pub available: Flop,
    pub available_florins: Florins,
    pub confirmed: Flop,
    pub confirmed_florins: Florins,
    pub pending: Flop,
    pub pending_florins: Florins,
    pub reserved: Flop,
    pub reserved_florins: Florins,
    pub as_of: AsOf,
}

/// The moment that a balance shows.
#[derive(Clone, Debug, Serialize)]
pub struct AsOf {
    /// The last block in it.
    pub height: u32,
    /// Its hash.
    pub block_hash: String,
    /// Its time.
    pub block_time: Time,
    /// When the ledger was last level with the chain node's blocks and mempool; null while it
    /// catches up for the first time.
    pub time: Option<Time>,
    /// Seconds since.
    pub age_seconds: Option<u32>,
}

/// One row of a wallet's history.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the specification's")]
pub struct Transaction {
    pub id: i64,
    pub wallet_id: i64,
    pub txid: String,
    pub recipient_address: String,
    pub amount: Flop,
    pub transaction_type: String,
    /// `pending`, `confirmed` or `failed`.
    pub status: String,
    pub created_at: Time,
    pub amount_florins: Florins,
    pub fee: Flop,
    pub fee_florins: Florins,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<String>,
    /// By the ledger; 0 outside the chain, none for what has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmations: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Time>,
    /// The payment that made it, for a `send`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
}

/// Answer of `POST /wallet/{node_id}/send`: 200 when the node has taken the payment, 202 when the
/// node's answer is outstanding.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the specification's")]
pub struct Sent {
    pub success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
    pub txid: String,
    pub amount: Flop,
    pub recipient: String,
    pub transaction: Transaction,
    pub amount_florins: Florins,
    pub fee: Flop,
    pub fee_florins: Florins,
    pub payment_id: String,
    /// `signed` (answer outstanding), `broadcast`, `confirmed` or `failed`.
    pub state: String,
}

/// Answer of `POST /wallet/{node_id}/send`, 202, while the payment waits for an operator: it has no
/// transaction yet.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the specification's")]
pub struct Held {
    pub success: bool,
    pub message: &'static str,
    pub amount: Flop,
    pub recipient: String,
    /// `pending`.
    pub status: &'static str,
    pub amount_florins: Florins,
    pub fee: Flop,
    pub fee_florins: Florins,
    pub payment_id: String,
    /// `held`.
    pub state: &'static str,
}

/// Answer of `POST /internal/payments/run`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Run {
    /// Always true.
    pub success: bool,
    /// Released payments that are signed now.
    pub made: u32,
    /// Released payments that could not be; the next run tries again.
    pub left: u32,
}

/// Answer of `GET /wallet/{node_id}/transactions`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the specification's")]
pub struct History {
    pub success: bool,
    pub node_id: String,
    pub wallet_name: String,
    pub transactions: Vec<Transaction>,
    /// Give it as `?cursor=` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A coin that a payment spends.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct SpentCoin {
    pub txid: String,
    pub vout: u32,
    pub value: Flop,
    pub value_florins: Florins,
}

/// A payment, whole.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Payment {
    pub payment_id: String,
    /// `reserved`, `held`, `released`, `signed`, `broadcast`, `confirmed` or `failed`.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txid: Option<String>,
    pub recipient_address: String,
    pub amount: Flop,
    pub amount_florins: Florins,
    pub fee: Flop,
    pub fee_florins: Florins,
    pub change: Flop,
    pub change_florins: Florins,
    pub change_address: String,
    pub inputs: Vec<SpentCoin>,
    /// How often its bytes were handed to the chain node.
    pub broadcast_attempts: u32,
    pub created_at: Time,
}

/// Answer of `GET /wallet/{node_id}/transactions/{txid or payment_id}`.
#[derive(Clone, Debug, Serialize)]
pub struct OneTransaction {
    /// True.
    pub success: bool,
    /// Whose.
    pub node_id: String,
    /// What the wallet sent with it and what it received, newest first. None for a payment that was
    /// never signed.
    pub transactions: Vec<Transaction>,
    /// The payment that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<Payment>,
}

/// Answer of `POST /internal/tracker/tick`.
#[derive(Clone, Debug, Serialize)]
pub struct Tick {
    /// True.
    pub success: bool,
    /// Another tracker is at work: nothing was done.
    pub busy: bool,
    /// Whether the ledger is level with the chain node; if not, the next call goes on.
    pub level: bool,
    /// Blocks that came into the ledger.
    pub blocks: u32,
    /// Payments whose bytes were sent again.
    pub resent: u32,
    /// Payments and receives that were given up as dead.
    pub died: u32,
}

/// Answer of `POST /internal/tracker/resume-sends`.
#[derive(Clone, Debug, Serialize)]
pub struct Resumed {
    /// True.
    pub success: bool,
    /// False: payments were not stopped.
    pub resumed: bool,
}

/// Answer of `POST /wallet/{node_id}/new-address`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the specification's")]
pub struct AddressMade {
    pub success: bool,
    pub node_id: String,
    pub new_address: String,
    pub wallet_name: String,
}

/// A registered node.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Node {
    pub node_id: String,
    /// Lower-case hex; null where requests are not signed.
    pub public_key: Option<String>,
    pub address: Option<String>,
    pub capabilities: Vec<String>,
    /// `registered`, `online`, `stale`, `offline` or `deregistered`.
    pub status: &'static str,
    pub created_at: Time,
    pub updated_at: Time,
    /// 0 to 100; null before it is first assessed.
    pub health: Option<u32>,
    /// 0 to 100.
    pub reputation: u32,
    /// What peers may be told of its wallet.
    pub share: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<crate::nodes::LastHeartbeat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<Time>,
}

/// Answer of `POST /nodes/register`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Registered {
    pub success: bool,
    pub message: String,
    pub node: Node,
}

/// Answer of `GET /nodes/{node_id}`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct OneNode {
    pub success: bool,
    pub node: Node,
}

/// Answer of `GET /nodes`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Directory {
    pub success: bool,
    pub nodes: Vec<Node>,
    pub next_cursor: Option<String>,
}

/// One thing the service stands on.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// `ok` or `failed`.
    pub status: &'static str,
    /// How long the check took, milliseconds.
    pub latency_ms: u64,
    /// What is wrong, in words that give nothing away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'static str>,
    /// The chain's height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// All checks.
#[derive(Clone, Debug, Serialize)]
pub struct Checks {
    /// The settings.
    pub config: Check,
    /// The database.
    pub database: Check,
    /// The chain node.
    pub chain: Check,
    /// The ledger: whether it follows the chain and agrees with the chain node.
    pub ledger: Check,
}

/// Answer of `GET /wallet/health`; 503 when `degraded`.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// `ok` or `degraded`.
    pub status: &'static str,
    /// `wallet`.
    pub service: &'static str,
    /// The service's version.
    pub version: &'static str,
    /// What was looked at.
    pub checks: Checks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_numbers_and_strings_of_florins() {
        let amount = Amount::from_florins(9_007_199_254_740_993).unwrap();
        assert_eq!(to_json(&Flop(amount)), b"90071992.54740993");
        assert_eq!(to_json(&Flop(Amount::ZERO)), b"0.0");
        assert_eq!(to_json(&Florins(amount)), b"\"9007199254740993\"");
    }
}
