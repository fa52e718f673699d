//! What is shown of peers and of what they report.

use crate::Answer;
use duxnet_api::cursor;
use duxnet_api::peers::{
    Invitation, InvitationBody, MessageTaken, Peer, PeerChanged, Peers, PeersRun, ReportedBalance,
    ReportedBalances, ReportedNode, ReportedNodes,
};
use duxnet_api::response::Time;
use duxnet_registry::peers::{PeerSettings, RunReport, Taken};
use duxnet_store::{PeerRow, Reported};
use duxnet_units::{NodeId, Timestamp};
use serde_json::Value;

/// `POST /p2p/messages`.
#[must_use]
pub fn taken(taken: Taken) -> Answer {
    Answer::ok(&MessageTaken {
        success: true,
        status: taken.name(),
    })
}

/// `POST /internal/peers/run`; none while the registry has no id.
#[must_use]
pub fn run(report: Option<&RunReport>) -> Answer {
    Answer::ok(&match report {
        None => PeersRun {
            success: true,
            ..PeersRun::default()
        },
        Some(report) => PeersRun {
            success: true,
            enabled: true,
            published: report.published,
            delivered: report.delivered,
            refused: report.refused,
            silent: report.silent,
        },
    })
}

/// `POST /peers/invites`.
#[must_use]
pub fn invitation(
    settings: &PeerSettings,
    public_key: String,
    token: String,
    expires_at: Timestamp,
) -> Answer {
    Answer::status(
        201,
        &Invitation {
            success: true,
            invitation: InvitationBody {
                registry_id: settings.id.to_string(),
                address: settings.address.clone(),
                public_key,
                token,
                expires_at: Time(expires_at),
            },
        },
    )
}

/// What changes a peer.
#[must_use]
pub fn changed(peer: &NodeId, state: &'static str) -> Answer {
    Answer::ok(&PeerChanged {
        success: true,
        peer_id: peer.to_string(),
        state,
    })
}

/// The rows of a page of which one more than `limit` was read, and the next page's cursor.
fn page<T>(rows: &[T], limit: u32, id: impl Fn(&T) -> i64) -> (&[T], Option<String>) {
    let shown = &rows[..rows.len().min(limit as usize)];
    let last = shown.last().filter(|_| rows.len() > shown.len());
    (shown, last.map(|row| cursor::encode(id(row))))
}

/// `GET /peers`: `rows` may hold one more than `limit`.
#[must_use]
pub fn peers(rows: &[PeerRow], limit: u32) -> Answer {
    let (shown, next_cursor) = page(rows, limit, |row| row.id);
    Answer::ok(&Peers {
        success: true,
        peers: shown.iter().map(peer).collect(),
        next_cursor,
    })
}

fn peer(row: &PeerRow) -> Peer {
    Peer {
        peer_id: row.peer_id.to_string(),
        address: row.address.clone(),
        public_key: row.public_key.clone(),
        source: row.source.clone(),
        state: row.state.clone(),
        last_seen_at: row.seen_at.map(Time),
        last_sent_at: row.sent_at.map(Time),
        queued: row.queued,
        syncing: row.is_syncing,
        failures: row.failures,
        next_try_at: Some(row.next_try_at)
            .filter(|at| at.unix_seconds() > 0)
            .map(Time),
        rejected: json(&row.refused),
        created_at: Time(row.created_at),
        created_by: row.created_by.clone(),
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn member(value: &mut Value, key: &str) -> Value {
    value.get_mut(key).map(Value::take).unwrap_or_default()
}

/// `GET /peers/nodes`: `rows` may hold one more than `limit`.
#[must_use]
pub fn nodes(rows: &[Reported], limit: u32) -> Answer {
    let (shown, next_cursor) = page(rows, limit, |row| row.id);
    Answer::ok(&ReportedNodes {
        success: true,
        nodes: shown.iter().map(node).collect(),
        next_cursor,
    })
}

fn node(row: &Reported) -> ReportedNode {
    let mut body = json(&row.body);
    let mut health = row.health.as_deref().map(json).unwrap_or_default();
    ReportedNode {
        node_id: row.node_id.to_string(),
        reported_by: row.reported_by.to_string(),
        reported_at: Time(row.reported_at),
        received_from: row.received_from.as_ref().map(ToString::to_string),
        received_at: Time(row.received_at),
        status: member(&mut body, "status"),
        address: member(&mut body, "address"),
        capabilities: member(&mut body, "capabilities"),
        health: member(&mut health, "health"),
        reputation: member(&mut health, "reputation"),
    }
}

/// `GET /peers/balances`: `rows` may hold one more than `limit`.
#[must_use]
pub fn balances(rows: &[Reported], limit: u32) -> Answer {
    let (shown, next_cursor) = page(rows, limit, |row| row.id);
    Answer::ok(&ReportedBalances {
        success: true,
        balances: shown.iter().map(balance).collect(),
        next_cursor,
    })
}

fn balance(row: &Reported) -> ReportedBalance {
    let mut body = json(&row.body);
    ReportedBalance {
        node_id: row.node_id.to_string(),
        reported_by: row.reported_by.to_string(),
        reported_at: Time(row.reported_at),
        received_from: row.received_from.as_ref().map(ToString::to_string),
        received_at: Time(row.received_at),
        reported_balance_florins: member(&mut body, "balance"),
        reported_confirmed_florins: member(&mut body, "confirmed"),
        reported_pending_florins: member(&mut body, "pending"),
    }
}
