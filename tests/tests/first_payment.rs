//! The main job, once through: register, create, be paid, pay, see it confirm.
#![allow(clippy::unwrap_used, missing_docs)]

use tests::World;

#[test]
fn a_node_registers_gets_a_wallet_is_paid_and_pays() {
    let world = World::start();
    let node = world.funded_node("node_001", &["150.75"]);
    assert_eq!(node.balance()["balance"].to_string(), "150.75");

    let recipient = world.chain.foreign_address();
    let sent = node.pay(&recipient, "50.0").expect_status(200).json();
    assert_eq!(sent["success"], true);
    assert_eq!(sent["amount"].to_string(), "50.0");
    assert_eq!(sent["recipient"], recipient.as_str());
    assert_eq!(sent["transaction"]["status"], "pending");
    assert!(
        world
            .chain
            .mempool()
            .contains(&sent["txid"].as_str().unwrap().to_owned())
    );

    assert_eq!(node.history()[0]["status"], "pending");
    world.chain.mine(1);
    let row = node.history()[0].clone();
    assert_eq!(
        (&row["status"], &row["txid"]),
        (&"confirmed".into(), &sent["txid"])
    );
    world
        .books()
        .assert_agree(&world.chain, "node_001", 15_075_000_000);
}
