//! What registries say to each other (docs/peers.md): the envelope, what its sender signs, and the
//! payload of each type. Everything is checked here before anything believes it.

use crate::jcs;
use crate::json::{self, Object};
use crate::problem::{Code, Problem};
use crate::request::parse_node_id;
use crate::signing::PublicKey;
use duxnet_units::is_registry_address;
use duxnet_units::{Amount, Capability, Network, NodeId, Txid};
use serde_json::{Value, json};

/// First line of what the sender of a message signs.
pub const TAG: &str = "DUXNET-P2P-V1";
/// Where messages go.
pub const TARGET: &str = "/p2p/messages";
/// How often a message may be passed on.
pub const MAX_HOPS: u32 = 4;
/// How old a message may be, seconds: what waited out a partition still counts.
pub const MAX_AGE_SECONDS: i64 = 24 * 60 * 60;
/// How far ahead of the clock, seconds.
pub const MAX_AHEAD_SECONDS: i64 = 30;
/// Most peers that one message introduces.
pub const MAX_INTRODUCED: usize = 20;
/// Most capabilities of a node in a message.
const MAX_CAPABILITIES: usize = 64;
/// Longest free text in a payload, bytes.
const MAX_TEXT_BYTES: usize = 256;

/// The member that carries the signature.
const SIGNATURE: &str = "signature";
/// The members of an envelope, all of them required.
const MEMBERS: [&str; 7] = [
    "message_type",
    "sender_id",
    "sender_address",
    "timestamp",
    "message_id",
    "payload",
    SIGNATURE,
];

/// What a message is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are DuxNet's")]
pub enum MessageType {
    Hello,
    Goodbye,
    Ping,
    Pong,
    Peers,
    NodeRegister,
    NodeUpdate,
    HealthBroadcast,
    WalletInfo,
    TransactionNotification,
    BalanceUpdate,
}

impl MessageType {
    /// Every type.
    pub const ALL: [MessageType; 11] = [
        MessageType::Hello,
        MessageType::Goodbye,
        MessageType::Ping,
        MessageType::Pong,
        MessageType::Peers,
        MessageType::NodeRegister,
        MessageType::NodeUpdate,
        MessageType::HealthBroadcast,
        MessageType::WalletInfo,
        MessageType::TransactionNotification,
        MessageType::BalanceUpdate,
    ];

    /// The text of `message_type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            MessageType::Hello => "hello",
            MessageType::Goodbye => "goodbye",
            MessageType::Ping => "ping",
            MessageType::Pong => "pong",
            MessageType::Peers => "peers",
            MessageType::NodeRegister => "node_register",
            MessageType::NodeUpdate => "node_update",
            MessageType::HealthBroadcast => "health_broadcast",
            MessageType::WalletInfo => "wallet_info",
            MessageType::TransactionNotification => "transaction_notification",
            MessageType::BalanceUpdate => "balance_update",
        }
    }

    /// What about a node it tells, and so what gossip passes on; none for what is between two
    /// registries.
    #[must_use]
    pub const fn topic(self) -> Option<Topic> {
        match self {
            MessageType::Hello
            | MessageType::Goodbye
            | MessageType::Ping
            | MessageType::Pong
            | MessageType::Peers => None,
            MessageType::NodeRegister | MessageType::NodeUpdate => Some(Topic::Node),
            MessageType::HealthBroadcast => Some(Topic::Health),
            MessageType::WalletInfo => Some(Topic::Wallet),
            MessageType::TransactionNotification => Some(Topic::Transaction),
            MessageType::BalanceUpdate => Some(Topic::Balance),
        }
    }
}

/// What is told about a node. Newer replaces older within one topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Topic {
    Node,
    Health,
    Wallet,
    Transaction,
    Balance,
}

impl Topic {
    /// As stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Node => "node",
            Topic::Health => "health",
            Topic::Wallet => "wallet",
            Topic::Transaction => "transaction",
            Topic::Balance => "balance",
        }
    }
}

/// One message as its sender signed it.
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    /// What for.
    pub message_type: MessageType,
    /// The registry that says it.
    pub sender_id: NodeId,
    /// Where that registry can be reached.
    pub sender_address: String,
    /// Unix seconds.
    pub timestamp: i64,
    /// What no other message of the sender has; later ones have greater ones.
    pub message_id: String,
    object: Object,
}

