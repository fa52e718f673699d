//! Payments that a rule holds: until an operator decides nothing is signed, and what is decided happens
//! once, whoever is killed or comes at the same time.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod world;

use duxnet_store::{Action, Decided, PaymentState};
use duxnet_wallet::{WalletError, send};
use world::{LONG, Trouble, World, at_every_step, order_to};

const RECIPIENT: &str = "mw4EkRZtxSnWRgS3uLTYdttjD5k1nrF26h";
const FLOP: u64 = 100_000_000;
const COIN: u64 = 100 * FLOP;
const FEE: u64 = 226_000;

fn order(key: &str) -> send::Order {
    order_to(RECIPIENT, 10 * FLOP, Some(key))
}

fn paid(world: &World) -> u64 {
    world.node.borrow().paid_to(RECIPIENT)
}

fn state(world: &World) -> String {
    world.line("SELECT stage FROM payments ORDER BY id DESC LIMIT 1")
}

fn rule(world: &World, sets: &str) {
    world.rows(&format!("UPDATE monitor_rules SET {sets}"));
}

/// A wallet each of whose payments is held.
fn suspicious(coins: &[u64]) -> World {
    let world = World::with_coins(coins);
    rule(
        &world,
        "action = 'hold', threshold_count = 1 WHERE name = 'burst_of_sends'",
    );
    world
}

/// A payment that is held.
fn held() -> World {
    let world = suspicious(&[COIN]);
    let sent = world.send(&order("key")).unwrap();
    assert_eq!(sent.payment.state, PaymentState::Held);
    world
}

/// A payment that an operator has released.
fn released() -> World {
    let world = held();
    assert_eq!(world.decide(Action::Release), Decided::Done);
    world
}

#[test]
fn a_held_payment_keeps_its_coins_and_is_never_signed() {
    let world = held();
    assert_eq!(world.balance("node_001"), [0, COIN, 0, COIN]);
    let first = world.send(&order("key")).unwrap();
    assert!(first.replayed && first.transaction.is_none());
    for _ in 0..3 {
        world.clock.advance(3 * LONG);
        world.tick();
        assert_eq!(world.run().made, 0);
        // Another payment ends what was abandoned; this is not.
        let other = world.send(&order("other"));
        assert!(
            matches!(other, Err(WalletError::InsufficientBalance { .. })),
            "{other:?}"
        );
    }
    let repeat = world.send(&order("key")).unwrap();
    assert_eq!(repeat.payment.state, PaymentState::Held);
    assert_eq!(repeat.payment.payment_id, first.payment.payment_id);
    assert_eq!(
        world.line("SELECT COUNT(*) FROM payments WHERE txid IS NOT NULL"),
        "0"
    );
    assert_eq!(paid(&world), 0);
    assert_eq!(
        world.line("SELECT type FROM events WHERE type LIKE 'payment%'"),
        "payment.held"
    );
    world.assert_books("held");
}

#[test]
fn another_request_with_the_key_of_a_held_payment_is_refused() {
    let world = held();
    let other = world.send(&order_to(RECIPIENT, FLOP, Some("key")));
    assert_eq!(other, Err(WalletError::KeyReused));
}

#[test]
fn a_released_payment_is_made_by_the_run_and_a_repeat_says_so() {
    let world = released();
    assert_eq!(world.run().made, 1);
    assert_eq!(world.run().made, 0);
    assert_eq!(paid(&world), 10 * FLOP);
    let repeat = world.send(&order("key")).unwrap();
    assert!(repeat.replayed);
    assert_eq!(repeat.payment.state, PaymentState::Broadcast);
    assert_eq!(paid(&world), 10 * FLOP);
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(state(&world), "confirmed");
    assert_eq!(
        world.lines("SELECT type FROM events WHERE type LIKE 'payment%' ORDER BY id"),
        [
            "payment.held",
            "payment.released",
            "payment.sent",
            "payment.confirmed"
        ]
    );
    world.assert_books("released");
}

#[test]
fn a_released_payment_is_made_by_a_repeat_before_any_run() {
    let world = released();
    let repeat = world.send(&order("key")).unwrap();
    assert_eq!(repeat.payment.state, PaymentState::Broadcast);
    assert!(repeat.replayed && repeat.transaction.is_some());
    assert_eq!(world.run().made, 0);
    assert_eq!(paid(&world), 10 * FLOP);
    world.assert_books("released");
}

