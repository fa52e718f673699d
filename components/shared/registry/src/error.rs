//! Why the registry does not do what it was asked for.

use duxnet_api::problem::Problem;
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