/// What a message is made from.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// What for.
    pub message_type: MessageType,
    /// Who says it.
    pub sender_id: &'a NodeId,
    /// Where the sender can be reached.
    pub sender_address: &'a str,
    /// Unix seconds.
    pub timestamp: i64,
    /// See [`Envelope::message_id`].
    pub message_id: &'a str,
    /// An object.
    pub payload: &'a Value,
}

impl Draft<'_> {
    /// The message without its signature.
    #[must_use]
    pub fn object(&self) -> Object {
        let value = json!({
            "message_type": self.message_type.name(),
            "sender_id": self.sender_id.as_str(),
            "sender_address": self.sender_address,
            "timestamp": self.timestamp,
            "message_id": self.message_id,
            "payload": self.payload,
        });
        match value {
            Value::Object(object) => object,
            _ => Object::new(),
        }
    }
}

/// What the sender of a message signs: tag, audience, and the canonical form (RFC 8785) of the
/// message without `signature`. None for a number out of range.
#[must_use]
pub fn signing_string(network: Network, message: &Object) -> Option<String> {
    let canonical = jcs::canonical_object(message, SIGNATURE).ok()?;
    let canonical = String::from_utf8(canonical).ok()?;
    Some(format!("{TAG}\n{}\n{canonical}", network.audience()))
}

/// The message with its signature, as it travels.
#[must_use]
pub fn sealed(mut message: Object, signature: String) -> String {
    message.insert(SIGNATURE.into(), Value::String(signature));
    Value::Object(message).to_string()
}

/// The body of one request: for whom, how often the message was passed on, and the message.
#[must_use]
pub fn delivery(to: &NodeId, hops: u32, envelope: &str) -> String {
    format!(r#"{{"to":"{to}","hops":{hops},"message":{envelope}}}"#)
}

/// One request as it came.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// For which registry: what was sent to one is not taken by another.
    pub to: NodeId,
    /// How often the message was passed on before.
    pub hops: u32,
    /// The message.
    pub envelope: Envelope,
}

impl Delivery {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 that says what is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let object = json::parse_object(body)?;
        expect_members(&object, &["to", "hops", "message"], "body")?;
        let to = parse_node_id(text(&object, "to")?)
            .map_err(|_| Problem::invalid_request("to is no registry's id"))?;
        let hops = object["hops"]
            .as_u64()
            .and_then(|hops| u32::try_from(hops).ok())
            .ok_or_else(|| Problem::invalid_request("hops must be a whole number"))?;
        let Value::Object(message) = &object["message"] else {
            return Err(Problem::invalid_request("message must be an object"));
        };
        Ok(Delivery {
            to,
            hops,
            envelope: Envelope::parse(message.clone())?,
        })
    }
}

