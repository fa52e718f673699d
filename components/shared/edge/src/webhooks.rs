//! Webhooks: keys, requests that go out, and answers about them.

use crate::bindings::duxnet::identity::webhooks as identity;
use crate::{Answer, Authenticated, Call, Context, Failure, settings};
use bytes::Bytes;
use duxnet_api::cursor;
use duxnet_api::problem::{Code, Problem};
use duxnet_api::request::Fields;
use duxnet_api::response::Time;
use duxnet_api::webhooks as body;
use duxnet_registry::outbox::{
    ATTEMPT_TIMEOUT, Heard, MAX_ANSWER_BYTES, Message, Outbox, RunReport, Sender,
};
use duxnet_registry::webhooks::{Keys, Replayed, ShownWebhook, WebhookError, Webhooks, message_id};
use duxnet_store::{Delivery, Wallet, Webhook};
use duxnet_units::net::Reach;
use futures::future::{Either, select};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use spin_sdk::http::{FullBody, Request, send};
use spin_sdk::time::sleep;
use spin_sdk::wasip3::http::types::{ErrorCode, RequestOptions};
use spin_sdk::wasip3::http_compat::RequestOptionsExtension;
use std::pin::pin;
use std::time::Duration;

/// The path's parameter with an endpoint's id.
const PARAMETER: &str = "webhook";
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const USER_AGENT: &str = "duxnet-webhooks/1.0";
/// Seconds after which a client may try again what an operator has to set up.
const LATER_SECONDS: u32 = 60;
/// Seconds after which a test may be asked for again.
const SHORTLY_SECONDS: u32 = 1;

/// The service's keys, which stay in the component that `duxnet:identity` is wired to.
#[derive(Clone, Copy, Debug)]
pub struct WebhookKeys;

impl Keys for WebhookKeys {
    async fn public_key(&self, endpoint: &str, version: u32) -> Option<String> {
        identity::public_key(endpoint.to_owned(), version).await
    }

    async fn sign(&self, endpoint: &str, version: u32, text: &str) -> Option<String> {
        identity::sign(endpoint.to_owned(), version, text.to_owned()).await
    }
}

/// Requests over `wasi:http/client`.
#[derive(Clone, Copy, Debug)]
pub struct HttpSender;

impl Sender for HttpSender {
    async fn send(&self, message: &Message) -> Result<Heard, String> {
        match select(pin!(exchange(message)), pin!(sleep(ATTEMPT_TIMEOUT))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err("it did not answer in time".to_owned()),
        }
    }
}

async fn exchange(message: &Message) -> Result<Heard, String> {
    let options = RequestOptions::new();
    // A host that knows no such option has time-outs of its own.
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).ok();
    let _ = options.set_connect_timeout(nanoseconds(CONNECT_TIMEOUT));
    let _ = options.set_first_byte_timeout(nanoseconds(ATTEMPT_TIMEOUT));
    let _ = options.set_between_bytes_timeout(nanoseconds(ATTEMPT_TIMEOUT));
    let request = Request::post(message.target.as_str())
        .extension(RequestOptionsExtension(options))
        .header("content-type", "application/json")
        .header("content-length", message.body.len())
        .header("user-agent", USER_AGENT)
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", message.timestamp)
        .header("webhook-signature", &message.signature)
        .body(FullBody::new(Bytes::from(message.body.clone())))
        .map_err(|_| "url cannot be requested".to_owned())?;
    let response = send(request).await.map_err(|code| failure(&code))?;
    let retry_after_seconds = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    let heard = Heard {
        status: response.status().as_u16(),
        retry_after_seconds,
    };
    // Read so that the connection can be kept; what is longer is not worth that.
    let mut body = response.into_body();
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(heard)
}

