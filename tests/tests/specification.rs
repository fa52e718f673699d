//! The specification's endpoints: every field of every answer, and every error word for word.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{HostOptions, Node, Reply, World};

/// A JSON number with exactly this text: 50.0 is not 50.00 and not 50.
fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The member, if it is a point in time as the specification writes it: `2024-01-01T00:00:00Z`.
fn time(value: &Value) -> Value {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z", "{value}");
    value.clone()
}

/// The member, if it is lower-case hex of that many digits.
fn hex(value: &Value, digits: usize) -> Value {
    let text = value.as_str().unwrap_or_default();
    let is_hex = text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    assert!(text.len() == digits && is_hex, "{value}");
    value.clone()
}

/// The specification's fields stand first and in its order.
fn assert_order(reply: &Reply, fields: &[&str]) {
    let text = reply.text();
    let mut from = 0;
    for field in fields {
        let at = text[from..].find(&format!("\"{field}\":"));
        assert!(at.is_some(), "{field} is not where it must be in {text}");
        from += at.unwrap() + field.len();
    }
}

fn assert_plain_json(reply: &Reply) {
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let length = reply.body.len().to_string();
    assert_eq!(reply.header("content-length"), Some(length.as_str()));
}

/// What every problem has, exactly: nothing else may leak into it.
fn problem(status: u16, code: &str, title: &str, message: &str, detail: &str) -> Value {
    let mut body = json!({
        "success": false,
        "message": message,
        "code": code,
        "type": format!("urn:duxnet:problem:{code}"),
        "title": title,
        "status": status,
        "retryable": false,
    });
    if !detail.is_empty() {
        body["detail"] = detail.into();
    }
    body
}