impl Envelope {
    /// Reads the members. The signature is not checked, nor is the payload.
    ///
    /// # Errors
    /// 400 that says what is wrong.
    pub fn parse(object: Object) -> Result<Self, Problem> {
        expect_members(&object, &MEMBERS, "message")?;
        let name = text(&object, "message_type")?;
        let message_type = MessageType::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| Problem::invalid_request("message_type is not known"))?;
        let sender_address = text(&object, "sender_address")?;
        if !is_registry_address(sender_address) {
            return Err(Problem::invalid_request(
                "sender_address must be http:// or https://, host and port, without a path",
            ));
        }
        let message_id = text(&object, "message_id")?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !(8..=64).contains(&message_id.len()) || !message_id.bytes().all(allowed) {
            return Err(Problem::invalid_request(
                "message_id must be 8 to 64 characters of A-Z a-z 0-9 . _ -",
            ));
        }
        let timestamp = object["timestamp"]
            .as_i64()
            .filter(|seconds| (0..10_000_000_000).contains(seconds))
            .ok_or_else(|| Problem::invalid_request("timestamp must be whole unix seconds"))?;
        if !object["payload"].is_object() {
            return Err(Problem::invalid_request("payload must be an object"));
        }
        text(&object, SIGNATURE)?;
        Ok(Envelope {
            message_type,
            sender_id: parse_node_id(text(&object, "sender_id")?)
                .map_err(|_| Problem::invalid_request("sender_id is no registry's id"))?,
            sender_address: sender_address.to_owned(),
            timestamp,
            message_id: message_id.to_owned(),
            object,
        })
    }

    /// Whether the holder of this key signed the message for this network.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey, network: Network) -> bool {
        let signature = self.object[SIGNATURE].as_str().unwrap_or_default();
        signing_string(network, &self.object).is_some_and(|text| key.verifies(&text, signature))
    }

    /// Checks its time against the clock, both in unix seconds.
    ///
    /// # Errors
    /// `message_stale` or `message_ahead`.
    pub fn check_age(&self, now: i64) -> Result<(), Problem> {
        if self.timestamp < now - MAX_AGE_SECONDS {
            Err(Problem::new(Code::MessageStale)
                .detail(format!("the message is more than {MAX_AGE_SECONDS} s old")))
        } else if self.timestamp > now + MAX_AHEAD_SECONDS {
            let mut problem = Problem::new(Code::MessageAhead).detail(format!(
                "the message is more than {MAX_AHEAD_SECONDS} s ahead"
            ));
            problem.server_time = Some(now);
            Err(problem)
        } else {
            Ok(())
        }
    }

    /// The payload, by the type.
    ///
    /// # Errors
    /// 400 that names the member. Members that are not known are not read: a newer registry may
    /// say more.
    pub fn payload(&self) -> Result<Payload, Problem> {
        static EMPTY: std::sync::LazyLock<Object> = std::sync::LazyLock::new(Object::new);
        let payload = self.object["payload"].as_object().unwrap_or(&EMPTY);
        match self.message_type {
            MessageType::Hello => Ok(Payload::Hello(Hello {
                public_key: public_key(payload)?,
                invite: match payload.get("invite") {
                    None => None,
                    Some(_) => Some(bounded(payload, "invite")?.to_owned()),
                },
            })),
            MessageType::Goodbye => Ok(Payload::Goodbye),
            MessageType::Ping => Ok(Payload::Ping),
            MessageType::Pong => Ok(Payload::Pong),
            MessageType::Peers => introduced(payload).map(Payload::Peers),
            MessageType::NodeRegister | MessageType::NodeUpdate => {
                about(Topic::Node, payload).map(Payload::About)
            }
            MessageType::HealthBroadcast => about(Topic::Health, payload).map(Payload::About),
            MessageType::WalletInfo => about(Topic::Wallet, payload).map(Payload::About),
            MessageType::TransactionNotification => {
                about(Topic::Transaction, payload).map(Payload::About)
            }
            MessageType::BalanceUpdate => about(Topic::Balance, payload).map(Payload::About),
        }
    }

    /// As it came, to be passed on.
    #[must_use]
    pub fn text(&self) -> String {
        Value::Object(self.object.clone()).to_string()
    }
}

/// A payload that was read.
#[derive(Clone, PartialEq, Debug)]
pub enum Payload {
    /// The sender is there.
    Hello(Hello),
    /// The sender leaves.
    Goodbye,
    /// The sender wants a pong.
    Ping,
    /// It got one.
    Pong,
    /// Registries that the sender knows.
    Peers(Vec<Introduced>),
    /// Something about one of its nodes.
    About(About),
}

/// `hello`.
#[derive(Clone, PartialEq, Debug)]
pub struct Hello {
    /// The sender's key.
    pub public_key: PublicKey,
    /// The token of an invitation.
    pub invite: Option<String>,
}

/// One registry of `peers`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Introduced {
    /// Its id.
    pub id: NodeId,
    /// Where it can be reached.
    pub address: String,
    /// Lower-case hex.
    pub public_key: String,
}

/// What a registry says of one of its nodes.
#[derive(Clone, PartialEq, Debug)]
pub struct About {
    /// Which thing.
    pub topic: Topic,
    /// The node.
    pub node_id: NodeId,
    /// The txid of a transaction; else empty.
    pub reference: String,
    /// What of it is known here, checked; none when the sender takes back what it said.
    pub body: Option<Value>,
}