/// In our words: what a host says may tell of the operator's network.
fn failure(code: &ErrorCode) -> String {
    let what = match code {
        ErrorCode::DnsError(_) | ErrorCode::DnsTimeout | ErrorCode::DestinationNotFound => {
            "its name does not resolve"
        }
        ErrorCode::DestinationIpProhibited
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestUriInvalid => "it does not lead to a public host",
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => "it did not answer in time",
        ErrorCode::TlsProtocolError
        | ErrorCode::TlsCertificateError
        | ErrorCode::TlsAlertReceived(_) => "its TLS certificate or handshake is not good",
        ErrorCode::ConnectionRefused => "it refused the connection",
        other => {
            eprintln!("webhook: {other:?}");
            "the connection failed"
        }
    };
    what.to_owned()
}

impl Context {
    /// Webhooks, with the service's keys.
    #[must_use]
    pub fn webhooks(
        &self,
    ) -> Webhooks<'_, crate::database::SpinDatabase, crate::clock::SystemClock, WebhookKeys> {
        Webhooks {
            store: &self.store,
            clock: &self.clock,
            keys: &WebhookKeys,
        }
    }

    /// One run of the outbox.
    ///
    /// # Errors
    /// 503 when settings are at fault.
    pub async fn run_outbox(&self) -> Result<RunReport, Failure> {
        let outbox = Outbox {
            store: &self.store,
            clock: &self.clock,
            keys: &WebhookKeys,
            sender: &HttpSender,
            reach: reach().await?,
        };
        Ok(outbox.run().await)
    }

    /// Checks that the path's node itself asks for a change, and uses the signature up: none of these
    /// changes can be made twice with one, and one that is lost in a crash is asked for again. What is
    /// asked for is read after that.
    ///
    /// # Errors
    /// As [`Context::authenticate`], and 404 where there is no wallet.
    pub async fn change_of(
        &self,
        call: &Call,
        allowed: &[&str],
    ) -> Result<(Wallet, Authenticated, Fields), Failure> {
        let node = call.node_id()?;
        let fields = call.fields(allowed)?;
        let authenticated = self.authenticate(call, &node, Some(&fields)).await?;
        self.service()
            .consume_signature(&authenticated.caller)
            .await?;
        Ok((self.service().wallet(&node).await?, authenticated, fields))
    }
}

/// Where webhooks may point.
///
/// # Errors
/// 503 when the setting is at fault.
pub async fn reach() -> Result<Reach, Problem> {
    settings::reach()
        .await
        .map_err(|faults| settings::misconfigured(&faults))
}

/// The endpoint that the path names.
#[must_use]
pub fn id(call: &Call) -> &str {
    call.parameter(PARAMETER).unwrap_or_default()
}

/// A filter as the database has it.
#[must_use]
pub fn stored(event_types: &[String]) -> String {
    serde_json::to_string(event_types).unwrap_or_default()
}

pub(crate) fn problem(error: &WebhookError) -> Problem {
    match error {
        WebhookError::NotFound => Problem::new(Code::WebhookNotFound),
        WebhookError::Limit => Problem::new(Code::WebhookLimitReached).detail(error.to_string()),
        WebhookError::NoKey => Problem::new(Code::WebhooksUnavailable)
            .detail("the operator has set no webhook_key")
            .retry_after(LATER_SECONDS),
        WebhookError::KeyReused => Problem::new(Code::IdempotencyKeyReused)
            .detail("the idempotency key was used for a request with other content"),
        WebhookError::Disabled => Problem::new(Code::WebhookDisabled)
            .detail("enable the webhook first: PATCH it with {\"enabled\": true}"),
        WebhookError::TestUnderWay => Problem::new(Code::InProgress)
            .detail("the test before has not ended")
            .retry_after(SHORTLY_SECONDS),
    }
}

