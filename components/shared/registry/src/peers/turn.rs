//! One peer's turn in a run.

use super::outbox::{IDLE_SECONDS, RUN_SECONDS, Reply};
use super::{Line, Outgoing, Peering, Signer, after};
use crate::RegistryError;
use duxnet_api::p2p::{MAX_AGE_SECONDS, MAX_INTRODUCED, MessageType, TARGET, delivery};
use duxnet_api::signing::{
    NODE_ID_HEADER, NONCE_HEADER, SIGNATURE_HEADER, SigningString, TIMESTAMP_HEADER,
};
use duxnet_store::{Database, PeerTurn, Retry};
use duxnet_units::Timestamp;
use duxnet_wallet::Clock;
use serde_json::{Value, json};

/// Messages of one turn.
const BATCH: u32 = 50;
/// The first pause after a failure, seconds; each further one is twice as long.
const FIRST_PAUSE_SECONDS: u32 = 2;
const LONGEST_PAUSE_SECONDS: u32 = 300;
/// Failures in a row after which a peer is parked.
const PARK_AFTER: u32 = 8;
/// Between two looks at a parked peer, seconds.
const PARKED_PAUSE_SECONDS: u32 = 600;
/// A goodbye is tried so often.
const GOODBYES: u32 = 3;
/// Longest wait that a peer can ask for, seconds.
const LONGEST_WAIT_SECONDS: u32 = 120;
/// What is older is not queued for a peer that comes back: it would be too old when it arrives.
const SYNC_MAX_AGE_SECONDS: i64 = MAX_AGE_SECONDS - 3600;

/// What a turn did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Done {
    pub(super) delivered: u32,
    pub(super) refused: u32,
    pub(super) is_silent: bool,
    pub(super) troubles: Vec<String>,
}

/// How a message fared.
enum Fate {
    Taken,
    /// For good.
    Refused(String),
    /// The peer is there, and wants to hear no more for so many seconds.
    Wait(u32),
    Failed(String),
}

/// How a turn ends.
enum End {
    Answered,
    Wait(u32),
    Failed(String),
}

/// Longest code of a problem, bytes.
const MAX_CODE_BYTES: usize = 40;

/// How the answer to a message is to be understood.
fn fate(reply: Reply) -> Fate {
    let (status, retry_after, body) = match reply {
        Reply::Answered {
            status,
            retry_after,
            body,
        } => (status, retry_after, body),
        Reply::Silent(why) => return Fate::Failed(why),
    };
    if (200..300).contains(&status) {
        return Fate::Taken;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    // It goes to the log: a peer writes no lines of its own there.
    let is_code = |code: &&str| {
        code.len() <= MAX_CODE_BYTES && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let code = body["code"].as_str().filter(is_code).unwrap_or_default();
    let what = format!("HTTP {status} {code}");
    match status {
        429 => Fate::Wait(retry_after.unwrap_or(1).clamp(1, LONGEST_WAIT_SECONDS)),
        // It does not know us, or not yet; or there is no registry.
        401 | 404 | 405 => Fate::Failed(what),
        400..500 if body["retryable"] == false => Fate::Refused(what),
        _ => Fate::Failed(what),
    }
}

fn pause(failures: u32) -> u32 {
    FIRST_PAUSE_SECONDS
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LONGEST_PAUSE_SECONDS)
}

/// A peer's turn at work.
struct Turn<'a, D, C, L, S> {
    peering: &'a Peering<'a, D, C>,
    peer: &'a PeerTurn,
    line: &'a L,
    signer: &'a S,
    key: &'a str,
    start: Timestamp,
    requests: u32,
    done: Done,
}

impl<D: Database, C: Clock> Peering<'_, D, C> {
    pub(super) async fn turn(
        &self,
        peer: &PeerTurn,
        line: &impl Line,
        signer: &impl Signer,
        key: &str,
        start: Timestamp,
    ) -> Result<Done, RegistryError> {
        let mut turn = Turn {
            peering: self,
            peer,
            line,
            signer,
            key,
            start,
            requests: 0,
            done: Done::default(),
        };
        let end = if peer.state == "leaving" {
            turn.part().await?
        } else {
            turn.talk().await?
        };
        let now = self.clock.now();
        match end {
            End::Answered => self.store.peer_answered(peer, None, now).await?,
            End::Wait(seconds) => {
                let until = after(now, seconds.into());
                self.store.peer_answered(peer, Some(until), now).await?;
            }
            End::Failed(why) => {
                turn.done.is_silent = true;
                turn.done.troubles.push(why);
                let retry = Retry {
                    pause: pause(peer.failures),
                    park_after: if peer.state == "leaving" {
                        GOODBYES
                    } else {
                        PARK_AFTER
                    },
                    parked_pause: PARKED_PAUSE_SECONDS,
                };
                self.store.peer_failed(peer, retry, now).await?;
            }
        }
        Ok(turn.done)
    }
}

/// Ends the turn unless the message was taken, or refused for good.
macro_rules! go_on {
    ($turn:ident, $fate:expr) => {
        match $fate {
            Fate::Taken => $turn.done.delivered += 1,
            Fate::Refused(why) => {
                $turn.done.refused += 1;
                $turn.done.troubles.push(why);
            }
            Fate::Wait(seconds) => return Ok(End::Wait(seconds)),
            Fate::Failed(why) => return Ok(End::Failed(why)),
        }
    };
}

