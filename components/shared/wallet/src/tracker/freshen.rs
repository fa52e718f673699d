//! A read that wants the ledger fresher than it is.

use super::LEASE_SECONDS;
use crate::chain::Reader;
use crate::{Clock, Service, WalletError};
use duxnet_store::{ChainState, Database};
use std::time::Duration;

/// How long a request waits for the ledger to be brought level, by itself or by another.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at what another tracker is doing.
const PAUSE: Duration = Duration::from_millis(40);
/// Looks until the patience ends.
const LOOKS: u32 = 50;

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// The ledger's place, after it was brought level when it is older than `max_age` seconds; 0
    /// always looks. One tracker runs, whoever else wants it fresh waits for that one. When that
    /// takes long the ledger is given as it is.
    ///
    /// # Errors
    /// What kept it from being brought level.
    pub async fn freshen(
        &self,
        chain: &impl Reader,
        max_age: u32,
    ) -> Result<ChainState, WalletError> {
        let mut state = self.store.chain_state().await?;
        for _ in 0..LOOKS {
            if max_age > 0 && self.is_fresh(&state, max_age) {
                return Ok(state);
            }
            if let Some(lease) = self.take_lease().await? {
                let work = self.sync(chain, &lease, self.after(LEASE_SECONDS));
                let result = self.within(PATIENCE, work).await;
                self.store.release_tracker_lease(&lease).await?;
                result.transpose()?;
                return Ok(self.store.chain_state().await?);
            }
            self.clock.pause(PAUSE).await;
            let later = self.store.chain_state().await?;
            if max_age == 0 && later.synced_at > state.synced_at {
                return Ok(later);
            }
            state = later;
        }
        Ok(state)
    }

    fn is_fresh(&self, state: &ChainState, max_age: u32) -> bool {
        let now = self.clock.now().unix_seconds();
        // What is younger than now was written before the clock was set back.
        state.network == Some(self.policy.network)
            && state
                .synced_at
                .is_some_and(|at| (0..=i64::from(max_age)).contains(&(now - at.unix_seconds())))
    }
}