fn webhook_body(shown: &ShownWebhook) -> body::Webhook {
    let stored = &shown.webhook;
    let (previous_public_key, until) = shown.previous.clone().unzip();
    body::Webhook {
        id: stored.webhook_id.clone(),
        url: stored.url.clone(),
        event_types: RawValue::from_string(stored.event_types.clone())
            .unwrap_or_else(|_| RawValue::NULL.to_owned()),
        enabled: stored.is_enabled,
        disabled_reason: stored.disabled_reason.clone(),
        disabled_at: stored.disabled_at.map(Time),
        public_key: shown.public_key.clone(),
        key_version: stored.key_version,
        previous_public_key,
        previous_key_until: until.map(Time),
        failing_since: stored.failing_since.map(Time),
        created_at: Time(stored.created_at),
        updated_at: Time(stored.updated_at),
    }
}

fn delivery_body(webhook: &Webhook, stored: &Delivery) -> body::Delivery {
    body::Delivery {
        id: message_id(&webhook.webhook_id, stored.id, stored.sequence),
        kind: stored.kind.clone(),
        sequence: stored.sequence,
        status: stored.status.clone(),
        attempts: stored.attempts,
        next_attempt_at: stored.next_attempt_at.map(Time),
        last_attempt_at: stored.last_attempt_at.map(Time),
        last_status: stored.last_status,
        last_error: stored.last_error.clone(),
        created_at: Time(stored.created_at),
    }
}

/// One endpoint; 201 for one that was just made.
#[must_use]
pub fn shown(wallet: &Wallet, status: u16, shown: &ShownWebhook) -> Answer {
    let body = body::OneWebhook {
        success: true,
        node_id: wallet.node_id.to_string(),
        webhook: webhook_body(shown),
    };
    Answer::status(status, &body).replayed(shown.is_replay)
}

/// All endpoints.
#[must_use]
pub fn listed(wallet: &Wallet, shown: &[ShownWebhook]) -> Answer {
    Answer::ok(&body::WebhookList {
        success: true,
        node_id: wallet.node_id.to_string(),
        webhooks: shown.iter().map(webhook_body).collect(),
    })
}

/// A deleted endpoint.
#[must_use]
pub fn deleted(wallet: &Wallet, id: &str) -> Answer {
    Answer::ok(&body::WebhookDeleted {
        success: true,
        node_id: wallet.node_id.to_string(),
        id: id.to_owned(),
    })
}

/// A page of messages; `deliveries` has one more than the page when there are more.
#[must_use]
pub fn deliveries(
    wallet: &Wallet,
    webhook: &Webhook,
    deliveries: &[Delivery],
    limit: u32,
) -> Answer {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = deliveries.get(..limit).unwrap_or(deliveries);
    Answer::ok(&body::Deliveries {
        success: true,
        node_id: wallet.node_id.to_string(),
        webhook_id: webhook.webhook_id.clone(),
        deliveries: page
            .iter()
            .map(|stored| delivery_body(webhook, stored))
            .collect(),
        next_cursor: page
            .last()
            .filter(|_| deliveries.len() > limit)
            .map(|last| cursor::encode(last.id)),
    })
}

/// A test that will be sent.
#[must_use]
pub fn tested(wallet: &Wallet, webhook: &Webhook, test: &Delivery) -> Answer {
    Answer::ok(&body::WebhookTested {
        success: true,
        node_id: wallet.node_id.to_string(),
        webhook_id: webhook.webhook_id.clone(),
        delivery: delivery_body(webhook, test),
    })
}

/// A replay that will be sent.
#[must_use]
pub fn replayed(wallet: &Wallet, id: &str, replayed: Replayed) -> Answer {
    Answer::ok(&body::WebhookReplayed {
        success: true,
        node_id: wallet.node_id.to_string(),
        webhook_id: id.to_owned(),
        replayed: replayed.count,
        next_sequence: replayed.next,
    })
}

/// What a run of the outbox did.
#[must_use]
pub fn ran(report: &RunReport) -> Answer {
    Answer::ok(&body::OutboxRun {
        success: report.troubles.is_empty(),
        delivered: report.delivered,
        failed: report.failed,
    })
}
