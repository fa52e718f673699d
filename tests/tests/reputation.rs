//! How far nodes are trusted: operators' words, and what payments tell.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{HostOptions, Node, OPERATORS, Reply, World, follow, get, in_parallel, judge, request};

const ALICE: &str = "the-token-of-alice";
const BOB: &str = "the-token-of-bob-";

fn world() -> World {
    World::with(HostOptions::default().variable("operator_tokens", OPERATORS))
}

fn say(world: &World, kind: &str, key: &str) -> Reply {
    let body = json!({"type": kind, "reason": "as seen in task 7"});
    judge(&world.host, "node_001", ALICE, Some(key), &body)
}

fn reputation(node: &Node, query: &str) -> Value {
    get(&format!(
        "{}/nodes/{}/reputation{query}",
        node.url(),
        node.id
    ))
    .expect_status(200)
    .json()
}

fn kinds(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[test]
fn an_operators_word_moves_the_score_and_says_whose_it_was_and_why() {
    let world = world();
    let node = world.node("node_001");
    let url = format!("{}/nodes/node_001/reputation", world.host.url());
    assert_eq!(
        get(&url).expect_status(200).json(),
        json!({"success": true, "node_id": "node_001", "reputation": 50, "events": [], "next_cursor": null})
    );
    let headers = [
        ("authorization", "Bearer the-token-of-alice"),
        ("content-type", "application/json"),
        ("idempotency-key", "task-7"),
    ];
    let body = json!({"type": "task_success", "reason": "task 7"}).to_string();
    let said = request("POST", &url, &headers, body.as_bytes()).unwrap();
    let answer = said.expect_status(201).json();
    assert_eq!(
        (&answer["reputation"], &answer["node_id"]),
        (&json!(60), &json!("node_001"))
    );
    let event = &answer["event"];
    assert_eq!(
        event,
        &json!({
            "type": "task_success", "delta": 10, "applied": 10, "reason": "task 7",
            "actor": "alice", "created_at": event["created_at"],
        })
    );
    let body = json!({"type": "malicious_behavior", "reason": "task 8"});
    judge(&world.host, "node_001", BOB, Some("task-7"), &body).expect_status(201);
    let page = reputation(&node, "");
    assert_eq!(
        (&page["reputation"], kinds(&page)),
        (&json!(10), vec!["malicious_behavior", "task_success"])
    );
    assert_eq!(page["events"][0]["actor"], "bob");
    assert_eq!(node.shown()["reputation"], 10);
}

#[test]
fn every_type_has_duxnets_points_and_the_score_stays_within_0_and_100() {
    let world = world();
    let node = world.node("node_001");
    for (index, (kind, score)) in [
        ("task_success", 60),
        ("task_failure", 55),
        ("task_timeout", 45),
        ("malicious_behavior", 0),
        ("task_failure", 0),
        ("health_milestone", 2),
        ("uptime_milestone", 7),
        ("community_contribution", 22),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = say(&world, kind, &format!("k{index}"))
            .expect_status(201)
            .json();
        assert_eq!(answer["reputation"], score, "{kind}");
    }
    let clamped = &reputation(&node, "?limit=5")["events"][4];
    assert_eq!(
        (&clamped["delta"], &clamped["applied"]),
        (&json!(-50), &json!(-45))
    );
    for index in 0..9 {
        say(&world, "community_contribution", &format!("m{index}")).expect_status(201);
    }
    assert_eq!(node.shown()["reputation"], 100);
    assert_eq!(
        world
            .books()
            .count("SELECT 50 + SUM(applied) FROM reputation_events"),
        100
    );
}

#[test]
fn a_repeat_counts_once_also_when_many_come_at_once() {
    let world = world();
    let node = world.node("node_001");
    let replies = in_parallel(8, |_| say(&world, "task_success", "task-7"));
    let new = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(new, 1);
    for reply in &replies {
        let replayed = reply.header("idempotency-replayed") == Some("true");
        assert_eq!(
            (
                reply.status == 200,
                reply.json()["event"]["applied"].clone()
            ),
            (replayed, json!(10))
        );
    }
    assert_eq!(node.shown()["reputation"], 60);
    say(&world, "task_failure", "task-7").expect_problem(422, "idempotency_key_reused");
    world.node("node_002");
    let body = json!({"type": "task_success", "reason": "as seen in task 7"});
    judge(&world.host, "node_002", ALICE, Some("task-7"), &body)
        .expect_problem(422, "idempotency_key_reused");
}

#[test]
fn only_operators_say_anything_and_only_what_is_known() {
    let world = world();
    let node = world.node("node_001");
    let good = json!({"type": "task_success", "reason": "x"});
    for token in [
        "",
        "the-token-of-alicf",
        "the-token-of-alice0",
        tests::TRACKER_TOKEN,
    ] {
        judge(&world.host, "node_001", token, Some("k"), &good)
            .expect_problem(401, "authentication_failed");
    }
    node.post("/nodes/node_001/reputation", &good)
        .expect_problem(401, "authentication_failed");
    let as_alice =
        |node: &str, key: Option<&str>, body: &Value| judge(&world.host, node, ALICE, key, body);
    as_alice("node_001", None, &good).expect_problem(400, "invalid_request");
    as_alice("ghost", Some("k"), &good).expect_problem(404, "node_not_found");
    for bad in [
        json!({"type": "payment_confirmed", "reason": "x"}),
        json!({"type": "task_success", "reason": ""}),
        json!({"type": "task_success", "reason": "x".repeat(257)}),
    ] {
        as_alice("node_001", Some("k"), &bad).expect_problem(422, "invalid_value");
    }
    for bad in [
        json!({"type": "task_success"}),
        json!({"reason": "x"}),
        json!({"type": "task_success", "reason": "x", "delta": 50}),
    ] {
        as_alice("node_001", Some("k"), &bad).expect_problem(400, "invalid_request");
    }
    assert_eq!(
        world
            .books()
            .count("SELECT COUNT(*) FROM reputation_events"),
        0
    );
}

#[test]
fn without_tokens_nobody_is_an_operator() {
    let world = World::start();
    world.node("node_001");
    for token in ["", "the-token-of-alice"] {
        let body = json!({"type": "task_success", "reason": "x"});
        judge(&world.host, "node_001", token, Some("k"), &body)
            .expect_problem(401, "authentication_failed");
    }
}

#[test]
fn events_page_from_the_newest_back_while_new_ones_come() {
    let world = world();
    let node = world.node("node_001");
    for (kind, key) in [
        ("task_success", "1"),
        ("task_failure", "2"),
        ("task_timeout", "3"),
    ] {
        say(&world, kind, key).expect_status(201);
    }
    let first = reputation(&node, "?limit=2");
    assert_eq!(kinds(&first), ["task_timeout", "task_failure"]);
    say(&world, "uptime_milestone", "4").expect_status(201);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = reputation(&node, &format!("?limit=2&cursor={cursor}"));
    assert_eq!(kinds(&second), ["task_success"]);
    assert_eq!(second["next_cursor"], Value::Null);
    get(&format!(
        "{}/nodes/node_001/reputation?cursor=forged",
        node.url()
    ))
    .expect_problem(400, "invalid_request");
    get(&format!("{}/nodes/ghost/reputation", node.url())).expect_problem(404, "node_not_found");
}

/// Pays, confirms, and has the background work look.
fn pay(world: &World, node: &Node, to: &str, flop: &str) {
    node.pay(to, flop).expect_status(200);
    world.chain.mine(1);
    follow(node.url());
}

#[test]
fn a_payment_that_confirms_impacts_reputation_up_to_the_days_cap() {
    let world = World::with(HostOptions::default().variable("reputation_daily_cap", "2"));
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "5").expect_status(200);
    follow(node.url());
    assert_eq!(node.shown()["reputation"], 50, "not before it confirms");
    world.chain.mine(1);
    follow(node.url());
    assert_eq!(node.shown()["reputation"], 51);
    let event = reputation(&node, "")["events"][0].clone();
    assert_eq!(
        (&event["type"], &event["actor"], &event["applied"]),
        (&json!("payment_confirmed"), &json!("payments"), &json!(1))
    );
    // Tiny ones, and to oneself, bring nothing.
    pay(&world, &node, &recipient, "0.99999999");
    pay(&world, &node, &node.address(), "5");
    assert_eq!(node.shown()["reputation"], 51);
    pay(&world, &node, &recipient, "1");
    pay(&world, &node, &recipient, "1");
    assert_eq!(node.shown()["reputation"], 52);
    let page = reputation(&node, "");
    assert_eq!(page["events"][0]["delta"], 1);
    assert_eq!(page["events"][0]["applied"], 0);
    // A reorganisation that confirms them anew counts nothing twice.
    world.chain.reorganise(1);
    follow(node.url());
    world.chain.mine(1);
    follow(node.url());
    assert_eq!(reputation(&node, "")["events"].as_array().unwrap().len(), 3);
    assert_eq!(node.shown()["reputation"], 52);
}

