//! What happened to a wallet, in order.

use crate::row::Columns;
use crate::{Database, DatabaseError, Store, StoreError};
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
        self.events("data", wallet_id, sequence, limit).await
    }

    /// As [`Store::events_after`], with `node_id` and `sequence` in the data: as nodes are told.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn told_events_after(
        &self,
        wallet_id: i64,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let data = "json_set(data, '$.node_id', (SELECT node_id FROM wallets WHERE wallets.id = events.wallet_id),
            '$.sequence', sequence)";
        self.events(data, wallet_id, sequence, limit).await
    }

    /// Notes that somebody waits for a wallet's events, as which reader. Of more than four the oldest
    /// are forgotten.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn begin_reading(&self, wallet_id: i64, at: Timestamp) -> Result<i64, StoreError> {
        let row = self
            .first(
                "INSERT INTO event_readers (wallet_id, begun_at) VALUES (?, ?) RETURNING id",
                vec![wallet_id.into(), at.unix_seconds().into()],
            )
            .await?
            .ok_or_else(|| DatabaseError("an insert returned no row".into()))?;
        Columns::of(row).integer("event_readers.id")
    }

    /// Whether a reader is still known.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn may_read(&self, reader: i64) -> Result<bool, StoreError> {
        self.changed(
            "SELECT id FROM event_readers WHERE id = ?",
            vec![reader.into()],
        )
        .await
    }

    /// Forgets a reader.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn end_reading(&self, reader: i64) -> Result<(), StoreError> {
        self.database
            .query(
                "DELETE FROM event_readers WHERE id = ?",
                vec![reader.into()],
            )
            .await?;
        Ok(())
    }

    async fn events(
        &self,
        data: &str,
        wallet_id: i64,
        sequence: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = format!(
            "SELECT sequence, type, {data}, created_at FROM events
             WHERE wallet_id = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        );
        self.database
            .query(&sql, vec![wallet_id.into(), sequence.into(), limit.into()])
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
