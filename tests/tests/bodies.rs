//! Requests as clients should not make them: bodies, content types, queries, methods, paths.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use tests::{HostOptions, Reply, TRACKER_TOKEN, World, get, request, resume_sends, tick};

/// Every route that takes a body.
const POSTS: [&str; 4] = [
    "/nodes/register",
    "/wallet/create",
    "/wallet/node_001/new-address",
    "/wallet/node_001/send",
];
/// Every route that is only read.
const GETS: [&str; 7] = [
    "/nodes",
    "/nodes/node_001",
    "/wallet/health",
    "/wallet/node_001",
    "/wallet/node_001/balance",
    "/wallet/node_001/transactions",
    "/wallet/node_001/transactions/0123456789abcdef0123456789abcdef",
];
/// Every route for the operator; none takes a body.
const INTERNAL: [&str; 2] = ["/internal/tracker/tick", "/internal/tracker/resume-sends"];

/// Nothing is signed here, so that a body's own faults show.
fn world() -> World {
    let world = World::unsigned();
    world.node_with_wallet("node_001");
    world
}

fn send(world: &World, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let url = format!("{}{target}", world.host.url());
    request(method, &url, headers, body).expect("the host answers")
}

fn post(world: &World, target: &str, body: &[u8]) -> Reply {
    let json = [("content-type", "application/json")];
    send(world, "POST", target, &json, body)
}

/// The detail of the 400 that every POST route gives to this body.
fn refused_everywhere(world: &World, body: &[u8]) -> String {
    let mut details: Vec<Value> = POSTS
        .iter()
        .map(|route| {
            post(world, route, body).expect_problem(400, "invalid_request")["detail"].clone()
        })
        .collect();
    details.dedup();
    assert_eq!(details.len(), 1, "the routes differ: {details:?}");
    details[0].as_str().unwrap().to_owned()
}

