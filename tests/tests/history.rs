//! A wallet's history: pages, filters, and what it says of a payment over time.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use tests::{HostOptions, Node, World};

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
    assert_eq!(ids(&first), [3, 2]);
    node.pay(&recipient, "1.0").expect_status(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    assert_eq!(ids(&page(&node, &format!("?limit=2&cursor={cursor}"))), [1]);
    assert_eq!(ids(&page(&node, "")), [4, 3, 2, 1]);
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
    node.pay(&world.chain.foreign_address(), "1.0")
        .expect_status(200);
    for confirmations in 0..3 {
        let row = node.history()[0].clone();
        assert_eq!(row["status"], "pending", "{row}");
        assert_eq!(row["confirmations"], confirmations, "{row}");
        assert_eq!(row.get("block_height"), None, "{row}");
        world.chain.mine(1);
    }
    let row = node.history()[0].clone();
    assert_eq!(row["status"], "confirmed", "{row}");
    assert_eq!(row["confirmations"], 3, "{row}");
    assert_eq!(row["block_height"], world.chain.height() - 2, "{row}");
    assert!(row["confirmed_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(world.books().payments("confirmed"), 1);
}

#[test]
fn a_filter_by_status_sees_what_has_just_confirmed() {
    let world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    node.pay(&world.chain.foreign_address(), "1.0")
        .expect_status(200);
    world.chain.mine(1);
    assert_eq!(ids(&page(&node, "?status=confirmed")), [1]);
    assert_eq!(ids(&page(&node, "?status=pending")), Vec::<i64>::new());
}

#[test]
fn the_history_is_answered_while_the_chain_is_down() {
    let mut world = World::start();
    let node = world.funded_node("node_001", &["10.0"]);
    let sent = node
        .pay(&world.chain.foreign_address(), "1.0")
        .expect_status(200)
        .json();
    world.chain.stop();
    let rows = node.history();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["txid"], sent["txid"]);
    assert_eq!(rows[0]["status"], "pending");
    assert_eq!(rows[0].get("confirmations"), None);
    assert!(world.host.log().contains("history without the chain node"));
    // The balance is the chain's to tell, so there is none.
    let reply = node.get("/wallet/node_001/balance");
    assert!(reply.header("retry-after").is_some());
    let problem = reply.expect_problem(503, "chain_unreachable");
    assert_eq!(problem["retryable"], true);
}