fn about(topic: Topic, payload: &Object) -> Result<About, Problem> {
    let node_id = parse_node_id(text(payload, "node_id")?)
        .map_err(|_| Problem::invalid_request("payload.node_id is no node's id"))?;
    let reference = match topic {
        Topic::Transaction => Txid::parse(text(payload, "txid")?)
            .map_err(|_| Problem::invalid_request("payload.txid is none"))?
            .to_string(),
        Topic::Node | Topic::Health | Topic::Wallet | Topic::Balance => String::new(),
    };
    let is_withdrawn = match payload.get("withdrawn") {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => {
            return Err(Problem::invalid_request(
                "payload.withdrawn must be a boolean",
            ));
        }
    };
    let mut body = match topic {
        _ if is_withdrawn => None,
        Topic::Node => Some(json!({
            "status": optional(payload, "status", word)?,
            "address": optional(payload, "address", visible)?,
            "capabilities": capabilities(payload)?,
        })),
        Topic::Health => Some(json!({
            "health": score(payload, "health")?,
            "reputation": score(payload, "reputation")?,
        })),
        Topic::Wallet => Some(json!({
            "address": optional(payload, "address", visible)?,
        })),
        Topic::Transaction => Some(json!({
            "event": optional(payload, "event", word)?,
            "amount": florins(payload, "amount")?,
            "height": match payload.get("height") {
                None | Some(Value::Null) => None,
                Some(value) => Some(value.as_u64().and_then(|height| u32::try_from(height).ok())
                    .ok_or_else(|| Problem::invalid_request("payload.height must be a whole number"))?),
            },
        })),
        Topic::Balance => Some(json!({
            "balance": florins(payload, "balance")?,
            "confirmed": florins(payload, "confirmed")?,
            "pending": florins(payload, "pending")?,
        })),
    };
    if let Some(Value::Object(members)) = &mut body {
        members.retain(|_, value| !value.is_null());
    }
    Ok(About {
        topic,
        node_id,
        reference,
        body,
    })
}

fn introduced(payload: &Object) -> Result<Vec<Introduced>, Problem> {
    let Some(Value::Array(items)) = payload.get("peers") else {
        return Err(Problem::invalid_request("payload.peers must be a list"));
    };
    if items.len() > MAX_INTRODUCED {
        return Err(Problem::invalid_request(format!(
            "payload.peers has at most {MAX_INTRODUCED} entries"
        )));
    }
    let mut list: Vec<Introduced> = Vec::new();
    for item in items {
        let peer = item
            .as_object()
            .ok_or_else(|| Problem::invalid_request("payload.peers must be a list of objects"))?;
        let address = text(peer, "address")?;
        if !is_registry_address(address) {
            return Err(Problem::invalid_request("a peer's address is none"));
        }
        let id = parse_node_id(text(peer, "id")?)
            .map_err(|_| Problem::invalid_request("a peer's id is none"))?;
        if !list.iter().any(|known| known.id == id) {
            list.push(Introduced {
                id,
                address: address.to_owned(),
                public_key: public_key(peer)?.to_string(),
            });
        }
    }
    Ok(list)
}

fn expect_members(object: &Object, members: &[&str], what: &str) -> Result<(), Problem> {
    if let Some(key) = object.keys().find(|key| !members.contains(&key.as_str())) {
        return Err(Problem::invalid_request(format!(
            "{what}: unknown field {key:?}; it has {}",
            members.join(", ")
        )));
    }
    match members.iter().find(|key| !object.contains_key(**key)) {
        Some(key) => Err(Problem::invalid_request(format!(
            "{what}: {key} is missing"
        ))),
        None => Ok(()),
    }
}

fn text<'a>(object: &'a Object, key: &str) -> Result<&'a str, Problem> {
    object
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| Problem::invalid_request(format!("{key} must be a string")))
}

fn bounded<'a>(object: &'a Object, key: &str) -> Result<&'a str, Problem> {
    text(object, key).and_then(|text| {
        if visible(text) {
            Ok(text)
        } else {
            Err(malformed(key))
        }
    })
}

fn malformed(key: &str) -> Problem {
    Problem::invalid_request(format!("payload.{key} is not valid"))
}

fn visible(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn word(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b"._".contains(&b);
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

fn optional(
    object: &Object,
    key: &str,
    is_valid: impl Fn(&str) -> bool,
) -> Result<Option<String>, Problem> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if is_valid(text) => Ok(Some(text.clone())),
        Some(_) => Err(malformed(key)),
    }
}

fn capabilities(object: &Object) -> Result<Option<Vec<String>>, Problem> {
    match object.get("capabilities") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) if items.len() <= MAX_CAPABILITIES => items
            .iter()
            .map(|item| {
                let text = item.as_str().unwrap_or_default();
                Capability::parse(text)
                    .map(|capability| capability.to_string())
                    .map_err(|_| malformed("capabilities"))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some),
        Some(_) => Err(malformed("capabilities")),
    }
}

fn score(object: &Object, key: &str) -> Result<Option<u64>, Problem> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|score| *score <= 100)
            .map(Some)
            .ok_or_else(|| malformed(key)),
    }
}