impl<D: Database, C: Clock, L: Line, S: Signer> Turn<'_, D, C, L, S> {
    async fn part(&mut self) -> Result<End, RegistryError> {
        go_on!(self, self.say(MessageType::Goodbye, json!({})).await?);
        self.peering.store.remove_peer(self.peer).await?;
        Ok(End::Answered)
    }

    async fn talk(&mut self) -> Result<End, RegistryError> {
        let store = self.peering.store;
        if self.peer.state == "parked" {
            go_on!(self, self.say(MessageType::Ping, json!({})).await?);
        }
        let is_greeted = self.peer.hello_due || self.peer.state != "active";
        if is_greeted {
            let mut payload = json!({"public_key": self.key});
            if let Some(invite) = &self.peer.invite {
                payload["invite"] = json!(invite);
            }
            match self.say(MessageType::Hello, payload).await? {
                Fate::Taken => self.done.delivered += 1,
                Fate::Wait(seconds) => return Ok(End::Wait(seconds)),
                // Whoever does not take our hello takes nothing else.
                Fate::Refused(why) | Fate::Failed(why) => return Ok(End::Failed(why)),
            }
            store
                .peer_greeted(self.peer, self.peering.clock.now())
                .await?;
        }
        if let Some(ping) = &self.peer.pong_for {
            go_on!(
                self,
                self.say(MessageType::Pong, json!({"ping": ping})).await?
            );
            store.peer_ponged(self.peer, ping).await?;
        }
        if self.peer.introduce_due || is_greeted {
            let limit = u32::try_from(MAX_INTRODUCED).unwrap_or(1);
            let (list, due) = store.introductions(self.peer, limit).await?;
            let list: Value = serde_json::from_str(&list).unwrap_or_default();
            let is_empty = list.as_array().is_none_or(Vec::is_empty);
            if self.peering.settings.exchange && !is_empty {
                let payload = json!({"peers": list});
                go_on!(self, self.say(MessageType::Peers, payload).await?);
            }
            store.peer_introduced(self.peer, due).await?;
        }
        if self.peer.is_syncing || is_greeted {
            let not_before = self.start.unix_seconds() - SYNC_MAX_AGE_SECONDS;
            store.sync_peer(self.peer, not_before, self.start).await?;
        }
        for queued in store.peer_queue(self.peer, BATCH).await? {
            if self.peering.clock.now().unix_seconds() - self.start.unix_seconds() >= RUN_SECONDS {
                return Ok(End::Answered);
            }
            go_on!(self, self.deliver(&queued.envelope, queued.hops).await?);
            store.peer_told(queued.id).await?;
        }
        let idle_since = self.start.unix_seconds() - IDLE_SECONDS;
        let is_idle = self
            .peer
            .last_contact
            .is_none_or(|at| at.unix_seconds() < idle_since);
        if is_idle && self.requests == 0 {
            go_on!(self, self.say(MessageType::Ping, json!({})).await?);
        }
        Ok(End::Answered)
    }

    /// Says something between the two of us; nothing of it is queued.
    async fn say(
        &mut self,
        message_type: MessageType,
        payload: Value,
    ) -> Result<Fate, RegistryError> {
        let message = self
            .peering
            .message(self.signer, message_type, &payload)
            .await?;
        self.deliver(&message.envelope, 0).await
    }

    async fn deliver(&mut self, envelope: &str, hops: u32) -> Result<Fate, RegistryError> {
        let settings = self.peering.settings;
        if !self.peer.is_static && !settings.allows(&self.peer.address) {
            return Ok(Fate::Failed(format!(
                "{} is in a private network",
                self.peer.address
            )));
        }
        self.requests += 1;
        let body = delivery(&self.peer.peer_id, hops, envelope);
        let timestamp = self.peering.clock.now().unix_seconds();
        // No two requests of ours to one peer have the same.
        let nonce = format!("{:08x}-{}", self.peer.turn, self.requests);
        let text = SigningString {
            network: self.peering.network,
            method: "POST",
            target: TARGET,
            node_id: &settings.id,
            timestamp,
            nonce: &nonce,
            content: body.as_bytes(),
        }
        .to_string();
        let signature = self
            .signer
            .sign(&text)
            .await
            .ok_or(RegistryError::NoRegistryKey)?;
        let request = Outgoing {
            address: self.peer.address.clone(),
            headers: [
                (NODE_ID_HEADER, settings.id.to_string()),
                (TIMESTAMP_HEADER, timestamp.to_string()),
                (NONCE_HEADER, nonce),
                (SIGNATURE_HEADER, signature),
            ],
            body,
        };
        Ok(fate(self.line.deliver(request).await))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let pauses: Vec<u32> = [0, 1, 2, 7, 8, 40].map(pause).to_vec();
        assert_eq!(pauses, [2, 4, 8, 256, 300, 300]);
    }

    fn answer(status: u16, body: &str) -> Reply {
        Reply::Answered {
            status,
            retry_after: Some(100_000),
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn only_a_refusal_that_says_it_is_final_is_final() {
        let final_one = r#"{"code":"message_forged","retryable":false}"#;
        assert!(matches!(fate(answer(403, final_one)), Fate::Refused(_)));
        for (status, body) in [
            (403, "no JSON"),
            (422, r#"{"code":"message_ahead","retryable":true}"#),
            (401, final_one),
            (404, final_one),
            (500, final_one),
            (302, ""),
        ] {
            assert!(
                matches!(fate(answer(status, body)), Fate::Failed(_)),
                "{status} {body}"
            );
        }
        assert!(matches!(fate(answer(200, "")), Fate::Taken));
        assert!(matches!(fate(answer(429, "")), Fate::Wait(120)));
        assert!(matches!(fate(Reply::Silent("x".into())), Fate::Failed(_)));
    }
}
