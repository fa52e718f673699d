//! The host killed after each step of a send: nothing is lost, nothing is paid twice.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use tests::{HostOptions, Node, World, in_parallel, tick};

const FLOP: u64 = 100_000_000;
const COIN: u64 = 100 * FLOP;

/// A world whose host was killed in the middle of a payment of 5 FLOP with the key `invoice-1`, and
/// started again; nobody works on the payment any more.
struct Crashed {
    world: World,
    node: Node,
    recipient: String,
}

fn hang(method: &str, when: &str) -> Value {
    json!({"method": method, "when": when, "action": "hang", "times": 1})
}

/// A world whose tracker runs only when a test says so, not after a restart either: what a request
/// left is still there.
fn world() -> World {
    World::with(HostOptions::default().without_first_tick())
}

fn killed_at(fault: Value) -> Crashed {
    let mut world = world();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    world.chain.fault(fault);
    std::thread::scope(|scope| {
        let payment = scope.spawn(|| node.try_pay(&recipient, "5", Some("invoice-1")));
        world.chain.wait_for_fault();
        world.host.kill();
        assert!(payment.join().unwrap().is_err(), "the answer is lost");
    });
    world.chain.clear_faults();
    world.host.restart();
    world.books().expire_leases();
    let node = node.at(&world.host);
    Crashed {
        world,
        node,
        recipient,
    }
}

impl Crashed {
    fn stored(&self, column: &str) -> Vec<String> {
        let sql = format!("SELECT COALESCE({column}, '') FROM payments ORDER BY id");
        self.world.books().texts(&sql)
    }

    fn repeat(&self) -> Value {
        self.node
            .pay_with_key(&self.recipient, "5", "invoice-1")
            .expect_status(200)
            .json()
    }

    /// What the wallet sent, as its history has it; beside that there is only what it received.
    fn sent(&self) -> Vec<Value> {
        let (sent, received): (Vec<_>, Vec<_>) = self
            .node
            .history()
            .into_iter()
            .partition(|row| row["transaction_type"] == "send");
        assert_eq!(received.len(), 1);
        assert_eq!(received[0]["amount_florins"], COIN.to_string());
        assert_eq!(received[0]["status"], "confirmed");
        sent
    }

    /// Exactly these payments (FLOP) are in the mempool, in the history and, after a block, in the
    /// chain.
    fn assert_paid(&self, flop: &[u64]) {
        let world = &self.world;
        let listed: BTreeSet<String> = self
            .sent()
            .iter()
            .filter(|row| row["status"] == "pending")
            .map(|row| row["txid"].as_str().unwrap().to_owned())
            .collect();
        let mempool: BTreeSet<String> = world.chain.mempool().into_iter().collect();
        assert_eq!(listed, mempool);
        assert_eq!(mempool.len(), flop.len());
        let books = world.books();
        books.assert_agree(&world.chain, "node_001", COIN);
        let fees = "SELECT COALESCE(SUM(fee), 0) FROM payments WHERE state <> 'failed'";
        let fees = books.count(fees) as u64;
        let left = COIN - flop.iter().sum::<u64>() * FLOP - fees;
        assert_eq!(self.node.available(), left);
        world.chain.mine(1);
        let sent = self.sent();
        let confirmed = sent.iter().filter(|row| row["status"] == "confirmed");
        assert_eq!(confirmed.count(), flop.len());
        assert_eq!(self.node.available(), left);
        books.assert_agree(&world.chain, "node_001", COIN);
    }

    /// What every crash point must stand: a repeat ends in one payment, and again in the same.
    fn assert_a_repeat_pays_once(&self) {
        let bytes = self.stored("raw_transaction");
        let first = self.repeat();
        if !bytes[0].is_empty() {
            assert_eq!(self.stored("raw_transaction"), bytes, "the same bytes");
        }
        assert_eq!(self.repeat()["txid"], first["txid"]);
        assert_eq!(self.stored("state"), ["broadcast"]);
        self.assert_paid(&[5]);
    }
}

#[test]
fn killed_after_the_reservation_a_repeat_pays_once() {
    let crashed = killed_at(hang("signrawtransaction", "before"));
    assert_eq!(crashed.stored("state"), ["reserved"]);
    crashed.assert_a_repeat_pays_once();
}

#[test]
fn killed_after_the_signature_a_repeat_pays_once() {
    let crashed = killed_at(hang("signrawtransaction", "after"));
    assert_eq!(crashed.stored("state"), ["reserved"]);
    crashed.assert_a_repeat_pays_once();
}

#[test]
fn killed_after_storing_the_bytes_a_repeat_sends_the_same() {
    let crashed = killed_at(hang("sendrawtransaction", "before"));
    assert_eq!(crashed.stored("state"), ["signed"]);
    assert!(crashed.world.chain.mempool().is_empty());
    crashed.assert_a_repeat_pays_once();
}