/// Florins travel as text: no reader of numbers can spoil them.
fn florins(object: &Object, key: &str) -> Result<Option<String>, Problem> {
    optional(object, key, |text| {
        text.bytes().all(|b| b.is_ascii_digit())
            && text
                .parse()
                .is_ok_and(|florins| Amount::from_florins(florins).is_ok())
    })
}

fn public_key(object: &Object) -> Result<PublicKey, Problem> {
    PublicKey::parse(text(object, "public_key")?)
        .map_err(|e| Problem::invalid_request(format!("public_key {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;

    const VECTORS: &str = include_str!("../../../../tests/fixtures/peer_messages.json");
    const DOCUMENTATION: &str = include_str!("../../../../docs/peers.md");

    fn vectors() -> Vec<Value> {
        serde_json::from_str(VECTORS).unwrap_or_default()
    }

    fn network(vector: &Value) -> Network {
        match vector["network"].as_str() {
            Some("main") => Network::Main,
            Some("test") => Network::Test,
            _ => Network::Regtest,
        }
    }

    fn parse(message: &Value) -> Envelope {
        let object = json::parse_object(message.to_string().as_bytes()).unwrap();
        Envelope::parse(object).unwrap()
    }

    #[test]
    fn the_vectors_hold() {
        assert_eq!(vectors().len(), 4);
        for vector in vectors() {
            let message = vector["message"].as_object().unwrap();
            let text = signing_string(network(&vector), message).unwrap();
            assert_eq!(text, vector["signing_string"].as_str().unwrap());
            let seed = hex::decode(vector["secret_key"].as_str().unwrap()).unwrap();
            let key = SigningKey::from_bytes(&seed.try_into().unwrap());
            let signature = hex::encode(key.sign(text.as_bytes()).to_bytes());
            assert_eq!(signature, message[SIGNATURE].as_str().unwrap());
            let public = PublicKey::parse(vector["public_key"].as_str().unwrap()).unwrap();
            let envelope = parse(&vector["message"]);
            assert!(envelope.is_signed_by(&public, network(&vector)));
            let other = match network(&vector) {
                Network::Main => Network::Test,
                Network::Test | Network::Regtest => Network::Main,
            };
            assert!(!envelope.is_signed_by(&public, other));
            envelope.payload().unwrap();
            // What is passed on verifies as what came.
            let again: Value = serde_json::from_str(&envelope.text()).unwrap();
            assert!(parse(&again).is_signed_by(&public, network(&vector)));
        }
    }

    #[test]
    fn the_documentations_example_is_what_is_sent() {
        let (_, rest) = DOCUMENTATION.split_once("```json\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let delivery = Delivery::parse(example.as_bytes()).unwrap();
        assert_eq!((delivery.to.as_str(), delivery.hops), ("registry_b", 0));
        let public = PublicKey::parse(vectors()[0]["public_key"].as_str().unwrap()).unwrap();
        assert!(delivery.envelope.is_signed_by(&public, Network::Main));
        for message_type in MessageType::ALL {
            let name = format!("`{}`", message_type.name());
            assert!(DOCUMENTATION.contains(&name), "{name} is not documented");
        }
    }

    #[test]
    fn an_envelope_is_read_strictly() {
        let good = vectors()[0]["message"].clone();
        let fault = |key: &str, value: Value| {
            let mut message = good.clone();
            message[key] = value;
            let object = json::parse_object(message.to_string().as_bytes()).unwrap();
            Envelope::parse(object).unwrap_err().detail.unwrap()
        };
        for (key, bad) in [
            ("message_type", json!("gossip")),
            ("message_type", json!(1)),
            ("sender_id", json!("a b")),
            ("sender_id", json!("admin")),
            ("sender_address", json!("https://a.example/path")),
            ("sender_address", json!("ftp://a.example")),
            ("timestamp", json!("1704067200")),
            ("timestamp", json!(1704067200.5)),
            ("timestamp", json!(-1)),
            ("timestamp", json!(1_704_067_200_000_i64)),
            ("message_id", json!("short")),
            ("message_id", json!("x".repeat(65))),
            ("message_id", json!("a/b/c/d/e")),
            ("payload", json!([])),
            ("signature", json!(null)),
            ("path", json!([])),
        ] {
            assert!(fault(key, bad.clone()).contains(key), "{key}: {bad}");
        }
        for key in MEMBERS {
            let mut message = good.as_object().unwrap().clone();
            message.remove(key);
            assert!(Envelope::parse(message).is_err(), "{key}");
        }
    }

    fn payload(message_type: &str, payload: Value) -> Result<Payload, Problem> {
        let mut message = vectors()[0]["message"].clone();
        message["message_type"] = json!(message_type);
        message["payload"] = payload;
        parse(&message).payload()
    }

    #[test]
    fn payloads_are_checked_by_their_type() {
        let txid = "ab".repeat(32);
        let long: Vec<String> = (0..65).map(|n| format!("c{n}")).collect();
        for (message_type, bad) in [
            ("hello", json!({})),
            ("hello", json!({"public_key": "00"})),
            (
                "hello",
                json!({"public_key": "01".to_owned() + &"00".repeat(31)}),
            ),
            ("peers", json!({})),
            ("peers", json!({"peers": [{"id": "x"}]})),
            ("peers", json!({"peers": vec![json!({}); 21]})),
            ("node_update", json!({})),
            ("node_update", json!({"node_id": "a b"})),
            ("node_update", json!({"node_id": "n", "status": "ON LINE"})),
            (
                "node_update",
                json!({"node_id": "n", "address": "x".repeat(257)}),
            ),
            (
                "node_update",
                json!({"node_id": "n", "capabilities": ["A"]}),
            ),
            ("node_update", json!({"node_id": "n", "capabilities": long})),
            ("node_update", json!({"node_id": "n", "withdrawn": "yes"})),
            ("health_broadcast", json!({"node_id": "n", "health": 101})),
            (
                "health_broadcast",
                json!({"node_id": "n", "reputation": -1}),
            ),
            ("wallet_info", json!({"node_id": "n", "address": ""})),
            ("transaction_notification", json!({"node_id": "n"})),
            (
                "transaction_notification",
                json!({"node_id": "n", "txid": "00"}),
            ),
            (
                "transaction_notification",
                json!({"node_id": "n", "txid": txid, "height": -1}),
            ),
            ("balance_update", json!({"node_id": "n", "balance": 5})),
            ("balance_update", json!({"node_id": "n", "balance": "1.5"})),
            (
                "balance_update",
                json!({"node_id": "n", "balance": "99999999999999999999"}),
            ),
        ] {
            let result = payload(message_type, bad.clone());
            assert!(result.is_err(), "{message_type} {bad}");
        }
        let Ok(Payload::About(about)) = payload(
            "transaction_notification",
            json!({"node_id": "n", "txid": txid, "event": "payment.sent", "amount": "5", "new": [1]}),
        ) else {
            panic!("a good one is refused");
        };
        assert_eq!(about.reference, txid);
        assert_eq!(
            about.body,
            Some(json!({"event": "payment.sent", "amount": "5"}))
        );
        let Ok(Payload::About(about)) =
            payload("balance_update", json!({"node_id": "n", "withdrawn": true}))
        else {
            panic!("a withdrawal is refused");
        };
        assert_eq!(about.body, None);
    }

    #[test]
    fn the_age_may_be_24_hours_back_and_30_seconds_ahead() {
        let envelope = parse(&vectors()[0]["message"]);
        let code = |now: i64| envelope.check_age(now).map_err(|problem| problem.code);
        let at = envelope.timestamp;
        assert_eq!(code(at + 86_400), Ok(()));
        assert_eq!(code(at + 86_401), Err(Code::MessageStale));
        assert_eq!(code(at - 30), Ok(()));
        assert_eq!(code(at - 31), Err(Code::MessageAhead));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Delivery::parse(&bytes);
        }

        #[test]
        fn no_change_of_a_byte_verifies(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let vector = vectors()[0].clone();
            let text = delivery(&parse_node_id("b").unwrap(), 0, &vector["message"].to_string());
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let public = PublicKey::parse(vector["public_key"].as_str().unwrap()).unwrap();
            if let Ok(changed) = Delivery::parse(&bytes) {
                let original = Delivery::parse(text.as_bytes()).unwrap();
                prop_assert!(
                    changed.envelope.object == original.envelope.object
                        || !changed.envelope.is_signed_by(&public, Network::Main)
                        // Hex in either case is one signature.
                        || changed.envelope.object[SIGNATURE] != original.envelope.object[SIGNATURE]
                );
            }
        }
    }
}
