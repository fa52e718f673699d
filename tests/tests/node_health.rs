//! How well a node is, and why.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{HostOptions, Node, World, follow, get, resume_sends, tick};

/// `GET /nodes/{node_id}/health`, checked: the weights sum to 100 and the factors to the score.
fn health(node: &Node) -> Value {
    let answer = get(&format!("{}/nodes/{}/health", node.url(), node.id))
        .expect_status(200)
        .json();
    let factors = answer["factors"].as_array().unwrap();
    let number = |factor: &Value, key: &str| factor[key].as_u64().unwrap();
    let weights: u64 = factors.iter().map(|f| number(f, "weight")).sum();
    let sum: u64 = factors
        .iter()
        .map(|f| number(f, "weight") * number(f, "value"))
        .sum();
    assert_eq!(weights, 100, "{answer}");
    assert_eq!(answer["health"].as_u64().unwrap(), sum / 100, "{answer}");
    answer
}

fn value(health: &Value, factor: &str) -> u64 {
    let factors = health["factors"].as_array().unwrap();
    let found = factors.iter().find(|f| f["factor"] == factor).unwrap();
    assert!(!found["detail"].as_str().unwrap().is_empty());
    found["value"].as_u64().unwrap()
}

#[test]
fn a_health_score_is_explained_factor_by_factor() {
    let world = World::start();
    let node = world.node("node_001");
    let first = health(&node);
    assert_eq!(
        (value(&first, "heartbeat"), value(&first, "wallet")),
        (0, 0)
    );
    assert_eq!(first["health"], 50);
    node.heartbeat(&json!({})).expect_status(200);
    follow(node.url());
    let url = world.host.url();
    let answer = get(&format!("{url}/nodes/node_001/health"))
        .expect_status(200)
        .json();
    assert_eq!(
        (&answer["status"], &answer["health"]),
        (&json!("online"), &json!(80))
    );
    let names: Vec<&str> = answer["factors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|factor| factor["factor"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "heartbeat",
            "wallet",
            "pending_payments",
            "payment_success",
            "watchdog"
        ]
    );
    get(&format!("{url}/nodes/ghost/health")).expect_problem(404, "node_not_found");
    get(&format!("{url}/nodes/node_001/health?verbose=1")).expect_problem(400, "invalid_request");
}

#[test]
fn the_wallets_status_affects_the_score() {
    let world = World::start();
    let node = world.node("node_001");
    node.heartbeat(&json!({})).expect_status(200);
    follow(node.url());
    assert_eq!(health(&node)["health"], 80);
    node.create_wallet("my_wallet").expect_status(200);
    assert_eq!(health(&node)["health"], 100);
    let books = world.books();
    // A ledger that lags behind the chain.
    books
        .connection()
        .execute("UPDATE chain_state SET synced_at = synced_at - 600", [])
        .unwrap();
    let lagging = health(&node);
    assert_eq!(
        (value(&lagging, "wallet"), &lagging["health"]),
        (50, &json!(90))
    );
    follow(node.url());
    assert_eq!(health(&node)["health"], 100);
    node.deregister(None, "bye").expect_status(200);
    assert_eq!(value(&health(&node), "wallet"), 0);
}

#[test]
fn the_stored_score_follows_heartbeats_and_the_background_work() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    follow(node.url());
    node.heartbeat(&json!({})).expect_status(200);
    assert_eq!(node.shown()["health"], 100);
    let books = world.books();
    books.age_heartbeat("node_001", 195);
    books.age_health();
    tick(node.url());
    let stored = node.shown()["health"].as_u64().unwrap();
    assert!((84..=85).contains(&stored), "{stored}");
    assert_eq!(node.shown()["status"], "stale");
}

#[test]
fn payments_that_wait_or_fail_lower_the_score_and_confirmed_ones_do_not() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    node.heartbeat(&json!({})).expect_status(200);
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "5").expect_status(200);
    assert_eq!(
        health(&node)["health"],
        100,
        "a young payment waits as all do"
    );
    let books = world.books();
    let older = |seconds: i64| {
        books
            .connection()
            .execute("UPDATE payments SET created_at = created_at - ?", [seconds])
            .unwrap();
    };
    older(3_700);
    let late = health(&node);
    assert_eq!(
        (value(&late, "pending_payments"), &late["health"]),
        (75, &json!(95))
    );
    world.chain.mine(1);
    follow(node.url());
    let confirmed = health(&node);
    assert_eq!(value(&confirmed, "pending_payments"), 100);
    assert_eq!(value(&confirmed, "payment_success"), 100);
    if world.chain.is_real() {
        println!("skipped: a real daemon does not mine a double spend of its own mempool");
        return;
    }
    // One that somebody else's transaction takes the coin of.
    let sent = node.pay(&recipient, "5").expect_status(200).json();
    world
        .chain
        .rpc("devnet_doublespend", json!({"txid": sent["txid"]}))
        .unwrap();
    follow(node.url());
    world.chain.mine(1);
    follow(node.url());
    let failed = health(&node);
    assert_eq!(
        (value(&failed, "payment_success"), &failed["health"]),
        (50, &json!(90))
    );
    // Out of the window they count no more.
    older(86_500);
    assert_eq!(value(&health(&node), "payment_success"), 100);
}

#[test]
fn a_drift_that_stops_payments_lowers_every_score() {
    let world = World::with(HostOptions::default().variable("watchdog_interval", "1"));
    let node = world.funded_node("node_001", &["100"]);
    node.heartbeat(&json!({})).expect_status(200);
    assert_eq!(value(&health(&node), "watchdog"), 100);
    world
        .books()
        .connection()
        .execute(
            "UPDATE chain_state SET sends_stopped_at = 1, sends_stopped_reason = 'drift'",
            [],
        )
        .unwrap();
    let stopped = health(&node);
    assert_eq!(
        (value(&stopped, "watchdog"), &stopped["health"]),
        (0, &json!(90))
    );
    resume_sends(node.url()).expect_status(200);
    assert_eq!(value(&health(&node), "watchdog"), 100);
}
