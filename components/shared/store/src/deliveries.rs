//! Messages to webhook endpoints. Whoever delivers claims an endpoint first, so that nobody else
//! does at the same time; what it did not finish is anybody's when the claim ends.

use crate::row::Columns;
use crate::{Database, Row, Store, StoreError, Webhook, webhooks};
use duxnet_units::Timestamp;

/// A message as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The row, for cursors.
    pub id: i64,
    /// The wallet's event; none for a test.
    pub sequence: Option<i64>,
    /// The event's type.
    pub kind: String,
    /// `pending`, `delivered` or `failed`.
    pub status: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, if it is.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was tried last.
    pub last_attempt_at: Option<Timestamp>,
    /// The status of the last answer; none without an answer.
    pub last_status: Option<u32>,
    /// Why the last attempt failed, in our words.
    pub last_error: Option<String>,
    /// When it came to be.
    pub created_at: Timestamp,
}

/// A message that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueDelivery {
    /// The row.
    pub id: i64,
    /// The wallet's event; none for a test.
    pub sequence: Option<i64>,
    /// The event's type.
    pub kind: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When the event happened.
    pub at: Timestamp,
    /// The event's data with `node_id` and `sequence`: a JSON object.
    pub data: String,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempted {
    /// `pending` when it is tried again, else `delivered` or `failed`.
    pub status: &'static str,
    /// When it is tried again.
    pub next_attempt_at: Timestamp,
    /// The status of the answer; none without an answer.
    pub last_status: Option<u16>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// Now.
    pub at: Timestamp,
}

const COLUMNS: &str = "id, sequence, type, status, attempts,
    CASE status WHEN 'pending' THEN next_attempt_at END, last_attempt_at, last_status, last_error, created_at";

fn read(row: Row) -> Result<Delivery, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Delivery {
        id: columns.integer("webhook_deliveries.id")?,
        sequence: columns.optional_integer("webhook_deliveries.sequence")?,
        kind: columns.text("webhook_deliveries.type")?,
        status: columns.text("webhook_deliveries.status")?,
        attempts: columns.small("webhook_deliveries.attempts")?,
        next_attempt_at: columns.optional_time("webhook_deliveries.next_attempt_at")?,
        last_attempt_at: columns.optional_time("webhook_deliveries.last_attempt_at")?,
        last_status: columns.optional_small("webhook_deliveries.last_status")?,
        last_error: columns.optional_text("webhook_deliveries.last_error")?,
        created_at: columns.time("webhook_deliveries.created_at")?,
    })
}

