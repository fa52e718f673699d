//! Many payments at once, and at the edges: the books and the chain agree to the florin.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use tests::{Host, HostOptions, Node, Reply, World, in_parallel};

const FLOP: u64 = 100_000_000;
/// Fee of a payment with one input and change, and without change (FACTS 3).
const FEE_WITH_CHANGE: u64 = 226_000;
const FEE_WITHOUT_CHANGE: u64 = 192_000;
/// Unconfirmed transactions in a row that a node takes (FACTS 8).
const LONGEST_CHAIN: usize = 25;

fn paid(replies: &[Reply]) -> usize {
    replies.iter().filter(|reply| reply.status == 200).count()
}

/// 200, or one of the refusals that shortage has; those must say so properly.
fn assert_paid_or_short(replies: &[Reply]) {
    for reply in replies {
        match reply.status {
            200 => assert_eq!(reply.json()["state"], "broadcast"),
            422 => drop(reply.clone().expect_problem(422, "insufficient_balance")),
            _ => drop(reply.clone().expect_problem(503, "coins_busy")),
        }
    }
}

fn json_florins(reply: &Reply, member: &str) -> u64 {
    reply.json()[member].as_str().unwrap().parse().unwrap()
}

fn with_window(payments: &str) -> HostOptions {
    HostOptions::default().variable("max_transactions_per_window", payments)
}

#[test]
fn sends_at_once_beyond_the_balance_never_spend_a_coin_twice_with_one_coin() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let replies = in_parallel(64, |_| node.pay(&recipient, "5"));
    assert_paid_or_short(&replies);
    // 19 and their fees fit into 100 FLOP, 20 do not.
    assert!((1..=19).contains(&paid(&replies)), "{}", paid(&replies));
    let books = world.books();
    assert_eq!(books.payments("broadcast") as usize, paid(&replies));
    assert_eq!(books.payments("reserved") + books.payments("signed"), 0);
    assert_eq!(world.chain.mempool().len(), paid(&replies));
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
    assert_eq!(
        node.available(),
        100 * FLOP - paid(&replies) as u64 * (5 * FLOP + FEE_WITH_CHANGE)
    );
}

#[test]
fn sends_at_once_beyond_the_balance_never_spend_a_coin_twice_with_many_coins() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10"; 24]);
    let recipient = world.chain.foreign_address();
    let replies = in_parallel(64, |_| node.pay(&recipient, "6"));
    assert_paid_or_short(&replies);
    // Each coin pays once alone; what is left of them pays together.
    assert!((24..40).contains(&paid(&replies)), "{}", paid(&replies));
    let books = world.books();
    assert_eq!(books.payments("broadcast") as usize, paid(&replies));
    books.assert_agree(&world.chain, "node_001", 240 * FLOP);
    world.chain.mine(1);
    assert!(world.chain.mempool().is_empty(), "all of them can confirm");
    books.assert_agree(&world.chain, "node_001", 240 * FLOP);
}

#[test]
fn exactly_the_limit_of_simultaneous_sends_passes() {
    let world = World::with(with_window("10"));
    let node = world.funded_node("node_001", &["50"; 12]);
    let recipient = world.chain.foreign_address();
    let replies = in_parallel(40, |_| node.pay(&recipient, "1"));
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        let problem = reply.clone().expect_problem(429, "rate_limit_exceeded");
        assert_eq!(
            problem["message"],
            "Rate limit exceeded. Maximum 10 transactions per 3600 seconds"
        );
        let seconds: u32 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3600).contains(&seconds));
    }
    assert_eq!(paid(&replies), 10);
    assert_eq!(world.chain.mempool().len(), 10);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 600 * FLOP);
}

