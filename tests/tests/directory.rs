//! Who is there: heartbeats, statuses, capabilities, and the directory's filters.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{HostOptions, OPERATORS};
use tests::{Node, World, directory, get, in_parallel, judge, node_ids, tick};

fn capable(world: &World, id: &str, capabilities: &[&str]) -> Node {
    let node = Node::new(&world.host, id);
    let body =
        json!({"node_id": id, "public_key": node.public_key(), "capabilities": capabilities});
    node.post("/nodes/register", &body).expect_status(201);
    node
}

fn ids(world: &World, query: &str) -> Vec<String> {
    let page = directory(&world.host, query);
    node_ids(&page).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_heartbeat_makes_a_node_online_and_says_how_it_is() {
    let world = World::start();
    let node = world.node("node_001");
    assert_eq!(node.shown()["status"], "registered");
    let said = json!({
        "load": "0.4279",
        "memory_used_bytes": 1_073_741_824u64,
        "memory_total_bytes": 4_294_967_296u64,
        "uptime_seconds": 3600,
        "version": "2.1.0",
    });
    let answer = node
        .post("/nodes/node_001/heartbeat", &said)
        .expect_status(200)
        .json();
    assert_eq!(answer["stale_after_seconds"], 90);
    assert_eq!(answer["node"]["status"], "online");
    let shown = node.shown();
    let heartbeat = &shown["heartbeat"];
    assert_eq!(heartbeat["load"].to_string(), "0.427");
    assert_eq!(heartbeat["memory_used_bytes"], 1_073_741_824u64);
    assert_eq!(heartbeat["uptime_seconds"], 3600);
    assert_eq!(heartbeat["version"], "2.1.0");
    assert!(heartbeat["at"].as_str().unwrap().ends_with('Z'));
    // A heartbeat is whole in itself: what the last one does not say is not known.
    node.heartbeat(&json!({"load": 3})).expect_status(200);
    let heartbeat = node.shown()["heartbeat"].clone();
    assert_eq!(heartbeat["load"].to_string(), "3.000");
    assert_eq!(heartbeat["version"], Value::Null);
}

#[test]
fn a_heartbeat_is_the_nodes_own_fresh_and_within_bounds() {
    let world = World::start();
    let (node, other) = (world.node("node_001"), world.node("node_002"));
    other
        .post("/nodes/node_001/heartbeat", &json!({}))
        .expect_problem(403, "forbidden");
    node.post_as_is("/nodes/node_001/heartbeat", &json!({}))
        .expect_problem(401, "authentication_failed");
    let headers = node.headers(&node.signing(), "POST", "/nodes/node_001/heartbeat", b"");
    let beat = || {
        node.try_send("POST", "/nodes/node_001/heartbeat", b"", &headers)
            .unwrap()
    };
    beat().expect_status(200);
    beat().expect_problem(401, "authentication_failed");
    for bad in [
        json!({"load": -1}),
        json!({"load": "NaN"}),
        json!({"load": 1_000_001}),
        json!({"memory_used_bytes": 1.5}),
        json!({"memory_used_bytes": 2, "memory_total_bytes": 1}),
        json!({"version": "x".repeat(65)}),
    ] {
        node.heartbeat(&bad).expect_problem(422, "invalid_value");
    }
    node.heartbeat(&json!({"cpu": 1}))
        .expect_problem(400, "invalid_request");
    Node::new(&world.host, "ghost")
        .heartbeat(&json!({}))
        .expect_problem(401, "authentication_failed");
    assert_eq!(other.shown()["status"], "registered");
}

#[test]
fn a_node_goes_stale_and_offline_by_the_age_of_its_heartbeat() {
    let world = World::start();
    let node = world.node("node_001");
    world.node("node_002");
    node.heartbeat(&json!({})).expect_status(200);
    let books = world.books();
    for (older, expected) in [(80, "online"), (15, "stale"), (210, "offline")] {
        books.age_heartbeat("node_001", older);
        tick(world.host.url()).expect_status(200);
        assert_eq!(node.shown()["status"], expected);
        assert_eq!(ids(&world, &format!("?status={expected}")), ["node_001"]);
        assert_eq!(ids(&world, "?status=registered"), ["node_002"]);
    }
    node.heartbeat(&json!({})).expect_status(200);
    assert_eq!(node.shown()["status"], "online");
}

#[test]
fn statuses_age_without_a_chain_node() {
    let mut world = World::start();
    let node = world.node("node_001");
    node.heartbeat(&json!({})).expect_status(200);
    world.books().age_heartbeat("node_001", 100);
    world.chain.stop();
    tick(world.host.url());
    assert_eq!(node.shown()["status"], "stale");
}

#[test]
fn the_limits_of_age_are_settings() {
    let options = HostOptions::default()
        .variable("heartbeat_stale_after", "10")
        .variable("heartbeat_offline_after", "20");
    let world = World::with(options);
    let node = world.node("node_001");
    let answer = node.heartbeat(&json!({})).expect_status(200).json();
    assert_eq!(answer["stale_after_seconds"], 10);
    world.books().age_heartbeat("node_001", 11);
    tick(world.host.url());
    assert_eq!(node.shown()["status"], "stale");
}

#[test]
fn a_node_adds_replaces_and_removes_what_it_can_do() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let target = "/nodes/node_001/capabilities";
    let send = |method: &str, target: &str, body: &Value| {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        node.signed(method, target, &body, &[]).unwrap()
    };
    let listed = || {
        get(&format!("{}{target}", world.host.url()))
            .expect_status(200)
            .json()
    };
    assert_eq!(
        listed(),
        json!({"success": true, "node_id": "node_001", "capabilities": ["wallet"]})
    );
    let added = send(
        "POST",
        target,
        &json!({"capabilities": ["gpu:nvidia.a100", "cpu", "cpu"]}),
    );
    assert_eq!(
        added.expect_status(200).json()["capabilities"],
        json!(["cpu", "gpu:nvidia.a100", "wallet"])
    );
    send("POST", target, &json!({"capabilities": ["cpu"]})).expect_status(200);
    let removed = send(
        "DELETE",
        &format!("{target}?capabilities=cpu,tape"),
        &Value::Null,
    );
    assert_eq!(
        removed.expect_status(200).json()["capabilities"],
        json!(["gpu:nvidia.a100", "wallet"])
    );
    let replaced = send("PUT", target, &json!({"capabilities": ["storage"]}));
    assert_eq!(
        replaced.expect_status(200).json()["capabilities"],
        json!(["storage", "wallet"])
    );
    // What it registers replaces as well, and what it does not name stays.
    node.register().expect_status(200);
    assert_eq!(listed()["capabilities"], json!(["storage", "wallet"]));
}

