//! A wallet's history, with the standing of its unsettled payments brought up to date.

use crate::chain::{Reader, Standing};
use crate::{Clock, Service, WalletError};
use duxnet_store::{Database, HistoryFilter, Payment, PaymentState, StoredTransaction, Wallet};
use std::collections::HashMap;

/// Unsettled payments that one reading of the history looks up on the chain, newest first.
const REFRESHED_PAYMENTS: u32 = 50;

/// A page of history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPage {
    /// Newest first.
    pub transactions: Vec<StoredTransaction>,
    /// Confirmations by txid, where they were just looked up.
    pub confirmations: HashMap<String, u32>,
    /// Whether older rows follow.
    pub has_more: bool,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// A page of a wallet's history. When the chain node cannot be asked, the page shows what is
    /// stored; `trouble` gets the cause, for the log.
    ///
    /// # Errors
    /// Database trouble.
    pub async fn history(
        &self,
        chain: &impl Reader,
        wallet: &Wallet,
        filter: &HistoryFilter,
        limit: u32,
        trouble: impl FnOnce(&WalletError),
    ) -> Result<HistoryPage, WalletError> {
        let confirmations = match self.refresh(chain, wallet).await {
            Ok(confirmations) => confirmations,
            Err(error @ (WalletError::Chain(_) | WalletError::WrongNetwork { .. })) => {
                trouble(&error);
                HashMap::new()
            }
            Err(error) => return Err(error),
        };
        let mut transactions = self
            .store
            .history(wallet.id, filter, limit.saturating_add(1))
            .await?;
        let has_more = transactions.len() > limit as usize;
        transactions.truncate(limit as usize);
        Ok(HistoryPage {
            transactions,
            confirmations,
            has_more,
        })
    }

    /// Looks up the wallet's unsettled payments and moves on those that have.
    async fn refresh(
        &self,
        chain: &impl Reader,
        wallet: &Wallet,
    ) -> Result<HashMap<String, u32>, WalletError> {
        let payments = self.store.unsettled(wallet.id, REFRESHED_PAYMENTS).await?;
        let with_txid: Vec<_> = payments
            .iter()
            .filter_map(|p| Some((p, p.txid.as_ref()?)))
            .collect();
        if with_txid.is_empty() {
            return Ok(HashMap::new());
        }
        let txids: Vec<_> = with_txid.iter().map(|(_, txid)| *txid).collect();
        let standings = chain.standings(&txids).await?;
        let mut confirmations = HashMap::new();
        for ((payment, txid), standing) in with_txid.into_iter().zip(standings) {
            if let Some(count) = self.settle(payment, &standing).await? {
                confirmations.insert(txid.to_string(), count);
            }
        }
        Ok(confirmations)
    }

    /// Moves a payment to what the chain says of it, and gives its confirmations. What the chain
    /// does not (yet, or no longer) know stays as it is: absence proves nothing.
    pub(crate) async fn settle(
        &self,
        payment: &Payment,
        standing: &Standing,
    ) -> Result<Option<u32>, WalletError> {
        let now = self.clock.now();
        let (confirmations, deep_enough) = match standing {
            Standing::Absent | Standing::NotInMempool | Standing::Conflicted => return Ok(None),
            Standing::Mempool => (0, None),
            Standing::Confirmed {
                confirmations,
                height,
                time,
            } => {
                let enough = *confirmations >= self.policy.confirmations_required;
                (*confirmations, enough.then_some((*height, *time)))
            }
        };
        if let Some((height, time)) = deep_enough {
            self.store
                .mark_confirmed(payment.id, height, time, now)
                .await?;
        } else if payment.state == PaymentState::Signed {
            self.store.mark_broadcast(payment.id, now).await?;
        }
        Ok(Some(confirmations))
    }
}
