//! Operators, and the run that makes what they released.

use crate::host::TRACKER_TOKEN;
use crate::{HostOptions, Reply, request};
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
    let authorization = format!("Bearer {}", token(name));
    let mut headers = vec![("authorization", authorization.as_str())];
    let body = if body.is_null() {
        String::new()
    } else {
        headers.push(("content-type", "application/json"));
        body.to_string()
    };
    request(method, &format!("{url}{target}"), &headers, body.as_bytes()).expect("the host answers")
}

/// One run that makes released payments.
pub fn run_payments(url: &str) -> Reply {
    let authorization = format!("Bearer {TRACKER_TOKEN}");
    request(
        "POST",
        &format!("{url}/internal/payments/run"),
        &[("authorization", &authorization)],
        b"",
    )
    .expect("the host answers")
}