fn send(node: &Node, recipient: &str, amount: &str) -> Reply {
    let body =
        format!(r#"{{"node_id":"node_001","recipient_address":"{recipient}","amount":{amount}}}"#);
    node.signed("POST", "/wallet/node_001/send", &body, &[])
        .unwrap()
}

#[test]
fn create_wallet() {
    let world = World::start();
    let node = world.node("node_001");
    let reply = node
        .post(
            "/wallet/create",
            &json!({"node_id": "node_001", "wallet_name": "my_wallet"}),
        )
        .expect_status(200);
    assert_plain_json(&reply);
    let body = reply.json();
    let wallet = &body["wallet"];
    assert_eq!(
        body,
        json!({
            "success": true,
            "message": "Wallet my_wallet created successfully",
            "wallet": {
                "id": 1,
                "node_id": "node_001",
                "wallet_name": "my_wallet",
                "address": world.books().addresses_of("node_001")[0],
                "wallet_type": "flopcoin",
                "balance": number("0.0"),
                "is_active": true,
                "created_at": time(&wallet["created_at"]),
                "updated_at": time(&wallet["updated_at"]),
                "balance_florins": "0",
            },
        })
    );
    assert_order(
        &reply,
        &[
            "success",
            "message",
            "wallet",
            "id",
            "node_id",
            "wallet_name",
            "address",
            "wallet_type",
            "balance",
            "is_active",
            "created_at",
        ],
    );
}

#[test]
fn get_wallet_information() {
    let world = World::start();
    let node = world.funded_node("node_001", &["150.75"]);
    let reply = node.get("/wallet/node_001").expect_status(200);
    assert_plain_json(&reply);
    let body = reply.json();
    assert_eq!(
        body,
        json!({
            "id": 1,
            "node_id": "node_001",
            "wallet_name": "my_wallet",
            "address": world.books().addresses_of("node_001")[0],
            "wallet_type": "flopcoin",
            "balance": number("150.75"),
            "is_active": true,
            "created_at": time(&body["created_at"]),
            "updated_at": time(&body["updated_at"]),
            "balance_florins": "15075000000",
        })
    );
    assert_order(
        &reply,
        &[
            "id",
            "node_id",
            "wallet_name",
            "address",
            "wallet_type",
            "balance",
            "is_active",
            "created_at",
            "updated_at",
        ],
    );
}

#[test]
fn get_wallet_balance() {
    let world = World::start();
    let node = world.funded_node("node_001", &["150.75"]);
    let reply = node.get("/wallet/node_001/balance").expect_status(200);
    assert_plain_json(&reply);
    let body = reply.json();
    let as_of = &body["as_of"];
    assert_eq!(
        body,
        json!({
            "success": true,
            "node_id": "node_001",
            "wallet_name": "my_wallet",
            "address": world.books().addresses_of("node_001")[0],
            "balance": number("150.75"),
            "currency": "FLOP",
            "balance_florins": "15075000000",
            "available": number("150.75"),
            "available_florins": "15075000000",
            "confirmed": number("150.75"),
            "confirmed_florins": "15075000000",
            "pending": number("0.0"),
            "pending_florins": "0",
            "reserved": number("0.0"),
            "reserved_florins": "0",
            "as_of": {
                "height": world.chain.height(),
                "block_hash": world.chain.rpc("getbestblockhash", json!([])).unwrap(),
                "block_time": time(&as_of["block_time"]),
                "time": time(&as_of["time"]),
                "age_seconds": as_of["age_seconds"],
            },
        })
    );
    assert!(as_of["age_seconds"].as_u64().unwrap() <= 2, "{as_of}");
    assert_order(
        &reply,
        &[
            "success",
            "node_id",
            "wallet_name",
            "address",
            "balance",
            "currency",
        ],
    );
}

#[test]
fn unconfirmed_money_from_others_is_pending_and_not_balance() {
    // The read itself looks at the chain, whether a tracker runs or not.
    let world = World::with(HostOptions::default().variable("balance_max_age", "0"));
    let node = world.funded_node("node_001", &["150.75"]);
    world.chain.faucet(&node.address(), "0.1");
    let balance = node.get("/wallet/node_001/balance").json();
    assert_eq!(balance["balance"], number("150.75"));
    assert_eq!(balance["pending"], number("0.1"));
    world.chain.mine(1);
    let balance = node.get("/wallet/node_001/balance").json();
    assert_eq!(balance["balance"], number("150.85"));
    assert_eq!(balance["pending"], number("0.0"));
}

#[test]
fn send_transaction() {
    let world = World::start();
    let node = world.funded_node("node_001", &["150.75"]);
    let recipient = world.chain.foreign_address();
    let reply = send(&node, &recipient, "50.0").expect_status(200);
    assert_plain_json(&reply);
    let body = reply.json();
    let row = &body["transaction"];
    let fee = body["fee"].clone();
    assert!(fee.to_string().parse::<f64>().unwrap() > 0.0, "{fee}");
    let payment_id = hex(&body["payment_id"], 32);
    assert_eq!(
        body,
        json!({
            "success": true,
            "txid": hex(&body["txid"], 64),
            "amount": number("50.0"),
            "recipient": recipient,
            "transaction": {
                // The first row is the money that came in.
                "id": 2,
                "wallet_id": 1,
                "txid": body["txid"],
                "recipient_address": recipient,
                "amount": number("50.0"),
                "transaction_type": "send",
                // The specification's example shows `confirmed`; at 0 confirmations that is a lie.
                "status": "pending",
                "created_at": time(&row["created_at"]),
                "amount_florins": "5000000000",
                "fee": fee,
                "fee_florins": body["fee_florins"],
                "confirmations": 0,
                "payment_id": payment_id,
            },
            "amount_florins": "5000000000",
            "fee": fee,
            "fee_florins": body["fee_florins"],
            "payment_id": payment_id,
            "state": "broadcast",
        })
    );
    assert_order(
        &reply,
        &[
            "success",
            "txid",
            "amount",
            "recipient",
            "transaction",
            "id",
            "wallet_id",
            "txid",
            "recipient_address",
            "amount",
            "transaction_type",
            "status",
            "created_at",
        ],
    );
    assert_eq!(world.chain.mempool(), [body["txid"].as_str().unwrap()]);
}

#[test]
fn get_transaction_history() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let received = world.chain.faucet(&node.address(), "150.75");
    world.chain.mine(1);
    node.follow();
    let best_block = || {
        let hash = world.chain.rpc("getbestblockhash", json!([])).unwrap();
        (world.chain.height(), hash)
    };
    let (receive_height, receive_hash) = best_block();
    let recipient = world.chain.foreign_address();
    let sent = send(&node, &recipient, "50.0").expect_status(200).json();
    let mut row = sent["transaction"].clone();
    let history = |row: &Value, found: &Value, receive_confirmations: u32| {
        let receive = &found["transactions"][1];
        json!({
            "success": true,
            "node_id": "node_001",
            "wallet_name": "my_wallet",
            "transactions": [
                row,
                {
                    "id": 1,
                    "wallet_id": 1,
                    "txid": received,
                    "recipient_address": node.address(),
                    "amount": number("150.75"),
                    "transaction_type": "receive",
                    "status": "confirmed",
                    "created_at": time(&receive["created_at"]),
                    "amount_florins": "15075000000",
                    "fee": number("0.0"),
                    "fee_florins": "0",
                    "block_height": receive_height,
                    "block_hash": receive_hash,
                    "confirmations": receive_confirmations,
                    "confirmed_at": time(&receive["confirmed_at"]),
                },
            ],
            "next_cursor": null,
        })
    };
    let reply = node
        .get("/wallet/node_001/transactions?limit=50")
        .expect_status(200);
    assert_plain_json(&reply);
    let before = reply.json();
    assert_eq!(before, history(&row, &before, 1));
    assert_order(
        &reply,
        &[
            "success",
            "node_id",
            "wallet_name",
            "transactions",
            "id",
            "wallet_id",
            "txid",
            "recipient_address",
            "amount",
            "transaction_type",
            "status",
            "created_at",
        ],
    );

    world.chain.mine(1);
    node.follow();
    let after = node
        .get("/wallet/node_001/transactions")
        .expect_status(200)
        .json();
    row["status"] = "confirmed".into();
    row["confirmations"] = 1.into();
    let (height, hash) = best_block();
    row["block_height"] = height.into();
    row["block_hash"] = hash;
    row["confirmed_at"] = time(&after["transactions"][0]["confirmed_at"]);
    assert_eq!(after, history(&row, &after, 2));
}

