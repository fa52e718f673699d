//! Leaving the registry: what keeps a node, where its money goes, and coming back.
#![allow(clippy::unwrap_used, missing_docs)]

use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use tests::{HostOptions, Node, World, directory, eventually, follow, get, in_parallel, node_ids};

const FLOP: u64 = 100_000_000;
/// One input, one output.
const FEE: u64 = 192_000;

fn status(world: &World) -> Vec<String> {
    world.books().texts(
        "SELECT n.status || ' ' || COALESCE(w.is_active, '-') FROM nodes AS n LEFT JOIN wallets AS w USING (node_id)",
    )
}

#[test]
fn a_node_leaves_and_its_id_stays_its_keys() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let body = json!({"node_id": "node_001"});
    let reply = node
        .post("/nodes/node_001/deregister", &body)
        .expect_status(200);
    let answer = reply.json();
    assert_eq!(answer["message"], "Node node_001 is deregistered");
    assert_eq!(answer["status"], "deregistered");
    assert!(answer["deregistered_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(answer["payment"], Value::Null);
    // It is not in the list, and to be found where it is asked for.
    assert!(node_ids(&directory(&world.host, "")).is_empty());
    assert_eq!(
        node_ids(&directory(&world.host, "?status=deregistered")),
        ["node_001"]
    );
    assert_eq!(node.shown()["status"], "deregistered");
    // Nobody else gets the id; its own reads go on.
    let thief = Node {
        key: SigningKey::from_bytes(&[9; 32]),
        ..node.clone()
    };
    thief.register().expect_problem(409, "node_exists");
    let wallet = node.get("/wallet/node_001").expect_status(200).json();
    assert_eq!(wallet["is_active"], false);
    // What a node that is there does, it cannot.
    node.heartbeat(&json!({}))
        .expect_problem(409, "node_deregistered");
    node.post(
        "/nodes/node_001/capabilities",
        &json!({"capabilities": ["gpu"]}),
    )
    .expect_problem(409, "node_deregistered");
    node.post("/wallet/node_001/new-address", &json!({}))
        .expect_problem(403, "forbidden");
    node.pay(&world.chain.foreign_address(), "1")
        .expect_problem(403, "forbidden");
    let again = node.deregister(None, "again").expect_status(200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[test]
fn registering_again_with_the_same_key_brings_node_and_wallet_back() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let address = node.address();
    node.heartbeat(&json!({"version": "1"})).expect_status(200);
    node.deregister(None, "bye").expect_status(200);
    // Money that comes in while it is away waits for it.
    world.chain.faucet(&address, "100");
    world.chain.mine(1);
    follow(node.url());
    let answer = node.register().expect_status(200).json();
    assert_eq!(answer["node"]["status"], "registered");
    assert_eq!(answer["node"]["deregistered_at"], Value::Null);
    assert_eq!(answer["node"]["heartbeat"], Value::Null);
    assert_eq!(node_ids(&directory(&world.host, "")), ["node_001"]);
    assert_eq!((node.address(), node.available()), (address, 100 * FLOP));
    node.pay(&world.chain.foreign_address(), "1")
        .expect_status(200);
    world.books().assert_recount();
}

#[test]
fn a_node_that_is_gone_gets_no_wallet() {
    let world = World::start();
    let node = world.node("node_001");
    node.deregister(None, "bye").expect_status(200);
    node.create_wallet("w")
        .expect_problem(409, "node_deregistered");
    node.register().expect_status(200);
    node.create_wallet("w").expect_status(200);
}

#[test]
fn a_wallet_with_money_keeps_the_node_and_the_answer_says_what_it_holds() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let problem = node
        .deregister(None, "a")
        .expect_problem(409, "wallet_not_empty");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("100.0 FLOP that can be spent, 0.0 pending, 0.0 reserved"),
        "{detail}"
    );
    // Money from others that is not confirmed: it is not to be spent, and nothing is paid.
    world.chain.faucet(&node.address(), "7");
    follow(node.url());
    let to = world.chain.foreign_address();
    let problem = node
        .deregister(Some(&to), "b")
        .expect_problem(409, "wallet_not_empty");
    assert!(problem["detail"].as_str().unwrap().contains("7.0 pending"));
    assert_eq!(world.books().count("SELECT COUNT(*) FROM payments"), 0);
    assert_eq!(status(&world), ["registered 1"]);
    // Nor is the refused request good for later.
    let headers = node.headers(&node.signing(), "POST", "/nodes/node_001/deregister", b"");
    let ask = || {
        node.try_send("POST", "/nodes/node_001/deregister", b"", &headers)
            .unwrap()
    };
    ask().expect_problem(409, "wallet_not_empty");
    ask().expect_problem(401, "authentication_failed");
}

#[test]
fn everything_less_the_fee_goes_where_the_node_says_and_it_leaves() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let to = world.chain.foreign_address();
    let answer = node.deregister(Some(&to), "bye").expect_status(200).json();
    assert_eq!(answer["status"], "deregistered");
    let payment = &answer["payment"];
    let amount = 100 * FLOP - FEE;
    assert_eq!(payment["amount_florins"], amount.to_string());
    assert_eq!(
        (&payment["recipient"], &payment["state"]),
        (&json!(to), &json!("broadcast"))
    );
    assert_eq!(answer["holds"]["balance_florins"], "0");
    let again = node.deregister(Some(&to), "bye").expect_status(200);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json()["payment"]["payment_id"], payment["payment_id"]);
    let elsewhere = world.chain.foreign_address();
    node.deregister(Some(&elsewhere), "bye")
        .expect_problem(422, "idempotency_key_reused");
    world.chain.mine(1);
    follow(node.url());
    assert_eq!(
        world.chain.unspent_florins(std::slice::from_ref(&to)),
        amount
    );
    world
        .books()
        .assert_agree(&world.chain, "node_001", 100 * FLOP);
    world.books().assert_recount();
}

