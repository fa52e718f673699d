//! What comes in, what goes out and what is undone, as the tracker brings it into the ledger.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{
    Host, HostOptions, Node, TRACKER_TOKEN, World, eventually, follow, in_parallel, request,
    resume_sends, tick,
};

const FLOP: u64 = 100_000_000;

/// type, status, florins and confirmations of each row, newest first.
fn rows(node: &Node) -> Vec<(String, String, String, Value)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    node.history()
        .iter()
        .map(|row| {
            (
                text(&row["transaction_type"]),
                text(&row["status"]),
                text(&row["amount_florins"]),
                row["confirmations"].clone(),
            )
        })
        .collect()
}

fn row(kind: &str, status: &str, flop: u64, confirmations: u32) -> (String, String, String, Value) {
    (
        kind.into(),
        status.into(),
        (flop * FLOP).to_string(),
        json!(confirmations),
    )
}

fn events(world: &World) -> Vec<String> {
    world
        .books()
        .texts("SELECT type FROM events WHERE type <> 'balance.changed' ORDER BY id")
}

#[test]
fn a_deposit_from_outside_is_seen_at_once_and_counts_up() {
    let world = World::with(HostOptions::default().variable("confirmations_required", "3"));
    let node = world.node_with_wallet("node_001");
    world.chain.faucet(&node.address(), "100");
    assert_eq!(rows(&node), [row("receive", "pending", 100, 0)]);
    let balance = node.balance();
    assert_eq!(balance["pending_florins"], (100 * FLOP).to_string());
    assert_eq!(balance["available_florins"], "0");
    world.chain.mine(2);
    assert_eq!(rows(&node), [row("receive", "pending", 100, 2)]);
    world.chain.mine(1);
    assert_eq!(rows(&node), [row("receive", "confirmed", 100, 3)]);
    assert_eq!(node.available(), 100 * FLOP);
    let receive = node.history().remove(0);
    assert_eq!(receive["recipient_address"], node.address());
    assert_eq!(receive["block_hash"].as_str().unwrap().len(), 64);
    assert_eq!(
        events(&world),
        ["wallet.created", "receive.seen", "receive.confirmed"]
    );
    world.books().assert_recount();
}

#[test]
fn a_deposit_to_an_old_address_is_the_wallets_too() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let old = node.address();
    let made = node
        .post(
            "/wallet/node_001/new-address",
            &json!({"node_id": "node_001"}),
        )
        .expect_status(200);
    assert_ne!(made.json()["new_address"], json!(old));
    world.chain.faucet(&old, "7");
    world.chain.mine(1);
    assert_eq!(node.available(), 7 * FLOP);
}

#[test]
fn a_payment_between_two_of_our_wallets_is_in_both_histories() {
    let world = World::start();
    let payer = world.funded_node("node_001", &["100"]);
    let payee = world.node_with_wallet("node_002");
    let sent = payer.pay(&payee.address(), "5").expect_status(200);
    assert_eq!(rows(&payee), [row("receive", "pending", 5, 0)]);
    world.chain.mine(1);
    assert_eq!(rows(&payee), [row("receive", "confirmed", 5, 1)]);
    assert_eq!(rows(&payer)[0], row("send", "confirmed", 5, 1));
    assert_eq!(payee.available(), 5 * FLOP);
    assert_eq!(payee.history()[0]["txid"], sent.json()["txid"]);
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
    books.assert_recount();
}

#[test]
fn a_payment_to_oneself_costs_the_fee_only() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let sent = node.pay(&node.address(), "5").expect_status(200).json();
    let fee: u64 = sent["fee_florins"].as_str().unwrap().parse().unwrap();
    assert_eq!(node.available(), 100 * FLOP - fee);
    world.chain.mine(1);
    assert_eq!(node.available(), 100 * FLOP - fee);
    assert_eq!(rows(&node)[0], row("receive", "confirmed", 5, 1));
    assert_eq!(rows(&node)[1], row("send", "confirmed", 5, 1));
    world.books().assert_recount();
}

