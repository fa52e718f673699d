//! Registries that talk to each other, each on a real SQLite file, with a network in memory.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use duxnet_api::p2p::{Draft, MessageType, delivery, sealed, signing_string};
use duxnet_api::problem::Code;
use duxnet_api::signing::{NODE_ID_HEADER, sha256_hex};
use duxnet_registry::RegistryError;
use duxnet_registry::peers::{
    Line, Outgoing, PeerSettings, Peering, Reply, RunReport, Sharing, Signer, StaticPeer, Taken,
};
use duxnet_store::native::NativeDatabase;
use duxnet_store::{Database, SignatureUse, Store, Value, migrate};
use duxnet_units::{Network, NodeId, Timestamp};
use duxnet_wallet::Clock;
use ed25519_dalek::{Signer as _, SigningKey};
use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

const START: i64 = 1_700_000_000;
const NETWORK: Network = Network::Regtest;

#[derive(Clone)]
struct FakeClock(Rc<Cell<i64>>);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0.get()).unwrap()
    }

    async fn pause(&self, _: Duration) {}
}

struct Key(SigningKey);

impl Key {
    fn of(id: &str) -> Key {
        let seed = hex::decode(sha256_hex(id.as_bytes())).unwrap();
        Key(SigningKey::from_bytes(&seed.try_into().unwrap()))
    }

    fn public(&self) -> String {
        hex::encode(self.0.verifying_key().as_bytes())
    }

    fn over(&self, text: &str) -> String {
        hex::encode(self.0.sign(text.as_bytes()).to_bytes())
    }
}

impl Signer for Key {
    async fn public_key(&self) -> Option<String> {
        Some(self.public())
    }

    async fn sign(&self, text: &str) -> Option<String> {
        Some(self.over(text))
    }
}

fn id(text: &str) -> NodeId {
    NodeId::parse(text).unwrap()
}

fn address(name: &str) -> String {
    format!("http://{name}.example:8000")
}

struct World {
    clock: FakeClock,
    registries: BTreeMap<String, Rc<Registry>>,
    /// Pairs that cannot reach each other.
    cut: RefCell<Vec<(String, String)>>,
    /// Everything that was delivered, with who got it.
    record: RefCell<Vec<(String, String, Outgoing)>>,
}

struct Registry {
    settings: RefCell<PeerSettings>,
    store: Store<NativeDatabase>,
    database: NativeDatabase,
    key: Key,
    requests: Cell<i64>,
    _folder: tempfile::TempDir,
}

/// What one registry's requests go through.
struct Wire<'a> {
    world: &'a World,
    from: &'a str,
}

impl Line for Wire<'_> {
    async fn deliver(&self, request: Outgoing) -> Reply {
        let to = request
            .address
            .strip_prefix("http://")
            .and_then(|rest| rest.strip_suffix(".example:8000"))
            .unwrap()
            .to_owned();
        if self.world.is_cut(self.from, &to) {
            return Reply::Silent("cut".into());
        }
        // Whoever runs at the same time goes on here.
        pause().await;
        self.world
            .record
            .borrow_mut()
            .push((self.from.to_owned(), to.clone(), request.clone()));
        self.world.hand_over(&to, &request).await
    }
}

/// Pending once.
async fn pause() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            std::task::Poll::Ready(())
        } else {
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        }
    })
    .await;
}

impl World {
    /// Registries that know each other by their settings, unless told otherwise.
    fn of(names: &[&str]) -> World {
        let mut world = World {
            clock: FakeClock(Rc::new(Cell::new(START))),
            registries: BTreeMap::new(),
            cut: RefCell::default(),
            record: RefCell::default(),
        };
        for name in names {
            let others = names.iter().filter(|other| *other != name);
            let peers = others
                .map(|other| StaticPeer {
                    id: id(other),
                    address: address(other),
                    public_key: Key::of(other).public(),
                })
                .collect();
            world.add(name, peers);
        }
        world
    }