#[test]
fn killed_after_the_broadcast_a_repeat_finds_it_done() {
    let crashed = killed_at(hang("sendrawtransaction", "after"));
    assert_eq!(crashed.stored("state"), ["signed"]);
    assert_eq!(crashed.world.chain.mempool(), crashed.stored("txid"));
    crashed.assert_a_repeat_pays_once();
}

#[test]
fn killed_after_the_broadcast_and_a_block_a_repeat_finds_it_done() {
    let crashed = killed_at(hang("sendrawtransaction", "after"));
    crashed.world.chain.mine(1);
    let txid = crashed.stored("txid");
    assert_eq!(crashed.repeat()["txid"], txid[0].as_str());
    assert!(crashed.world.chain.mempool().is_empty());
    assert_eq!(crashed.sent()[0]["status"], "confirmed");
    let books = crashed.world.books();
    books.assert_agree(&crashed.world.chain, "node_001", COIN);
}

#[test]
fn killed_after_the_answer_a_repeat_gets_the_same_answer() {
    let mut world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let first = node.pay_with_key(&recipient, "5", "invoice-1");
    let txid = first.expect_status(200).json()["txid"].clone();
    world.host.kill();
    world.host.restart();
    let crashed = Crashed {
        node: node.at(&world.host),
        world,
        recipient,
    };
    assert_eq!(crashed.repeat()["txid"], txid);
    crashed.assert_a_repeat_pays_once();
}

#[test]
fn without_a_repeat_the_next_payment_gives_an_unsigned_reservation_back() {
    for when in ["before", "after"] {
        let crashed = killed_at(hang("signrawtransaction", when));
        let balance = crashed.node.get("/wallet/node_001/balance").json();
        assert_eq!(balance["available_florins"], "0", "the coin is still taken");
        assert_eq!(balance["reserved_florins"], COIN.to_string());
        // More than would be left, had the reservation been paid.
        crashed
            .node
            .pay(&crashed.recipient, "97")
            .expect_status(200);
        assert_eq!(crashed.stored("state"), ["failed", "broadcast"]);
        crashed.assert_paid(&[97]);
    }
}

#[test]
fn without_a_repeat_the_tracker_gives_an_unsigned_reservation_back() {
    for when in ["before", "after"] {
        let crashed = killed_at(hang("signrawtransaction", when));
        tick(crashed.world.host.url()).expect_status(200);
        assert_eq!(crashed.stored("state"), ["failed"]);
        assert_eq!(crashed.node.available(), COIN);
        crashed.assert_paid(&[]);
        // Its key is free again.
        crashed.repeat();
        assert_eq!(crashed.stored("state"), ["failed", "broadcast"]);
        crashed.assert_paid(&[5]);
    }
}

#[test]
fn without_a_repeat_the_tracker_ends_a_signed_one() {
    for when in ["before", "after"] {
        let crashed = killed_at(hang("sendrawtransaction", when));
        let bytes = crashed.stored("raw_transaction");
        tick(crashed.world.host.url()).expect_status(200);
        assert_eq!(crashed.stored("state"), ["broadcast"]);
        assert_eq!(crashed.stored("raw_transaction"), bytes, "the same bytes");
        crashed.node.pay(&crashed.recipient, "7").expect_status(200);
        crashed.assert_paid(&[5, 7]);
    }
}

#[test]
fn the_next_payment_waits_for_the_change_of_a_signed_one_that_the_tracker_ends() {
    let crashed = killed_at(hang("sendrawtransaction", "before"));
    let bytes = crashed.stored("raw_transaction");
    let replies = in_parallel(2, |index| match index {
        0 => crashed.node.pay(&crashed.recipient, "7"),
        _ => tick(crashed.world.host.url()),
    });
    for reply in replies {
        reply.expect_status(200);
    }
    assert_eq!(crashed.stored("state"), ["broadcast", "broadcast"]);
    assert_eq!(crashed.stored("raw_transaction")[0], bytes[0]);
    crashed.assert_paid(&[5, 7]);
}

/// While somebody may still be at it, nobody else is.
#[test]
fn the_tracker_leaves_a_payment_alone_while_its_lease_runs() {
    for method in ["signrawtransaction", "sendrawtransaction"] {
        let mut world = world();
        let node = world.funded_node("node_001", &["100"]);
        let recipient = world.chain.foreign_address();
        world.chain.fault(hang(method, "before"));
        std::thread::scope(|scope| {
            scope.spawn(|| node.try_pay(&recipient, "5", None));
            world.chain.wait_for_fault();
            world.host.kill();
        });
        world.chain.clear_faults();
        world.host.restart();
        let before = world.books().texts("SELECT state FROM payments");
        let report = tick(world.host.url()).expect_status(200).json();
        assert_eq!(report["resent"], 0, "{report}");
        assert_eq!(world.books().texts("SELECT state FROM payments"), before);
        assert!(world.chain.mempool().is_empty());
    }
}