#[test]
fn a_payment_made_behind_our_back_leaves_the_balance_and_is_history() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let coins = world
        .chain
        .rpc("listunspent", json!([1, 9_999_999, [node.address()]]))
        .unwrap();
    let outside = world.chain.foreign_address();
    let inputs = json!([{"txid": coins[0]["txid"], "vout": coins[0]["vout"]}]);
    let raw = world
        .chain
        .rpc(
            "createrawtransaction",
            json!([inputs, {outside.as_str(): 99.9}]),
        )
        .unwrap();
    let signed = world.chain.rpc("signrawtransaction", json!([raw])).unwrap();
    let txid = world
        .chain
        .rpc("sendrawtransaction", json!([signed["hex"]]))
        .unwrap();
    assert_eq!(node.available(), 0);
    assert_eq!(rows(&node)[0], row("send", "pending", 100, 0));
    world.chain.mine(1);
    let history = node.history();
    assert_eq!(history[0]["txid"], txid);
    assert_eq!(history[0]["status"], "confirmed");
    assert_eq!(history[0]["recipient_address"], json!(outside));
    assert!(events(&world).contains(&"coins.spent_elsewhere".to_owned()));
    world.books().assert_recount();
}

#[test]
fn reorganisations_of_any_depth_are_undone_and_payments_confirm_again() {
    for depth in [1, 6, 10] {
        let world = World::with(HostOptions::default().variable("confirmations_required", "3"));
        let node = world.node_with_wallet("node_001");
        world.chain.faucet(&node.address(), "100");
        world.chain.mine(12);
        assert_eq!(node.available(), 100 * FLOP);
        let recipient = world.chain.foreign_address();
        let sent = node.pay(&recipient, "5").expect_status(200).json();
        world.chain.mine(depth);
        let before = node.balance();
        let was_confirmed = depth >= 3;
        assert_eq!(rows(&node)[0].1 == "confirmed", was_confirmed, "{depth}");

        world.chain.reorganise(depth);
        // The branch may be without the payment, or hold it from one block on (a real daemon).
        let after = &node.history()[0];
        assert_eq!(after["txid"], sent["txid"], "{depth}");
        if !world.chain.is_real() {
            assert_eq!(after["status"], "pending", "{depth}");
            assert_eq!(after["confirmations"], 0, "{depth}");
        }
        assert!(
            events(&world).contains(&"payment.reorganised".to_owned()),
            "{depth}"
        );
        world.books().assert_recount();
        world.chain.mine(3);
        assert_eq!(rows(&node)[0].1, "confirmed", "{depth}");
        assert_eq!(
            node.balance()["available_florins"],
            before["available_florins"],
            "{depth}"
        );
        let books = world.books();
        books.assert_agree(&world.chain, "node_001", 100 * FLOP);
        books.assert_recount();
    }
}

#[test]
fn a_payment_in_the_new_branch_too_stays_confirmed() {
    let world = World::start();
    if world.chain.is_real() {
        println!("skipped: what a real daemon mines into a new branch cannot be chosen");
        return;
    }
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "5").expect_status(200);
    world.chain.mine(1);
    let before = node.history().remove(0);
    let reorg = json!({"depth": 1, "include": true});
    world.chain.rpc("devnet_reorg", reorg).unwrap();
    let after = node.history().remove(0);
    assert_eq!(after["status"], "confirmed");
    assert_ne!(after["block_hash"], before["block_hash"]);
    world.books().assert_recount();
}

