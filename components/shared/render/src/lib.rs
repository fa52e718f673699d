//! Domain results into answers of the contract. No SDK: what answers HTTP in another way uses it too.

mod answer;

pub use answer::{Answer, JSON};

use duxnet_api::cursor;
use duxnet_api::nodes::{LastHeartbeat, Load};
use duxnet_api::response::{
    self, AddressMade, AsOf, Balance, CURRENCY, Directory, Flop, Florins, Held, History, Node,
    OneNode, Registered, Sent, Time, Transaction, WALLET_TYPE, Wallet, WalletCreated,
};
use duxnet_store::{PaymentState, StoredTransaction};
use duxnet_units::{Amount, NodeId};
use duxnet_wallet::history::{HistoryPage, OneTransaction};
use duxnet_wallet::tracker::Report;
use duxnet_wallet::{balance, create, new_address, register, release, send};

fn wallet_body(wallet: &duxnet_store::Wallet, balance: Amount) -> Wallet {
    Wallet {
        id: wallet.id,
        node_id: wallet.node_id.to_string(),
        wallet_name: wallet.wallet_name.clone(),
        address: wallet.address.clone(),
        wallet_type: WALLET_TYPE,
        balance: Flop(balance),
        is_active: wallet.is_active,
        created_at: Time(wallet.created_at),
        updated_at: wallet.updated_at.map(Time),
        balance_florins: Florins(balance),
        frozen_reason: wallet.frozen.clone(),
    }
}

/// `POST /wallet/create`. A wallet that has just been made holds nothing.
#[must_use]
pub fn created(created: &create::Created) -> Answer {
    Answer::ok(&WalletCreated {
        success: true,
        message: format!("Wallet {} created successfully", created.wallet.wallet_name),
        wallet: wallet_body(&created.wallet, Amount::ZERO),
    })
    .replayed(created.replayed)
}

/// `GET /wallet/{node_id}`.
#[must_use]
pub fn wallet(wallet: &duxnet_store::Wallet) -> Answer {
    Answer::ok(&wallet_body(wallet, wallet.balance.available))
}

/// `GET /wallet/{node_id}/balance`.
#[must_use]
pub fn balance(wallet: &duxnet_store::Wallet, as_of: &balance::AsOf) -> Answer {
    let holdings = &wallet.balance;
    Answer::ok(&Balance {
        success: true,
        node_id: wallet.node_id.to_string(),
        wallet_name: wallet.wallet_name.clone(),
        address: wallet.address.clone(),
        balance: Flop(holdings.available),
        currency: CURRENCY,
        balance_florins: Florins(holdings.available),
        available: Flop(holdings.available),
        available_florins: Florins(holdings.available),
        confirmed: Flop(holdings.confirmed),
        confirmed_florins: Florins(holdings.confirmed),
        pending: Flop(holdings.pending),
        pending_florins: Florins(holdings.pending),
        reserved: Flop(holdings.reserved),
        reserved_florins: Florins(holdings.reserved),
        as_of: AsOf {
            height: as_of.block.height,
            block_hash: as_of.block.hash.to_string(),
            block_time: Time(as_of.block.time),
            time: as_of.synced_at.map(Time),
            age_seconds: as_of.age_seconds,
        },
    })
}

/// `height` is the ledger's: the block itself counts as one confirmation.
fn transaction(stored: &StoredTransaction, height: Option<u32>) -> Transaction {
    let confirmations = match (stored.block_height, height) {
        (Some(block), Some(tip)) => Some(tip.saturating_sub(block).saturating_add(1)),
        (None, _) if stored.status != "failed" => Some(0),
        _ => None,
    };
    Transaction {
        id: stored.id,
        wallet_id: stored.wallet_id,
        txid: stored.txid.clone(),
        recipient_address: stored.recipient_address.clone(),
        amount: Flop(stored.amount),
        transaction_type: stored.transaction_type.clone(),
        status: stored.status.clone(),
        created_at: Time(stored.created_at),
        amount_florins: Florins(stored.amount),
        fee: Flop(stored.fee),
        fee_florins: Florins(stored.fee),
        block_height: stored.block_height,
        block_hash: stored.block_hash.clone(),
        confirmations,
        confirmed_at: stored.confirmed_at.map(Time),
        payment_id: stored.payment_id.clone(),
    }
}

/// `POST /wallet/{node_id}/send`: 202 while the chain node's answer, or an operator's, is outstanding.
#[must_use]
pub fn sent(sent: &send::Sent) -> Answer {
    let payment = &sent.payment;
    let Some(stored) = &sent.transaction else {
        let body = Held {
            success: true,
            message: "The payment waits for an operator; repeat the request with the same idempotency key to learn what became of it",
            amount: Flop(payment.amount),
            recipient: payment.recipient.clone(),
            status: "pending",
            amount_florins: Florins(payment.amount),
            fee: Flop(payment.fee),
            fee_florins: Florins(payment.fee),
            payment_id: payment.payment_id.clone(),
            state: payment.state.name(),
        };
        return Answer::status(202, &body).replayed(sent.replayed);
    };
    let outstanding = payment.state == PaymentState::Signed;
    let body = Sent {
        success: true,
        message: outstanding.then_some(
            "The payment is made and its outcome not yet known; repeat the request with the same idempotency key",
        ),
        txid: stored.txid.clone(),
        amount: Flop(stored.amount),
        recipient: stored.recipient_address.clone(),
        transaction: transaction(stored, None),
        amount_florins: Florins(stored.amount),
        fee: Flop(stored.fee),
        fee_florins: Florins(stored.fee),
        payment_id: payment.payment_id.clone(),
        state: payment.state.name().to_owned(),
    };
    Answer::status(if outstanding { 202 } else { 200 }, &body).replayed(sent.replayed)
}

