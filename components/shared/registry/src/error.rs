//! Why the registry does not do what it was asked for.

use crate::webhooks::WebhookError;
use duxnet_store::StoreError;
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
    /// A webhook cannot be made or used so.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
}
