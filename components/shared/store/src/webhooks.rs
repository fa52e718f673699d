//! Webhook endpoints of wallets.

use crate::row::Columns;
use crate::{Database, Row, Store, StoreError, Value};
use duxnet_units::{IdempotencyKey, Timestamp};

/// An endpoint as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Webhook {
    /// The row.
    pub id: i64,
    /// What the API calls it; its key is derived from it.
    pub webhook_id: String,
    /// Whose wallet's events.
    pub wallet_id: i64,
    /// Where to.
    pub url: String,
    /// A JSON list of types: exact, `payment.*` or `*`.
    pub event_types: String,
    /// False: gets nothing.
    pub is_enabled: bool,
    /// Why it is disabled: `paused`, `gone` or `failing`.
    pub disabled_reason: Option<String>,
    /// Since when it is.
    pub disabled_at: Option<Timestamp>,
    /// Which of its keys signs.
    pub key_version: u32,
    /// Until when the key before signs as well.
    pub previous_key_until: Option<Timestamp>,
    /// Of the first attempt that failed and had no success after it.
    pub failing_since: Option<Timestamp>,
    /// The hash of the request that made it.
    pub request_hash: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// An endpoint to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewWebhook {
    /// Whose wallet's events.
    pub wallet_id: i64,
    /// Where to.
    pub url: String,
    /// A JSON list of types.
    pub event_types: String,
    /// The request's idempotency key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The hash of the request's content.
    pub request_hash: String,
    /// Now.
    pub at: Timestamp,
}

/// What is to change; none leaves what is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WebhookChange {
    /// Where to.
    pub url: Option<String>,
    /// A JSON list of types.
    pub event_types: Option<String>,
    /// False pauses it, true resumes whatever it was disabled for.
    pub enabled: Option<bool>,
}

pub(crate) const COLUMNS: &str =
    "id, webhook_id, wallet_id, url, event_types, is_enabled, disabled_reason, disabled_at,
    key_version, previous_key_until, failing_since, request_hash, created_at, updated_at";

pub(crate) fn read(row: Row) -> Result<Webhook, StoreError> {
    let mut columns = Columns::of(row);
    Ok(Webhook {
        id: columns.integer("webhooks.id")?,
        webhook_id: columns.text("webhooks.webhook_id")?,
        wallet_id: columns.integer("webhooks.wallet_id")?,
        url: columns.text("webhooks.url")?,
        event_types: columns.text("webhooks.event_types")?,
        is_enabled: columns.integer("webhooks.is_enabled")? != 0,
        disabled_reason: columns.optional_text("webhooks.disabled_reason")?,
        disabled_at: columns.optional_time("webhooks.disabled_at")?,
        key_version: columns.small("webhooks.key_version")?,
        previous_key_until: columns.optional_time("webhooks.previous_key_until")?,
        failing_since: columns.optional_time("webhooks.failing_since")?,
        request_hash: columns.text("webhooks.request_hash")?,
        created_at: columns.time("webhooks.created_at")?,
        updated_at: columns.time("webhooks.updated_at")?,
    })
}

impl<D: Database> Store<D> {
    async fn one_webhook(
        &self,
        sql: &str,
        parameters: Vec<Value>,
    ) -> Result<Option<Webhook>, StoreError> {
        self.first(sql, parameters).await?.map(read).transpose()
    }

