//! Suspicious activity from outside: payments that wait for an operator, frozen wallets, alerts, rules.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{
    Node, Reply, TRACKER_TOKEN, World, as_operator, eventually, in_parallel, request, run_payments,
    with_operators,
};

const FLOP: u64 = 100_000_000;
const FEE: u64 = 226_000;

fn operator(world: &World, method: &str, target: &str, body: &Value) -> Reply {
    as_operator("alice", world.host.url(), method, target, body)
}

fn see(world: &World, target: &str) -> Value {
    operator(world, "GET", target, &Value::Null)
        .expect_status(200)
        .json()
}

/// A rule that holds each payment from the `count`th in ten minutes on.
fn hold_from(world: &World, count: u32) {
    let rule = json!({
        "kind": "burst_of_sends", "enabled": true, "severity": "high", "action": "hold",
        "window_seconds": 600, "threshold_count": count, "reason": "we were robbed",
    });
    operator(world, "PUT", "/operator/rules/burst_of_sends", &rule).expect_status(200);
}

/// A world with operators, and a funded node each of whose payments is held.
fn suspicious(coins: &[&str]) -> (World, Node, String) {
    let world = World::with(with_operators());
    let node = world.funded_node("node_001", coins);
    hold_from(&world, 1);
    let recipient = world.chain.foreign_address();
    (world, node, recipient)
}

fn payment_id(reply: &Reply) -> String {
    reply.json()["payment_id"].as_str().unwrap().to_owned()
}

fn because(reason: &str) -> Value {
    json!({ "reason": reason })
}

#[test]
fn a_held_payment_is_released_and_made_once() {
    let (world, node, recipient) = suspicious(&["100"]);
    let url = world.host.url();
    let sent = node.pay_with_key(&recipient, "10", "k").expect_status(202);
    let body = sent.json();
    let id = payment_id(&sent);
    assert_eq!(body["success"], true);
    assert_eq!(body["state"], "held");
    assert_eq!(body["status"], "pending");
    assert_eq!(body["amount_florins"], (10 * FLOP).to_string());
    assert_eq!(body["fee_florins"], FEE.to_string());
    assert_eq!(body["recipient"], recipient.as_str());
    assert!(body.get("txid").is_none() && body["message"].is_string());
    assert_eq!(node.balance()["reserved_florins"], (100 * FLOP).to_string());

    let again = node.pay_with_key(&recipient, "10", "k").expect_status(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(payment_id(&again), id);
    let shown = node
        .get(&format!("/wallet/node_001/transactions/{id}"))
        .expect_status(200);
    assert_eq!(shown.json()["payment"]["state"], "held");
    assert_eq!(run_payments(url).expect_status(200).json()["made"], 0);

    let held = see(&world, "/operator/payments?state=held");
    let held = &held["payments"][0];
    assert_eq!(held["payment_id"], id.as_str());
    assert_eq!(held["node_id"], "node_001");
    assert_eq!(held["alerts"][0]["rule"], "burst_of_sends");
    assert_eq!(held["alerts"][0]["figures"]["payments"], 1);

    let target = format!("/operator/payments/{id}/release");
    let released = operator(&world, "POST", &target, &because("it is the landlord"));
    let released = released.expect_status(200);
    assert_eq!(released.header("idempotency-replayed"), None);
    assert_eq!(released.json()["payment"]["state"], "released");
    let again = operator(&world, "POST", &target, &because("it is the landlord"));
    let again = again.expect_status(200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));

    assert_eq!(run_payments(url).expect_status(200).json()["made"], 1);
    assert_eq!(run_payments(url).expect_status(200).json()["made"], 0);
    let paid = node.pay_with_key(&recipient, "10", "k").expect_status(200);
    assert_eq!(paid.header("idempotency-replayed"), Some("true"));
    assert_eq!(payment_id(&paid), id);
    assert_eq!(world.chain.mempool().len(), 1);
    let seen = see(&world, "/operator/payments");
    let decision = &seen["payments"][0]["decisions"][0];
    assert_eq!(decision["operator"], "alice");
    assert_eq!(decision["reason"], "it is the landlord");
    assert_eq!(
        see(&world, "/operator/payments?state=held")["payments"],
        json!([])
    );
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
    books.assert_recount();
}

