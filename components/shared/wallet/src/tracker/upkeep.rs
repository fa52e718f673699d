//! What the service needs ready: addresses in the pool, a backup of the chain node's wallet.

use crate::chain::{Admin, ChainError, Keys};
use crate::{Clock, Service, WalletError};
use duxnet_store::Database;
use duxnet_units::Address;

/// Addresses in the pool; a wallet or an address made from it costs no call to the chain node.
const POOL: u32 = 50;
/// Addresses made in one run: each can cost the node tens of milliseconds of disk flush.
const POOL_STEP: u32 = 10;

/// After a backup that failed, or whose end is not known.
const RETRY_BACKUP_SECONDS: i64 = 3_600;

impl<D: Database, C: Clock> Service<'_, D, C> {
    pub(super) async fn fill_pool(&self, chain: &impl Keys) -> Result<(), WalletError> {
        let size = self.store.pool_size().await?;
        if size >= POOL {
            return Ok(());
        }
        let texts = chain.new_addresses(POOL_STEP.min(POOL - size)).await?;
        let addresses = texts
            .iter()
            .map(|text| {
                Address::parse(text, self.policy.network)
                    .map_err(|e| ChainError::BadResponse(format!("a new address is {e}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(self.store.fill_pool(&addresses).await?)
    }

    /// Has the chain node's wallet backed up when the last one is old enough.
    pub(super) async fn back_up(
        &self,
        chain: &impl Admin,
        interval: u32,
    ) -> Result<(), WalletError> {
        if interval == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let last = self.store.chain_state().await?.backup_at;
        let age = last.map(|at| now.unix_seconds() - at.unix_seconds());
        if age.is_some_and(|age| (0..i64::from(interval)).contains(&age)) {
            return Ok(());
        }
        // The node never overwrites a backup, so each has a name of its own.
        let name = format!("duxnet-{}.dat", now.unix_seconds());
        // Noted first: one that takes the node longer than a call may is made all the same, and must
        // not be begun again and again.
        self.store.note_backup(now).await?;
        let made = chain.backup(&name).await;
        if made.is_err() {
            let again = i64::from(interval).min(RETRY_BACKUP_SECONDS) - i64::from(interval);
            self.store.note_backup(self.after(again)).await?;
        }
        Ok(made?)
    }
}
