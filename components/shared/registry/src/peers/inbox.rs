//! What peers say.

use super::{Peering, private};
use crate::RegistryError;
use duxnet_api::p2p::{Delivery, Envelope, Hello, MAX_HOPS, MessageType, Payload};
use duxnet_api::problem::{Code, Problem};
use duxnet_api::signing::{PublicKey, sha256_hex};
use duxnet_store::{Database, KnownPeer, PeerMessage, PeerWord, SignatureUse, Welcome, Welcomed};
use duxnet_units::{NodeId, Timestamp};
use duxnet_wallet::Clock;
use serde_json::json;

/// The window of the limit, seconds.
const MINUTE: i64 = 60;

/// What became of a message. Whoever brought it need not bring it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It was new.
    Accepted,
    /// It came before, or is our own.
    Duplicate,
    /// It is nothing for this registry.
    Ignored,
}

impl Taken {
    /// As the answer has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Taken::Accepted => "accepted",
            Taken::Duplicate => "duplicate",
            Taken::Ignored => "ignored",
        }
    }
}

/// A registry that is not known yet and shows an invitation that is open.
#[derive(Clone, PartialEq, Debug)]
pub struct Newcomer {
    /// The key that it says is its own, to check the request with.
    pub public_key: PublicKey,
    token_hash: String,
    envelope: Envelope,
}

fn refused(code: Code, detail: &str) -> RegistryError {
    RegistryError::Refused(Problem::new(code).detail(detail))
}

/// Whether one in this state may speak, and be spoken of.
fn may_speak(peer: &KnownPeer) -> bool {
    !matches!(peer.state.as_str(), "blocked" | "leaving")
}

