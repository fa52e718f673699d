//! Faults, restarts, credentials and the queue, through real HTTP.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{Node, basic, text};
use devnet::json::Json;
use http::StatusCode;

async fn fault(node: &Node, params: &str) -> Json {
    node.call("devnet_fault", params)
        .await
        .get("id")
        .unwrap()
        .clone()
}

#[tokio::test]
async fn before_is_not_executed_and_after_is() {
    let node = Node::start().await;
    for (when, executed) in [("before", 0), ("after", 1)] {
        for action in ["drop", "garbage", "refuse", "truncate", "error"] {
            let account = format!("{when}-{action}");
            fault(&node, &format!("{{\"method\":\"getnewaddress\",\"when\":\"{when}\",\"action\":\"{action}\",\"times\":1}}")).await;
            let params = format!("[\"{account}\"]");
            let call = node.try_call("getnewaddress", &params);
            // An answer that is no JSON makes the client panic; those are looked at below.
            if action == "garbage" || action == "refuse" {
                let body = format!("{{\"method\":\"getnewaddress\",\"params\":[\"{account}\"]}}");
                let (status, body) = node.post(body).await.unwrap();
                assert_eq!(status.as_u16(), if action == "garbage" { 200 } else { 503 });
                assert!(Json::parse(std::str::from_utf8(&body).unwrap()).is_none());
            } else {
                let (code, _) = call.await.unwrap_err();
                assert_eq!(
                    code,
                    if action == "error" {
                        "-1"
                    } else {
                        "connection"
                    },
                    "{account}"
                );
            }
            let addresses = node
                .call("getaddressesbyaccount", &format!("[\"{account}\"]"))
                .await;
            assert_eq!(addresses.as_array().unwrap().len(), executed, "{account}");
            // Once only.
            node.call("getnewaddress", "[]").await;
        }
    }
    node.call("devnet_clearfaults", "[]").await;
    assert_eq!(
        node.call("devnet_faults", "[]").await,
        Json::Array(Vec::new())
    );
    node.stop().await;
}