#[test]
fn capabilities_are_well_formed_few_and_the_nodes_own() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let other = world.node("node_002");
    let target = "/nodes/node_001/capabilities";
    for bad in [
        "wallet",
        "GPU",
        "",
        "a..b",
        "a:",
        ".a",
        "-a",
        "a b",
        &"x".repeat(65),
    ] {
        node.post(target, &json!({"capabilities": [bad]}))
            .expect_problem(422, "invalid_value");
    }
    for bad in [
        json!({}),
        json!({"capabilities": "gpu"}),
        json!({"capabilities": [1]}),
    ] {
        node.post(target, &bad)
            .expect_problem(400, "invalid_request");
    }
    let delete = |query: &str, body: &str| {
        let target = format!("{target}{query}");
        node.signed("DELETE", &target, body, &[]).unwrap()
    };
    delete("?capabilities=wallet", "").expect_problem(422, "invalid_value");
    delete("", "").expect_problem(400, "invalid_request");
    delete("?capabilities=a", r#"{"capabilities":["a"]}"#).expect_problem(400, "invalid_request");
    other
        .post(target, &json!({"capabilities": ["gpu"]}))
        .expect_problem(403, "forbidden");
    node.post_as_is(target, &json!({"capabilities": ["gpu"]}))
        .expect_problem(401, "authentication_failed");
    let many: Vec<String> = (0..33).map(|n| format!("c{n}")).collect();
    node.post(target, &json!({"capabilities": many}))
        .expect_problem(400, "invalid_request");
    node.post(target, &json!({"capabilities": many[..32]}))
        .expect_status(200);
    // Several at once that would be too many together: none of them gets in.
    node.signed(
        "PUT",
        target,
        &json!({"capabilities": many[..30]}).to_string(),
        &[],
    )
    .unwrap()
    .expect_status(200);
    let replies = in_parallel(4, |index| {
        node.post(target, &json!({"capabilities": [format!("new{index}")]}))
    });
    let added = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(added, 2);
    for refused in replies.into_iter().filter(|reply| reply.status != 200) {
        refused.expect_problem(422, "invalid_value");
    }
    assert_eq!(node.shown()["capabilities"].as_array().unwrap().len(), 33);
}

#[test]
fn the_directory_asks_for_all_or_any_of_several_capabilities() {
    let world = World::start();
    capable(&world, "a", &["gpu"]);
    capable(&world, "b", &["gpu", "storage"]);
    capable(&world, "c", &["storage"]);
    capable(&world, "d", &[]);
    for (query, expected) in [
        ("?capabilities=gpu,storage", vec!["b"]),
        ("?capabilities=gpu,storage&match=all", vec!["b"]),
        ("?capabilities=gpu,storage&match=any", vec!["a", "b", "c"]),
        ("?capabilities=gpu,gpu", vec!["a", "b"]),
        ("?capability=storage", vec!["b", "c"]),
        ("?capabilities=tape,gpu&match=any", vec!["a", "b"]),
        ("?capabilities=tape", vec![]),
    ] {
        assert_eq!(ids(&world, query), expected, "{query}");
    }
    for bad in [
        "?capabilities=gpu&capability=gpu",
        "?capabilities=gpu,",
        "?match=some",
        "?status=gone",
        "?min_health=101",
        "?min_reputation=-1",
    ] {
        get(&format!("{}/nodes{bad}", world.host.url())).expect_problem(400, "invalid_request");
    }
}

