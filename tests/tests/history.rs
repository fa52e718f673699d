//! A wallet's history: pages, filters, and what it says of a payment over time.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{HostOptions, Node, Reply, World};

/// 2024-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_704_067_200;

fn page(node: &Node, query: &str) -> Value {
    node.get(&format!("/wallet/node_001/transactions{query}"))
        .expect_status(200)
        .json()
}

fn ids(page: &Value) -> Vec<i64> {
    let rows = page["transactions"].as_array().unwrap();
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

/// A wallet with so many rows, an hour apart from New Year 2024 on: ids from 1, every third a
/// receipt; statuses pending, confirmed, failed in turns of two.
fn with_rows(world: &World, count: i64) -> Node {
    let node = world.node_with_wallet("node_001");
    let books = world.books();
    for id in 1..=count {
        let kind = if id % 3 == 0 { "receive" } else { "send" };
        let status = ["pending", "confirmed", "failed"][(id / 2 % 3) as usize];
        books
            .connection()
            .execute(
                "INSERT INTO transactions
                    (id, wallet_id, txid, vout, recipient_address, amount, transaction_type, status, created_at)
                 VALUES (?1, 1, printf('%064x', ?1), 0, 'somewhere', 100000000, ?2, ?3, ?4)",
                (id, kind, status, NEW_YEAR + id * 3600),
            )
            .unwrap();
    }
    node
}

#[test]
fn pages_show_every_row_once_newest_first() {
    let world = World::start();
    let node = with_rows(&world, 7);
    let mut query = "?limit=3".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = page(&node, &query);
        pages.push(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert!(page["next_cursor"].is_null());
            break;
        };
        query = format!("?limit=3&cursor={cursor}");
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
}

#[test]
fn a_payment_made_meanwhile_does_not_shift_the_next_page() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let recipient = world.chain.foreign_address();
    for _ in 0..3 {
        node.pay(&recipient, "1.0").expect_status(200);
    }
    let first = page(&node, "?limit=2");
    assert_eq!(ids(&first), [4, 3]);
    node.pay(&recipient, "1.0").expect_status(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = page(&node, &format!("?limit=2&cursor={cursor}"));
    assert_eq!(ids(&second), [2, 1]);
    assert_eq!(second["transactions"][1]["transaction_type"], "receive");
    assert_eq!(ids(&page(&node, "")), [5, 4, 3, 2, 1]);
}

#[test]
fn a_last_page_that_is_full_has_no_cursor() {
    let world = World::start();
    let node = with_rows(&world, 3);
    assert_eq!(page(&node, "?limit=3")["next_cursor"], Value::Null);
    assert!(page(&node, "?limit=2")["next_cursor"].is_string());
}

#[test]
fn an_empty_history_is_an_empty_list() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let page = page(&node, "");
    assert_eq!(ids(&page), Vec::<i64>::new());
    assert_eq!(page["next_cursor"], Value::Null);
}

#[test]
fn a_page_has_1_to_100_rows_and_50_when_not_asked() {
    let world = World::start();
    let node = with_rows(&world, 105);
    for (query, rows) in [
        ("", 50),
        ("?limit=1", 1),
        ("?limit=50", 50),
        ("?limit=100", 100),
    ] {
        assert_eq!(ids(&page(&node, query)).len(), rows, "{query}");
    }
    for limit in ["0", "101", "-1", "1.5", "", "ten", "99999999999"] {
        let problem = node
            .get(&format!("/wallet/node_001/transactions?limit={limit}"))
            .expect_problem(400, "invalid_request");
        assert_eq!(problem["detail"], "limit must be 1 to 100", "{limit}");
    }
}

#[test]
fn a_forged_cursor_is_refused() {
    let world = World::start();
    let node = with_rows(&world, 2);
    for cursor in ["", "1", "djE6LTE", "***", "bm9uZQ"] {
        let problem = node
            .get(&format!("/wallet/node_001/transactions?cursor={cursor}"))
            .expect_problem(400, "invalid_request");
        assert_eq!(
            problem["detail"], "cursor is none that this service gave",
            "{cursor}"
        );
    }
}

