//! A node: an id, a key, and signed requests.

use crate::{Host, Reply, Urls, reply};
use duxnet_api::jcs::canonical_object;
use duxnet_api::json::parse_object;
use duxnet_api::request::AUTH_DATA;
use duxnet_api::signing::SigningString;
use duxnet_units::{Network, NodeId};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static NONCES: AtomicU64 = AtomicU64::new(0);

/// The parts of a signature that a test may want to get wrong.
#[derive(Clone, Debug)]
pub struct Signing {
    pub network: Network,
    pub node_id: String,
    pub timestamp: i64,
    pub nonce: String,
}

/// A node with its key.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: String,
    pub key: SigningKey,
    pub urls: Urls,
}

pub fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
}

impl Node {
    /// A node that has not registered. Its key follows from its id.
    pub fn new(host: &Host, id: &str) -> Node {
        let seed = duxnet_api::signing::sha256_hex(id.as_bytes());
        let key = SigningKey::from_bytes(&hex::decode(seed).unwrap().try_into().unwrap());
        Node {
            id: id.into(),
            key,
            urls: host.urls().clone(),
        }
    }

    /// The same node at a host that was started again.
    pub fn at(&self, host: &Host) -> Node {
        Node {
            urls: host.urls().clone(),
            ..self.clone()
        }
    }

    /// Where its next request goes.
    pub fn url(&self) -> &str {
        self.urls.next()
    }

    pub fn public_key(&self) -> String {
        hex::encode(self.key.verifying_key().as_bytes())
    }

    /// What an honest signature made now has.
    pub fn signing(&self) -> Signing {
        let nonce = NONCES.fetch_add(1, Ordering::Relaxed);
        Signing {
            network: Network::Regtest,
            node_id: self.id.clone(),
            timestamp: unix_now(),
            nonce: format!("nonce-{}-{nonce:08}", std::process::id()),
        }
    }

    /// The signature over these parts, hex.
    pub fn sign(&self, signing: &Signing, method: &str, target: &str, content: &[u8]) -> String {
        let node_id = NodeId::parse(&signing.node_id).expect("a node id");
        let text = SigningString {
            network: signing.network,
            method,
            target,
            node_id: &node_id,
            timestamp: signing.timestamp,
            nonce: &signing.nonce,
            content,
        }
        .to_string();
        hex::encode(self.key.sign(text.as_bytes()).to_bytes())
    }

    /// The four headers of the header form.
    pub fn headers(
        &self,
        signing: &Signing,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Vec<(String, String)> {
        vec![
            ("X-Node-Id".into(), signing.node_id.clone()),
            ("X-Auth-Timestamp".into(), signing.timestamp.to_string()),
            ("X-Auth-Nonce".into(), signing.nonce.clone()),
            (
                "X-Auth-Signature".into(),
                self.sign(signing, method, target, body),
            ),
        ]
    }

    /// A request with headers of its own; a connection that fails is `Err`.
    pub fn try_send(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        headers: &[(String, String)],
    ) -> Result<Reply, String> {
        let mut all: Vec<(&str, &str)> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        if !body.is_empty() {
            all.push(("Content-Type", "application/json"));
        }
        reply::request(method, &format!("{}{target}", self.url()), &all, body)
    }

    /// A signed request, with more headers.
    pub fn signed(
        &self,
        method: &str,
        target: &str,
        body: &str,
        more: &[(&str, &str)],
    ) -> Result<Reply, String> {
        let mut headers = self.headers(&self.signing(), method, target, body.as_bytes());
        headers.extend(more.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        self.try_send(method, target, body.as_bytes(), &headers)
    }

    /// The body with its signature inside, in the member `auth_data`.
    pub fn body_form(&self, signing: &Signing, method: &str, target: &str, body: &Value) -> Value {
        let object = parse_object(body.to_string().as_bytes()).expect("an object");
        let content = canonical_object(&object, AUTH_DATA).expect("a canonical form");
        let mut body = body.clone();
        body[AUTH_DATA] = json!({
            "signature": self.sign(signing, method, target, &content),
            "timestamp": signing.timestamp,
            "nonce": signing.nonce,
        });
        body
    }

    /// A POST without a signature of its own; the body may have one.
    pub fn post_as_is(&self, target: &str, body: &Value) -> Reply {
        self.try_send("POST", target, body.to_string().as_bytes(), &[])
            .expect("the host answers")
    }

    pub fn get(&self, target: &str) -> Reply {
        self.signed("GET", target, "", &[])
            .expect("the host answers")
    }

    pub fn post(&self, target: &str, body: &Value) -> Reply {
        self.signed("POST", target, &body.to_string(), &[])
            .expect("the host answers")
    }

    pub fn register(&self) -> Reply {
        self.post(
            "/nodes/register",
            &json!({"node_id": self.id, "public_key": self.public_key()}),
        )
    }

    pub fn create_wallet(&self, name: &str) -> Reply {
        self.post(
            "/wallet/create",
            &json!({"node_id": self.id, "wallet_name": name}),
        )
    }

    /// The wallet's newest address.
    pub fn address(&self) -> String {
        self.get(&format!("/wallet/{}", self.id))
            .expect_status(200)
            .json()["address"]
            .as_str()
            .unwrap()
            .into()
    }

    /// The balance, with the ledger level with the chain node.
    pub fn balance(&self) -> Value {
        self.follow();
        self.get(&format!("/wallet/{}/balance", self.id))
            .expect_status(200)
            .json()
    }

    /// What can be spent, florins.
    pub fn available(&self) -> u64 {
        self.balance()["available_florins"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Has the host's ledger brought level with the chain node.
    pub fn follow(&self) {
        crate::follow(self.url());
    }

    /// The history, with the ledger level with the chain node.
    pub fn history(&self) -> Vec<Value> {
        self.follow();
        let reply = self
            .get(&format!("/wallet/{}/transactions?limit=100", self.id))
            .expect_status(200);
        reply.json()["transactions"].as_array().unwrap().clone()
    }

    fn send_body(&self, recipient: &str, flop: &str) -> String {
        format!(
            r#"{{"node_id":"{}","recipient_address":"{recipient}","amount":{flop}}}"#,
            self.id
        )
    }

    /// Pays; a connection that fails is `Err`.
    pub fn try_pay(&self, recipient: &str, flop: &str, key: Option<&str>) -> Result<Reply, String> {
        let headers: Vec<(&str, &str)> = key
            .map(|key| ("Idempotency-Key", key))
            .into_iter()
            .collect();
        let target = format!("/wallet/{}/send", self.id);
        self.signed("POST", &target, &self.send_body(recipient, flop), &headers)
    }

    pub fn pay(&self, recipient: &str, flop: &str) -> Reply {
        self.try_pay(recipient, flop, None)
            .expect("the host answers")
    }

    pub fn pay_with_key(&self, recipient: &str, flop: &str, key: &str) -> Reply {
        self.try_pay(recipient, flop, Some(key))
            .expect("the host answers")
    }
}

/// Registers a node and makes its wallet on a host that checks no signatures; gives the address.
pub fn unsigned_wallet(host: &Host, id: &str) -> String {
    let ask = |target: &str, body: &str| reply::post(&format!("{}{target}", host.url()), body);
    ask("/nodes/register", &format!(r#"{{"node_id":"{id}"}}"#)).expect_status(201);
    let body = format!(r#"{{"node_id":"{id}","wallet_name":"w"}}"#);
    let made = ask("/wallet/create", &body).expect_status(200).json();
    made["wallet"]["address"].as_str().unwrap().to_owned()
}
