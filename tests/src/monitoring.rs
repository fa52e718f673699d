//! Operators, and the run that makes what they released.

use crate::host::TRACKER_TOKEN;
use crate::{HostOptions, Reply, with_token};
use serde_json::Value;

/// `alice` and `bob` may use the operator's routes.
pub fn with_operators() -> HostOptions {
    HostOptions::default().variable(
        "operator_tokens",
        &format!("alice={}, bob={}", token("alice"), token("bob")),
    )
}

fn token(name: &str) -> String {
    format!("the-token-of-{name}")
}

/// A request of an operator; null stands for no body.
pub fn as_operator(name: &str, url: &str, method: &str, target: &str, body: &Value) -> Reply {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    with_token(method, &format!("{url}{target}"), &token(name), &body)
}

/// One run that makes released payments.
pub fn run_payments(url: &str) -> Reply {
    with_token(
        "POST",
        &format!("{url}/internal/payments/run"),
        TRACKER_TOKEN,
        "",
    )
}
