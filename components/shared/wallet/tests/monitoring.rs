//! The rules of the monitoring, frozen wallets and a wallet's own rules about recipients, on a real
//! SQLite file and a chain in memory.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod world;

use duxnet_store::{Action, Decided, RecipientChange, RecipientPolicy, Rule};
use duxnet_units::{Address, NodeId, Timestamp};
use duxnet_wallet::{Clock as _, WalletError, send};
use world::{LONG, World, caller, florins, order_to};

const A: &str = "mw4EkRZtxSnWRgS3uLTYdttjD5k1nrF26h";
const B: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";
const FLOP: u64 = 100_000_000;
const COIN: u64 = 100 * FLOP;
const DELAY: u32 = 86_400;

fn pay(world: &World, recipient: &str, flop: u64) -> Result<send::Sent, WalletError> {
    world.send(&order_to(recipient, flop * FLOP, None))
}

/// The state in which the payment is after its send.
fn outcome(world: &World, recipient: &str, flop: u64) -> &'static str {
    pay(world, recipient, flop).unwrap().payment.state.name()
}

/// One rule of this kind and nothing else.
fn only(world: &World, name: &str, sets: &str) {
    world.rows("UPDATE monitor_rules SET enabled = 0");
    world.rows(&format!(
        "UPDATE monitor_rules SET enabled = 1, {sets} WHERE name = '{name}'"
    ));
}

fn alerts(world: &World) -> Vec<String> {
    world.lines("SELECT rule, action, node_id, payment_id IS NOT NULL FROM alerts ORDER BY id")
}

fn watch(world: &World) {
    let now = world.clock.now();
    world
        .on_store(async |store| store.watch_events(500, now).await)
        .unwrap();
}

#[test]
fn the_rules_as_installed_hold_nothing_and_note_what_is_unusual() {
    let world = World::with_coins(&[COIN; 12]);
    for _ in 0..10 {
        assert_eq!(outcome(&world, A, 1), "broadcast");
    }
    // Eight payments in five minutes; told once.
    assert_eq!(alerts(&world), ["burst_of_sends alert node_001 1"]);
    assert_eq!(
        world.line("SELECT COUNT(*) FROM monitor_rules WHERE action = 'hold'"),
        "0"
    );
}

#[test]
fn a_burst_is_told_once_in_a_window_and_held_every_time() {
    let world = World::with_coins(&[COIN; 8]);
    only(
        &world,
        "burst_of_sends",
        "threshold_count = 2, window_seconds = 100",
    );
    // To the start of a window.
    world
        .clock
        .advance(100 - world.clock.now().unix_seconds() % 100);
    for _ in 0..3 {
        assert_eq!(outcome(&world, A, 1), "broadcast");
    }
    assert_eq!(alerts(&world).len(), 1);
    only(&world, "burst_of_sends", "action = 'hold'");
    for held in 1..=2 {
        assert_eq!(outcome(&world, A, 1), "held");
        assert_eq!(alerts(&world).len(), 1 + held);
    }
    world.clock.advance(101);
    assert_eq!(outcome(&world, A, 1), "broadcast");
    let figures = world.line("SELECT figures FROM alerts ORDER BY id LIMIT 1");
    assert_eq!(
        figures,
        r#"{"payments":2,"threshold_count":2,"window_seconds":100}"#
    );
    world.assert_books("burst");
}

#[test]
fn a_changed_window_hides_no_alert() {
    let world = World::with_coins(&[COIN]);
    only(
        &world,
        "burst_of_sends",
        "threshold_count = 1, window_seconds = 100",
    );
    assert_eq!(outcome(&world, A, 1), "broadcast");
    only(&world, "burst_of_sends", "window_seconds = 101");
    // As many of the new windows since 1970 as there were of the old ones.
    let now = world.clock.now().unix_seconds();
    world.clock.advance(now / 100 * 101 - now);
    assert_eq!(outcome(&world, A, 1), "broadcast");
    assert_eq!(alerts(&world).len(), 2);
}

#[test]
fn a_payment_that_failed_counts_in_no_burst() {
    let world = World::with_coins(&[COIN; 4]);
    only(
        &world,
        "burst_of_sends",
        "threshold_count = 2, action = 'hold'",
    );
    world.node.borrow_mut().is_down = true;
    for _ in 0..3 {
        assert!(pay(&world, A, 1).is_err());
    }
    world.node.borrow_mut().is_down = false;
    assert_eq!(outcome(&world, A, 1), "broadcast");
    assert_eq!(outcome(&world, A, 1), "held");
}

