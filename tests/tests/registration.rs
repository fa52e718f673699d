//! Registering nodes: proof of possession, whose a node id is, changing its key, the directory.
#![allow(clippy::unwrap_used, missing_docs)]

use duxnet_api::signing::{PublicKey, rotation_string};
use duxnet_units::{Network, NodeId};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use tests::{Node, Reply, World, get};

const REGISTER: &str = "/nodes/register";

/// The node with another key.
fn with_key(node: &Node, seed: u8) -> Node {
    Node {
        key: SigningKey::from_bytes(&[seed; 32]),
        ..node.clone()
    }
}

/// What `old` signs so that `new` gets the node id.
fn hand_over(old: &Node, new: &Node, timestamp: i64) -> String {
    let key = |node: &Node| PublicKey::parse(&node.public_key()).unwrap();
    let text = rotation_string(
        Network::Regtest,
        &NodeId::parse(&old.id).unwrap(),
        &key(old),
        &key(new),
        timestamp,
    );
    hex::encode(old.key.sign(text.as_bytes()).to_bytes())
}

/// Registers `new` with the signature that `signed` makes for the request's time.
fn rotate(new: &Node, signed: impl FnOnce(i64) -> String) -> Reply {
    let signing = new.signing();
    let body = json!({
        "node_id": new.id,
        "public_key": new.public_key(),
        "rotation_signature": signed(signing.timestamp),
    })
    .to_string();
    let headers = new.headers(&signing, "POST", REGISTER, body.as_bytes());
    new.try_send("POST", REGISTER, body.as_bytes(), &headers)
        .unwrap()
}

fn directory(world: &World, query: &str) -> Value {
    get(&format!("{}/nodes{query}", world.host.url()))
        .expect_status(200)
        .json()
}

fn ids(page: &Value) -> Vec<&str> {
    let nodes = page["nodes"].as_array().unwrap();
    nodes
        .iter()
        .map(|node| node["node_id"].as_str().unwrap())
        .collect()
}

#[test]
fn a_node_that_proves_its_key_is_registered() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let body = json!({
        "node_id": "node_001",
        "public_key": node.public_key(),
        "address": "203.0.113.7:9000",
        "capabilities": ["gpu", "compute", "gpu"],
    });
    let reply = node.post("/nodes/register", &body).expect_status(201);
    let answer = reply.json();
    let known = &answer["node"];
    assert_eq!(
        answer,
        json!({
            "success": true,
            "message": "Node node_001 registered",
            "node": {
                "node_id": "node_001",
                "public_key": node.public_key(),
                "address": "203.0.113.7:9000",
                "capabilities": ["compute", "gpu"],
                "status": "registered",
                "created_at": known["created_at"],
                "updated_at": known["created_at"],
                "health": null,
                "reputation": 50,
                "share": [],
            },
        })
    );
    assert!(known["created_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_key_that_does_not_sign_is_not_registered() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let thief = with_key(&node, 9);
    // The victim's public key under the thief's signature.
    let body = json!({"node_id": "node_001", "public_key": node.public_key()});
    thief
        .post(REGISTER, &body)
        .expect_problem(401, "authentication_failed");
    let named = json!({"node_id": "node_002", "public_key": node.public_key()});
    node.post(REGISTER, &named).expect_problem(403, "forbidden");
    let without = json!({"node_id": "node_001"});
    let problem = node
        .post(REGISTER, &without)
        .expect_problem(400, "invalid_request");
    assert_eq!(problem["detail"], "public_key is missing");
    assert_eq!(world.books().count("SELECT COUNT(*) FROM nodes"), 0);
}

#[test]
fn registering_again_with_the_same_key_updates_what_is_given_and_keeps_the_rest() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let mut body = json!({
        "node_id": "node_001",
        "public_key": node.public_key(),
        "address": "203.0.113.7:9000",
        "capabilities": ["gpu"],
    });
    node.post(REGISTER, &body).expect_status(201);
    body["capabilities"] = json!(["storage"]);
    body.as_object_mut().unwrap().remove("address");
    let answer = node.post(REGISTER, &body).expect_status(200).json();
    assert_eq!(answer["message"], "Node node_001 updated");
    assert_eq!(answer["node"]["capabilities"], json!(["storage"]));
    assert_eq!(answer["node"]["address"], "203.0.113.7:9000");
    assert_eq!(ids(&directory(&world, "")), ["node_001"]);
}

