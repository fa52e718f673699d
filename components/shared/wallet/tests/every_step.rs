//! A send is interrupted at every single step of it, on a real SQLite file: before and after each
//! call of database and chain. Whatever comes next, nothing is paid twice and nothing is lost.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod world;

use duxnet_wallet::{WalletError, send};
use world::{LONG, Trouble, World, at_every_step, order_to};

const RECIPIENT: &str = "mw4EkRZtxSnWRgS3uLTYdttjD5k1nrF26h";
const COIN: u64 = 10_000_000_000;

fn order(flop: u64, key: Option<&str>) -> send::Order {
    order_to(RECIPIENT, flop * 100_000_000, key)
}

fn paid(world: &World) -> u64 {
    world.node.borrow().paid_to(RECIPIENT)
}

#[test]
fn killed_at_any_step_and_repeated_it_pays_once() {
    at_every_step(20, |step| {
        let world = World::with_coins(&[COIN]);
        let wanted = order(10, Some("key"));
        let Some(_) = world.interrupted(step, &wanted, false, |_| {}) else {
            return false;
        };
        world.clock.advance(LONG);
        let sent = world
            .send(&wanted)
            .unwrap_or_else(|e| panic!("step {step}: {e}"));
        assert_eq!(paid(&world), 1_000_000_000, "step {step}");
        assert_eq!(sent.payment.state.name(), "broadcast", "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn killed_at_any_step_and_never_repeated_the_next_payment_finds_its_coins() {
    at_every_step(20, |step| {
        let world = World::with_coins(&[COIN]);
        let Some(_) = world.interrupted(step, &order(10, Some("lost")), false, |_| {}) else {
            return false;
        };
        world.clock.advance(LONG);
        world.tick();
        world
            .send(&order(20, Some("next")))
            .unwrap_or_else(|e| panic!("step {step}: {e}"));
        let paid = paid(&world);
        assert!(
            paid == 2_000_000_000 || paid == 3_000_000_000,
            "step {step}: {paid}"
        );
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn a_repeat_at_any_step_of_the_first_pays_once() {
    at_every_step(20, |step| {
        let world = World::with_coins(&[COIN, COIN]);
        let wanted = order(10, Some("key"));
        let done = world.interrupted(step, &wanted, true, |world| {
            // The repeat waits for the first, which waits for the repeat: it gives up, or is first.
            let repeat = world.send(&wanted);
            assert!(
                matches!(repeat, Ok(_) | Err(WalletError::InProgress)),
                "step {step}: {repeat:?}"
            );
        });
        let Some(first) = done else { return false };
        assert!(first.unwrap().is_ok(), "step {step}");
        assert_eq!(paid(&world), 1_000_000_000, "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn a_first_that_outlives_its_lease_and_its_repeat_pay_once() {
    for trouble in [
        Trouble::None,
        Trouble::Unreachable,
        Trouble::Refused,
        Trouble::LostAfter,
    ] {
        at_every_step(20, |step| {
            let world = World::with_coins(&[COIN, COIN]);
            let wanted = order(10, Some("key"));
            let context = format!("step {step}, then {trouble:?}");
            let done = world.interrupted(step, &wanted, true, |world| {
                world.clock.advance(LONG);
                world
                    .send(&wanted)
                    .unwrap_or_else(|e| panic!("{context}: {e}"));
                // What the first meets when it goes on.
                world.node.borrow_mut().trouble = trouble;
            });
            if done.is_none() {
                return false;
            }
            assert_eq!(paid(&world), 1_000_000_000, "{context}");
            world.assert_books(&context);
            true
        });
    }
}

#[test]
fn another_payment_at_any_step_never_takes_the_same_coin() {
    for lease_ends in [false, true] {
        at_every_step(20, |step| {
            let world = World::with_coins(&[COIN]);
            let context = format!("step {step}, lease ends: {lease_ends}");
            let done = world.interrupted(step, &order(10, Some("a")), true, |world| {
                if lease_ends {
                    world.clock.advance(LONG);
                }
                let other = world.send(&order(20, Some("b")));
                assert!(
                    matches!(other, Ok(_) | Err(WalletError::CoinsBusy)),
                    "{context}: {other:?}"
                );
            });
            let Some(first) = done else { return false };
            let first = first.unwrap();
            assert!(
                matches!(
                    first,
                    Ok(_) | Err(WalletError::InProgress | WalletError::CoinsBusy)
                ),
                "{context}: {first:?}"
            );
            world.assert_books(&context);
            true
        });
    }
}

/// Whenever the tracker ends the payment whose change another waits for: the other sees it.
#[test]
fn a_payment_that_ends_at_any_step_of_one_that_waits_for_its_change_lets_it_through() {
    // After some thirty its patience ends.
    for step in 0..25 {
        let world = World::with_coins(&[COIN]);
        world.node.borrow_mut().trouble = Trouble::LostBefore;
        assert_eq!(
            world.send(&order(10, None)).unwrap().payment.state.name(),
            "signed"
        );
        world.node.borrow_mut().trouble = Trouble::None;
        world.clock.advance(LONG);
        let next = world.interrupted(step, &order(20, None), true, |world| {
            assert_eq!(world.tick().resent, 1);
        });
        let next = next.unwrap().unwrap();
        assert!(next.is_ok(), "step {step}: {next:?}");
        assert_eq!(paid(&world), 3_000_000_000, "step {step}");
        world.assert_books(&format!("step {step}"));
    }
}

#[test]
fn every_trouble_at_the_broadcast_ends_paid_once_or_not_at_all() {
    for trouble in [
        Trouble::Unreachable,
        Trouble::Refused,
        Trouble::LostBefore,
        Trouble::LostAfter,
        Trouble::GarbageAfter,
    ] {
        let world = World::with_coins(&[COIN]);
        let wanted = order(10, Some("key"));
        world.node.borrow_mut().trouble = trouble;
        let first = world.send(&wanted);
        world.assert_books(&format!("{trouble:?}"));
        let expected = match trouble {
            Trouble::Unreachable | Trouble::Refused => None,
            Trouble::LostBefore => Some("signed"),
            Trouble::None | Trouble::LostAfter | Trouble::GarbageAfter => Some("broadcast"),
        };
        assert_eq!(
            first.as_ref().ok().map(|sent| sent.payment.state.name()),
            expected,
            "{trouble:?}"
        );

        world.node.borrow_mut().trouble = Trouble::None;
        let second = world
            .send(&wanted)
            .unwrap_or_else(|e| panic!("{trouble:?}: {e}"));
        assert_eq!(second.payment.state.name(), "broadcast", "{trouble:?}");
        assert_eq!(second.replayed, expected.is_some(), "{trouble:?}");
        if let Ok(first) = first {
            assert_eq!(
                first.transaction.as_ref().unwrap().txid,
                second.transaction.as_ref().unwrap().txid,
                "{trouble:?}"
            );
        }
        assert_eq!(paid(&world), 1_000_000_000, "{trouble:?}");
        world.assert_books(&format!("{trouble:?}, repeated"));
    }
}

#[test]
fn a_refusal_after_an_attempt_of_unknown_outcome_proves_nothing() {
    let world = World::with_coins(&[COIN]);
    let wanted = order(10, Some("key"));
    world.node.borrow_mut().trouble = Trouble::LostBefore;
    assert_eq!(world.send(&wanted).unwrap().payment.state.name(), "signed");
    world.node.borrow_mut().trouble = Trouble::Refused;
    assert_eq!(world.send(&wanted).unwrap().payment.state.name(), "signed");
    world.node.borrow_mut().trouble = Trouble::Unreachable;
    assert_eq!(world.send(&wanted).unwrap().payment.state.name(), "signed");
    world.node.borrow_mut().trouble = Trouble::None;
    assert_eq!(
        world.send(&wanted).unwrap().payment.state.name(),
        "broadcast"
    );
    assert_eq!(paid(&world), 1_000_000_000);
}
