//! Webhooks: endpoints, what they are sent, and where they may point.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use serde_json::{Value, json};
use tests::{
    Answering, HostOptions, Node, Receiver, Reply, World, eventually, in_parallel, post,
    run_webhooks, unix_now,
};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn options() -> HostOptions {
    HostOptions::default()
        .variable("webhook_key", KEY)
        .variable("private_networks", "allow")
}

fn world() -> (World, Receiver) {
    (World::with(options()), Receiver::start())
}

fn ask(node: &Node, method: &str, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let target = format!("/wallet/{}{path}", node.id);
    node.signed(method, &target, &body, &[]).unwrap()
}

/// A new endpoint.
fn create(node: &Node, url: &str, event_types: &Value) -> Value {
    let body = json!({"url": url, "event_types": event_types});
    let made = ask(node, "POST", "/webhooks", &body).expect_status(201);
    made.json()["webhook"].clone()
}

fn id(webhook: &Value) -> String {
    webhook["id"].as_str().unwrap().to_owned()
}

fn key(webhook: &Value) -> String {
    webhook["public_key"].as_str().unwrap().to_owned()
}

/// Something happens to the node's wallet: an event of this type.
fn tell(world: &World, node: &Node, kind: &str) {
    let sql = "INSERT INTO tell (wallet_id, type, data, at)
        SELECT id, ?, '{\"amount\":\"5\"}', ? FROM wallets WHERE node_id = ?";
    let books = world.books();
    let parameters = (kind, unix_now(), &node.id);
    books.connection().execute(sql, parameters).unwrap();
}

fn run(world: &World) -> Value {
    run_webhooks(world.host.url()).expect_status(200).json()
}

/// Everything that is pending is due now, and nobody has claimed it.
fn make_due(world: &World) {
    let sql = "UPDATE webhook_deliveries SET next_attempt_at = 0 WHERE status = 'pending';
        UPDATE webhooks SET busy_until = 0";
    world.books().connection().execute_batch(sql).unwrap();
}

fn deliveries(node: &Node, webhook: &Value) -> Vec<Value> {
    let path = format!("/webhooks/{}/deliveries", id(webhook));
    let page = ask(node, "GET", &path, &Value::Null).expect_status(200);
    page.json()["deliveries"].as_array().unwrap().clone()
}

#[test]
fn an_event_is_delivered_with_a_signature_that_verifies() {
    let (world, receiver) = world();
    let node = world.funded_node("node_001", &["100"]);
    let body = json!({"url": receiver.url("/hook?x=1"), "event_types": ["payment.*"]}).to_string();
    let made = node
        .signed("POST", "/wallet/node_001/webhooks", &body, &[])
        .unwrap()
        .expect_status(201)
        .json();
    let webhook = &made["webhook"];
    let sent = node
        .pay(&world.chain.foreign_address(), "5")
        .expect_status(200);
    world.chain.mine(1);
    node.follow();
    eventually("everything is delivered", || run(&world)["delivered"] == 0);
    let received = receiver.received();
    let kinds: Vec<String> = received.iter().map(tests::Received::kind).collect();
    assert_eq!(kinds, ["payment.sent", "payment.confirmed"]);
    let first = &received[0];
    assert_eq!(first.path, "/hook?x=1");
    assert_eq!(first.header("content-type"), "application/json");
    assert!(first.header("user-agent").starts_with("duxnet-webhooks/"));
    assert_eq!(first.verified_by(&key(webhook)), 1);
    let age = unix_now() - first.header("webhook-timestamp").parse::<i64>().unwrap();
    assert!((0..300).contains(&age), "{age}");
    let message = first.json();
    assert_eq!(message["data"]["txid"], sent.json()["txid"]);
    assert_eq!(message["data"]["node_id"], "node_001");
    let sequence = first.sequence();
    assert_eq!(first.id(), format!("msg_{}_{sequence}", id(webhook)));
    assert!(received[1].sequence() > sequence);
    // Another text, id or time, and another endpoint's key, do not verify.
    let mut forged = first.clone();
    forged.body = forged.body.replace("payment.sent", "payment.lost");
    assert_eq!(forged.verified_by(&key(webhook)), 0);
    let other = create(&node, &receiver.url("/"), &json!(["*"]));
    assert_eq!(first.verified_by(&key(&other)), 0);
    // What the other side answered is not kept.
    let shown = deliveries(&node, webhook);
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[1]["status"], "delivered");
    assert_eq!(
        (&shown[1]["attempts"], &shown[1]["last_status"]),
        (&json!(1), &json!(200))
    );
    assert!(!json!(shown).to_string().contains("stranger"));
}