#[test]
fn a_registration_is_not_replayed() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let body = json!({"node_id": "node_001", "public_key": node.public_key()}).to_string();
    let headers = node.headers(&node.signing(), "POST", REGISTER, body.as_bytes());
    let register = || {
        node.try_send("POST", REGISTER, body.as_bytes(), &headers)
            .unwrap()
    };
    register().expect_status(201);
    register().expect_problem(401, "authentication_failed");
    // Nor is one that changed something, while it is the latest or after.
    let body = json!({
        "node_id": "node_001",
        "public_key": node.public_key(),
        "capabilities": ["gpu"],
    })
    .to_string();
    let headers = node.headers(&node.signing(), "POST", REGISTER, body.as_bytes());
    let change = || {
        node.try_send("POST", REGISTER, body.as_bytes(), &headers)
            .unwrap()
    };
    change().expect_status(200);
    change().expect_problem(401, "authentication_failed");
    node.register().expect_status(200);
    change().expect_problem(401, "authentication_failed");
}

#[test]
fn a_node_id_belongs_to_the_key_that_came_first() {
    let world = World::start();
    let node = world.node_with_wallet("node_001");
    let thief = with_key(&node, 9);
    let problem = thief.register().expect_problem(409, "node_exists");
    assert_eq!(
        problem["detail"],
        "node node_001 is registered with another key; to change it, send the old key's rotation_signature"
    );
    thief
        .get("/wallet/node_001")
        .expect_problem(401, "authentication_failed");
    node.get("/wallet/node_001").expect_status(200);
}

#[test]
fn old_and_new_key_together_change_the_key() {
    let world = World::start();
    let old = world.node_with_wallet("node_001");
    let new = with_key(&old, 9);
    let answer = rotate(&new, |at| hand_over(&old, &new, at))
        .expect_status(200)
        .json();
    assert_eq!(answer["message"], "Node node_001 has a new key");
    assert_eq!(answer["node"]["public_key"], new.public_key());
    old.get("/wallet/node_001")
        .expect_problem(401, "authentication_failed");
    new.get("/wallet/node_001").expect_status(200);
    // The old key gets nothing back on its own.
    old.register().expect_problem(409, "node_exists");
}

#[test]
fn a_change_of_key_that_the_old_key_did_not_sign_is_refused() {
    let world = World::start();
    let old = world.node("node_001");
    let (new, third) = (with_key(&old, 9), with_key(&old, 10));
    let other_node = world.node("node_002");
    let attempts: [(&str, Reply); 6] = [
        ("the new key itself", {
            rotate(&new, |at| hand_over(&new, &new, at))
        }),
        (
            "a third key",
            rotate(&new, |at| hand_over(&third, &new, at)),
        ),
        ("for a third key", {
            rotate(&new, |at| hand_over(&old, &third, at))
        }),
        ("of another time", {
            rotate(&new, |at| hand_over(&old, &new, at - 5))
        }),
        ("for another node id", {
            let text = rotation_string(
                Network::Regtest,
                &NodeId::parse(&other_node.id).unwrap(),
                &PublicKey::parse(&old.public_key()).unwrap(),
                &PublicKey::parse(&new.public_key()).unwrap(),
                tests::unix_now(),
            );
            let signature = hex::encode(old.key.sign(text.as_bytes()).to_bytes());
            rotate(&new, |_| signature)
        }),
        ("no signature", rotate(&new, |_| "00".to_owned())),
    ];
    for (what, reply) in attempts {
        assert_eq!(reply.status, 409, "{what}: {}", reply.text());
        reply.expect_problem(409, "node_exists");
    }
    old.register().expect_status(200);
}

#[test]
fn node_ids_that_are_routes_are_reserved() {
    let world = World::start();
    for id in [
        "create", "health", "register", "Health", "CREATE", "metrics", "admin", "nodes", "wallet",
    ] {
        let problem = register_unsigned(&world, id).expect_problem(422, "invalid_value");
        assert_eq!(problem["detail"], "node_id is reserved", "{id}");
    }
    for id in [".", ".."] {
        register_unsigned(&world, id).expect_problem(422, "invalid_value");
    }
}

