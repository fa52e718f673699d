//! What a wallet holds: its own unspent outputs, less what payments under way have taken.

use crate::chain::{Coin, Reader, Unspent};
use crate::{Clock, Service, WalletError};
use duxnet_store::{Database, Wallet};
use duxnet_units::Amount;

/// Sums over a wallet's unspent outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holdings {
    /// What can be spent now.
    pub available: Amount,
    /// Outputs with enough confirmations.
    pub confirmed: Amount,
    /// Money from others with too few confirmations; never spendable.
    pub pending: Amount,
    /// Outputs that payments under way have taken.
    pub reserved: Amount,
}

/// A wallet's coins by what may be done with them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Coins {
    /// May be spent.
    pub(crate) spendable: Vec<Coin>,
    /// Florins per 1000 bytes, at the same moment.
    pub(crate) fee_rate: u64,
    holdings: Holdings,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// What a wallet holds, by the chain node as it is now.
    ///
    /// # Errors
    /// Chain or database trouble.
    pub async fn holdings(
        &self,
        chain: &impl Reader,
        wallet: &Wallet,
    ) -> Result<Holdings, WalletError> {
        let holdings = self.coins(chain, wallet).await?.holdings;
        self.store
            .note_balance(wallet.id, holdings.available, self.clock.now())
            .await?;
        Ok(holdings)
    }

    /// A wallet's coins, read from the chain node and sorted by our own rules: Core's idea of
    /// what is spendable mixes the wallets of all nodes.
    pub(crate) async fn coins(
        &self,
        chain: &impl Reader,
        wallet: &Wallet,
    ) -> Result<Coins, WalletError> {
        let addresses = self.store.addresses_of(wallet.id).await?;
        let unspent = self.unspent(chain, &addresses).await?;
        self.sort_coins(wallet, unspent).await
    }

    async fn unspent(
        &self,
        chain: &impl Reader,
        addresses: &[String],
    ) -> Result<Unspent, WalletError> {
        let unspent = chain.list_unspent(addresses).await?;
        if unspent.network != self.policy.network {
            return Err(WalletError::WrongNetwork {
                expected: self.policy.network,
                found: unspent.network,
            });
        }
        Ok(unspent)
    }

    async fn sort_coins(&self, wallet: &Wallet, unspent: Unspent) -> Result<Coins, WalletError> {
        // Core's answer first, then the reservations: a coin reserved in between is left out,
        // never counted as free.
        let outpoints: Vec<_> = unspent
            .coins
            .iter()
            .map(|coin| coin.outpoint.clone())
            .collect();
        let taken = self.store.reserved_outpoints(&outpoints).await?;
        let required = self.policy.confirmations_required;
        let young: Vec<&str> = unspent
            .coins
            .iter()
            .filter(|coin| coin.confirmations < required)
            .map(|coin| coin.outpoint.txid.as_str())
            .collect();
        let own = if young.is_empty() {
            Vec::new()
        } else {
            self.store.own_payments(wallet.id, &young).await?
        };
        let mut holdings = Holdings::default();
        let mut spendable = Vec::new();
        for coin in unspent.coins {
            let settled = coin.confirmations >= required;
            let is_own_change = own.iter().any(|txid| txid == coin.outpoint.txid.as_str());
            if settled {
                add(&mut holdings.confirmed, coin.value)?;
            }
            if taken.contains(&coin.outpoint) {
                add(&mut holdings.reserved, coin.value)?;
            } else if settled || is_own_change {
                add(&mut holdings.available, coin.value)?;
                spendable.push(coin);
            } else {
                add(&mut holdings.pending, coin.value)?;
            }
        }
        Ok(Coins {
            spendable,
            fee_rate: unspent.fee_rate,
            holdings,
        })
    }
}

fn add(sum: &mut Amount, value: Amount) -> Result<(), WalletError> {
    *sum = sum.checked_add(value).ok_or_else(|| {
        crate::chain::ChainError::BadResponse("coins above the money supply".into())
    })?;
    Ok(())
}