/// `POST /internal/payments/run`.
#[must_use]
pub fn run(run: &release::Run) -> Answer {
    Answer::ok(&response::Run {
        success: true,
        made: run.made,
        left: u32::try_from(run.troubles.len()).unwrap_or(u32::MAX),
    })
}

/// `GET /wallet/{node_id}/transactions`.
#[must_use]
pub fn history(wallet: &duxnet_store::Wallet, page: &HistoryPage) -> Answer {
    Answer::ok(&History {
        success: true,
        node_id: wallet.node_id.to_string(),
        wallet_name: wallet.wallet_name.clone(),
        transactions: page
            .transactions
            .iter()
            .map(|row| transaction(row, page.height))
            .collect(),
        next_cursor: page
            .transactions
            .last()
            .filter(|_| page.has_more)
            .map(|row| cursor::encode(row.id)),
    })
}

/// `GET /wallet/{node_id}/transactions/{id}`.
#[must_use]
pub fn transaction_found(wallet: &duxnet_store::Wallet, found: &OneTransaction) -> Answer {
    Answer::ok(&response::OneTransaction {
        success: true,
        node_id: wallet.node_id.to_string(),
        transactions: found
            .rows
            .iter()
            .map(|row| transaction(row, found.height))
            .collect(),
        payment: found.payment.as_ref().map(payment),
    })
}

/// A payment, as any answer shows it.
#[must_use]
pub fn payment(payment: &duxnet_store::Payment) -> response::Payment {
    response::Payment {
        payment_id: payment.payment_id.clone(),
        state: payment.state.name().to_owned(),
        failure: payment.failure.clone(),
        txid: payment.txid.as_ref().map(ToString::to_string),
        recipient_address: payment.recipient.clone(),
        amount: Flop(payment.amount),
        amount_florins: Florins(payment.amount),
        fee: Flop(payment.fee),
        fee_florins: Florins(payment.fee),
        change: Flop(payment.change),
        change_florins: Florins(payment.change),
        change_address: payment.change_address.clone(),
        inputs: payment
            .inputs
            .iter()
            .map(|input| response::SpentCoin {
                txid: input.outpoint.txid.to_string(),
                vout: input.outpoint.vout,
                value: Flop(input.value),
                value_florins: Florins(input.value),
            })
            .collect(),
        broadcast_attempts: payment.broadcast_attempts,
        created_at: Time(payment.created_at),
    }
}

/// `POST /internal/tracker/tick`.
#[must_use]
pub fn ticked(report: &Report) -> Answer {
    Answer::ok(&response::Tick {
        success: true,
        busy: report.is_busy,
        level: report.is_level,
        blocks: report.blocks,
        resent: report.resent,
        died: report.died,
    })
}

/// `POST /internal/tracker/resume-sends`.
#[must_use]
pub fn resumed(resumed: bool) -> Answer {
    Answer::ok(&response::Resumed {
        success: true,
        resumed,
    })
}

/// `POST /wallet/{node_id}/new-address`.
#[must_use]
pub fn address_made(node_id: &NodeId, made: &new_address::AddressMade) -> Answer {
    Answer::ok(&AddressMade {
        success: true,
        node_id: node_id.to_string(),
        new_address: made.address.clone(),
        wallet_name: made.wallet_name.clone(),
    })
    .replayed(made.replayed)
}

/// A node, as any answer shows it.
#[must_use]
pub fn node_body(node: &duxnet_store::Node) -> Node {
    Node {
        node_id: node.node_id.to_string(),
        public_key: node.public_key.clone(),
        address: node.address.clone(),
        capabilities: node.capabilities.clone(),
        status: node.status.name(),
        created_at: Time(node.created_at),
        updated_at: Time(node.updated_at),
        health: node.health,
        reputation: node.reputation,
        share: node.share.iter().map(|share| share.name()).collect(),
        heartbeat: last_heartbeat(node),
        deregistered_at: node.deregistered_at.map(Time),
    }
}

fn last_heartbeat(node: &duxnet_store::Node) -> Option<LastHeartbeat> {
    let said = node.heartbeat.clone().unwrap_or_default();
    Some(LastHeartbeat {
        at: Time(node.heartbeat_at?),
        load: said.load_permille.map(Load),
        memory_used_bytes: said.memory_used,
        memory_total_bytes: said.memory_total,
        uptime_seconds: said.uptime_seconds,
        version: said.version,
    })
}

/// `POST /nodes/register`: 201 for a new node.
#[must_use]
pub fn registered(registered: &register::Registered) -> Answer {
    let (status, what, node) = match registered {
        register::Registered::New(node) => (201, "registered", node),
        register::Registered::Again(node) => (200, "updated", node),
        register::Registered::Rotated(node) => (200, "has a new key", node),
    };
    let message = format!("Node {} {what}", node.node_id);
    Answer::status(
        status,
        &Registered {
            success: true,
            message,
            node: node_body(node),
        },
    )
}

/// `GET /nodes/{node_id}`.
#[must_use]
pub fn node(node: &duxnet_store::Node) -> Answer {
    Answer::ok(&OneNode {
        success: true,
        node: node_body(node),
    })
}

/// `GET /nodes`: `nodes` may hold one more than `limit`.
#[must_use]
pub fn directory(nodes: &[duxnet_store::Node], limit: u32) -> Answer {
    let shown = &nodes[..nodes.len().min(limit as usize)];
    Answer::ok(&Directory {
        success: true,
        nodes: shown.iter().map(node_body).collect(),
        next_cursor: shown
            .last()
            .filter(|_| nodes.len() > shown.len())
            .map(|node| cursor::encode(node.id)),
    })
}
