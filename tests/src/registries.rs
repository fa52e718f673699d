//! Registries that are each other's peers, and one that a test plays itself.

use crate::host::{OPERATOR_TOKEN, TRACKER_TOKEN};
use crate::{
    Books, Chain, Host, HostOptions, Link, Node, Reply, Urls, eventually, reply, with_token,
};
use duxnet_api::p2p::{Draft, MessageType, TARGET, delivery, sealed, signing_string};
use duxnet_api::signing::sha256_hex;
use duxnet_units::{Network, NodeId};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

/// The seed of a registry's key, which follows from its id.
fn seed(id: &str) -> String {
    sha256_hex(format!("registry {id}").as_bytes())
}

fn key(id: &str) -> SigningKey {
    SigningKey::from_bytes(&hex::decode(seed(id)).unwrap().try_into().unwrap())
}

fn public_key(id: &str) -> String {
    hex::encode(key(id).verifying_key().as_bytes())
}

/// One registry behind its link.
pub struct Registry {
    pub id: String,
    pub host: Host,
    pub link: Link,
}

/// A registry that is to be.
pub struct Planned {
    pub id: String,
    pub link: Link,
    options: HostOptions,
}

impl Planned {
    pub fn new(id: &str) -> Planned {
        Planned {
            id: id.into(),
            link: Link::start(),
            options: HostOptions::default(),
        }
    }

    pub fn variable(mut self, name: &str, value: &str) -> Planned {
        self.options = self.options.variable(name, value);
        self
    }

    /// As an entry of the setting `peers`.
    pub fn entry(&self) -> String {
        format!("{}={}#{}", self.id, self.link.url(), public_key(&self.id))
    }

    /// Starts it with these static peers. Tests are in a private network.
    pub fn start(self, chain: &Chain, peers: &[String]) -> Registry {
        let defaults = HostOptions::default()
            .variable("registry_id", &self.id)
            .variable("registry_address", &self.link.url())
            .variable("registry_key", &seed(&self.id))
            .variable("private_networks", "allow")
            .variable("peer_message_limit", "100000")
            .variable("peers", &peers.join(","));
        let options = defaults.and(&self.options);
        let host = Host::start(chain, options);
        self.link.lead_to(host.url());
        Registry {
            id: self.id,
            host,
            link: self.link,
        }
    }
}

impl Registry {
    /// Registries that all know each other by their settings.
    pub fn all(chain: &Chain, planned: Vec<Planned>) -> Vec<Registry> {
        let entries: Vec<String> = planned.iter().map(Planned::entry).collect();
        planned
            .into_iter()
            .enumerate()
            .map(|(own, planned)| {
                let mut others = entries.clone();
                others.remove(own);
                planned.start(chain, &others)
            })
            .collect()
    }

    pub fn url(&self) -> &str {
        self.host.url()
    }

    /// One run of its outbox.
    pub fn run(&self) -> Value {
        run_peers(self.url()).expect_status(200).json()
    }

    /// A run as if all pauses were over.
    pub fn run_now(&self) -> Value {
        self.books()
            .connection()
            .execute("UPDATE peers SET next_try_at = 0", [])
            .unwrap();
        self.run()
    }

    pub fn books(&self) -> Books {
        Books::open(&self.host)
    }

    /// A registered node of this registry.
    pub fn node(&self, id: &str) -> Node {
        let node = Node::new(&self.host, id);
        node.register().expect_status(201);
        node
    }

    /// A request of an operator.
    pub fn operator(&self, method: &str, target: &str, body: &str) -> Reply {
        operator(self.url(), method, target, body)
    }

    /// A peer as the operator sees it.
    pub fn peer(&self, id: &str) -> Value {
        let peers = self.operator("GET", "/peers", "").expect_status(200).json();
        let list = peers["peers"].as_array().unwrap();
        list.iter()
            .find(|peer| peer["peer_id"] == id)
            .cloned()
            .unwrap_or_default()
    }

    /// What others report of their nodes: node, registry, status.
    pub fn hearsay(&self) -> Vec<(String, String, String)> {
        let page = reply::get(&format!("{}/peers/nodes?limit=100", self.url()))
            .expect_status(200)
            .json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut found: Vec<_> = page["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| {
                (
                    text(&node["node_id"]),
                    text(&node["reported_by"]),
                    text(&node["status"]),
                )
            })
            .collect();
        found.sort();
        found
    }
}

/// One run of the outbox at the host with this address.
pub fn run_peers(url: &str) -> Reply {
    with_token(
        "POST",
        &format!("{url}/internal/peers/run"),
        TRACKER_TOKEN,
        "",
    )
}

/// A request of an operator.
pub fn operator(url: &str, method: &str, target: &str, body: &str) -> Reply {
    with_token(method, &format!("{url}{target}"), OPERATOR_TOKEN, body)
}

/// Runs all outboxes, as if all pauses were over, until nobody has anything to say to anybody.
pub fn settle(registries: &[&Registry]) {
    eventually("the registries have told each other everything", || {
        let said: u64 = registries
            .iter()
            .map(|registry| {
                let report = registry.run_now();
                report["published"].as_u64().unwrap() + report["delivered"].as_u64().unwrap()
            })
            .sum();
        said == 0
    });
}

/// A registry that the test plays: it signs what the test wants, and its link takes everything.
pub struct FakePeer {
    pub id: String,
    pub link: Link,
    /// Signs requests as a node would.
    pub signer: Node,
}

impl FakePeer {
    pub fn new(id: &str) -> FakePeer {
        FakePeer {
            id: id.into(),
            link: Link::start(),
            signer: Node {
                id: id.into(),
                key: key(id),
                urls: Urls::new([]),
            },
        }
    }

    pub fn entry(&self) -> String {
        format!("{}={}#{}", self.id, self.link.url(), public_key(&self.id))
    }

    pub fn public_key(&self) -> String {
        public_key(&self.id)
    }

    /// A message of this registry, signed.
    pub fn message(
        &self,
        message_type: MessageType,
        message_id: &str,
        timestamp: i64,
        payload: &Value,
    ) -> String {
        let object = Draft {
            message_type,
            sender_id: &NodeId::parse(&self.id).unwrap(),
            sender_address: &self.link.url(),
            timestamp,
            message_id,
            payload,
        }
        .object();
        let text = signing_string(Network::Regtest, &object).unwrap();
        let signature = hex::encode(self.signer.key.sign(text.as_bytes()).to_bytes());
        sealed(object, signature)
    }

    /// Brings a message, whosever it is, to a registry, in a request that this one signs.
    pub fn bring(&self, to: &Registry, hops: u32, message: &str) -> Reply {
        let body = delivery(&NodeId::parse(&to.id).unwrap(), hops, message);
        self.post(to.url(), &body)
    }

    /// A request that this registry signs.
    pub fn post(&self, url: &str, body: &str) -> Reply {
        let signer = Node {
            urls: Urls::new([url.into()]),
            ..self.signer.clone()
        };
        signer
            .signed("POST", TARGET, body, &[])
            .expect("the host answers")
    }

    /// Says hello, with an invitation if there is one.
    pub fn hello(&self, to: &Registry, message_id: &str, invite: Option<&str>) -> Reply {
        let mut payload = json!({"public_key": self.public_key()});
        if let Some(invite) = invite {
            payload["invite"] = json!(invite);
        }
        let message = self.message(MessageType::Hello, message_id, crate::unix_now(), &payload);
        self.bring(to, 0, &message)
    }
}