#[test]
fn the_limit_holds_across_two_hosts_on_one_database() {
    let world = World::with(with_window("10"));
    let second = Host::start(
        &world.chain,
        with_window("10").folder(world.host.shared_folder()),
    );
    let node = world.funded_node("node_001", &["50"; 12]);
    let nodes = [node.clone(), node.at(&second)];
    let recipient = world.chain.foreign_address();
    let replies = in_parallel(40, |index| nodes[index % 2].pay(&recipient, "1"));
    assert_eq!(paid(&replies), 10);
    assert!(
        replies
            .iter()
            .all(|reply| [200, 429].contains(&reply.status))
    );
    world
        .books()
        .assert_agree(&world.chain, "node_001", 600 * FLOP);
}

#[test]
fn two_hosts_on_one_database_never_spend_a_coin_twice() {
    let world = World::start();
    let second = Host::start(
        &world.chain,
        HostOptions::default().folder(world.host.shared_folder()),
    );
    let node = world.funded_node("node_001", &["10"; 6]);
    let nodes = [node.clone(), node.at(&second)];
    let recipient = world.chain.foreign_address();
    let replies = in_parallel(24, |index| nodes[index % 2].pay(&recipient, "4"));
    assert_paid_or_short(&replies);
    assert!(paid(&replies) >= 6);
    let books = world.books();
    assert_eq!(books.payments("broadcast") as usize, paid(&replies));
    books.assert_agree(&world.chain, "node_001", 60 * FLOP);
}

/// The first request takes the only coin and the whole quota: what refuses strangers must not
/// refuse a repeat.
#[test]
fn the_same_idempotency_key_at_once_pays_once_and_answers_all() {
    let world = World::with(with_window("1"));
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let replies = in_parallel(20, |_| node.pay_with_key(&recipient, "60", "invoice-1"));
    let txids: BTreeSet<String> = replies
        .iter()
        .map(|reply| reply.clone().expect_status(200).json()["txid"].to_string())
        .collect();
    assert_eq!(txids.len(), 1);
    let first = replies
        .iter()
        .filter(|reply| reply.header("idempotency-replayed").is_none());
    assert_eq!(first.count(), 1, "all but one are replays");
    let books = world.books();
    assert_eq!(books.count("SELECT COUNT(*) FROM payments"), 1);
    assert_eq!(world.chain.mempool().len(), 1);
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn an_idempotency_key_is_good_for_one_content_only() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    node.pay_with_key(&recipient, "1", "invoice-1")
        .expect_status(200);
    node.pay_with_key(&recipient, "2", "invoice-1")
        .expect_problem(422, "idempotency_key_reused");
    assert_eq!(world.chain.mempool().len(), 1);
}

#[test]
fn two_wallets_pay_at_once_from_their_own_coins() {
    let world = World::start();
    let nodes = [
        world.funded_node("node_001", &["10"; 8]),
        world.funded_node("node_002", &["20"; 8]),
    ];
    let recipient = world.chain.foreign_address();
    for reply in in_parallel(16, |index| nodes[index % 2].pay(&recipient, "3")) {
        reply.expect_status(200);
    }
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 80 * FLOP);
    books.assert_agree(&world.chain, "node_002", 160 * FLOP);
}

#[test]
fn a_payment_between_own_wallets_moves_the_money_once() {
    let world = World::start();
    let payer = world.funded_node("node_001", &["50"]);
    let payee = world.node_with_wallet("node_002");
    payer.pay(&payee.address(), "20").expect_status(200);
    assert_eq!(payee.balance()["pending_florins"], (20 * FLOP).to_string());
    payee
        .pay(&payer.address(), "1")
        .expect_problem(422, "insufficient_balance");
    world.chain.mine(1);
    assert_eq!(payee.available(), 20 * FLOP);
    assert_eq!(payer.available(), 30 * FLOP - FEE_WITH_CHANGE);
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 50 * FLOP);
    books.assert_agree(&world.chain, "node_002", 20 * FLOP);
}

#[test]
fn a_payment_to_oneself_costs_the_fee() {
    let world = World::start();
    let node = world.funded_node("node_001", &["50"]);
    node.pay(&node.address(), "20").expect_status(200);
    assert_eq!(node.available(), 50 * FLOP - FEE_WITH_CHANGE);
    world.chain.mine(1);
    assert_eq!(node.available(), 50 * FLOP - FEE_WITH_CHANGE);
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", (50 + 20) * FLOP);
}

