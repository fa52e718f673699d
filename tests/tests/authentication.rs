//! Who may ask: signatures in both forms, and every way to get one wrong.
#![allow(clippy::unwrap_used, missing_docs)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use duxnet_units::Network;
use serde_json::{Value, json};
use tests::{
    Chain, Host, HostOptions, Node, Reply, Signing, TRACKER_TOKEN, World, in_parallel, unix_now,
};

const BALANCE: &str = "/wallet/node_001/balance";
const SEND: &str = "/wallet/node_001/send";
const NEW_ADDRESS: &str = "/wallet/node_001/new-address";
/// By the id of a payment that there is not.
const TRANSACTION: &str = "/wallet/node_001/transactions/0123456789abcdef0123456789abcdef";

/// A GET of the balance, signed by `node` as `signing` says.
fn balance(node: &Node, signing: &Signing) -> Reply {
    let headers = node.headers(signing, "GET", BALANCE, b"");
    node.try_send("GET", BALANCE, b"", &headers).unwrap()
}

/// A POST with these headers.
fn post(node: &Node, target: &str, body: &str, headers: &[(String, String)]) -> Reply {
    node.try_send("POST", target, body.as_bytes(), headers)
        .unwrap()
}

fn send_body(recipient: &str, amount: &str) -> Value {
    json!({"node_id": "node_001", "recipient_address": recipient, "amount": amount})
}

fn assert_refused(reply: Reply, what: &str) -> Value {
    assert_eq!(reply.status, 401, "{what}: {}", reply.text());
    let body = reply.expect_problem(401, "authentication_failed");
    assert_eq!(body["message"], "Authentication failed", "{what}");
    body
}

#[test]
fn the_header_form_signs_reads_and_writes_in_hex_and_base64url() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    let body = send_body(&recipient, "1.0").to_string();
    let received = node.history()[0]["txid"].as_str().unwrap().to_owned();
    let transaction = format!("/wallet/node_001/transactions/{received}");
    for (method, target, body) in [
        ("GET", "/wallet/node_001", ""),
        ("GET", BALANCE, ""),
        ("GET", "/wallet/node_001/transactions?limit=5", ""),
        ("GET", &transaction, ""),
        ("POST", NEW_ADDRESS, "{}"),
        ("POST", NEW_ADDRESS, ""),
        ("POST", SEND, &body),
    ] {
        let signing = node.signing();
        let mut headers = node.headers(&signing, method, target, body.as_bytes());
        let signature = hex::decode(&headers[3].1).unwrap();
        headers[3].1 = URL_SAFE_NO_PAD.encode(signature);
        node.try_send(method, target, body.as_bytes(), &headers)
            .unwrap()
            .expect_status(200);
        node.signed(method, target, body, &[])
            .unwrap()
            .expect_status(200);
    }
}

#[test]
fn the_body_form_signs_every_post() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let signed = |target: &str, body: &Value| {
        node.post_as_is(
            target,
            &node.body_form(&node.signing(), "POST", target, body),
        )
    };
    let registration = json!({"node_id": "node_001", "public_key": node.public_key()});
    signed("/nodes/register", &registration).expect_status(201);
    let wallet = json!({"node_id": "node_001", "wallet_name": "Gerät 1 \u{1F600}"});
    signed("/wallet/create", &wallet).expect_status(200);
    signed(NEW_ADDRESS, &json!({})).expect_status(200);
    world.chain.faucet(&node.address(), "10.0");
    world.chain.mine(1);
    node.follow();
    let recipient = world.chain.foreign_address();
    signed(SEND, &send_body(&recipient, "1.5")).expect_status(200);
}