#[test]
fn a_payment_with_a_deposit_that_was_taken_back_impacts_reputation() {
    let world = World::start();
    if world.chain.is_real() {
        println!("skipped: a real daemon does not mine a double spend of its own mempool");
        return;
    }
    let node = world.node_with_wallet("node_001");
    let deposit = world.chain.faucet(&node.address(), "100");
    world.chain.mine(1);
    follow(node.url());
    let recipient = world.chain.foreign_address();
    let sent = node.pay(&recipient, "5").expect_status(200).json();
    // The block with the deposit goes, and its sender spends the money once more.
    world.chain.reorganise(1);
    let elsewhere = world.chain.foreign_address();
    world
        .chain
        .rpc("devnet_doublespend", json!([deposit, elsewhere]))
        .unwrap();
    follow(node.url());
    world.chain.mine(1);
    for _ in 0..3 {
        follow(node.url());
        world.chain.mine(1);
    }
    follow(node.url());
    let one = format!(
        "/wallet/node_001/transactions/{}",
        sent["payment_id"].as_str().unwrap()
    );
    let found = node.get(&one).expect_status(200).json();
    assert_eq!(
        (&found["payment"]["state"], &found["payment"]["failure"]),
        (&json!("failed"), &json!("conflict"))
    );
    let page = reputation(&node, "");
    assert_eq!(
        (kinds(&page), &page["reputation"]),
        (vec!["double_spend_attempt"], &json!(25))
    );
    world.books().assert_recount();
}

#[test]
fn a_failure_that_is_nobodys_fault_leaves_the_score() {
    let world = World::start();
    if world.chain.is_real() {
        println!("skipped: a real daemon does not mine a double spend of its own mempool");
        return;
    }
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let sent = node.pay(&recipient, "5").expect_status(200).json();
    world
        .chain
        .rpc("devnet_doublespend", json!({"txid": sent["txid"]}))
        .unwrap();
    world.chain.mine(1);
    follow(node.url());
    world.chain.mine(1);
    follow(node.url());
    assert_eq!(world.books().payments("failed"), 1);
    assert_eq!(node.shown()["reputation"], 50);
}

#[test]
fn leaving_and_coming_back_or_changing_the_key_does_not_wash_a_score() {
    let world = world();
    let node = world.node("node_001");
    say(&world, "malicious_behavior", "1").expect_status(201);
    node.deregister(None, "bye").expect_status(200);
    say(&world, "task_success", "2").expect_status(201);
    node.register().expect_status(200);
    assert_eq!(node.shown()["reputation"], 10);
}
