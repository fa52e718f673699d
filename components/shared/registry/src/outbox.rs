//! Sends what webhook endpoints are to be told, by the Standard Webhooks specification.
//!
//! Endpoints are served side by side, so that a slow one holds up no other; to one endpoint there is
//! one request at a time. Two runs at once share the endpoints: each claims some in the database. A
//! run that dies between sending and noting it sends again when its claim has ended, with the same
//! message id.

use crate::webhooks::{Keys, TEST_TYPE, after, message_id, signs_until};
use duxnet_store::{Attempted, Database, DueDelivery, Store, StoreError, Webhook};
use duxnet_units::Timestamp;
use duxnet_units::net::{Reach, Target};
use duxnet_wallet::Clock;
use futures::StreamExt as _;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use serde::Serialize;
use serde_json::value::RawValue;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Longest attempt, from connecting to the end of the answer. With [`BEGIN_FOR`] it stays below the
/// host's deadline of 30 s for a request.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);
/// Most of an answer's body that is read, bytes; none of it is kept.
pub const MAX_ANSWER_BYTES: usize = 1024;
/// A run begins no attempt later than this.
const BEGIN_FOR: Duration = Duration::from_secs(19);
/// While attempts are under way, a run looks so often for endpoints that have become due.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Seconds of a claim; longer than a run.
const CLAIM_SECONDS: i64 = 60;
/// Endpoints that a run serves at once.
const MAX_ENDPOINTS_AT_ONCE: usize = 32;
/// Messages to an endpoint before others have a turn.
const MAX_MESSAGES_PER_TURN: usize = 20;
/// Seconds for which an endpoint has peace after it failed.
const RESPITE_SECONDS: i64 = 5;
/// Seconds from one attempt to the next (Standard Webhooks, "Deliverability and reliability"); after
/// the attempt that follows the last one the message has failed.
const RETRY_SECONDS: [i64; 9] = [
    5,
    5 * 60,
    30 * 60,
    2 * 3600,
    5 * 3600,
    10 * 3600,
    14 * 3600,
    20 * 3600,
    24 * 3600,
];
/// Percent by which a pause is longer at most, so that what failed together is not tried together.
const MAX_JITTER_PERCENT: i64 = 10;
/// Most seconds that a `Retry-After` may ask for.
const MAX_RETRY_AFTER_SECONDS: i64 = 86_400;
/// Gone: the endpoint wants no more.
const GONE: u16 = 410;