#[test]
fn a_double_spend_that_wins_fails_the_payment_when_it_is_deep_enough() {
    let world = World::with(HostOptions::default().variable("confirmations_required", "3"));
    if world.chain.is_real() {
        println!("skipped: a real daemon does not mine a double spend of its own mempool");
        return;
    }
    let node = world.node_with_wallet("node_001");
    world.chain.faucet(&node.address(), "100");
    world.chain.mine(3);
    assert_eq!(node.available(), 100 * FLOP);
    let recipient = world.chain.foreign_address();
    let sent = node.pay_with_key(&recipient, "5", "invoice-1");
    let sent = sent.expect_status(200).json();
    world
        .chain
        .rpc("devnet_doublespend", json!({"txid": sent["txid"]}))
        .unwrap();
    // Its block and one more: not deep enough to be sure.
    world.chain.mine(1);
    let one = format!(
        "/wallet/node_001/transactions/{}",
        sent["payment_id"].as_str().unwrap()
    );
    node.follow();
    let found = node.get(&one).expect_status(200).json();
    assert_eq!(found["payment"]["state"], "broadcast");
    world.chain.mine(1);
    node.follow();
    let found = node.get(&one).expect_status(200).json();
    assert_eq!(found["payment"]["state"], "failed");
    assert_eq!(found["payment"]["failure"], "conflict");
    assert_eq!(found["transactions"][0]["status"], "failed");
    assert_eq!(node.available(), 0);
    assert!(events(&world).contains(&"payment.failed".to_owned()));
    // The request was answered with success once: its key pays nothing any more.
    node.pay_with_key(&recipient, "5", "invoice-1")
        .expect_problem(409, "payment_failed");
    world.books().assert_recount();
}

#[test]
fn a_deposit_that_is_double_spent_fails_and_stays_in_the_history() {
    let world = World::start();
    if world.chain.is_real() {
        println!("skipped: a real daemon does not mine a double spend of its own mempool");
        return;
    }
    let node = world.node_with_wallet("node_001");
    let txid = world.chain.faucet(&node.address(), "100");
    assert_eq!(rows(&node), [row("receive", "pending", 100, 0)]);
    let elsewhere = world.chain.foreign_address();
    world
        .chain
        .rpc("devnet_doublespend", json!([txid, elsewhere]))
        .unwrap();
    assert_eq!(node.balance()["pending_florins"], "0");
    let history = node.history();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["status"], "failed");
    assert_eq!(history[0]["confirmations"], Value::Null);
    world.books().assert_recount();
}

#[test]
fn a_mempool_that_a_restart_lost_is_filled_again() {
    let world = World::start();
    if world.chain.is_real() {
        println!("skipped: a real daemon keeps its own payments");
        return;
    }
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let sent = node.pay(&recipient, "5").expect_status(200).json();
    let lose = json!({"mempool": "lose", "reaccept": false});
    world.chain.rpc("devnet_restart", lose).unwrap();
    eventually("the node answers", || {
        world.chain.rpc("getblockcount", json!([])).is_ok()
    });
    assert!(world.chain.mempool().is_empty());
    world.books().expire_leases();
    eventually("the payment is sent again", || {
        node.follow();
        world.chain.mempool() == [sent["txid"].as_str().unwrap()]
    });
    world.chain.mine(1);
    assert_eq!(rows(&node)[0].1, "confirmed");
    world.books().assert_recount();
}

#[test]
fn a_service_that_was_off_catches_up_with_what_it_missed() {
    let mut world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let address = node.address();
    world.host.kill();
    for _ in 0..5 {
        world.chain.faucet(&address, "10");
        world.chain.mine(60);
    }
    world.host.restart();
    let node = node.at(&world.host);
    assert_eq!(node.available(), 150 * FLOP);
    assert_eq!(node.history().len(), 6);
    world.books().assert_recount();
}

#[test]
fn two_hosts_on_one_database_that_track_at_once_agree() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let options = HostOptions::default().folder(world.host.shared_folder());
    let second = Host::start(&world.chain, options);
    let recipient = world.chain.foreign_address();
    let urls = [world.host.url(), second.url()];
    for round in 0..3 {
        node.pay(&recipient, "1").expect_status(200);
        world.chain.faucet(&node.address(), "2");
        world.chain.mine(2);
        world.chain.reorganise(1);
        world.chain.mine(1);
        for reply in in_parallel(8, |index| tick(urls[index % 2])) {
            reply.expect_status(200);
        }
        follow(second.url());
        world.books().assert_recount();
        let balance = node.at(&second).balance();
        assert_eq!(
            balance["available_florins"],
            node.balance()["available_florins"],
            "{round}"
        );
    }
    world
        .books()
        .assert_agree(&world.chain, "node_001", 106 * FLOP);
}