#[test]
fn what_fails_is_tried_again_with_the_same_id_until_it_succeeds() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/"), &json!(["receive.*"]));
    let elsewhere = Receiver::start();
    let location = format!("location: {}\r\n", elsewhere.url("/"));
    receiver.answer([
        Answering::status(500),
        Answering::With(302, location, String::new()),
        Answering::With(503, "retry-after: 3000\r\n".into(), String::new()),
    ]);
    tell(&world, &node, "receive.seen");
    for (attempt, status) in [(1, 500), (2, 302), (3, 503)] {
        assert_eq!(run(&world)["failed"], 1);
        let shown = &deliveries(&node, &webhook)[0];
        assert_eq!(shown["status"], "pending", "{shown}");
        assert_eq!(
            (&shown["attempts"], &shown["last_status"]),
            (&json!(attempt), &json!(status))
        );
        // It is not due again.
        assert_eq!(
            run(&world),
            json!({"success": true, "delivered": 0, "failed": 0})
        );
        let left = world
            .books()
            .count("SELECT next_attempt_at - last_attempt_at FROM webhook_deliveries");
        let allowed = [5..=5, 300..=330, 3000..=3000][attempt - 1].clone();
        assert!(allowed.contains(&left), "{left} after attempt {attempt}");
        make_due(&world);
    }
    assert_eq!(run(&world)["delivered"], 1);
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    assert!(
        received
            .iter()
            .all(|one| one.id() == received[0].id() && one.body == received[0].body)
    );
    assert!(
        received
            .iter()
            .all(|one| one.verified_by(&key(&webhook)) == 1)
    );
    assert_eq!(elsewhere.count(), 0, "a redirect is not followed");
    let shown = &ask(&node, "GET", "/webhooks", &Value::Null).json()["webhooks"][0];
    assert_eq!(shown["failing_since"], Value::Null);
}

#[test]
fn a_hanging_an_endless_and_a_dead_endpoint_hold_up_no_other() {
    let (world, good) = world();
    let node = world.node_with_wallet("node_001");
    let (hanging, endless) = (Receiver::start(), Receiver::start());
    hanging.always(Answering::Hanging);
    endless.always(Answering::Endless);
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    };
    let hung = create(&node, &hanging.url("/"), &json!(["*"]));
    let endless = create(&node, &endless.url("/"), &json!(["*"]));
    let dead = create(&node, &dead, &json!(["*"]));
    create(&node, &good.url("/"), &json!(["*"]));
    tell(&world, &node, "receive.seen");
    std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&world));
        hanging.wait_for(1);
        good.wait_for(1);
        // Another event, while the run waits for the one that hangs.
        tell(&world, &node, "receive.confirmed");
        good.wait_for(2);
        assert!(!running.is_finished());
        // Another run at the same time leaves the one that hangs alone.
        run(&world);
        assert_eq!(hanging.count(), 1);
        running.join().unwrap();
    });
    let last = |webhook| deliveries(&node, webhook).last().unwrap().clone();
    assert_eq!(last(&hung)["last_error"], "it did not answer in time");
    assert_eq!(last(&hung)["last_status"], Value::Null);
    assert_eq!(
        last(&endless)["status"],
        "delivered",
        "its answer was a success"
    );
    assert_eq!(last(&dead)["last_error"], "it refused the connection");
    assert_eq!(good.count(), 2);
}