#[test]
fn generate_new_address() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let first = node.address();
    // The specification shows no body; none is needed.
    let reply = node
        .signed("POST", "/wallet/node_001/new-address", "", &[])
        .unwrap()
        .expect_status(200);
    assert_plain_json(&reply);
    let addresses = world.books().addresses_of("node_001");
    assert_eq!(addresses[0], first);
    assert_eq!(
        reply.json(),
        json!({
            "success": true,
            "node_id": "node_001",
            "new_address": addresses[1],
            "wallet_name": "my_wallet",
        })
    );
    assert_order(
        &reply,
        &["success", "node_id", "new_address", "wallet_name"],
    );
    assert_eq!(node.address(), addresses[1]);
}

#[test]
fn money_to_any_of_a_wallets_addresses_counts() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let first = node.address();
    let reply = node.post("/wallet/node_001/new-address", &json!({}));
    let second = reply.expect_status(200).json()["new_address"].clone();
    world.chain.faucet(&first, "1.5");
    world.chain.faucet(second.as_str().unwrap(), "2.25");
    world.chain.mine(1);
    assert_eq!(node.balance()["balance"], number("3.75"));
}

#[test]
fn authentication_failed() {
    let world = World::start();
    world.node_with_wallet("node_001");
    let reply = tests::get(&format!("{}/wallet/node_001/balance", world.host.url()));
    assert_eq!(reply.status, 401);
    assert_plain_json(&reply);
    assert_eq!(
        reply.json(),
        problem(
            401,
            "authentication_failed",
            "Authentication failed",
            "Authentication failed",
            "the request is not signed"
        )
    );
    assert_order(&reply, &["success", "message"]);
}

#[test]
fn wallet_not_found() {
    let world = World::start();
    let node = world.node("node_001");
    let recipient = world.chain.foreign_address();
    for reply in [
        node.get("/wallet/node_001"),
        node.get("/wallet/node_001/balance"),
        node.get("/wallet/node_001/transactions"),
        node.get(&format!("/wallet/node_001/transactions/{}", "0".repeat(64))),
        node.post("/wallet/node_001/new-address", &json!({})),
        send(&node, &recipient, "1.0"),
    ] {
        assert_eq!(reply.status, 404);
        assert_eq!(
            reply.json(),
            problem(
                404,
                "wallet_not_found",
                "Wallet not found",
                "No wallet found for node node_001",
                ""
            )
        );
    }
}

#[test]
fn insufficient_balance() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    // The whole balance leaves nothing for the fee.
    for amount in ["10.0", "10.00000001", "999.0"] {
        let reply = send(&node, &recipient, amount);
        assert_eq!(reply.status, 422);
        let body = reply.json();
        let detail = body["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("insufficient balance: 10.0 FLOP available, "),
            "{detail}"
        );
        assert_eq!(
            body,
            problem(
                422,
                "insufficient_balance",
                "Insufficient balance",
                "Insufficient balance",
                detail
            )
        );
    }
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
}

#[test]
fn rate_limit_exceeded() {
    let options = HostOptions::default().variable("max_transactions_per_window", "10");
    let world = World::with(options);
    let node = world.funded_node("node_001", &["20.0"]);
    let recipient = world.chain.foreign_address();
    for _ in 0..10 {
        send(&node, &recipient, "1.0").expect_status(200);
    }
    let reply = send(&node, &recipient, "1.0");
    assert_eq!(reply.status, 429);
    let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
    let mut expected = problem(
        429,
        "rate_limit_exceeded",
        "Rate limit exceeded",
        "Rate limit exceeded. Maximum 10 transactions per 3600 seconds",
        "",
    );
    expected["retryable"] = true.into();
    assert_eq!(reply.json(), expected);
    assert_eq!(world.chain.mempool().len(), 10);
}

