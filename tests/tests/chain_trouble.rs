//! A chain node that is down, slow, silent or mad: the answer says what is known, no more.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{Chain, Host, HostOptions, Node, World, eventually};

const FLOP: u64 = 100_000_000;
/// Long enough for a test to see that a deadline holds, short enough to wait for.
const TIMEOUT_SECONDS: &str = "1";
/// Longer than that.
const SLOW_MILLISECONDS: u32 = 3_000;

/// A wallet with one coin of 100 FLOP, on a host that waits a second for the chain node.
fn world() -> (World, Node, String) {
    let options = HostOptions::default().variable("rpc_timeout_seconds", TIMEOUT_SECONDS);
    let world = World::with(options);
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    (world, node, recipient)
}

fn fault(chain: &Chain, method: &str, when: &str, action: &str, more: Value) {
    let mut fault = json!({"method": method, "when": when, "action": action});
    let more = more.as_object().unwrap().clone();
    fault.as_object_mut().unwrap().extend(more);
    chain.fault(fault);
}

/// Nothing was paid, nothing is taken, and the next payment passes.
fn assert_untouched_and_well_again(world: &World, node: &Node, recipient: &str) {
    world.chain.clear_faults();
    let books = world.books();
    assert!(world.chain.mempool().is_empty());
    assert_eq!(books.count("SELECT COUNT(*) FROM payment_inputs"), 0);
    let everything = json!((100 * FLOP).to_string());
    eventually("the wallet has its money", || {
        let reply = node.get(&format!("/wallet/{}/balance", node.id));
        reply.status == 200 && reply.json()["available_florins"] == everything
    });
    node.pay(recipient, "5").expect_status(200);
    assert_eq!(world.chain.mempool().len(), 1);
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
}

