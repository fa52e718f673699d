//! `GET /wallet/{node_id}/events`: a stream, and an answer that waits.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use serde_json::Value;
use std::time::{Duration, Instant};
use tests::{EventStream, HostOptions, Node, World, eventually, unix_now};

/// Something happens to the node's wallet: an event of this type.
fn tell(world: &World, node: &Node, kind: &str) {
    let sql = "INSERT INTO tell (wallet_id, type, data, at)
        SELECT id, ?, '{\"amount\":\"5\"}', ? FROM wallets WHERE node_id = ?";
    let books = world.books();
    let parameters = (kind, unix_now(), &node.id);
    books.connection().execute(sql, parameters).unwrap();
}

fn newest(world: &World) -> i64 {
    world.books().count("SELECT MAX(sequence) FROM events")
}

fn sequences(answer: &Value) -> Vec<i64> {
    let events = answer["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["data"]["sequence"].as_i64().unwrap())
        .collect()
}

#[test]
fn a_stream_goes_on_where_the_last_one_ended() {
    let mut world = World::start();
    let node = world.funded_node("node_001", &["100"]);
    let before = newest(&world);
    assert!(before >= 3, "made, funded, confirmed");
    // "/wallet/node_001/events" from the beginning.
    let mut stream = EventStream::open(&node, "?after=0", None);
    let mut seen: Vec<i64> = (&mut stream)
        .take(usize::try_from(before).unwrap())
        .map(|event| event.id)
        .collect();
    // What happens meanwhile comes at once, the same as in the database.
    let sent = node
        .pay(&world.chain.foreign_address(), "5")
        .expect_status(200);
    let payment = stream.by_ref().find(|event| {
        seen.push(event.id);
        event.kind == "payment.sent"
    });
    let payment = payment.unwrap();
    assert_eq!(payment.data["type"], "payment.sent");
    assert_eq!(payment.data["data"]["txid"], sent.json()["txid"]);
    assert_eq!(payment.data["data"]["node_id"], "node_001");
    assert_eq!(payment.data["data"]["sequence"], payment.id);
    assert!(payment.data["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(stream.others[0], "retry: 1000");

    // The host goes down in the middle, and things happen while nobody listens.
    world.host.kill();
    while let Some(event) = stream.next_or(true) {
        seen.push(event.id);
    }
    tell(&world, &node, "receive.seen");
    world.host.restart();
    let node = node.at(&world.host);
    tell(&world, &node, "receive.confirmed");
    let mut stream = EventStream::open(&node, "?after=0", seen.last().copied());
    while *seen.last().unwrap() < newest(&world) {
        seen.push(stream.next().unwrap().id);
    }
    let all: Vec<i64> = (1..=newest(&world)).collect();
    assert_eq!(seen, all, "each once, in order");
}

#[test]
fn a_stream_ends_cleanly_after_a_while_and_shows_that_it_lives() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let begun = Instant::now();
    let mut stream = EventStream::open(&node, "", None);
    assert_eq!(stream.next().unwrap().kind, "wallet.created");
    assert_eq!(stream.next(), None, "a clean end");
    let lasted = begun.elapsed();
    assert!(
        (Duration::from_secs(18)..Duration::from_secs(29)).contains(&lasted),
        "{lasted:?}"
    );
    let comments = stream.others.iter().filter(|line| line.starts_with(':'));
    assert!(comments.count() >= 3, "{:?}", stream.others);
}

#[test]
fn an_answer_waits_for_an_event_and_comes_at_once_when_there_is_one() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let ask = |query: &str| {
        let target = format!("/wallet/node_001/events{query}");
        node.signed("GET", &target, "", &[]).unwrap()
    };
    let all = ask("?after=0&wait=20").expect_status(200).json();
    assert_eq!(sequences(&all), [1]);
    assert_eq!(all["next_after"], 1);
    // Nothing there, no wait.
    let none = ask("?after=1").expect_status(200);
    assert_eq!(none.json()["next_after"], 1);
    assert_eq!(sequences(&none.json()), Vec::<i64>::new());
    assert!(none.header("content-length").is_some());
    // Nothing there, a short wait.
    let begun = Instant::now();
    assert_eq!(sequences(&ask("?after=1&wait=1").json()), Vec::<i64>::new());
    assert!(begun.elapsed() < Duration::from_secs(10));
    // An event ends a long wait.
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let waiting = scope.spawn(|| ask("?after=1&wait=20"));
        // The request is under way when its signature is used up.
        let uses = world.books().count("SELECT COUNT(*) FROM used_signatures");
        eventually("the request has begun", || {
            world.books().count("SELECT COUNT(*) FROM used_signatures") > uses
                || begun.elapsed() > Duration::from_secs(3)
        });
        tell(&world, &node, "receive.seen");
        let answer = waiting.join().unwrap().expect_status(200).json();
        assert_eq!(sequences(&answer), [2]);
        assert_eq!(answer["events"][0]["type"], "receive.seen");
        assert!(begun.elapsed() < Duration::from_secs(15));
    });
    // Pages.
    for _ in 0..4 {
        tell(&world, &node, "receive.seen");
    }
    let page = ask("?after=1&limit=3").json();
    assert_eq!(sequences(&page), [2, 3, 4]);
    assert_eq!(sequences(&ask("?after=4&limit=3").json()), [5, 6]);
    for bad in ["?after=-1", "?wait=21", "?limit=0", "?limit=101", "?from=1"] {
        ask(bad).expect_problem(400, "invalid_request");
    }
}