#[test]
fn the_body_form_covers_the_canonical_form_whatever_the_text_looks_like() {
    let world = World::start();
    let node = world.funded_node("node_001", &["100.0"]);
    let recipient = world.chain.foreign_address();
    let signing = node.signing();
    // Written by hand: keys sorted, no blanks, 50.0 as 50, the escape resolved.
    let canonical =
        format!(r#"{{"amount":50,"node_id":"node_001","recipient_address":"{recipient}"}}"#);
    let signature = node.sign(&signing, "POST", SEND, canonical.as_bytes());
    let body = format!(
        r#"{{
            "recipient_address": "{recipient}",
            "node_id": "node\u005f001",
            "auth_data": {{"timestamp": {}, "nonce": "{}", "signature": "{signature}"}},
            "amount": 50.0
        }}"#,
        signing.timestamp, signing.nonce
    );
    post(&node, SEND, &body, &[]).expect_status(200);
}

#[test]
fn a_body_signature_needs_no_nonce() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let mut signing = node.signing();
    signing.nonce = String::new();
    let mut body = node.body_form(&signing, "POST", NEW_ADDRESS, &json!({}));
    body["auth_data"].as_object_mut().unwrap().remove("nonce");
    node.post_as_is(NEW_ADDRESS, &body).expect_status(200);
    assert_refused(node.post_as_is(NEW_ADDRESS, &body), "a replay");
}

#[test]
fn without_a_signature_nothing_is_answered() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let recipient = world.chain.foreign_address();
    let create = json!({"node_id": "node_001", "wallet_name": "x"});
    let registration = json!({"node_id": "node_001", "public_key": node.public_key()});
    for (method, target, body) in [
        ("GET", "/wallet/node_001", Value::Null),
        ("GET", BALANCE, Value::Null),
        ("GET", "/wallet/node_001/transactions", Value::Null),
        ("GET", TRANSACTION, Value::Null),
        ("POST", NEW_ADDRESS, json!({})),
        ("POST", SEND, send_body(&recipient, "1.0")),
        ("POST", "/wallet/create", create),
        ("POST", "/nodes/register", registration),
    ] {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let reply = node.try_send(method, target, body.as_bytes(), &[]).unwrap();
        let problem = assert_refused(reply, target);
        assert_eq!(problem["detail"], "the request is not signed", "{target}");
    }
    assert_eq!(world.books().addresses_of("node_001").len(), 1);
}

/// The tracker is called by the operator, not by a node: a node's signature opens nothing there.
#[test]
fn a_nodes_signature_does_not_open_the_internal_routes() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    for target in ["/internal/tracker/tick", "/internal/tracker/resume-sends"] {
        let reply = node.signed("POST", target, "", &[]).unwrap();
        let problem = assert_refused(reply, target);
        assert_eq!(
            problem["detail"],
            "Authorization must be Bearer and the tracker_token"
        );
    }
    // Nor the other way round.
    let authorization = format!("Bearer {TRACKER_TOKEN}");
    let headers = [("Authorization".to_owned(), authorization)];
    assert_refused(
        node.try_send("GET", BALANCE, b"", &headers).unwrap(),
        "the operator's token",
    );
}

#[test]
fn an_unknown_node_looks_like_a_wrong_signature() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let stranger = Node::new(&world.host, "ghost");
    let unknown = stranger.get("/wallet/ghost");
    let mut impostor = node.clone();
    impostor.key = stranger.key.clone();
    let wrong = impostor.get("/wallet/node_001");
    assert_eq!(unknown.status, 401);
    assert_eq!(unknown.json(), wrong.json());
}

#[test]
fn a_signature_that_is_not_exactly_right_is_refused() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let signing = node.signing();
    let right = node.sign(&signing, "GET", BALANCE, b"");
    let mut bytes = hex::decode(&right).unwrap();
    bytes[0] ^= 1;
    let flipped = hex::encode(&bytes);
    bytes[0] ^= 1;
    // S plus the group's order: the same signature to a lax verifier.
    bytes[63] |= 0x10;
    let malleated = hex::encode(&bytes);
    for (what, signature) in [
        ("empty", String::new()),
        ("no signature", "abc123...".to_owned()),
        ("a bit flipped", flipped),
        ("not canonical", malleated),
        ("too short", right[..126].to_owned()),
        ("too long", format!("{right}00")),
        ("all zero", "0".repeat(128)),
    ] {
        let mut headers = node.headers(&signing, "GET", BALANCE, b"");
        headers[3].1 = signature;
        assert_refused(node.try_send("GET", BALANCE, b"", &headers).unwrap(), what);
    }
    // None of these used up the nonce.
    balance(&node, &signing).expect_status(200);
}

