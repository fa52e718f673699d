//! A wallet's history.

use crate::row::Columns;
use crate::{Database, Row, Store, StoreError, Value};
use duxnet_units::{Amount, Timestamp};

/// A row of the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredTransaction {
    /// The row, for cursors.
    pub id: i64,
    /// Whose.
    pub wallet_id: i64,
    /// Which transaction.
    pub txid: String,
    /// Who was paid.
    pub recipient_address: String,
    /// How much.
    pub amount: Amount,
    /// `send` or `receive`.
    pub transaction_type: String,
    /// `pending`, `confirmed` or `failed`.
    pub status: String,
    /// Paid to the miner.
    pub fee: Amount,
    /// Once in a block.
    pub block_height: Option<u32>,
    /// Once in a block.
    pub block_hash: Option<String>,
    /// When the service first knew of it.
    pub created_at: Timestamp,
    /// The time of the block.
    pub confirmed_at: Option<Timestamp>,
    /// The payment that made it.
    pub payment_id: Option<String>,
}

/// Which rows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HistoryFilter {
    /// Older than this row.
    pub before_id: Option<i64>,
    /// Of this type.
    pub transaction_type: Option<String>,
    /// Of this status.
    pub status: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

const COLUMNS: &str =
    "id, wallet_id, txid, recipient_address, amount, transaction_type, status, fee, block_height,
    created_at, confirmed_at, payment_id, block_hash";

fn read(row: Row) -> Result<StoredTransaction, StoreError> {
    let mut columns = Columns::of(row);
    Ok(StoredTransaction {
        id: columns.integer("transactions.id")?,
        wallet_id: columns.integer("transactions.wallet_id")?,
        txid: columns.text("transactions.txid")?,
        recipient_address: columns.text("transactions.recipient_address")?,
        amount: columns.amount("transactions.amount")?,
        transaction_type: columns.text("transactions.transaction_type")?,
        status: columns.text("transactions.status")?,
        fee: columns.amount("transactions.fee")?,
        block_height: columns.optional_small("transactions.block_height")?,
        created_at: columns.time("transactions.created_at")?,
        confirmed_at: columns.optional_time("transactions.confirmed_at")?,
        payment_id: columns.optional_text("transactions.payment_id")?,
        block_hash: columns.optional_text("transactions.block_hash")?,
    })
}

impl<D: Database> Store<D> {
    /// A page of a wallet's history, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn history(
        &self,
        wallet_id: i64,
        filter: &HistoryFilter,
        limit: u32,
    ) -> Result<Vec<StoredTransaction>, StoreError> {
        // Only the conditions that are asked for, so that the index on (wallet_id, id) serves.
        let mut sql = format!("SELECT {COLUMNS} FROM transactions WHERE wallet_id = ?");
        let mut parameters: Vec<Value> = vec![wallet_id.into()];
        let seconds = |time: Option<Timestamp>| time.map(|t| Value::Integer(t.unix_seconds()));
        for (condition, value) in [
            (" AND id < ?", filter.before_id.map(Value::Integer)),
            (
                " AND transaction_type = ?",
                filter.transaction_type.clone().map(Value::Text),
            ),
            (" AND status = ?", filter.status.clone().map(Value::Text)),
            (" AND created_at >= ?", seconds(filter.since)),
            (" AND created_at < ?", seconds(filter.until)),
        ] {
            if let Some(value) = value {
                sql.push_str(condition);
                parameters.push(value);
            }
        }
        sql.push_str(" ORDER BY id DESC LIMIT ?");
        parameters.push(limit.into());
        self.database
            .query(&sql, parameters)
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// The history row that a payment made.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn transaction_of(
        &self,
        payment_id: &str,
    ) -> Result<Option<StoredTransaction>, StoreError> {
        self.first(
            &format!("SELECT {COLUMNS} FROM transactions WHERE payment_id = ? AND transaction_type = 'send'"),
            vec![payment_id.into()],
        )
        .await?
        .map(read)
        .transpose()
    }

    /// A wallet's history rows of one transaction, or of one payment, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn transactions_called(
        &self,
        wallet_id: i64,
        txid_or_payment_id: &str,
        limit: u32,
    ) -> Result<Vec<StoredTransaction>, StoreError> {
        self.database
            .query(
                &format!(
                    "SELECT {COLUMNS} FROM transactions WHERE wallet_id = ?1 AND id IN (
                        SELECT id FROM transactions WHERE wallet_id = ?1 AND txid = ?2
                        UNION SELECT id FROM transactions WHERE payment_id = ?2
                     ) ORDER BY id DESC LIMIT ?3"
                ),
                vec![wallet_id.into(), txid_or_payment_id.into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(read)
            .collect()
    }
}