impl<D: Database> Store<D> {
    /// Messages to an endpoint, newest first, older than the row `before`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn deliveries(
        &self,
        webhook: i64,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM webhook_deliveries WHERE webhook_id = ? AND id < ? ORDER BY id DESC LIMIT ?"
        );
        let before = before.unwrap_or(i64::MAX);
        self.database
            .query(&sql, vec![webhook.into(), before.into(), limit.into()])
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Has an endpoint told `kind` once, as no event of the wallet; false while one such message is
    /// pending.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_test_delivery(
        &self,
        webhook: i64,
        kind: &str,
        at: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let sql = format!(
            "INSERT INTO webhook_deliveries (webhook_id, type, next_attempt_at, created_at)
             SELECT id, ?2, ?3, ?3 FROM webhooks WHERE id = ?1 AND is_enabled = 1
             ON CONFLICT DO NOTHING RETURNING {COLUMNS}"
        );
        let parameters = vec![webhook.into(), kind.into(), at.unix_seconds().into()];
        self.first(&sql, parameters).await?.map(read).transpose()
    }

    /// Has an endpoint told again, from the beginning of the schedule, of the first `limit` events
    /// from `sequence` on that its filter lets through: their sequence numbers.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn replay_events(
        &self,
        webhook: &Webhook,
        sequence: i64,
        limit: u32,
        at: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let rows = self
            .database
            .query(
                "INSERT INTO webhook_deliveries (webhook_id, sequence, type, next_attempt_at, created_at)
                 SELECT w.id, e.sequence, e.type, ?4, ?4 FROM webhooks w
                 JOIN events e ON e.wallet_id = w.wallet_id AND e.sequence >= ?2
                 WHERE w.id = ?1 AND w.is_enabled = 1
                    AND EXISTS (SELECT 1 FROM json_each(w.event_types) WHERE e.type GLOB value)
                 ORDER BY e.sequence LIMIT ?3
                 ON CONFLICT (webhook_id, sequence) DO UPDATE SET status = 'pending', attempts = 0,
                    next_attempt_at = excluded.next_attempt_at, last_error = NULL, finished_at = NULL
                 RETURNING sequence",
                vec![
                    webhook.id.into(),
                    sequence.into(),
                    limit.into(),
                    at.unix_seconds().into(),
                ],
            )
            .await?;
        let read = |row| Columns::of(row).integer("webhook_deliveries.sequence");
        rows.into_iter().map(read).collect()
    }

    /// Takes up to `limit` enabled endpoints with something due, those whose last turn is longest ago
    /// first, until `until`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_webhooks(
        &self,
        at: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Webhook>, StoreError> {
        let sql = format!(
            "UPDATE webhooks SET busy_until = ?2 WHERE id IN (
                SELECT id FROM webhooks WHERE due_at <= ?1 AND busy_until <= ?1 AND is_enabled = 1
                ORDER BY busy_until, due_at LIMIT ?3)
             RETURNING {}",
            webhooks::COLUMNS
        );
        self.database
            .query(
                &sql,
                vec![
                    at.unix_seconds().into(),
                    until.unix_seconds().into(),
                    limit.into(),
                ],
            )
            .await?
            .into_iter()
            .map(webhooks::read)
            .collect()
    }

    /// Gives a claimed endpoint back, for others from `free_at` on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn release_webhook(
        &self,
        webhook: i64,
        free_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "UPDATE webhooks SET busy_until = ?2, due_at =
                    (SELECT MIN(next_attempt_at) FROM webhook_deliveries WHERE webhook_id = ?1 AND status = 'pending')
                 WHERE id = ?1",
                vec![webhook.into(), free_at.unix_seconds().into()],
            )
            .await?;
        Ok(())
    }

    /// What a claimed endpoint is to be told next, if something is due and it is as it was when it
    /// was claimed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn due_delivery(
        &self,
        webhook: &Webhook,
        at: Timestamp,
    ) -> Result<Option<DueDelivery>, StoreError> {
        let row = self
            .first(
                "SELECT d.id, d.sequence, d.type, d.attempts, COALESCE(e.created_at, d.created_at),
                    CASE WHEN d.sequence IS NULL THEN json_object('node_id', w.node_id, 'webhook_id', h.webhook_id)
                        ELSE json_set(e.data, '$.node_id', w.node_id, '$.sequence', d.sequence) END
                 FROM webhook_deliveries d
                 JOIN webhooks h ON h.id = d.webhook_id
                 JOIN wallets w ON w.id = h.wallet_id
                 LEFT JOIN events e ON e.wallet_id = h.wallet_id AND e.sequence = d.sequence
                 WHERE d.webhook_id = ? AND d.status = 'pending' AND d.next_attempt_at <= ?
                    AND h.url = ? AND h.is_enabled = 1
                 ORDER BY d.next_attempt_at, d.sequence LIMIT 1",
                vec![
                    webhook.id.into(),
                    at.unix_seconds().into(),
                    webhook.url.as_str().into(),
                ],
            )
            .await?;
        row.map(|row| {
            let mut columns = Columns::of(row);
            Ok(DueDelivery {
                id: columns.integer("webhook_deliveries.id")?,
                sequence: columns.optional_integer("webhook_deliveries.sequence")?,
                kind: columns.text("webhook_deliveries.type")?,
                attempts: columns.small("webhook_deliveries.attempts")?,
                at: columns.time("events.created_at")?,
                data: columns.text("events.data")?,
            })
        })
        .transpose()
    }

    /// Notes how an attempt ended, unless somebody else has noted one since.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn finish_attempt(
        &self,
        delivery: &DueDelivery,
        attempted: &Attempted,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "UPDATE webhook_deliveries SET attempts = attempts + 1, status = ?3, next_attempt_at = ?4,
                    last_attempt_at = ?5, last_status = ?6, last_error = ?7,
                    finished_at = CASE ?3 WHEN 'pending' THEN NULL ELSE ?5 END
                 WHERE id = ?1 AND attempts = ?2 AND status = 'pending'",
                vec![
                    delivery.id.into(),
                    delivery.attempts.into(),
                    attempted.status.into(),
                    attempted.next_attempt_at.unix_seconds().into(),
                    attempted.at.unix_seconds().into(),
                    attempted.last_status.map(u32::from).into(),
                    attempted.last_error.clone().into(),
                ],
            )
            .await?;
        Ok(())
    }

    /// Forgets up to `limit` messages that were finished before `before`; how many there were.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_deliveries(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<usize, StoreError> {
        let rows = self
            .database
            .query(
                "DELETE FROM webhook_deliveries WHERE id IN (
                    SELECT id FROM webhook_deliveries WHERE finished_at < ? ORDER BY finished_at LIMIT ?)
                 RETURNING id",
                vec![before.unix_seconds().into(), limit.into()],
            )
            .await?;
        Ok(rows.len())
    }
}
