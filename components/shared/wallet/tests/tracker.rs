//! The tracker, on a real SQLite file and a chain in memory: what comes in, what goes out, what is
//! undone, and what happens when it is killed at any of its calls.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod world;

use duxnet_units::{OutPoint, Txid};
use duxnet_wallet::{WalletError, send};
use world::{LONG, Trouble, World, at_every_step, order_to};

const STRANGER: &str = "mw4EkRZtxSnWRgS3uLTYdttjD5k1nrF26h";
const FLOP: u64 = 100_000_000;
const COIN: u64 = 100 * FLOP;
/// One input, two outputs.
const FEE: u64 = 226_000;

fn pay(value: u64, key: &str) -> send::Order {
    order_to(STRANGER, value, Some(key))
}

fn history(world: &World, node: &str) -> Vec<String> {
    world.lines(&format!(
        "SELECT transaction_type, status, amount, block_height FROM transactions AS t
         JOIN wallets AS w ON w.id = t.wallet_id WHERE w.node_id = '{node}' ORDER BY t.id"
    ))
}

fn payments(world: &World) -> String {
    world.line("SELECT state FROM payments ORDER BY id")
}

fn events(world: &World, node: &str) -> Vec<String> {
    world.lines(&format!(
        "SELECT type FROM events AS e JOIN wallets AS w ON w.id = e.wallet_id
         WHERE w.node_id = '{node}' AND type <> 'balance.changed' ORDER BY e.sequence"
    ))
}

fn txid_of_payment(world: &World) -> String {
    world.line("SELECT txid FROM payments ORDER BY id DESC LIMIT 1")
}

/// The only coin that a wallet can spend.
fn coin_of(world: &World, node: &str) -> OutPoint {
    let line = world.line(&format!(
        "SELECT txid, vout FROM outputs AS o JOIN wallets AS w ON w.id = o.wallet_id
         WHERE w.node_id = '{node}' AND spendable > 0"
    ));
    let (txid, vout) = line.split_once(' ').unwrap();
    OutPoint {
        txid: Txid::parse(txid).unwrap(),
        vout: vout.parse().unwrap(),
    }
}

#[test]
fn a_deposit_is_seen_then_deep_enough_then_spendable() {
    let mut world = World::empty();
    world.policy.confirmations_required = 3;
    let address = world.create_wallet("node_001");
    world.tick();
    world.node.borrow_mut().deposit(&address, COIN);
    world.tick();
    assert_eq!(world.balance("node_001"), [0, 0, COIN, 0]);
    for height in 3..5 {
        world.node.borrow_mut().mine();
        world.tick();
        assert_eq!(world.balance("node_001"), [0, 0, COIN, 0]);
        assert_eq!(
            history(&world, "node_001"),
            [format!("receive pending {COIN} 3")],
            "{height}"
        );
    }
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(world.balance("node_001"), [COIN, COIN, 0, 0]);
    assert_eq!(
        history(&world, "node_001"),
        [format!("receive confirmed {COIN} 3")]
    );
    assert_eq!(
        events(&world, "node_001"),
        ["wallet.created", "receive.seen", "receive.confirmed"]
    );
    world.assert_recount("after");
}

#[test]
fn every_movement_says_why_and_they_add_up() {
    let world = World::with_coins(&[COIN]);
    world.send(&pay(10 * FLOP, "a")).unwrap();
    let change = 90 * FLOP - FEE;
    assert_eq!(world.balance("node_001"), [change, 0, 0, 0]);
    assert_eq!(
        world.lines("SELECT reason, amount FROM movements ORDER BY id"),
        [
            format!("receive {COIN}"),
            format!("payment -{}", 10 * FLOP),
            format!("fee -{FEE}"),
            format!("change -{change}"),
            format!("change {change}"),
        ]
    );
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(world.balance("node_001"), [change, change, 0, 0]);
    assert_eq!(payments(&world), "confirmed");
    world.assert_books("confirmed");
}

