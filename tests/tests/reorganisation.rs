//! Blocks that are taken back: payments and balances follow the chain.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{HostOptions, World, tick};

const FLOP: u64 = 100_000_000;

fn row(node: &tests::Node) -> Value {
    let mut payments = node.history();
    payments.retain(|row| row["transaction_type"] == "send");
    assert_eq!(payments.len(), 1, "one payment, one row");
    payments.remove(0)
}

#[test]
fn a_payment_that_is_reorganised_away_stays_one_payment() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let sent = node.pay_with_key(&recipient, "5", "invoice-1");
    let txid = sent.expect_status(200).json()["txid"].clone();
    world.chain.mine(1);
    assert_eq!(row(&node)["status"], "confirmed");
    let before = node.available();

    world.chain.reorganise(1);
    assert_eq!(world.chain.mempool(), [txid.as_str().unwrap()]);
    assert_eq!(node.available(), before, "the change is the wallet's own");
    let repeat = node.pay_with_key(&recipient, "5", "invoice-1");
    assert_eq!(repeat.expect_status(200).json()["txid"], txid);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);

    world.chain.mine(1);
    assert!(world.chain.mempool().is_empty());
    assert_eq!(
        (&row(&node)["status"], &row(&node)["txid"]),
        (&json!("confirmed"), &txid)
    );
    assert_eq!(node.available(), before);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_payment_without_enough_confirmations_counts_them_anew() {
    let world = World::with(HostOptions::default().variable("confirmations_required", "3"));
    let node = world.node_with_wallet("node_001");
    world.chain.faucet(&node.address(), "100");
    world.chain.mine(3);
    assert_eq!(node.available(), 100 * FLOP);
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "5").expect_status(200);
    world.chain.mine(2);
    assert_eq!(row(&node)["status"], "pending");
    assert_eq!(row(&node)["confirmations"], 2);
    world.chain.reorganise(2);
    assert_eq!(row(&node)["status"], "pending");
    assert_eq!(row(&node)["confirmations"], 0);
    world.chain.mine(3);
    assert_eq!(row(&node)["status"], "confirmed");
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_deposit_that_is_reorganised_away_is_pending_again_and_cannot_be_spent() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    world.chain.reorganise(1);
    let balance = node.balance();
    assert_eq!(balance["available_florins"], "0");
    assert_eq!(balance["pending_florins"], (100 * FLOP).to_string());
    node.pay(&recipient, "5")
        .expect_problem(422, "insufficient_balance");
    world.chain.mine(1);
    assert_eq!(node.available(), 100 * FLOP);
    node.pay(&recipient, "5").expect_status(200);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_payment_and_its_deposit_that_are_reorganised_away_come_back_together() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "5").expect_status(200);
    world.chain.mine(1);
    let before = node.available();
    world.chain.reorganise(2);
    assert_eq!(world.chain.mempool().len(), 2);
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
    world.chain.mine(1);
    assert_eq!(node.available(), before);
    assert_eq!(row(&node)["status"], "confirmed");
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_payment_that_the_new_branch_forgot_keeps_its_coins_and_is_sent_again_at_once() {
    // A read of the balance looks at the chain; only the tracker sends anything.
    let world = World::with(HostOptions::default().variable("balance_max_age", "0"));
    if world.chain.is_real() {
        println!("skipped: a real daemon gives every transaction back to the mempool");
        return;
    }
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let sent = node.pay_with_key(&recipient, "5", "invoice-1");
    let txid = sent.expect_status(200).json()["txid"].clone();
    world.chain.mine(1);
    assert_eq!(row(&node)["status"], "confirmed");
    let reorg = json!({"depth": 1, "drop": true});
    world.chain.rpc("devnet_reorg", reorg).unwrap();
    assert!(world.chain.mempool().is_empty());
    // The bytes still exist somewhere and can confirm any time: their coin is not spent again. Of
    // its change nothing can be paid yet.
    let balance = node.get("/wallet/node_001/balance").json();
    let change: u64 = balance["available_florins"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(change < 95 * FLOP, "{balance}");
    assert_eq!(balance["as_of"]["height"], world.chain.height());
    node.pay(&recipient, "97")
        .expect_problem(422, "insufficient_balance");
    node.pay(&recipient, "7").expect_problem(503, "coins_busy");
    assert!(world.chain.mempool().is_empty());
    let books = world.books();
    assert_eq!(
        books.texts("SELECT state FROM payments"),
        ["broadcast", "failed"]
    );
    let repeat = node.pay_with_key(&recipient, "5", "invoice-1");
    assert_eq!(repeat.expect_status(200).json()["txid"], txid);
    assert_eq!(books.count("SELECT COUNT(*) FROM payments"), 2);

    let report = tick(world.host.url()).expect_status(200).json();
    assert_eq!(report["resent"], 1, "{report}");
    assert_eq!(world.chain.mempool(), [txid.as_str().unwrap()]);
    assert_eq!(node.available(), change);
    assert_eq!(row(&node)["txid"], txid);
    assert_eq!(row(&node)["status"], "pending");
    node.pay(&recipient, "7").expect_status(200);
    world.chain.mine(1);
    books.assert_agree(&world.chain, "node_001", 100 * FLOP);
    assert_eq!(books.payments("broadcast"), 2);
    node.follow();
    assert_eq!(books.payments("confirmed"), 2);
}