#[test]
fn an_endpoint_that_is_gone_is_disabled_and_another_one_is_told() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let gone = create(&node, &receiver.url("/gone"), &json!(["receive.*"]));
    create(&node, &receiver.url("/watch"), &json!(["webhook.disabled"]));
    receiver.answer([Answering::status(410)]);
    tell(&world, &node, "receive.seen");
    run(&world);
    run(&world);
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(
        (received[0].path.as_str(), received[1].path.as_str()),
        ("/gone", "/watch")
    );
    let told = received[1].json();
    assert_eq!(told["type"], "webhook.disabled");
    assert_eq!(
        (&told["data"]["webhook_id"], &told["data"]["reason"]),
        (&gone["id"], &json!("gone"))
    );
    let path = format!("/webhooks/{}", id(&gone));
    let shown = ask(&node, "GET", &path, &Value::Null).json()["webhook"].clone();
    assert_eq!(
        (&shown["enabled"], &shown["disabled_reason"]),
        (&json!(false), &json!("gone"))
    );
    assert!(shown["disabled_at"].is_string());
    for action in ["test", "replay"] {
        let body = if action == "replay" {
            json!({"from_sequence": 1})
        } else {
            Value::Null
        };
        ask(&node, "POST", &format!("{path}/{action}"), &body)
            .expect_problem(409, "webhook_disabled");
    }
    tell(&world, &node, "receive.seen");
    run(&world);
    assert_eq!(receiver.count(), 2);
}

#[test]
fn endpoints_are_listed_shown_changed_and_deleted() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/a"), &Value::Null);
    assert_eq!(
        webhook["event_types"],
        json!(["*"]),
        "everything, unless it says"
    );
    assert_eq!(webhook["enabled"], true);
    assert!(key(&webhook).starts_with("whpk_"));
    let id = id(&webhook);
    let list = node
        .signed("GET", "/wallet/node_001/webhooks", "", &[])
        .unwrap();
    assert_eq!(list.expect_status(200).json()["webhooks"], json!([webhook]));
    let one = format!("/wallet/node_001/webhooks/{id}");
    let shown = node
        .signed("GET", &one, "", &[])
        .unwrap()
        .expect_status(200)
        .json();
    assert_eq!(shown["webhook"], webhook);

    let change =
        json!({"url": receiver.url("/b"), "event_types": ["receive.seen"], "enabled": false});
    let changed = node
        .signed("PATCH", &one, &change.to_string(), &[])
        .unwrap();
    let changed = changed.expect_status(200).json()["webhook"].clone();
    assert_eq!(changed["event_types"], json!(["receive.seen"]));
    assert_eq!(changed["disabled_reason"], "paused");
    assert_eq!(changed["public_key"], webhook["public_key"]);
    tell(&world, &node, "receive.seen");
    assert_eq!(run(&world)["delivered"], 0);
    let resume = json!({"enabled": true}).to_string();
    node.signed("PATCH", &one, &resume, &[])
        .unwrap()
        .expect_status(200);
    for kind in ["receive.seen", "receive.confirmed"] {
        tell(&world, &node, kind);
    }
    assert_eq!(run(&world)["delivered"], 1);
    assert_eq!(receiver.received()[0].path, "/b");

    tell(&world, &node, "receive.seen");
    node.signed("DELETE", &one, "", &[])
        .unwrap()
        .expect_status(200);
    assert_eq!(run(&world)["delivered"], 0);
    for method in ["GET", "DELETE"] {
        let gone = node.signed(method, &one, "", &[]).unwrap();
        gone.expect_problem(404, "webhook_not_found");
    }
    let refused = node.signed("PUT", &one, "", &[]).unwrap();
    assert_eq!(refused.header("allow"), Some("GET, PATCH, DELETE"));
    refused.expect_problem(405, "method_not_allowed");
    let refused = node
        .signed("DELETE", "/wallet/node_001/webhooks", "", &[])
        .unwrap();
    assert_eq!(refused.header("allow"), Some("GET, POST"));
    refused.expect_problem(405, "method_not_allowed");
}