/// Writes these bytes to the host and reads until it closes the connection.
fn raw(world: &World, bytes: &[u8]) -> String {
    let address = world.host.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn the_body_of_a_get_counts_only_if_its_length_is_told() {
    let world = world();
    let route = "/wallet/node_001";
    send(&world, "GET", route, &[], b"x").expect_problem(415, "unsupported_media_type");
    let answer = raw(
        &world,
        format!(
            "GET {route} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        )
        .as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn an_empty_body_lacks_its_fields() {
    let world = world();
    for (route, missing) in [
        ("/nodes/register", "node_id is missing"),
        ("/wallet/create", "node_id is missing"),
        ("/wallet/node_001/send", "recipient_address is missing"),
    ] {
        for body in ["", "{}"] {
            let problem =
                post(&world, route, body.as_bytes()).expect_problem(400, "invalid_request");
            assert_eq!(problem["detail"], missing, "{route} {body:?}");
        }
    }
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    let world = world();
    for body in [
        "not json",
        "{",
        "{\"a\":}",
        "{'node_id': 'node_001'}",
        "{\"node_id\":\"node_001\",}",
        "{} {}",
        "{}x",
        "node_id=node_001",
        "\u{feff}{}",
        "{\"node_id\":NaN}",
    ] {
        let detail = refused_everywhere(&world, body.as_bytes());
        assert!(detail.starts_with("body is not valid JSON: "), "{detail}");
    }
    for body in ["[]", "null", "1", "\"{}\""] {
        let detail = refused_everywhere(&world, body.as_bytes());
        assert_eq!(detail, "body must be a JSON object", "{body}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    let world = world();
    let detail = refused_everywhere(&world, b"{\"node_id\":\"node_\xff\"}");
    assert_eq!(detail, "body is not UTF-8 at byte 17");
    // UTF-16, with its byte order mark.
    let detail = refused_everywhere(&world, b"\xff\xfe{\0}\0");
    assert_eq!(detail, "body is not UTF-8 at byte 0");
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let world = world();
    let detail = refused_everywhere(&world, br#"{"node_id":"node_001","node_id":"node_001"}"#);
    assert!(detail.contains("key \"node_id\" stands twice"), "{detail}");
    // Also written otherwise, and further in.
    let detail = refused_everywhere(&world, br#"{"node_id":"x","node\u005fid":"y"}"#);
    assert!(detail.contains("key \"node_id\" stands twice"), "{detail}");
    let detail = refused_everywhere(&world, br#"{"auth_data":{"nonce":"a","nonce":"b"}}"#);
    assert!(detail.contains("key \"nonce\" stands twice"), "{detail}");
}

#[test]
fn deep_nesting_is_refused_and_harms_nobody() {
    let world = world();
    for depth in [9, 100, 8_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let depth = depth.min(16_000 / (open.len() + close.len()));
            let body = format!(
                "{{\"node_id\":{}1{}}}",
                open.repeat(depth),
                close.repeat(depth)
            );
            let detail = refused_everywhere(&world, body.as_bytes());
            assert!(detail.contains("nested deeper than 8 levels"), "{detail}");
        }
    }
    get(&format!("{}/wallet/node_001", world.host.url())).expect_status(200);
}

#[test]
fn an_unknown_field_is_named_with_what_is_allowed() {
    let world = world();
    let body = json!({"node_id": "node_001", "wallet_name": "x", "idempotencykey": "k"});
    let problem = post(&world, "/wallet/create", body.to_string().as_bytes())
        .expect_problem(400, "invalid_request");
    assert_eq!(
        problem["detail"],
        "unknown field \"idempotencykey\"; allowed: node_id, wallet_name, idempotency_key, auth_data"
    );
    for route in POSTS {
        let problem =
            post(&world, route, br#"{"surprise":1}"#).expect_problem(400, "invalid_request");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("unknown field \"surprise\"; allowed: "),
            "{detail}"
        );
    }
}

#[test]
fn a_field_of_another_type_is_named() {
    let world = world();
    let recipient = world.chain.foreign_address();
    for (route, field, value) in [
        ("/wallet/create", "node_id", json!(1)),
        ("/wallet/create", "wallet_name", json!(["x"])),
        ("/wallet/create", "idempotency_key", json!(7)),
        ("/wallet/node_001/send", "node_id", json!({})),
        ("/wallet/node_001/send", "recipient_address", json!(1)),
        ("/wallet/node_001/send", "idempotency_key", json!(true)),
        ("/wallet/node_001/new-address", "node_id", json!(1)),
        ("/wallet/node_001/new-address", "idempotency_key", json!([])),
        ("/nodes/register", "node_id", json!(false)),
        ("/nodes/register", "public_key", json!(1)),
        ("/nodes/register", "address", json!({})),
        ("/nodes/register", "capabilities", json!("gpu")),
        ("/nodes/register", "capabilities", json!([1])),
        ("/nodes/register", "rotation_signature", json!(1)),
    ] {
        let mut body = match route {
            "/wallet/create" => json!({"node_id": "node_002", "wallet_name": "x"}),
            "/wallet/node_001/send" => json!({"recipient_address": recipient, "amount": 1}),
            "/nodes/register" => json!({"node_id": "node_002"}),
            _ => json!({}),
        };
        body[field] = value;
        let problem =
            post(&world, route, body.to_string().as_bytes()).expect_problem(400, "invalid_request");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with(field), "{body}: {detail}");
    }
}

#[test]
fn names_are_checked() {
    let world = world();
    for name in ["", " x", "x ", "a\nb", "a\0b", &"x".repeat(65)] {
        let body = json!({"node_id": "node_001", "wallet_name": name});
        let problem = post(&world, "/wallet/create", body.to_string().as_bytes())
            .expect_problem(422, "invalid_value");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("wallet_name must be"), "{detail}");
    }
    let transaction = format!("/transactions/{}", "0".repeat(64));
    for id in ["a%2Fb", "a%00b", "%C3%A4", &"x".repeat(65), "a%20b"] {
        for route in ["", "/balance", "/transactions", &transaction] {
            let url = format!("{}/wallet/{id}{route}", world.host.url());
            get(&url).expect_problem(422, "invalid_value");
        }
    }
}

#[test]
fn a_body_above_16_kib_is_refused_by_the_service() {
    let world = world();
    let padded = |length: usize| {
        let rest = length - r#"{"x":""}"#.len();
        format!(r#"{{"x":"{}"}}"#, "x".repeat(rest))
    };
    for route in POSTS {
        // Exactly as much as may be: read, and its field unknown.
        post(&world, route, padded(16 * 1024).as_bytes()).expect_problem(400, "invalid_request");
        for length in [16 * 1024 + 1, 500 * 1024] {
            let problem = post(&world, route, padded(length).as_bytes())
                .expect_problem(413, "payload_too_large");
            assert_eq!(problem["detail"], "a body has at most 16384 bytes");
        }
    }
}

#[test]
fn a_body_above_the_hosts_cap_is_refused_unread() {
    let world = world();
    let head = "POST /wallet/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    // Announced; not a byte of it is sent.
    let announced = raw(
        &world,
        format!("{head}Content-Length: 1048577\r\n\r\n").as_bytes(),
    );
    assert!(announced.starts_with("HTTP/1.1 413 "), "{announced}");
    assert!(announced.contains("\"code\":\"payload_too_large\""));
    assert!(announced.contains("\"success\":false"));
    // Not announced: it comes in chunks, the last of which is one byte too much.
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..16 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&[b' '; 0x10000]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"1\r\n ");
    let counted = raw(&world, &chunked);
    assert!(counted.starts_with("HTTP/1.1 413 "), "{counted}");
}

#[test]
fn a_body_must_be_labelled_as_json() {
    let world = world();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/xml",
        "",
    ] {
        for route in POSTS {
            let headers = [("content-type", content_type)];
            let problem = send(&world, "POST", route, &headers, b"{}")
                .expect_problem(415, "unsupported_media_type");
            assert_eq!(problem["detail"], "Content-Type must be application/json");
        }
    }
    send(&world, "POST", "/wallet/create", &[], b"{}")
        .expect_problem(415, "unsupported_media_type");
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let headers = [("content-type", content_type)];
        let target = "/wallet/node_001/new-address";
        send(&world, "POST", target, &headers, b"{}").expect_status(200);
    }
}

#[test]
fn an_unknown_query_parameter_is_refused() {
    let world = world();
    // Health reads none.
    for target in GETS.iter().filter(|route| !route.ends_with("/health")) {
        let problem = get(&format!("{}{target}?surprise=1", world.host.url()))
            .expect_problem(400, "invalid_request");
        let detail = problem["detail"].as_str().unwrap();
        let start = "unknown query parameter \"surprise\"; allowed: ";
        assert!(detail.starts_with(start), "{detail}");
    }
    // Where a misplaced idempotency key would be a second payment.
    for route in POSTS {
        post(&world, &format!("{route}?idempotency_key=k"), b"{}")
            .expect_problem(400, "invalid_request");
    }
    let authorization = format!("Bearer {TRACKER_TOKEN}");
    for route in INTERNAL {
        let headers = [("authorization", authorization.as_str())];
        let problem = send(
            &world,
            "POST",
            &format!("{route}?surprise=1"),
            &headers,
            b"",
        )
        .expect_problem(400, "invalid_request");
        assert_eq!(
            problem["detail"],
            "unknown query parameter \"surprise\"; allowed: none"
        );
    }
    assert_eq!(world.books().addresses_of("node_001").len(), 1);
}

#[test]
fn another_method_is_405_and_tells_the_right_one() {
    let world = world();
    for (routes, allow, others) in [
        (&GETS[..], "GET", ["POST", "PUT", "DELETE", "PATCH"]),
        (&POSTS[..], "POST", ["PUT", "DELETE", "PATCH", "OPTIONS"]),
        (&INTERNAL[..], "POST", ["GET", "PUT", "DELETE", "PATCH"]),
    ] {
        for route in routes {
            for method in others {
                let reply = send(&world, method, route, &[], b"");
                assert_eq!(reply.header("allow"), Some(allow), "{method} {route}");
                reply.expect_problem(405, "method_not_allowed");
            }
        }
    }
    for route in POSTS {
        let reply = get(&format!("{}{route}", world.host.url()));
        assert_eq!(reply.header("allow"), Some("POST"), "GET {route}");
        reply.expect_problem(405, "method_not_allowed");
    }
}

#[test]
fn what_is_no_route_is_404() {
    let world = world();
    for target in [
        "/",
        "/wallet",
        "/wallets/node_001",
        "/wallet/node_001/balance/x",
        "/wallet/node_001/history",
        "/wallet/node_001/transactions/0123456789abcdef0123456789abcdef/x",
        "/nodes/node_001/wallet",
        "/internal",
        "/internal/tracker",
        "/internal/tracker/stop",
        "/config-check",
        "/.well-known/spin/secrets",
    ] {
        for method in ["GET", "POST"] {
            let reply = send(&world, method, target, &[], b"");
            assert_eq!(reply.header("content-type"), Some("application/json"));
            reply.expect_problem(404, "not_found");
        }
    }
}

#[test]
fn a_problem_is_labelled_as_one_where_the_client_knows_the_type() {
    let world = world();
    let url = format!("{}/wallet/ghost", world.host.url());
    for (accept, label) in [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/problem+json", "application/problem+json"),
        (
            "application/json, application/problem+json;q=0.9",
            "application/problem+json",
        ),
    ] {
        let reply = request("GET", &url, &[("accept", accept)], b"").unwrap();
        assert_eq!(reply.header("content-type"), Some(label), "{accept}");
        reply.expect_problem(404, "wallet_not_found");
    }
    // A success is no problem.
    let url = format!("{}/nodes", world.host.url());
    let accept = [("accept", "application/problem+json")];
    let reply = request("GET", &url, &accept, b"").unwrap();
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[test]
fn every_answer_tells_its_length_and_is_not_stored() {
    let world = world();
    let recipient = world.chain.foreign_address();
    let payment = json!({"recipient_address": recipient, "amount": 1}).to_string();
    let mut replies: Vec<(&str, Reply)> = GETS
        .iter()
        .map(|route| (*route, send(&world, "GET", route, &[], b"")))
        .collect();
    let again = json!({"node_id": "node_001"}).to_string();
    replies.extend([
        ("register", post(&world, POSTS[0], again.as_bytes())),
        ("create", post(&world, POSTS[1], b"{}")),
        ("new address", post(&world, POSTS[2], b"{}")),
        ("send", post(&world, POSTS[3], payment.as_bytes())),
        ("405", send(&world, "PUT", POSTS[3], &[], b"")),
        ("tick", tick(world.host.url())),
        ("tick without a token", post(&world, INTERNAL[0], b"{}")),
        ("resume", resume_sends(world.host.url())),
    ]);
    for (what, reply) in &replies {
        let length = reply.body.len().to_string();
        assert!(!reply.body.is_empty(), "{what}");
        assert_eq!(
            reply.header("content-length"),
            Some(length.as_str()),
            "{what}"
        );
        assert_eq!(reply.header("transfer-encoding"), None, "{what}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
    }
}

#[test]
fn no_answer_tells_of_the_inside() {
    // The ledger has not seen the chain and the pool is empty: everything asks the node.
    let options = HostOptions::default().variable("auth_mode", "off");
    let world = World::with(options.without_first_tick());
    let node = world.node_with_wallet("node_001");
    let recipient = world.chain.foreign_address();
    let mut bodies: Vec<String> = POSTS
        .iter()
        .map(|route| post(&world, route, b"{\"node_id\":\"' OR 1=1 --\"}").text())
        .collect();
    let wrong = "/wallet/node_001/transactions/'%20OR%201=1%20--";
    bodies.push(get(&format!("{}{wrong}", world.host.url())).text());
    let fault = json!({
        "method": "*", "when": "before", "action": "error",
        "message": "internal: chain-secret at 10.0.0.1",
    });
    world.chain.fault(fault.clone());
    let new_address = post(&world, "/wallet/node_001/new-address", b"{}");
    let of_the_chain = [
        get(&format!("{}/wallet/node_001/balance", world.host.url())),
        tick(world.host.url()),
        new_address,
    ];
    for reply in of_the_chain {
        reply.clone().expect_problem(502, "chain_rejected");
        bodies.push(reply.text());
    }
    let pay = || node.pay(&recipient, "1");
    bodies.push(pay().text());
    world.chain.clear_faults();
    world.chain.faucet(&node.address(), "10");
    world.chain.mine(1);
    node.follow();
    world.chain.fault(fault);
    let refused = pay();
    refused.clone().expect_problem(502, "chain_rejected");
    bodies.push(refused.text());
    // The cause is the operator's to read.
    assert!(
        world
            .host
            .log()
            .contains("internal: chain-secret at 10.0.0.1")
    );
    for body in &bodies {
        assert!(body.contains("\"success\":false"), "{body}");
        for inside in [
            "SELECT",
            "INSERT",
            "sqlite",
            "getblockchaininfo",
            "getnewaddress",
            "signrawtransaction",
            "10.0.0.1",
            world.chain.user(),
            world.chain.password(),
            TRACKER_TOKEN,
        ] {
            assert!(!body.contains(inside), "{inside} in {body}");
        }
    }
}