#[test]
fn the_hosts_schedule_keeps_the_ledger_level_without_anyone_asking() {
    let world = World::with(HostOptions::default().variable("tracker_interval", "0.1"));
    let node = world.node_with_wallet("node_001");
    world.chain.faucet(&node.address(), "100");
    world.chain.mine(1);
    eventually("the deposit is in the history", || {
        let history = node.get("/wallet/node_001/transactions").json();
        history["transactions"][0]["status"] == "confirmed"
    });
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "5").expect_status(200);
    world.chain.mine(1);
    eventually("the payment is confirmed", || {
        let history = node.get("/wallet/node_001/transactions").json();
        history["transactions"][0]["status"] == "confirmed"
    });
    eventually("the pool of addresses is filled", || {
        world.books().count("SELECT COUNT(*) FROM address_pool") == 50
    });
    assert!(!world.host.log().contains(TRACKER_TOKEN));
}

#[test]
fn a_balance_that_is_too_old_is_looked_up_and_one_that_is_not_costs_no_call() {
    let world = World::with(HostOptions::default().variable("balance_max_age", "0"));
    let node = world.funded_node("node_001", &["100"]);
    world.chain.faucet(&node.address(), "5");
    let target = "/wallet/node_001/balance";
    let balance = node.get(target).expect_status(200).json();
    assert_eq!(balance["pending_florins"], (5 * FLOP).to_string());
    assert_eq!(balance["as_of"]["height"], world.chain.height());

    let patient = HostOptions::default()
        .variable("balance_max_age", "3600")
        .folder(world.host.shared_folder());
    let host = Host::start(&world.chain, patient);
    follow(host.url());
    world.chain.mine(1);
    if !world.chain.is_real() {
        world
            .chain
            .rpc("devnet_stats", json!({"reset": true}))
            .unwrap();
    }
    let balance = node.at(&host).get(target).expect_status(200).json();
    assert_eq!(balance["pending_florins"], (5 * FLOP).to_string());
    assert_eq!(balance["as_of"]["height"], world.chain.height() - 1);
    if !world.chain.is_real() {
        let stats = world.chain.rpc("devnet_stats", json!({})).unwrap();
        assert_eq!(
            stats["calls"],
            json!({"getblockcount": 1}),
            "only the test's own"
        );
    }
}

#[test]
fn a_node_that_hangs_delays_a_balance_by_two_seconds_at_most() {
    let world = World::with(HostOptions::default().variable("balance_max_age", "0"));
    let node = world.funded_node("node_001", &["100"]);
    world
        .chain
        .fault(json!({"method": "*", "when": "before", "action": "hang"}));
    let start = std::time::Instant::now();
    let balance = node
        .get("/wallet/node_001/balance")
        .expect_status(200)
        .json();
    assert_eq!(balance["available_florins"], (100 * FLOP).to_string());
    assert!(balance["as_of"]["age_seconds"].as_u64().unwrap() >= 1);
    // Far below the node's own time-out of 10 s.
    assert!(start.elapsed().as_secs() < 8);
    world.chain.clear_faults();
}

#[test]
fn tick_wants_the_operators_token() {
    let world = World::start();
    let url = format!("{}/internal/tracker/tick", world.host.url());
    let with = |headers: &[(&str, &str)]| request("POST", &url, headers, b"").unwrap();
    for headers in [
        vec![],
        vec![("authorization", "Bearer wrong")],
        vec![("authorization", TRACKER_TOKEN)],
        vec![("authorization", "Bearer ")],
    ] {
        with(&headers).expect_problem(401, "authentication_failed");
    }
    let authorization = format!("Bearer {TRACKER_TOKEN}");
    let report = with(&[("authorization", &authorization)])
        .expect_status(200)
        .json();
    assert_eq!(
        (&report["success"], &report["level"], &report["busy"]),
        (&json!(true), &json!(true), &json!(false))
    );
    let get = request("GET", &url, &[("authorization", &authorization)], b"").unwrap();
    assert_eq!(get.header("allow"), Some("POST"));
    get.expect_problem(405, "method_not_allowed");
}