#[test]
fn another_node_neither_sees_nor_touches_an_endpoint() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let stranger = world.node_with_wallet("node_002");
    let webhook = create(&node, &receiver.url("/"), &json!(["*"]));
    let own = format!("/webhooks/{}", id(&webhook));
    let foreign = format!("/wallet/node_001{own}");
    for (method, path, body) in [
        ("GET", "", ""),
        ("PATCH", "", r#"{"enabled":false}"#),
        ("DELETE", "", ""),
        ("GET", "/deliveries", ""),
        ("POST", "/test", ""),
        ("POST", "/rotate", ""),
        ("POST", "/replay", r#"{"from_sequence":1}"#),
    ] {
        // By the owner's path, with the stranger's signature; then by the stranger's own path.
        let target = format!("{foreign}{path}");
        let refused = stranger.signed(method, &target, body, &[]).unwrap();
        refused.expect_problem(403, "forbidden");
        let target = format!("/wallet/node_002{own}{path}");
        let refused = stranger.signed(method, &target, body, &[]).unwrap();
        refused.expect_problem(404, "webhook_not_found");
        let unsigned = stranger.try_send(method, &format!("{foreign}{path}"), body.as_bytes(), &[]);
        unsigned
            .unwrap()
            .expect_problem(401, "authentication_failed");
    }
    tell(&world, &stranger, "receive.seen");
    run(&world);
    assert_eq!(receiver.count(), 0);
    let shown = ask(&node, "GET", &own, &Value::Null).json()["webhook"].clone();
    assert_eq!(shown, webhook);
}

#[test]
fn a_signed_change_is_made_once() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/"), &json!(["*"]));
    let target = format!("/wallet/node_001/webhooks/{}/rotate", id(&webhook));
    let headers = node.headers(&node.signing(), "POST", &target, b"");
    let rotated = node.try_send("POST", &target, b"", &headers).unwrap();
    assert_eq!(
        rotated.expect_status(200).json()["webhook"]["key_version"],
        2
    );
    let replayed = node.try_send("POST", &target, b"", &headers).unwrap();
    replayed.expect_problem(401, "authentication_failed");
    let shown = ask(
        &node,
        "GET",
        &format!("/webhooks/{}", id(&webhook)),
        &Value::Null,
    );
    assert_eq!(shown.json()["webhook"]["key_version"], 2);
}

#[test]
fn a_repeated_creation_makes_one_endpoint_and_a_wallet_has_at_most_ten() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let target = "/wallet/node_001/webhooks";
    let make = |key: &str, path: &str| {
        let body = json!({"url": receiver.url(path)}).to_string();
        node.signed("POST", target, &body, &[("Idempotency-Key", key)])
            .unwrap()
    };
    let made = in_parallel(4, |_| make("hook-1", "/").expect_status(201));
    let ids: std::collections::BTreeSet<String> = made
        .iter()
        .map(|reply| id(&reply.json()["webhook"]))
        .collect();
    assert_eq!(ids.len(), 1);
    let replays = made
        .iter()
        .filter(|reply| reply.header("idempotency-replayed") == Some("true"));
    assert_eq!(replays.count(), 3);
    make("hook-1", "/other").expect_problem(422, "idempotency_key_reused");
    let statuses = in_parallel(14, |n| make(&format!("more-{n}"), "/").status);
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 9);
    make("one-too-many", "/").expect_problem(409, "webhook_limit_reached");
    make("hook-1", "/").expect_status(201);
}

#[test]
fn after_a_rotation_both_keys_sign_for_a_while() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/"), &json!(["*"]));
    let id = id(&webhook);
    let target = format!("/wallet/node_001/webhooks/{id}/rotate");
    let rotate = || {
        let headers = [("Idempotency-Key", "rotation-1")];
        node.signed("POST", &target, "", &headers)
            .unwrap()
            .expect_status(200)
    };
    let rotated = rotate().json()["webhook"].clone();
    assert_ne!(key(&rotated), key(&webhook));
    assert_eq!(rotated["previous_public_key"], webhook["public_key"]);
    let again = rotate();
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json()["webhook"], rotated);
    tell(&world, &node, "receive.seen");
    assert_eq!(run(&world)["delivered"], 1);
    let both = &receiver.received()[0];
    assert_eq!(both.signatures().len(), 2);
    assert_eq!(
        (
            both.verified_by(&key(&rotated)),
            both.verified_by(&key(&webhook))
        ),
        (1, 1)
    );
    // The grace is over.
    let sql = "UPDATE webhooks SET previous_key_until = 1";
    world.books().connection().execute(sql, []).unwrap();
    tell(&world, &node, "receive.seen");
    assert_eq!(run(&world)["delivered"], 1);
    let one = &receiver.received()[1];
    assert_eq!(one.signatures().len(), 1);
    assert_eq!(
        (
            one.verified_by(&key(&rotated)),
            one.verified_by(&key(&webhook))
        ),
        (1, 0)
    );
    let shown = ask(&node, "GET", &format!("/webhooks/{id}"), &Value::Null).json();
    assert_eq!(shown["webhook"]["previous_public_key"], Value::Null);
}