/// One HTTP request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Where to; judged again just now.
    pub target: Target,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`, unix seconds.
    pub timestamp: i64,
    /// `webhook-signature`: one or two, separated by a blank.
    pub signature: String,
    /// The body, JSON.
    pub body: String,
}

/// What an endpoint answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The status.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after_seconds: Option<i64>,
}

/// Makes requests.
pub trait Sender {
    /// Sends a message and reads the answer; redirects are answers. An error is in our own words,
    /// for the endpoint's owner: nothing of the stranger's is in it.
    fn send(&self, message: &Message) -> impl Future<Output = Result<Heard, String>>;
}

/// What one run did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunReport {
    /// Messages that endpoints took.
    pub delivered: u32,
    /// Attempts that failed.
    pub failed: u32,
    /// What went wrong on our side.
    pub troubles: Vec<String>,
}

/// What a run needs.
#[derive(Clone, Copy, Debug)]
pub struct Outbox<'a, D, C, K, S> {
    /// The database.
    pub store: &'a Store<D>,
    /// The time.
    pub clock: &'a C,
    /// What signs.
    pub keys: &'a K,
    /// What sends.
    pub sender: &'a S,
    /// Where to messages may go.
    pub reach: Reach,
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: String,
    data: &'a RawValue,
}

/// What endpoints and readers are told of an event: `type`, `timestamp`, `data`. None for data that
/// is no JSON, which the database does not hold.
#[must_use]
pub fn payload(kind: &str, at: Timestamp, data: &str) -> Option<String> {
    let payload = Payload {
        kind,
        timestamp: at.to_string(),
        data: serde_json::from_str(data).ok()?,
    };
    serde_json::to_string(&payload).ok()
}

impl<D: Database, C: Clock, K: Keys, S: Sender> Outbox<'_, D, C, K, S> {
    /// One run: everything that is due, within the time that a request has.
    pub async fn run(&self) -> RunReport {
        let started = Instant::now();
        let mut report = RunReport::default();
        let mut turns = FuturesUnordered::new();
        loop {
            let room = MAX_ENDPOINTS_AT_ONCE.saturating_sub(turns.len());
            if started.elapsed() < BEGIN_FOR && report.troubles.is_empty() && room > 0 {
                let now = self.clock.now();
                let until = after(now, CLAIM_SECONDS);
                let room = u32::try_from(room).unwrap_or(u32::MAX);
                match self.store.claim_webhooks(now, until, room).await {
                    Ok(claimed) => {
                        turns.extend(claimed.into_iter().map(|w| self.turn(w, started)));
                    }
                    Err(error) => report.troubles.push(error.to_string()),
                }
            }
            if turns.is_empty() {
                return report;
            }
            let pause = pin!(self.clock.pause(LOOK_PAUSE));
            if let Either::Left((Some(turn), _)) = select(turns.next(), pause).await {
                report.delivered += turn.delivered;
                report.failed += turn.failed;
                report.troubles.extend(turn.troubles);
            }
        }
    }

    /// Tells one endpoint what is due, up to its first failure.
    async fn turn(&self, webhook: Webhook, started: Instant) -> RunReport {
        let mut report = RunReport::default();
        if let Err(error) = self.tell(&webhook, started, &mut report).await {
            report.troubles.push(error.to_string());
        }
        let respite = if report.failed > 0 || !report.troubles.is_empty() {
            RESPITE_SECONDS
        } else {
            0
        };
        let free_at = after(self.clock.now(), respite);
        if let Err(error) = self.store.release_webhook(webhook.id, free_at).await {
            report.troubles.push(error.to_string());
        }
        report
    }

    async fn tell(
        &self,
        webhook: &Webhook,
        started: Instant,
        report: &mut RunReport,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_MESSAGES_PER_TURN {
            if started.elapsed() >= BEGIN_FOR {
                break;
            }
            let now = self.clock.now();
            let Some(due) = self.store.due_delivery(webhook, now).await? else {
                break;
            };
            let heard = match self.message(webhook, &due, now).await {
                Ok(message) => self.sender.send(&message).await,
                Err(Unsendable::Message(why)) => Err(why),
                // The operator's fault, not the endpoint's.
                Err(Unsendable::NoKey) => {
                    report.troubles.push("there is no webhook_key".to_owned());
                    break;
                }
            };
            let attempted = judge(&due, heard, self.clock.now());
            self.store.finish_attempt(&due, &attempted).await?;
            if attempted.status == "delivered" {
                report.delivered += 1;
            } else {
                report.failed += 1;
                break;
            }
        }
        Ok(())
    }

    async fn message(
        &self,
        webhook: &Webhook,
        due: &DueDelivery,
        now: Timestamp,
    ) -> Result<Message, Unsendable> {
        let target = Target::parse(&webhook.url, self.reach)
            .map_err(|e| Unsendable::Message(format!("url {e}")))?;
        let body = payload(&due.kind, due.at, &due.data)
            .ok_or_else(|| Unsendable::Message("the event cannot be read".to_owned()))?;
        let id = message_id(&webhook.webhook_id, due.id, due.sequence);
        let timestamp = now.unix_seconds();
        let text = format!("{id}.{timestamp}.{body}");
        let sign = |version| self.keys.sign(&webhook.webhook_id, version, &text);
        let mut signature = sign(webhook.key_version).await.ok_or(Unsendable::NoKey)?;
        if signs_until(webhook, now).is_some() {
            let before = sign(webhook.key_version.saturating_sub(1)).await;
            signature = format!("{signature} {}", before.ok_or(Unsendable::NoKey)?);
        }
        Ok(Message {
            target,
            id,
            timestamp,
            signature,
            body,
        })
    }
}

/// Why a message cannot be made.
enum Unsendable {
    /// It or its endpoint is at fault.
    Message(String),
    /// The service cannot sign.
    NoKey,
}

/// What follows from an attempt. A test is made once.
fn judge(due: &DueDelivery, heard: Result<Heard, String>, now: Timestamp) -> Attempted {
    let (last_status, last_error, asked_for) = match heard {
        Ok(heard) if (200..300).contains(&heard.status) => {
            return Attempted {
                status: "delivered",
                next_attempt_at: now,
                last_status: Some(heard.status),
                last_error: None,
                at: now,
            };
        }
        Ok(heard) => {
            let asked_for = heard
                .retry_after_seconds
                .filter(|_| matches!(heard.status, 429 | 503));
            let what = match heard.status {
                300..400 => "it redirects, which is not followed",
                GONE => "it is gone",
                _ => "it did not answer with success",
            };
            (Some(heard.status), what.to_owned(), asked_for)
        }
        Err(what) => (None, what, None),
    };
    let pause = usize::try_from(due.attempts)
        .ok()
        .and_then(|attempts| RETRY_SECONDS.get(attempts))
        .filter(|_| last_status != Some(GONE) && due.kind != TEST_TYPE)
        .map(|pause| {
            let asked_for = asked_for.unwrap_or(0).min(MAX_RETRY_AFTER_SECONDS);
            (pause + jitter(due, *pause)).max(asked_for)
        });
    Attempted {
        status: if pause.is_some() { "pending" } else { "failed" },
        next_attempt_at: after(now, pause.unwrap_or(0)),
        last_status,
        last_error: Some(last_error),
        at: now,
    }
}

/// Spreads attempts; the same for the same attempt, so that it needs no random source.
fn jitter(due: &DueDelivery, pause: i64) -> i64 {
    // The constants of a common linear congruential generator (Knuth's MMIX).
    let mixed = due
        .id
        .wrapping_add(i64::from(due.attempts))
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let percent = (mixed >> 33).rem_euclid(MAX_JITTER_PERCENT + 1);
    pause * percent / 100
}
