//! Two hosts on one libSQL server that goes away. These tests need one, so they run only when asked for:
//! `cargo test --release -p tests --test database_server -- --ignored`
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use tests::{HostOptions, Node, World, eventually, in_parallel};

const PAYMENTS: usize = 12;
const FLOP: u64 = 100_000_000;

fn world() -> World {
    World::with(HostOptions::default().two_on_a_server())
}

#[test]
#[ignore = "needs sqld"]
fn payments_are_made_once_though_the_server_is_killed_amid_them() {
    let world = world();
    let node = world.funded_node("node_001", &["5"; PAYMENTS]);
    let recipient = world.chain.foreign_address();
    let pay_all = |node: &Node| {
        in_parallel(PAYMENTS, |index| {
            node.pay_with_key(&recipient, "4", &format!("invoice-{index}"))
        })
    };
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| pay_all(&node));
        eventually("some are through", || world.chain.mempool().len() >= 3);
        world.host.server().kill();
        for reply in sends.join().unwrap() {
            assert!([200, 202, 503].contains(&reply.status), "{}", reply.text());
        }
    });
    world.host.server().restart();
    world.books().expire_leases();
    let mut txids = BTreeSet::new();
    eventually("every repeat is answered", || {
        let (done, later): (Vec<_>, Vec<_>) = pay_all(&node)
            .into_iter()
            .partition(|reply| reply.status == 200);
        txids.extend(done.iter().map(|reply| reply.json()["txid"].to_string()));
        later.is_empty()
    });
    assert_eq!(txids.len(), PAYMENTS);
    assert_eq!(world.chain.mempool().len(), PAYMENTS);
    let books = world.books();
    assert_eq!(books.payments("broadcast"), PAYMENTS as i64);
    books.assert_agree(&world.chain, "node_001", PAYMENTS as u64 * 5 * FLOP);
}

#[test]
#[ignore = "needs sqld"]
fn nothing_is_paid_while_the_server_is_away() {
    let world = world();
    let node = world.funded_node("node_001", &["5"]);
    let recipient = world.chain.foreign_address();
    world.host.server().kill();
    for _ in 0..2 {
        node.pay_with_key(&recipient, "4", "invoice")
            .expect_problem(503, "database_unavailable");
    }
    assert!(world.chain.mempool().is_empty());
    world.host.server().restart();
    eventually("it is made", || {
        node.pay_with_key(&recipient, "4", "invoice").status == 200
    });
    assert_eq!(world.chain.mempool().len(), 1);
    let books = world.books();
    books.assert_agree(&world.chain, "node_001", 5 * FLOP);
}

#[test]
#[ignore = "needs sqld"]
fn requests_of_one_node_go_to_both_hosts() {
    let world = world();
    let node = world.node("node_001");
    let urls: BTreeSet<&str> = (0..4).map(|_| node.url()).collect();
    assert_eq!(urls.len(), 2);
    // A signature that one host took is used up for the other.
    let signing = node.signing();
    let replies: Vec<u16> = (0..2)
        .map(|_| {
            let headers = node.headers(&signing, "GET", "/wallet/node_001", b"");
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let url = format!("{}/wallet/node_001", node.url());
            tests::request("GET", &url, &headers, b"").unwrap().status
        })
        .collect();
    assert_eq!(replies, [404, 401], "no wallet yet, and then a replay");
}