#[test]
fn headers_that_are_missing_malformed_or_twice_are_refused() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let honest = || node.headers(&node.signing(), "GET", BALANCE, b"");
    let try_headers =
        |headers: &[(String, String)]| node.try_send("GET", BALANCE, b"", headers).unwrap();
    for index in 0..4 {
        let mut headers = honest();
        let (name, _) = headers.remove(index);
        assert_refused(try_headers(&headers), &format!("without {name}"));
        let mut headers = honest();
        headers.push(headers[index].clone());
        assert_refused(try_headers(&headers), &format!("{name} twice"));
    }
    for (index, value) in [
        (0, "no such id!"),
        (0, "create"),
        (1, "1640995200.5"),
        (1, "now"),
        (1, "99999999999999999999"),
        (2, "short"),
        (2, "with blanks in it"),
        (2, &"n".repeat(65)),
    ] {
        let mut headers = honest();
        headers[index].1 = value.to_owned();
        assert_refused(try_headers(&headers), value);
    }
}

#[test]
fn a_time_outside_the_window_is_refused_and_the_service_tells_its_own() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let now = unix_now();
    for (timestamp, detail) in [
        (now - 180, "timestamp is more than 120 s old"),
        (0, "timestamp is more than 120 s old"),
        (now + 90, "timestamp is more than 30 s ahead"),
        (
            now * 1000,
            "timestamp must be unix seconds, not milliseconds",
        ),
    ] {
        let mut signing = node.signing();
        signing.timestamp = timestamp;
        let problem = assert_refused(balance(&node, &signing), detail);
        assert_eq!(problem["detail"], detail);
        let server_time = problem["server_time"].as_i64().unwrap();
        assert!((now..=unix_now()).contains(&server_time), "{problem}");
        // The service's time makes the next one right.
        signing.timestamp = server_time;
        balance(&node, &signing).expect_status(200);
    }
    for timestamp in [now - 60, now + 10] {
        let mut signing = node.signing();
        signing.timestamp = timestamp;
        balance(&node, &signing).expect_status(200);
    }
}

#[test]
fn the_body_form_has_the_same_window() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    for timestamp in [unix_now() - 180, unix_now() + 90, unix_now() * 1000] {
        let mut signing = node.signing();
        signing.timestamp = timestamp;
        let body = node.body_form(&signing, "POST", NEW_ADDRESS, &json!({}));
        let problem = assert_refused(node.post_as_is(NEW_ADDRESS, &body), "the body form");
        assert!(problem["server_time"].is_i64(), "{problem}");
    }
}

#[test]
fn only_a_fault_of_time_tells_the_services_time() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let mut impostor = node.clone();
    impostor.key = Node::new(&world.host, "ghost").key;
    let problem = assert_refused(impostor.get(BALANCE), "another key");
    assert_eq!(problem.get("server_time"), None);
}

#[test]
fn a_read_is_answered_once_per_signature() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let signing = node.signing();
    balance(&node, &signing).expect_status(200);
    let problem = assert_refused(balance(&node, &signing), "a replay");
    assert_eq!(
        problem["detail"],
        "the signature was used before; sign each request anew"
    );
}

#[test]
fn of_many_copies_at_once_one_passes() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let signing = node.signing();
    let replies = in_parallel(8, |_| balance(&node, &signing));
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    let refused = replies.iter().filter(|reply| reply.status == 401).count();
    assert_eq!((passed, refused), (1, 7));
}

