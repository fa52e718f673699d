//! Registries among each other: what they tell, what they take, and what a network or a peer can
//! do to that.
#![allow(clippy::unwrap_used, missing_docs)]

use duxnet_api::p2p::MessageType;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::{
    Chain, FakePeer, Node, Planned, Registry, World, eventually, get, in_parallel, operator, post,
    run_peers, settle, unix_now,
};

fn two(chain: &Chain) -> (Registry, Registry) {
    let mut both = Registry::all(chain, vec![Planned::new("left"), Planned::new("right")]);
    let right = both.pop().unwrap();
    (both.pop().unwrap(), right)
}

/// A registry whose only peers the test plays.
fn among(chain: &Chain, planned: Planned, fakes: &[&FakePeer]) -> Registry {
    let entries: Vec<String> = fakes.iter().map(|fake| fake.entry()).collect();
    planned.start(chain, &entries)
}

fn said(node: &str, registry: &str, status: &str) -> (String, String, String) {
    (node.into(), registry.into(), status.into())
}

/// Registers again, elsewhere.
fn move_to(node: &Node, address: &str) {
    let body = json!({"node_id": node.id, "public_key": node.public_key(), "address": address});
    node.post("/nodes/register", &body).expect_status(200);
}

fn node_update(fake: &FakePeer, message_id: &str, at: i64) -> String {
    let payload = json!({"node_id": "their_node", "status": "online", "capabilities": ["compute"]});
    fake.message(MessageType::NodeUpdate, message_id, at, &payload)
}

