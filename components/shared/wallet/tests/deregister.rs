//! Leaving, on a real SQLite file and a chain in memory: what keeps a node, where its money goes, and
//! what happens when it is interrupted at any of its calls.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod world;

use duxnet_units::{IdempotencyKey, NodeStatus};
use duxnet_wallet::WalletError;
use duxnet_wallet::deregister::{Departure, Order};
use world::{LONG, Trouble, World, at_every_step, caller, florins, order_to};

const RECIPIENT: &str = "mw4EkRZtxSnWRgS3uLTYdttjD5k1nrF26h";
const STRANGER: &str = "miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE";
const COIN: u64 = 10_000_000_000;
/// One input, one output; two inputs, one output.
const FEE: u64 = 192_000;
const FEE_OF_TWO: u64 = 340_000;

fn order(send_to: Option<&str>, key: &str) -> Order {
    Order {
        send_to: send_to.map(str::to_owned),
        idempotency_key: Some(IdempotencyKey::parse(key).unwrap()),
        request_hash: format!("deregister {send_to:?}"),
    }
}

fn to_recipient(key: &str) -> Order {
    order(Some(RECIPIENT), key)
}

fn paid(world: &World) -> u64 {
    world.node.borrow().paid_to(RECIPIENT)
}

fn status(world: &World) -> String {
    world.line("SELECT n.status || ' ' || COALESCE(w.is_active, '-') FROM nodes AS n LEFT JOIN wallets AS w USING (node_id)")
}

fn left(departure: &Departure) -> bool {
    assert_eq!(
        departure.has_left(),
        departure.status == NodeStatus::Deregistered
    );
    departure.has_left()
}

#[test]
fn a_node_without_money_leaves_and_comes_back_with_its_wallet() {
    let world = World::empty();
    let address = world.create_wallet("node_001");
    let gone = world.deregister(&order(None, "a")).unwrap();
    assert!(left(&gone) && !gone.replayed && gone.payment.is_none());
    assert_eq!(status(&world), "deregistered 0");
    let again = world.deregister(&order(None, "b")).unwrap();
    assert!(left(&again) && again.replayed);
    // What comes in is the wallet's, which may not send it.
    world.node.borrow_mut().deposit(&address, COIN);
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(world.balance("node_001")[0], COIN);
    assert_eq!(
        world.send(&order_to(STRANGER, COIN / 2, Some("c"))),
        Err(WalletError::WalletInactive)
    );
    world.register("node_001");
    assert_eq!(status(&world), "registered 1");
    world
        .send(&order_to(STRANGER, COIN / 2, Some("c")))
        .unwrap();
    world.assert_books("back");
}

#[test]
fn a_node_without_a_wallet_leaves_and_gets_none_while_it_is_gone() {
    let world = World::empty();
    world.register("node_001");
    assert!(left(&world.deregister(&to_recipient("a")).unwrap()));
    let created = world.on(&world::Steps::default(), async |service, chain| {
        let order = duxnet_wallet::create::Order {
            wallet_name: duxnet_units::WalletName::parse("w").unwrap(),
            idempotency_key: None,
            request_hash: String::new(),
        };
        service
            .create_wallet(chain, &caller("node_001"), &order)
            .await
    });
    let node = caller("node_001").node_id;
    assert_eq!(
        created.unwrap().unwrap_err(),
        WalletError::NodeDeregistered(node)
    );
}

#[test]
fn money_of_every_kind_keeps_a_node() {
    let world = World::with_coins(&[COIN]);
    let refused = |order: &Order| match world.deregister(order).unwrap_err() {
        WalletError::WalletNotEmpty(holds) => [
            holds.available.florins(),
            holds.pending.florins(),
            holds.reserved.florins(),
        ],
        other => panic!("{other}"),
    };
    assert_eq!(refused(&order(None, "a")), [COIN, 0, 0]);
    // Money that is not confirmed yet, alone too.
    let address = world.line("SELECT address FROM addresses");
    world.node.borrow_mut().deposit(&address, 7);
    world.tick();
    assert_eq!(refused(&to_recipient("b")), [COIN, 7, 0]);
    world.node.borrow_mut().mine();
    world.tick();
    // A payment that is under way.
    world.node.borrow_mut().trouble = Trouble::LostBefore;
    world
        .send(&order_to(STRANGER, COIN / 2, Some("slow")))
        .unwrap();
    assert_eq!(refused(&to_recipient("c")), [7, 0, COIN]);
    assert_eq!((paid(&world), status(&world).as_str()), (0, "registered 1"));
    world.assert_books("kept");
}