#[test]
fn a_write_has_its_effect_once_per_signature() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let body = send_body(&world.chain.foreign_address(), "1.0").to_string();
    let headers = node.headers(&node.signing(), "POST", SEND, body.as_bytes());
    post(&node, SEND, &body, &headers).expect_status(200);
    assert_refused(post(&node, SEND, &body, &headers), "the payment again");
    // Another idempotency key, which no signature covers, does not make it another request.
    let mut with_key = headers.clone();
    with_key.push(("Idempotency-Key".into(), "another".into()));
    assert_refused(post(&node, SEND, &body, &with_key), "with another key");
    assert_eq!(world.chain.mempool().len(), 1);

    let headers = node.headers(&node.signing(), "POST", NEW_ADDRESS, b"");
    post(&node, NEW_ADDRESS, "", &headers).expect_status(200);
    assert_refused(post(&node, NEW_ADDRESS, "", &headers), "the address again");
    assert_eq!(world.books().addresses_of("node_001").len(), 2);
}

#[test]
fn a_signature_is_used_up_in_either_encoding_and_after_a_restart() {
    let mut world = World::start();
    let node = world.node_with_wallet("node_001");
    let mut headers = node.headers(&node.signing(), "GET", BALANCE, b"");
    let again = |node: &Node, headers: &[(String, String)]| {
        node.try_send("GET", BALANCE, b"", headers).unwrap()
    };
    again(&node, &headers).expect_status(200);
    headers[3].1 = URL_SAFE_NO_PAD.encode(hex::decode(&headers[3].1).unwrap());
    assert_refused(again(&node, &headers), "as base64url");
    world.host.restart();
    let node = node.at(&world.host);
    assert_refused(again(&node, &headers), "after a restart");
}

#[test]
fn a_refused_payments_signature_is_no_good_later() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let body = send_body(&world.chain.foreign_address(), "1.0").to_string();
    let headers = node.headers(&node.signing(), "POST", SEND, body.as_bytes());
    post(&node, SEND, &body, &headers).expect_problem(422, "insufficient_balance");
    world.chain.faucet(&node.address(), "10.0");
    world.chain.mine(1);
    assert_eq!(node.available(), 1_000_000_000);
    assert_refused(post(&node, SEND, &body, &headers), "once there is money");
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
}

#[test]
fn a_failed_requests_signature_is_no_good_once_the_chain_is_back() {
    let world = World::start();
    let rich = world.funded_node("node_001", &["10.0"]);
    let poor = world.node("node_002");
    let wallet = json!({"node_id": "node_002", "wallet_name": "x"}).to_string();
    let payment = send_body(&world.chain.foreign_address(), "1.0").to_string();
    let requests: Vec<_> = [
        (&poor, "/wallet/create", wallet.as_str()),
        (&rich, NEW_ADDRESS, ""),
        (&rich, SEND, payment.as_str()),
    ]
    .into_iter()
    .map(|(node, target, body)| {
        let headers = node.headers(&node.signing(), "POST", target, body.as_bytes());
        (node, target, body, headers)
    })
    .collect();
    world.books().empty_pool();
    for method in ["getnewaddress", "signrawtransaction"] {
        let refusal = json!({"method": method, "when": "before", "action": "error"});
        world.chain.fault(refusal);
    }
    for (node, target, body, headers) in &requests {
        let reply = post(node, target, body, headers);
        assert!(reply.status >= 500, "{target}: {}", reply.text());
    }
    world.chain.clear_faults();
    for (node, target, body, headers) in &requests {
        assert_refused(post(node, target, body, headers), target);
    }
    // Signed anew, they pass.
    for (node, target, body, _) in &requests {
        node.signed("POST", target, body, &[])
            .unwrap()
            .expect_status(200);
    }
}