#[test]
fn a_payment_between_two_of_our_wallets_is_in_both_histories() {
    let world = World::with_coins(&[COIN]);
    let other = world.create_wallet("node_002");
    world.send(&order_to(&other, 10 * FLOP, Some("a"))).unwrap();
    assert_eq!(world.balance("node_002"), [0, 0, 10 * FLOP, 0]);
    world.tick();
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(world.balance("node_002"), [10 * FLOP, 10 * FLOP, 0, 0]);
    assert_eq!(
        history(&world, "node_002"),
        [format!("receive confirmed {} 4", 10 * FLOP)]
    );
    assert_eq!(
        history(&world, "node_001"),
        [
            format!("receive confirmed {COIN} 3"),
            format!("send confirmed {} 4", 10 * FLOP)
        ]
    );
    world.assert_books("both");
}

#[test]
fn a_payment_to_oneself_costs_the_fee_only() {
    let world = World::empty();
    let own = world.create_wallet("node_001");
    world.node.borrow_mut().deposit(&own, COIN);
    world.node.borrow_mut().mine();
    world.tick();
    world.send(&order_to(&own, 10 * FLOP, Some("a"))).unwrap();
    assert_eq!(world.balance("node_001"), [COIN - FEE, 0, 0, 0]);
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(world.balance("node_001"), [COIN - FEE, COIN - FEE, 0, 0]);
    assert_eq!(history(&world, "node_001").len(), 3);
    world.assert_books("self");
}

#[test]
fn a_coin_spent_behind_our_back_leaves_the_balance_and_is_history() {
    let world = World::with_coins(&[COIN]);
    let coin = coin_of(&world, "node_001");
    world
        .node
        .borrow_mut()
        .transaction(vec![coin], &[(STRANGER, COIN - FEE)]);
    world.tick();
    assert_eq!(world.balance("node_001"), [0, 0, 0, 0]);
    assert_eq!(
        history(&world, "node_001")[1],
        format!("send pending {COIN} -")
    );
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(
        history(&world, "node_001")[1],
        format!("send confirmed {COIN} 4")
    );
    assert!(events(&world, "node_001").contains(&"coins.spent_elsewhere".to_owned()));
    assert!(matches!(
        world.send(&pay(FLOP, "a")),
        Err(WalletError::InsufficientBalance { .. })
    ));
    world.assert_recount("after");
}

#[test]
fn a_reorganisation_of_any_depth_is_undone_and_the_payment_confirms_again() {
    for depth in [1, 6, 10] {
        for payment_is_in_the_new_branch in [true, false] {
            let context = format!("depth {depth}, {payment_is_in_the_new_branch}");
            let world = World::with_coins(&[COIN]);
            let sent = world.send(&pay(10 * FLOP, "a")).unwrap();
            for _ in 0..depth {
                world.node.borrow_mut().mine();
            }
            world.tick();
            assert_eq!(payments(&world), "confirmed", "{context}");
            world.node.borrow_mut().undo(depth);
            if payment_is_in_the_new_branch {
                world.node.borrow_mut().mine();
                world.node.borrow_mut().mine_empty(depth as u32);
            } else {
                world.node.borrow_mut().mine_empty(depth as u32 + 1);
            }
            world.tick();
            let expected = if payment_is_in_the_new_branch {
                "confirmed"
            } else {
                "broadcast"
            };
            assert_eq!(payments(&world), expected, "{context}");
            assert!(
                events(&world, "node_001").contains(&"payment.reorganised".to_owned()),
                "{context}"
            );
            world.assert_books(&context);
            world.node.borrow_mut().mine();
            world.tick();
            assert_eq!(payments(&world), "confirmed", "{context}");
            assert_eq!(
                txid_of_payment(&world),
                sent.transaction.as_ref().unwrap().txid,
                "{context}"
            );
            world.assert_books(&context);
        }
    }
}

