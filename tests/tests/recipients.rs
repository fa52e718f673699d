//! Whom a wallet may pay, by its node's own rules.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{HostOptions, Node, Reply, World, in_parallel};

const TARGET: &str = "/wallet/node_001/recipients";

fn change(node: &Node, body: &Value) -> Reply {
    node.post(TARGET, body)
}

fn shown(node: &Node) -> Value {
    node.get("/wallet/node_001/recipients")
        .expect_status(200)
        .json()
}

#[test]
fn a_wallets_rules_are_shown_and_changed_by_its_node_alone() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let (friend, thief) = (world.chain.foreign_address(), world.chain.foreign_address());
    assert_eq!(
        shown(&node),
        json!({
            "success": true, "node_id": "node_001", "whitelist_only": false, "allow": [], "deny": [],
            "pending": [], "delay_seconds": 86400,
        })
    );
    let body =
        json!({"node_id": "node_001", "allow": [friend], "deny": [thief], "whitelist_only": true});
    let changed = node
        .post("/wallet/node_001/recipients", &body)
        .expect_status(200);
    assert_eq!(changed.json(), shown(&node));
    assert_eq!(shown(&node)["allow"], json!([friend]));
    assert_eq!(shown(&node)["whitelist_only"], true);
    node.pay(&friend, "1").expect_status(200);
    let problem = node.pay_with_key(&thief, "1", "k");
    problem.expect_problem(403, "recipient_not_allowed");
    let unlisted = world.chain.foreign_address();
    node.pay(&unlisted, "1")
        .expect_problem(403, "recipient_not_allowed");

    let other = world.node_with_wallet("node_002");
    other.get(TARGET).expect_problem(403, "forbidden");
    let theirs = other.post(TARGET, &json!({"whitelist_only": false}));
    theirs.expect_problem(403, "forbidden");
    let nobody = node.try_send("GET", TARGET, b"", &[]).unwrap();
    nobody.expect_problem(401, "authentication_failed");
    assert_eq!(world.chain.mempool().len(), 1);
    world.books().assert_recount();
}

#[test]
fn what_loosens_is_shown_as_pending_and_can_be_cancelled() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let (friend, thief) = (world.chain.foreign_address(), world.chain.foreign_address());
    change(&node, &json!({"deny": [thief], "whitelist_only": true})).expect_status(200);
    let body = json!({"allow": [friend], "remove": [thief], "whitelist_only": false});
    let pending = change(&node, &body).expect_status(200).json();
    assert_eq!(pending["whitelist_only"], true);
    assert_eq!(pending["allow"], json!([]));
    assert_eq!(pending["deny"], json!([thief]));
    let mut waits: Vec<(String, Value)> = pending["pending"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["change"].as_str().unwrap().to_owned(),
                entry["address"].clone(),
            )
        })
        .collect();
    waits.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        waits,
        [
            ("allow".to_owned(), json!(friend)),
            ("end_of_deny".to_owned(), json!(thief)),
            ("end_of_whitelist_only".to_owned(), Value::Null),
        ]
    );
    node.pay(&friend, "1")
        .expect_problem(403, "recipient_not_allowed");
    let body = json!({"deny": [thief], "remove": [friend], "whitelist_only": true});
    let cancelled = change(&node, &body).expect_status(200).json();
    assert_eq!(cancelled["pending"], json!([]));
    assert_eq!(cancelled["deny"], json!([thief]));
    let events = world
        .books()
        .texts("SELECT type FROM events WHERE type = 'recipients.changed'");
    assert_eq!(events.len(), 3);
}

#[test]
fn the_delay_is_the_operators() {
    let world = World::with(HostOptions::default().variable("recipient_policy_delay", "0"));
    let node = world.funded_node("node_001", &["100"]);
    let friend = world.chain.foreign_address();
    change(&node, &json!({"whitelist_only": true})).expect_status(200);
    node.pay(&friend, "1")
        .expect_problem(403, "recipient_not_allowed");
    change(&node, &json!({"allow": [friend]})).expect_status(200);
    node.pay(&friend, "1").expect_status(200);
    change(&node, &json!({"whitelist_only": false})).expect_status(200);
    assert_eq!(shown(&node)["whitelist_only"], false);
    node.pay(&world.chain.foreign_address(), "1")
        .expect_status(200);
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let address = world.chain.foreign_address();
    for (body, status, code) in [
        (json!({}), 400, "invalid_request"),
        (json!({"allow": address}), 400, "invalid_request"),
        (json!({"allow": [address, address]}), 422, "invalid_value"),
        (
            json!({"allow": [address], "deny": [address]}),
            422,
            "invalid_value",
        ),
        (
            json!({"deny": [address, "nowhere"]}),
            422,
            "invalid_address",
        ),
        (
            json!({"deny": [format!(" {address}")]}),
            422,
            "invalid_address",
        ),
        (
            json!({"deny": ["FPJPzU3BkbZGWJ6nyDFWjqFzZaaFmKwpcW"]}),
            422,
            "invalid_address",
        ),
        (json!({"whitelist_only": 1}), 400, "invalid_request"),
        (
            json!({"node_id": "node_002", "whitelist_only": true}),
            400,
            "invalid_request",
        ),
        (json!({"whitelist": true}), 400, "invalid_request"),
    ] {
        change(&node, &body).expect_problem(status, code);
    }
    assert_eq!(shown(&node)["deny"], json!([]));
    let nobody = world.node("node_002");
    nobody
        .get("/wallet/node_002/recipients")
        .expect_problem(404, "wallet_not_found");
}

#[test]
fn a_change_is_good_once() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let body = r#"{"whitelist_only":true}"#;
    let headers = node.headers(&node.signing(), "POST", TARGET, body.as_bytes());
    let send = || {
        node.try_send("POST", TARGET, body.as_bytes(), &headers)
            .unwrap()
    };
    send().expect_status(200);
    send().expect_problem(401, "authentication_failed");
}

#[test]
fn changes_and_sends_at_once_leave_no_payment_after_the_denial() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10"; 20]);
    let thief = world.chain.foreign_address();
    let replies = in_parallel(16, |i| {
        if i == 8 {
            change(&node, &json!({"deny": [thief]}))
        } else {
            node.pay(&thief, "5")
        }
    });
    let paid = replies.iter().filter(|reply| reply.status == 200).count() - 1;
    node.pay(&thief, "5")
        .expect_problem(403, "recipient_not_allowed");
    assert_eq!(world.chain.mempool().len(), paid);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.clone().expect_problem(403, "recipient_not_allowed");
    }
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 200 * 100_000_000);
    books.assert_recount();
}