#[test]
fn a_misread_requests_signature_is_no_good_when_its_headers_are_mended() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let body = send_body(&world.chain.foreign_address(), "1.0").to_string();
    let headers = node.headers(&node.signing(), "POST", SEND, body.as_bytes());
    let mut with_bad_key = headers.clone();
    with_bad_key.push(("Idempotency-Key".into(), "k".repeat(129)));
    post(&node, SEND, &body, &with_bad_key).expect_problem(400, "invalid_request");
    assert_refused(post(&node, SEND, &body, &headers), "without the key");
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
}

#[test]
fn one_nodes_signature_does_not_open_anothers_wallet() {
    let world = World::start();
    let victim = world.funded_node("node_001", &["10.0"]);
    let other = world.node_with_wallet("node_002");
    let recipient = world.chain.foreign_address();
    for (method, target, body) in [
        ("GET", "/wallet/node_001", String::new()),
        ("GET", BALANCE, String::new()),
        ("GET", "/wallet/node_001/transactions", String::new()),
        ("GET", TRANSACTION, String::new()),
        ("POST", NEW_ADDRESS, String::new()),
        ("POST", SEND, send_body(&recipient, "1.0").to_string()),
    ] {
        let reply = other.signed(method, target, &body, &[]).unwrap();
        let problem = reply.expect_problem(403, "forbidden");
        assert_eq!(
            problem["detail"],
            "the signature is valid, but another node's"
        );
    }
    // In the body form the path says whose signature it is.
    let mut as_other = other.clone();
    as_other.id = victim.id.clone();
    let signing = as_other.signing();
    let body = as_other.body_form(&signing, "POST", SEND, &send_body(&recipient, "1.0"));
    assert_refused(other.post_as_is(SEND, &body), "in the body");
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
    assert_eq!(victim.available(), 1_000_000_000);
}

#[test]
fn a_body_for_another_node_than_the_paths_is_refused() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    world.node_with_wallet("node_002");
    let mut body = send_body(&world.chain.foreign_address(), "1.0");
    body["node_id"] = "node_002".into();
    node.post(SEND, &body)
        .expect_problem(400, "invalid_request");
    // Creating a wallet for another node: the body says whose.
    let body = json!({"node_id": "node_002", "wallet_name": "x"});
    node.post("/wallet/create", &body)
        .expect_problem(403, "forbidden");
}

#[test]
fn a_signature_for_another_network_is_refused() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    for network in [Network::Main, Network::Test] {
        let mut signing = node.signing();
        signing.network = network;
        assert_refused(balance(&node, &signing), network.audience());
    }
}

#[test]
fn a_signature_for_another_request_is_refused() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    let body = send_body(&recipient, "1.0").to_string();
    let more = send_body(&recipient, "9.0").to_string();
    let history = "/wallet/node_001/transactions?limit=5";
    for (signed, sent) in [
        (("POST", BALANCE, ""), ("GET", BALANCE, "")),
        (("get", BALANCE, ""), ("GET", BALANCE, "")),
        (("GET", "/wallet/node_001", ""), ("GET", BALANCE, "")),
        (
            ("GET", "/wallet/node_001/transactions", ""),
            ("GET", history, ""),
        ),
        (
            ("GET", "/wallet/node_001/transactions?limit=50", ""),
            ("GET", history, ""),
        ),
        (
            ("GET", "/wallet/node_001/transactions", ""),
            ("GET", TRANSACTION, ""),
        ),
        (("POST", SEND, body.as_str()), ("POST", SEND, more.as_str())),
        (("POST", SEND, ""), ("POST", SEND, more.as_str())),
        (("POST", NEW_ADDRESS, "{}"), ("POST", NEW_ADDRESS, "{ }")),
    ] {
        let headers = node.headers(&node.signing(), signed.0, signed.1, signed.2.as_bytes());
        let reply = node
            .try_send(sent.0, sent.1, sent.2.as_bytes(), &headers)
            .unwrap();
        assert_refused(reply, &format!("{signed:?} sent as {sent:?}"));
    }
    // In the body form, too.
    let mut body = node.body_form(&node.signing(), "POST", SEND, &send_body(&recipient, "1.0"));
    body["amount"] = "9.0".into();
    assert_refused(node.post_as_is(SEND, &body), "another amount");
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
}