#[test]
fn a_receive_that_a_reorganisation_drops_leaves_the_balance_but_not_the_history() {
    let world = World::with_coins(&[COIN]);
    world.node.borrow_mut().undo(1);
    world.node.borrow_mut().forget_mempool();
    world.node.borrow_mut().mine_empty(2);
    world.tick();
    assert_eq!(world.balance("node_001"), [0, 0, 0, 0]);
    assert_eq!(
        history(&world, "node_001"),
        [format!("receive pending {COIN} -")]
    );
    assert!(events(&world, "node_001").contains(&"receive.reorganised".to_owned()));
    world.assert_recount("dropped");
}

#[test]
fn a_receive_that_is_double_spent_fails_only_when_the_other_is_deep_enough() {
    let mut world = World::empty();
    world.policy.confirmations_required = 3;
    let address = world.create_wallet("node_001");
    world.tick();
    let txid = world.node.borrow_mut().deposit(&address, COIN);
    world.tick();
    let inputs = world.node.borrow().find(txid.as_str()).inputs;
    world
        .node
        .borrow_mut()
        .transaction(inputs, &[(STRANGER, COIN)]);
    for _ in 0..2 {
        world.node.borrow_mut().mine();
        world.clock.advance(LONG);
        world.tick();
        assert_eq!(world.balance("node_001"), [0, 0, 0, 0]);
        assert_eq!(
            history(&world, "node_001"),
            [format!("receive pending {COIN} -")]
        );
    }
    world.node.borrow_mut().mine();
    world.clock.advance(LONG);
    world.tick();
    assert_eq!(
        history(&world, "node_001"),
        [format!("receive failed {COIN} -")]
    );
    assert_eq!(events(&world, "node_001").last().unwrap(), "receive.failed");
    world.assert_recount("failed");
}

/// A payment of 10 FLOP whose coin another transaction takes.
fn double_spent(world: &World) {
    let coin = coin_of(world, "node_001");
    world.send(&pay(10 * FLOP, "a")).unwrap();
    world
        .node
        .borrow_mut()
        .transaction(vec![coin], &[(STRANGER, COIN - FEE)]);
    world.tick();
}

#[test]
fn a_payment_whose_coin_was_spent_elsewhere_fails_only_when_that_is_deep_enough() {
    let mut world = World::with_coins(&[COIN]);
    world.policy.confirmations_required = 3;
    world.policy.max_transactions_per_window = 1;
    double_spent(&world);
    for _ in 0..2 {
        world.node.borrow_mut().mine();
        world.clock.advance(LONG);
        world.tick();
        assert_eq!(payments(&world), "broadcast");
        world.assert_recount("not yet");
    }
    assert!(matches!(
        world.send(&pay(FLOP, "b")),
        Err(WalletError::RateLimited { .. })
    ));
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(payments(&world), "failed");
    assert_eq!(world.balance("node_001"), [0, 0, 0, 0]);
    world.assert_recount("failed");
    // The quota is back, and the key is the failed payment's for good.
    assert!(matches!(
        world.send(&pay(FLOP, "b")),
        Err(WalletError::InsufficientBalance { .. })
    ));
    assert_eq!(
        world.send(&pay(10 * FLOP, "a")),
        Err(WalletError::PaymentFailed)
    );
}

#[test]
fn a_failed_payment_that_a_deeper_reorganisation_brings_back_is_alive_again() {
    let world = World::with_coins(&[COIN]);
    double_spent(&world);
    let txid = txid_of_payment(&world);
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(payments(&world), "failed");
    let payment = world.node.borrow().known(&txid);
    world.node.borrow_mut().undo(1);
    world.node.borrow_mut().forget_mempool();
    world.node.borrow_mut().put_back(payment);
    world.node.borrow_mut().mine();
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(payments(&world), "confirmed");
    let change = 90 * FLOP - FEE;
    assert_eq!(world.balance("node_001"), [change, change, 0, 0]);
    world.assert_books("back");
}

