//! The whole matrix: every route and method, asked by everyone. The table of `duxnet_api::access` says
//! who is admitted; spin.toml and docs/access.md agree with it.
#![allow(clippy::unwrap_used, missing_docs)]

use duxnet_api::access::{Identity, RULES, Rule};
use ed25519_dalek::SigningKey;
use std::collections::BTreeSet;
use tests::{
    HostOptions, METRICS_TOKEN, Node, OPERATOR_TOKEN, Reply, TRACKER_TOKEN, World, request, root,
    run_peers,
};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asker {
    Nobody,
    /// The node that the request is about.
    Node,
    AnotherNode,
    Operator,
    /// A registry that this one knows.
    Peer,
    Scheduler,
    Monitor,
    /// A bearer token that nobody has.
    Stranger,
}

const ASKERS: [Asker; 8] = [
    Asker::Nobody,
    Asker::Node,
    Asker::AnotherNode,
    Asker::Operator,
    Asker::Peer,
    Asker::Scheduler,
    Asker::Monitor,
    Asker::Stranger,
];

fn is_admitted(asker: Asker, admits: Identity) -> bool {
    match admits {
        Identity::Anyone => true,
        Identity::Node => asker == Asker::Node,
        Identity::Operator => asker == Asker::Operator,
        Identity::Scheduler => asker == Asker::Scheduler,
        Identity::Monitor => asker == Asker::Monitor,
        Identity::Peer => asker == Asker::Peer,
    }
}

/// The private start-up check has no path from outside.
fn public_rules() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(|rule| rule.route != "/...")
}

struct Matrix {
    world: World,
    node: Node,
    other: Node,
    peer: Node,
}

impl Matrix {
    fn start() -> Matrix {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public_key = hex::encode(key.verifying_key().as_bytes());
        // Port 9 discards: nobody has to be there.
        let options = HostOptions::default()
            .variable("registry_id", "home")
            .variable("registry_address", "http://127.0.0.1:9")
            .variable("registry_key", &"11".repeat(32))
            .variable("peers", &format!("friend=http://127.0.0.1:9#{public_key}"));
        let world = World::with(options);
        // The run that makes the settings' peers known.
        run_peers(world.host.url()).expect_status(200);
        let node = world.node_with_wallet("node_001");
        Matrix {
            peer: Node {
                id: "friend".into(),
                key,
                urls: node.urls.clone(),
            },
            other: world.node_with_wallet("node_002"),
            node,
            world,
        }
    }

    /// The route about `node_001`; other parameters are those of nothing.
    fn target(rule: &Rule) -> String {
        let segment = |segment: &str| match segment.strip_prefix(':') {
            None => segment.to_owned(),
            Some("node_id") => "node_001".to_owned(),
            Some("transaction" | "payment") => "0".repeat(32),
            Some(_) => "1".to_owned(),
        };
        let segments: Vec<String> = rule.route.split('/').map(segment).collect();
        let query = match (rule.method, rule.route) {
            ("DELETE", "/nodes/:node_id/capabilities") => "?capabilities=gpu",
            _ => "",
        };
        segments.join("/") + query
    }

    /// Enough that the question of who asks is reached.
    fn body(&self, rule: &Rule) -> String {
        match rule.route {
            "/wallet/create" => r#"{"node_id":"node_001","wallet_name":"w"}"#.to_owned(),
            "/nodes/register" => {
                format!(
                    r#"{{"node_id":"node_001","public_key":"{}"}}"#,
                    self.node.public_key()
                )
            }
            _ if matches!(rule.method, "GET" | "DELETE") => String::new(),
            _ => "{}".to_owned(),
        }
    }

    fn ask(&self, rule: &Rule, asker: Asker) -> Reply {
        let target = Matrix::target(rule);
        let body = self.body(rule);
        let signed = |node: &Node| node.signed(rule.method, &target, &body, &[]).unwrap();
        let with_token = |token: Option<&str>| {
            let authorization = token.map(|token| format!("Bearer {token}"));
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(
                authorization
                    .as_deref()
                    .map(|value| ("authorization", value)),
            );
            let url = format!("{}{target}", self.world.host.url());
            request(rule.method, &url, &headers, body.as_bytes()).unwrap()
        };
        match asker {
            Asker::Nobody => with_token(None),
            Asker::Node => signed(&self.node),
            Asker::AnotherNode => signed(&self.other),
            Asker::Operator => with_token(Some(OPERATOR_TOKEN)),
            Asker::Peer => signed(&self.peer),
            Asker::Scheduler => with_token(Some(TRACKER_TOKEN)),
            Asker::Monitor => with_token(Some(METRICS_TOKEN)),
            Asker::Stranger => with_token(Some("a-token-that-nobody-has")),
        }
    }
}

#[test]
fn every_route_admits_whom_the_table_says_and_nobody_else() {
    let matrix = Matrix::start();
    let mut wrong = Vec::new();
    for rule in public_rules() {
        for asker in ASKERS {
            let reply = matrix.ask(rule, asker);
            let is_refused = matches!(reply.status, 401 | 403);
            if is_refused == is_admitted(asker, rule.admits) || reply.status == 500 {
                wrong.push(format!(
                    "{} {} by {asker:?}: {} {}",
                    rule.method,
                    rule.route,
                    reply.status,
                    reply.text()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_route_of_the_manifest_and_no_other() {
    let manifest = std::fs::read_to_string(root().join("spin.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let triggers = manifest["trigger"]["http"].as_array().unwrap();
    let routed: BTreeSet<&str> = triggers
        .iter()
        .filter_map(|trigger| trigger["route"].as_str())
        .collect();
    assert_eq!(
        public_rules()
            .map(|rule| rule.route)
            .collect::<BTreeSet<_>>(),
        routed
    );
}

#[test]
fn the_documentation_shows_the_same_table() {
    let docs = std::fs::read_to_string(root().join("docs/access.md")).unwrap();
    let documented: BTreeSet<&str> = docs
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let table: BTreeSet<String> = public_rules()
        .map(|rule| format!("| `{} {}` | {:?} |", rule.method, rule.route, rule.admits))
        .collect();
    assert_eq!(documented, table.iter().map(String::as_str).collect());
}
