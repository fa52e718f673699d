//! The registry around the wallets.
//!
//! [`Registry`] has what every operation needs; [`Registry::tick`] is the background work. They need
//! a [`Store`](duxnet_store::Store) and a [`Clock`](duxnet_wallet::Clock), and know nothing of HTTP,
//! SQL or the SDK.

mod capabilities;
mod error;
pub mod health;
mod heartbeat;
pub mod outbox;
pub mod peers;
pub mod recipients;
pub mod reputation;
#[cfg(test)]
mod tests;
mod tick;
mod watch;
pub mod webhooks;

pub use capabilities::change_capabilities;
pub use error::RegistryError;
pub use tick::Report;

use duxnet_store::{Database, Node, Store};
use duxnet_units::{Amount, NodeId, Timestamp};
use duxnet_wallet::{Caller, Clock};

/// The operator's rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Seconds after its last heartbeat from which a node is stale.
    pub heartbeat_stale_after: u32,
    /// Seconds from which it is offline.
    pub heartbeat_offline_after: u32,
    /// Seconds of the past in which payments count for health.
    pub health_window: u32,
    /// Seconds after which a payment that is not confirmed counts as late.
    pub payment_patience: u32,
    /// Points of reputation for a payment that confirmed.
    pub reputation_payment_confirmed: i32,
    /// For one that failed by the sender's fault.
    pub reputation_payment_failed: i32,
    /// For a payment with coins that were taken back.
    pub reputation_double_spend: i32,
    /// Most points that payments bring a node in a day.
    pub reputation_daily_cap: u32,
    /// Payments below bring no points.
    pub reputation_min_amount: Amount,
    /// Seconds until a wallet's recipient rules loosen.
    pub recipient_policy_delay: u32,
}

/// The domain's surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a, D, C> {
    /// The database.
    pub store: &'a Store<D>,
    /// The time.
    pub clock: &'a C,
    /// The rules.
    pub rules: &'a Rules,
}

impl<D: Database, C: Clock> Registry<'_, D, C> {
    /// So many seconds ago.
    pub(crate) fn before(&self, seconds: u32) -> Timestamp {
        let now = self.clock.now().unix_seconds();
        Timestamp::from_unix_seconds(now.saturating_sub(seconds.into()))
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A registered node.
pub(crate) async fn known<D: Database>(
    store: &Store<D>,
    node_id: &NodeId,
) -> Result<Node, RegistryError> {
    let node = store.node(node_id).await?;
    node.ok_or_else(|| RegistryError::NodeNotFound(node_id.clone()))
}

/// Why nothing came of a caller's request: the node is unknown or has left. The signature is used
/// up, so that the request is no good for a later replay.
pub(crate) async fn refused<D: Database>(
    store: &Store<D>,
    caller: &Caller,
) -> Result<RegistryError, RegistryError> {
    if let Some(signature) = &caller.signature {
        store.use_signature(signature).await?;
    }
    let node = known(store, &caller.node_id).await?;
    Ok(RegistryError::NodeDeregistered(node.node_id))
}