#[test]
fn a_payment_under_another_txid_is_still_the_payment() {
    let world = World::with_coins(&[COIN]);
    world.send(&pay(10 * FLOP, "a")).unwrap();
    let old = txid_of_payment(&world);
    let new = world.node.borrow_mut().malleate(&old);
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(payments(&world), "confirmed");
    assert_eq!(txid_of_payment(&world), new.as_str());
    let change = 90 * FLOP - FEE;
    assert_eq!(world.balance("node_001"), [change, change, 0, 0]);
    assert_eq!(
        history(&world, "node_001")[1],
        format!("send confirmed {} 4", 10 * FLOP)
    );
    world.assert_recount("malleated");
    // The change is spendable under its new name.
    world.send(&pay(FLOP, "b")).unwrap();
}

#[test]
fn a_payment_that_the_mempool_lost_is_sent_again_until_it_confirms() {
    let world = World::with_coins(&[COIN]);
    world.send(&pay(10 * FLOP, "a")).unwrap();
    world.tick();
    world.node.borrow_mut().forget_mempool();
    world.tick();
    world.assert_recount("lost");
    world.clock.advance(LONG);
    assert_eq!(world.tick().resent, 1);
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(payments(&world), "confirmed");
    assert_eq!(world.node.borrow().paid_to(STRANGER), 10 * FLOP);
}

#[test]
fn a_payment_of_unknown_outcome_resolves_without_anyone_asking() {
    for trouble in [Trouble::LostBefore, Trouble::LostAfter] {
        let world = World::with_coins(&[COIN]);
        world.node.borrow_mut().trouble = trouble;
        world.send(&pay(10 * FLOP, "a")).unwrap();
        world.node.borrow_mut().trouble = Trouble::None;
        world.clock.advance(LONG);
        world.tick();
        world.node.borrow_mut().mine();
        world.tick();
        assert_eq!(payments(&world), "confirmed", "{trouble:?}");
        assert_eq!(
            world.node.borrow().paid_to(STRANGER),
            10 * FLOP,
            "{trouble:?}"
        );
        world.assert_books("resolved");
    }
}

#[test]
fn a_payment_that_the_node_never_took_gives_its_coins_back_in_the_end() {
    let world = World::with_coins(&[COIN]);
    world.node.borrow_mut().trouble = Trouble::LostBefore;
    world.send(&pay(10 * FLOP, "a")).unwrap();
    world.node.borrow_mut().trouble = Trouble::Refused;
    world.clock.advance(LONG);
    world.tick();
    assert_eq!(payments(&world), "signed");
    assert_eq!(world.balance("node_001"), [0, COIN, 0, COIN]);
    world.clock.advance(601);
    world.tick();
    assert_eq!(payments(&world), "failed");
    assert_eq!(world.balance("node_001"), [COIN, COIN, 0, 0]);
    world.assert_books("given back");
}

#[test]
fn a_reservation_that_nobody_signed_is_undone_without_a_request() {
    let world = World::with_coins(&[COIN]);
    let mut step = 0;
    // The first step at which the reservation stands.
    while world.line("SELECT COUNT(*) FROM payments") == "0" {
        world
            .interrupted(step, &pay(10 * FLOP, "a"), false, |_| {})
            .unwrap();
        step += 1;
    }
    assert_eq!(world.balance("node_001"), [0, COIN, 0, COIN]);
    world.clock.advance(LONG);
    world.tick();
    assert_eq!(payments(&world), "failed");
    assert_eq!(world.balance("node_001"), [COIN, COIN, 0, 0]);
}

#[test]
fn a_coinbase_waits_for_its_maturity_and_an_orphaned_one_is_gone() {
    let world = World::empty();
    let address = world.create_wallet("node_001");
    world.tick();
    world.node.borrow_mut().mine_to(&address, COIN);
    for _ in 0..6 {
        world.tick();
        assert_eq!(world.balance("node_001"), [0, 0, COIN, 0]);
        world.node.borrow_mut().mine();
    }
    world.tick();
    assert_eq!(world.balance("node_001"), [COIN, COIN, 0, 0]);
    world.node.borrow_mut().undo(7);
    world.node.borrow_mut().mine_empty(8);
    world.tick();
    assert_eq!(world.balance("node_001"), [0, 0, 0, 0]);
    assert_eq!(
        history(&world, "node_001"),
        [format!("receive failed {COIN} -")]
    );
    world.assert_recount("orphaned");
}