    fn add(&mut self, name: &str, peers: Vec<StaticPeer>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("database");
        let database = NativeDatabase::open(&file).unwrap();
        // These files need not survive a power failure.
        block_on(database.query("PRAGMA synchronous = OFF", Vec::new())).unwrap();
        block_on(migrate(&database, || async {})).unwrap();
        let registry = Registry {
            settings: RefCell::new(PeerSettings {
                id: id(name),
                address: address(name),
                peers,
                sharing: vec![Sharing::Presence, Sharing::Capabilities],
                exchange: false,
                messages_per_minute: 100_000,
                private_networks: false,
            }),
            store: Store::new(database),
            database: NativeDatabase::open(&file).unwrap(),
            key: Key::of(name),
            requests: Cell::new(0),
            _folder: folder,
        };
        self.registries.insert(name.into(), Rc::new(registry));
    }

    fn at(&self, name: &str) -> Rc<Registry> {
        Rc::clone(&self.registries[name])
    }

    fn on<T>(
        &self,
        name: &str,
        work: impl AsyncFnOnce(&Peering<'_, NativeDatabase, FakeClock>) -> T,
    ) -> T {
        let registry = self.at(name);
        let settings = registry.settings.borrow().clone();
        let peering = Peering {
            store: &registry.store,
            clock: &self.clock,
            settings: &settings,
            network: NETWORK,
        };
        block_on(work(&peering))
    }

    /// One run of a registry's outbox.
    fn run(&self, name: &str) -> RunReport {
        let wire = Wire {
            world: self,
            from: name,
        };
        let registry = self.at(name);
        self.on(name, async |peering| {
            peering.run(&wire, &registry.key).await.unwrap()
        })
    }

    /// Runs everybody until nobody has anything to say, with time passing.
    fn settle(&self) {
        for _ in 0..100 {
            self.clock.0.set(self.clock.0.get() + 1);
            let said: u32 = self
                .registries
                .keys()
                .map(|name| self.run(name))
                .map(|report| report.delivered + report.published)
                .sum();
            if said == 0 {
                return;
            }
        }
        panic!("they never stop talking");
    }

    /// What an endpoint does with a request, its signature taken for valid.
    async fn hand_over(&self, to: &str, request: &Outgoing) -> Reply {
        if !self.registries.contains_key(to) {
            return Reply::Silent("nobody there".into());
        }
        let (_, sender) = request
            .headers
            .iter()
            .find(|(name, _)| *name == NODE_ID_HEADER)
            .unwrap();
        let sender = id(sender);
        let registry = self.at(to);
        registry.requests.set(registry.requests.get() + 1);
        let signature = SignatureUse {
            hash: sha256_hex(format!("{:?}", request.headers).as_bytes()),
            expires_at: self.clock.0.get() + 120,
        };
        let body = request.body.as_bytes();
        let settings = registry.settings.borrow().clone();
        let peering = Peering {
            store: &registry.store,
            clock: &self.clock,
            settings: &settings,
            network: NETWORK,
        };
        let result = async {
            if peering.peer(&sender).await?.is_none() {
                return match peering.newcomer(&sender, body).await? {
                    Some(newcomer) => peering.welcome(&newcomer, signature).await,
                    None => Err(RegistryError::Refused(
                        duxnet_api::problem::Problem::authentication("unknown"),
                    )),
                };
            }
            peering.note_request(&sender, &signature).await?;
            peering.receive(&sender, body).await
        };
        match result.await {
            Ok(_) => Reply::Answered {
                status: 200,
                retry_after: None,
                body: Vec::new(),
            },
            Err(RegistryError::Refused(problem)) => Reply::Answered {
                status: problem.code.status(),
                retry_after: problem.retry_after_seconds,
                body: problem.to_json(),
            },
            Err(error) => panic!("{to}: {error}"),
        }
    }

    fn is_cut(&self, one: &str, other: &str) -> bool {
        let is_one =
            |(a, b): &(String, String)| (a == one && b == other) || (a == other && b == one);
        self.cut.borrow().iter().any(is_one)
    }

    fn cut(&self, one: &str, other: &str) {
        self.cut.borrow_mut().push((one.into(), other.into()));
    }

    fn heal(&self) {
        self.cut.borrow_mut().clear();
    }
}

impl Registry {
    fn sql(&self, sql: &str) -> Vec<Vec<Value>> {
        let rows = block_on(self.database.query(sql, Vec::new()));
        rows.unwrap_or_else(|e| panic!("{sql}: {e}"))
            .into_iter()
            .map(|row| row.0)
            .collect()
    }