#[test]
fn both_forms_at_once_are_refused() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let body = node.body_form(&node.signing(), "POST", NEW_ADDRESS, &json!({}));
    let problem = node
        .post(NEW_ADDRESS, &body)
        .expect_problem(400, "invalid_request");
    assert_eq!(
        problem["detail"],
        "signed in headers and in auth_data; use one"
    );
    assert_eq!(world.books().addresses_of("node_001").len(), 1);
}

#[test]
fn malformed_auth_data_is_no_signature() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let now = unix_now();
    for auth_data in [
        json!(null),
        json!("signature"),
        json!([]),
        json!({}),
        json!({"signature": "abc123..."}),
        json!({"timestamp": now}),
        json!({"signature": "abc123...", "timestamp": now}),
        json!({"signature": 1, "timestamp": now}),
        json!({"signature": "00", "timestamp": "now"}),
        json!({"signature": "00", "timestamp": now, "nonce": 5}),
        json!({"signature": "00", "timestamp": now, "extra": "x"}),
    ] {
        let reply = node.post_as_is(NEW_ADDRESS, &json!({"auth_data": auth_data}));
        assert_refused(reply, &auth_data.to_string());
    }
}

#[test]
fn a_weak_key_cannot_be_registered() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let identity = format!("01{}", "00".repeat(31));
    for (key, detail) in [
        (identity, "public_key is a weak Ed25519 key"),
        ("00".repeat(32), "public_key is a weak Ed25519 key"),
        (
            "abc123".to_owned(),
            "public_key must be 32 bytes as 64 hex digits or 43 characters of base64url",
        ),
    ] {
        let body = json!({"node_id": "node_001", "public_key": key});
        let problem = node
            .post("/nodes/register", &body)
            .expect_problem(422, "invalid_value");
        assert_eq!(problem["detail"], detail);
    }
    let known = tests::get(&format!("{}/nodes", world.host.url())).json();
    assert_eq!(known["nodes"], json!([]));
}

#[test]
fn a_strangers_failures_do_not_lock_the_node_out() {
    let options = HostOptions::default().variable("max_transactions_per_window", "1");
    let world = World::with(options);
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    let mut impostor = node.clone();
    impostor.key = Node::new(&world.host, "ghost").key;
    for _ in 0..30 {
        assert_refused(impostor.pay(&recipient, "1.0"), "the impostor");
    }
    // Even with the very nonce of the node's next request.
    let body = send_body(&recipient, "1.0").to_string();
    let signing = node.signing();
    let forged = impostor.headers(&signing, "POST", SEND, body.as_bytes());
    assert_refused(post(&node, SEND, &body, &forged), "the same nonce");
    let headers = node.headers(&signing, "POST", SEND, body.as_bytes());
    post(&node, SEND, &body, &headers).expect_status(200);
}

#[test]
fn requests_without_signatures_are_for_regtest_only() {
    let chain = Chain::start();
    for network in ["main", "test"] {
        let options = HostOptions::default()
            .variable("network", network)
            .variable("auth_mode", "off")
            .on(&chain);
        let (code, said) = Host::refuses(options);
        assert_ne!(code, Some(0), "{said}");
        let line = r#"auth_mode is "off"; allowed only with network "regtest""#;
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn signatures_and_passwords_stay_out_of_the_log() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let signing = node.signing();
    balance(&node, &signing).expect_status(200);
    assert_refused(balance(&node, &signing), "a replay");
    let log = world.host.log();
    assert!(!log.contains(world.chain.password()));
    assert!(!log.contains(&node.sign(&signing, "GET", BALANCE, b"")));
    assert!(!log.contains(&signing.nonce));
}
