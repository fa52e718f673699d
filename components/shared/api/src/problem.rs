//! Every error a client can get: its status, its code, its words.
//!
//! The body is the specification's `{"success": false, "message": ...}` and RFC 9457's problem
//! details at once. Messages that the specification words are kept word for word.

use duxnet_units::{Amount, NodeId};
use serde::Serialize;

/// What went wrong, as a client's program sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// The request cannot be read: JSON, fields, query, headers.
    InvalidRequest,
    /// No valid signature.
    AuthenticationFailed,
    /// Signed, but by another node.
    Forbidden,
    /// The node has no wallet.
    WalletNotFound,
    /// No node of that id.
    NodeNotFound,
    /// No such route.
    NotFound,
    /// The route does not know the method.
    MethodNotAllowed,
    /// The node has a wallet already.
    WalletExists,
    /// The node id is taken by another key.
    NodeExists,
    /// The node has left the registry.
    NodeDeregistered,
    /// The node cannot leave: its wallet holds something.
    WalletNotEmpty,
    /// A request of the same idempotency key is still running.
    InProgress,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is no JSON by its content type.
    UnsupportedMediaType,
    /// No amount that can be paid.
    InvalidAmount,
    /// No address of the network.
    InvalidAddress,
    /// Another field's value is not allowed.
    InvalidValue,
    /// More than one payment may carry.
    AmountAboveLimit,
    /// The wallet holds less than amount and fee.
    InsufficientBalance,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// Too many payments in the window.
    RateLimitExceeded,
    /// Money that comes back from payments under way would suffice: try again soon.
    CoinsBusy,
    /// The chain node refused; nothing was paid.
    ChainRejected,
    /// The chain node answered what it must not; nothing was paid.
    ChainBadResponse,
    /// The chain node cannot be reached; nothing was paid.
    ChainUnreachable,
    /// The chain node did not answer in time; nothing was paid.
    ChainTimeout,
    /// The ledger has not caught up with the chain; nothing was paid.
    Syncing,
    /// An operator or the watchdog has stopped all payments; nothing was paid.
    SendsStopped,
    /// The idempotency key's payment was sent and has failed.
    PaymentFailed,
    /// An operator has frozen the wallet; nothing was paid.
    WalletFrozen,
    /// The wallet's own rules exclude the recipient; nothing was paid.
    RecipientNotAllowed,
    /// An operator has refused the payment of the idempotency key.
    PaymentRefused,
    /// The payment does not wait for an operator.
    PaymentNotHeld,
    /// No payment of that id was ever held.
    PaymentNotFound,
    /// No alert of that id.
    AlertNotFound,
    /// The wallet has no such transaction.
    TransactionNotFound,
    /// The chain node's wallet cannot sign: locked, passphrase missing or wrong.
    SigningUnavailable,
    /// The wallet has no such webhook.
    WebhookNotFound,
    /// The wallet has as many webhooks as one may have.
    WebhookLimitReached,
    /// A disabled webhook is told nothing.
    WebhookDisabled,
    /// The service has no key for webhooks.
    WebhooksUnavailable,
    /// The database cannot be used.
    DatabaseUnavailable,
    /// The service's settings are at fault.
    Misconfigured,
    /// This registry has no id, and so no peers.
    PeersDisabled,
    /// A message for another registry.
    Misdirected,
    /// A message without a valid signature of the registry that it names.
    MessageForged,
    /// A message that is too old.
    MessageStale,
    /// A message from the future: one of two clocks is wrong.
    MessageAhead,
    /// A message of a registry that is not known here.
    UnknownOrigin,
    /// A message that only its own sender may bring, or about what is not the sender's.
    WrongOrigin,
    /// A message that was passed on too often.
    TooManyHops,
    /// Too many messages of one peer in a minute.
    PeerLimitExceeded,
    /// An invitation that was used, has expired, or never was.
    InviteInvalid,
    /// No peer of that id.
    PeerNotFound,
    /// The peer stands in the settings, and only there it can be taken out.
    PeerStatic,
    /// Anything else; the log has the cause.
    Internal,
}

/// What a [`Code`] means over HTTP: one row per code, the whole mapping.
struct Row {
    status: u16,
    name: &'static str,
    title: &'static str,
    retryable: bool,
}