#[tokio::test]
async fn a_hanging_call_can_be_waited_for_and_let_go() {
    let node = Node::start().await;
    let id = fault(&node, "[\"getnewaddress\",\"after\",\"hang\"]").await;
    let client = node.client.clone();
    let call = tokio::spawn(async move { client.try_call("getnewaddress", "[\"hung\"]").await });
    node.hanging(&id, 1).await;
    // It was executed, nobody else waits for it, and the devnet's own methods go on.
    assert_eq!(
        node.call("getaddressesbyaccount", "[\"hung\"]")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let other = node.client.clone();
    let dropped = tokio::spawn(async move { other.try_call("getnewaddress", "[\"hung\"]").await });
    node.hanging(&id, 2).await;
    dropped.abort();
    node.hanging(&id, 1).await;
    let cleared = node.call("devnet_clearfaults", &format!("[{id}]")).await;
    assert_eq!(cleared.get("cleared"), Some(&Json::int(1)));
    assert_eq!(call.await.unwrap().unwrap_err().0, "connection");
    assert_eq!(
        node.call("getaddressesbyaccount", "[\"hung\"]")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    node.stop().await;
}

#[tokio::test]
async fn batches_and_wildcards_are_struck_too() {
    let node = Node::start().await;
    let batch = "[{\"method\":\"getblockcount\",\"id\":1},{\"method\":\"getnewaddress\",\"id\":2}]";
    fault(&node, "{\"method\":\"getnewaddress\",\"when\":\"before\",\"action\":\"error\",\"code\":-4,\"message\":\"no\",\"times\":1}").await;
    let (status, body) = node.post(batch).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    let replies = Json::parse(std::str::from_utf8(&body).unwrap()).unwrap();
    let replies = replies.as_array().unwrap();
    assert_eq!(replies[0].get("error"), Some(&Json::Null));
    assert_eq!(
        replies[1].to_string(),
        "{\"result\":null,\"error\":{\"code\":-4,\"message\":\"no\"},\"id\":2}"
    );

    fault(&node, "[\"*\",\"before\",\"drop\"]").await;
    assert!(node.post(batch).await.is_err());
    assert!(node.try_call("getblockcount", "[]").await.is_err());
    let faults = node.call("devnet_faults", "[]").await;
    let hits: Vec<_> = faults
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| text(fault.get("hits").unwrap()))
        .collect();
    assert!(hits[1].parse::<u32>().unwrap() >= 2, "{hits:?}");
    node.call("devnet_clearfaults", "[]").await;

    fault(&node, "{\"method\":\"getblockcount\",\"when\":\"after\",\"action\":\"garbage\",\"status\":502,\"body\":\"bad\"}").await;
    let (status, body) = node.post("{\"method\":\"getblockcount\"}").await.unwrap();
    assert_eq!((status.as_u16(), &body[..]), (502, &b"bad"[..]));
    assert!(
        node.try_call("devnet_fault", "[\"devnet_mine\",\"before\",\"drop\"]")
            .await
            .is_err()
    );
    assert!(
        node.try_call("devnet_fault", "[\"getinfo\",\"before\",\"explode\"]")
            .await
            .is_err()
    );
    node.stop().await;
}

#[tokio::test]
async fn huge_answers_are_huge_and_delays_delay() {
    let node = Node::start().await;
    fault(&node, "[\"getinfo\",\"after\",\"huge\"]").await;
    let (_, body) = node.post("{\"method\":\"getinfo\"}").await.unwrap();
    assert!(body.len() > 64 * 1024 * 1024);
    assert!(
        body.starts_with(b"{\"result\":\"") && body.ends_with(b"\"error\":null,\"id\":null}\n")
    );
    for when in ["before", "after"] {
        fault(
            &node,
            &format!("[\"getblockcount\",\"{when}\",\"delay\",100]"),
        )
        .await;
    }
    let start = Instant::now();
    node.call("getblockcount", "[]").await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    node.stop().await;
}

#[tokio::test]
async fn a_restart_closes_connections_and_warms_up() {
    let node = Node::start().await;
    let address = node.text("getnewaddress", "[]").await;
    let mine = node.fund(&address, "1").await;
    let foreign = node.fund("mmCWYKPAqEbUiSHoABxK7Unsxx6G6WyUf6", "1").await;
    assert_eq!(
        node.call("getrawmempool", "[]")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let id = fault(&node, "[\"getinfo\",\"before\",\"hang\"]").await;
    let client = node.client.clone();
    let hanging = tokio::spawn(async move { client.try_call("getinfo", "[]").await });
    node.hanging(&id, 1).await;

    node.call(
        "devnet_restart",
        "{\"mempool\":\"lose\",\"milliseconds\":300}",
    )
    .await;
    assert_eq!(hanging.await.unwrap().unwrap_err().0, "connection");
    let (status, body) = node
        .post("{\"method\":\"getblockcount\",\"id\":1}")
        .await
        .unwrap();
    assert_eq!(status.as_u16(), 500);
    assert!(body.starts_with(
        b"{\"result\":null,\"error\":{\"code\":-28,\"message\":\"Loading wallet...\"}"
    ));
    tokio::time::sleep(Duration::from_millis(350)).await;
    // The wallet offers its own transaction again, the other is gone.
    let waiting = node.call("getrawmempool", "[]").await;
    assert_eq!(waiting, Json::Array(vec![Json::text(&mine)]));
    assert!(
        node.try_call("getrawtransaction", &format!("[\"{foreign}\"]"))
            .await
            .is_err()
    );

    node.call(
        "devnet_restart",
        "{\"mempool\":\"lose\",\"reaccept\":false}",
    )
    .await;
    assert_eq!(
        node.call("getrawmempool", "[]").await,
        Json::Array(Vec::new())
    );
    assert_eq!(node.transaction(&mine, "confirmations").await, Json::int(0));

    node.call("devnet_restart", "{\"refuse_milliseconds\":300}")
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(tokio::net::TcpStream::connect(node.address).await.is_err());
    tokio::time::sleep(Duration::from_millis(500)).await;
    node.call("getblockcount", "[]").await;
    node.stop().await;
}

#[tokio::test]
async fn wrong_credentials_cost_a_quarter_of_a_second() {
    let node = Node::start().await;
    let start = Instant::now();
    let (status, body) = node.raw(None, "{}").await.unwrap();
    assert_eq!((status.as_u16(), body.len()), (401, 0));
    assert!(start.elapsed() < Duration::from_millis(250));
    let start = Instant::now();
    for (user, password) in [("devnet", "wrong"), ("other", "devnet")] {
        let (status, _) = node
            .raw(
                Some(&basic(user, password)),
                "{\"method\":\"devnet_faults\"}",
            )
            .await
            .unwrap();
        assert_eq!(status.as_u16(), 401);
    }
    assert!(start.elapsed() >= Duration::from_millis(500));
    node.stop().await;
}

#[tokio::test]
async fn the_queue_holds_four_and_sixteen() {
    let node = Node::start().await;
    fault(&node, "[\"getblockcount\",\"before\",\"delay\",500]").await;
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let client = node.client.clone();
            tokio::spawn(
                async move { client.post("{\"method\":\"getblockcount\"}").await.unwrap() },
            )
        })
        .collect();
    // The devnet's own methods do not queue.
    node.call("devnet_stats", "[]").await;
    let (mut served, mut refused) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            (StatusCode::OK, _) => served += 1,
            (StatusCode::INTERNAL_SERVER_ERROR, body) => {
                assert_eq!(&body[..], b"Work queue depth exceeded");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((served, refused), (20, 20));
    node.stop().await;
}

#[tokio::test]
async fn statistics_count_every_call() {
    let node = Node::start().await;
    node.call("devnet_stats", "{\"reset\":true}").await;
    node.call("getblockcount", "[]").await;
    node.post("[{\"method\":\"getblockcount\"},{\"method\":\"getinfo\"}]")
        .await
        .unwrap();
    let statistics = node.call("devnet_stats", "[]").await;
    assert_eq!(
        statistics.to_string(),
        "{\"requests\":2,\"calls\":{\"getblockcount\":2,\"getinfo\":1}}"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_reported_in_one_line() {
    let node = Node::start().await;
    let options = devnet::Options {
        listen: node.address,
        ..common::manual()
    };
    let error = devnet::Devnet::start(options)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&node.address.to_string())
            && error.contains("in use")
            && !error.contains('\n'),
        "{error}"
    );
    let address = node.address;
    node.stop().await;
    // Stopped, it gives the port back.
    let again = devnet::Options {
        listen: address,
        ..common::manual()
    };
    devnet::Devnet::start(again).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn bodies_over_32_mib_are_refused() {
    let node = Node::start().await;
    let mut body = b"{\"method\":\"getblockcount\",\"x\":\"".to_vec();
    body.resize(33 * 1024 * 1024, b'a');
    // The answer may come while the body is still being sent, and the connection then ends.
    if let Ok((status, _)) = node.post(body).await {
        assert_eq!(status.as_u16(), 413);
    }
    let whole = format!(
        "{{\"method\":\"getblockcount\",\"x\":\"{}\"}}",
        "a".repeat(31 * 1024 * 1024)
    );
    assert_eq!(node.post(whole).await.unwrap().0.as_u16(), 200);
    node.stop().await;
}
