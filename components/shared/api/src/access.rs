//! Who may do what: every route and method, and the identities that it admits. Nothing else is
//! admitted anywhere; `tests/tests/access.rs` walks the whole matrix, docs/access.md shows it.

/// What a request proves itself to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identity {
    /// Proves nothing: anyone.
    Anyone,
    /// A registered node, by its signature; only for itself.
    Node,
    /// A person or program that runs the service, by a token of `operator_tokens`.
    Operator,
    /// Another registry, by its signature.
    Peer,
    /// The schedule of the background work, by `tracker_token`.
    Scheduler,
    /// A reader of the metrics, by `metrics_token`.
    Monitor,
}

/// One line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// As in spin.toml.
    pub route: &'static str,
    /// Upper case.
    pub method: &'static str,
    /// Who is admitted.
    pub admits: Identity,
}

const fn rule(method: &'static str, route: &'static str, admits: Identity) -> Rule {
    Rule {
        route,
        method,
        admits,
    }
}

/// The table.
pub const RULES: &[Rule] = &[
    // The private start-up check, which only the host can reach.
    rule("GET", "/...", Identity::Anyone),
    rule("GET", "/wallet/health", Identity::Anyone),
    rule("POST", "/wallet/create", Identity::Node),
    rule("GET", "/wallet/:node_id", Identity::Node),
    rule("GET", "/wallet/:node_id/balance", Identity::Node),
    rule("POST", "/wallet/:node_id/send", Identity::Node),
    rule("GET", "/wallet/:node_id/transactions", Identity::Node),
    rule(
        "GET",
        "/wallet/:node_id/transactions/:transaction",
        Identity::Node,
    ),
    rule("POST", "/wallet/:node_id/new-address", Identity::Node),
    rule("GET", "/wallet/:node_id/recipients", Identity::Node),
    rule("POST", "/wallet/:node_id/recipients", Identity::Node),
    rule("POST", "/internal/payments/run", Identity::Scheduler),
    rule("GET", "/operator/alerts", Identity::Operator),
    rule("GET", "/operator/payments", Identity::Operator),
    rule("GET", "/operator/decisions", Identity::Operator),
    rule("GET", "/operator/rules", Identity::Operator),
    rule("PUT", "/operator/rules/:rule", Identity::Operator),
    rule(
        "POST",
        "/operator/payments/:payment/release",
        Identity::Operator,
    ),
    rule(
        "POST",
        "/operator/payments/:payment/refuse",
        Identity::Operator,
    ),
    rule(
        "POST",
        "/operator/wallets/:node_id/freeze",
        Identity::Operator,
    ),
    rule(
        "POST",
        "/operator/wallets/:node_id/unfreeze",
        Identity::Operator,
    ),
    rule(
        "POST",
        "/operator/alerts/:alert/acknowledge",
        Identity::Operator,
    ),
    rule("GET", "/wallet/:node_id/webhooks", Identity::Node),
    rule("POST", "/wallet/:node_id/webhooks", Identity::Node),
    rule("GET", "/wallet/:node_id/webhooks/:webhook", Identity::Node),
    rule(
        "PATCH",
        "/wallet/:node_id/webhooks/:webhook",
        Identity::Node,
    ),
    rule(
        "DELETE",
        "/wallet/:node_id/webhooks/:webhook",
        Identity::Node,
    ),
    rule(
        "GET",
        "/wallet/:node_id/webhooks/:webhook/deliveries",
        Identity::Node,
    ),
    rule(
        "POST",
        "/wallet/:node_id/webhooks/:webhook/test",
        Identity::Node,
    ),
    rule(
        "POST",
        "/wallet/:node_id/webhooks/:webhook/replay",
        Identity::Node,
    ),
    rule(
        "POST",
        "/wallet/:node_id/webhooks/:webhook/rotate",
        Identity::Node,
    ),
    rule("GET", "/wallet/:node_id/events", Identity::Node),
    rule("POST", "/internal/webhooks/run", Identity::Scheduler),
    rule("POST", "/nodes/register", Identity::Node),
    rule("GET", "/nodes", Identity::Anyone),
    rule("GET", "/nodes/:node_id", Identity::Anyone),
    rule("GET", "/metrics", Identity::Monitor),
    rule("GET", "/nodes/:node_id/health", Identity::Anyone),
    rule("GET", "/capabilities", Identity::Anyone),
    rule("POST", "/nodes/:node_id/heartbeat", Identity::Node),
    rule("GET", "/nodes/:node_id/capabilities", Identity::Anyone),
    rule("POST", "/nodes/:node_id/capabilities", Identity::Node),
    rule("PUT", "/nodes/:node_id/capabilities", Identity::Node),
    rule("DELETE", "/nodes/:node_id/capabilities", Identity::Node),
    rule("GET", "/nodes/:node_id/reputation", Identity::Anyone),
    rule("POST", "/nodes/:node_id/reputation", Identity::Operator),
    rule("POST", "/nodes/:node_id/deregister", Identity::Node),
    rule("POST", "/internal/tracker/tick", Identity::Scheduler),
    rule(
        "POST",
        "/internal/tracker/resume-sends",
        Identity::Scheduler,
    ),
    rule("POST", "/p2p/messages", Identity::Peer),
    rule("POST", "/internal/peers/run", Identity::Scheduler),
    rule("GET", "/peers", Identity::Operator),
    rule("POST", "/peers/invites", Identity::Operator),
    rule("POST", "/peers/join", Identity::Operator),
    rule("POST", "/peers/:peer_id/block", Identity::Operator),
    rule("POST", "/peers/:peer_id/unblock", Identity::Operator),
    rule("POST", "/peers/:peer_id/forget", Identity::Operator),
    rule("GET", "/peers/nodes", Identity::Anyone),
    rule("GET", "/peers/balances", Identity::Operator),
];

/// Whom a route admits for a method; none for what is not in the table.
#[must_use]
pub fn admitted(method: &str, route: &str) -> Option<Identity> {
    RULES
        .iter()
        .find(|rule| rule.method == method && rule.route == route)
        .map(|rule| rule.admits)
}

/// The methods that a route knows, in the table's order.
pub fn methods(route: &str) -> impl Iterator<Item = &'static str> {
    RULES
        .iter()
        .filter(move |rule| rule.route == route)
        .map(|rule| rule.method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_and_method_stands_twice() {
        for (index, rule) in RULES.iter().enumerate() {
            let twice = RULES[..index]
                .iter()
                .any(|known| known.route == rule.route && known.method == rule.method);
            assert!(!twice, "{} {}", rule.method, rule.route);
        }
    }

    #[test]
    fn what_is_not_in_the_table_admits_nobody() {
        assert_eq!(
            admitted("GET", "/wallet/:node_id/balance"),
            Some(Identity::Node)
        );
        assert_eq!(admitted("POST", "/wallet/:node_id/balance"), None);
        assert_eq!(admitted("GET", "/unknown"), None);
        assert_eq!(methods("/unknown").next(), None);
        assert_eq!(methods("/nodes").collect::<Vec<_>>(), ["GET"]);
    }
}