#[test]
fn events_are_for_their_own_node_alone() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let stranger = world.node_with_wallet("node_002");
    let target = "/wallet/node_001/events";
    stranger
        .signed("GET", target, "", &[])
        .unwrap()
        .expect_problem(403, "forbidden");
    stranger
        .signed("GET", target, "", &[("Accept", "text/event-stream")])
        .unwrap()
        .expect_problem(403, "forbidden");
    node.try_send("GET", target, b"", &[])
        .unwrap()
        .expect_problem(401, "authentication_failed");
    let headers = node.headers(&node.signing(), "GET", target, b"");
    node.try_send("GET", target, b"", &headers)
        .unwrap()
        .expect_status(200);
    node.try_send("GET", target, b"", &headers)
        .unwrap()
        .expect_problem(401, "authentication_failed");
    node.signed("POST", target, "", &[])
        .unwrap()
        .expect_problem(405, "method_not_allowed");
}

#[test]
fn a_node_has_four_streams_at_a_time_and_a_fifth_ends_the_oldest() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let other = world.node_with_wallet("node_002");
    let mut others = EventStream::open(&other, "", None);
    let mut streams: Vec<EventStream> = (0..4)
        .map(|_| EventStream::open(&node, "?after=1", None))
        .collect();
    assert_eq!(world.books().count("SELECT COUNT(*) FROM event_readers"), 5);
    streams.push(EventStream::open(&node, "?after=1", None));
    let begun = Instant::now();
    assert_eq!(streams[0].next(), None, "a clean end");
    assert!(begun.elapsed() < Duration::from_secs(15));
    // An answer that waits counts like a stream.
    let target = "/wallet/node_001/events?after=1&wait=20";
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| node.signed("GET", target, "", &[]).unwrap());
        assert_eq!(streams[1].next(), None);
        tell(&world, &node, "receive.seen");
        let answer = waiting.join().unwrap().expect_status(200).json();
        assert_eq!(sequences(&answer), [2]);
    });
    for stream in &mut streams[2..] {
        assert_eq!(stream.next().unwrap().id, 2);
    }
    assert_eq!(others.next().unwrap().kind, "wallet.created");
}

#[test]
fn streams_beyond_all_instances_are_refused_and_other_routes_go_on() {
    let options = HostOptions::default()
        // Each host has instances of its own.
        .one_on_a_file()
        .argument("--max-instances=2")
        .argument("--queue-timeout=100ms");
    let world = World::with(options);
    let node = world.node_with_wallet("node_001");
    let mut streams = [
        EventStream::open(&node, "", None),
        EventStream::open(&node, "", None),
    ];
    let target = "/wallet/node_001/events";
    let refused = node
        .signed("GET", target, "", &[("Accept", "text/event-stream")])
        .unwrap();
    assert_eq!(refused.status, 503, "{}", refused.text());
    node.get("/wallet/node_001").expect_status(200);
    // The streams that there are go on.
    tell(&world, &node, "receive.seen");
    for stream in &mut streams {
        let kinds: Vec<String> = stream.take(2).map(|event| event.kind).collect();
        assert_eq!(kinds, ["wallet.created", "receive.seen"]);
    }
    // One that the client closes makes room, at the latest with its next heartbeat.
    drop(streams);
    eventually("there is room again", || {
        node.signed("GET", target, "", &[]).unwrap().status == 200
    });
}