#[test]
fn a_test_goes_to_its_endpoint_alone_and_once() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/tested"), &json!(["payment.sent"]));
    create(&node, &receiver.url("/other"), &json!(["*"]));
    let id = id(&webhook);
    let target = format!("/wallet/node_001/webhooks/{id}/test");
    let test = || node.signed("POST", &target, "", &[]).unwrap();
    let answer = test().expect_status(200).json();
    assert_eq!(answer["delivery"]["status"], "pending");
    test().expect_problem(409, "in_progress");
    receiver.answer([Answering::status(500)]);
    assert_eq!(run(&world)["failed"], 1);
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].path, "/tested");
    assert_eq!(received[0].kind(), "webhook.test");
    assert_eq!(received[0].id(), answer["delivery"]["id"].as_str().unwrap());
    assert_eq!(received[0].verified_by(&key(&webhook)), 1);
    let shown = &deliveries(&node, &webhook)[0];
    assert_eq!(
        (&shown["status"], &shown["sequence"]),
        (&json!("failed"), &Value::Null)
    );
    make_due(&world);
    assert_eq!(run(&world)["failed"], 0, "it is not tried again");
}

#[test]
fn a_replay_tells_again_with_the_same_ids() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/"), &json!(["receive.*"]));
    for kind in ["receive.seen", "payment.sent", "receive.confirmed"] {
        tell(&world, &node, kind);
    }
    assert_eq!(run(&world)["delivered"], 2);
    let id = id(&webhook);
    let replay = |from: Value| {
        let body = json!({"from_sequence": from}).to_string();
        let target = format!("/wallet/node_001/webhooks/{id}/replay");
        node.signed("POST", &target, &body, &[]).unwrap()
    };
    let answer = replay(json!(3)).expect_status(200).json();
    assert_eq!(
        (&answer["replayed"], &answer["next_sequence"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(run(&world)["delivered"], 1);
    let received = receiver.received();
    assert_eq!(
        (received[2].id(), &received[2].body),
        (received[1].id(), &received[1].body)
    );
    // An endpoint that was made later can be told of what was before.
    let late = create(&node, &receiver.url("/late"), &json!(["*"]));
    let target = format!("/webhooks/{}/replay", self::id(&late));
    let answer = ask(&node, "POST", &target, &json!({"from_sequence": 1}));
    assert_eq!(answer.expect_status(200).json()["replayed"], 4);
    assert_eq!(run(&world)["delivered"], 4);
    let late: Vec<i64> = receiver.received()[3..]
        .iter()
        .map(tests::Received::sequence)
        .collect();
    assert_eq!(late, [1, 2, 3, 4], "in order");
    replay(json!(0)).expect_problem(422, "invalid_value");
    replay(Value::Null).expect_problem(422, "invalid_value");
}

#[test]
fn deliveries_page_through_every_message_once() {
    let (world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/"), &json!(["*"]));
    for _ in 0..5 {
        tell(&world, &node, "receive.seen");
    }
    run(&world);
    let id = id(&webhook);
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let target = format!("/wallet/node_001/webhooks/{id}/deliveries{query}");
        let page = node
            .signed("GET", &target, "", &[])
            .unwrap()
            .expect_status(200)
            .json();
        let rows = page["deliveries"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row["sequence"].as_i64().unwrap()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [6, 5, 4, 3, 2], "newest first");
}

#[test]
fn what_leads_into_private_networks_is_refused_unless_the_operator_allows_it() {
    let world = World::with(HostOptions::default().variable("webhook_key", KEY));
    let node = world.node_with_wallet("node_001");
    let receiver = Receiver::start();
    let create = |url: &str| ask(&node, "POST", "/webhooks", &json!({"url": url}));
    for url in [
        &receiver.url("/"),
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://printer.local/",
        "https://wallet-info.spin.internal/",
        "https://self.alt/",
        "https://user:password@example.com/",
        "https://example.com/#x",
        "https://example.com:0/",
        "gopher://example.com/",
        "",
    ] {
        create(url).expect_problem(422, "invalid_value");
    }
    let made = create("https://hooks.example.com:8443/x")
        .expect_status(201)
        .json();
    let path = format!("/webhooks/{}", id(&made["webhook"]));
    let change = json!({"url": "https://10.0.0.1/"});
    ask(&node, "PATCH", &path, &change).expect_problem(422, "invalid_value");
}

#[test]
fn a_private_endpoint_of_a_time_when_it_was_allowed_gets_nothing_any_more() {
    let (world, receiver) = (World::with(options().one_on_a_file()), Receiver::start());
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/"), &json!(["*"]));
    tell(&world, &node, "receive.seen");
    let World { chain, host } = world;
    let folder = std::sync::Arc::clone(host.shared_folder());
    drop(host);
    let denied = options()
        .one_on_a_file()
        .variable("private_networks", "deny")
        .folder(&folder);
    let host = tests::Host::start(&chain, denied);
    let world = World { chain, host };
    let node = node.at(&world.host);
    assert_eq!(run(&world)["failed"], 1);
    assert_eq!(receiver.count(), 0);
    let shown = &deliveries(&node, &webhook)[0];
    assert_eq!(shown["last_error"], "url must begin with https://");
}

#[test]
fn two_processes_at_once_deliver_each_message_once() {
    let chain = tests::Chain::start();
    let host = tests::Host::start(&chain, options());
    let second = tests::Host::start(&chain, options().folder(host.shared_folder()));
    let world = World { chain, host };
    let receiver = Receiver::start();
    let node = world.node_with_wallet("node_001");
    for number in 0..4 {
        create(
            &node,
            &receiver.url(&format!("/{number}")),
            &json!(["receive.*"]),
        );
    }
    for _ in 0..10 {
        tell(&world, &node, "receive.seen");
    }
    let urls = [world.host.url(), second.url()];
    in_parallel(4, |n| run_webhooks(urls[n % 2]).expect_status(200));
    eventually("everything is delivered", || {
        run(&world);
        receiver.count() >= 40
    });
    run(&world);
    let mut ids: Vec<String> = receiver
        .received()
        .iter()
        .map(|one| one.id().to_owned())
        .collect();
    assert_eq!(ids.len(), 40);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[test]
fn a_host_that_is_killed_in_between_sends_again_with_the_same_id() {
    let (mut world, receiver) = world();
    let node = world.node_with_wallet("node_001");
    create(&node, &receiver.url("/"), &json!(["*"]));
    receiver.answer([Answering::Hanging]);
    tell(&world, &node, "receive.seen");
    let url = world.host.url().to_owned();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| std::panic::catch_unwind(|| run_webhooks(&url)).is_err());
        receiver.wait_for(1);
        world.host.kill();
        assert!(running.join().unwrap(), "the run got no answer");
    });
    world.host.restart();
    assert_eq!(run(&world)["delivered"], 0, "the claim lasts");
    make_due(&world);
    assert_eq!(run(&world)["delivered"], 1);
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(
        (received[0].id(), &received[0].body),
        (received[1].id(), &received[1].body)
    );
}

#[test]
fn the_schedule_delivers_by_itself() {
    let (world, receiver) = (
        World::with(options().variable("tracker_interval", "0.1")),
        Receiver::start(),
    );
    let node = world.node_with_wallet("node_001");
    let webhook = create(&node, &receiver.url("/"), &json!(["receive.*"]));
    tell(&world, &node, "receive.seen");
    assert_eq!(receiver.wait_for(1)[0].verified_by(&key(&webhook)), 1);
}

#[test]
fn a_run_wants_the_operators_token() {
    let (world, _receiver) = world();
    let refused = post(&format!("{}/internal/webhooks/run", world.host.url()), "");
    refused.expect_problem(401, "authentication_failed");
    assert_eq!(
        run(&world),
        json!({"success": true, "delivered": 0, "failed": 0})
    );
}

#[test]
fn without_a_key_there_are_no_webhooks() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let body = json!({"url": "https://hooks.example.com/"});
    ask(&node, "POST", "/webhooks", &body).expect_problem(503, "webhooks_unavailable");
    let none = ask(&node, "GET", "/webhooks", &Value::Null).expect_status(200);
    assert_eq!(none.json()["webhooks"], json!([]));
    assert_eq!(world.books().count("SELECT COUNT(*) FROM webhooks"), 0);
}