/// One payment with the key `invoice-1`, whatever became of it, ends in one transaction.
fn assert_one_payment(world: &World, node: &Node, recipient: &str, first: &Value) {
    world.chain.clear_faults();
    let repeat = node
        .pay_with_key(recipient, "5", "invoice-1")
        .expect_status(200)
        .json();
    assert_eq!(repeat["txid"], first["txid"]);
    assert_eq!(repeat["payment_id"], first["payment_id"]);
    let txid = first["txid"].as_str().unwrap().to_owned();
    assert_eq!(world.chain.mempool(), [txid]);
    let books = world.books();
    assert_eq!(books.count("SELECT COUNT(*) FROM payments"), 1);
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_node_that_is_down_is_503_and_nothing_is_reserved() {
    let (mut world, node, recipient) = world();
    world.chain.stop();
    let reply = node.pay(&recipient, "5");
    assert!(reply.header("retry-after").is_some());
    reply.expect_problem(503, "chain_unreachable");
    node.get("/wallet/node_001/balance")
        .expect_problem(503, "chain_unreachable");
    assert_eq!(node.get("/wallet/node_001/transactions").status, 200);
    let books = world.books();
    assert_eq!(books.count("SELECT COUNT(*) FROM payments"), 0);
}

#[test]
fn a_node_that_restarts_is_503_until_it_answers_again() {
    let (world, node, recipient) = world();
    if world.chain.is_real() {
        println!("skipped: a real daemon is not restarted through the front");
        return;
    }
    let restart = json!({"milliseconds": 1_500, "refuse_milliseconds": 1_500});
    world.chain.rpc("devnet_restart", restart).unwrap();
    node.pay(&recipient, "5")
        .expect_problem(503, "chain_unreachable");
    assert_eq!(world.books().count("SELECT COUNT(*) FROM payments"), 0);
    eventually("it pays again", || node.pay(&recipient, "5").status == 200);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_node_that_warms_up_is_503() {
    let (world, node, recipient) = world();
    for method in ["listunspent", "signrawtransaction", "sendrawtransaction"] {
        let warming = json!({"code": -28, "message": "Loading block index..."});
        fault(&world.chain, method, "before", "error", warming);
        node.pay(&recipient, "5")
            .expect_problem(503, "chain_unreachable");
        world.chain.clear_faults();
    }
    assert_untouched_and_well_again(&world, &node, &recipient);
}

#[test]
fn a_node_slower_than_the_deadline_is_504_and_nothing_is_reserved() {
    let (world, node, recipient) = world();
    let slow = json!({"milliseconds": SLOW_MILLISECONDS});
    fault(&world.chain, "listunspent", "before", "delay", slow);
    node.pay(&recipient, "5")
        .expect_problem(504, "chain_timeout");
    assert_eq!(world.books().count("SELECT COUNT(*) FROM payments"), 0);
    assert_untouched_and_well_again(&world, &node, &recipient);
}

#[test]
fn a_signature_slower_than_the_deadline_is_504_and_gives_the_coins_back() {
    let (world, node, recipient) = world();
    let slow = json!({"milliseconds": SLOW_MILLISECONDS});
    fault(&world.chain, "signrawtransaction", "before", "delay", slow);
    node.pay(&recipient, "5")
        .expect_problem(504, "chain_timeout");
    assert_eq!(world.books().payments("failed"), 1);
    assert_untouched_and_well_again(&world, &node, &recipient);
}

#[test]
fn a_broadcast_whose_answer_is_lost_is_found_in_the_mempool() {
    for action in ["drop", "hang", "truncate", "garbage", "huge"] {
        let (world, node, recipient) = world();
        fault(
            &world.chain,
            "sendrawtransaction",
            "after",
            action,
            json!({}),
        );
        let reply = node.pay_with_key(&recipient, "5", "invoice-1");
        let sent = reply.expect_status(200).json();
        assert_eq!(sent["state"], "broadcast", "{action}");
        assert_one_payment(&world, &node, &recipient, &sent);
    }
}

#[test]
fn a_broadcast_of_unknown_outcome_is_202_and_a_repeat_resolves_it() {
    // Executed, and not.
    for when in ["after", "before"] {
        let (world, node, recipient) = world();
        fault(&world.chain, "sendrawtransaction", when, "drop", json!({}));
        fault(&world.chain, "gettransaction", "before", "drop", json!({}));
        let reply = node.pay_with_key(&recipient, "5", "invoice-1");
        let sent = reply.expect_status(202).json();
        assert_eq!(sent["state"], "signed");
        assert_eq!(sent["transaction"]["status"], "pending");
        let again = node
            .pay_with_key(&recipient, "5", "invoice-1")
            .expect_status(202)
            .json();
        assert_eq!(again["txid"], sent["txid"]);
        assert_one_payment(&world, &node, &recipient, &sent);
    }
}

#[test]
fn a_broadcast_that_never_arrived_is_sent_again_by_the_next_payment() {
    let (world, node, recipient) = world();
    let once = json!({"times": 1});
    fault(&world.chain, "sendrawtransaction", "before", "drop", once);
    let lost = node.pay(&recipient, "5").expect_status(202).json();
    assert!(world.chain.mempool().is_empty());
    node.pay(&recipient, "7").expect_status(200);
    let mempool = world.chain.mempool();
    assert_eq!(mempool.len(), 2);
    assert!(mempool.contains(&lost["txid"].as_str().unwrap().to_owned()));
    assert!(node.history().iter().all(|row| row["status"] == "pending"));
    assert_eq!(world.books().payments("broadcast"), 2);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn history_resolves_a_payment_whose_outcome_was_unknown() {
    let (world, node, recipient) = world();
    fault(
        &world.chain,
        "sendrawtransaction",
        "after",
        "drop",
        json!({}),
    );
    fault(&world.chain, "gettransaction", "before", "drop", json!({}));
    node.pay(&recipient, "5").expect_status(202);
    world.chain.clear_faults();
    world.chain.mine(1);
    assert_eq!(node.history()[0]["status"], "confirmed");
    assert_eq!(world.books().payments("confirmed"), 1);
}

#[test]
fn a_refusal_of_what_is_in_the_mempool_is_success() {
    for (code, message) in [(-25, "Missing inputs"), (-26, "258: txn-mempool-conflict")] {
        let (world, node, recipient) = world();
        let refusal = json!({"code": code, "message": message});
        fault(
            &world.chain,
            "sendrawtransaction",
            "after",
            "error",
            refusal,
        );
        let reply = node.pay_with_key(&recipient, "5", "invoice-1");
        let sent = reply.expect_status(200).json();
        assert_eq!(sent["state"], "broadcast");
        assert_one_payment(&world, &node, &recipient, &sent);
    }
}

#[test]
fn a_refusal_that_cannot_be_checked_leaves_the_payment_open() {
    let (world, node, recipient) = world();
    let refusal = json!({"code": -25, "message": "Missing inputs"});
    fault(
        &world.chain,
        "sendrawtransaction",
        "after",
        "error",
        refusal,
    );
    fault(&world.chain, "gettransaction", "before", "drop", json!({}));
    let reply = node.pay_with_key(&recipient, "5", "invoice-1");
    let sent = reply.expect_status(202).json();
    assert_one_payment(&world, &node, &recipient, &sent);
}

#[test]
fn garbage_is_502() {
    let (world, node, recipient) = world();
    let bodies = ["<html>hello</html>", "{}", "[]", "[1,2,3]", "null", ""];
    for method in ["listunspent", "signrawtransaction"] {
        for body in bodies {
            let garbage = json!({"body": body});
            fault(&world.chain, method, "before", "garbage", garbage);
            node.pay(&recipient, "5")
                .expect_problem(502, "chain_bad_response");
            world.chain.clear_faults();
        }
    }
    assert_untouched_and_well_again(&world, &node, &recipient);
}

#[test]
fn a_huge_answer_is_cut_off_with_502() {
    let (world, node, recipient) = world();
    fault(&world.chain, "listunspent", "before", "huge", json!({}));
    for _ in 0..3 {
        node.pay(&recipient, "5")
            .expect_problem(502, "chain_bad_response");
    }
    assert_untouched_and_well_again(&world, &node, &recipient);
}

#[test]
fn an_answer_that_breaks_off_is_504() {
    let (world, node, recipient) = world();
    fault(&world.chain, "listunspent", "after", "truncate", json!({}));
    node.pay(&recipient, "5")
        .expect_problem(504, "chain_timeout");
    assert_untouched_and_well_again(&world, &node, &recipient);
}

#[test]
fn another_transaction_than_the_payment_is_never_sent() {
    let (world, node, recipient) = world();
    // A transaction that pays somebody else, signed by the node's own wallet.
    let foreign = world.chain.foreign_address();
    let txid = world.chain.faucet(&foreign, "1");
    let other = world.chain.rpc("gettransaction", json!([txid])).unwrap();
    let body = json!({"result": {"hex": other["hex"], "complete": true}, "error": null, "id": 0});
    world.chain.mine(1);
    let lie = json!({"body": body.to_string()});
    fault(&world.chain, "signrawtransaction", "before", "garbage", lie);
    node.pay(&recipient, "5")
        .expect_problem(502, "chain_bad_response");
    assert_untouched_and_well_again(&world, &node, &recipient);
}

#[test]
fn a_node_on_another_network_is_502() {
    let (world, node, recipient) = world();
    let hash = "00".repeat(32);
    let body = json!([
        {"result": {"chain": "main", "blocks": 1, "bestblockhash": hash}, "error": null, "id": 0},
        {"result": {"version": 1, "blocks": 1, "connections": 1, "paytxfee": 0, "relayfee": 0},
            "error": null, "id": 1},
        {"result": [], "error": null, "id": 2},
    ]);
    let wrong = json!({"body": body.to_string()});
    fault(&world.chain, "listunspent", "before", "garbage", wrong);
    let problem = node
        .pay(&recipient, "5")
        .expect_problem(502, "chain_bad_response");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("another network"), "{detail}");
    node.get("/wallet/node_001/balance")
        .expect_problem(502, "chain_bad_response");
    assert_untouched_and_well_again(&world, &node, &recipient);
}

#[test]
fn wrong_credentials_are_503_and_told_to_nobody() {
    let chain = Chain::start();
    let secret = "not-the-chains-password";
    let options = HostOptions::default().variable("rpc_password", secret);
    let host = Host::start(&chain, options);
    let node = Node::new(&host, "node_001");
    node.register().expect_status(201);
    let replies = [
        node.create_wallet("my_wallet"),
        tests::get(&format!("{}/wallet/health", host.url())),
    ];
    for reply in &replies {
        assert_eq!(reply.status, 503, "{}", reply.text());
    }
    replies[0].clone().expect_problem(503, "chain_unreachable");
    let encoded = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{}:{secret}", chain.user()),
    );
    let told = replies
        .map(|reply| format!("{reply:?}{}", reply.text()))
        .join("\n")
        + &host.log();
    assert!(told.contains("RPC user or password refused"), "{told}");
    for hidden in [secret, encoded.as_str()] {
        assert!(!told.contains(hidden), "{told}");
    }
}

#[test]
fn a_full_work_queue_is_waited_for() {
    let (world, node, recipient) = world();
    let full = json!({"status": 500, "body": "Work queue depth exceeded", "times": 3});
    for method in ["listunspent", "signrawtransaction", "sendrawtransaction"] {
        fault(&world.chain, method, "before", "garbage", full.clone());
    }
    node.pay(&recipient, "5").expect_status(200);
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_work_queue_that_stays_full_is_503_and_gives_the_coins_back() {
    let (world, node, recipient) = world();
    for method in ["listunspent", "signrawtransaction", "sendrawtransaction"] {
        let full = json!({"status": 500, "body": "Work queue depth exceeded"});
        fault(&world.chain, method, "before", "garbage", full);
        node.pay(&recipient, "5")
            .expect_problem(503, "chain_unreachable");
        world.chain.clear_faults();
    }
    assert_untouched_and_well_again(&world, &node, &recipient);
}
