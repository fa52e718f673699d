//! What every operation has at hand.

use crate::WalletError;
use duxnet_store::{Database, SignatureUse, Store, Wallet};
use duxnet_units::{Amount, Network, NodeId, Timestamp};
use std::time::Duration;

/// The time.
pub trait Clock {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Waits.
    fn pause(&self, duration: Duration) -> impl Future<Output = ()>;
}

/// The operator's rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Whose addresses are accepted.
    pub network: Network,
    /// Largest amount of one payment.
    pub max_transaction_amount: Amount,
    /// The limit's window, seconds.
    pub rate_limit_window: u32,
    /// Payments per window.
    pub max_transactions_per_window: u32,
    /// Blocks until a payment is confirmed and money from others can be spent.
    pub confirmations_required: u32,
}

/// Who asks, already authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The node.
    pub node_id: NodeId,
    /// Its signature, to be stored with the effect; none where requests are not signed.
    pub signature: Option<SignatureUse>,
}

/// The domain's surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a, D, C> {
    /// The database.
    pub store: &'a Store<D>,
    /// The time.
    pub clock: &'a C,
    /// The rules.
    pub policy: &'a Policy,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// A node's wallet.
    ///
    /// # Errors
    /// [`WalletError::WalletNotFound`].
    pub async fn wallet(&self, node_id: &NodeId) -> Result<Wallet, WalletError> {
        self.store
            .wallet_of(node_id)
            .await?
            .ok_or_else(|| WalletError::WalletNotFound(node_id.clone()))
    }

    /// Stores the signature of a request that has no effect of its own to store it with.
    ///
    /// # Errors
    /// `Replayed` on its second use.
    pub async fn consume_signature(&self, caller: &Caller) -> Result<(), WalletError> {
        if let Some(signature) = &caller.signature {
            self.store.use_signature(signature).await?;
        }
        Ok(())
    }

    /// Now and so many seconds.
    pub(crate) fn after(&self, seconds: i64) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_unix_seconds(now.unix_seconds().saturating_add(seconds)).unwrap_or(now)
    }
}
