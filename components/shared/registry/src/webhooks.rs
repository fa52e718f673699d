//! Webhook endpoints: making, changing, testing and replaying them. What is sent to them is
//! [`crate::outbox`].

use crate::{Registry, RegistryError};
use duxnet_store::{Database, Delivery, NewWebhook, Store, Webhook, WebhookChange};
use duxnet_units::{IdempotencyKey, Timestamp};
use duxnet_wallet::Clock;

/// Most endpoints of one wallet.
pub const MAX_WEBHOOKS: u32 = 10;
/// Seconds for which the key before signs as well after a rotation.
pub const KEY_GRACE_SECONDS: i64 = 86_400;
/// Most events that one replay takes up.
pub const MAX_REPLAYED_EVENTS: u32 = 500;
/// The type of a test message.
pub const TEST_TYPE: &str = "webhook.test";
/// Seconds for which messages are kept after their end.
const KEPT_SECONDS: i64 = 7 * 86_400;
/// Messages that one run of the background work forgets.
const MAX_FORGOTTEN: u32 = 500;

/// Why an endpoint cannot be made or used so.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WebhookError {
    /// The wallet has no such endpoint.
    #[error("the wallet has no such webhook")]
    NotFound,
    /// The wallet has [`MAX_WEBHOOKS`] endpoints.
    #[error("a wallet has at most {MAX_WEBHOOKS} webhooks")]
    Limit,
    /// The service has no key to sign with.
    #[error("webhook_key is not set")]
    NoKey,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A disabled endpoint is told nothing.
    #[error("the webhook is disabled")]
    Disabled,
    /// The test before has not ended.
    #[error("a test of the webhook is under way")]
    TestUnderWay,
}

/// The keys of endpoints, which stay where they are.
pub trait Keys {
    /// An endpoint's public key; none while the service has no key.
    fn public_key(&self, endpoint: &str, version: u32) -> impl Future<Output = Option<String>>;
    /// An endpoint's signature over a text; none while the service has no key.
    fn sign(
        &self,
        endpoint: &str,
        version: u32,
        text: &str,
    ) -> impl Future<Output = Option<String>>;
}

/// An endpoint with what its owner needs to verify its messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShownWebhook {
    /// As stored.
    pub webhook: Webhook,
    /// The key that signs.
    pub public_key: String,
    /// The key before, and until when it signs as well.
    pub previous: Option<(String, Timestamp)>,
    /// Whether it is the answer to a repeat.
    pub is_replay: bool,
}

/// What a replay took up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// Messages.
    pub count: usize,
    /// Where to go on, if there may be more.
    pub next: Option<i64>,
}

/// What endpoints need.
#[derive(Clone, Copy, Debug)]
pub struct Webhooks<'a, D, C, K> {
    /// The database.
    pub store: &'a Store<D>,
    /// The time.
    pub clock: &'a C,
    /// The keys.
    pub keys: &'a K,
}

