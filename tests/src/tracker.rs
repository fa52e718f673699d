//! The background work, when a test wants it.

use crate::host::TRACKER_TOKEN;
use crate::{Reply, eventually, with_token};

fn internal(url: &str, path: &str) -> Reply {
    let target = format!("{url}/internal/{path}");
    with_token("POST", &target, TRACKER_TOKEN, "")
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
