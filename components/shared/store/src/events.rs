//! What happened to a wallet, in order.

use crate::row::Columns;
use crate::{Database, Store, StoreError};
use duxnet_units::Timestamp;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// 1, 2, 3... for each wallet.
    pub sequence: i64,
    /// What: `payment.sent`, `receive.seen`... (docs/ledger.md).
    pub kind: String,
    /// A JSON object; amounts are florins as text.
    pub data: String,
    /// When the service knew of it.
    pub at: Timestamp,
}

impl<D: Database> Store<D> {
    /// A wallet's events after a sequence number, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn events_after(
        &self,
        wallet_id: i64,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.database
            .query(
                "SELECT sequence, type, data, created_at FROM events
                 WHERE wallet_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                vec![wallet_id.into(), sequence.into(), limit.into()],
            )
            .await?
            .into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(StoredEvent {
                    sequence: columns.integer("events.sequence")?,
                    kind: columns.text("events.type")?,
                    data: columns.text("events.data")?,
                    at: columns.time("events.created_at")?,
                })
            })
            .collect()
    }
}
