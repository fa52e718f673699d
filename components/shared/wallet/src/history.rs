//! A wallet's history, as the ledger has it.

use crate::{Clock, Service, WalletError};
use duxnet_store::{Database, HistoryFilter, Payment, StoredTransaction, Wallet};

/// Rows of one transaction that are shown; a transaction that pays a wallet more often is not one
/// of ours.
const ROWS_OF_ONE: u32 = 100;

/// A page of history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPage {
    /// Newest first.
    pub transactions: Vec<StoredTransaction>,
    /// The ledger's last block, from which confirmations are counted.
    pub height: Option<u32>,
    /// Whether older rows follow.
    pub has_more: bool,
}

/// One transaction, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneTransaction {
    /// Its rows in the wallet's history: what the wallet sent with it, what it received.
    pub rows: Vec<StoredTransaction>,
    /// The payment that it is.
    pub payment: Option<Payment>,
    /// The ledger's last block, from which confirmations are counted.
    pub height: Option<u32>,
}

impl<D: Database, C: Clock> Service<'_, D, C> {
    /// A page of a wallet's history.
    ///
    /// # Errors
    /// Database trouble.
    pub async fn history(
        &self,
        wallet: &Wallet,
        filter: &HistoryFilter,
        limit: u32,
    ) -> Result<HistoryPage, WalletError> {
        let mut transactions = self
            .store
            .history(wallet.id, filter, limit.saturating_add(1))
            .await?;
        let has_more = transactions.len() > limit as usize;
        transactions.truncate(limit as usize);
        Ok(HistoryPage {
            transactions,
            height: self.ledger_height().await?,
            has_more,
        })
    }

    /// One transaction of a wallet, by its txid or its payment's id.
    ///
    /// # Errors
    /// [`WalletError::TransactionNotFound`], or database trouble.
    pub async fn transaction(
        &self,
        wallet: &Wallet,
        txid_or_payment_id: &str,
    ) -> Result<OneTransaction, WalletError> {
        let rows = self
            .store
            .transactions_called(wallet.id, txid_or_payment_id, ROWS_OF_ONE)
            .await?;
        let payment_id = rows.iter().find_map(|row| row.payment_id.clone());
        let payment = match &payment_id {
            Some(id) => self.store.payment_of_wallet(wallet.id, id).await?,
            // A payment that was never signed has no row of history.
            None if rows.is_empty() => {
                self.store
                    .payment_of_wallet(wallet.id, txid_or_payment_id)
                    .await?
            }
            None => None,
        };
        if rows.is_empty() && payment.is_none() {
            return Err(WalletError::TransactionNotFound);
        }
        Ok(OneTransaction {
            rows,
            payment,
            height: self.ledger_height().await?,
        })
    }

    async fn ledger_height(&self) -> Result<Option<u32>, WalletError> {
        Ok(self.store.chain_state().await?.block.map(|b| b.height))
    }
}
