//! The registry around the wallets: requests into the domain's words, results into bodies.

use crate::Answer;
use duxnet_api::cursor;
use duxnet_api::nodes::{
    self, CapabilityCount, Deregistered, DirectoryQuery, HealthFactor, HeartbeatTaken, Holdings,
    Judged, NodeCapabilities, NodeHealth, PaidOut, Reputation, ReputationEvent, Statistics,
};
use duxnet_api::response::{Flop, Florins, Time};
use duxnet_registry::health::Assessment;
use duxnet_registry::reputation;
use duxnet_render::node_body;
use duxnet_store::{Balance, DirectoryFilter, Heartbeat, Node};
use duxnet_wallet::deregister::Departure;
use duxnet_wallet::send::Sent;

/// Who is shown for an event that no operator made.
const SERVICE: &str = "payments";

/// What the directory is asked for.
#[must_use]
pub fn filter(query: DirectoryQuery) -> DirectoryFilter {
    DirectoryFilter {
        after: query.page.after,
        capabilities: query.capabilities,
        matching: query.matching,
        status: query.status,
        min_health: query.min_health,
        min_reputation: query.min_reputation,
    }
}

/// What a node says of itself.
#[must_use]
pub fn heartbeat(said: nodes::Heartbeat) -> Heartbeat {
    Heartbeat {
        load_permille: said.load_permille,
        memory_used: said.memory_used,
        memory_total: said.memory_total,
        uptime_seconds: said.uptime_seconds,
        version: said.version,
    }
}

/// `POST /nodes/{node_id}/heartbeat`.
#[must_use]
pub fn heartbeat_taken(node: &Node, stale_after_seconds: u32) -> Answer {
    Answer::ok(&HeartbeatTaken {
        success: true,
        node: node_body(node),
        stale_after_seconds,
    })
}

/// `GET /nodes/{node_id}/health`.
#[must_use]
pub fn health(node: &Node, assessment: &Assessment) -> Answer {
    Answer::ok(&NodeHealth {
        success: true,
        node_id: node.node_id.to_string(),
        status: node.status.name(),
        health: assessment.score,
        factors: assessment
            .factors
            .iter()
            .map(|factor| HealthFactor {
                factor: factor.name.name(),
                weight: factor.name.weight(),
                value: factor.value,
                detail: factor.detail.clone(),
            })
            .collect(),
    })
}

/// Every route of `/nodes/{node_id}/capabilities`.
#[must_use]
pub fn capabilities(node: &Node) -> Answer {
    Answer::ok(&NodeCapabilities {
        success: true,
        node_id: node.node_id.to_string(),
        capabilities: node.capabilities.clone(),
    })
}

/// `GET /capabilities`: `counts` may hold one more than `limit`.
#[must_use]
pub fn statistics(counts: &[duxnet_store::CapabilityCount], limit: u32) -> Answer {
    let shown = &counts[..counts.len().min(limit as usize)];
    Answer::ok(&Statistics {
        success: true,
        capabilities: shown
            .iter()
            .map(|count| CapabilityCount {
                capability: count.capability.clone(),
                nodes: count.nodes,
                online: count.online,
            })
            .collect(),
        next_cursor: shown
            .last()
            .filter(|_| counts.len() > shown.len())
            .map(|count| cursor::encode_name(&count.capability)),
    })
}

fn event(event: &duxnet_store::ReputationEvent) -> ReputationEvent {
    ReputationEvent {
        kind: event.kind.clone(),
        delta: event.delta,
        applied: event.applied,
        reason: event.reason.clone(),
        actor: event.operator.clone().unwrap_or_else(|| SERVICE.to_owned()),
        created_at: Time(event.at),
    }
}

/// `GET /nodes/{node_id}/reputation`: `events` may hold one more than `limit`.
#[must_use]
pub fn reputation(node: &Node, events: &[duxnet_store::ReputationEvent], limit: u32) -> Answer {
    let shown = &events[..events.len().min(limit as usize)];
    Answer::ok(&Reputation {
        success: true,
        node_id: node.node_id.to_string(),
        reputation: node.reputation,
        events: shown.iter().map(event).collect(),
        next_cursor: shown
            .last()
            .filter(|_| events.len() > shown.len())
            .map(|event| cursor::encode(event.id)),
    })
}

/// `POST /nodes/{node_id}/reputation`: 201 for a new event.
#[must_use]
pub fn judged(judged: &reputation::Judged) -> Answer {
    let body = Judged {
        success: true,
        node_id: judged.node.node_id.to_string(),
        reputation: judged.node.reputation,
        event: event(&judged.event),
    };
    Answer::status(if judged.replayed { 200 } else { 201 }, &body).replayed(judged.replayed)
}

fn holdings(holds: &Balance) -> Holdings {
    Holdings {
        balance: Flop(holds.available),
        balance_florins: Florins(holds.available),
        pending: Flop(holds.pending),
        pending_florins: Florins(holds.pending),
        reserved: Flop(holds.reserved),
        reserved_florins: Florins(holds.reserved),
    }
}

fn paid_out(sent: &Sent) -> PaidOut {
    let payment = &sent.payment;
    PaidOut {
        payment_id: payment.payment_id.clone(),
        txid: payment.txid.as_ref().map(ToString::to_string),
        state: payment.state.name().to_owned(),
        recipient: payment.recipient.clone(),
        amount: Flop(payment.amount),
        amount_florins: Florins(payment.amount),
        fee: Flop(payment.fee),
        fee_florins: Florins(payment.fee),
    }
}

/// `POST /nodes/{node_id}/deregister`: 202 when the payment is made and the node is still there.
#[must_use]
pub fn deregistered(departure: &Departure) -> Answer {
    let node = &departure.node_id;
    let message = if departure.has_left() {
        format!("Node {node} is deregistered")
    } else if departure.is_reviewed() {
        format!(
            "The payment waits for an operator; node {node} is still registered: repeat the request with the same idempotency key"
        )
    } else if departure.holds.reserved.is_zero() {
        format!(
            "The payment is made and money has come in since; node {node} is still registered: repeat the request with another idempotency key"
        )
    } else {
        format!(
            "The payment is made and its outcome not yet known; node {node} is still registered: repeat the request with the same idempotency key"
        )
    };
    let body = Deregistered {
        success: true,
        message,
        node_id: node.to_string(),
        status: departure.status.name(),
        deregistered_at: departure.left_at.map(Time),
        payment: departure.payment.as_ref().map(paid_out),
        holds: holdings(&departure.holds),
    };
    let status = if departure.has_left() { 200 } else { 202 };
    Answer::status(status, &body).replayed(departure.replayed)
}