    /// Makes an endpoint; none when the wallet has `limit` of them, or one by the same idempotency
    /// key.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_webhook(
        &self,
        new: &NewWebhook,
        limit: u32,
    ) -> Result<Option<Webhook>, StoreError> {
        let sql = format!(
            "INSERT INTO webhooks (webhook_id, wallet_id, url, event_types, idempotency_key, request_hash,
                created_at, updated_at)
             SELECT 'wh_' || lower(hex(randomblob(12))), ?1, ?2, ?3, ?4, ?5, ?6, ?6
             WHERE (SELECT COUNT(*) FROM webhooks WHERE wallet_id = ?1) < ?7
             ON CONFLICT (wallet_id, idempotency_key) DO NOTHING RETURNING {COLUMNS}"
        );
        let parameters = vec![
            new.wallet_id.into(),
            new.url.as_str().into(),
            new.event_types.as_str().into(),
            new.idempotency_key
                .as_ref()
                .map(IdempotencyKey::as_str)
                .into(),
            new.request_hash.as_str().into(),
            new.at.unix_seconds().into(),
            limit.into(),
        ];
        self.one_webhook(&sql, parameters).await
    }

    /// The endpoint that a request with this idempotency key made.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook_by_key(
        &self,
        wallet_id: i64,
        key: &IdempotencyKey,
    ) -> Result<Option<Webhook>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM webhooks WHERE wallet_id = ? AND idempotency_key = ?");
        self.one_webhook(&sql, vec![wallet_id.into(), key.as_str().into()])
            .await
    }

    /// One of a wallet's endpoints.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhook(
        &self,
        wallet_id: i64,
        webhook_id: &str,
    ) -> Result<Option<Webhook>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE wallet_id = ? AND webhook_id = ?");
        self.one_webhook(&sql, vec![wallet_id.into(), webhook_id.into()])
            .await
    }

    /// All of a wallet's endpoints, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn webhooks_of(&self, wallet_id: i64) -> Result<Vec<Webhook>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE wallet_id = ? ORDER BY id");
        self.database
            .query(&sql, vec![wallet_id.into()])
            .await?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Changes an endpoint. One that is resumed has failed at nothing yet.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn update_webhook(
        &self,
        wallet_id: i64,
        webhook_id: &str,
        change: &WebhookChange,
        at: Timestamp,
    ) -> Result<Option<Webhook>, StoreError> {
        let sql = format!(
            "UPDATE webhooks SET url = COALESCE(?3, url), event_types = COALESCE(?4, event_types),
                is_enabled = COALESCE(?5, is_enabled),
                disabled_reason = CASE COALESCE(?5, is_enabled)
                    WHEN 0 THEN COALESCE(disabled_reason, 'paused') END,
                disabled_at = CASE COALESCE(?5, is_enabled) WHEN 0 THEN COALESCE(disabled_at, ?6) END,
                failing_since = CASE WHEN ?5 = 1 AND is_enabled = 0 THEN NULL ELSE failing_since END,
                updated_at = ?6
             WHERE wallet_id = ?1 AND webhook_id = ?2 RETURNING {COLUMNS}"
        );
        let parameters = vec![
            wallet_id.into(),
            webhook_id.into(),
            change.url.clone().into(),
            change.event_types.clone().into(),
            change.enabled.map(i64::from).into(),
            at.unix_seconds().into(),
        ];
        self.one_webhook(&sql, parameters).await
    }

    /// Gives an endpoint another key; the one before goes on signing until `previous_until`. None
    /// when the request of this idempotency key has done so already, or there is no such endpoint.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn rotate_webhook_key(
        &self,
        wallet_id: i64,
        webhook_id: &str,
        key: Option<&IdempotencyKey>,
        previous_until: Timestamp,
        at: Timestamp,
    ) -> Result<Option<Webhook>, StoreError> {
        let sql = format!(
            "UPDATE webhooks SET key_version = key_version + 1, previous_key_until = ?4, rotation_key = ?3,
                updated_at = ?5
             WHERE wallet_id = ?1 AND webhook_id = ?2 AND (?3 IS NULL OR rotation_key IS NOT ?3)
             RETURNING {COLUMNS}"
        );
        let parameters = vec![
            wallet_id.into(),
            webhook_id.into(),
            key.map(IdempotencyKey::as_str).into(),
            previous_until.unix_seconds().into(),
            at.unix_seconds().into(),
        ];
        self.one_webhook(&sql, parameters).await
    }

    /// Deletes an endpoint and what was to be delivered to it; false when there is none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_webhook(
        &self,
        wallet_id: i64,
        webhook_id: &str,
    ) -> Result<bool, StoreError> {
        self.changed(
            "DELETE FROM webhooks WHERE wallet_id = ? AND webhook_id = ? RETURNING id",
            vec![wallet_id.into(), webhook_id.into()],
        )
        .await
    }
}