#[test]
fn change_below_the_dust_limit_goes_to_the_fee() {
    let world = World::start();
    let recipient = world.chain.foreign_address();
    let pay = |id: &str, flop: &str| -> (Node, u64) {
        let node = world.funded_node(id, &["1"]);
        let reply = node.pay(&recipient, flop).expect_status(200);
        (node, json_florins(&reply, "fee_florins"))
    };
    let (node, fee) = pay("node_001", "0.98774");
    assert_eq!((fee, node.available()), (FEE_WITH_CHANGE, 1_000_000));
    let (node, fee) = pay("node_002", "0.98774001");
    assert_eq!((fee, node.available()), (FEE_WITH_CHANGE + 999_999, 0));
    let (node, fee) = pay("node_003", "0.998080");
    assert_eq!((fee, node.available()), (FEE_WITHOUT_CHANGE, 0));
    let node = world.funded_node("node_004", &["1"]);
    node.pay(&recipient, "0.99808001")
        .expect_problem(422, "insufficient_balance");
    let books = world.books();
    for id in ["node_001", "node_002", "node_003", "node_004"] {
        books.assert_agree(&world.chain, id, FLOP);
    }
}

#[test]
fn amounts_below_dust_and_above_the_limit_are_refused() {
    let world = World::with(HostOptions::default().variable("max_transaction_amount", "10.0"));
    let node = world.funded_node("node_001", &["50"]);
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "0.00999999")
        .expect_problem(422, "invalid_amount");
    let problem = node
        .pay(&recipient, "10.00000001")
        .expect_problem(422, "amount_above_limit");
    assert_eq!(
        problem["message"],
        "Amount exceeds maximum of 10.0 FLOP per transaction"
    );
    node.pay(&recipient, "0.01").expect_status(200);
    node.pay(&recipient, "10.0").expect_status(200);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 50 * FLOP);
}

#[test]
fn a_failed_payment_gives_coins_quota_and_key_back() {
    let world = World::with(with_window("1"));
    let node = world.funded_node("node_001", &["10"]);
    let recipient = world.chain.foreign_address();
    for (method, code, status, problem) in [
        ("signrawtransaction", -1, 502, "chain_rejected"),
        ("sendrawtransaction", -26, 502, "chain_rejected"),
        ("sendrawtransaction", -28, 503, "chain_unreachable"),
    ] {
        world.chain.fault(serde_json::json!({
            "method": method, "when": "before", "action": "error",
            "code": code, "message": "64: dust", "times": 1,
        }));
        node.pay_with_key(&recipient, "6", "invoice-1")
            .expect_problem(status, problem);
        assert_eq!(node.available(), 10 * FLOP);
    }
    world.chain.clear_faults();
    assert_eq!(world.books().payments("failed"), 3);
    node.pay_with_key(&recipient, "6", "invoice-1")
        .expect_status(200);
    node.pay(&recipient, "1")
        .expect_problem(429, "rate_limit_exceeded");
    assert_eq!(world.chain.mempool().len(), 1);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 10 * FLOP);
}

#[test]
fn more_unconfirmed_payments_in_a_row_than_a_node_takes_wait_for_a_block() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    for _ in 0..LONGEST_CHAIN {
        node.pay(&recipient, "1").expect_status(200);
    }
    let before = node.available();
    let reply = node.pay_with_key(&recipient, "1", "one-too-many");
    assert!(reply.header("retry-after").is_some());
    reply.expect_problem(503, "coins_busy");
    assert_eq!(node.available(), before);
    assert_eq!(world.chain.mempool().len(), LONGEST_CHAIN);
    world.chain.mine(1);
    node.pay_with_key(&recipient, "1", "one-too-many")
        .expect_status(200);
    assert_eq!(world.chain.mempool().len(), 1);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}
