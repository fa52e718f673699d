//! Repeats: the same key is the same request, answered again and done once.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{Node, Reply, World};

const SEND: &str = "/wallet/node_001/send";
const NEW_ADDRESS: &str = "/wallet/node_001/new-address";

/// A signed POST with an `Idempotency-Key` header.
fn post_with_key(node: &Node, target: &str, body: &Value, key: &str) -> Reply {
    let header = [("Idempotency-Key", key)];
    node.signed("POST", target, &body.to_string(), &header)
        .unwrap()
}

fn is_replay(reply: &Reply) -> bool {
    match reply.header("idempotency-replayed") {
        None => false,
        Some(value) => {
            assert_eq!(value, "true");
            true
        }
    }
}

fn payment(recipient: &str, amount: &str) -> Value {
    json!({"recipient_address": recipient, "amount": amount})
}

#[test]
fn a_repeated_payment_gets_the_first_answer_and_pays_once() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    let body = payment(&recipient, "1.0");
    let first = post_with_key(&node, SEND, &body, "order-1").expect_status(200);
    assert!(!is_replay(&first));
    let again = post_with_key(&node, SEND, &body, "order-1").expect_status(200);
    assert!(is_replay(&again));
    assert_eq!(again.json(), first.json());
    // The same amount, written otherwise.
    let otherwise = json!({"recipient_address": recipient, "amount": 1});
    let third = post_with_key(&node, SEND, &otherwise, "order-1").expect_status(200);
    assert_eq!(third.json()["txid"], first.json()["txid"]);
    assert_eq!(world.chain.mempool().len(), 1);
    // After a block, too: then it is known as confirmed.
    world.chain.mine(1);
    assert_eq!(node.history()[0]["status"], "confirmed");
    let late = post_with_key(&node, SEND, &body, "order-1").expect_status(200);
    assert!(is_replay(&late));
    assert_eq!(late.json()["txid"], first.json()["txid"]);
    let row = &late.json()["transaction"];
    assert_eq!(row["status"], "confirmed");
    // How deep it is now is the history's to tell.
    assert!(row["block_height"].is_u64() && row["confirmations"].is_null());
}

#[test]
fn another_key_is_another_payment() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let body = payment(&world.chain.foreign_address(), "1.0");
    let first = post_with_key(&node, SEND, &body, "order-1").expect_status(200);
    let second = post_with_key(&node, SEND, &body, "order-2").expect_status(200);
    assert!(!is_replay(&second));
    assert_ne!(first.json()["txid"], second.json()["txid"]);
}

#[test]
fn a_key_is_not_for_another_payment() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    post_with_key(&node, SEND, &payment(&recipient, "1.0"), "order-1").expect_status(200);
    let other = world.chain.foreign_address();
    for body in [payment(&recipient, "1.00000001"), payment(&other, "1.0")] {
        let problem = post_with_key(&node, SEND, &body, "order-1")
            .expect_problem(422, "idempotency_key_reused");
        assert_eq!(
            problem["detail"],
            "the idempotency key was used for a request with other content"
        );
    }
    assert_eq!(world.chain.mempool().len(), 1);
}

#[test]
fn a_key_is_its_nodes_own() {
    let world = World::start();
    let one = world.funded_node("node_001", &["10.0"]);
    let two = world.funded_node("node_002", &["10.0"]);
    let recipient = world.chain.foreign_address();
    let first = one.pay_with_key(&recipient, "1.0", "order-1").json();
    let second = two.pay_with_key(&recipient, "2.0", "order-1");
    assert!(!is_replay(&second));
    let second = second.expect_status(200).json();
    assert_ne!(first["txid"], second["txid"]);
    assert_eq!(second["amount"].to_string(), "2.0");
}

#[test]
fn a_refused_payment_gives_its_key_back() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let body = payment(&world.chain.foreign_address(), "1.0");
    post_with_key(&node, SEND, &body, "order-1").expect_problem(422, "insufficient_balance");
    world.chain.faucet(&node.address(), "10.0");
    world.chain.mine(1);
    node.follow();
    let paid = post_with_key(&node, SEND, &body, "order-1").expect_status(200);
    assert!(!is_replay(&paid));
}

#[test]
fn without_a_key_the_nonce_is_the_key() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    let mut signing = node.signing();
    let mut send = |seconds_ago: i64, amount: &str| {
        signing.timestamp = tests::unix_now() - seconds_ago;
        let body = payment(&recipient, amount).to_string();
        let headers = node.headers(&signing, "POST", SEND, body.as_bytes());
        node.try_send("POST", SEND, body.as_bytes(), &headers)
            .unwrap()
    };
    let first = send(40, "1.0").expect_status(200);
    // Signed anew with the nonce of the first: a repeat, not a replay.
    let again = send(20, "1.0").expect_status(200);
    assert!(is_replay(&again));
    assert_eq!(again.json(), first.json());
    send(0, "2.0").expect_problem(422, "idempotency_key_reused");
    assert_eq!(world.chain.mempool().len(), 1);
}