#[test]
fn filters_choose_rows_by_type_status_and_time() {
    let world = World::start();
    let node = with_rows(&world, 8);
    for (query, expected) in [
        ("?type=receive", vec![6, 3]),
        ("?type=send", vec![8, 7, 5, 4, 2, 1]),
        ("?status=pending", vec![7, 6, 1]),
        ("?status=confirmed", vec![8, 3, 2]),
        ("?status=failed", vec![5, 4]),
        ("?type=receive&status=confirmed", vec![3]),
        // Not before since, before until.
        ("?since=2024-01-01T06:00:00Z", vec![8, 7, 6]),
        ("?until=2024-01-01T03:00:00Z", vec![2, 1]),
        (
            "?since=2024-01-01T02:00:00Z&until=2024-01-01T04:00:00Z",
            vec![3, 2],
        ),
        ("?since=2024-01-01T08:00:00%2B02:00", vec![8, 7, 6]),
        ("?since=1704088800", vec![8, 7, 6]),
        ("?since=2024-01-01T08:00:01Z", vec![]),
    ] {
        assert_eq!(ids(&page(&node, query)), expected, "{query}");
    }
}

#[test]
fn a_filter_holds_over_pages() {
    let world = World::start();
    let node = with_rows(&world, 9);
    let first = page(&node, "?type=receive&limit=2");
    assert_eq!(ids(&first), [9, 6]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = page(&node, &format!("?type=receive&limit=2&cursor={cursor}"));
    assert_eq!(ids(&second), [3]);
    assert_eq!(second["next_cursor"], Value::Null);
}

#[test]
fn a_filter_that_does_not_exist_says_what_does() {
    let world = World::start();
    let node = with_rows(&world, 1);
    for (query, detail) in [
        ("type=gift", "type must be one of: send, receive"),
        (
            "status=done",
            "status must be one of: pending, confirmed, failed",
        ),
        (
            "since=yesterday",
            "since is not a time as RFC 3339 writes it (2024-01-01T00:00:00Z), or out of range",
        ),
        (
            "until=2024-13-01T00:00:00Z",
            "until is not a time as RFC 3339 writes it (2024-01-01T00:00:00Z), or out of range",
        ),
        ("limit=1&limit=2", "query parameter \"limit\" stands twice"),
        (
            "sort=asc",
            "unknown query parameter \"sort\"; allowed: limit, cursor, type, status, since, until",
        ),
    ] {
        let problem = node
            .get(&format!("/wallet/node_001/transactions?{query}"))
            .expect_problem(400, "invalid_request");
        assert_eq!(problem["detail"], detail, "{query}");
    }
}

#[test]
fn a_history_shows_its_own_wallets_rows_only() {
    let world = World::start();
    let node = with_rows(&world, 2);
    let other = world.node_with_wallet("node_002");
    assert_eq!(other.history(), Vec::<Value>::new());
    // Not even by a cursor of the other wallet's history.
    let cursor = page(&node, "?limit=1")["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let target = format!("/wallet/node_002/transactions?cursor={cursor}");
    let page = other.get(&target).expect_status(200).json();
    assert_eq!(ids(&page), Vec::<i64>::new());
}

#[test]
fn a_payment_is_pending_until_it_has_its_confirmations() {
    let world = World::with(HostOptions::default().variable("confirmations_required", "3"));
    let node = world.node_with_wallet("node_001");
    world.chain.faucet(&node.address(), "10.0");
    world.chain.mine(3);
    node.follow();
    node.pay(&world.chain.foreign_address(), "1.0")
        .expect_status(200);
    for confirmations in 0..3 {
        let row = node.history()[0].clone();
        assert_eq!(row["status"], "pending", "{row}");
        assert_eq!(row["confirmations"], confirmations, "{row}");
        // Where it is is known from its first block on.
        let is_in_a_block = confirmations > 0;
        assert_eq!(row.get("block_height").is_some(), is_in_a_block, "{row}");
        assert_eq!(row.get("block_hash").is_some(), is_in_a_block, "{row}");
        assert_eq!(row.get("confirmed_at"), None, "{row}");
        world.chain.mine(1);
    }
    let row = node.history()[0].clone();
    assert_eq!(row["status"], "confirmed", "{row}");
    assert_eq!(row["confirmations"], 3, "{row}");
    let height = world.chain.height() - 2;
    assert_eq!(row["block_height"], height, "{row}");
    let hash = world.chain.rpc("getblockhash", json!([height])).unwrap();
    assert_eq!(row["block_hash"], hash, "{row}");
    assert!(row["confirmed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(world.books().payments("confirmed"), 1);
}

#[test]
fn a_filter_by_status_sees_what_has_just_confirmed() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    node.pay(&world.chain.foreign_address(), "1.0")
        .expect_status(200);
    // The money that came in, and the payment.
    assert_eq!(ids(&page(&node, "?status=confirmed")), [1]);
    assert_eq!(ids(&page(&node, "?status=pending")), [2]);
    world.chain.mine(1);
    node.follow();
    assert_eq!(ids(&page(&node, "?status=confirmed")), [2, 1]);
    assert_eq!(
        ids(&page(&node, "?status=confirmed&type=send")),
        [2],
        "the filters hold together"
    );
    assert_eq!(ids(&page(&node, "?status=pending")), Vec::<i64>::new());
}

#[test]
fn the_history_is_answered_while_the_chain_is_down() {
    // Every balance wants to look at the chain.
    let mut world = World::with(HostOptions::default().variable("balance_max_age", "0"));
    let node = world.funded_node("node_001", &["10.0"]);
    let sent = node
        .pay(&world.chain.foreign_address(), "1.0")
        .expect_status(200)
        .json();
    let before = node.balance();
    world.chain.stop();
    let history = page(&node, "");
    let rows = history["transactions"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["txid"], sent["txid"]);
    assert_eq!(rows[0]["status"], "pending");
    assert_eq!(rows[0]["confirmations"], 0);
    assert_eq!(rows[1]["transaction_type"], "receive");
    assert_eq!(rows[1]["status"], "confirmed");
    assert_eq!(rows[1]["confirmations"], 1);
    let one = one(&node, sent["txid"].as_str().unwrap()).expect_status(200);
    assert_eq!(one.json()["transactions"], json!([rows[0]]));
    node.get("/wallet/node_001").expect_status(200);
    // The balance as well, and it says of when it is.
    let mut after = node
        .get("/wallet/node_001/balance")
        .expect_status(200)
        .json();
    assert!(after["as_of"]["age_seconds"].is_u64(), "{after}");
    after["as_of"]["age_seconds"] = before["as_of"]["age_seconds"].clone();
    assert_eq!(after, before);
    assert!(world.host.log().contains("balance as the ledger has it"));
}

#[test]
fn reads_of_the_database_cost_the_chain_node_nothing() {
    let world = World::start();
    if world.chain.is_real() {
        println!("skipped: a real daemon does not count its calls");
        return;
    }
    let node = world.funded_node("node_001", &["10.0"]);
    let sent = node.pay(&world.chain.foreign_address(), "1.0").json();
    let txid = sent["txid"].as_str().unwrap();
    world.chain.calls();
    node.get("/wallet/node_001").expect_status(200);
    page(&node, "");
    page(&node, "?status=pending");
    one(&node, txid).expect_status(200);
    assert_eq!(world.chain.calls(), 0);
}

fn one(node: &Node, txid_or_payment_id: &str) -> Reply {
    let id = &node.id;
    node.get(&format!("/wallet/{id}/transactions/{txid_or_payment_id}"))
}

#[test]
fn one_transaction_is_found_by_its_txid_and_by_its_payment() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let deposit = world.chain.faucet(&node.address(), "10.0");
    world.chain.mine(1);
    node.follow();
    let recipient = world.chain.foreign_address();
    let sent = node.pay(&recipient, "1.5").expect_status(200).json();
    let (txid, payment_id) = (
        sent["txid"].as_str().unwrap(),
        sent["payment_id"].as_str().unwrap(),
    );
    let fee: u64 = sent["fee_florins"].as_str().unwrap().parse().unwrap();
    let change = 850_000_000 - fee;
    let flop = |florins: u64| -> Value {
        let text = format!("{}.{:08}", florins / 100_000_000, florins % 100_000_000);
        serde_json::from_str(text.trim_end_matches('0')).unwrap()
    };

    let target = format!("/wallet/node_001/transactions/{txid}");
    let reply = node.get(&target).expect_status(200);
    let found = reply.json();
    let payment = &found["payment"];
    let vout = &payment["inputs"][0]["vout"];
    assert_eq!(
        found,
        json!({
            "success": true,
            "node_id": "node_001",
            "transactions": [sent["transaction"]],
            "payment": {
                "payment_id": payment_id,
                "state": "broadcast",
                "txid": txid,
                "recipient_address": recipient,
                "amount": sent["amount"],
                "amount_florins": "150000000",
                "fee": sent["fee"],
                "fee_florins": sent["fee_florins"],
                "change": flop(change),
                "change_florins": change.to_string(),
                "change_address": node.address(),
                "inputs": [{
                    "txid": deposit,
                    "vout": vout,
                    "value": serde_json::from_str::<Value>("10.0").unwrap(),
                    "value_florins": "1000000000",
                }],
                "broadcast_attempts": 1,
                "created_at": payment["created_at"],
            },
        })
    );
    assert!(vout.is_u64(), "{payment}");
    assert_eq!(payment["created_at"], sent["transaction"]["created_at"]);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let by_payment = one(&node, payment_id).expect_status(200);
    assert_eq!(by_payment.json(), found);

    // It is followed like the history.
    world.chain.mine(1);
    node.follow();
    let found = one(&node, txid).expect_status(200).json();
    assert_eq!(found["payment"]["state"], "confirmed");
    assert_eq!(found["transactions"], json!([node.history()[0]]));
    assert_eq!(found["transactions"][0]["confirmations"], 1);
    // What came in is no payment.
    let found = one(&node, &deposit).expect_status(200).json();
    assert_eq!(found["transactions"], json!([node.history()[1]]));
    assert_eq!(found["transactions"][0]["transaction_type"], "receive");
    assert_eq!(found.get("payment"), None);
}

/// Whoever pays himself sends and receives in one transaction.
#[test]
fn one_transaction_has_all_its_rows() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let sent = node.pay(&node.address(), "1.5").expect_status(200).json();
    node.follow();
    let found = one(&node, sent["txid"].as_str().unwrap())
        .expect_status(200)
        .json();
    let rows = found["transactions"].as_array().unwrap();
    let types: Vec<&Value> = rows.iter().map(|row| &row["transaction_type"]).collect();
    assert_eq!(types, ["receive", "send"], "newest first");
    assert_eq!(rows[..], node.history()[..2]);
    let by_payment = one(&node, sent["payment_id"].as_str().unwrap()).expect_status(200);
    assert_eq!(by_payment.json()["payment"], found["payment"]);
}

#[test]
fn a_payment_that_was_never_signed_is_found_by_its_id() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    world.chain.fault(json!({
        "method": "signrawtransaction", "when": "before", "action": "error", "times": 1,
    }));
    node.pay(&world.chain.foreign_address(), "1.5")
        .expect_problem(502, "chain_rejected");
    let payment_id = world.books().texts("SELECT payment_id FROM payments")[0].clone();
    let found = one(&node, &payment_id).expect_status(200).json();
    assert_eq!(found["transactions"], json!([]));
    assert_eq!(found["payment"]["state"], "failed");
    assert_eq!(found["payment"]["failure"], "not_signed");
    assert_eq!(found["payment"].get("txid"), None);
}

