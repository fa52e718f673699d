//! The background work, when a test wants it.

use crate::host::TRACKER_TOKEN;
use crate::{Reply, eventually, request};

fn internal(url: &str, path: &str) -> Reply {
    let authorization = format!("Bearer {TRACKER_TOKEN}");
    let target = format!("{url}/internal/{path}");
    request("POST", &target, &[("authorization", &authorization)], b"").expect("the host answers")
}

/// One run of the tracker at the host with this address.
pub fn tick(url: &str) -> Reply {
    internal(url, "tracker/tick")
}

/// One run of the outbox of webhooks.
pub fn run_webhooks(url: &str) -> Reply {
    internal(url, "webhooks/run")
}

/// An operator has looked at what stopped payments.
pub fn resume_sends(url: &str) -> Reply {
    internal(url, "tracker/resume-sends")
}

/// Runs the tracker until the ledger is level with the chain node, or the node cannot be followed.
pub fn follow(url: &str) {
    eventually("the ledger is level", || {
        let reply = tick(url);
        reply.status != 200 || reply.json()["level"] == true
    });
}