#[test]
fn a_drain_counts_everything_paid_in_the_window_against_what_there_was() {
    let world = World::with_coins(&[COIN; 4]);
    only(
        &world,
        "drain",
        "action = 'hold', threshold_share = 500, threshold_amount = 0, window_seconds = 3600",
    );
    // 400 FLOP: 190 are less than half, 190 and 20 are more.
    assert_eq!(outcome(&world, A, 100), "broadcast");
    assert_eq!(outcome(&world, B, 90), "broadcast");
    assert_eq!(outcome(&world, A, 20), "held");
    // What is held counts: it may be released.
    assert_eq!(outcome(&world, A, 1), "held");
    world.clock.advance(3601);
    assert_eq!(outcome(&world, A, 20), "broadcast");
    world.assert_books("drain");
}

#[test]
fn a_drain_of_a_little_is_none() {
    let world = World::with_coins(&[COIN]);
    only(
        &world,
        "drain",
        "action = 'hold', threshold_share = 500, threshold_amount = 10000000000",
    );
    assert_eq!(outcome(&world, A, 99), "broadcast");
    assert!(alerts(&world).is_empty());
}

#[test]
fn a_small_payment_does_not_open_the_door_for_a_large_one_to_a_new_recipient() {
    let world = World::with_coins(&[COIN; 6]);
    only(
        &world,
        "first_recipient",
        "action = 'hold', threshold_amount = 5000000000, window_seconds = 3600",
    );
    assert_eq!(outcome(&world, A, 60), "held");
    assert_eq!(outcome(&world, B, 1), "broadcast");
    assert_eq!(outcome(&world, B, 48), "broadcast");
    assert_eq!(outcome(&world, B, 1), "held");
    world.clock.advance(3600);
    // Paid before the window: known.
    assert_eq!(outcome(&world, B, 60), "broadcast");
    world.assert_books("first");
}

#[test]
fn a_payment_that_waits_makes_no_recipient_known() {
    let world = World::with_coins(&[COIN; 6]);
    only(
        &world,
        "first_recipient",
        "action = 'hold', threshold_amount = 5000000000, window_seconds = 3600",
    );
    assert_eq!(outcome(&world, A, 60), "held");
    world.clock.advance(7200);
    assert_eq!(outcome(&world, A, 60), "held");
    world.decide(Action::Release);
    world.run();
    world.clock.advance(7200);
    assert_eq!(outcome(&world, A, 60), "broadcast");
}

#[test]
fn a_refused_payment_makes_no_recipient_known() {
    let world = World::with_coins(&[COIN; 6]);
    only(
        &world,
        "first_recipient",
        "action = 'hold', threshold_amount = 5000000000, window_seconds = 3600",
    );
    assert_eq!(outcome(&world, A, 60), "held");
    world.decide(Action::Refuse);
    world.clock.advance(7200);
    assert_eq!(outcome(&world, A, 60), "held");
}

#[test]
fn failed_signatures_are_told_without_a_send_and_hold_one_where_asked() {
    let world = World::with_coins(&[COIN; 2]);
    only(
        &world,
        "failed_signatures",
        "action = 'hold', threshold_count = 3, window_seconds = 600",
    );
    let node = NodeId::parse("node_001").unwrap();
    let fail = |node: Option<&NodeId>| {
        let now = world.clock.now();
        world
            .on_store(async |store| store.count_failed_signature(node, now).await)
            .unwrap();
    };
    for _ in 0..2 {
        fail(Some(&node));
    }
    for _ in 0..9 {
        fail(None);
    }
    assert!(alerts(&world).is_empty());
    assert_eq!(outcome(&world, A, 1), "broadcast");
    fail(Some(&node));
    fail(Some(&node));
    assert_eq!(alerts(&world), ["failed_signatures alert node_001 0"]);
    assert_eq!(outcome(&world, A, 1), "held");
    assert_eq!(
        world.line("SELECT failed_signatures, strangers_signatures FROM monitor_state"),
        "4 9"
    );
    // One row for all strangers, and the old ones leave.
    assert_eq!(world.line("SELECT COUNT(*) FROM signature_failures"), "2");
    world.clock.advance(700_000);
    fail(Some(&node));
    assert_eq!(world.line("SELECT COUNT(*) FROM signature_failures"), "1");
}