#[test]
fn a_transaction_that_is_not_the_wallets_own_is_404() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let other = world.node_with_wallet("node_002");
    let outside = world.chain.foreign_address();
    let sent = node.pay(&outside, "1.5").expect_status(200).json();
    let (txid, payment_id) = (
        sent["txid"].as_str().unwrap(),
        sent["payment_id"].as_str().unwrap(),
    );
    let foreign = world.chain.faucet(&outside, "1");
    let (no_txid, no_payment) = ("0".repeat(64), "0".repeat(32));
    for (node, id) in [
        (&node, no_txid.as_str()),
        (&node, no_payment.as_str()),
        (&node, foreign.as_str()),
        (&other, txid),
        (&other, payment_id),
    ] {
        let problem = one(node, id).expect_problem(404, "transaction_not_found");
        assert_eq!(problem["message"], "Transaction not found", "{id}");
    }
    // And another's path is nobody else's at all.
    let target = format!("/wallet/node_001/transactions/{txid}");
    other.get(&target).expect_problem(403, "forbidden");
    // Who receives it has it as well, without the payer's payment.
    let paid = node.pay(&other.address(), "1").expect_status(200).json();
    other.follow();
    let paid_txid = paid["txid"].as_str().unwrap();
    let received = one(&other, paid_txid).expect_status(200).json();
    assert_eq!(received["transactions"][0]["transaction_type"], "receive");
    assert_eq!(received["transactions"].as_array().unwrap().len(), 1);
    assert_eq!(received.get("payment"), None);
    let its_id = paid["payment_id"].as_str().unwrap();
    one(&other, its_id).expect_problem(404, "transaction_not_found");
}

#[test]
fn a_malformed_transaction_id_is_refused_and_an_unsigned_question_too() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let sent = node.pay(&world.chain.foreign_address(), "1.5").json();
    let txid = sent["txid"].as_str().unwrap();
    for id in [
        "1",
        "payment",
        &txid[..63],
        &format!("{txid}0"),
        &txid.to_uppercase(),
        &format!("{}g", &txid[..63]),
        &format!("{}%27", &txid[..61]),
        &"0".repeat(33),
    ] {
        let problem = one(&node, id).expect_problem(422, "invalid_value");
        assert_eq!(
            problem["detail"],
            "transaction must be a txid (64 lower-case hexadecimal digits) or a payment_id (32)",
            "{id}"
        );
    }
    let problem = node
        .get(&format!("/wallet/node_001/transactions/{txid}?limit=1"))
        .expect_problem(400, "invalid_request");
    assert_eq!(
        problem["detail"],
        "unknown query parameter \"limit\"; allowed: none"
    );
    let url = format!("{}/wallet/node_001/transactions/{txid}", world.host.url());
    tests::get(&url).expect_problem(401, "authentication_failed");
}