#[test]
fn a_refused_payment_is_never_made() {
    let (world, node, recipient) = suspicious(&["100"]);
    let sent = node.pay_with_key(&recipient, "10", "k").expect_status(202);
    let id = payment_id(&sent);
    let target = format!("/operator/payments/{id}/refuse");
    operator(&world, "POST", &target, &Value::Null).expect_problem(400, "invalid_request");
    let refused = operator(&world, "POST", &target, &because("a thief's address"));
    assert_eq!(
        refused.expect_status(200).json()["payment"]["failure"],
        "refused"
    );
    let release = format!("/operator/payments/{id}/release");
    operator(&world, "POST", &release, &because("no, wait"))
        .expect_problem(409, "payment_not_held");
    for _ in 0..2 {
        let repeat = node.pay_with_key(&recipient, "10", "k");
        let problem = repeat.expect_problem(409, "payment_refused");
        assert_eq!(problem["detail"], "a thief's address");
        run_payments(world.host.url());
    }
    assert_eq!(node.available(), 100 * FLOP);
    assert!(world.chain.mempool().is_empty());
    let unknown = format!("/operator/payments/{}/release", "0".repeat(32));
    operator(&world, "POST", &unknown, &because("who knows"))
        .expect_problem(404, "payment_not_found");
    world.books().assert_recount();
}

#[test]
fn forty_sends_at_once_see_each_other() {
    // A libSQL server makes ninety who write at once wait for seconds.
    let world = World::with(with_operators().argument("--sql-timeout=25s"));
    let node = world.funded_node("node_001", &["10"; 45]);
    hold_from(&world, 11);
    let recipient = world.chain.foreign_address();
    let replies = in_parallel(40, |i| node.pay_with_key(&recipient, "5", &format!("k{i}")));
    let count = |status| {
        replies
            .iter()
            .filter(|reply| reply.status == status)
            .count()
    };
    assert_eq!((count(200), count(202)), (10, 30));
    assert_eq!(world.chain.mempool().len(), 10);
    let books = world.books();
    let held = "SELECT payment_id FROM payments WHERE stage = 'held'";
    let ids = books.texts(held);
    assert_eq!(ids.len(), 30);
    books.assert_agree(&world.chain, "node_001", 450 * FLOP);

    // Everyone at once: releases, runs, and the node's repeats.
    in_parallel(90, |i| match i % 3 {
        0 => {
            let target = format!("/operator/payments/{}/release", ids[i / 3]);
            operator(&world, "POST", &target, &because("all of them")).expect_status(200);
        }
        1 => drop(run_payments(world.host.url()).expect_status(200)),
        _ => {
            let reply = node.pay_with_key(&recipient, "5", &format!("k{}", i % 40));
            assert!([200, 202, 409].contains(&reply.status), "{}", reply.text());
        }
    });
    eventually("all of them are made", || {
        run_payments(world.host.url()).expect_status(200);
        books.payments("broadcast") == 40
    });
    assert_eq!(world.chain.mempool().len(), 40);
    world.chain.mine(1);
    node.follow();
    assert_eq!(books.payments("confirmed"), 40);
    books.assert_agree(&world.chain, "node_001", 450 * FLOP);
    books.assert_recount();
}