#[test]
fn a_flood_of_failed_signatures_is_no_flood_of_writes() {
    let world = World::with_coins(&[]);
    let now = world.clock.now();
    world.on_store(async |store| {
        for _ in 0..1010 {
            store.count_failed_signature(None, now).await.unwrap();
        }
    });
    assert_eq!(world.line("SELECT failures FROM signature_failures"), "100");
}

#[test]
fn a_jump_of_the_balance_is_seen_once_whoever_looks_and_however_often() {
    let world = World::with_coins(&[COIN]);
    only(
        &world,
        "balance_jump",
        "action = 'alert', threshold_share = 500, threshold_amount = 10000000000, window_seconds = 3600",
    );
    watch(&world);
    assert_eq!(alerts(&world), ["balance_jump alert node_001 0"]);
    world.clock.advance(7200);
    let address = world.line("SELECT address FROM wallets");
    world.node.borrow_mut().deposit(&address, COIN / 10);
    world.node.borrow_mut().mine();
    world.tick();
    watch(&world);
    assert_eq!(alerts(&world).len(), 1, "a tenth more is no jump");
    world.clock.advance(7200);
    world.node.borrow_mut().deposit(&address, 2 * COIN);
    world.node.borrow_mut().mine();
    world.tick();
    for _ in 0..3 {
        watch(&world);
    }
    assert_eq!(alerts(&world).len(), 2);
    let figures = world.line("SELECT figures FROM alerts ORDER BY id DESC LIMIT 1");
    assert!(
        figures.starts_with(r#"{"before":"11000000000","after":"31000000000","#),
        "{figures}"
    );
    assert_eq!(
        world.line("SELECT (SELECT MAX(id) FROM events) - event_cursor FROM monitor_state"),
        "0"
    );
}

#[test]
fn a_run_looks_at_no_more_events_than_it_may() {
    let world = World::with_coins(&[COIN]);
    let events = world.line("SELECT COUNT(*) FROM events");
    let now = world.clock.now();
    for seen in 1..=2 {
        world
            .on_store(async |store| store.watch_events(1, now).await)
            .unwrap();
        assert_eq!(
            world.line("SELECT event_cursor FROM monitor_state"),
            seen.to_string()
        );
    }
    assert!(events.parse::<u32>().unwrap() > 2);
}

#[test]
fn alerts_and_decisions_are_append_only() {
    let world = World::with_coins(&[COIN]);
    only(&world, "burst_of_sends", "threshold_count = 1");
    pay(&world, A, 1).unwrap();
    world.decide_wallet(Action::Freeze);
    for table in ["alerts", "decisions"] {
        for sql in [
            format!("UPDATE {table} SET created_at = 0"),
            format!("DELETE FROM {table}"),
        ] {
            let error = world.try_rows(&sql).unwrap_err();
            assert!(error.contains("append-only"), "{sql}: {error}");
        }
    }
}

#[test]
fn a_rule_is_changed_and_added_by_a_decision_that_keeps_what_it_was_changed_to() {
    let world = World::with_coins(&[COIN; 2]);
    let rule = Rule {
        name: "small_burst".into(),
        kind: "burst_of_sends".into(),
        enabled: true,
        severity: "low".into(),
        action: "hold".into(),
        window_seconds: 60,
        threshold_count: Some(1),
        threshold_share: None,
        threshold_amount: None,
        updated_at: world.clock.now(),
    };
    assert_eq!(world.set_rule(&rule), Decided::Done);
    assert_eq!(outcome(&world, A, 1), "held");
    let off = Rule {
        enabled: false,
        ..rule.clone()
    };
    assert_eq!(world.set_rule(&off), Decided::Done);
    assert_eq!(outcome(&world, A, 1), "broadcast");
    let other = Rule {
        kind: "drain".into(),
        threshold_count: None,
        threshold_share: Some(1),
        threshold_amount: Some(florins(0)),
        ..rule.clone()
    };
    assert_eq!(world.set_rule(&other), Decided::Impossible);
    assert_eq!(
        world.lines("SELECT rule, operator, data ->> 'enabled' FROM decisions ORDER BY id"),
        ["small_burst alice 1", "small_burst alice 0"]
    );
    for index in 0..60 {
        let name = format!("rule_{index}");
        let decided = world.set_rule(&Rule {
            name,
            ..off.clone()
        });
        let expected = if index < 44 {
            Decided::Done
        } else {
            Decided::TooMany
        };
        assert_eq!(decided, expected, "{index}");
    }
}

#[test]
fn a_frozen_wallet_receives_and_shows_and_does_not_pay() {
    let world = World::with_coins(&[COIN]);
    assert_eq!(world.decide_wallet(Action::Freeze), Decided::Done);
    assert_eq!(world.decide_wallet(Action::Freeze), Decided::Already);
    assert_eq!(
        pay(&world, A, 1),
        Err(WalletError::WalletFrozen("we know them".into()))
    );
    let address = world.line("SELECT address FROM wallets");
    world.node.borrow_mut().deposit(&address, COIN);
    world.node.borrow_mut().mine();
    world.tick();
    assert_eq!(world.balance("node_001"), [2 * COIN, 2 * COIN, 0, 0]);
    assert_eq!(world.decide_wallet(Action::Unfreeze), Decided::Done);
    assert_eq!(world.decide_wallet(Action::Unfreeze), Decided::Already);
    assert_eq!(outcome(&world, A, 1), "broadcast");
    assert_eq!(
        world.lines("SELECT type, data FROM events WHERE type LIKE 'wallet.%frozen' ORDER BY id"),
        [
            r#"wallet.frozen {"reason":"we know them"}"#,
            r#"wallet.unfrozen {"reason":"we know them"}"#
        ]
    );
    world.assert_books("frozen");
}

#[test]
fn a_wallet_frozen_at_any_step_of_a_send_pays_before_or_not_at_all() {
    world::at_every_step(20, |step| {
        let world = World::with_coins(&[COIN]);
        let order = order_to(A, FLOP, Some("key"));
        let done = world.interrupted(step, &order, true, |world| {
            world.decide_wallet(Action::Freeze);
        });
        let Some(sent) = done else { return false };
        let paid = world.node.borrow().paid_to(A);
        match sent.unwrap() {
            Ok(_) => assert_eq!(paid, FLOP, "step {step}"),
            Err(WalletError::WalletFrozen(_)) => {
                assert_eq!(paid, 0, "step {step}");
                world.clock.advance(LONG);
                world.tick();
                assert_eq!(world.balance("node_001"), [COIN, COIN, 0, 0], "step {step}");
            }
            Err(error) => panic!("step {step}: {error}"),
        }
        world.assert_books(&format!("step {step}"));
        true
    });
}

// A wallet's own rules about recipients.

#[derive(Default)]
struct Change<'a> {
    allow: &'a [&'a str],
    deny: &'a [&'a str],
    remove: &'a [&'a str],
    whitelist_only: Option<bool>,
}