impl<D: Database, C: Clock, K: Keys> Webhooks<'_, D, C, K> {
    /// Shows an endpoint.
    ///
    /// # Errors
    /// [`WebhookError::NoKey`].
    pub async fn shown(&self, webhook: Webhook) -> Result<ShownWebhook, RegistryError> {
        let key = |version| self.keys.public_key(&webhook.webhook_id, version);
        let public_key = key(webhook.key_version).await.ok_or(WebhookError::NoKey)?;
        let now = self.clock.now();
        let previous = match signs_until(&webhook, now) {
            Some(until) => {
                let before = key(webhook.key_version.saturating_sub(1)).await;
                Some((before.ok_or(WebhookError::NoKey)?, until))
            }
            None => None,
        };
        Ok(ShownWebhook {
            public_key,
            previous,
            webhook,
            is_replay: false,
        })
    }

    /// Shows all of a wallet's endpoints.
    ///
    /// # Errors
    /// As [`Webhooks::shown`].
    pub async fn list(&self, wallet_id: i64) -> Result<Vec<ShownWebhook>, RegistryError> {
        let mut shown = Vec::new();
        for webhook in self.store.webhooks_of(wallet_id).await? {
            shown.push(self.shown(webhook).await?);
        }
        Ok(shown)
    }

    /// One of a wallet's endpoints.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`].
    pub async fn one(&self, wallet_id: i64, webhook_id: &str) -> Result<Webhook, RegistryError> {
        let found = self.store.webhook(wallet_id, webhook_id).await?;
        Ok(found.ok_or(WebhookError::NotFound)?)
    }

    /// Makes an endpoint; a repeat gets the one that the first request made.
    ///
    /// # Errors
    /// [`WebhookError::Limit`], [`WebhookError::KeyReused`], [`WebhookError::NoKey`].
    pub async fn create(&self, new: &NewWebhook) -> Result<ShownWebhook, RegistryError> {
        // An endpoint that nothing can be sent to is not made.
        self.keys
            .public_key("", 1)
            .await
            .ok_or(WebhookError::NoKey)?;
        if let Some(made) = self.store.insert_webhook(new, MAX_WEBHOOKS).await? {
            return self.shown(made).await;
        }
        let Some(key) = &new.idempotency_key else {
            return Err(WebhookError::Limit.into());
        };
        let first = self.store.webhook_by_key(new.wallet_id, key).await?;
        let first = first.ok_or(WebhookError::Limit)?;
        if first.request_hash != new.request_hash {
            return Err(WebhookError::KeyReused.into());
        }
        let mut shown = self.shown(first).await?;
        shown.is_replay = true;
        Ok(shown)
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`], [`WebhookError::NoKey`].
    pub async fn update(
        &self,
        wallet_id: i64,
        webhook_id: &str,
        change: &WebhookChange,
    ) -> Result<ShownWebhook, RegistryError> {
        let now = self.clock.now();
        let changed = self
            .store
            .update_webhook(wallet_id, webhook_id, change, now)
            .await?;
        self.shown(changed.ok_or(WebhookError::NotFound)?).await
    }

    /// Gives an endpoint another key. A repeat changes nothing: a second change would end the grace
    /// of the key that receivers still have.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`], [`WebhookError::NoKey`].
    pub async fn rotate(
        &self,
        wallet_id: i64,
        webhook_id: &str,
        key: Option<&IdempotencyKey>,
    ) -> Result<ShownWebhook, RegistryError> {
        let now = self.clock.now();
        let until = after(now, KEY_GRACE_SECONDS);
        let rotated = self
            .store
            .rotate_webhook_key(wallet_id, webhook_id, key, until, now)
            .await?;
        if let Some(webhook) = rotated {
            return self.shown(webhook).await;
        }
        let mut shown = self.shown(self.one(wallet_id, webhook_id).await?).await?;
        shown.is_replay = true;
        Ok(shown)
    }

    /// Deletes an endpoint.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`].
    pub async fn delete(&self, wallet_id: i64, webhook_id: &str) -> Result<(), RegistryError> {
        if self.store.delete_webhook(wallet_id, webhook_id).await? {
            Ok(())
        } else {
            Err(WebhookError::NotFound.into())
        }
    }

    /// Has an endpoint sent one message that is no event, once.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`], [`WebhookError::Disabled`], [`WebhookError::TestUnderWay`].
    pub async fn test(
        &self,
        wallet_id: i64,
        webhook_id: &str,
    ) -> Result<(Webhook, Delivery), RegistryError> {
        let webhook = self.one(wallet_id, webhook_id).await?;
        if !webhook.is_enabled {
            return Err(WebhookError::Disabled.into());
        }
        let now = self.clock.now();
        let test = self
            .store
            .insert_test_delivery(webhook.id, TEST_TYPE, now)
            .await?;
        Ok((webhook, test.ok_or(WebhookError::TestUnderWay)?))
    }

    /// Has an endpoint told again of its events from a sequence number on, with the ids of the first
    /// time; at most [`MAX_REPLAYED_EVENTS`] of them.
    ///
    /// # Errors
    /// [`WebhookError::NotFound`], [`WebhookError::Disabled`].
    pub async fn replay(
        &self,
        wallet_id: i64,
        webhook_id: &str,
        sequence: i64,
    ) -> Result<Replayed, RegistryError> {
        let webhook = self.one(wallet_id, webhook_id).await?;
        if !webhook.is_enabled {
            return Err(WebhookError::Disabled.into());
        }
        let now = self.clock.now();
        let taken = self
            .store
            .replay_events(&webhook, sequence, MAX_REPLAYED_EVENTS, now)
            .await?;
        let is_full = u32::try_from(taken.len()).is_ok_and(|count| count >= MAX_REPLAYED_EVENTS);
        let last = taken.iter().max();
        Ok(Replayed {
            count: taken.len(),
            next: last
                .filter(|_| is_full)
                .map(|sequence| sequence.saturating_add(1)),
        })
    }
}

impl<D: Database, C: Clock> Registry<'_, D, C> {
    /// Forgets messages that ended long ago.
    pub(crate) async fn forget_deliveries(&self) -> Result<(), RegistryError> {
        let before = after(self.clock.now(), -KEPT_SECONDS);
        self.store.forget_deliveries(before, MAX_FORGOTTEN).await?;
        Ok(())
    }
}

/// Until when the key before signs as well, if it does now.
pub(crate) fn signs_until(webhook: &Webhook, now: Timestamp) -> Option<Timestamp> {
    webhook.previous_key_until.filter(|until| *until > now)
}

/// So many seconds later.
pub(crate) fn after(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(at.unix_seconds().saturating_add(seconds)).unwrap_or(at)
}

/// The id of a message, the same in every attempt and replay.
#[must_use]
pub fn message_id(webhook_id: &str, delivery: i64, sequence: Option<i64>) -> String {
    match sequence {
        Some(sequence) => format!("msg_{webhook_id}_{sequence}"),
        None => format!("msg_{webhook_id}_test_{delivery}"),
    }
}