#[test]
fn release_and_refuse_and_repeat_at_once_agree_on_one_end() {
    let (world, node, recipient) = suspicious(&["10"; 10]);
    let url = world.host.url();
    for round in 0..8 {
        let key = format!("round-{round}");
        let sent = node.pay_with_key(&recipient, "5", &key).expect_status(202);
        let id = payment_id(&sent);
        let replies = in_parallel(4, |i| match i {
            0 => as_operator(
                "alice",
                url,
                "POST",
                &format!("/operator/payments/{id}/release"),
                &because("good"),
            ),
            1 => as_operator(
                "bob",
                url,
                "POST",
                &format!("/operator/payments/{id}/refuse"),
                &because("bad"),
            ),
            2 => run_payments(url),
            _ => node.pay_with_key(&recipient, "5", &key),
        });
        let refused = replies[1].status == 200;
        eventually("it has an end", || {
            run_payments(url);
            let end = node.pay_with_key(&recipient, "5", &key);
            if refused {
                end.status == 409 && end.json()["code"] == "payment_refused"
            } else {
                end.status == 200
            }
        });
        if !refused {
            replies[1].clone().expect_problem(409, "payment_not_held");
        }
    }
    let books = world.books();
    assert_eq!(
        world.chain.mempool().len() as i64,
        books.payments("broadcast")
    );
    assert_eq!(books.payments("broadcast") + books.payments("failed"), 8);
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
    books.assert_recount();
}

#[test]
fn the_schedule_makes_what_was_released_and_a_restart_forgets_nothing() {
    let mut world = World::with(with_operators().variable("tracker_interval", "0.1"));
    let node = world.funded_node("node_001", &["100"]);
    hold_from(&world, 1);
    let recipient = world.chain.foreign_address();
    let sent = node.pay_with_key(&recipient, "10", "k").expect_status(202);
    world.host.kill();
    world.host.restart();
    let node = node.at(&world.host);
    let again = node.pay_with_key(&recipient, "10", "k").expect_status(202);
    assert_eq!(payment_id(&again), payment_id(&sent));
    let target = format!("/operator/payments/{}/release", payment_id(&sent));
    operator(&world, "POST", &target, &because("known")).expect_status(200);
    eventually("it is made", || world.chain.mempool().len() == 1);
    eventually("and known to be", || {
        world.books().payments("broadcast") == 1
    });
    world.books().assert_recount();
}

#[test]
fn a_chain_node_that_is_away_keeps_nothing_from_being_made_later() {
    let (mut world, node, recipient) = suspicious(&["100"]);
    let sent = node.pay_with_key(&recipient, "10", "k").expect_status(202);
    let target = format!("/operator/payments/{}/release", payment_id(&sent));
    operator(&world, "POST", &target, &because("known")).expect_status(200);
    world.chain.stop();
    assert_eq!(
        run_payments(world.host.url()).expect_status(200).json()["left"],
        1
    );
    let released = see(&world, "/operator/payments?state=released");
    assert_eq!(released["payments"].as_array().unwrap().len(), 1);
}

