//! A chain node that is down, slow, silent or mad: the answer says what is known, no more.
#![allow(clippy::unwrap_used, missing_docs)]

use duxnet_units::Network;
use serde_json::{Value, json};
use tests::{Chain, Host, HostOptions, Node, World, eventually, follow, tick};

const FLOP: u64 = 100_000_000;
/// Long enough for a test to see that a deadline holds, short enough to wait for.
const TIMEOUT_SECONDS: &str = "1";
/// Longer than that.
const SLOW_MILLISECONDS: u32 = 3_000;

/// A host that waits a second for the chain node, and looks at the chain for every balance.
fn options() -> HostOptions {
    HostOptions::default()
        .variable("rpc_timeout_seconds", TIMEOUT_SECONDS)
        .variable("balance_max_age", "0")
}

/// A wallet with one coin of 100 FLOP.
fn world() -> (World, Node, String) {
    let world = World::with(options());
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    (world, node, recipient)
}

/// The same, on a host whose ledger has never seen the chain.
fn unsynced() -> (World, Node, String) {
    let world = World::with(options().without_first_tick());
    let node = world.node_with_wallet("node_001");
    world.chain.faucet(&node.address(), "100");
    world.chain.mine(1);
    let recipient = world.chain.foreign_address();
    (world, node, recipient)
}

/// With trouble at what syncs, a balance of a ledger that has never seen the chain and the tracker
/// answer this problem, and nothing can be paid. Gives the balance's problem.
fn assert_no_sync(world: &World, node: &Node, recipient: &str, status: u16, code: &str) -> Value {
    let balance = node.get("/wallet/node_001/balance");
    assert!(balance.header("retry-after").is_some() || status == 502);
    let problem = balance.expect_problem(status, code);
    tick(world.host.url()).expect_problem(status, code);
    let refused = node.pay(recipient, "5");
    assert!(refused.header("retry-after").is_some());
    refused.expect_problem(503, "syncing");
    assert_eq!(world.books().count("SELECT COUNT(*) FROM payments"), 0);
    assert_eq!(node.get("/wallet/node_001/transactions").status, 200);
    problem
}