#[test]
fn two_registries_tell_each_other_of_their_nodes() {
    let chain = Chain::start();
    let (left, right) = two(&chain);
    left.node("node_of_left");
    let node = right.node("node_of_right");
    settle(&[&left, &right]);
    assert_eq!(
        right.hearsay(),
        [said("node_of_left", "left", "registered")]
    );
    assert_eq!(
        left.hearsay(),
        [said("node_of_right", "right", "registered")]
    );
    // Each registry's own directory has its own nodes.
    let own = get(&format!("{}/nodes", left.url()))
        .expect_status(200)
        .json();
    assert_eq!(own["nodes"].as_array().unwrap().len(), 1);
    move_to(&node, "elsewhere.example:9");
    settle(&[&left, &right]);
    let page = get(&format!("{}/peers/nodes?registry=right", left.url()))
        .expect_status(200)
        .json();
    let reported = &page["nodes"][0];
    assert_eq!(reported["address"], "elsewhere.example:9");
    assert_eq!(reported["reported_by"], "right");
    assert_eq!(reported["received_from"], "right");
    assert_eq!(reported["capabilities"], json!([]));
    assert!(reported["reported_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(left.peer("right")["state"], "active");
    assert_eq!(left.peer("right")["queued"], 0);
    get(&format!("{}/peers/nodes?registry=a+b", left.url())).expect_problem(422, "invalid_value");
}

#[test]
fn peers_are_shown_to_operators_only_and_page_by_page() {
    let chain = Chain::start();
    let fakes = ["one", "two", "three"].map(FakePeer::new);
    let registry = among(&chain, Planned::new("home"), &fakes.each_ref());
    registry.run();
    let url = format!("{}/peers", registry.url());
    get(&url).expect_problem(401, "authentication_failed");
    let first = operator(registry.url(), "GET", "/peers?limit=2", "")
        .expect_status(200)
        .json();
    assert_eq!(first["peers"].as_array().unwrap().len(), 2);
    assert_eq!(first["peers"][0]["source"], "static");
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = operator(
        registry.url(),
        "GET",
        &format!("/peers?limit=2&cursor={cursor}"),
        "",
    )
    .expect_status(200)
    .json();
    assert_eq!(rest["peers"].as_array().unwrap().len(), 1);
    assert_eq!(rest["next_cursor"], Value::Null);
}

#[test]
fn what_happens_during_a_partition_arrives_when_it_heals() {
    let chain = Chain::start();
    let (left, right) = two(&chain);
    let node = left.node("wanderer");
    settle(&[&left, &right]);
    right.link.cut("left");
    left.link.cut("right");
    for step in 0..3 {
        move_to(&node, &format!("step-{step}.example:1"));
        left.run_now();
    }
    left.node("newcomer");
    right.node("other");
    // Too often without an answer: parked, with nothing kept for it.
    eventually("the peer is parked", || {
        left.run_now();
        left.peer("right")["state"] == "parked"
    });
    assert_eq!(left.peer("right")["queued"], 0);
    right.run_now();
    assert!(right.peer("left")["failures"].as_u64().unwrap() > 0);
    right.link.heal();
    left.link.heal();
    settle(&[&left, &right]);
    assert_eq!(left.peer("right")["state"], "active");
    assert_eq!(
        right.hearsay(),
        [
            said("newcomer", "left", "registered"),
            said("wanderer", "left", "registered")
        ]
    );
    assert_eq!(left.hearsay(), [said("other", "right", "registered")]);
    let page = get(&format!("{}/peers/nodes", right.url())).json();
    let nodes = page["nodes"].as_array().unwrap();
    assert!(
        nodes
            .iter()
            .any(|node| node["address"] == "step-2.example:1")
    );
}

#[test]
fn a_parked_peer_that_speaks_is_told_everything_without_waiting() {
    let chain = Chain::start();
    let (left, right) = two(&chain);
    settle(&[&left, &right]);
    left.books()
        .connection()
        .execute(
            "UPDATE peers SET state = 'parked', hello_due = 1, failures = 8, sync_after = 0, next_try_at = 9999999999",
            [],
        )
        .unwrap();
    left.node("news");
    left.run();
    assert_eq!(right.hearsay(), []);
    right.node("word");
    right.run();
    left.run();
    assert_eq!(right.hearsay(), [said("news", "left", "registered")]);
}

#[test]
fn answers_that_are_lost_and_requests_that_come_twice_change_nothing() {
    let chain = Chain::start();
    let (left, right) = two(&chain);
    settle(&[&left, &right]);
    right.link.lose_answers(true);
    left.node("one");
    left.run_now();
    assert_eq!(right.hearsay(), [said("one", "left", "registered")]);
    // Nothing told left so: the message waits, and comes again.
    assert_eq!(left.peer("right")["queued"], 1);
    right.link.lose_answers(false);
    right.link.double(true);
    left.node("two");
    settle(&[&left, &right]);
    assert_eq!(
        right.hearsay(),
        [
            said("one", "left", "registered"),
            said("two", "left", "registered")
        ]
    );
    let messages = right.link.messages("left", "node_register");
    let ids: Vec<_> = messages.iter().map(|m| m["message_id"].clone()).collect();
    // The first one came again as it was.
    assert_eq!(ids[0], ids[1]);
    let books = right.books();
    assert_eq!(
        books.count("SELECT COUNT(*) FROM peer_seen WHERE origin = 'left'"),
        books.count("SELECT COUNT(DISTINCT message_id) FROM peer_seen WHERE origin = 'left'")
    );
    // The second copy of a request is a replay.
    let again = right.link.record().last().unwrap().again_to(right.url());
    again.expect_problem(401, "authentication_failed");
}

#[test]
fn messages_in_any_order_end_in_the_newest_state() {
    let chain = Chain::start();
    let fake = FakePeer::new("fake");
    let registry = among(&chain, Planned::new("home"), &[&fake]);
    let now = unix_now();
    let update = |number: i64, status: &str| {
        fake.message(
            MessageType::NodeUpdate,
            &format!("message-{number}"),
            now - 100 + number,
            &json!({"node_id": "n", "status": status}),
        )
    };
    for (number, status) in [(2, "stale"), (3, "online"), (1, "offline")] {
        let reply = fake.bring(&registry, 0, &update(number, status));
        assert_eq!(reply.expect_status(200).json()["status"], "accepted");
    }
    let again = fake.bring(&registry, 0, &update(2, "stale"));
    assert_eq!(again.expect_status(200).json()["status"], "duplicate");
    assert_eq!(registry.hearsay(), [said("n", "fake", "online")]);
}

#[test]
fn five_registries_in_a_ring_all_hear_everything_and_no_message_goes_round_for_ever() {
    let chain = Chain::start();
    let names = ["r1", "r2", "r3", "r4", "r5"];
    let ring = Registry::all(&chain, names.map(Planned::new).into());
    for (one, registry) in ring.iter().enumerate() {
        for (other, from) in names.iter().enumerate() {
            let distance = one.abs_diff(other);
            if distance == 2 || distance == 3 {
                registry.link.cut(from);
            }
        }
        registry.node(&format!("node_of_{}", registry.id));
    }
    let all: Vec<&Registry> = ring.iter().collect();
    settle(&all);
    let everything: Vec<_> = names
        .iter()
        .map(|name| said(&format!("node_of_{name}"), name, "registered"))
        .collect();
    for registry in &ring {
        let expected: Vec<_> = everything
            .iter()
            .filter(|(_, by, _)| *by != registry.id)
            .cloned()
            .collect();
        assert_eq!(registry.hearsay(), expected, "{}", registry.id);
    }
    // Over each of the five links at most twice.
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for registry in &ring {
        for request in registry.link.record() {
            let message = request.message();
            if request.status == Some(200) && message["message_type"] == "node_register" {
                assert_ne!(message["sender_id"], registry.id.as_str());
                *taken
                    .entry(message["message_id"].as_str().unwrap().to_owned())
                    .or_default() += 1;
            }
        }
    }
    assert_eq!(taken.len(), 5);
    assert!(
        taken.values().all(|count| (4..=10).contains(count)),
        "{taken:?}"
    );
    // Two halves, changes in both, and together again.
    for name in ["r1", "r2"] {
        for registry in &ring[2..] {
            registry.link.cut(name);
        }
    }
    for name in ["r3", "r4", "r5"] {
        for registry in &ring[..2] {
            registry.link.cut(name);
        }
    }
    ring[0].node("behind_the_wall");
    ring[3].node("before_the_wall");
    settle(&all);
    let knows =
        |registry: &Registry, node: &str| registry.hearsay().iter().any(|(id, ..)| id == node);
    assert!(knows(&ring[1], "behind_the_wall") && !knows(&ring[4], "behind_the_wall"));
    assert!(knows(&ring[4], "before_the_wall") && !knows(&ring[1], "before_the_wall"));
    for registry in &ring {
        registry.link.heal();
    }
    settle(&all);
    assert!(ring.iter().skip(1).all(|r| knows(r, "behind_the_wall")));
    assert!(
        ring.iter()
            .all(|r| r.id == "r4" || knows(r, "before_the_wall"))
    );
}

#[test]
fn every_message_that_is_not_right_is_refused_with_its_code_and_counted() {
    let chain = Chain::start();
    let (fake, other) = (FakePeer::new("fake"), FakePeer::new("other"));
    let stranger = FakePeer::new("stranger");
    let home = among(&chain, Planned::new("home"), &[&fake, &other]);
    let now = unix_now();
    let good = node_update(&fake, "message-01", now);

    // The request itself.
    let target = "/p2p/messages";
    post(&format!("{}{target}", home.url()), "{}").expect_problem(401, "authentication_failed");
    stranger
        .bring(&home, 0, &node_update(&stranger, "message-02", now))
        .expect_problem(401, "authentication_failed");
    stranger
        .hello(
            &home,
            "message-03",
            Some("0123456789abcdef0123456789abcdef"),
        )
        .expect_problem(401, "authentication_failed");
    let mut liar = stranger.signer.clone();
    liar.id = "fake".into();
    liar.urls = home.host.urls().clone();
    liar.signed("POST", target, "{}", &[])
        .unwrap()
        .expect_problem(401, "authentication_failed");
    let mut old = fake.signer.signing();
    old.timestamp -= 121;
    let headers = fake.signer.headers(&old, "POST", target, b"{}");
    let sender = Node {
        urls: home.host.urls().clone(),
        ..fake.signer.clone()
    };
    sender
        .try_send("POST", target, b"{}", &headers)
        .unwrap()
        .expect_problem(401, "authentication_failed");
    let large = format!("{{\"to\":\"{}\"}}", "x".repeat(17_000));
    fake.post(home.url(), &large)
        .expect_problem(413, "payload_too_large");

    // The message.
    fake.post(home.url(), "{}")
        .expect_problem(400, "invalid_request");
    fake.bring(&home, 0, &good.replace("online", "stolen"))
        .expect_problem(403, "message_forged");
    fake.bring(&home, 0, &node_update(&fake, "message-04", now - 86_500))
        .expect_problem(422, "message_stale");
    let ahead = fake
        .bring(&home, 0, &node_update(&fake, "message-05", now + 120))
        .expect_problem(422, "message_ahead");
    assert_eq!(ahead["retryable"], true);
    fake.bring(&home, 1, &good)
        .expect_problem(403, "wrong_origin");
    other
        .bring(&home, 0, &good)
        .expect_problem(403, "wrong_origin");
    other
        .bring(&home, 5, &good)
        .expect_problem(422, "too_many_hops");
    let goodbye = fake.message(MessageType::Goodbye, "message-06", now, &json!({}));
    other
        .bring(&home, 1, &goodbye)
        .expect_problem(403, "wrong_origin");
    fake.bring(&home, 1, &node_update(&stranger, "message-07", now))
        .expect_problem(403, "unknown_origin");
    let misdirected = format!(r#"{{"to":"elsewhere","hops":0,"message":{good}}}"#);
    fake.post(home.url(), &misdirected)
        .expect_problem(421, "misdirected");

    let rejected = |id: &str| home.peer(id)["rejected"].clone();
    assert_eq!(
        rejected("fake"),
        json!({
            "invalid_request": 1, "message_ahead": 1, "message_forged": 1, "message_stale": 1,
            "misdirected": 1, "unknown_origin": 1, "wrong_origin": 1,
        })
    );
    assert_eq!(
        rejected("other"),
        json!({"too_many_hops": 1, "wrong_origin": 2})
    );
    let books = home.books();
    assert_eq!(books.count("SELECT COUNT(*) FROM peer_reports"), 0);
    assert_eq!(books.count("SELECT COUNT(*) FROM peer_seen"), 0);
    assert_eq!(books.count("SELECT COUNT(*) FROM peers"), 2);
    // The honest one, brought by another.
    other.bring(&home, 1, &good).expect_status(200);
    assert_eq!(home.hearsay(), [said("their_node", "fake", "online")]);
}

#[test]
fn a_peer_that_floods_is_slowed_down_and_another_gets_through() {
    let chain = Chain::start();
    let (flood, calm) = (FakePeer::new("flood"), FakePeer::new("calm"));
    let planned = Planned::new("home").variable("peer_message_limit", "20");
    let home = among(&chain, planned, &[&flood, &calm]);
    // A minute may end meanwhile: then there are two of them.
    let statuses: Vec<u16> = in_parallel(4, |thread| {
        (0..20)
            .map(|number| {
                let id = format!("message-{thread}-{number}");
                let reply = flood.bring(&home, 0, &node_update(&flood, &id, unix_now()));
                if reply.status == 429 {
                    let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
                    assert!((1..=60).contains(&wait));
                    reply.expect_problem(429, "peer_limit_exceeded");
                    429
                } else {
                    reply.status
                }
            })
            .collect::<Vec<_>>()
    })
    .concat();
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!((20..=40).contains(&passed), "{passed} of 80 passed");
    assert!(statuses.iter().all(|status| [200, 429].contains(status)));
    calm.bring(&home, 0, &node_update(&calm, "message-calm", unix_now()))
        .expect_status(200);
    assert_eq!(
        home.peer("flood")["rejected"]["peer_limit_exceeded"],
        80 - passed
    );
    assert_eq!(home.peer("calm")["rejected"], json!({}));
}

#[test]
fn an_invited_registry_comes_in_once_and_is_told_everything() {
    let chain = Chain::start();
    let host = Planned::new("host").start(&chain, &[]);
    let guest = Planned::new("guest").start(&chain, &[]);
    host.node("node_of_host");
    guest.node("node_of_guest");
    // The key is known after the first run.
    host.operator("POST", "/peers/invites", "{}")
        .expect_problem(503, "misconfigured");
    host.run();
    let target = format!("{}/peers/invites", host.url());
    post(&target, "{}").expect_problem(401, "authentication_failed");
    let invitation = host
        .operator("POST", "/peers/invites", r#"{"expires_in":3600}"#)
        .expect_status(201)
        .json()["invitation"]
        .clone();
    let token = invitation["token"].as_str().unwrap();
    let kept = host.books().texts("SELECT token_hash FROM peer_invites");
    assert!(!kept.is_empty() && !kept.contains(&token.to_owned()));
    guest
        .operator("POST", "/peers/join", &invitation.to_string())
        .expect_status(200);
    settle(&[&guest, &host]);
    assert_eq!(
        host.hearsay(),
        [said("node_of_guest", "guest", "registered")]
    );
    assert_eq!(
        guest.hearsay(),
        [said("node_of_host", "host", "registered")]
    );
    assert_eq!(host.peer("guest")["source"], "invited");
    assert_eq!(host.peer("guest")["created_by"], "alice");
    assert_eq!(guest.peer("host")["source"], "joined");
    // Somebody who has seen the token.
    let thief = FakePeer::new("thief");
    thief
        .hello(&host, "message-1", Some(token))
        .expect_problem(401, "authentication_failed");
    assert_eq!(host.peer("thief"), Value::Null);
    host.operator("POST", "/peers/invites", r#"{"expires_in":1}"#)
        .expect_problem(422, "invalid_value");
    guest
        .operator("POST", "/peers/join", "{}")
        .expect_problem(400, "invalid_request");
}

#[test]
fn of_two_that_show_one_invitation_at_once_one_comes_in() {
    let chain = Chain::start();
    let host = Planned::new("host").start(&chain, &[]);
    host.run();
    let invitation = host
        .operator("POST", "/peers/invites", "")
        .expect_status(201)
        .json();
    let token = invitation["invitation"]["token"].as_str().unwrap();
    let guests = ["g1", "g2", "g3", "g4"].map(FakePeer::new);
    let statuses = in_parallel(guests.len(), |number| {
        guests[number].hello(&host, "message-1", Some(token)).status
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(host.books().count("SELECT COUNT(*) FROM peers"), 1);
}

#[test]
fn private_addresses_are_closed_until_the_operator_allows_them() {
    let chain = Chain::start();
    let planned = Planned::new("host").variable("private_networks", "deny");
    let named = FakePeer::new("named");
    let host = among(&chain, planned, &[&named]);
    // Not even a peer that the operator named: the host looks at what it connects to.
    host.run();
    assert_eq!(host.peer("named")["failures"], 1);
    assert!(named.link.record().is_empty());
    let invitation = host
        .operator("POST", "/peers/invites", "")
        .expect_status(201)
        .json();
    let token = invitation["invitation"]["token"].as_str().unwrap();
    let guest = FakePeer::new("guest");
    guest
        .hello(&host, "message-1", Some(token))
        .expect_problem(422, "invalid_value");
    let join = json!({
        "registry_id": "guest", "address": guest.link.url(), "public_key": guest.public_key(), "token": "x".repeat(64),
    });
    host.operator("POST", "/peers/join", &join.to_string())
        .expect_problem(422, "invalid_value");
    // One that got in when it was allowed is not called either.
    host.books()
        .connection()
        .execute(
            "INSERT INTO peers (peer_id, address, public_key, source, created_at) VALUES ('guest', ?, ?, 'invited', 1)",
            [guest.link.url(), guest.public_key()],
        )
        .unwrap();
    host.run();
    assert_eq!(host.peer("guest")["failures"], 1);
    assert!(guest.link.record().is_empty());
}

#[test]
fn peers_introduce_their_peers_where_both_operators_want_it() {
    let chain = Chain::start();
    let on = |id: &str| Planned::new(id).variable("peer_exchange", "on");
    let (hub, x, y) = (on("hub"), on("x"), on("y"));
    let shy = Planned::new("shy");
    let entries = [x.entry(), y.entry(), shy.entry()];
    let to_hub = [hub.entry()];
    let hub = hub.start(&chain, &entries);
    let [x, y, shy] = [x, y, shy].map(|planned| planned.start(&chain, &to_hub));
    let all = [&hub, &x, &y, &shy];
    settle(&all);
    settle(&all);
    for (one, other) in [(&x, "y"), (&y, "x")] {
        assert_eq!(one.peer(other)["source"], "exchange");
        assert_eq!(one.peer(other)["created_by"], "hub");
        assert_eq!(one.peer(other)["state"], "active");
    }
    assert_eq!(shy.peer("x"), Value::Null);
    // Without the hub.
    hub.link.cut("x");
    y.link.cut("hub");
    x.node("node_of_x");
    settle(&[&x, &y]);
    assert_eq!(y.hearsay(), [said("node_of_x", "x", "registered")]);
}

#[test]
fn an_operator_blocks_unblocks_and_forgets() {
    let chain = Chain::start();
    let (named, guest) = (FakePeer::new("named"), FakePeer::new("guest"));
    let host = among(&chain, Planned::new("host"), &[&named]);
    host.run();
    let invitation = host
        .operator("POST", "/peers/invites", "")
        .expect_status(201)
        .json();
    let token = invitation["invitation"]["token"].as_str().unwrap();
    guest
        .hello(&host, "message-1", Some(token))
        .expect_status(200);
    let ping = |id: &str| {
        let message = guest.message(MessageType::Ping, id, unix_now(), &json!({}));
        guest.bring(&host, 0, &message)
    };
    ping("message-2").expect_status(200);
    host.run();
    let pong = &guest.link.messages("host", "pong")[0];
    assert_eq!(pong["payload"]["ping"], "message-2");

    let url = host.url();
    let blocked = operator(url, "POST", "/peers/guest/block", "").expect_status(200);
    assert_eq!(blocked.json()["state"], "blocked");
    ping("message-3").expect_problem(401, "authentication_failed");
    let before = guest.link.record().len();
    host.node("secret");
    host.run_now();
    assert_eq!(guest.link.record().len(), before);
    operator(url, "POST", "/peers/guest/unblock", "").expect_status(200);
    host.run_now();
    ping("message-4").expect_status(200);
    assert_eq!(guest.link.messages("host", "node_register").len(), 1);

    operator(url, "POST", "/peers/guest/forget", "").expect_status(200);
    ping("message-5").expect_problem(401, "authentication_failed");
    host.run_now();
    assert_eq!(guest.link.messages("host", "goodbye").len(), 1);
    assert_eq!(host.peer("guest"), Value::Null);
    operator(url, "POST", "/peers/guest/forget", "").expect_problem(404, "peer_not_found");
    operator(url, "POST", "/peers/guest/block", "").expect_problem(404, "peer_not_found");
    operator(url, "POST", "/peers/named/forget", "").expect_problem(409, "peer_static");
}

#[test]
fn a_peer_that_says_goodbye_is_left_alone_until_its_next_hello() {
    let chain = Chain::start();
    let fake = FakePeer::new("fake");
    let home = among(&chain, Planned::new("home"), &[&fake]);
    home.run();
    let goodbye = fake.message(MessageType::Goodbye, "message-1", unix_now(), &json!({}));
    fake.bring(&home, 0, &goodbye).expect_status(200);
    assert_eq!(home.peer("fake")["state"], "gone");
    let before = fake.link.record().len();
    home.node("news");
    home.run_now();
    assert_eq!(fake.link.record().len(), before);
    fake.hello(&home, "message-2", None).expect_status(200);
    home.run_now();
    assert_eq!(fake.link.messages("home", "node_register").len(), 1);
}

/// Everything that the link heard.
fn heard(fake: &FakePeer) -> String {
    let bodies: Vec<String> = fake.link.record().into_iter().map(|r| r.body).collect();
    bodies.join("\n")
}

/// A node with money that receives and pays; what of it is nobody's business.
fn live(chain: &Chain, home: &Registry, share: &str) -> Vec<String> {
    let node = home.node("rich");
    home.books()
        .connection()
        .execute("UPDATE nodes SET share = ?", [share])
        .unwrap();
    node.create_wallet("my_wallet").expect_status(200);
    home.run_now();
    let address = node.address();
    chain.faucet(&address, "12.34567891");
    chain.mine(1);
    eventually("the wallet is funded", || {
        node.balance()["confirmed_florins"] == "1234567891"
    });
    home.run_now();
    let recipient = chain.foreign_address();
    let paid = node.pay(&recipient, "3.0").expect_status(200).json();
    chain.mine(1);
    node.follow();
    home.run_now();
    let balance = node.balance()["available_florins"]
        .as_str()
        .unwrap()
        .to_owned();
    let txid = paid["txid"].as_str().unwrap().to_owned();
    let mut secrets = vec![address, recipient, txid, "1234567891".into(), balance];
    secrets.extend(home.books().texts("SELECT txid FROM outputs"));
    secrets
}

#[test]
fn by_default_no_balance_no_address_and_no_transaction_ever_leaves() {
    let chain = Chain::start();
    let fake = FakePeer::new("fake");
    let home = among(&chain, Planned::new("home"), &[&fake]);
    let secrets = live(&chain, &home, r#"["wallet","transactions","balances"]"#);
    fake.hello(&home, "message-1", None).expect_status(200);
    home.run_now();
    let heard = heard(&fake);
    assert!(heard.contains(r#""node_id":"rich""#), "{heard}");
    for secret in secrets {
        assert!(!heard.contains(&secret), "{secret} left: {heard}");
    }
    for word in ["wallet", "balance", "health", "reputation", "txid"] {
        assert!(!heard.contains(word), "{word}: {heard}");
    }
}

#[test]
fn what_operator_and_node_agree_to_is_told_and_shown_as_hearsay() {
    let chain = Chain::start();
    let all = "presence,capabilities,health,wallet,transactions,balances";
    let fake = FakePeer::new("fake");
    let home = Planned::new("home").variable("peer_sharing", all);
    let there = Planned::new("there");
    let there_entries = [home.entry()];
    let home_entries = [there.entry(), fake.entry()];
    let home = home.start(&chain, &home_entries);
    let there = there.start(&chain, &there_entries);
    home.run();
    let secrets = live(&chain, &home, r#"["wallet","transactions","balances"]"#);
    settle(&[&home, &there]);
    let heard = heard(&fake);
    let [address, recipient, txid, _, balance] = &secrets[..5] else {
        unreachable!("five and more");
    };
    for told in [address, txid, balance] {
        assert!(heard.contains(told), "{told}: {heard}");
    }
    assert!(!heard.contains(recipient), "{heard}");
    let url = there.url();
    get(&format!("{url}/peers/balances")).expect_problem(401, "authentication_failed");
    let page = operator(url, "GET", "/peers/balances", "")
        .expect_status(200)
        .json();
    let reported = &page["balances"][0];
    assert_eq!(reported["node_id"], "rich");
    assert_eq!(reported["reported_by"], "home");
    assert_eq!(reported["reported_balance_florins"], balance.as_str());
    // The ledger there knows nothing of it.
    assert_eq!(there.books().count("SELECT COUNT(*) FROM wallets"), 0);
    assert_eq!(there.books().count("SELECT COUNT(*) FROM events"), 0);
    let page = get(&format!("{url}/peers/nodes")).json();
    // A payment has confirmed.
    assert_eq!(page["nodes"][0]["reputation"], 51);
    assert_eq!(page["nodes"][0]["capabilities"], json!(["wallet"]));
}

#[test]
fn a_node_that_agrees_to_nothing_is_not_told_of_though_the_operator_shares_everything() {
    let chain = Chain::start();
    let all = "presence,capabilities,health,wallet,transactions,balances";
    let fake = FakePeer::new("fake");
    let home = among(
        &chain,
        Planned::new("home").variable("peer_sharing", all),
        &[&fake],
    );
    home.run();
    let secrets = live(&chain, &home, "[]");
    let heard = heard(&fake);
    assert!(heard.contains("health_broadcast"));
    for secret in secrets {
        assert!(!heard.contains(&secret), "{secret} left: {heard}");
    }
}

#[test]
fn without_an_id_there_are_no_peers() {
    let world = World::with(tests::HostOptions::default().variable(
        "operator_tokens",
        &format!("alice={}", tests::OPERATOR_TOKEN),
    ));
    let url = world.host.url();
    let fake = FakePeer::new("fake");
    fake.post(url, "{}").expect_problem(404, "peers_disabled");
    let report = run_peers(url).expect_status(200).json();
    assert_eq!(report["enabled"], false);
    operator(url, "POST", "/peers/invites", "").expect_problem(404, "peers_disabled");
    world.node("node_001");
    assert_eq!(world.books().count("SELECT COUNT(*) FROM peer_subjects"), 0);
}

#[test]
fn a_run_wants_the_schedules_token() {
    let chain = Chain::start();
    let home = Planned::new("home").start(&chain, &[]);
    let target = format!("{}/internal/peers/run", home.url());
    post(&target, "").expect_problem(401, "authentication_failed");
    operator(home.url(), "POST", "/internal/peers/run", "")
        .expect_problem(401, "authentication_failed");
    let report = run_peers(home.url()).expect_status(200).json();
    assert_eq!(report["enabled"], true);
}

/// The nodes that the peer heard of, and the messages that told them, in order.
fn registered(fake: &FakePeer) -> (Vec<String>, Vec<String>) {
    let messages = fake.link.messages("home", "node_register");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    messages
        .iter()
        .map(|message| {
            (
                text(&message["payload"]["node_id"]),
                text(&message["message_id"]),
            )
        })
        .unzip()
}

#[test]
fn runs_at_once_send_each_message_once_and_one_run_sends_them_in_order() {
    let chain = Chain::start();
    let fake = FakePeer::new("fake");
    let home = among(&chain, Planned::new("home"), &[&fake]);
    home.run();
    for number in 0..10 {
        home.node(&format!("node_{number}"));
    }
    home.run();
    let (nodes, ids) = registered(&fake);
    assert_eq!(nodes.len(), 10);
    assert!(ids.is_sorted(), "{ids:?}");
    for number in 10..20 {
        home.node(&format!("node_{number}"));
    }
    in_parallel(4, |_| home.run());
    home.run_now();
    let (mut nodes, _) = registered(&fake);
    assert_eq!(nodes.len(), 20);
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), 20);
}