#[test]
fn an_alert_is_listed_until_an_operator_has_looked() {
    let world = World::with(with_operators());
    let node = world.node_with_wallet("node_001");
    let stranger = Node::new(&world.host, "node_999");
    for _ in 0..25 {
        let mut headers = node.headers(&node.signing(), "GET", "/wallet/node_001", b"");
        headers[3].1 = "00".repeat(64);
        let reply = node.try_send("GET", "/wallet/node_001", b"", &headers);
        reply.unwrap().expect_problem(401, "authentication_failed");
        stranger
            .get("/wallet/node_999")
            .expect_problem(401, "authentication_failed");
    }
    // Whoever guesses locks nobody out.
    node.get("/wallet/node_001").expect_status(200);
    let alerts = see(&world, "/operator/alerts?open=true&rule=failed_signatures");
    let alerts = alerts["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["node_id"], "node_001");
    assert_eq!(alerts[0]["figures"]["failed_signatures"], 20);
    assert_eq!(alerts[0]["acknowledged"], Value::Null);
    let books = world.books();
    assert_eq!(
        books.count("SELECT failed_signatures * 1000 + strangers_signatures FROM monitor_state"),
        25_025
    );

    let target = format!("/operator/alerts/{}/acknowledge", alerts[0]["id"]);
    let note = json!({"note": "a wrong key file"});
    operator(&world, "POST", &target, &note).expect_status(200);
    let second = as_operator("bob", world.host.url(), "POST", &target, &Value::Null);
    let second = second.expect_status(200);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    let known = &second.json()["alert"]["acknowledged"];
    assert_eq!(known["operator"], "alice");
    assert_eq!(known["note"], "a wrong key file");
    assert_eq!(
        see(&world, "/operator/alerts?open=true")["alerts"],
        json!([])
    );
    let closed = see(&world, "/operator/alerts?open=false");
    assert_eq!(closed["alerts"].as_array().unwrap().len(), 1);
    operator(
        &world,
        "POST",
        "/operator/alerts/99999/acknowledge",
        &Value::Null,
    )
    .expect_problem(404, "alert_not_found");
}

#[test]
fn a_sudden_deposit_is_noted_by_the_tracker() {
    let world = World::with(with_operators());
    let node = world.funded_node("node_001", &["5000"]);
    node.follow();
    let noted = see(
        &world,
        "/operator/alerts?rule=balance_jump&node_id=node_001",
    );
    assert_eq!(noted["alerts"][0]["action"], "note");
    assert_eq!(noted["alerts"][0]["figures"]["before"], "0");
    assert_eq!(
        see(&world, "/operator/alerts?open=true")["alerts"],
        json!([])
    );
}

#[test]
fn a_frozen_wallet_pays_nobody_until_it_is_unfrozen() {
    let world = World::with(with_operators());
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let freeze = "/operator/wallets/node_001/freeze";
    let frozen = operator(&world, "POST", freeze, &because("the key was stolen"));
    assert_eq!(frozen.expect_status(200).json()["frozen"], true);
    let again = operator(&world, "POST", freeze, &because("the key was stolen"));
    assert_eq!(
        again.expect_status(200).header("idempotency-replayed"),
        Some("true")
    );
    let problem = node
        .pay_with_key(&recipient, "1", "k")
        .expect_problem(403, "wallet_frozen");
    assert_eq!(problem["detail"], "the key was stolen");
    let wallet = node.get("/wallet/node_001").expect_status(200).json();
    assert_eq!(wallet["frozen_reason"], "the key was stolen");
    assert_eq!(node.available(), 100 * FLOP);
    world.chain.faucet(&node.address(), "5");
    world.chain.mine(1);
    assert_eq!(node.available(), 105 * FLOP);

    let unfreeze = "/operator/wallets/node_001/unfreeze";
    operator(&world, "POST", unfreeze, &because("it has a new key")).expect_status(200);
    node.pay_with_key(&recipient, "1", "k").expect_status(200);
    let decisions = see(&world, "/operator/decisions?node_id=node_001");
    let told: Vec<(&str, &str, &str)> = decisions["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            let text = |name: &str| d[name].as_str().unwrap();
            (text("action"), text("operator"), text("reason"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("unfreeze", "alice", "it has a new key"),
            ("freeze", "alice", "the key was stolen")
        ]
    );
    operator(
        &world,
        "POST",
        "/operator/wallets/node_404/freeze",
        &because("x"),
    )
    .expect_problem(404, "wallet_not_found");
    world.books().assert_recount();
}

#[test]
fn rules_are_listed_changed_and_added() {
    let world = World::with(with_operators());
    let rules = see(&world, "/operator/rules");
    let names: Vec<&str> = rules["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "balance_jump",
            "burst_of_sends",
            "drain",
            "failed_signatures",
            "first_recipient"
        ]
    );
    assert!(
        rules["rules"]
            .as_array()
            .unwrap()
            .iter()
            .all(|rule| rule["action"] != "hold")
    );
    let drain = json!({
        "kind": "drain", "enabled": true, "severity": "high", "action": "hold",
        "window_seconds": 600, "threshold_share": 950, "threshold_amount": "0.5",
    });
    let put = |name: &str, rule: &Value| {
        operator(&world, "PUT", &format!("/operator/rules/{name}"), rule)
    };
    let added = put("drain_now", &drain).expect_status(200).json();
    assert_eq!(added["rule"]["threshold_amount_florins"], "50000000");
    assert_eq!(added["rule"]["name"], "drain_now");
    put("burst_of_sends", &drain).expect_problem(422, "invalid_value");
    put("Drain", &drain).expect_problem(422, "invalid_value");
    let mut bad = drain.clone();
    bad["threshold_count"] = json!(5);
    put("drain_now", &bad).expect_problem(422, "invalid_value");
    let rules = see(&world, "/operator/rules");
    assert_eq!(rules["rules"].as_array().unwrap().len(), 6);
    let decisions = see(&world, "/operator/decisions");
    assert_eq!(decisions["decisions"][0]["rule"], "drain_now");
    assert_eq!(decisions["decisions"][0]["data"]["threshold_share"], 950);
    assert_eq!(decisions["decisions"].as_array().unwrap().len(), 1);
}

#[test]
fn pages_of_held_payments_and_alerts_follow_each_other() {
    let (world, node, recipient) = suspicious(&["10"; 5]);
    for _ in 0..5 {
        node.pay(&recipient, "5").expect_status(202);
    }
    for (list, id) in [("payments", "payment_id"), ("alerts", "id")] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = see(&world, &format!("/operator/{list}?limit=2{cursor}"));
            let rows = page[list].as_array().unwrap();
            assert!(rows.len() <= 2);
            seen.extend(rows.iter().map(|row| row[id].to_string()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        seen.dedup();
        assert_eq!(seen.len(), 5, "{list}");
    }
    operator(&world, "GET", "/operator/payments?state=lost", &Value::Null)
        .expect_problem(422, "invalid_value");
    operator(&world, "GET", "/operator/rules?limit=1", &Value::Null)
        .expect_problem(400, "invalid_request");
}

#[test]
fn the_operators_routes_are_for_operators() {
    let world = World::with(with_operators());
    let node = world.node_with_wallet("node_001");
    let body = because("x").to_string();
    for (method, target) in [
        ("GET", "/operator/alerts"),
        ("GET", "/operator/payments"),
        ("GET", "/operator/decisions"),
        ("GET", "/operator/rules"),
        ("PUT", "/operator/rules/drain"),
        (
            "POST",
            "/operator/payments/00000000000000000000000000000000/release",
        ),
        (
            "POST",
            "/operator/payments/00000000000000000000000000000000/refuse",
        ),
        ("POST", "/operator/wallets/node_001/freeze"),
        ("POST", "/operator/wallets/node_001/unfreeze"),
        ("POST", "/operator/alerts/1/acknowledge"),
        ("POST", "/internal/payments/run"),
    ] {
        let body = if method == "GET" { "" } else { &body };
        let signed = node.signed(method, target, body, &[]).unwrap();
        signed.expect_problem(401, "authentication_failed");
        let wrong = request(
            method,
            &format!("{}{target}", world.host.url()),
            &[
                ("authorization", "Bearer the-token-of-mallory"),
                ("content-type", "application/json"),
            ],
            body.as_bytes(),
        );
        wrong.unwrap().expect_problem(401, "authentication_failed");
    }
    // One kind's token is worth nothing on the other's routes.
    operator(&world, "POST", "/internal/payments/run", &Value::Null)
        .expect_problem(401, "authentication_failed");
    let books = world.books();
    assert_eq!(books.count("SELECT COUNT(*) FROM decisions"), 0);
}

#[test]
fn the_run_wants_the_schedules_token() {
    let world = World::start();
    let url = format!("{}/internal/payments/run", world.host.url());
    let run = |authorization: &str| {
        request("POST", &url, &[("authorization", authorization)], b"").unwrap()
    };
    let done = run(&format!("Bearer {TRACKER_TOKEN}")).expect_status(200);
    assert_eq!(done.json(), json!({"success": true, "made": 0, "left": 0}));
    for wrong in ["", "Bearer ", "Bearer another-token-than-that"] {
        run(wrong).expect_problem(401, "authentication_failed");
    }
    let get = request("GET", &url, &[], b"").unwrap();
    get.expect_problem(405, "method_not_allowed");
}
