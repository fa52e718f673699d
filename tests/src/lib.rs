//! The harness of the end-to-end tests: a chain, a host on it, and nodes that sign.
//!
//! Every test has a chain and a host of its own, on free ports, with state in a temporary folder.
//! With `FLOPCOIND=/path/to/flopcoind` the chain is the real daemon, behind the devnet's front, so
//! that faults and the faucet work the same.
//!
//! The harness panics where a test would: a failure of it is a failed test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test harness; the names say it"
)]

mod artifacts;
mod books;
mod chain;
mod daemon;
mod host;
mod link;
mod monitoring;
mod node;
mod receiver;
mod registries;
mod registry;
mod reply;
#[path = "../../runtime-host/tests/host/server_process.rs"]
mod server_process;
#[path = "../../runtime-host/tests/host/sqld.rs"]
mod sqld;
mod stream;
mod tracker;
mod wait;

pub use artifacts::{components, root, runtime_host};
pub use books::Books;
pub use chain::{Chain, RpcFailure};
pub use host::{Host, HostOptions, METRICS_TOKEN, OPERATOR_TOKEN, TRACKER_TOKEN, Urls};
pub use link::{Link, Recorded};
pub use monitoring::{as_operator, run_payments, with_operators};
pub use node::{Node, Signing, unix_now, unsigned_wallet};
pub use receiver::{Answering, Received, Receiver};
pub use registries::{FakePeer, Planned, Registry, operator, run_peers, settle};
pub use registry::{OPERATORS, directory, judge, node_ids};
pub use reply::{Reply, get, post, request, with_token};
pub use sqld::Sqld;
pub use stream::{EventStream, StreamEvent};
pub use tracker::{follow, resume_sends, run_webhooks, tick};
pub use wait::{eventually, in_parallel};

/// A chain and a host on it, ready for a test.
pub struct World {
    pub chain: Chain,
    pub host: Host,
}

impl World {
    /// Default settings: signed requests, one confirmation, automatic blocks off.
    pub fn start() -> World {
        World::with(HostOptions::default())
    }

    /// Requests are not signed, as in the specification's examples.
    pub fn unsigned() -> World {
        World::with(HostOptions::default().variable("auth_mode", "off"))
    }

    pub fn with(options: HostOptions) -> World {
        let chain = Chain::start();
        let host = Host::start(&chain, options);
        World { chain, host }
    }

    /// A registered node.
    pub fn node(&self, id: &str) -> Node {
        let node = Node::new(&self.host, id);
        node.register().expect_status(201);
        node
    }

    /// A registered node with a wallet.
    pub fn node_with_wallet(&self, id: &str) -> Node {
        let node = self.node(id);
        node.create_wallet("my_wallet").expect_status(200);
        node
    }

    /// A node whose wallet holds a confirmed coin of each amount (FLOP, as text).
    pub fn funded_node(&self, id: &str, coins: &[&str]) -> Node {
        let node = self.node_with_wallet(id);
        let address = node.address();
        for coin in coins {
            self.chain.faucet(&address, coin);
        }
        self.chain.mine(1);
        eventually("the wallet is funded", || {
            let balance = node.balance();
            balance["pending_florins"] == "0" && balance["confirmed_florins"] != "0"
        });
        node
    }

    /// The database file.
    pub fn books(&self) -> Books {
        Books::open(&self.host)
    }
}
