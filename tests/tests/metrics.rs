//! Metrics: what is counted, who may read it, and what is never in it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use tests::{
    Chain, Host, HostOptions, METRICS_TOKEN, OPERATOR_TOKEN, Reply, TRACKER_TOKEN, World, follow,
    root, with_token,
};

fn metrics(host: &Host, token: &str) -> Reply {
    with_token("GET", &format!("{}/metrics", host.url()), token, "")
}

/// Each line's name with its labels, and its value.
fn read(host: &Host) -> BTreeMap<String, f64> {
    let reply = metrics(host, METRICS_TOKEN).expect_status(200);
    assert_eq!(
        reply.header("content-type"),
        Some("text/plain; version=0.0.4")
    );
    let text = reply.text();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn only_a_reader_with_the_token_gets_metrics() {
    let world = World::start();
    for token in ["", "wrong", TRACKER_TOKEN, OPERATOR_TOKEN] {
        metrics(&world.host, token).expect_problem(401, "authentication_failed");
    }
    metrics(&world.host, METRICS_TOKEN).expect_status(200);
}

#[test]
fn without_a_token_metrics_are_closed_to_everyone() {
    let world = World::with(HostOptions::default().variable("metrics_token", ""));
    for token in ["", METRICS_TOKEN] {
        metrics(&world.host, token).expect_problem(401, "authentication_failed");
    }
}

#[test]
fn payments_and_the_ledger_are_counted() {
    let world = World::start();
    let url = format!("{}/metrics", world.host.url());
    let node = world.funded_node("node_001", &["100"]);
    node.pay(&world.chain.foreign_address(), "10")
        .expect_status(200);
    let before = read(&world.host);
    assert_eq!(before["duxnet_payments{state=\"broadcast\"}"], 1.0);
    assert_eq!(before["duxnet_payment_confirm_seconds_count"], 0.0);

    world.chain.mine(1);
    follow(world.host.url());
    let after = read(&world.host);
    assert_eq!(after["duxnet_payments{state=\"broadcast\"}"], 0.0);
    assert_eq!(after["duxnet_payments{state=\"confirmed\"}"], 1.0);
    assert_eq!(
        after["duxnet_payments_ended_total{outcome=\"confirmed\"}"],
        1.0
    );
    assert_eq!(after["duxnet_payment_confirm_seconds_count"], 1.0);
    let last = "duxnet_payment_confirm_seconds_bucket{le=\"+Inf\"}";
    assert_eq!(after[last], 1.0);
    assert_eq!(after["duxnet_database_up"], 1.0);
    assert_eq!(after["duxnet_ledger_height"], world.chain.height() as f64);
    assert_eq!(after["duxnet_chain_height"], world.chain.height() as f64);
    assert_eq!(after["duxnet_ledger_lag_blocks"], 0.0);
    assert!(after["duxnet_ledger_age_seconds"] < 60.0);
    assert_eq!(after["duxnet_sends_stopped"], 0.0);
    assert_eq!(after["duxnet_wallets"], 1.0);
    let available = node.available() as f64;
    assert_eq!(
        after["duxnet_wallets_florins{kind=\"available\"}"],
        available
    );
    // The whole exposition is Prometheus' own, with help and type for each family.
    let text = with_token("GET", &url, METRICS_TOKEN, "").text();
    assert!(text.contains("# TYPE duxnet_payment_confirm_seconds histogram\n"));
    assert!(text.contains("# HELP duxnet_payments Payments by state.\n"));
}

#[test]
fn a_failed_payment_is_counted_with_its_reason() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let refuse =
        serde_json::json!({"method": "signrawtransaction", "when": "before", "action": "refuse"});
    world.chain.fault(refuse);
    assert_ne!(node.pay(&world.chain.foreign_address(), "10").status, 200);
    let found = read(&world.host);
    assert_eq!(
        found["duxnet_payments_ended_total{outcome=\"not_signed\"}"],
        1.0
    );
    assert_eq!(found["duxnet_payments{state=\"failed\"}"], 1.0);
    assert_eq!(found["duxnet_payments{state=\"reserved\"}"], 0.0);
}

#[test]
fn held_payments_wrong_signatures_and_alerts_are_counted() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let hold = "UPDATE monitor_rules SET action = 'hold', threshold_count = 1 WHERE kind = 'burst_of_sends'";
    world.books().connection().execute(hold, []).unwrap();
    node.pay(&world.chain.foreign_address(), "10")
        .expect_status(202);
    let mut signing = node.signing();
    signing.network = duxnet_units::Network::Main;
    let headers = node.headers(&signing, "GET", "/wallet/node_001", b"");
    let reply = node.try_send("GET", "/wallet/node_001", b"", &headers);
    reply.unwrap().expect_status(401);
    let found = read(&world.host);
    assert_eq!(found["duxnet_payments{state=\"held\"}"], 1.0);
    assert_eq!(found["duxnet_payments{state=\"reserved\"}"], 0.0);
    assert_eq!(found["duxnet_failed_signatures_total{of=\"node\"}"], 1.0);
    assert_eq!(found["duxnet_alerts_total{severity=\"medium\"}"], 1.0);
}

#[test]
fn nodes_have_labels_only_where_the_operator_asks_for_them() {
    let chain = Chain::start();
    for (setting, expected) in [("false", 0), ("true", 1)] {
        let options = HostOptions::default().variable("metrics_per_node", setting);
        let world = World {
            host: Host::start(&chain, options),
            chain: Chain::start(),
        };
        world.node("node_001");
        let found = read(&world.host);
        let labelled = found.keys().filter(|name| name.contains("node_001"));
        let online = "duxnet_node_online{node_id=\"node_001\"}";
        assert_eq!(labelled.count() > 0, expected == 1, "{setting}");
        assert_eq!(found.contains_key(online), expected == 1, "{setting}");
    }
}

#[test]
fn a_database_that_cannot_be_used_is_a_figure_and_no_failure() {
    let mut world = World::start();
    world.node("node_001");
    let sql = "INSERT INTO schema_migrations (version, name) VALUES (99, 'future')";
    world.books().connection().execute(sql, []).unwrap();
    world.host.restart();
    assert_eq!(
        read(&world.host),
        BTreeMap::from([("duxnet_database_up".to_owned(), 0.0)])
    );
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let world = World::with(HostOptions::default().variable("metrics_per_node", "true"));
    let node = world.funded_node("node_001", &["100"]);
    node.pay(&world.chain.foreign_address(), "10")
        .expect_status(200);
    world.chain.mine(1);
    follow(world.host.url());
    // What has never happened has no figure.
    let set = "UPDATE chain_state SET watchdog_drift = 0, watchdog_at = synced_at";
    world.books().connection().execute(set, []).unwrap();
    for name in ["alerts", "webhook_deliveries_ended"] {
        let sql = "INSERT INTO count_up (name, label, value) VALUES (?, 'x', 1)";
        world.books().connection().execute(sql, [name]).unwrap();
    }
    let peer = "INSERT INTO peers (peer_id, address, public_key, source, created_at) VALUES ('b', '', '', 'static', 1)";
    world.books().connection().execute(peer, []).unwrap();
    world
        .books()
        .connection()
        .execute("UPDATE nodes SET health = 1", [])
        .unwrap();
    let text = metrics(&world.host, METRICS_TOKEN)
        .expect_status(200)
        .text();
    let found: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let docs = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let documented: BTreeSet<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `duxnet_")?.split(['`', '{']).next())
        .collect();
    let documented: BTreeSet<String> = documented
        .iter()
        .map(|name| format!("duxnet_{name}"))
        .collect();
    assert_eq!(
        found
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        documented
    );
}