/// The trouble is over: the ledger gets level, and once it has seen the chain the same trouble keeps
/// nobody from reading it, nor from paying, since paying asks for nothing that it strikes.
fn assert_well_again_and_for_good(
    world: &World,
    node: &Node,
    recipient: &str,
    status: u16,
    trouble: impl Fn(&Chain),
) {
    world.chain.clear_faults();
    follow(world.host.url());
    assert_eq!(node.available(), 100 * FLOP);
    trouble(&world.chain);
    let balance = node.get("/wallet/node_001/balance").expect_status(200);
    assert_eq!(
        balance.json()["available_florins"],
        (100 * FLOP).to_string()
    );
    assert_eq!(balance.json()["as_of"]["height"], world.chain.height());
    assert_eq!(tick(world.host.url()).status, status);
    node.pay(recipient, "5").expect_status(200);
    world.chain.clear_faults();
    assert_eq!(world.chain.mempool().len(), 1);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

fn fault(chain: &Chain, method: &str, when: &str, action: &str, more: Value) {
    let mut fault = json!({"method": method, "when": when, "action": action});
    let more = more.as_object().unwrap().clone();
    fault.as_object_mut().unwrap().extend(more);
    chain.fault(fault);
}

/// No payment is left that was not undone, and none of them has a coin.
fn assert_nothing_taken(world: &World) {
    let books = world.books();
    for sql in [
        "SELECT COUNT(*) FROM payments WHERE state <> 'failed'",
        "SELECT COUNT(*) FROM payment_inputs",
        "SELECT COUNT(*) FROM outputs WHERE reserved_by IS NOT NULL",
    ] {
        assert_eq!(books.count(sql), 0, "{sql}");
    }
}

/// Nothing was paid, nothing is taken, and the next payment passes.
fn assert_untouched_and_well_again(world: &World, node: &Node, recipient: &str) {
    world.chain.clear_faults();
    let books = world.books();
    assert!(world.chain.mempool().is_empty());
    assert_nothing_taken(world);
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
    tick(world.host.url()).expect_problem(503, "chain_unreachable");
    assert_nothing_taken(&world);
    // What the ledger has can be read.
    let balance = node.get("/wallet/node_001/balance").expect_status(200);
    let balance = balance.json();
    assert_eq!(balance["available_florins"], (100 * FLOP).to_string());
    assert_eq!(balance["reserved_florins"], "0");
    assert!(balance["as_of"]["age_seconds"].is_u64(), "{balance}");
    assert_eq!(node.get("/wallet/node_001/transactions").status, 200);
}

#[test]
fn without_a_ledger_a_node_that_is_down_is_503() {
    let (mut world, node, recipient) = unsynced();
    world.chain.stop();
    assert_no_sync(&world, &node, &recipient, 503, "chain_unreachable");
    node.get("/wallet/node_001").expect_status(200);
}

#[test]
fn without_addresses_made_before_a_node_that_is_down_is_503() {
    let mut world = World::with(options().without_first_tick());
    let node = world.node_with_wallet("node_001");
    let other = world.node("node_002");
    world.chain.stop();
    let replies = [
        other.create_wallet("my_wallet"),
        node.post("/wallet/node_001/new-address", &json!({})),
    ];
    for reply in replies {
        assert!(reply.header("retry-after").is_some());
        reply.expect_problem(503, "chain_unreachable");
    }
    let books = world.books();
    assert_eq!(books.count("SELECT COUNT(*) FROM wallets"), 1);
    assert_eq!(books.addresses_of("node_001").len(), 1);
}

#[test]
fn addresses_made_before_are_given_out_while_the_node_is_down() {
    let mut world = World::start();
    let node = world.node("node_001");
    let books = world.books();
    let pool = books.texts("SELECT address FROM address_pool ORDER BY id");
    assert_eq!(pool.len(), 10, "one run of the tracker makes ten");
    world.chain.stop();
    node.create_wallet("my_wallet").expect_status(200);
    let another = || node.post("/wallet/node_001/new-address", &json!({}));
    for address in &pool[1..] {
        let made = another().expect_status(200).json();
        assert_eq!(made["new_address"], json!(address));
    }
    another().expect_problem(503, "chain_unreachable");
    assert_eq!(books.addresses_of("node_001"), pool, "each once");
    assert_eq!(books.count("SELECT COUNT(*) FROM address_pool"), 0);
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
    assert_nothing_taken(&world);
    node.get("/wallet/node_001/balance").expect_status(200);
    eventually("it pays again", || node.pay(&recipient, "5").status == 200);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_node_that_warms_up_is_503() {
    let (world, node, recipient) = world();
    let warming = json!({"code": -28, "message": "Loading block index..."});
    for method in ["signrawtransaction", "sendrawtransaction"] {
        fault(&world.chain, method, "before", "error", warming.clone());
        node.pay(&recipient, "5")
            .expect_problem(503, "chain_unreachable");
        world.chain.clear_faults();
    }
    // What was signed has failed in the history too, and will have no confirmations.
    let history = node.history();
    assert_eq!(history[0]["status"], "failed");
    assert_eq!(history[0].get("confirmations"), None);
    assert_untouched_and_well_again(&world, &node, &recipient);

    let (world, node, recipient) = unsynced();
    let trouble = |chain: &Chain| {
        fault(
            chain,
            "getblockchaininfo",
            "before",
            "error",
            warming.clone(),
        )
    };
    trouble(&world.chain);
    assert_no_sync(&world, &node, &recipient, 503, "chain_unreachable");
    assert_well_again_and_for_good(&world, &node, &recipient, 503, trouble);
}

#[test]
fn a_node_slower_than_the_deadline_is_504_for_a_sync() {
    let (world, node, recipient) = unsynced();
    let slow = json!({"milliseconds": SLOW_MILLISECONDS});
    let trouble =
        |chain: &Chain| fault(chain, "getblockchaininfo", "before", "delay", slow.clone());
    trouble(&world.chain);
    assert_no_sync(&world, &node, &recipient, 504, "chain_timeout");
    assert_well_again_and_for_good(&world, &node, &recipient, 504, trouble);
}

/// Of the two deadlines, the node's and that of a read, the read's is the shorter.
#[test]
fn a_balance_does_not_wait_for_the_node_longer_than_two_seconds() {
    let patient = options().variable("rpc_timeout_seconds", "20");
    let world = World::with(patient.without_first_tick());
    let node = world.node_with_wallet("node_001");
    fault(&world.chain, "*", "before", "hang", json!({}));
    let start = std::time::Instant::now();
    let reply = node.get("/wallet/node_001/balance");
    assert!(reply.header("retry-after").is_some());
    reply.expect_problem(503, "syncing");
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    world.chain.clear_faults();
    assert_eq!(node.available(), 0);
}

#[test]
fn a_signature_slower_than_the_deadline_is_504_and_gives_the_coins_back() {
    let (world, node, recipient) = world();
    let slow = json!({"milliseconds": SLOW_MILLISECONDS});
    fault(&world.chain, "signrawtransaction", "before", "delay", slow);
    let reply = node.pay(&recipient, "5");
    assert!(reply.header("retry-after").is_some());
    reply.expect_problem(504, "chain_timeout");
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
fn a_broadcast_that_never_arrived_is_sent_again_by_the_tracker() {
    let (world, node, recipient) = world();
    let once = json!({"times": 1});
    fault(&world.chain, "sendrawtransaction", "before", "drop", once);
    let lost = node.pay(&recipient, "5").expect_status(202).json();
    assert!(world.chain.mempool().is_empty());
    let report = tick(world.host.url()).expect_status(200).json();
    assert_eq!(report["resent"], 1, "{report}");
    assert_eq!(world.chain.mempool(), [lost["txid"].as_str().unwrap()]);
    node.pay(&recipient, "7").expect_status(200);
    assert_eq!(world.chain.mempool().len(), 2);
    let history = node.history();
    let sent = history
        .iter()
        .filter(|row| row["transaction_type"] == "send");
    assert!(sent.clone().all(|row| row["status"] == "pending"));
    assert_eq!(sent.count(), 2);
    assert_eq!(world.books().payments("broadcast"), 2);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn the_next_payment_leaves_a_broadcast_that_never_arrived_and_its_coins_alone() {
    let world = World::with(options());
    let node = world.funded_node("node_001", &["100", "50"]);
    let recipient = world.chain.foreign_address();
    let once = json!({"times": 1});
    fault(&world.chain, "sendrawtransaction", "before", "drop", once);
    let lost = node.pay(&recipient, "60").expect_status(202).json();
    let next = node.pay(&recipient, "40").expect_status(200).json();
    assert_eq!(world.chain.mempool(), [next["txid"].as_str().unwrap()]);
    assert_eq!(world.books().payments("signed"), 1);
    tick(world.host.url()).expect_status(200);
    let mempool = world.chain.mempool();
    assert_eq!(mempool.len(), 2);
    assert!(mempool.contains(&lost["txid"].as_str().unwrap().to_owned()));
    world
        .books()
        .assert_agree(&world.chain, "node_001", 150 * FLOP);
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
    const BODIES: [&str; 6] = ["<html>hello</html>", "{}", "[]", "[1,2,3]", "null", ""];
    let (world, node, recipient) = world();
    for body in BODIES {
        let garbage = json!({"body": body});
        fault(
            &world.chain,
            "signrawtransaction",
            "before",
            "garbage",
            garbage,
        );
        node.pay(&recipient, "5")
            .expect_problem(502, "chain_bad_response");
        world.chain.clear_faults();
    }
    assert_untouched_and_well_again(&world, &node, &recipient);

    let (world, node, recipient) = unsynced();
    for method in ["getblockchaininfo", "getblockhash", "getblock"] {
        for body in BODIES {
            let garbage = json!({"body": body});
            fault(&world.chain, method, "before", "garbage", garbage);
            assert_no_sync(&world, &node, &recipient, 502, "chain_bad_response");
            world.chain.clear_faults();
        }
    }
    let trouble = |chain: &Chain| fault(chain, "getinfo", "before", "garbage", json!({}));
    assert_well_again_and_for_good(&world, &node, &recipient, 502, trouble);
}

#[test]
fn a_huge_answer_is_cut_off_with_502() {
    let (world, node, recipient) = world();
    fault(
        &world.chain,
        "signrawtransaction",
        "before",
        "huge",
        json!({}),
    );
    for _ in 0..3 {
        node.pay(&recipient, "5")
            .expect_problem(502, "chain_bad_response");
    }
    assert_untouched_and_well_again(&world, &node, &recipient);

    let (world, node, recipient) = unsynced();
    for method in ["getrawmempool", "getblock"] {
        fault(&world.chain, method, "before", "huge", json!({}));
        assert_no_sync(&world, &node, &recipient, 502, "chain_bad_response");
        world.chain.clear_faults();
    }
    let trouble = |chain: &Chain| fault(chain, "getrawmempool", "before", "huge", json!({}));
    assert_well_again_and_for_good(&world, &node, &recipient, 502, trouble);
}

#[test]
fn an_answer_that_breaks_off_is_504() {
    let (world, node, recipient) = world();
    fault(
        &world.chain,
        "signrawtransaction",
        "after",
        "truncate",
        json!({}),
    );
    node.pay(&recipient, "5")
        .expect_problem(504, "chain_timeout");
    assert_untouched_and_well_again(&world, &node, &recipient);

    let (world, node, recipient) = unsynced();
    for method in ["getblockchaininfo", "getblock"] {
        fault(&world.chain, method, "after", "truncate", json!({}));
        assert_no_sync(&world, &node, &recipient, 504, "chain_timeout");
        world.chain.clear_faults();
    }
    let trouble = |chain: &Chain| fault(chain, "getinfo", "after", "truncate", json!({}));
    assert_well_again_and_for_good(&world, &node, &recipient, 504, trouble);
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
    let (world, node, recipient) = unsynced();
    let hash = "00".repeat(32);
    // The answer to the one round trip with which a sync begins.
    let body = json!([
        {"result": [], "error": null, "id": 0},
        {"result": {"chain": "main", "blocks": 1, "bestblockhash": hash}, "error": null, "id": 1},
        {"result": {"version": 1, "blocks": 1, "connections": 1, "paytxfee": 0, "relayfee": 0},
            "error": null, "id": 2},
    ]);
    let wrong = json!({"body": body.to_string()});
    let trouble = |chain: &Chain| {
        fault(
            chain,
            "getblockchaininfo",
            "before",
            "garbage",
            wrong.clone(),
        )
    };
    trouble(&world.chain);
    let problem = assert_no_sync(&world, &node, &recipient, 502, "chain_bad_response");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("another network"), "{detail}");
    assert_well_again_and_for_good(&world, &node, &recipient, 502, trouble);
}

/// The other way round: the settings have changed, the ledger is of the network before.
#[test]
fn a_ledger_of_another_network_pays_nothing() {
    let (world, node, recipient) = world();
    let elsewhere = options()
        .variable("network", "test")
        .folder(world.host.shared_folder());
    let host = Host::start(&world.chain, elsewhere);
    let node = node.at(&host);
    tick(host.url()).expect_problem(502, "chain_bad_response");
    for (recipient, status, code) in [
        (recipient.as_str(), 422, "invalid_address"),
        (
            "PsY2Q22xuFey1bueASLDUCrdjYM85yYMDr",
            502,
            "chain_bad_response",
        ),
    ] {
        let target = "/wallet/node_001/send";
        let body = json!({"recipient_address": recipient, "amount": "5"}).to_string();
        let mut signing = node.signing();
        signing.network = Network::Test;
        let headers = node.headers(&signing, "POST", target, body.as_bytes());
        let reply = node
            .try_send("POST", target, body.as_bytes(), &headers)
            .unwrap();
        reply.expect_problem(status, code);
    }
    assert_nothing_taken(&world);
    assert!(world.chain.mempool().is_empty());
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
    world.chain.mine(1);
    let full = json!({"status": 500, "body": "Work queue depth exceeded", "times": 3});
    let methods = [
        "getblockchaininfo",
        "getblock",
        "signrawtransaction",
        "sendrawtransaction",
    ];
    for method in methods {
        fault(&world.chain, method, "before", "garbage", full.clone());
    }
    let report = tick(world.host.url()).expect_status(200).json();
    assert_eq!(
        (&report["level"], &report["blocks"]),
        (&json!(true), &json!(1))
    );
    node.pay(&recipient, "5").expect_status(200);
    let faults = world.chain.faults();
    for (fault, method) in faults.as_array().unwrap().iter().zip(methods) {
        assert_eq!(
            (&fault["method"], &fault["hits"]),
            (&json!(method), &json!(3))
        );
    }
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_work_queue_that_stays_full_is_503_and_gives_the_coins_back() {
    let full = json!({"status": 500, "body": "Work queue depth exceeded"});
    let (world, node, recipient) = world();
    for method in ["signrawtransaction", "sendrawtransaction"] {
        fault(&world.chain, method, "before", "garbage", full.clone());
        node.pay(&recipient, "5")
            .expect_problem(503, "chain_unreachable");
        world.chain.clear_faults();
    }
    assert_untouched_and_well_again(&world, &node, &recipient);

    let (world, node, recipient) = unsynced();
    let trouble = |chain: &Chain| {
        fault(
            chain,
            "getblockchaininfo",
            "before",
            "garbage",
            full.clone(),
        )
    };
    trouble(&world.chain);
    assert_no_sync(&world, &node, &recipient, 503, "chain_unreachable");
    assert_well_again_and_for_good(&world, &node, &recipient, 503, trouble);
}