#[test]
fn without_a_token_the_internal_routes_are_closed() {
    let world = World::with(HostOptions::default().variable("tracker_token", ""));
    for route in ["/internal/tracker/tick", "/internal/tracker/resume-sends"] {
        let url = format!("{}{route}", world.host.url());
        for headers in [vec![], vec![("authorization", "Bearer ")]] {
            request("POST", &url, &headers, b"")
                .unwrap()
                .expect_problem(401, "authentication_failed");
        }
    }
}

#[test]
fn a_drift_stops_payments_until_an_operator_resumes_them() {
    let world = World::with(HostOptions::default().variable("watchdog_interval", "1"));
    let node = world.funded_node("node_001", &["100", "50"]);
    let recipient = world.chain.foreign_address();
    let drift = || {
        let books = world.books();
        books.count("SELECT COALESCE(watchdog_drift, -1) FROM chain_state")
    };
    eventually("a round of the watchdog ends", || {
        node.follow();
        drift() == 0
    });
    // A coin that the chain does not have.
    let books = world.books();
    books
        .connection()
        .execute(
            "INSERT INTO outputs (txid, vout, wallet_id, address, value, state, height, settled, cause, changed_at)
             SELECT printf('%064x', 1), 0, wallet_id, address, 700000000, 'confirmed', height, 0, 'receive', 0
             FROM outputs LIMIT 1",
            (),
        )
        .unwrap();
    eventually("the drift is found", || {
        node.follow();
        drift() == 700_000_000
    });
    let refused = node.pay(&recipient, "5");
    assert!(refused.header("retry-after").is_some());
    let refused = refused.expect_problem(503, "sends_stopped");
    // How much is the operator's to know.
    assert!(!refused.to_string().contains("7.0"), "{refused}");
    assert!(world.host.log().contains("disagree on 7.0 FLOP"));
    let health = request(
        "GET",
        &format!("{}/wallet/health", world.host.url()),
        &[],
        b"",
    )
    .unwrap()
    .expect_status(503)
    .json();
    assert_eq!(health["checks"]["ledger"]["status"], "failed");

    books
        .connection()
        .execute("UPDATE outputs SET state = 'dead', height = NULL, cause = 'dropped' WHERE value = 700000000", ())
        .unwrap();
    node.follow();
    node.pay(&recipient, "5")
        .expect_problem(503, "sends_stopped");
    let url = format!("{}/internal/tracker/resume-sends", world.host.url());
    request("POST", &url, &[], b"")
        .unwrap()
        .expect_problem(401, "authentication_failed");
    let resumed = resume_sends(world.host.url()).expect_status(200).json();
    assert_eq!(resumed["resumed"], true);
    node.pay(&recipient, "5").expect_status(200);
    let resumed = resume_sends(world.host.url()).expect_status(200).json();
    assert_eq!(resumed["resumed"], false);
}

#[test]
fn every_event_of_a_wallet_has_the_next_number() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "5").expect_status(200);
    world.chain.mine(1);
    node.follow();
    let books = world.books();
    assert_eq!(
        events(&world),
        [
            "wallet.created",
            "receive.seen",
            "receive.confirmed",
            "payment.sent",
            "payment.confirmed"
        ]
    );
    assert_eq!(
        books.count("SELECT COUNT(*) FROM events"),
        books.count("SELECT MAX(sequence) FROM events")
    );
    let told = books
        .texts("SELECT data ->> 'balance' FROM events WHERE type = 'balance.changed' ORDER BY id DESC LIMIT 1");
    assert_eq!(told, [node.available().to_string()]);
}
