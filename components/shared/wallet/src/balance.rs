//! What a wallet holds, by the ledger, and how old that is.

use crate::chain::Reader;
use crate::{Clock, Service, WalletError};
use duxnet_store::{ChainState, Database, LedgerBlock, Wallet};
use duxnet_units::{NodeId, Timestamp};

/// The moment that the ledger shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AsOf {
    /// The last block in it.
    pub block: LedgerBlock,
    /// When it was last level with the chain node; none while it catches up for the first time.
    pub synced_at: Option<Timestamp>,
    /// Seconds since.
    pub age_seconds: Option<u32>,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// A node's wallet, with a balance that is at most `max_age` seconds old when the chain node
    /// answers in time, and with what the ledger has when it does not; `trouble` gets the cause,
    /// for the log.
    ///
    /// # Errors
    /// [`WalletError::WalletNotFound`], database trouble, and chain trouble while the ledger has
    /// never seen the chain.
    pub async fn holdings(
        &self,
        chain: &impl Reader,
        node: &NodeId,
        max_age: u32,
        trouble: impl FnOnce(&WalletError),
    ) -> Result<(Wallet, AsOf), WalletError> {
        // Nobody without a wallet has the chain looked at.
        self.wallet(node).await?;
        let state = match self.freshen(chain, max_age).await {
            Ok(state) => state,
            Err(error) => {
                let state = self.store.chain_state().await?;
                if state.block.is_none() {
                    return Err(error);
                }
                trouble(&error);
                state
            }
        };
        let wallet = self.wallet(node).await?;
        Ok((wallet, self.as_of(&state)?))
    }

    /// The moment that the ledger shows.
    ///
    /// # Errors
    /// [`WalletError::Syncing`] before the first block.
    pub fn as_of(&self, state: &ChainState) -> Result<AsOf, WalletError> {
        let now = self.clock.now().unix_seconds();
        Ok(AsOf {
            block: state.block.clone().ok_or(WalletError::Syncing)?,
            synced_at: state.synced_at,
            age_seconds: state.synced_at.map(|at| {
                u32::try_from(now.saturating_sub(at.unix_seconds()).max(0)).unwrap_or(u32::MAX)
            }),
        })
    }
}