#[test]
fn the_directory_filters_by_health_and_reputation_together_with_the_rest() {
    let world = World::with(HostOptions::default().variable("operator_tokens", OPERATORS));
    for id in ["a", "b", "c"] {
        capable(&world, id, &["gpu"])
            .heartbeat(&json!({}))
            .expect_status(200);
    }
    capable(&world, "d", &[]);
    for (id, kind) in [("a", "task_success"), ("b", "task_timeout")] {
        let body = json!({"type": kind, "reason": "as seen"});
        judge(&world.host, id, "the-token-of-alice", Some(id), &body).expect_status(201);
    }
    world
        .books()
        .connection()
        .execute_batch("UPDATE nodes SET health = 90, health_at = 9999999999 WHERE node_id IN ('a', 'b'); UPDATE nodes SET health = NULL WHERE node_id = 'd';")
        .unwrap();
    for (query, expected) in [
        ("?min_health=90", vec!["a", "b"]),
        ("?min_health=91", vec![]),
        ("?min_health=0", vec!["a", "b", "c"]),
        ("?min_reputation=50", vec!["a", "c", "d"]),
        ("?min_reputation=60", vec!["a"]),
        (
            "?min_health=90&min_reputation=50&capability=gpu&status=online",
            vec!["a"],
        ),
        ("?min_health=90&status=offline", vec![]),
    ] {
        assert_eq!(ids(&world, query), expected, "{query}");
    }
}

#[test]
fn a_cursor_goes_on_where_it_ended_whatever_happens_meanwhile() {
    let world = World::start();
    let nodes: Vec<Node> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|id| capable(&world, id, &["gpu"]))
        .collect();
    let first = directory(&world.host, "?capabilities=gpu&limit=2");
    assert_eq!(node_ids(&first), ["a", "b"]);
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    // One that was shown and one that was not leave, one changes, one comes.
    for gone in [&nodes[1], &nodes[2]] {
        gone.deregister(None, "bye").expect_status(200);
    }
    nodes[0].register().expect_status(200);
    capable(&world, "f", &["gpu"]);
    let rest = format!("?capabilities=gpu&limit=2&cursor={cursor}");
    let second = directory(&world.host, &rest);
    assert_eq!(node_ids(&second), ["d", "e"]);
    let cursor = second["next_cursor"].as_str().unwrap();
    let third = directory(
        &world.host,
        &format!("?capabilities=gpu&limit=2&cursor={cursor}"),
    );
    assert_eq!(node_ids(&third), ["f"]);
    assert_eq!(third["next_cursor"], Value::Null);
}

#[test]
fn the_statistics_count_nodes_by_capability() {
    let world = World::start();
    capable(&world, "a", &["gpu", "storage"])
        .heartbeat(&json!({}))
        .expect_status(200);
    capable(&world, "b", &["gpu"]);
    let gone = capable(&world, "c", &["gpu", "tape"]);
    gone.deregister(None, "bye").expect_status(200);
    let url = world.host.url();
    let statistics = get(&format!("{url}/capabilities"))
        .expect_status(200)
        .json();
    assert_eq!(
        statistics,
        json!({
            "success": true,
            "capabilities": [
                {"capability": "gpu", "nodes": 2, "online": 1},
                {"capability": "storage", "nodes": 1, "online": 1},
            ],
            "next_cursor": null,
        })
    );
    let first = get(&format!("{url}/capabilities?limit=1")).json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = get(&format!("{url}/capabilities?limit=1&cursor={cursor}")).json();
    assert_eq!(second["capabilities"][0]["capability"], "storage");
    assert_eq!(second["next_cursor"], Value::Null);
    for bad in ["?limit=0", "?cursor=djE6NDI", "?status=online"] {
        get(&format!("{url}/capabilities{bad}")).expect_problem(400, "invalid_request");
    }
}

#[test]
fn what_peers_may_be_told_is_the_nodes_to_say() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let mut body = json!({
        "node_id": "node_001",
        "public_key": node.public_key(),
        "share": ["balances", "wallet", "wallet"],
    });
    node.post("/nodes/register", &body).expect_status(201);
    assert_eq!(node.shown()["share"], json!(["balances", "wallet"]));
    node.register().expect_status(200);
    assert_eq!(node.shown()["share"], json!(["balances", "wallet"]));
    body["share"] = json!([]);
    node.post("/nodes/register", &body).expect_status(200);
    assert_eq!(node.shown()["share"], json!([]));
    for bad in [json!(["keys"]), json!("wallet"), json!([1])] {
        body["share"] = bad;
        node.post("/nodes/register", &body)
            .expect_problem(422, "invalid_value");
    }
}