impl<D: Database, C: Clock> Peering<'_, D, C> {
    /// A peer that may speak. One that the operator has named counts from the first request on.
    ///
    /// # Errors
    /// The database's.
    pub async fn peer(&self, id: &NodeId) -> Result<Option<KnownPeer>, RegistryError> {
        let mut known = self.store.peer(id).await?;
        if let Some(named) = self
            .settings
            .static_peer(id)
            .filter(|_| *id != self.settings.id)
        {
            let is_current = known.as_ref().is_some_and(|peer| {
                peer.source == "static"
                    && peer.state != "leaving"
                    && peer.public_key == named.public_key
                    && peer.address == named.address
            });
            if !is_current {
                self.configure(None).await?;
                known = self.store.peer(id).await?;
            }
        }
        Ok(known.filter(may_speak))
    }

    pub(super) async fn configure(&self, public_key: Option<&str>) -> Result<(), RegistryError> {
        let (sharing, peers) = (self.settings.sharing_json(), self.settings.peers_json());
        self.store
            .configure_peers(
                &self.settings.id,
                public_key,
                &sharing,
                &peers,
                self.clock.now(),
            )
            .await?;
        Ok(())
    }

    /// Notes a request that a peer signed: its signature is used up, and it counts for the limit.
    ///
    /// # Errors
    /// 401 for a replay and for one that may not speak, 429.
    pub async fn note_request(
        &self,
        peer: &NodeId,
        signature: &SignatureUse,
    ) -> Result<(), RegistryError> {
        let now = self.clock.now();
        let minute = now.unix_seconds() - now.unix_seconds().rem_euclid(MINUTE);
        let count = self
            .store
            .note_peer_request(peer, signature, minute, now)
            .await?;
        match count {
            None => Err(RegistryError::Refused(Problem::authentication(
                "no valid signature of a known peer",
            ))),
            Some(count) if count > self.settings.messages_per_minute => {
                let wait = u32::try_from(minute + MINUTE - now.unix_seconds()).unwrap_or(1);
                let limit = self.settings.messages_per_minute;
                let problem = Problem::new(Code::PeerLimitExceeded)
                    .detail(format!("a peer may send {limit} messages in a minute"))
                    .retry_after(wait.max(1));
                self.store
                    .count_peer_refusal(peer, problem.code.name(), now)
                    .await?;
                Err(RegistryError::Refused(problem))
            }
            Some(_) => Ok(()),
        }
    }

    /// Takes what a peer, whose request is authenticated and noted, brings. What is refused counts.
    ///
    /// # Errors
    /// A refusal, or the database's.
    pub async fn receive(&self, sender: &NodeId, body: &[u8]) -> Result<Taken, RegistryError> {
        let result = self.take(sender, body).await;
        if let Err(RegistryError::Refused(problem)) = &result {
            self.store
                .count_peer_refusal(sender, problem.code.name(), self.clock.now())
                .await?;
        }
        result
    }

    async fn take(&self, sender: &NodeId, body: &[u8]) -> Result<Taken, RegistryError> {
        let Delivery { to, hops, envelope } = Delivery::parse(body)?;
        if to != self.settings.id {
            return Err(refused(Code::Misdirected, "`to` is not this registry's id"));
        }
        if hops > MAX_HOPS {
            return Err(RegistryError::Refused(
                Problem::new(Code::TooManyHops).detail(format!("at most {MAX_HOPS}")),
            ));
        }
        if envelope.sender_id == self.settings.id {
            return Ok(Taken::Duplicate);
        }
        let is_direct = envelope.sender_id == *sender;
        if is_direct != (hops == 0) {
            return Err(refused(
                Code::WrongOrigin,
                "hops is 0 when the sender's own message comes, and only then",
            ));
        }
        if !is_direct && envelope.message_type.topic().is_none() {
            return Err(refused(
                Code::WrongOrigin,
                "a message of this type is not passed on",
            ));
        }
        let origin = self.peer(&envelope.sender_id).await?.ok_or_else(|| {
            refused(
                Code::UnknownOrigin,
                "the registry that signed the message is not known here",
            )
        })?;
        let key = PublicKey::parse(&origin.public_key).ok();
        if !key.is_some_and(|key| envelope.is_signed_by(&key, self.network)) {
            return Err(refused(
                Code::MessageForged,
                "no valid signature of the message's sender_id",
            ));
        }
        let now = self.clock.now();
        envelope.check_age(now.unix_seconds())?;
        match envelope.payload()? {
            Payload::About(about) => {
                let message = PeerMessage {
                    origin: envelope.sender_id.clone(),
                    topic: about.topic.name(),
                    node_id: about.node_id,
                    reference: about.reference,
                    said_at: envelope.timestamp,
                    message_id: envelope.message_id.clone(),
                    body: about.body.map(|body| body.to_string()),
                    envelope: envelope.text(),
                    hops,
                    received_from: sender.clone(),
                    at: now,
                };
                Ok(taken(self.store.take_peer_message(&message).await?))
            }
            Payload::Hello(hello) => self.hear_hello(&origin, &envelope, &hello, now).await,
            Payload::Goodbye | Payload::Pong => self.hear(&envelope, String::new(), now).await,
            Payload::Ping => self.hear(&envelope, envelope.message_id.clone(), now).await,
            Payload::Peers(_) if !self.settings.exchange => Ok(Taken::Ignored),
            Payload::Peers(peers) => {
                let list: Vec<_> = peers
                    .iter()
                    .filter(|peer| peer.id != self.settings.id && self.settings.allows(&peer.address))
                    .map(|peer| {
                        json!({"id": peer.id.as_str(), "address": peer.address, "public_key": peer.public_key})
                    })
                    .collect();
                self.hear(&envelope, json!(list).to_string(), now).await
            }
        }
    }

    async fn hear_hello(
        &self,
        known: &KnownPeer,
        envelope: &Envelope,
        hello: &Hello,
        now: Timestamp,
    ) -> Result<Taken, RegistryError> {
        if hello.public_key.to_string() != known.public_key {
            return Err(refused(Code::WrongOrigin, "public_key is not the sender's"));
        }
        if known.source != "static" && !self.settings.allows(&envelope.sender_address) {
            return Err(private(&envelope.sender_address));
        }
        self.hear(envelope, envelope.sender_address.clone(), now)
            .await
    }

    async fn hear(
        &self,
        envelope: &Envelope,
        data: String,
        at: Timestamp,
    ) -> Result<Taken, RegistryError> {
        let word = PeerWord {
            peer_id: envelope.sender_id.clone(),
            message_id: envelope.message_id.clone(),
            kind: envelope.message_type.name(),
            data,
            at,
        };
        Ok(taken(self.store.hear_peer(&word).await?))
    }

    /// What a registry that is not known brings, if it is a hello with an invitation that is open.
    /// Nothing is written.
    ///
    /// # Errors
    /// The database's.
    pub async fn newcomer(
        &self,
        sender: &NodeId,
        body: &[u8],
    ) -> Result<Option<Newcomer>, RegistryError> {
        let Ok(Delivery {
            to,
            hops: 0,
            envelope,
        }) = Delivery::parse(body)
        else {
            return Ok(None);
        };
        let is_hello = to == self.settings.id
            && envelope.message_type == MessageType::Hello
            && envelope.sender_id == *sender
            && *sender != self.settings.id;
        let Some(Payload::Hello(Hello {
            public_key,
            invite: Some(token),
        })) = envelope.payload().ok().filter(|_| is_hello)
        else {
            return Ok(None);
        };
        let token_hash = sha256_hex(token.as_bytes());
        let is_open = self
            .store
            .is_invite_open(&token_hash, self.clock.now())
            .await?;
        // One that is known, blocked say, does not come in by the back door.
        let is_known = self.store.peer(sender).await?.is_some();
        Ok((is_open && !is_known).then_some(Newcomer {
            public_key,
            token_hash,
            envelope,
        }))
    }

    /// Makes the newcomer, whose request is authenticated, a peer.
    ///
    /// # Errors
    /// 403 when the message is not its own, or the invitation is no longer open; 422 for an address
    /// that is not allowed.
    pub async fn welcome(
        &self,
        newcomer: &Newcomer,
        signature: SignatureUse,
    ) -> Result<Taken, RegistryError> {
        let envelope = &newcomer.envelope;
        if !envelope.is_signed_by(&newcomer.public_key, self.network) {
            return Err(refused(
                Code::MessageForged,
                "no valid signature of the message's sender_id",
            ));
        }
        let at = self.clock.now();
        envelope.check_age(at.unix_seconds())?;
        if !self.settings.allows(&envelope.sender_address) {
            return Err(private(&envelope.sender_address));
        }
        let welcome = Welcome {
            token_hash: newcomer.token_hash.clone(),
            peer_id: envelope.sender_id.clone(),
            address: envelope.sender_address.clone(),
            public_key: newcomer.public_key.to_string(),
            message_id: envelope.message_id.clone(),
            signature,
            at,
        };
        match self.store.welcome_peer(&welcome).await? {
            Welcomed::In => Ok(Taken::Accepted),
            Welcomed::NotInvited => Err(refused(
                Code::InviteInvalid,
                "the invitation was used or has expired",
            )),
            Welcomed::Full => Err(refused(
                Code::InviteInvalid,
                "there are as many peers as there may be, or one of this id",
            )),
        }
    }
}

fn taken(is_new: bool) -> Taken {
    if is_new {
        Taken::Accepted
    } else {
        Taken::Duplicate
    }
}