#[test]
fn a_nonce_and_a_key_of_the_same_text_are_two() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let body = payment(&world.chain.foreign_address(), "1.0");
    let signing = node.signing();
    let text = body.to_string();
    let headers = node.headers(&signing, "POST", SEND, text.as_bytes());
    node.try_send("POST", SEND, text.as_bytes(), &headers)
        .unwrap()
        .expect_status(200);
    let second = post_with_key(&node, SEND, &body, &signing.nonce).expect_status(200);
    assert!(!is_replay(&second));
    assert_eq!(world.chain.mempool().len(), 2);
}

#[test]
fn the_key_may_stand_in_the_body_instead() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    let mut body = payment(&recipient, "1.0");
    body["idempotency_key"] = "order-1".into();
    let first = node.post(SEND, &body).expect_status(200);
    assert!(is_replay(&node.post(SEND, &body).expect_status(200)));
    // The header is the same thing, and both at once agree.
    let in_header = post_with_key(&node, SEND, &payment(&recipient, "1.0"), "order-1");
    assert!(is_replay(&in_header));
    assert_eq!(in_header.json()["txid"], first.json()["txid"]);
    assert!(is_replay(&post_with_key(&node, SEND, &body, "order-1")));
    assert_eq!(world.chain.mempool().len(), 1);
}

#[test]
fn header_and_body_must_not_differ() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    let other = world.node("node_002");
    let mut send = payment(&recipient, "1.0");
    let mut address = json!({});
    let mut create = json!({"node_id": "node_002", "wallet_name": "x"});
    for (node, target, body) in [
        (&node, SEND, &mut send),
        (&node, NEW_ADDRESS, &mut address),
        (&other, "/wallet/create", &mut create),
    ] {
        body["idempotency_key"] = "in-the-body".into();
        let problem = post_with_key(node, target, body, "in-the-header")
            .expect_problem(400, "invalid_request");
        assert_eq!(
            problem["detail"],
            "Idempotency-Key header and idempotency_key field differ"
        );
    }
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
}

#[test]
fn a_key_that_is_none_is_refused_and_not_ignored() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let body = payment(&world.chain.foreign_address(), "1.0");
    for key in ["", "two words", &"k".repeat(129)] {
        let problem = post_with_key(&node, SEND, &body, key).expect_problem(400, "invalid_request");
        assert_eq!(
            problem["detail"], "idempotency key must be 1 to 128 visible ASCII characters",
            "{key:?}"
        );
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")];
    node.signed("POST", SEND, &body.to_string(), &twice)
        .unwrap()
        .expect_problem(400, "invalid_request");
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
    post_with_key(&node, SEND, &body, &"k".repeat(128)).expect_status(200);
}

#[test]
fn a_repeated_creation_gets_the_first_answer() {
    let world = World::start();
    let node = world.node("node_001");
    let body = json!({"node_id": "node_001", "wallet_name": "my_wallet"});
    let first = post_with_key(&node, "/wallet/create", &body, "create-1").expect_status(200);
    assert!(!is_replay(&first));
    let again = post_with_key(&node, "/wallet/create", &body, "create-1").expect_status(200);
    assert!(is_replay(&again));
    assert_eq!(again.json(), first.json());
    let other = json!({"node_id": "node_001", "wallet_name": "another"});
    post_with_key(&node, "/wallet/create", &other, "create-1")
        .expect_problem(422, "idempotency_key_reused");
    post_with_key(&node, "/wallet/create", &body, "create-2").expect_problem(409, "wallet_exists");
    node.post("/wallet/create", &body)
        .expect_problem(409, "wallet_exists");
}

#[test]
fn a_repeated_creation_is_answered_while_the_chain_is_down() {
    let mut world = World::start();
    let node = world.node("node_001");
    let body = json!({"node_id": "node_001", "wallet_name": "my_wallet"});
    let first = post_with_key(&node, "/wallet/create", &body, "create-1").expect_status(200);
    world.chain.stop();
    let again = post_with_key(&node, "/wallet/create", &body, "create-1").expect_status(200);
    assert_eq!(again.json(), first.json());
}

#[test]
fn a_repeated_new_address_is_the_same_address() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let first = post_with_key(&node, NEW_ADDRESS, &json!({}), "address-1").expect_status(200);
    assert!(!is_replay(&first));
    let other = post_with_key(&node, NEW_ADDRESS, &json!({}), "address-2").expect_status(200);
    assert!(!is_replay(&other));
    // The first answer, although a newer address has been made since.
    let again = post_with_key(&node, NEW_ADDRESS, &json!({}), "address-1").expect_status(200);
    assert!(is_replay(&again));
    assert_eq!(again.json(), first.json());
    assert_ne!(other.json()["new_address"], first.json()["new_address"]);
    assert_eq!(node.address(), other.json()["new_address"]);
    assert_eq!(world.books().addresses_of("node_001").len(), 3);
}