#[test]
fn everything_is_paid_out_less_the_fee_and_then_it_leaves() {
    let world = World::with_coins(&[COIN, COIN / 2]);
    let gone = world.deregister(&to_recipient("a")).unwrap();
    assert!(left(&gone));
    let payment = gone.payment.unwrap();
    let amount = COIN + COIN / 2 - FEE_OF_TWO;
    assert_eq!(payment.payment.amount, florins(amount));
    assert_eq!((paid(&world), world.balance("node_001")), (amount, [0; 4]));
    // The repeat has the same answer and pays nothing.
    let again = world.deregister(&to_recipient("a")).unwrap();
    assert!(left(&again) && again.replayed);
    assert_eq!(
        again.payment.unwrap().payment.payment_id,
        payment.payment.payment_id
    );
    assert_eq!(paid(&world), amount);
    assert_eq!(
        world.deregister(&order(Some(STRANGER), "a")).unwrap_err(),
        WalletError::KeyReused
    );
    world.node.borrow_mut().mine();
    world.tick();
    world.assert_books("left");
}

#[test]
fn unconfirmed_change_of_its_own_goes_too() {
    let world = World::with_coins(&[COIN]);
    world
        .send(&order_to(STRANGER, COIN / 2, Some("a")))
        .unwrap();
    let rest = world.balance("node_001")[0];
    assert!(left(&world.deregister(&to_recipient("b")).unwrap()));
    assert_eq!(paid(&world), rest - FEE);
    world.assert_books("left");
}

#[test]
fn the_limits_of_payments_hold() {
    let mut world = World::with_coins(&[COIN]);
    let refusal = |world: &World, order: &Order| world.deregister(order).unwrap_err();
    world.policy.max_transaction_amount = florins(COIN - FEE - 1);
    assert_eq!(
        refusal(&world, &to_recipient("a")),
        WalletError::AmountAboveLimit(florins(COIN - FEE - 1))
    );
    world.policy.max_transaction_amount = florins(COIN - FEE);
    world.policy.max_transactions_per_window = 0;
    assert!(matches!(
        refusal(&world, &to_recipient("b")),
        WalletError::RateLimited { .. }
    ));
    world.policy.max_transactions_per_window = 1;
    let own = world.line("SELECT address FROM addresses");
    assert_eq!(
        refusal(&world, &order(Some(&own), "c")),
        WalletError::OwnAddress
    );
    assert!(matches!(
        refusal(&world, &order(Some("nowhere"), "d")),
        WalletError::InvalidRecipient(_)
    ));
    assert_eq!(status(&world), "registered 1");
    assert!(left(&world.deregister(&to_recipient("e")).unwrap()));
    assert_eq!(paid(&world), COIN - FEE);
}

#[test]
fn what_does_not_pay_its_fee_keeps_a_node() {
    let world = World::with_coins(&[1_000_000 + FEE - 1]);
    assert!(matches!(
        world.deregister(&to_recipient("a")).unwrap_err(),
        WalletError::InsufficientBalance { .. }
    ));
    assert_eq!(status(&world), "registered 1");
}

