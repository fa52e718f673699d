//! The background work, in order: bring the ledger level with the chain ([`sync`]), bring payments
//! to an end ([`resolve`]), fill the pool of addresses, compare with the chain node ([`watchdog`]),
//! have its wallet backed up.
//!
//! Everything is bounded, safe to repeat and safe to run twice at once: what one run leaves, the
//! next one does.

mod freshen;
mod recognise;
pub mod resolve;
pub mod sync;
mod upkeep;
pub mod watchdog;

use crate::chain::{Admin, Keys, Reader, Relay};
use crate::{Clock, Service, WalletError};
use duxnet_store::Database;
use duxnet_units::Amount;
use std::time::Duration;

/// How long a tracker is alone without a sign of life. A killed one holds the next up for so long.
pub(crate) const LEASE_SECONDS: i64 = 10;
/// How long one run brings blocks into the ledger: the host's own deadline is 30 s.
const RUN_SECONDS: i64 = 15;

/// The operator's rules for the background work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackerPolicy {
    /// Seconds between two rounds of the watchdog; 0 for none.
    pub watchdog_interval: u32,
    /// Largest drift that does not stop payments.
    pub watchdog_max_drift: Amount,
    /// Seconds between two backups of the chain node's wallet; 0 for none.
    pub backup_interval: u32,
}

/// What one run did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Another tracker is at work: nothing was done.
    pub is_busy: bool,
    /// Whether the ledger is level with the chain node; if not, the next run goes on.
    pub is_level: bool,
    /// Blocks that came into the ledger.
    pub blocks: u32,
    /// Payments whose bytes were sent again.
    pub resent: u32,
    /// Payments and receives that are dead.
    pub died: u32,
    /// What else went wrong; the ledger is right all the same.
    pub troubles: Vec<String>,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// One run of the background work.
    ///
    /// # Errors
    /// Whatever keeps the ledger from being brought level.
    pub async fn tick(
        &self,
        chain: &(impl Reader + Relay + Keys + Admin),
        rules: &TrackerPolicy,
    ) -> Result<Report, WalletError> {
        let Some(lease) = self.take_lease().await? else {
            return Ok(Report {
                is_busy: true,
                ..Report::default()
            });
        };
        let result = self.tick_alone(chain, rules, &lease).await;
        self.store.release_tracker_lease(&lease).await?;
        result
    }

    async fn tick_alone(
        &self,
        chain: &(impl Reader + Relay + Keys + Admin),
        rules: &TrackerPolicy,
        lease: &str,
    ) -> Result<Report, WalletError> {
        let mut report = Report::default();
        let level = self.sync(chain, lease, self.after(RUN_SECONDS)).await?;
        report.is_level = level.is_level;
        report.blocks = level.blocks;
        // Reservations that were never signed need no chain.
        self.store.fail_abandoned(None, self.clock.now()).await?;
        if !level.is_level {
            // What the ledger does not know yet could be the very block that settles it.
            return Ok(report);
        }
        self.resolve(chain, &mut report).await?;
        let watched = self.watch(chain, rules, lease, &mut report).await;
        for (what, result) in [
            ("watchdog", watched),
            ("pool of addresses", self.fill_pool(chain).await),
            ("backup", self.back_up(chain, rules.backup_interval).await),
        ] {
            if let Err(error) = result {
                report.troubles.push(format!("{what}: {error}"));
            }
        }
        Ok(report)
    }

    pub(crate) async fn take_lease(&self) -> Result<Option<String>, WalletError> {
        let (now, until) = (self.clock.now(), self.after(LEASE_SECONDS));
        Ok(self.store.take_tracker_lease(now, until).await?)
    }

    /// The work's result, or none when it takes longer.
    pub(crate) async fn within<T>(
        &self,
        longest: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut pause = std::pin::pin!(self.clock.pause(longest));
        std::future::poll_fn(|context| {
            if let std::task::Poll::Ready(result) = work.as_mut().poll(context) {
                return std::task::Poll::Ready(Some(result));
            }
            pause.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}
