//! What changed a node's reputation. The rules are the triggers' (`migrations/0003_registry.sql`).

use crate::row::{Columns, corrupt, florins};
use crate::{Database, DatabaseError, Row, Store, StoreError, Value};
use duxnet_units::{Amount, Conduct, IdempotencyKey, NodeId, Timestamp};

/// What an operator says of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Of whom.
    pub node_id: NodeId,
    /// What it did.
    pub conduct: Conduct,
    /// Why the operator says so.
    pub reason: String,
    /// The operator's name.
    pub operator: String,
    /// What makes a repeat the same request, among this operator's.
    pub idempotency_key: IdempotencyKey,
    /// The hash of the request's content.
    pub request_hash: String,
    /// Now.
    pub at: Timestamp,
}

/// One event of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReputationEvent {
    /// The row, for cursors.
    pub id: i64,
    /// Whose.
    pub node_id: NodeId,
    /// [`Conduct`]'s, or `payment_confirmed`, `payment_failed`, `double_spend_attempt`.
    pub kind: String,
    /// What it is worth.
    pub delta: i64,
    /// What it changed.
    pub applied: i64,
    /// Why.
    pub reason: String,
    /// The operator who said so; none: the service itself.
    pub operator: Option<String>,
    /// The hash of the operator's request.
    pub request_hash: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What payments are worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PaymentPoints {
    /// One that confirmed.
    pub confirmed: i32,
    /// One that an operator refused.
    pub failed: i32,
    /// One that spent a deposit that was taken back.
    pub double_spend: i32,
    /// Most that confirmed ones bring in a day.
    pub daily_cap: u32,
    /// Smaller ones bring nothing.
    pub min_amount: Amount,
}

const COLUMNS: &str =
    "id, node_id, type, delta, applied, reason, operator, request_hash, created_at";

fn read(row: Row) -> Result<ReputationEvent, StoreError> {
    let mut columns = Columns::of(row);
    Ok(ReputationEvent {
        id: columns.integer("reputation_events.id")?,
        node_id: columns.node_id("reputation_events.node_id")?,
        kind: columns.text("reputation_events.type")?,
        delta: columns.integer("reputation_events.delta")?,
        applied: columns.integer("reputation_events.applied")?,
        reason: columns.text("reputation_events.reason")?,
        operator: columns.optional_text("reputation_events.operator")?,
        request_hash: columns.optional_text("reputation_events.request_hash")?,
        at: columns.time("reputation_events.created_at")?,
    })
}

impl<D: Database> Store<D> {
    /// Adds what an operator says, and changes the score with it; false when the operator's
    /// idempotency key was used before, then nothing changes. An unknown node has none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn judge(&self, judgement: &Judgement) -> Result<bool, StoreError> {
        let result = self
            .database
            .query(
                "INSERT INTO rate_node (node_id, type, delta, reason, operator, idempotency_key, request_hash, at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                vec![
                    judgement.node_id.as_str().into(),
                    judgement.conduct.name().into(),
                    Value::Integer(judgement.conduct.points().into()),
                    judgement.reason.as_str().into(),
                    judgement.operator.as_str().into(),
                    judgement.idempotency_key.as_str().into(),
                    judgement.request_hash.as_str().into(),
                    judgement.at.unix_seconds().into(),
                ],
            )
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.violates("reputation_events.idempotency_key") => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The event that an operator's idempotency key made.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn judgement_by_key(
        &self,
        operator: &str,
        key: &IdempotencyKey,
    ) -> Result<Option<ReputationEvent>, StoreError> {
        self.first(
            &format!(
                "SELECT {COLUMNS} FROM reputation_events WHERE operator = ? AND idempotency_key = ?"
            ),
            vec![operator.into(), key.as_str().into()],
        )
        .await?
        .map(read)
        .transpose()
    }

    /// A node's events, newest first, older than a row.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reputation_events(
        &self,
        node_id: &NodeId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<ReputationEvent>, StoreError> {
        self.database
            .query(
                &format!("SELECT {COLUMNS} FROM reputation_events WHERE node_id = ? AND id < ? ORDER BY id DESC LIMIT ?"),
                vec![
                    node_id.as_str().into(),
                    before.unwrap_or(i64::MAX).into(),
                    limit.into(),
                ],
            )
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Whether there are wallets' events that no node was rated by yet.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn has_events_to_rate(&self) -> Result<bool, StoreError> {
        let row = self
            .first(
                "SELECT EXISTS (SELECT 1 FROM events WHERE id > rated_event) FROM registry_state",
                Vec::new(),
            )
            .await?
            .ok_or_else(|| DatabaseError("registry_state is empty".into()))?;
        let found = Columns::of(row).integer("exists")?;
        match found {
            0 | 1 => Ok(found == 1),
            _ => Err(corrupt("exists", &Value::Integer(found))),
        }
    }

    /// Rates nodes by the next wallets' events, at most `events`: scores and how far it came change in one
    /// step, so that no payment counts twice.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn rate_payments(
        &self,
        points: &PaymentPoints,
        events: u32,
    ) -> Result<(), StoreError> {
        self.database
            .query(
                "INSERT INTO rate_payments (events, confirmed, failed, double_spend, cap, min_amount)
                 VALUES (?, ?, ?, ?, ?, ?)",
                vec![
                    events.into(),
                    Value::Integer(points.confirmed.into()),
                    Value::Integer(points.failed.into()),
                    Value::Integer(points.double_spend.into()),
                    points.daily_cap.into(),
                    florins(points.min_amount),
                ],
            )
            .await?;
        Ok(())
    }
}