#[test]
fn killed_at_any_step_and_repeated_it_pays_once_and_leaves() {
    at_every_step(25, |step| {
        let world = World::with_coins(&[COIN]);
        let wanted = to_recipient("key");
        let Some(_) = world.interrupted_deregistration(step, &wanted, false, |_| {}) else {
            return false;
        };
        world.clock.advance(LONG);
        let gone = world
            .deregister(&wanted)
            .unwrap_or_else(|e| panic!("step {step}: {e}"));
        assert!(left(&gone), "step {step}");
        assert_eq!(paid(&world), COIN - FEE, "step {step}");
        assert_eq!(gone.payment.unwrap().payment.amount, florins(COIN - FEE));
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn killed_at_any_step_and_asked_for_anew_it_pays_once_and_leaves() {
    at_every_step(25, |step| {
        let world = World::with_coins(&[COIN]);
        let Some(_) = world.interrupted_deregistration(step, &to_recipient("lost"), false, |_| {})
        else {
            return false;
        };
        world.clock.advance(LONG);
        world.tick();
        // The client has forgotten its key.
        let gone = world
            .deregister(&to_recipient("new"))
            .unwrap_or_else(|e| panic!("step {step}: {e}"));
        assert!(left(&gone), "step {step}");
        assert_eq!(paid(&world), COIN - FEE, "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn two_at_once_pay_once_at_any_step() {
    for key in ["same", "other"] {
        at_every_step(25, |step| {
            let world = World::with_coins(&[COIN]);
            let context = format!("step {step}, {key} key");
            let done =
                world.interrupted_deregistration(step, &to_recipient("same"), true, |world| {
                    let second = world.deregister(&to_recipient(key));
                    assert!(
                        matches!(
                            second,
                            Ok(_)
                                | Err(WalletError::InProgress
                                    | WalletError::CoinsBusy
                                    | WalletError::WalletNotEmpty(_))
                        ),
                        "{context}: {second:?}"
                    );
                });
            let Some(first) = done else { return false };
            let gone = first.unwrap().unwrap_or_else(|e| panic!("{context}: {e}"));
            assert!(left(&gone), "{context}");
            assert_eq!(paid(&world), COIN - FEE, "{context}");
            assert_eq!(status(&world), "deregistered 0", "{context}");
            world.assert_books(&context);
            true
        });
    }
}

#[test]
fn money_that_comes_in_at_any_step_is_not_left_behind() {
    at_every_step(25, |step| {
        let world = World::with_coins(&[COIN]);
        let address = world.line("SELECT address FROM addresses");
        let context = format!("step {step}");
        let done = world.interrupted_deregistration(step, &to_recipient("key"), true, |world| {
            world.node.borrow_mut().deposit(&address, COIN);
            world.tick();
        });
        let Some(first) = done else { return false };
        let has_left = match first.unwrap() {
            Ok(departure) => left(&departure),
            Err(WalletError::WalletNotEmpty(_)) => false,
            Err(error) => panic!("{context}: {error}"),
        };
        assert_eq!(
            status(&world) == "deregistered 0",
            has_left,
            "{context}: {}",
            status(&world)
        );
        // Once it is confirmed another request takes it too; it may come in after the node has left.
        if !has_left {
            world.node.borrow_mut().mine();
            world.tick();
            assert!(
                left(&world.deregister(&to_recipient("rest")).unwrap()),
                "{context}"
            );
            let all = 2 * COIN - 2 * FEE;
            assert!(
                paid(&world) == all || paid(&world) == 2 * COIN - FEE_OF_TWO,
                "{context}"
            );
        }
        world.assert_books(&context);
        true
    });
}

#[test]
fn a_payment_without_an_answer_keeps_the_node_until_its_outcome_is_known() {
    for trouble in [
        Trouble::LostBefore,
        Trouble::LostAfter,
        Trouble::GarbageAfter,
    ] {
        let world = World::with_coins(&[COIN]);
        world.node.borrow_mut().trouble = trouble;
        let first = world.deregister(&to_recipient("key")).unwrap();
        world.node.borrow_mut().trouble = Trouble::None;
        if !left(&first) {
            assert_eq!(first.holds.reserved, florins(COIN), "{trouble:?}");
            assert_eq!(status(&world), "registered 1", "{trouble:?}");
        }
        world.clock.advance(LONG);
        let gone = world.deregister(&to_recipient("key")).unwrap();
        assert!(left(&gone) && gone.replayed, "{trouble:?}");
        assert_eq!(paid(&world), COIN - FEE, "{trouble:?}");
        world.assert_books(&format!("{trouble:?}"));
    }
}

#[test]
fn a_chain_node_that_is_down_pays_nothing_and_keeps_the_node() {
    let world = World::with_coins(&[COIN]);
    world.node.borrow_mut().trouble = Trouble::Unreachable;
    assert!(matches!(
        world.deregister(&to_recipient("key")).unwrap_err(),
        WalletError::Chain(_)
    ));
    assert_eq!(status(&world), "registered 1");
    world.node.borrow_mut().trouble = Trouble::None;
    assert!(left(&world.deregister(&to_recipient("key")).unwrap()));
    assert_eq!(paid(&world), COIN - FEE);
}