#[test]
fn while_the_lease_runs_other_coins_still_pay() {
    let mut world = World::start();
    let node = world.funded_node("node_001", &["100", "50"]);
    let recipient = world.chain.foreign_address();
    world.chain.fault(hang("signrawtransaction", "before"));
    std::thread::scope(|scope| {
        scope.spawn(|| node.try_pay(&recipient, "60", None));
        world.chain.wait_for_fault();
        world.host.kill();
    });
    world.chain.clear_faults();
    world.host.restart();
    let node = node.at(&world.host);
    assert_eq!(node.balance()["reserved_florins"], COIN.to_string());
    node.pay(&recipient, "40").expect_status(200);
    let books = world.books();
    assert_eq!(
        (books.payments("reserved"), books.payments("broadcast")),
        (1, 1)
    );
    books.assert_agree(&world.chain, "node_001", 150 * FLOP);
}

#[test]
fn killed_in_the_middle_of_many_sends_every_one_is_paid_once_or_not_at_all() {
    let mut world = World::start();
    let node = world.funded_node("node_001", &["10"; 12]);
    let recipient = world.chain.foreign_address();
    let pay_all = |node: &Node| {
        tests::in_parallel(12, |index| {
            node.try_pay(&recipient, "4", Some(&format!("invoice-{index}")))
        })
    };
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| pay_all(&node));
        tests::eventually("some are through", || world.chain.mempool().len() >= 3);
        world.host.kill();
        sends.join().unwrap();
    });
    world.host.restart();
    world.books().expire_leases();
    let node = node.at(&world.host);
    // A repeat that finds its reservation just given back by another is told to come again.
    let mut txids = BTreeSet::new();
    tests::eventually("every repeat is answered", || {
        let replies = pay_all(&node).into_iter().map(Result::unwrap);
        let (busy, done): (Vec<_>, Vec<_>) = replies.partition(|reply| reply.status == 409);
        txids.extend(
            done.into_iter()
                .map(|reply| reply.expect_status(200).json()["txid"].to_string()),
        );
        busy.is_empty()
    });
    assert_eq!(txids.len(), 12);
    assert_eq!(world.chain.mempool().len(), 12);
    let books = world.books();
    assert_eq!(books.payments("broadcast"), 12);
    books.assert_agree(&world.chain, "node_001", 120 * FLOP);
}

/// A request that is slower than its lease learns that its broadcast was refused, while another
/// has sent the same bytes and does not know what came of them: the refusal proves nothing then.
#[test]
fn a_slow_request_does_not_fail_a_payment_that_another_took_over() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    let fault = |when: &str, action: &str, more: Value| {
        let mut fault =
            json!({"method": "sendrawtransaction", "when": when, "action": action, "times": 1});
        fault
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        world.chain.fault(fault);
    };
    let pay = || node.pay_with_key(&recipient, "5", "invoice-1");
    fault("before", "delay", json!({"milliseconds": 4_000}));
    std::thread::scope(|scope| {
        let slow = scope.spawn(pay);
        world.chain.wait_for_fault();
        world.books().expire_leases();
        fault("before", "drop", json!({}));
        pay().expect_status(202);
        fault(
            "before",
            "error",
            json!({"code": -26, "message": "66: mempool full"}),
        );
        slow.join().unwrap().expect_status(202);
    });
    let books = world.books();
    assert_eq!((books.payments("signed"), books.payments("failed")), (1, 0));
    pay().expect_status(200);
    assert_eq!(world.chain.mempool().len(), 1);
    books.assert_agree(&world.chain, "node_001", COIN);
}

/// The other way round: the reservation is given back while a slow request still signs.
#[test]
fn a_slow_request_does_not_send_what_it_signed_after_its_reservation_was_given_back() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    world.chain.fault(json!({
        "method": "signrawtransaction", "when": "before", "action": "delay", "milliseconds": 3_000, "times": 1,
    }));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| node.pay_with_key(&recipient, "5", "invoice-1"));
        world.chain.wait_for_fault();
        world.books().expire_leases();
        node.pay(&recipient, "97").expect_status(200);
        slow.join().unwrap().expect_problem(409, "in_progress");
    });
    let books = world.books();
    assert_eq!(books.payments("broadcast"), 1);
    assert_eq!(world.chain.mempool().len(), 1);
    books.assert_agree(&world.chain, "node_001", COIN);
}