#[test]
fn a_refused_payment_gives_its_coins_back_and_its_key_never_pays() {
    let world = held();
    assert_eq!(world.decide(Action::Refuse), Decided::Done);
    assert_eq!(world.balance("node_001"), [COIN, COIN, 0, 0]);
    rule(&world, "enabled = 0");
    for _ in 0..2 {
        assert_eq!(
            world.send(&order("key")),
            Err(WalletError::PaymentRefused("we know them".into()))
        );
        world.clock.advance(LONG);
        world.tick();
        world.run();
    }
    assert_eq!(paid(&world), 0);
    // The wallet itself is as good as before.
    world.send(&order("another")).unwrap();
    assert_eq!(paid(&world), 10 * FLOP);
    assert_eq!(
        world.line("SELECT failure FROM payments ORDER BY id LIMIT 1"),
        "refused"
    );
    assert_eq!(
        world.line("SELECT type FROM events WHERE type = 'payment.refused'"),
        "payment.refused"
    );
    world.assert_books("refused");
}

#[test]
fn decisions_exclude_each_other_and_the_same_one_twice_is_one() {
    let world = held();
    assert_eq!(world.decide(Action::Release), Decided::Done);
    assert_eq!(world.decide(Action::Release), Decided::Already);
    // Not yet signed: it can still be refused, and then not be released again.
    assert_eq!(world.decide(Action::Refuse), Decided::Done);
    assert_eq!(world.decide(Action::Refuse), Decided::Already);
    assert_eq!(world.decide(Action::Release), Decided::Impossible);
    assert_eq!(state(&world), "failed");
    assert_eq!(world.run().made, 0);
    assert_eq!(paid(&world), 0);

    let world = held();
    world.decide(Action::Refuse);
    assert_eq!(world.decide(Action::Release), Decided::Impossible);

    let world = released();
    world.run();
    assert_eq!(world.decide(Action::Refuse), Decided::Impossible);
    assert_eq!(state(&world), "broadcast");
    assert_eq!(
        world.line("SELECT action, operator, reason FROM decisions"),
        "release alice we know them"
    );
    world.assert_books("decided");
}

