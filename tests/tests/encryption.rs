//! An encrypted Core wallet: unlocked for a signature, locked again.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::json;
use tests::{Chain, Host, HostOptions, Node, World, in_parallel};

const FLOP: u64 = 100_000_000;
const PASSPHRASE: &str = "correct horse";

/// A wallet with these coins on a chain node whose wallet is encrypted and locked.
fn encrypted(coins: &[&str]) -> (World, Node, String) {
    let mut world = World::start();
    let node = world.funded_node("node_001", coins);
    let recipient = world.chain.foreign_address();
    world.chain.encrypt(PASSPHRASE);
    (world, node, recipient)
}

/// Another host on the same database that has this passphrase.
fn with_passphrase(world: &World, passphrase: &str) -> Host {
    let options = HostOptions::default()
        .variable("wallet_encryption", "true")
        .variable("rpc_wallet_passphrase", passphrase)
        .folder(world.host.shared_folder());
    Host::start(&world.chain, options)
}

fn assert_locked(world: &World) {
    let info = world.chain.rpc("getwalletinfo", json!([])).unwrap();
    assert_eq!(info["unlocked_until"], 0);
}

fn assert_refused_and_untouched(world: &World, node: &Node, recipient: &str) {
    let reply = node.pay(recipient, "5");
    assert!(reply.header("retry-after").is_some());
    reply.expect_problem(503, "signing_unavailable");
    assert_eq!(node.available(), 100 * FLOP);
    assert!(world.chain.mempool().is_empty());
    assert_locked(world);
}

#[test]
fn without_the_passphrase_signing_is_unavailable() {
    let (world, node, recipient) = encrypted(&["100"]);
    assert_refused_and_untouched(&world, &node, &recipient);
}

#[test]
fn with_a_wrong_passphrase_signing_is_unavailable_and_it_is_told_to_nobody() {
    let (world, node, recipient) = encrypted(&["100"]);
    let host = with_passphrase(&world, "battery staple");
    assert_refused_and_untouched(&world, &node.at(&host), &recipient);
    assert!(!host.log().contains("battery staple"));
}

#[test]
fn with_the_passphrase_it_pays_and_locks_again() {
    let (world, node, recipient) = encrypted(&["100"]);
    let host = with_passphrase(&world, PASSPHRASE);
    node.at(&host).pay(&recipient, "5").expect_status(200);
    assert_locked(&world);
    assert!(!host.log().contains(PASSPHRASE));
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
}

#[test]
fn a_signature_that_fails_leaves_the_wallet_locked() {
    let (world, node, recipient) = encrypted(&["100"]);
    let host = with_passphrase(&world, PASSPHRASE);
    let node = node.at(&host);
    for action in ["drop", "garbage"] {
        world.chain.fault(json!({
            "method": "signrawtransaction", "when": "after", "action": action, "times": 1,
        }));
        let reply = node.pay(&recipient, "5");
        assert!([502, 504].contains(&reply.status), "{}", reply.text());
        assert_locked(&world);
    }
    node.pay(&recipient, "5").expect_status(200);
    assert_locked(&world);
}

#[test]
fn sends_at_once_do_not_lock_each_other_out() {
    let (world, node, recipient) = encrypted(&["20"; 8]);
    let host = with_passphrase(&world, PASSPHRASE);
    let node = node.at(&host);
    for reply in in_parallel(8, |_| node.pay(&recipient, "5")) {
        reply.expect_status(200);
    }
    assert_locked(&world);
    world
        .books()
        .assert_agree(&world.chain, "node_001", 160 * FLOP);
}

#[test]
fn a_wallet_that_is_not_encrypted_as_set_keeps_the_host_from_starting() {
    let mut chain = Chain::start();
    for (set, line) in [
        (
            "true",
            "wallet_encryption is true, but the chain node's wallet is not encrypted: encrypt it with encryptwallet, or set wallet_encryption to false",
        ),
        (
            "false",
            "wallet_encryption is false, but the chain node's wallet is encrypted: set wallet_encryption to true",
        ),
    ] {
        let options = || HostOptions::default().variable("wallet_encryption", set);
        let (code, said) = Host::refuses(options().on(&chain));
        assert_eq!(code, Some(2), "{said}");
        assert_eq!(said, format!("error: {line}\n"));
        // The other way round it is as set.
        if set == "true" {
            chain.encrypt(PASSPHRASE);
            Host::start(&chain, options());
        }
    }
}

/// A node that is down is no reason not to start.
#[test]
fn a_wallet_that_cannot_be_looked_at_is_warned_of() {
    let mut chain = Chain::start();
    chain.stop();
    let options = HostOptions::default().variable("wallet_encryption", "true");
    let host = Host::start(&chain, options);
    let log = host.log();
    let warning =
        "the chain node cannot be asked whether its wallet is encrypted as wallet_encryption says";
    assert!(log.contains(warning), "{log}");
}

#[test]
fn a_passphrase_for_a_wallet_that_is_not_encrypted_does_no_harm() {
    let world = World::with(HostOptions::default().variable("rpc_wallet_passphrase", PASSPHRASE));
    let node = world.funded_node("node_001", &["100"]);
    let recipient = world.chain.foreign_address();
    node.pay(&recipient, "5").expect_status(200);
}