#[test]
fn the_limits_of_payments_hold_for_the_last_one() {
    let world = World::with(HostOptions::default().variable("max_transaction_amount", "50"));
    let node = world.funded_node("node_001", &["100"]);
    let to = world.chain.foreign_address();
    node.deregister(Some(&to), "a")
        .expect_problem(422, "amount_above_limit");
    let own = node.address();
    node.deregister(Some(&own), "b")
        .expect_problem(422, "invalid_address");
    node.deregister(Some("nowhere"), "c")
        .expect_problem(422, "invalid_address");
    assert_eq!(status(&world), ["registered 1"]);
    node.pay(&to, "50").expect_status(200);
    node.deregister(Some(&to), "d").expect_status(200);
}

#[test]
fn another_node_cannot_make_one_leave() {
    let world = World::start();
    let (node, other) = (world.node("node_001"), world.node("node_002"));
    other
        .post("/nodes/node_001/deregister", &json!({}))
        .expect_problem(403, "forbidden");
    node.post_as_is("/nodes/node_001/deregister", &json!({}))
        .expect_problem(401, "authentication_failed");
    node.post("/nodes/node_001/deregister", &json!({"to": "x"}))
        .expect_problem(400, "invalid_request");
    assert_eq!(status(&world), ["registered -", "registered -"]);
}

#[test]
fn many_at_once_pay_once() {
    for same_key in [true, false] {
        let world = World::start();
        let node = world.funded_node("node_001", &["100"]);
        let to = world.chain.foreign_address();
        let replies = in_parallel(6, |index| {
            let key = if same_key {
                "bye".to_owned()
            } else {
                format!("bye-{index}")
            };
            node.deregister(Some(&to), &key)
        });
        assert!(replies.iter().any(|reply| reply.status == 200));
        for reply in &replies {
            assert!([200, 409, 503].contains(&reply.status), "{}", reply.text());
        }
        assert_eq!(status(&world), ["deregistered 0"]);
        assert_eq!(world.books().payments("broadcast"), 1);
        assert_eq!(world.chain.mempool().len(), 1);
        world
            .books()
            .assert_agree(&world.chain, "node_001", 100 * FLOP);
    }
}

#[test]
fn a_host_that_is_killed_while_it_pays_out_pays_once_and_a_repeat_completes_it() {
    for (method, when) in [
        ("signrawtransaction", "before"),
        ("signrawtransaction", "after"),
        ("sendrawtransaction", "before"),
        ("sendrawtransaction", "after"),
    ] {
        let mut world = World::with(HostOptions::default().without_first_tick());
        let node = world.funded_node("node_001", &["100"]);
        let to = world.chain.foreign_address();
        world
            .chain
            .fault(json!({"method": method, "when": when, "action": "hang", "times": 1}));
        std::thread::scope(|scope| {
            let leaving = scope.spawn(|| {
                let target = "/nodes/node_001/deregister";
                let body = json!({"send_to": to}).to_string();
                node.signed("POST", target, &body, &[("Idempotency-Key", "bye")])
            });
            world.chain.wait_for_fault();
            world.host.kill();
            assert!(leaving.join().unwrap().is_err(), "the answer is lost");
        });
        world.chain.clear_faults();
        world.host.restart();
        world.books().expire_leases();
        let node = node.at(&world.host);
        assert_eq!(node.shown()["status"], "registered", "{method} {when}");
        let answer = node.deregister(Some(&to), "bye").expect_status(200).json();
        assert_eq!(answer["status"], "deregistered", "{method} {when}");
        world.chain.mine(1);
        follow(node.url());
        assert_eq!(
            world.chain.unspent_florins(std::slice::from_ref(&to)),
            100 * FLOP - FEE
        );
        world
            .books()
            .assert_agree(&world.chain, "node_001", 100 * FLOP);
    }
}

#[test]
fn a_payment_without_an_answer_is_202_and_the_node_is_still_there() {
    let world = World::with(HostOptions::default().variable("rpc_timeout_seconds", "1"));
    let node = world.funded_node("node_001", &["100"]);
    let to = world.chain.foreign_address();
    world.chain.fault(
        json!({"method": "sendrawtransaction", "when": "before", "action": "drop", "times": 1}),
    );
    let answer = node.deregister(Some(&to), "bye").expect_status(202).json();
    assert_eq!(answer["status"], "registered");
    assert_eq!(answer["payment"]["state"], "signed");
    assert_eq!(
        answer["holds"]["reserved_florins"],
        (100 * FLOP).to_string()
    );
    world.chain.clear_faults();
    eventually("a repeat completes it", || {
        node.deregister(Some(&to), "bye").status == 200
    });
    assert_eq!(world.chain.mempool().len(), 1);
    assert_eq!(
        get(&format!("{}/nodes/node_001", node.url())).json()["node"]["status"],
        "deregistered"
    );
}
