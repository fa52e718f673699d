//! Why the registry does not do what it was asked for.

use crate::webhooks::WebhookError;
use duxnet_api::problem::Problem;
use duxnet_store::StoreError;
use duxnet_units::NodeId;
use duxnet_wallet::WalletError;

/// Every refusal and failure of the registry. Nothing is half done when one of these comes back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegistryError {
    /// The database failed, or a signature was used twice.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The wallet refused or failed.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The node never registered.
    #[error("node {0} is not registered")]
    NodeNotFound(NodeId),
    /// The node has left.
    #[error("node {0} is deregistered")]
    NodeDeregistered(NodeId),
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A webhook cannot be made or used so.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// What a peer brings is not taken.
    #[error("{}: {}", .0.code.name(), .0.detail.as_deref().unwrap_or_default())]
    Refused(Problem),
    /// `registry_key` is not set, or not valid.
    #[error("the registry has no key to sign with")]
    NoRegistryKey,
}

impl From<Problem> for RegistryError {
    fn from(problem: Problem) -> Self {
        RegistryError::Refused(problem)
    }
}