#[test]
fn one_tracker_at_a_time_and_a_dead_one_holds_nobody_up_for_long() {
    let world = World::with_coins(&[COIN]);
    assert!(world.interrupted_tick(3, false, |_| {}));
    assert!(world.tick().is_busy);
    world.clock.advance(11);
    assert!(world.tick().is_level);
}

#[test]
fn a_clock_that_jumps_either_way_stops_nothing() {
    let world = World::with_coins(&[COIN]);
    world.send(&pay(10 * FLOP, "a")).unwrap();
    for jump in [1_000_000, -2_000_000, 1_500_000, -400_000] {
        world.clock.advance(jump);
        assert!(world.interrupted_tick(3, false, |_| {}));
        world.clock.advance(-jump);
        world.clock.advance(11);
        let report = world.tick();
        assert!(!report.is_busy && report.is_level, "jump {jump}");
        world.assert_recount("jump");
    }
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(payments(&world), "confirmed");
}

#[test]
fn a_service_that_was_off_for_long_catches_up_page_by_page() {
    let world = World::with_coins(&[COIN]);
    let address = world.line("SELECT address FROM wallets");
    for _ in 0..3_000 {
        world.node.borrow_mut().mine();
    }
    world.node.borrow_mut().deposit(&address, COIN);
    world.node.borrow_mut().mine();
    let report = world.tick();
    assert!(report.is_level);
    assert_eq!(report.blocks, 3_001);
    assert_eq!(world.balance("node_001"), [2 * COIN, 2 * COIN, 0, 0]);
}

#[test]
fn a_ledger_without_blocks_begins_before_its_first_address() {
    let world = World::empty();
    let address = world.create_wallet("node_001");
    world.node.borrow_mut().deposit(&address, COIN);
    for _ in 0..500 {
        world.node.borrow_mut().mine();
    }
    world.tick();
    assert_eq!(world.balance("node_001"), [COIN, COIN, 0, 0]);
}

#[test]
fn a_drift_stops_payments_until_an_operator_has_looked() {
    let world = World::with_coins(&[COIN, 2 * COIN]);
    world.clock.advance(2);
    world.tick();
    assert_eq!(world.line("SELECT watchdog_drift FROM chain_state"), "0");
    world.node.borrow_mut().hides = COIN;
    world.clock.advance(2);
    world.tick();
    assert_eq!(
        world.line("SELECT watchdog_drift FROM chain_state"),
        COIN.to_string()
    );
    let refused = world.send(&pay(FLOP, "a"));
    assert!(
        matches!(&refused, Err(WalletError::SendsStopped(reason)) if reason.contains("100")),
        "{refused:?}"
    );
    world.node.borrow_mut().hides = 0;
    world.clock.advance(2);
    world.tick();
    assert!(matches!(
        world.send(&pay(FLOP, "a")),
        Err(WalletError::SendsStopped(_))
    ));
    assert!(world.resume_sends());
    assert!(!world.resume_sends());
    world.send(&pay(FLOP, "a")).unwrap();
}

#[test]
fn a_drift_within_the_limit_is_noted_and_stops_nothing() {
    let mut world = World::with_coins(&[COIN, 2 * COIN]);
    world.rules.watchdog_max_drift = world::florins(COIN);
    world.node.borrow_mut().hides = COIN;
    world.clock.advance(2);
    world.tick();
    assert_eq!(
        world.line("SELECT watchdog_drift FROM chain_state"),
        COIN.to_string()
    );
    world.send(&pay(FLOP, "a")).unwrap();
}

#[test]
fn the_nodes_wallet_is_backed_up_on_schedule_under_a_new_name_each_time() {
    let mut world = World::empty();
    world.rules.backup_interval = 60;
    world.tick();
    world.tick();
    assert_eq!(world.node.borrow().backups.len(), 1);
    world.clock.advance(60);
    world.tick();
    let backups = world.node.borrow().backups.clone();
    assert_eq!(backups.len(), 2);
    assert_ne!(backups[0], backups[1]);
}