impl Code {
    const fn row(self) -> Row {
        let (status, name, title, retryable) = match self {
            Code::InvalidRequest => (400, "invalid_request", "Invalid request", false),
            Code::AuthenticationFailed => {
                (401, "authentication_failed", "Authentication failed", false)
            }
            Code::Forbidden => (403, "forbidden", "Forbidden", false),
            Code::WalletNotFound => (404, "wallet_not_found", "Wallet not found", false),
            Code::NodeNotFound => (404, "node_not_found", "Node not found", false),
            Code::NotFound => (404, "not_found", "Not found", false),
            Code::MethodNotAllowed => (405, "method_not_allowed", "Method not allowed", false),
            Code::WalletExists => (409, "wallet_exists", "Wallet exists", false),
            Code::NodeExists => (409, "node_exists", "Node exists", false),
            Code::NodeDeregistered => (409, "node_deregistered", "Node deregistered", false),
            Code::WalletNotEmpty => (409, "wallet_not_empty", "Wallet not empty", false),
            Code::InProgress => (409, "in_progress", "Request in progress", true),
            Code::PayloadTooLarge => (413, "payload_too_large", "Payload too large", false),
            Code::UnsupportedMediaType => (
                415,
                "unsupported_media_type",
                "Unsupported media type",
                false,
            ),
            Code::InvalidAmount => (422, "invalid_amount", "Invalid amount", false),
            Code::InvalidAddress => (422, "invalid_address", "Invalid address", false),
            Code::InvalidValue => (422, "invalid_value", "Invalid value", false),
            Code::AmountAboveLimit => (422, "amount_above_limit", "Amount above limit", false),
            Code::InsufficientBalance => {
                (422, "insufficient_balance", "Insufficient balance", false)
            }
            Code::IdempotencyKeyReused => (
                422,
                "idempotency_key_reused",
                "Idempotency key reused",
                false,
            ),
            Code::RateLimitExceeded => (429, "rate_limit_exceeded", "Rate limit exceeded", true),
            Code::CoinsBusy => (503, "coins_busy", "Coins busy", true),
            Code::ChainRejected => (502, "chain_rejected", "Chain node refused", false),
            Code::ChainBadResponse => (502, "chain_bad_response", "Chain node misbehaves", true),
            Code::ChainUnreachable => (503, "chain_unreachable", "Chain node unreachable", true),
            Code::ChainTimeout => (504, "chain_timeout", "Chain node timed out", true),
            Code::Syncing => (503, "syncing", "Catching up with the chain", true),
            Code::SendsStopped => (503, "sends_stopped", "Payments are stopped", true),
            Code::PaymentFailed => (409, "payment_failed", "Payment failed", false),
            Code::WalletFrozen => (403, "wallet_frozen", "Wallet frozen", false),
            Code::RecipientNotAllowed => {
                (403, "recipient_not_allowed", "Recipient not allowed", false)
            }
            Code::PaymentRefused => (409, "payment_refused", "Payment refused", false),
            Code::PaymentNotHeld => (409, "payment_not_held", "Payment not held", false),
            Code::PaymentNotFound => (404, "payment_not_found", "Payment not found", false),
            Code::AlertNotFound => (404, "alert_not_found", "Alert not found", false),
            Code::TransactionNotFound => {
                (404, "transaction_not_found", "Transaction not found", false)
            }
            Code::SigningUnavailable => (503, "signing_unavailable", "Signing unavailable", true),
            Code::WebhookNotFound => (404, "webhook_not_found", "Webhook not found", false),
            Code::WebhookLimitReached => (409, "webhook_limit_reached", "Too many webhooks", false),
            Code::WebhookDisabled => (409, "webhook_disabled", "Webhook disabled", false),
            Code::WebhooksUnavailable => {
                (503, "webhooks_unavailable", "Webhooks unavailable", true)
            }
            Code::DatabaseUnavailable => {
                (503, "database_unavailable", "Database unavailable", true)
            }
            Code::Misconfigured => (503, "misconfigured", "Service misconfigured", true),
            Code::PeersDisabled => (404, "peers_disabled", "No peers here", false),
            Code::Misdirected => (421, "misdirected", "For another registry", false),
            Code::MessageForged => (403, "message_forged", "Message forged", false),
            Code::MessageStale => (422, "message_stale", "Message too old", false),
            Code::MessageAhead => (422, "message_ahead", "Message from the future", true),
            Code::UnknownOrigin => (403, "unknown_origin", "Unknown registry", false),
            Code::WrongOrigin => (403, "wrong_origin", "Not the sender's to say", false),
            Code::TooManyHops => (422, "too_many_hops", "Passed on too often", false),
            Code::PeerLimitExceeded => (429, "peer_limit_exceeded", "Too many messages", true),
            Code::InviteInvalid => (403, "invite_invalid", "Invitation not valid", false),
            Code::PeerNotFound => (404, "peer_not_found", "Peer not found", false),
            Code::PeerStatic => (409, "peer_static", "Peer stands in the settings", false),
            Code::Internal => (500, "internal", "Internal error", true),
        };
        Row {
            status,
            name,
            title,
            retryable,
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// The code's text in the body.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }
}

/// One error answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What went wrong.
    pub code: Code,
    /// The specification's `message`.
    pub message: String,
    /// What exactly, and what is allowed. Never internal text.
    pub detail: Option<String>,
    /// Seconds until a repeat makes sense (`Retry-After`).
    pub retry_after_seconds: Option<u32>,
    /// Methods that the route knows (`Allow`).
    pub allow: Option<String>,
    /// The service's clock in unix seconds, for a client whose own is wrong.
    pub server_time: Option<i64>,
}

#[derive(Serialize)]
struct Body<'a> {
    success: bool,
    message: &'a str,
    code: &'static str,
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_time: Option<i64>,
}

