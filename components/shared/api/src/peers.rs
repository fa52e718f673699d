//! The routes around peers: what operators may ask for, and what they and others get.

use crate::problem::Problem;
use crate::request::{Fields, Page, parse_node_id};
use crate::response::Time;
use crate::signing::PublicKey;
use duxnet_units::NodeId;
use duxnet_units::is_registry_address;
use serde::Serialize;
use serde_json::Value;

/// How long an invitation is open when nothing else is asked for, seconds.
const DEFAULT_INVITE_SECONDS: i64 = 24 * 60 * 60;
/// The longest, seconds.
const MAX_INVITE_SECONDS: i64 = 7 * 24 * 60 * 60;

/// `POST /peers/invites`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvitePeer {
    /// How long the invitation is open, seconds.
    pub expires_in: i64,
}

impl InvitePeer {
    /// The members of the body.
    pub const FIELDS: [&'static str; 1] = ["expires_in"];

    /// Reads the fields; the body may be empty.
    ///
    /// # Errors
    /// 422 that names the field.
    pub fn parse(fields: &Fields) -> Result<Self, Problem> {
        let expires_in = match fields.object().get("expires_in") {
            None | Some(Value::Null) => DEFAULT_INVITE_SECONDS,
            Some(value) => value
                .as_i64()
                .filter(|seconds| (60..=MAX_INVITE_SECONDS).contains(seconds))
                .ok_or_else(|| {
                    Problem::invalid_value(format!(
                        "expires_in must be 60 to {MAX_INVITE_SECONDS} seconds"
                    ))
                })?,
        };
        Ok(InvitePeer { expires_in })
    }
}

/// `POST /peers/join`: the invitation as the other registry gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinPeer {
    /// Who invited.
    pub registry_id: NodeId,
    /// Where it can be reached.
    pub address: String,
    /// Lower-case hex.
    pub public_key: String,
    /// What shows that it invited.
    pub token: String,
}

impl JoinPeer {
    /// The members of the body.
    pub const FIELDS: [&'static str; 5] = [
        "registry_id",
        "address",
        "public_key",
        "token",
        "expires_at",
    ];

    /// Reads the fields.
    ///
    /// # Errors
    /// 400 or 422 that names the field.
    pub fn parse(fields: &Fields) -> Result<Self, Problem> {
        let text = |key: &str| {
            fields
                .object()
                .get(key)
                .and_then(Value::as_str)
                .ok_or_else(|| Problem::invalid_request(format!("{key} must be a string")))
        };
        let address = text("address")?;
        if !is_registry_address(address) {
            return Err(Problem::invalid_value(
                "address must be http:// or https://, host and port, without a path",
            ));
        }
        let token = text("token")?;
        if !(16..=256).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Problem::invalid_value("token is none of an invitation"));
        }
        Ok(JoinPeer {
            registry_id: parse_node_id(text("registry_id")?)?,
            address: address.to_owned(),
            public_key: PublicKey::parse(text("public_key")?)
                .map_err(|e| Problem::invalid_value(format!("public_key {e}")))?
                .to_string(),
            token: token.to_owned(),
        })
    }
}

/// `GET /peers/nodes` and `GET /peers/balances`.
///
/// # Errors
/// 400 or 422 that names the parameter.
pub fn parse_reports_query(query: &str) -> Result<(Page, Option<NodeId>), Problem> {
    let parameters = crate::request::parameters(query, &["limit", "cursor", "registry"])?;
    let registry = parameters.get("registry").map(parse_node_id).transpose()?;
    Ok((parameters.page()?, registry))
}

/// `GET /peers`.
///
/// # Errors
/// 400 that names the parameter.
pub fn parse_peers_query(query: &str) -> Result<Page, Problem> {
    crate::request::parameters(query, &["limit", "cursor"])?.page()
}

/// Answer of `POST /p2p/messages`.
#[derive(Clone, Debug, Serialize)]
pub struct MessageTaken {
    /// True.
    pub success: bool,
    /// `accepted`, `duplicate` or `ignored`; in each case it need not come again.
    pub status: &'static str,
}

/// Answer of `POST /internal/peers/run`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PeersRun {
    /// True.
    pub success: bool,
    /// Whether the registry has an id, and so peers.
    pub enabled: bool,
    /// Messages made.
    pub published: u32,
    /// Messages that peers took.
    pub delivered: u32,
    /// Messages that peers refused for good.
    pub refused: u32,
    /// Peers that did not answer.
    pub silent: u32,
}

/// Answer of `POST /peers/invites`. The token is shown once.
#[derive(Clone, Debug, Serialize)]
pub struct Invitation {
    /// True.
    pub success: bool,
    /// What the other registry's operator sends to its own `POST /peers/join`.
    pub invitation: InvitationBody,
}

/// An invitation.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct InvitationBody {
    pub registry_id: String,
    pub address: String,
    pub public_key: String,
    pub token: String,
    pub expires_at: Time,
}

/// Answer of what changes a peer.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct PeerChanged {
    pub success: bool,
    pub peer_id: String,
    pub state: &'static str,
}

/// One peer of `GET /peers`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Peer {
    pub peer_id: String,
    pub address: String,
    pub public_key: String,
    /// `static`, `joined`, `invited` or `exchange`.
    pub source: String,
    /// `joining`, `active`, `parked`, `gone`, `blocked` or `leaving`.
    pub state: String,
    pub last_seen_at: Option<Time>,
    pub last_sent_at: Option<Time>,
    /// Messages that wait to be sent.
    pub queued: u32,
    /// Whether it is still being told what was there before it came.
    pub syncing: bool,
    /// In a row.
    pub failures: u32,
    pub next_try_at: Option<Time>,
    /// What was refused of it, by code.
    pub rejected: Value,
    pub created_at: Time,
    pub created_by: Option<String>,
}

/// Answer of `GET /peers`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct Peers {
    pub success: bool,
    pub peers: Vec<Peer>,
    pub next_cursor: Option<String>,
}

/// A node as another registry reports it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct ReportedNode {
    pub node_id: String,
    /// The registry that says it; what it says is not checked.
    pub reported_by: String,
    /// When, by its clock.
    pub reported_at: Time,
    pub received_from: Option<String>,
    pub received_at: Time,
    pub status: Value,
    pub address: Value,
    pub capabilities: Value,
    pub health: Value,
    pub reputation: Value,
}

/// Answer of `GET /peers/nodes`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct ReportedNodes {
    pub success: bool,
    pub nodes: Vec<ReportedNode>,
    pub next_cursor: Option<String>,
}

/// A balance as another registry reports it: hearsay, not this registry's ledger.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct ReportedBalance {
    pub node_id: String,
    pub reported_by: String,
    pub reported_at: Time,
    pub received_from: Option<String>,
    pub received_at: Time,
    pub reported_balance_florins: Value,
    pub reported_confirmed_florins: Value,
    pub reported_pending_florins: Value,
}

/// Answer of `GET /peers/balances`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names say it")]
pub struct ReportedBalances {
    pub success: bool,
    pub balances: Vec<ReportedBalance>,
    pub next_cursor: Option<String>,
}