#[test]
fn the_pool_fills_and_wallets_take_from_it_without_the_node() {
    let world = World::empty();
    for _ in 0..6 {
        world.tick();
    }
    assert_eq!(world.line("SELECT COUNT(*) FROM address_pool"), "50");
    world.node.borrow_mut().is_down = true;
    let one = world.create_wallet("node_001");
    let two = world.create_wallet("node_002");
    assert_ne!(one, two);
    assert_eq!(world.line("SELECT COUNT(*) FROM address_pool"), "48");
}

#[test]
fn a_backup_that_is_put_back_hands_no_address_out_twice() {
    let world = World::empty();
    world.tick();
    assert_eq!(world.line("SELECT COUNT(*) FROM address_pool"), "10");
    let restored = world.copy();
    let first = world.create_wallet("node_001");
    restored.clock.advance(30);
    assert_ne!(restored.create_wallet("node_002"), first);
    restored.tick();
    for node in ["node_003", "node_004"] {
        assert_ne!(restored.create_wallet(node), first);
    }
}

#[test]
fn transactions_with_thousands_of_our_outputs_are_taken_in_piece_by_piece() {
    let world = World::with_coins(&[COIN]);
    let address = world.line("SELECT address FROM wallets");
    let outputs = vec![(address.as_str(), FLOP / 100); 2_900];
    for index in 0..3 {
        let input = OutPoint {
            txid: Txid::from_wire_bytes([0x77; 32]),
            vout: index,
        };
        world.node.borrow_mut().transaction(vec![input], &outputs);
    }
    let sum = 3 * 2_900 * FLOP / 100;
    world.tick();
    assert_eq!(world.balance("node_001"), [COIN, COIN, sum, 0]);
    world.node.borrow_mut().mine();
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(world.balance("node_001"), [COIN + sum, COIN + sum, 0, 0]);
    world.assert_recount("thousands");
}

#[test]
fn an_immature_coinbase_is_no_drift() {
    let world = World::with_coins(&[COIN]);
    let address = world.line("SELECT address FROM wallets");
    world.node.borrow_mut().mine_to(&address, COIN);
    world.clock.advance(2);
    world.tick();
    assert_eq!(world.line("SELECT watchdog_drift FROM chain_state"), "0");
    world.send(&pay(FLOP, "a")).unwrap();
}

#[test]
fn what_was_paid_from_a_deposit_that_vanished_leaves_the_balance_until_it_is_back() {
    let world = World::with_coins(&[COIN]);
    let deposit = world.line("SELECT txid FROM outputs");
    world.send(&pay(10 * FLOP, "a")).unwrap();
    world.node.borrow_mut().undo(1);
    world.node.borrow_mut().forget_mempool();
    world.node.borrow_mut().mine_empty(2);
    world.tick();
    world.tick();
    assert_eq!(world.balance("node_001"), [0, 0, 0, 0]);
    assert_eq!(payments(&world), "broadcast");
    world.assert_recount("vanished");

    let deposit = world.node.borrow().known(&deposit);
    world.node.borrow_mut().put_back(deposit);
    world.node.borrow_mut().mine();
    world.clock.advance(LONG);
    world.tick();
    world.node.borrow_mut().mine();
    world.tick();
    let change = 90 * FLOP - FEE;
    assert_eq!(payments(&world), "confirmed");
    assert_eq!(world.balance("node_001"), [change, change, 0, 0]);
    world.assert_books("back");
}

#[test]
fn a_payment_from_the_change_of_a_dead_one_is_dead_too() {
    let world = World::with_coins(&[COIN]);
    let coin = coin_of(&world, "node_001");
    world.send(&pay(10 * FLOP, "a")).unwrap();
    world.send(&pay(20 * FLOP, "b")).unwrap();
    world.tick();
    let child = world.line("SELECT txid FROM payments WHERE amount = 2000000000");
    world.node.borrow_mut().forget(&child);
    world
        .node
        .borrow_mut()
        .transaction(vec![coin], &[(STRANGER, COIN - FEE)]);
    world.node.borrow_mut().mine();
    world.node.borrow_mut().mine();
    world.tick();
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(payments(&world), "failed; failed");
    assert_eq!(world.balance("node_001"), [0, 0, 0, 0]);
    world.assert_recount("both dead");
}