    fn number(&self, sql: &str) -> i64 {
        match self.sql(sql)[0][0] {
            Value::Integer(number) => number,
            ref other => panic!("{sql}: {other:?}"),
        }
    }

    fn text(&self, sql: &str) -> String {
        match self.sql(sql).first().and_then(|row| row.first()) {
            Some(Value::Text(text)) => text.clone(),
            other => panic!("{sql}: {other:?}"),
        }
    }

    fn node(&self, name: &str) {
        self.sql(&format!(
            "INSERT INTO nodes (node_id, address, declared_capabilities, created_at, updated_at)
             VALUES ('{name}', '{name}.example:1', '[\"compute\"]', 1, 1)"
        ));
    }

    /// What it holds of others: everything but its own view of the way a message took.
    fn reports(&self) -> Vec<Vec<Value>> {
        self.sql(
            "SELECT origin, topic, node_id, reference, said_at, message_id, body, envelope FROM peer_reports
             ORDER BY origin, topic, node_id, reference",
        )
    }
}

/// A signed message in its delivery.
fn message(
    from: &str,
    to: &str,
    hops: u32,
    (message_type, message_id, timestamp): (MessageType, &str, i64),
    payload: &serde_json::Value,
) -> String {
    let sender = id(from);
    let object = Draft {
        message_type,
        sender_id: &sender,
        sender_address: &address(from),
        timestamp,
        message_id,
        payload,
    }
    .object();
    let signature = Key::of(from).over(&signing_string(NETWORK, &object).unwrap());
    delivery(&id(to), hops, &sealed(object, signature))
}

fn receive(world: &World, to: &str, sender: &str, body: &str) -> Result<Taken, Code> {
    world
        .on(to, async |peering| {
            peering.peer(&id(sender)).await.unwrap();
            peering.receive(&id(sender), body.as_bytes()).await
        })
        .map_err(|error| match error {
            RegistryError::Refused(problem) => problem.code,
            other => panic!("{other}"),
        })
}

#[test]
fn a_new_node_and_each_change_of_it_reaches_the_peer_and_nothing_is_said_twice() {
    let world = World::of(&["a", "b"]);
    let (a, b) = (world.at("a"), world.at("b"));
    a.node("n1");
    world.settle();
    let body =
        "SELECT body FROM peer_reports WHERE origin = 'a' AND topic = 'node' AND node_id = 'n1'";
    assert_eq!(
        b.text(body),
        r#"{"address":"n1.example:1","capabilities":["compute"],"status":"registered"}"#
    );
    a.sql("UPDATE nodes SET status = 'online'");
    world.settle();
    assert!(b.text(body).contains("online"));
    a.sql("UPDATE nodes SET status = 'deregistered'");
    world.settle();
    assert!(b.text(body).contains("deregistered"));
    let before = b.requests.get();
    // Changed and changed back: nothing to say.
    a.sql("UPDATE nodes SET address = 'x'");
    a.sql("UPDATE nodes SET address = 'n1.example:1'");
    world.settle();
    assert_eq!(b.requests.get(), before);
}

#[test]
fn what_happens_behind_a_partition_is_told_when_it_heals_though_the_peer_was_parked() {
    let world = World::of(&["a", "b"]);
    let (a, b) = (world.at("a"), world.at("b"));
    a.node("n1");
    world.settle();
    world.cut("a", "b");
    for number in 0..30 {
        a.sql(&format!("UPDATE nodes SET address = 'step-{number}:1'"));
        world.clock.0.set(world.clock.0.get() + 400);
        world.run("a");
    }
    a.node("n2");
    world.run("a");
    assert_eq!(
        a.text("SELECT state FROM peers WHERE peer_id = 'b'"),
        "parked"
    );
    assert_eq!(a.number("SELECT COUNT(*) FROM peer_outbox"), 0);
    world.heal();
    world.clock.0.set(world.clock.0.get() + 1000);
    world.settle();
    assert_eq!(
        a.text("SELECT state FROM peers WHERE peer_id = 'b'"),
        "active"
    );
    assert_eq!(a.reports(), b.reports());
    assert!(
        b.text("SELECT body FROM peer_reports WHERE node_id = 'n1'")
            .contains("step-29:1")
    );
    assert_eq!(b.number("SELECT COUNT(*) FROM peer_reports"), 2);
}

#[test]
fn a_parked_peer_that_speaks_is_told_everything_at_once() {
    let world = World::of(&["a", "b"]);
    let (a, b) = (world.at("a"), world.at("b"));
    a.node("n1");
    world.settle();
    a.sql("UPDATE peers SET state = 'parked', failures = 8, next_try_at = 9999999999, sync_after = 0, hello_due = 1");
    a.sql("UPDATE nodes SET status = 'online'");
    world.run("a");
    assert!(!b.text("SELECT body FROM peer_reports").contains("online"));
    b.node("n2");
    world.settle();
    assert!(
        b.text("SELECT body FROM peer_reports WHERE origin = 'a'")
            .contains("online")
    );
}

#[test]
fn in_a_ring_everything_goes_round_and_no_message_comes_twice_to_the_same_effect() {
    let names = ["r1", "r2", "r3", "r4", "r5"];
    let world = World::of(&names);
    // Only neighbours reach each other.
    for one in 0..5 {
        for other in one + 1..5 {
            if other - one != 1 && other - one != 4 {
                world.cut(names[one], names[other]);
            }
        }
    }
    for name in names {
        world.at(name).node(&format!("node-of-{name}"));
    }
    world.settle();
    let first = world.at("r1").reports();
    assert_eq!(first.len(), 5);
    for name in names {
        assert_eq!(world.at(name).reports(), first, "{name}");
    }
    // A message goes over each of the five links at most twice.
    let record = world.record.borrow();
    let mut deliveries: BTreeMap<String, u32> = BTreeMap::new();
    for (_, _, request) in record.iter() {
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        if body["message"]["message_type"] == "node_register" {
            let id = body["message"]["message_id"].as_str().unwrap().to_owned();
            *deliveries.entry(id).or_default() += 1;
        }
    }
    assert_eq!(deliveries.len(), 5);
    for (id, count) in deliveries {
        assert!((4..=10).contains(&count), "{id} was sent {count} times");
    }
}

#[test]
fn on_a_line_that_is_too_long_a_message_ends_after_the_last_hop() {
    let names = ["l0", "l1", "l2", "l3", "l4", "l5", "l6"];
    let world = World::of(&names);
    for one in 0..names.len() {
        for other in one + 2..names.len() {
            world.cut(names[one], names[other]);
        }
    }
    world.at("l0").node("n");
    world.settle();
    let knows = |name: &str| world.at(name).number("SELECT COUNT(*) FROM peer_reports") == 1;
    // Sent once and passed on four times.
    assert!(knows("l5"));
    assert!(!knows("l6"));
    let far = message(
        "l0",
        "l6",
        5,
        (MessageType::NodeUpdate, "message-1", START),
        &json!({"node_id": "n"}),
    );
    assert_eq!(receive(&world, "l6", "l5", &far), Err(Code::TooManyHops));
}

#[test]
fn what_is_not_right_is_refused_by_name_and_changes_nothing() {
    let world = World::of(&["a", "b", "c"]);
    let now = START;
    let payload = json!({"node_id": "n", "status": "online"});
    let good =
        |id: &str, at: i64| message("a", "b", 0, (MessageType::NodeUpdate, id, at), &payload);
    let honest = good("message-1", now);
    let cases = [
        ("a", honest.replace("online", "stolen"), Code::MessageForged),
        ("a", good("message-2", now - 86_401), Code::MessageStale),
        ("a", good("message-3", now + 31), Code::MessageAhead),
        // Another's message without a hop, one's own with one.
        ("c", good("message-4", now), Code::WrongOrigin),
        (
            "a",
            honest.replace("\"hops\":0", "\"hops\":1"),
            Code::WrongOrigin,
        ),
        // A goodbye is the sender's own to bring.
        (
            "c",
            message(
                "a",
                "b",
                1,
                (MessageType::Goodbye, "message-5", now),
                &json!({}),
            ),
            Code::WrongOrigin,
        ),
        // c says that a says it.
        (
            "c",
            message(
                "c",
                "b",
                1,
                (MessageType::NodeUpdate, "message-6", now),
                &payload,
            )
            .replace("\"sender_id\":\"c\"", "\"sender_id\":\"a\""),
            Code::MessageForged,
        ),
        (
            "c",
            message(
                "stranger",
                "b",
                1,
                (MessageType::NodeUpdate, "message-7", now),
                &payload,
            ),
            Code::UnknownOrigin,
        ),
        (
            "a",
            message(
                "a",
                "c",
                0,
                (MessageType::NodeUpdate, "message-8", now),
                &payload,
            ),
            Code::Misdirected,
        ),
        ("a", "{}".into(), Code::InvalidRequest),
        (
            "a",
            message(
                "a",
                "b",
                0,
                (MessageType::NodeUpdate, "message-9", now),
                &json!({"node_id": 7}),
            ),
            Code::InvalidRequest,
        ),
        (
            "a",
            message(
                "a",
                "b",
                0,
                (MessageType::Hello, "message-10", now),
                &json!({"public_key": Key::of("c").public()}),
            ),
            Code::WrongOrigin,
        ),
    ];
    for (sender, body, code) in &cases {
        assert_eq!(receive(&world, "b", sender, body), Err(*code), "{body}");
    }
    let b = world.at("b");
    assert_eq!(b.number("SELECT COUNT(*) FROM peer_reports"), 0);
    assert_eq!(b.number("SELECT COUNT(*) FROM peer_seen"), 0);
    assert_eq!(
        b.number("SELECT SUM(count) FROM peer_refusals"),
        i64::try_from(cases.len()).unwrap()
    );
    assert_eq!(receive(&world, "b", "a", &honest), Ok(Taken::Accepted));
    assert_eq!(receive(&world, "b", "a", &honest), Ok(Taken::Duplicate));
}

#[test]
fn a_blocked_origin_is_heard_through_nobody() {
    let world = World::of(&["a", "b", "c"]);
    world.settle();
    let b = world.at("b");
    b.sql("UPDATE peers SET state = 'blocked' WHERE peer_id = 'a'");
    let body = message(
        "a",
        "b",
        1,
        (MessageType::NodeUpdate, "message-1", START),
        &json!({"node_id": "n"}),
    );
    assert_eq!(receive(&world, "b", "c", &body), Err(Code::UnknownOrigin));
    assert!(world.on("b", async |peering| {
        peering.peer(&id("a")).await.unwrap().is_none()
    }));
}

#[test]
fn a_goodbye_ends_it_and_a_hello_begins_it_again() {
    let world = World::of(&["a", "b"]);
    let (a, b) = (world.at("a"), world.at("b"));
    world.settle();
    // The operator of a takes b out of the settings.
    let peers = std::mem::take(&mut a.settings.borrow_mut().peers);
    world.settle();
    assert_eq!(a.number("SELECT COUNT(*) FROM peers"), 0);
    assert_eq!(b.text("SELECT state FROM peers"), "gone");
    b.node("n");
    world.settle();
    assert_eq!(b.number("SELECT COUNT(*) FROM peer_outbox"), 0);
    a.settings.borrow_mut().peers = peers;
    world.settle();
    assert_eq!(b.text("SELECT state FROM peers"), "active");
    assert_eq!(a.number("SELECT COUNT(*) FROM peer_reports"), 1);
}

#[test]
fn an_invitation_lets_one_registry_in_once() {
    let mut world = World::of(&["a"]);
    world.add("b", Vec::new());
    world.add("c", Vec::new());
    world.settle();
    let (token, _) = world
        .on("a", async |peering| peering.invite("alice", 3600).await)
        .unwrap();
    assert_eq!(
        world.at("a").number(&format!(
            "SELECT COUNT(*) FROM peer_invites WHERE token_hash LIKE '%{token}%'"
        )),
        0
    );
    let join = |name: &str| {
        let registry = world.at(name);
        let (peer, address, key) = (id("a"), address("a"), Key::of("a").public());
        let now = world.clock.now();
        let join = registry
            .store
            .join_peer(&peer, &address, &key, &token, "bob", now);
        assert!(block_on(join).unwrap());
    };
    join("b");
    world.at("b").node("n");
    world.settle();
    join("c");
    world.run("c");
    let a = world.at("a");
    assert_eq!(
        a.text("SELECT GROUP_CONCAT(peer_id || source || state) FROM peers"),
        "binvitedactive"
    );
    assert_eq!(
        a.number("SELECT COUNT(*) FROM peer_reports WHERE origin = 'b'"),
        1
    );
    assert_eq!(a.text("SELECT used_by FROM peer_invites"), "b");
    assert_eq!(world.at("c").text("SELECT state FROM peers"), "joining");
    assert_eq!(
        world
            .at("b")
            .number("SELECT COUNT(*) FROM peers WHERE invite IS NOT NULL"),
        0
    );
}

#[test]
fn an_invitation_that_has_expired_lets_nobody_in() {
    let mut world = World::of(&["a"]);
    world.add("b", Vec::new());
    world.settle();
    let (token, _) = world
        .on("a", async |peering| peering.invite("alice", 60).await)
        .unwrap();
    world.clock.0.set(world.clock.0.get() + 61);
    let join = world.at("b");
    let key = Key::of("a").public();
    block_on(join.store.join_peer(
        &id("a"),
        &address("a"),
        &key,
        &token,
        "bob",
        world.clock.now(),
    ))
    .unwrap();
    world.settle();
    assert_eq!(world.at("a").number("SELECT COUNT(*) FROM peers"), 0);
}

#[test]
fn peers_introduce_their_peers_only_where_that_is_on_and_never_private_ones() {
    for exchange in [true, false] {
        let mut world = World::of(&["hub"]);
        world.at("hub").settings.borrow_mut().exchange = true;
        for name in ["x", "y"] {
            let hub = StaticPeer {
                id: id("hub"),
                address: address("hub"),
                public_key: Key::of("hub").public(),
            };
            world.add(name, vec![hub]);
            world.at(name).settings.borrow_mut().exchange = exchange;
            let peer = StaticPeer {
                id: id(name),
                address: address(name),
                public_key: Key::of(name).public(),
            };
            world.at("hub").settings.borrow_mut().peers.push(peer);
        }
        world.settle();
        let known = world
            .at("x")
            .number("SELECT COUNT(*) FROM peers WHERE peer_id = 'y'");
        assert_eq!(known, i64::from(exchange));
        let private = json!({"peers": [
            {"id": "evil", "address": "http://169.254.169.254", "public_key": Key::of("evil").public()},
            {"id": "good", "address": "http://good.example", "public_key": Key::of("good").public()},
        ]});
        let body = message(
            "hub",
            "x",
            0,
            (MessageType::Peers, "message-1", world.clock.0.get()),
            &private,
        );
        let taken = if exchange {
            Taken::Accepted
        } else {
            Taken::Ignored
        };
        assert_eq!(receive(&world, "x", "hub", &body), Ok(taken));
        let count = |name: &str| {
            world.at("x").number(&format!(
                "SELECT COUNT(*) FROM peers WHERE peer_id = '{name}'"
            ))
        };
        assert_eq!((count("evil"), count("good")), (0, i64::from(exchange)));
    }
}

#[test]
fn the_limit_is_per_peer_and_opens_with_the_next_minute() {
    let world = World::of(&["a", "b", "c"]);
    world.at("b").settings.borrow_mut().messages_per_minute = 3;
    let note = |peer: &str, number: i64| {
        world.on("b", async |peering| {
            peering.peer(&id(peer)).await.unwrap();
            let signature = SignatureUse {
                hash: format!("{peer}-{number}"),
                expires_at: world.clock.0.get() + 120,
            };
            peering.note_request(&id(peer), &signature).await
        })
    };
    for number in 0..3 {
        note("a", number).unwrap();
    }
    let Err(RegistryError::Refused(problem)) = note("a", 3) else {
        panic!("the fourth passes");
    };
    assert_eq!(problem.code, Code::PeerLimitExceeded);
    assert!(
        problem
            .retry_after_seconds
            .is_some_and(|wait| (1..=60).contains(&wait))
    );
    note("c", 0).unwrap();
    world.clock.0.set(world.clock.0.get() + 60);
    note("a", 4).unwrap();
    // The same signature again.
    assert!(matches!(note("a", 4), Err(RegistryError::Store(_))));
}

#[test]
fn what_the_operator_or_the_node_no_longer_agrees_to_is_taken_back() {
    let world = World::of(&["a", "b"]);
    let (a, b) = (world.at("a"), world.at("b"));
    a.settings.borrow_mut().sharing.push(Sharing::Wallet);
    a.settings.borrow_mut().sharing.push(Sharing::Balances);
    a.node("n");
    a.sql(
        "INSERT INTO wallets (node_id, wallet_name, address, created_at, request_hash)
         VALUES ('n', 'w', 'FWallet', 1, '')",
    );
    world.settle();
    let told = |topic: &str| {
        b.number(&format!(
            "SELECT COUNT(*) FROM peer_reports WHERE topic = '{topic}' AND body IS NOT NULL"
        ))
    };
    assert_eq!((told("wallet"), told("balance")), (0, 0));
    a.sql(r#"UPDATE nodes SET share = '["wallet","balances"]'"#);
    world.settle();
    assert_eq!((told("wallet"), told("balance")), (1, 1));
    assert!(
        b.text("SELECT body FROM peer_reports WHERE topic = 'node'")
            .contains("wallet")
    );
    a.sql(r#"UPDATE nodes SET share = '["balances"]'"#);
    world.settle();
    assert_eq!((told("wallet"), told("balance")), (0, 1));
    assert!(
        !b.text("SELECT body FROM peer_reports WHERE topic = 'node'")
            .contains("wallet")
    );
    a.settings.borrow_mut().sharing.pop();
    world.settle();
    assert_eq!((told("wallet"), told("balance")), (0, 0));
}

#[test]
fn what_is_still_so_is_said_again_before_it_is_too_old_and_forgotten_when_nobody_does() {
    let world = World::of(&["a", "b"]);
    let (a, b) = (world.at("a"), world.at("b"));
    a.node("n");
    world.settle();
    let said_at = "SELECT said_at FROM peer_reports";
    let first = b.number(said_at);
    world.clock.0.set(world.clock.0.get() + 43_300);
    world.settle();
    assert!(b.number(said_at) > first);
    world.cut("a", "b");
    world.clock.0.set(world.clock.0.get() + 3 * 86_400 + 1);
    world.run("b");
    assert_eq!(b.number("SELECT COUNT(*) FROM peer_reports"), 0);
    assert_eq!(a.number("SELECT COUNT(*) FROM peer_reports"), 1);
}

#[test]
fn two_runs_at_once_say_nothing_twice() {
    let world = World::of(&["a", "b"]);
    let a = world.at("a");
    for number in 0..20 {
        a.node(&format!("n{number}"));
    }
    let settings = a.settings.borrow().clone();
    let peering = Peering {
        store: &a.store,
        clock: &world.clock,
        settings: &settings,
        network: NETWORK,
    };
    let wire = Wire {
        world: &world,
        from: "a",
    };
    block_on(futures::future::join(
        async { peering.run(&wire, &a.key).await.unwrap() },
        async { peering.run(&wire, &a.key).await.unwrap() },
    ));
    world.settle();
    let record = world.record.borrow();
    let mut ids: Vec<String> = record
        .iter()
        .filter(|(from, ..)| from == "a")
        .map(|(_, _, request)| {
            let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
            body["message"]["message_id"].as_str().unwrap().to_owned()
        })
        .collect();
    let sent = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), sent);
    assert_eq!(
        world.at("b").number("SELECT COUNT(*) FROM peer_reports"),
        20
    );
}

#[test]
fn a_registry_without_an_id_notes_nothing() {
    let world = World::of(&["a"]);
    let a = world.at("a");
    a.node("n");
    assert_eq!(a.number("SELECT COUNT(*) FROM peer_subjects"), 0);
    world.run("a");
    assert_eq!(
        a.number("SELECT COUNT(*) FROM peer_subjects WHERE topic = 'node'"),
        1
    );
    block_on(a.store.disable_peers()).unwrap();
    a.node("m");
    assert_eq!(
        a.number("SELECT COUNT(*) FROM peer_subjects WHERE node_id = 'm'"),
        0
    );
}

/// A set of messages of two origins, some about the same thing, some with the same time.
fn said() -> impl Strategy<Value = Vec<(bool, u8, i64, bool)>> {
    proptest::collection::vec((any::<bool>(), 0..3_u8, 0..4_i64, any::<bool>()), 1..10)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_repetition_of_the_same_messages_ends_in_the_same_state(
        said in said(), order in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let world = World::of(&["left", "right", "o1", "o2"]);
        let deliveries: Vec<(&str, [String; 2])> = said.iter().enumerate().map(|(number, (first, node, at, gone))| {
            let origin = if *first { "o1" } else { "o2" };
            let payload = if *gone {
                json!({"node_id": format!("n{node}"), "withdrawn": true})
            } else {
                json!({"node_id": format!("n{node}"), "status": "online", "address": format!("step-{number}:1")})
            };
            let message_id = format!("message-{number:03}");
            let head = (MessageType::NodeUpdate, message_id.as_str(), START + at);
            (origin, ["left", "right"].map(|to| message(origin, to, 0, head, &payload)))
        }).collect();
        for (origin, [left, _]) in &deliveries {
            receive(&world, "left", origin, left).unwrap();
        }
        let shuffled = order.iter().map(|index| index.get(&deliveries));
        for (origin, [_, right]) in shuffled.chain(deliveries.iter().rev()) {
            receive(&world, "right", origin, right).unwrap();
        }
        prop_assert_eq!(world.at("left").reports(), world.at("right").reports());
    }
}

/// What can happen to three registries.
#[derive(Clone, Debug)]
enum Happening {
    Change(usize, u8),
    Share(usize, bool),
    Cut(usize, usize),
    Heal,
    Run(usize),
    Wait(i64),
    Replay(prop::sample::Index),
}

fn happening() -> impl Strategy<Value = Happening> {
    let who = 0..3_usize;
    prop_oneof![
        4 => (who.clone(), 0..3_u8).prop_map(|(who, node)| Happening::Change(who, node)),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, on)| Happening::Share(who, on)),
        1 => (who.clone(), 0..3_usize).prop_map(|(one, other)| Happening::Cut(one, other)),
        1 => Just(Happening::Heal),
        6 => who.prop_map(Happening::Run),
        2 => (1..3000_i64).prop_map(Happening::Wait),
        2 => any::<prop::sample::Index>().prop_map(Happening::Replay),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_when_it_is_over_all_know_the_same_and_it_is_so(
        happenings in proptest::collection::vec(happening(), 1..40),
    ) {
        let names = ["a", "b", "c"];
        let world = World::of(&names);
        for name in names {
            for node in 0..3 {
                world.at(name).node(&format!("{name}{node}"));
            }
        }
        for (step, happening) in happenings.iter().enumerate() {
            match happening {
                Happening::Change(who, node) => {
                    let name = names[*who];
                    world.at(name).sql(&format!(
                        "UPDATE nodes SET address = 'step-{step}:1' WHERE node_id = '{name}{node}'"
                    ));
                }
                Happening::Share(who, on) => {
                    let registry = world.at(names[*who]);
                    let mut settings = registry.settings.borrow_mut();
                    settings.sharing = vec![Sharing::Presence];
                    if *on {
                        settings.sharing.push(Sharing::Health);
                    }
                }
                Happening::Cut(one, other) => world.cut(names[*one], names[*other]),
                Happening::Heal => world.heal(),
                Happening::Run(who) => {
                    world.run(names[*who]);
                }
                Happening::Wait(seconds) => world.clock.0.set(world.clock.0.get() + seconds),
                Happening::Replay(index) => {
                    let record = world.record.borrow().clone();
                    if !record.is_empty() {
                        let (_, to, request) = index.get(&record);
                        // Signed anew: the database alone must stop it.
                        let mut anew = request.clone();
                        anew.headers[2].1 = format!("replay-{step}");
                        block_on(world.hand_over(to, &anew));
                    }
                }
            }
        }
        world.heal();
        world.clock.0.set(world.clock.0.get() + 2000);
        world.settle();
        for name in names {
            let registry = world.at(name);
            prop_assert_eq!(registry.reports(), world.at("a").reports());
            prop_assert_eq!(registry.number("SELECT COUNT(*) FROM peer_outbox"), 0);
            for origin in names {
                let truth = world.at(origin).sql("SELECT node_id, address FROM nodes ORDER BY node_id");
                let told = registry.sql(&format!(
                    "SELECT node_id, body ->> 'address' FROM peer_reports WHERE origin = '{origin}' AND topic = 'node'
                     ORDER BY node_id"
                ));
                prop_assert_eq!(truth, told, "{} of {}", name, origin);
            }
        }
    }
}
