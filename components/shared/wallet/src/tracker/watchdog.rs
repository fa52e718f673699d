//! Does the ledger hold what the chain node's wallet holds? Page by page, all addresses in a round.

use super::{Report, TrackerPolicy};
use crate::chain::Reader;
use crate::{Clock, Service, WalletError};
use duxnet_store::{Database, LedgerCoin};
use duxnet_units::{Amount, OutPoint};
use std::collections::HashMap;

/// Addresses compared in one run. The node looks through its whole wallet for each page.
const PAGE_ADDRESSES: u32 = 500;

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// Compares one page when a round is due or under way; at the end of a round a drift above the
    /// limit stops all payments until an operator resumes them.
    pub(super) async fn watch(
        &self,
        chain: &impl Reader,
        rules: &TrackerPolicy,
        lease: &str,
        report: &mut Report,
    ) -> Result<(), WalletError> {
        let state = self.store.chain_state().await?;
        let now = self.clock.now();
        let age = state
            .watchdog_at
            .map(|at| now.unix_seconds() - at.unix_seconds());
        let is_young =
            age.is_some_and(|age| (0..i64::from(rules.watchdog_interval)).contains(&age));
        if rules.watchdog_interval == 0 || (is_young && state.watchdog_cursor == 0) {
            return Ok(());
        }
        let page = self
            .store
            .address_page(state.watchdog_cursor, PAGE_ADDRESSES)
            .await?;
        let addresses: Vec<&str> = page.iter().map(|(_, address)| address.as_str()).collect();
        let mut drift = Amount::ZERO;
        if !addresses.is_empty() {
            let Some(first) = self.drift_of(chain, &addresses).await? else {
                return Ok(());
            };
            drift = first;
            if !first.is_zero() {
                // A payment made or a block found in between looks like a drift for a moment.
                self.sync(chain, lease, now).await?;
                let Some(second) = self.drift_of(chain, &addresses).await? else {
                    return Ok(());
                };
                drift = second;
            }
        }
        let is_last = page.len() < PAGE_ADDRESSES as usize;
        let cursor = page.last().map_or(0, |(id, _)| *id);
        self.store
            .note_watchdog(cursor, drift, is_last.then_some(now))
            .await?;
        let found = self.store.chain_state().await?.watchdog_drift;
        if let Some(found) = found.filter(|found| is_last && !found.is_zero()) {
            let reason = format!("ledger and chain node disagree on {found} FLOP");
            if found > rules.watchdog_max_drift {
                self.store.stop_sends(&reason, now).await?;
            }
            report.troubles.push(reason);
        }
        Ok(())
    }

    /// What ledger and chain node disagree on at these addresses; none when the chain moved on
    /// meanwhile.
    async fn drift_of(
        &self,
        chain: &impl Reader,
        addresses: &[&str],
    ) -> Result<Option<Amount>, WalletError> {
        let before = self.store.chain_state().await?.block;
        let theirs = chain.list_unspent(addresses).await?;
        let ours = self.store.confirmed_coins_at(addresses).await?;
        let after = self.store.chain_state().await?.block;
        let is_same_block = before == after && after.is_some_and(|block| block.hash == theirs.tip);
        if !is_same_block {
            return Ok(None);
        }
        let theirs = theirs
            .coins
            .into_iter()
            .map(|coin| (coin.outpoint, coin.value))
            .collect();
        Ok(Some(difference(&ours, theirs)))
    }
}

/// Florins in coins that only one of the two has. A coin that a payment has taken may be spent for
/// the node already, or not yet.
fn difference(ours: &[LedgerCoin], mut theirs: HashMap<OutPoint, Amount>) -> Amount {
    let mut drift = Amount::ZERO;
    let mut add = |value: Amount| drift = drift.checked_add(value).unwrap_or(Amount::MAX);
    for coin in ours {
        match theirs.remove(&coin.outpoint) {
            Some(value) if value == coin.value => {}
            Some(value) => {
                add(value);
                add(coin.value);
            }
            None if coin.is_taken => {}
            None => add(coin.value),
        }
    }
    theirs.into_values().for_each(add);
    drift
}

#[cfg(test)]
mod tests {
    use super::*;
    use duxnet_units::Txid;

    fn outpoint(vout: u32) -> OutPoint {
        OutPoint {
            txid: Txid::from_wire_bytes([3; 32]),
            vout,
        }
    }

    fn ours(vout: u32, value: u64, is_taken: bool) -> LedgerCoin {
        LedgerCoin {
            outpoint: outpoint(vout),
            value: Amount::from_florins(value).unwrap(),
            is_taken,
        }
    }

    fn drift(ours: &[LedgerCoin], theirs: &[(u32, u64)]) -> u64 {
        let theirs = theirs
            .iter()
            .map(|(vout, value)| (outpoint(*vout), Amount::from_florins(*value).unwrap()))
            .collect();
        difference(ours, theirs).florins()
    }

    #[test]
    fn only_what_one_side_has_is_drift_and_nothing_cancels_out() {
        assert_eq!(drift(&[], &[]), 0);
        assert_eq!(drift(&[ours(0, 5, false)], &[(0, 5)]), 0);
        assert_eq!(drift(&[ours(0, 5, false)], &[]), 5);
        assert_eq!(drift(&[], &[(0, 5)]), 5);
        assert_eq!(drift(&[ours(0, 5, false)], &[(1, 5)]), 10);
        assert_eq!(drift(&[ours(0, 5, false)], &[(0, 7)]), 12);
    }

    #[test]
    fn a_coin_that_a_payment_has_taken_is_there_or_not() {
        assert_eq!(drift(&[ours(0, 5, true)], &[]), 0);
        assert_eq!(drift(&[ours(0, 5, true)], &[(0, 5)]), 0);
    }
}