#[test]
fn a_send_that_is_held_and_killed_at_any_step_is_held_once() {
    at_every_step(10, |step| {
        let world = suspicious(&[COIN]);
        let Some(_) = world.interrupted(step, &order("key"), false, |_| {}) else {
            return false;
        };
        world.clock.advance(LONG);
        let sent = world
            .send(&order("key"))
            .unwrap_or_else(|e| panic!("step {step}: {e}"));
        assert_eq!(sent.payment.state, PaymentState::Held, "step {step}");
        let payments = world.line("SELECT COUNT(*) FROM payments WHERE state <> 'failed'");
        assert_eq!(payments, "1", "step {step}");
        assert_eq!(paid(&world), 0, "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn a_run_killed_at_any_step_and_run_again_pays_once() {
    at_every_step(12, |step| {
        let world = released();
        if !world.interrupted_run(step, false, |_| {}) {
            return false;
        }
        world.clock.advance(LONG);
        world.run();
        world.tick();
        assert_eq!(paid(&world), 10 * FLOP, "step {step}");
        assert_eq!(state(&world), "broadcast", "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn a_repeat_killed_at_any_step_and_then_a_run_pays_once() {
    at_every_step(12, |step| {
        let world = released();
        let Some(_) = world.interrupted(step, &order("key"), false, |_| {}) else {
            return false;
        };
        world.clock.advance(LONG);
        world.run();
        world.tick();
        assert_eq!(paid(&world), 10 * FLOP, "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn two_runs_at_once_pay_once() {
    for lease_ends in [false, true] {
        at_every_step(12, |step| {
            let world = released();
            let context = format!("step {step}, lease ends: {lease_ends}");
            let done = world.interrupted_run(step, true, |world| {
                if lease_ends {
                    world.clock.advance(LONG);
                }
                world.run();
            });
            assert_eq!(paid(&world), 10 * FLOP, "{context}");
            assert_eq!(state(&world), "broadcast", "{context}");
            world.assert_books(&context);
            done
        });
    }
}

#[test]
fn a_repeat_at_any_step_of_a_run_and_a_run_at_any_step_of_a_repeat_pay_once() {
    for lease_ends in [false, true] {
        at_every_step(12, |step| {
            let world = released();
            let context = format!("step {step}, lease ends: {lease_ends}");
            let done = world.interrupted_run(step, true, |world| {
                if lease_ends {
                    world.clock.advance(LONG);
                }
                let repeat = world.send(&order("key"));
                assert!(
                    matches!(repeat, Ok(_) | Err(WalletError::InProgress)),
                    "{context}: {repeat:?}"
                );
            });
            assert_eq!(paid(&world), 10 * FLOP, "{context}");
            world.assert_books(&context);
            done
        });
        at_every_step(12, |step| {
            let world = released();
            let context = format!("step {step}, lease ends: {lease_ends}");
            let done = world.interrupted(step, &order("key"), true, |world| {
                if lease_ends {
                    world.clock.advance(LONG);
                }
                world.run();
            });
            let Some(repeat) = done else { return false };
            let repeat = repeat.unwrap();
            assert!(
                matches!(repeat, Ok(_) | Err(WalletError::InProgress)),
                "{context}: {repeat:?}"
            );
            assert_eq!(paid(&world), 10 * FLOP, "{context}");
            world.assert_books(&context);
            true
        });
    }
}

#[test]
fn a_refusal_at_any_step_of_a_run_or_repeat_means_not_paid_or_comes_too_late() {
    let check = |world: &World, refused: Decided, context: &str| {
        let expected = match refused {
            Decided::Done => ("failed", 0),
            Decided::Impossible => ("broadcast", 10 * FLOP),
            other => panic!("{context}: {other:?}"),
        };
        world.clock.advance(LONG);
        world.run();
        world.tick();
        assert_eq!((state(world).as_str(), paid(world)), expected, "{context}");
        world.assert_books(context);
    };
    let mut seen = Vec::new();
    at_every_step(12, |step| {
        let world = released();
        let mut refused = None;
        let done = world.interrupted_run(step, true, |world| {
            refused = Some(world.decide(Action::Refuse));
        });
        if let Some(refused) = refused {
            check(&world, refused, &format!("run, step {step}"));
            seen.push(refused);
        }
        done
    });
    assert!(seen.contains(&Decided::Done) && seen.contains(&Decided::Impossible));
    at_every_step(12, |step| {
        let world = released();
        let mut refused = None;
        let done = world.interrupted(step, &order("key"), true, |world| {
            refused = Some(world.decide(Action::Refuse));
        });
        if let Some(refused) = refused {
            check(&world, refused, &format!("repeat, step {step}"));
        }
        done.is_some()
    });
}

#[test]
fn a_wallet_frozen_at_any_step_of_a_run_pays_before_or_after() {
    at_every_step(12, |step| {
        let world = released();
        let done = world.interrupted_run(step, true, |world| {
            assert_eq!(world.decide_wallet(Action::Freeze), Decided::Done);
        });
        if !done {
            return false;
        }
        let context = format!("step {step}");
        let before = paid(&world);
        world.clock.advance(LONG);
        assert_eq!(world.run().made, 0, "{context}");
        if before == 0 {
            assert_eq!(state(&world), "released", "{context}");
            assert!(matches!(
                world.send(&order("key")),
                Err(WalletError::WalletFrozen(reason)) if reason == "we know them"
            ));
            world.decide_wallet(Action::Unfreeze);
            world.clock.advance(LONG);
            assert_eq!(world.run().made, 1, "{context}");
        }
        assert_eq!(paid(&world), 10 * FLOP, "{context}");
        world.assert_books(&context);
        true
    });
}

#[test]
fn payments_that_are_stopped_stop_released_ones_too() {
    let world = released();
    world.rows("UPDATE chain_state SET sends_stopped_at = 1, sends_stopped_reason = 'drift'");
    assert_eq!(world.run().made, 0);
    let repeat = world.send(&order("key"));
    assert!(
        matches!(repeat, Err(WalletError::SendsStopped(_))),
        "{repeat:?}"
    );
    assert_eq!(state(&world), "released");
    world.resume_sends();
    world.clock.advance(LONG);
    assert_eq!(world.run().made, 1);
    assert_eq!(paid(&world), 10 * FLOP);
}

#[test]
fn chain_trouble_leaves_a_released_payment_for_the_next_run() {
    let world = released();
    world.node.borrow_mut().is_down = true;
    for _ in 0..3 {
        assert_eq!(world.run().troubles.len(), 1);
        // Not hammered.
        assert_eq!(world.run().troubles.len(), 0);
        assert!(world.send(&order("key")).is_err());
        assert_eq!(state(&world), "released");
        assert_eq!(world.balance("node_001"), [0, COIN, 0, COIN]);
        world.clock.advance(LONG);
    }
    world.node.borrow_mut().is_down = false;
    assert_eq!(world.run().made, 1);
    assert_eq!(paid(&world), 10 * FLOP);
    world.assert_books("back");
}

#[test]
fn no_trouble_at_the_broadcast_fails_a_released_payment() {
    for trouble in [
        Trouble::Unreachable,
        Trouble::Refused,
        Trouble::LostBefore,
        Trouble::LostAfter,
        Trouble::GarbageAfter,
    ] {
        let world = released();
        world.node.borrow_mut().trouble = trouble;
        assert_eq!(world.run().made, 1, "{trouble:?}");
        assert!(
            ["signed", "broadcast"].contains(&state(&world).as_str()),
            "{trouble:?}"
        );
        world.assert_books(&format!("{trouble:?}"));
        world.node.borrow_mut().trouble = Trouble::None;
        world.clock.advance(LONG);
        world.tick();
        assert_eq!(state(&world), "broadcast", "{trouble:?}");
        assert_eq!(paid(&world), 10 * FLOP, "{trouble:?}");
    }
}

#[test]
fn a_payment_that_waited_long_is_not_dead_sooner_after_it_was_signed() {
    let world = held();
    world.clock.advance(86_400);
    world.decide(Action::Release);
    world.node.borrow_mut().trouble = Trouble::LostBefore;
    world.run();
    assert_eq!(state(&world), "signed");
    // The call that was cut off may still be waiting in the node: a refusal proves nothing yet.
    world.node.borrow_mut().trouble = Trouble::Refused;
    world.clock.advance(LONG);
    world.tick();
    assert_eq!(state(&world), "signed");
    world.clock.advance(601);
    world.tick();
    assert_eq!(state(&world), "failed");
    assert_eq!(world.balance("node_001"), [COIN, COIN, 0, 0]);
    assert_eq!(world.send(&order("key")), Err(WalletError::PaymentFailed));
    world.assert_books("dead");
}

#[test]
fn one_payment_that_cannot_be_signed_does_not_keep_others_waiting() {
    let world = suspicious(&[COIN, COIN]);
    for key in ["a", "b"] {
        world.send(&order(key)).unwrap();
        world.decide(Action::Release);
    }
    // The first one's wallet rules exclude its recipient since: it stays, the other is made.
    world.rows(
        "UPDATE payments SET recipient_address = 'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn' WHERE id = 1",
    );
    world.rows(
        "INSERT INTO recipients (wallet_id, address, list, starts_at, created_at)
         VALUES (1, 'mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn', 'deny', 0, 0)",
    );
    let run = world.run();
    assert_eq!((run.made, run.troubles.len()), (1, 1));
    assert_eq!(
        world.lines("SELECT stage FROM payments"),
        ["released", "broadcast"]
    );
    assert_eq!(paid(&world), 10 * FLOP);
    assert_eq!(world.balance("node_001")[0], 90 * FLOP - FEE);
}

#[test]
fn two_sends_at_once_see_each_other() {
    at_every_step(20, |step| {
        let world = World::with_coins(&[COIN, COIN]);
        rule(
            &world,
            "action = 'hold', threshold_count = 2 WHERE name = 'burst_of_sends'",
        );
        let done = world.interrupted(step, &order("a"), true, |world| {
            world
                .send(&order("b"))
                .unwrap_or_else(|e| panic!("step {step}: {e}"));
        });
        let Some(first) = done else { return false };
        first
            .unwrap()
            .unwrap_or_else(|e| panic!("step {step}: {e}"));
        // Whichever was reserved second is held.
        assert_eq!(
            world.lines("SELECT stage FROM payments ORDER BY id"),
            ["broadcast", "held"],
            "step {step}"
        );
        assert_eq!(paid(&world), 10 * FLOP, "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}