// What the tracker meets, one thing after another. Each leaves the world so that a tick is due.
const STORY: [fn(&World); 12] = [
    |world| {
        let address = world.line("SELECT address FROM wallets WHERE node_id = 'node_001'");
        world.node.borrow_mut().deposit(&address, COIN);
    },
    |world| world.node.borrow_mut().mine(),
    |world| {
        let other = world.line("SELECT address FROM wallets WHERE node_id = 'node_002'");
        world.send(&order_to(&other, 10 * FLOP, Some("a"))).unwrap();
    },
    |world| world.node.borrow_mut().mine(),
    |world| {
        world.node.borrow_mut().undo(1);
        world.node.borrow_mut().mine_empty(2);
    },
    |world| world.node.borrow_mut().mine(),
    |world| {
        let coin = coin_of(world, "node_001");
        world
            .node
            .borrow_mut()
            .transaction(vec![coin], &[(STRANGER, 80 * FLOP)]);
    },
    |world| world.node.borrow_mut().mine(),
    |world| {
        let address = world.line("SELECT address FROM wallets WHERE node_id = 'node_001'");
        let mut node = world.node.borrow_mut();
        node.deposit(&address, 3 * FLOP);
        node.mine_to(&address, 5 * FLOP);
    },
    |world| {
        world.send_from("node_002", &pay(FLOP, "b")).unwrap();
        world.node.borrow_mut().forget_mempool();
        world.clock.advance(LONG);
    },
    |world| world.node.borrow_mut().mine(),
    |world| {
        world.node.borrow_mut().undo(2);
        world.node.borrow_mut().mine_empty(3);
    },
];

/// A ledger at the first chapter.
fn prologue() -> World {
    let world = World::empty();
    world.create_wallet("node_001");
    world.create_wallet("node_002");
    world.tick();
    world
}

/// Two clean runs: the first may only find that something has to be sent again.
fn settle(world: &World) {
    world.clock.advance(11);
    world.tick();
    world.clock.advance(11);
    assert!(world.tick().is_level);
}

/// Everything that clients see, without ids and hours, which differ from run to run.
fn outcome(world: &World) -> Vec<String> {
    world.assert_books("outcome");
    let mut lines = vec![
        format!("{:?}", world.balance("node_001")),
        format!("{:?}", world.balance("node_002")),
        payments(world),
    ];
    for node in ["node_001", "node_002"] {
        let mut rows = history(world, node);
        rows.sort();
        lines.extend(rows);
        let mut told = events(world, node);
        told.sort();
        lines.extend(told);
    }
    lines.extend(
        world.lines(
            "SELECT wallet_id, reason, SUM(amount) FROM movements GROUP BY 1, 2 ORDER BY 1, 2",
        ),
    );
    lines
}

#[test]
fn killed_at_any_call_of_any_chapter_the_story_ends_the_same() {
    let mut reference = Vec::new();
    let world = prologue();
    for chapter in STORY {
        chapter(&world);
        settle(&world);
        reference.push(outcome(&world));
    }
    for (number, chapter) in STORY.iter().enumerate() {
        // The story so far, once; each kill happens to a copy of it.
        let before = prologue();
        for earlier in &STORY[..number] {
            earlier(&before);
            settle(&before);
        }
        chapter(&before);
        for goes_on in [false, true] {
            at_every_step(10, |step| {
                let world = before.copy();
                let is_interrupted = world.interrupted_tick(step, goes_on, |world| {
                    // While it stands there, its lease ends and another does the whole work.
                    settle(world);
                });
                if !is_interrupted {
                    return false;
                }
                settle(&world);
                assert_eq!(
                    outcome(&world),
                    reference[number],
                    "chapter {number}, step {step}, goes on: {goes_on}"
                );
                true
            });
        }
    }
}
