//! One run of what is told to peers: news become signed messages, and each peer whose turn it is
//! gets the head of its queue. Bounded, safe to repeat, and safe to run twice at once.

use super::policy::{Content, content};
use super::{Line, Peering, Signer, after};
use crate::RegistryError;
use duxnet_api::p2p::{Draft, MAX_AGE_SECONDS, MessageType, sealed, signing_string};
use duxnet_api::signing::sha256_hex;
use duxnet_store::{Database, News, Publication};
use duxnet_units::Timestamp;
use duxnet_wallet::Clock;
use futures::future::join_all;
use serde_json::{Map, Value};

/// News of one run.
const NEWS: u32 = 20;
/// Peers of one run.
const TURNS: u32 = 16;
/// A run begins nothing after so many seconds.
pub(super) const RUN_SECONDS: i64 = 15;
/// More than a run can take with what it began last.
const LEASE_SECONDS: i64 = 60;
/// A peer that was silent for so long is pinged, seconds.
pub(super) const IDLE_SECONDS: i64 = 300;
/// What is still so is said again after this, so that a message never grows too old to be passed on.
const REFRESH_SECONDS: i64 = MAX_AGE_SECONDS / 2;
/// What nobody has said again for so long is forgotten.
const RETENTION_SECONDS: i64 = 3 * MAX_AGE_SECONDS;
/// Rows forgotten in one run.
const FORGOTTEN: u32 = 500;

/// A peer's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It came.
    Answered {
        /// The status.
        status: u16,
        /// `Retry-After`, seconds.
        retry_after: Option<u32>,
        /// Its beginning.
        body: Vec<u8>,
    },
    /// None came, or none that can be read: why.
    Silent(String),
}

/// What one run did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunReport {
    /// Messages made.
    pub published: u32,
    /// Messages that peers took.
    pub delivered: u32,
    /// Messages that peers refused for good.
    pub refused: u32,
    /// Peers that did not answer.
    pub silent: u32,
    /// What went wrong, for the log.
    pub troubles: Vec<String>,
}

impl<D: Database, C: Clock> Peering<'_, D, C> {
    /// One run.
    ///
    /// # Errors
    /// Without a key, and the database's. What fails with one peer is in the report.
    pub async fn run(
        &self,
        line: &impl Line,
        signer: &impl Signer,
    ) -> Result<RunReport, RegistryError> {
        let key = signer
            .public_key()
            .await
            .ok_or(RegistryError::NoRegistryKey)?;
        self.configure(Some(&key)).await?;
        let start = self.clock.now();
        let mut report = RunReport {
            published: self.publish(signer, start).await?,
            ..RunReport::default()
        };
        let turns = self
            .store
            .lease_peers(
                start,
                after(start, LEASE_SECONDS),
                start.unix_seconds() - IDLE_SECONDS,
                TURNS,
            )
            .await?;
        let results = join_all(turns.into_iter().map(async |peer| {
            let result = self.turn(&peer, line, signer, &key, start).await;
            (peer.peer_id, result)
        }))
        .await;
        for (peer, result) in results {
            match result {
                Ok(done) => {
                    report.delivered += done.delivered;
                    report.refused += done.refused;
                    report.silent += u32::from(done.is_silent);
                    let troubles = done.troubles.into_iter();
                    report
                        .troubles
                        .extend(troubles.map(|trouble| format!("{peer}: {trouble}")));
                }
                Err(error) => report.troubles.push(format!("{peer}: {error}")),
            }
        }
        let before = start.unix_seconds() - RETENTION_SECONDS;
        self.store.forget_reports(before, FORGOTTEN).await?;
        Ok(report)
    }

    /// Makes messages of what is news.
    async fn publish(&self, signer: &impl Signer, start: Timestamp) -> Result<u32, RegistryError> {
        let refresh_before = start.unix_seconds() - REFRESH_SECONDS;
        let mut published = 0;
        for news in self.store.peer_news(refresh_before, NEWS).await? {
            let content = content(&news, &self.settings.sharing);
            let payload = payload(&news, &content);
            let hash = sha256_hex(payload.to_string().as_bytes());
            let is_told = news.told_hash.as_ref() == Some(&hash);
            let never_told = news.told_hash.is_none() && content.members.is_none();
            if never_told || (is_told && news.is_changed) {
                self.store.pass_over_news(&news).await?;
            } else if self.tell(signer, &news, &content, &payload, hash).await? {
                published += 1;
            }
        }
        Ok(published)
    }

    async fn tell(
        &self,
        signer: &impl Signer,
        news: &News,
        content: &Content,
        payload: &Value,
        hash: String,
    ) -> Result<bool, RegistryError> {
        let message = self.message(signer, content.message_type, payload).await?;
        let publication = Publication {
            origin: self.settings.id.clone(),
            hash,
            said_at: message.said_at,
            message_id: message.message_id,
            body: content
                .members
                .clone()
                .map(|members| Value::Object(members).to_string()),
            envelope: message.envelope,
            at: self.clock.now(),
        };
        Ok(self.store.publish(news, &publication).await?)
    }

    /// A message of our own, signed.
    pub(super) async fn message(
        &self,
        signer: &impl Signer,
        message_type: MessageType,
        payload: &Value,
    ) -> Result<Message, RegistryError> {
        let (number, said_at, random) = self.store.next_peer_message(self.clock.now()).await?;
        let message_id = format!("{number:012x}-{random}");
        let draft = Draft {
            message_type,
            sender_id: &self.settings.id,
            sender_address: &self.settings.address,
            timestamp: said_at,
            message_id: &message_id,
            payload,
        };
        let object = draft.object();
        let text = signing_string(self.network, &object).ok_or(RegistryError::NoRegistryKey)?;
        let signature = signer
            .sign(&text)
            .await
            .ok_or(RegistryError::NoRegistryKey)?;
        Ok(Message {
            said_at,
            message_id,
            envelope: sealed(object, signature),
        })
    }
}

/// A message of our own.
pub(super) struct Message {
    pub(super) said_at: i64,
    pub(super) message_id: String,
    pub(super) envelope: String,
}

fn payload(news: &News, content: &Content) -> Value {
    let mut payload = Map::new();
    payload.insert("node_id".into(), news.node_id.as_str().into());
    if !news.reference.is_empty() {
        payload.insert("txid".into(), news.reference.as_str().into());
    }
    match &content.members {
        Some(members) => payload.extend(members.clone()),
        None => {
            payload.insert("withdrawn".into(), true.into());
        }
    }
    Value::Object(payload)
}