fn change(world: &World, change: &Change<'_>) -> bool {
    let list = |texts: &[&str]| texts.iter().map(|text| address(text)).collect();
    let change = RecipientChange {
        wallet_id: 1,
        allow: list(change.allow),
        deny: list(change.deny),
        remove: list(change.remove),
        whitelist_only: change.whitelist_only,
        delay: DELAY,
        at: world.clock.now(),
        signature: None,
    };
    world
        .on_store(async |store| store.change_recipients(&change).await)
        .unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text, duxnet_units::Network::Regtest).unwrap()
}

fn policy(world: &World, at: Timestamp) -> RecipientPolicy {
    world
        .on_store(async |store| store.recipient_policy(1, at).await)
        .unwrap()
}

fn is_allowed(world: &World, recipient: &str) -> bool {
    match pay(world, recipient, 1) {
        Ok(_) => true,
        Err(WalletError::RecipientNotAllowed) => false,
        Err(error) => panic!("{error}"),
    }
}

fn rich() -> World {
    let world = World::with_coins(&[COIN; 10]);
    world.rows("UPDATE monitor_rules SET enabled = 0");
    world
}

#[test]
fn who_is_denied_is_not_paid_from_that_moment_and_to_take_it_back_takes_time() {
    let world = rich();
    assert!(is_allowed(&world, A));
    change(
        &world,
        &Change {
            deny: &[A],
            ..Change::default()
        },
    );
    assert!(!is_allowed(&world, A));
    assert!(is_allowed(&world, B));
    change(
        &world,
        &Change {
            remove: &[A],
            ..Change::default()
        },
    );
    world.clock.advance(i64::from(DELAY) - 1);
    assert!(!is_allowed(&world, A));
    // To ask again is neither sooner nor later; to deny again cancels it.
    change(
        &world,
        &Change {
            remove: &[A],
            ..Change::default()
        },
    );
    world.clock.advance(1);
    assert!(is_allowed(&world, A));
    change(
        &world,
        &Change {
            deny: &[A],
            ..Change::default()
        },
    );
    change(
        &world,
        &Change {
            remove: &[A],
            ..Change::default()
        },
    );
    change(
        &world,
        &Change {
            deny: &[A],
            ..Change::default()
        },
    );
    world.clock.advance(2 * i64::from(DELAY));
    assert!(!is_allowed(&world, A));
    assert_eq!(
        world.line("SELECT COUNT(*) FROM events WHERE type = 'recipients.changed'"),
        "6"
    );
    world.assert_books("denied");
}