impl Problem {
    /// A problem with the code's title as its message.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Problem {
            code,
            message: code.row().title.to_owned(),
            detail: None,
            retry_after_seconds: None,
            allow: None,
            server_time: None,
        }
    }

    /// Says what exactly is wrong.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// 400 with what is wrong.
    #[must_use]
    pub fn invalid_request(detail: impl Into<String>) -> Self {
        Problem::new(Code::InvalidRequest).detail(detail)
    }

    /// 422 with the field and what is allowed.
    #[must_use]
    pub fn invalid_value(detail: impl Into<String>) -> Self {
        Problem::new(Code::InvalidValue).detail(detail)
    }

    /// 401; the detail must not help a forger.
    #[must_use]
    pub fn authentication(detail: impl Into<String>) -> Self {
        Problem::new(Code::AuthenticationFailed).detail(detail)
    }

    /// 404 in the specification's words.
    #[must_use]
    pub fn wallet_not_found(node: &NodeId) -> Self {
        Problem::new(Code::WalletNotFound).message(format!("No wallet found for node {node}"))
    }

    /// 404 for a node that never registered.
    #[must_use]
    pub fn node_not_found(node: &NodeId) -> Self {
        Problem::new(Code::NodeNotFound).message(format!("Node {node} is not registered"))
    }

    /// 409 for what only a node that is there can do.
    #[must_use]
    pub fn node_deregistered(node: &NodeId) -> Self {
        Problem::new(Code::NodeDeregistered)
            .message(format!("Node {node} is deregistered"))
            .detail("register it again with the same key")
    }

    /// 409 for a second wallet.
    #[must_use]
    pub fn wallet_exists(node: &NodeId) -> Self {
        Problem::new(Code::WalletExists).message(format!("Wallet already exists for node {node}"))
    }

    /// 405 with the methods the route knows.
    #[must_use]
    pub fn method_not_allowed(allow: String) -> Self {
        let mut problem = Problem::new(Code::MethodNotAllowed).detail(format!("allowed: {allow}"));
        problem.allow = Some(allow);
        problem
    }

    /// 429 in the specification's words.
    #[must_use]
    pub fn rate_limit(payments: u32, window_seconds: u32, retry_after_seconds: u32) -> Self {
        Problem::new(Code::RateLimitExceeded)
            .message(format!(
                "Rate limit exceeded. Maximum {payments} transactions per {window_seconds} seconds"
            ))
            .retry_after(retry_after_seconds)
    }

    /// 422 for a payment above `max_transaction_amount`.
    #[must_use]
    pub fn amount_above_limit(limit: Amount) -> Self {
        Problem::new(Code::AmountAboveLimit).message(format!(
            "Amount exceeds maximum of {limit} FLOP per transaction"
        ))
    }

    /// The body's bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let row = self.code.row();
        let body = Body {
            success: false,
            message: &self.message,
            code: row.name,
            kind: format!("urn:duxnet:problem:{}", row.name),
            title: row.title,
            status: row.status,
            detail: self.detail.as_deref(),
            retryable: row.retryable,
            server_time: self.server_time,
        };
        crate::response::to_json(&body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_messages_stand_word_for_word() {
        let node = NodeId::parse("node_001").unwrap();
        let message = |problem: Problem| problem.message;
        assert_eq!(
            message(Problem::new(Code::AuthenticationFailed)),
            "Authentication failed"
        );
        assert_eq!(
            message(Problem::wallet_not_found(&node)),
            "No wallet found for node node_001"
        );
        assert_eq!(
            message(Problem::new(Code::InsufficientBalance)),
            "Insufficient balance"
        );
        assert_eq!(
            message(Problem::rate_limit(10, 3600, 1)),
            "Rate limit exceeded. Maximum 10 transactions per 3600 seconds"
        );
        assert_eq!(message(Problem::new(Code::InvalidAmount)), "Invalid amount");
    }

    #[test]
    fn the_body_is_the_specifications_and_a_problem_detail() {
        let body = Problem::new(Code::InsufficientBalance)
            .detail("short by 1.0 FLOP")
            .to_json();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"success":false,"message":"Insufficient balance","code":"insufficient_balance","type":"urn:duxnet:problem:insufficient_balance","title":"Insufficient balance","status":422,"detail":"short by 1.0 FLOP","retryable":false}"#
        );
    }
}