#[test]
fn invalid_amount() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    for amount in [
        "0",
        "0.0",
        "-1",
        "-0.5",
        "1e-9",
        "1.000000001",
        "10000000000",
        "1e400",
        "true",
        "null",
        "[]",
        "{}",
        "\"\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"1,5\"",
        "\" 1\"",
        "\"0x10\"",
    ] {
        let reply = send(&node, &recipient, amount);
        assert_eq!(reply.status, 422, "{amount}: {}", reply.text());
        let body = reply.json();
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.starts_with("amount: "), "{amount}: {detail}");
        let expected = problem(
            422,
            "invalid_amount",
            "Invalid amount",
            "Invalid amount",
            detail,
        );
        assert_eq!(body, expected, "{amount}");
    }
    assert_eq!(world.books().count("SELECT COUNT(*) FROM payments"), 0);
}

#[test]
fn an_amount_that_nodes_do_not_relay_is_invalid_and_says_the_least() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    // Python writes 0.00000001 as 1e-08.
    for amount in ["1e-08", "0.00999999"] {
        let body = send(&node, &recipient, amount).expect_problem(422, "invalid_amount");
        let detail = "amount: the least that can be paid is 0.01 FLOP";
        assert_eq!(body["detail"], detail, "{amount}");
    }
    send(&node, &recipient, "1e-2").expect_status(200);
}

#[test]
fn an_amount_above_the_limit_is_refused() {
    let world = World::start();
    let node = world.funded_node("node_001", &["1500.0"]);
    let recipient = world.chain.foreign_address();
    let reply = send(&node, &recipient, "1000.00000001");
    assert_eq!(
        reply.json(),
        problem(
            422,
            "amount_above_limit",
            "Amount above limit",
            "Amount exceeds maximum of 1000.0 FLOP per transaction",
            ""
        )
    );
    send(&node, &recipient, "1000.0").expect_status(200);
}

#[test]
fn an_invalid_address_is_refused() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let good = world.chain.foreign_address();
    let last = if good.ends_with('1') { "2" } else { "1" };
    for bad in [
        "FLOP987654321fedcba",
        "",
        // A wrong checksum, and what Core itself would let pass.
        &format!("{}{last}", &good[..good.len() - 1]),
        &format!(" {good}"),
        &format!("{good}\\u0000"),
        // An address of the main network, of Bitcoin's form.
        "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
    ] {
        let body = send(&node, bad, "1.0").expect_problem(422, "invalid_address");
        assert_eq!(body["message"], "Invalid address", "{bad}");
    }
    assert_eq!(world.chain.mempool(), Vec::<String>::new());
}

#[test]
fn a_second_wallet_is_refused() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let reply = node.create_wallet("another");
    assert_eq!(
        reply.json(),
        problem(
            409,
            "wallet_exists",
            "Wallet exists",
            "Wallet already exists for node node_001",
            ""
        )
    );
    assert_eq!(node.balance()["wallet_name"], "my_wallet");
}

#[test]
fn amounts_are_read_and_written_as_exact_decimals() {
    let world = World::start();
    let node = world.funded_node("node_001", &["500.0"]);
    let recipient = world.chain.foreign_address();
    for (written, answered, florins) in [
        ("50", "50.0", "5000000000"),
        ("50.000", "50.0", "5000000000"),
        ("5e1", "50.0", "5000000000"),
        ("\"50.0\"", "50.0", "5000000000"),
        ("0.1", "0.1", "10000000"),
        // As a binary float this is 0.30000000000000004.
        ("0.30000000", "0.3", "30000000"),
        ("1.00000001", "1.00000001", "100000001"),
        ("12.3456789", "12.3456789", "1234567890"),
    ] {
        let sent = send(&node, &recipient, written).expect_status(200).json();
        assert_eq!(sent["amount"], number(answered), "{written}");
        assert_eq!(sent["amount_florins"], florins, "{written}");
        let history = node.get("/wallet/node_001/transactions?limit=1").json();
        let row = &history["transactions"][0];
        assert_eq!(row["amount"], number(answered), "{written}");
    }
}

#[test]
fn the_balance_falls_by_amount_and_fee() {
    let world = World::start();
    let node = world.funded_node("node_001", &["150.75"]);
    let sent = send(&node, &world.chain.foreign_address(), "50.0").json();
    let fee: u64 = sent["fee_florins"].as_str().unwrap().parse().unwrap();
    assert_eq!(node.available(), 15_075_000_000 - 5_000_000_000 - fee);
}