#[test]
fn node_ids_have_one_to_64_characters_of_a_small_alphabet() {
    let world = World::start();
    for id in ["", "a b", "a/b", "a%2Fb", "ä", "a\nb", &"x".repeat(65)] {
        let problem = register_unsigned(&world, id).expect_problem(422, "invalid_value");
        assert_eq!(
            problem["detail"], "node_id must be 1 to 64 characters of A-Z a-z 0-9 . _ -",
            "{id:?}"
        );
    }
    let longest = "x".repeat(64);
    world.node(&longest);
    world.node("a.B-c_9");
    assert_eq!(ids(&directory(&world, "")), [&longest, "a.B-c_9"]);
}

/// The id is refused before any signature is looked at.
fn register_unsigned(world: &World, id: &str) -> Reply {
    let body = json!({"node_id": id});
    tests::post(
        &format!("{}{REGISTER}", world.host.url()),
        &body.to_string(),
    )
}

#[test]
fn a_wallet_gives_its_node_the_capability_and_nothing_else_does() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let mut body = json!({
        "node_id": "node_001",
        "public_key": node.public_key(),
        "capabilities": ["wallet"],
    });
    node.post(REGISTER, &body)
        .expect_problem(422, "invalid_value");
    body["capabilities"] = json!(["gpu"]);
    node.post(REGISTER, &body).expect_status(201);
    let capabilities = || {
        get(&format!("{}/nodes/node_001", world.host.url())).json()["node"]["capabilities"].clone()
    };
    assert_eq!(capabilities(), json!(["gpu"]));
    node.create_wallet("my_wallet").expect_status(200);
    assert_eq!(capabilities(), json!(["gpu", "wallet"]));
    // It stays when the node declares other capabilities.
    body["capabilities"] = json!([]);
    node.post(REGISTER, &body).expect_status(200);
    assert_eq!(capabilities(), json!(["wallet"]));
}

#[test]
fn one_node_is_shown_as_it_registered_and_an_unknown_one_is_404() {
    let world = World::start();
    let node = Node::new(&world.host, "node_001");
    let registered = node.register().expect_status(201).json();
    let url = world.host.url();
    let shown = get(&format!("{url}/nodes/node_001")).expect_status(200);
    let mut shown = shown.json();
    // Whether it was assessed by now is the background work's affair.
    shown["node"]["health"] = Value::Null;
    assert_eq!(shown, json!({"success": true, "node": registered["node"]}));
    let problem = get(&format!("{url}/nodes/ghost")).expect_problem(404, "node_not_found");
    assert_eq!(problem["message"], "Node ghost is not registered");
    get(&format!("{url}/nodes/{}", "x".repeat(65))).expect_problem(422, "invalid_value");
}

#[test]
fn the_directory_pages_through_every_node_once() {
    let world = World::start();
    let names: Vec<String> = (1..=5).map(|n| format!("node_{n}")).collect();
    for name in &names {
        world.node(name);
    }
    let whole = directory(&world, "");
    assert_eq!(ids(&whole), names);
    assert_eq!(whole["next_cursor"], Value::Null);
    let mut query = "?limit=2".to_owned();
    let mut sizes = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let page = directory(&world, &query);
        sizes.push(ids(&page).len());
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!((sizes, seen), (vec![2, 2, 1], names));
}

#[test]
fn the_directory_filters_by_capability() {
    let world = World::start();
    world.node("node_001");
    world.node_with_wallet("node_002");
    world.node_with_wallet("node_003");
    assert_eq!(
        ids(&directory(&world, "?capability=wallet")),
        ["node_002", "node_003"]
    );
    let first = directory(&world, "?capability=wallet&limit=1");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = directory(
        &world,
        &format!("?capability=wallet&limit=1&cursor={cursor}"),
    );
    assert_eq!(ids(&second), ["node_003"]);
    assert_eq!(second["next_cursor"], Value::Null);
    assert_eq!(
        ids(&directory(&world, "?capability=gpu")),
        Vec::<&str>::new()
    );
}

#[test]
fn a_directory_query_that_makes_no_sense_is_refused() {
    let world = World::start();
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=ten",
        "limit=1&limit=2",
        "cursor=forged",
        "capability=GPU!",
        "page=2",
    ] {
        get(&format!("{}/nodes?{query}", world.host.url())).expect_problem(400, "invalid_request");
    }
    let url = format!("{}/nodes/node_001?verbose=1", world.host.url());
    get(&url).expect_problem(400, "invalid_request");
}
