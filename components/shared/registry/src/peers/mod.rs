//! This registry among others: what it takes from its peers ([`Peering::receive`]) and what it tells
//! them ([`Peering::run`]).

mod admin;
mod inbox;
mod outbox;
mod policy;
mod turn;

pub use inbox::{Newcomer, Taken};
pub use outbox::{Reply, RunReport};

use crate::RegistryError;
use duxnet_api::problem::Problem;
use duxnet_store::Store;
use duxnet_units::{Network, NodeId, Timestamp, is_public_registry, is_registry_address};
use serde_json::json;

/// What peers are told of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// That a node is there, its status and address.
    Presence,
    /// What it can do.
    Capabilities,
    /// Health score and reputation.
    Health,
    /// That it has a wallet, and its address; of nodes that agree.
    Wallet,
    /// Payments sent and received; of nodes that agree.
    Transactions,
    /// Balances; of nodes that agree.
    Balances,
}

impl Sharing {
    /// As the operator and the nodes write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Sharing::Presence => "presence",
            Sharing::Capabilities => "capabilities",
            Sharing::Health => "health",
            Sharing::Wallet => "wallet",
            Sharing::Transactions => "transactions",
            Sharing::Balances => "balances",
        }
    }
}

/// A peer that the operator names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StaticPeer {
    /// Its id.
    pub id: NodeId,
    /// Scheme, host and port.
    pub address: String,
    /// Lower-case hex.
    pub public_key: String,
}

/// The operator's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerSettings {
    /// This registry's id.
    pub id: NodeId,
    /// Where peers reach it.
    pub address: String,
    /// The peers that the operator names.
    pub peers: Vec<StaticPeer>,
    /// What peers are told.
    pub sharing: Vec<Sharing>,
    /// Whether peers may introduce their peers.
    pub exchange: bool,
    /// Messages that one peer may send in a minute.
    pub messages_per_minute: u32,
    /// Whether peers that the operator does not name may be in private networks.
    pub private_networks: bool,
}

/// What a signed request needs, and who signs it. The key stays with whoever implements this.
pub trait Signer {
    /// Lower-case hex; none without a key.
    fn public_key(&self) -> impl Future<Output = Option<String>>;
    /// The signature over the text, lower-case hex; none without a key.
    fn sign(&self, text: &str) -> impl Future<Output = Option<String>>;
}

/// One request to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Scheme, host and port; the path is [`duxnet_api::p2p::TARGET`].
    pub address: String,
    /// The four headers of the signature.
    pub headers: [(&'static str, String); 4],
    /// JSON.
    pub body: String,
}

/// Carries requests to peers.
pub trait Line {
    /// Sends one and gives the answer, within a deadline and a size of its own.
    fn deliver(&self, request: Outgoing) -> impl Future<Output = Reply>;
}

/// Everything that dealing with peers needs.
#[derive(Clone, Copy, Debug)]
pub struct Peering<'a, D, C> {
    /// The database.
    pub store: &'a Store<D>,
    /// The time.
    pub clock: &'a C,
    /// The operator's settings.
    pub settings: &'a PeerSettings,
    /// Which network's registries are meant.
    pub network: Network,
}

impl PeerSettings {
    /// Whether the operator lets the registry talk to this address, of a peer that it was not told
    /// of by the operator.
    #[must_use]
    pub fn allows(&self, address: &str) -> bool {
        is_registry_address(address) && (self.private_networks || is_public_registry(address))
    }

    fn static_peer(&self, id: &NodeId) -> Option<&StaticPeer> {
        self.peers.iter().find(|peer| peer.id == *id)
    }

    fn sharing_json(&self) -> String {
        let mut names: Vec<&str> = self.sharing.iter().map(|topic| topic.name()).collect();
        names.sort_unstable();
        names.dedup();
        json!(names).to_string()
    }

    fn peers_json(&self) -> String {
        let peers = self.peers.iter().filter(|peer| peer.id != self.id);
        let list: Vec<_> = peers
            .map(|peer| {
                json!({"id": peer.id.as_str(), "address": peer.address, "public_key": peer.public_key})
            })
            .collect();
        json!(list).to_string()
    }
}

fn private(address: &str) -> RegistryError {
    RegistryError::Refused(Problem::invalid_value(format!(
        "{address} is in a private network; private_networks is deny"
    )))
}

/// So many seconds from then.
fn after(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(at.unix_seconds().saturating_add(seconds)).unwrap_or(at)
}