#[test]
fn a_whitelist_and_its_first_entries_hold_at_once_and_more_of_them_wait() {
    let world = rich();
    change(
        &world,
        &Change {
            allow: &[A],
            whitelist_only: Some(true),
            ..Change::default()
        },
    );
    assert!(is_allowed(&world, A));
    assert!(!is_allowed(&world, B));
    change(
        &world,
        &Change {
            allow: &[B],
            ..Change::default()
        },
    );
    assert!(!is_allowed(&world, B));
    world.clock.advance(i64::from(DELAY));
    assert!(is_allowed(&world, B));
    // To take one off is heard at once; to put it back waits again.
    change(
        &world,
        &Change {
            remove: &[B],
            ..Change::default()
        },
    );
    assert!(!is_allowed(&world, B));
    change(
        &world,
        &Change {
            allow: &[B],
            ..Change::default()
        },
    );
    assert!(!is_allowed(&world, B));
    // The other list wins.
    change(
        &world,
        &Change {
            deny: &[A],
            ..Change::default()
        },
    );
    assert!(!is_allowed(&world, A));
}

#[test]
fn no_way_around_the_delay_leads_to_a_new_recipient() {
    let on = || Change {
        whitelist_only: Some(true),
        ..Change::default()
    };
    let off = || Change {
        whitelist_only: Some(false),
        ..Change::default()
    };
    let add = || Change {
        allow: &[B],
        ..Change::default()
    };
    let ways: [&[Change<'_>]; 5] = [
        &[off(), add(), on()],
        &[
            Change {
                allow: &[B],
                whitelist_only: Some(false),
                ..Change::default()
            },
            on(),
        ],
        &[Change {
            allow: &[B],
            whitelist_only: Some(true),
            ..Change::default()
        }],
        &[
            add(),
            Change {
                remove: &[B],
                ..Change::default()
            },
            add(),
        ],
        &[off(), on(), off(), add()],
    ];
    for (index, way) in ways.iter().enumerate() {
        let world = rich();
        change(
            &world,
            &Change {
                allow: &[A],
                whitelist_only: Some(true),
                ..Change::default()
            },
        );
        for step in *way {
            change(&world, step);
            assert!(!is_allowed(&world, B), "way {index}");
        }
        world.clock.advance(i64::from(DELAY) - 1);
        assert!(!is_allowed(&world, B), "way {index}");
        world.assert_books(&format!("way {index}"));
    }
}

#[test]
fn a_whitelist_that_ends_ends_after_the_delay_and_can_be_kept() {
    let world = rich();
    change(
        &world,
        &Change {
            whitelist_only: Some(true),
            ..Change::default()
        },
    );
    change(
        &world,
        &Change {
            whitelist_only: Some(false),
            ..Change::default()
        },
    );
    let now = world.clock.now();
    let ends = policy(&world, now).whitelist_ends_at.unwrap();
    assert_eq!(ends.unix_seconds(), now.unix_seconds() + i64::from(DELAY));
    change(
        &world,
        &Change {
            whitelist_only: Some(true),
            ..Change::default()
        },
    );
    world.clock.advance(2 * i64::from(DELAY));
    assert!(!is_allowed(&world, A));
    change(
        &world,
        &Change {
            whitelist_only: Some(false),
            ..Change::default()
        },
    );
    world.clock.advance(i64::from(DELAY));
    assert!(is_allowed(&world, A));
    assert!(!policy(&world, world.clock.now()).whitelist_only);
    // It is off: what is added now counts at once.
    change(
        &world,
        &Change {
            allow: &[A],
            ..Change::default()
        },
    );
    change(
        &world,
        &Change {
            whitelist_only: Some(true),
            ..Change::default()
        },
    );
    assert!(is_allowed(&world, A));
    assert!(!is_allowed(&world, B));
}

#[test]
fn a_clock_that_is_set_back_leaves_less_freedom_never_more() {
    let world = rich();
    change(
        &world,
        &Change {
            deny: &[A],
            allow: &[B],
            ..Change::default()
        },
    );
    change(
        &world,
        &Change {
            remove: &[A],
            whitelist_only: Some(true),
            ..Change::default()
        },
    );
    world.clock.advance(i64::from(DELAY));
    assert!(is_allowed(&world, B));
    change(
        &world,
        &Change {
            whitelist_only: Some(false),
            ..Change::default()
        },
    );
    world.clock.advance(-2 * i64::from(DELAY));
    for recipient in [A, B] {
        assert!(!is_allowed(&world, recipient), "{recipient}");
    }
    // What is asked for now counts from now.
    world.clock.advance(i64::from(DELAY));
    assert!(!is_allowed(&world, A));
}

#[test]
fn who_is_denied_while_the_payment_waits_is_not_paid() {
    let world = rich();
    only(
        &world,
        "burst_of_sends",
        "action = 'hold', threshold_count = 1",
    );
    let order = order_to(A, FLOP, Some("key"));
    world.send(&order).unwrap();
    change(
        &world,
        &Change {
            deny: &[A],
            ..Change::default()
        },
    );
    world.decide(Action::Release);
    assert_eq!(world.run().made, 0);
    world.clock.advance(LONG);
    assert_eq!(world.send(&order), Err(WalletError::RecipientNotAllowed));
    assert_eq!(world.node.borrow().paid_to(A), 0);
    assert_eq!(world.decide(Action::Refuse), Decided::Done);
    assert_eq!(world.balance("node_001")[3], 0);
    world.assert_books("denied while held");
}

#[test]
fn a_recipient_denied_at_any_step_of_a_send_is_paid_before_or_not_at_all() {
    world::at_every_step(20, |step| {
        let world = World::with_coins(&[COIN]);
        let order = order_to(A, FLOP, Some("key"));
        let done = world.interrupted(step, &order, true, |world| {
            change(
                world,
                &Change {
                    deny: &[A],
                    ..Change::default()
                },
            );
        });
        let Some(sent) = done else { return false };
        let paid = world.node.borrow().paid_to(A);
        match sent.unwrap() {
            Ok(_) => assert_eq!(paid, FLOP, "step {step}"),
            Err(WalletError::RecipientNotAllowed) => assert_eq!(paid, 0, "step {step}"),
            Err(error) => panic!("step {step}: {error}"),
        }
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn the_lists_are_bounded_and_a_refused_change_changes_nothing() {
    let world = rich();
    let many: Vec<String> = (0..=500_u32)
        .map(|index| {
            let mut bytes = [7; 20];
            bytes[..4].copy_from_slice(&index.to_be_bytes());
            bs58::encode(&bytes).with_check_version(111).into_string()
        })
        .collect();
    let texts: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(change(
        &world,
        &Change {
            deny: &texts[..500],
            ..Change::default()
        }
    ));
    assert!(!change(
        &world,
        &Change {
            deny: &texts[500..],
            whitelist_only: Some(true),
            ..Change::default()
        }
    ));
    let now = policy(&world, world.clock.now());
    assert_eq!((now.recipients.len(), now.whitelist_only), (500, false));
    // The whitelist needs no entry.
    assert!(change(
        &world,
        &Change {
            whitelist_only: Some(true),
            ..Change::default()
        }
    ));
    assert!(!is_allowed(&world, A));
}

#[test]
fn another_wallets_rules_are_its_own() {
    let world = rich();
    let address = world.create_wallet("node_002");
    world.node.borrow_mut().deposit(&address, COIN);
    world.node.borrow_mut().mine();
    world.tick();
    change(
        &world,
        &Change {
            deny: &[A],
            whitelist_only: Some(true),
            ..Change::default()
        },
    );
    let sent = world.send_from("node_002", &order_to(A, FLOP, None));
    assert_eq!(sent.unwrap().payment.node_id, caller("node_002").node_id);
}
