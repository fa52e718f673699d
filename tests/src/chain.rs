//! The chain of a test: the devnet, or the real daemon behind the devnet's front.

use crate::daemon::Daemon;
use crate::{eventually, reply};
use devnet::{Devnet, Options};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;

const USER: &str = "chain-user";
const PASSWORD: &str = "chain-secret";

/// An error that the node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcFailure {
    pub code: i64,
    pub message: String,
}

/// A running chain. Blocks come only when mined.
pub struct Chain {
    address: SocketAddr,
    // Stopped in this order.
    devnet: Option<Devnet>,
    runtime: Runtime,
    daemon: Option<Daemon>,
}

impl Chain {
    pub fn start() -> Chain {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (daemon, forward) = match std::env::var("FLOPCOIND") {
            Ok(program) => {
                let daemon = Daemon::start(&program, (USER, PASSWORD));
                let url = daemon.url();
                (Some(daemon), Some(url))
            }
            Err(_) => (None, None),
        };
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            rpc_user: USER.into(),
            rpc_password: PASSWORD.into(),
            block_interval: Some(Duration::ZERO),
            forward,
            ..Options::default()
        };
        let devnet = runtime
            .block_on(Devnet::start(options))
            .expect("the devnet starts");
        Chain {
            address: devnet.address(),
            devnet: Some(devnet),
            runtime,
            daemon,
        }
    }

    /// Whether the real daemon answers.
    pub fn is_real(&self) -> bool {
        self.daemon.is_some()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn user(&self) -> &'static str {
        USER
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// As a client wants it: with user and password.
    pub fn url(&self) -> String {
        format!("http://{USER}:{PASSWORD}@{}", self.address)
    }

    /// The node goes down: its port is closed.
    pub fn stop(&mut self) {
        if let Some(devnet) = self.devnet.take() {
            self.runtime.block_on(devnet.shutdown());
        }
    }

    /// One JSON-RPC call.
    pub fn rpc(&self, method: &str, parameters: Value) -> Result<Value, RpcFailure> {
        let body = json!({"id": 0, "method": method, "params": parameters}).to_string();
        let credentials = base64(&format!("{USER}:{PASSWORD}"));
        let reply = reply::request(
            "POST",
            &format!("http://{}/", self.address),
            &[
                ("authorization", &format!("Basic {credentials}")),
                ("content-type", "application/json"),
            ],
            body.as_bytes(),
        )
        .expect("the node answers");
        let answer = reply.json();
        match &answer["error"] {
            Value::Null => Ok(answer["result"].clone()),
            error => Err(RpcFailure {
                code: error["code"].as_i64().unwrap(),
                message: error["message"].as_str().unwrap().into(),
            }),
        }
    }

    fn must(&self, method: &str, parameters: Value) -> Value {
        self.rpc(method, parameters)
            .unwrap_or_else(|e| panic!("{method}: {e:?}"))
    }

    /// Money from outside; gives the txid. Unconfirmed until mined.
    pub fn faucet(&self, address: &str, flop: &str) -> String {
        self.must("devnet_faucet", json!([address, flop]))["txid"]
            .as_str()
            .unwrap()
            .into()
    }

    pub fn mine(&self, blocks: u32) {
        self.must("devnet_mine", json!([blocks]));
    }

    pub fn height(&self) -> u64 {
        self.must("getblockcount", json!([])).as_u64().unwrap()
    }

    /// An address that belongs to none of the service's wallets.
    pub fn foreign_address(&self) -> String {
        self.must("getnewaddress", json!(["outside"]))
            .as_str()
            .unwrap()
            .into()
    }

    /// Replaces the last `depth` blocks by a longer branch without their transactions.
    pub fn reorganise(&self, depth: u32) {
        self.must("devnet_reorg", json!({"depth": depth}));
    }

    /// Encrypts the node's wallet, which is locked then. A real daemon ends itself for that and is
    /// started again.
    pub fn encrypt(&mut self, passphrase: &str) {
        self.must("encryptwallet", json!([passphrase]));
        if let Some(daemon) = &mut self.daemon {
            daemon.start_again();
        }
        eventually("the node answers", || {
            self.rpc("getwalletinfo", json!([])).is_ok()
        });
    }

    /// Tampers with calls of `method`; see the devnet's `devnet_fault`.
    pub fn fault(&self, fault: Value) {
        self.must("devnet_fault", fault);
    }

    pub fn clear_faults(&self) {
        self.must("devnet_clearfaults", json!([]));
    }

    pub fn faults(&self) -> Value {
        self.must("devnet_faults", json!([]))
    }

    /// Waits until a fault was hit.
    pub fn wait_for_fault(&self) {
        eventually("a fault is hit", || {
            self.faults()
                .as_array()
                .unwrap()
                .iter()
                .any(|fault| fault["hits"].as_u64().unwrap_or(0) > 0)
        });
    }

    /// Calls of the node since it was last asked for this number, without the devnet's own.
    pub fn calls(&self) -> u64 {
        self.must("devnet_stats", json!([true]))["requests"]
            .as_u64()
            .unwrap()
    }

    /// Txids in the mempool.
    pub fn mempool(&self) -> Vec<String> {
        let list = self.must("getrawmempool", json!([]));
        list.as_array()
            .unwrap()
            .iter()
            .map(|txid| txid.as_str().unwrap().into())
            .collect()
    }

    /// Florins at these addresses by the node's own list, unconfirmed too.
    pub fn unspent_florins(&self, addresses: &[String]) -> u64 {
        let list = self.must("listunspent", json!([0, 9_999_999, addresses]));
        list.as_array()
            .unwrap()
            .iter()
            .map(|coin| florins(&coin["amount"].to_string()))
            .sum()
    }
}

/// FLOP as the node writes it, in florins.
fn florins(flop: &str) -> u64 {
    duxnet_units::Amount::from_flop_literal(flop)
        .expect("an amount")
        .florins()
}

pub(crate) fn base64(text: &str) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)
}
