//! A service on a real SQLite file with a chain in memory. Every call of database and chain is a
//! step, and a run can be stopped at each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    dead_code,
    unused_imports
)]

mod chain;

pub use chain::{FakeChain, FakeNode, Trouble, florins};

use duxnet_store::native::NativeDatabase;
use duxnet_store::{
    Action, Database, DatabaseError, Decided, NodeChange, Row, Rule, Store, Value, migrate,
};
use duxnet_units::{Amount, IdempotencyKey, Network, NodeId, Timestamp, WalletName};
use duxnet_wallet::deregister::{self, Departure};
use duxnet_wallet::release::Run;
use duxnet_wallet::review::Word;
use duxnet_wallet::tracker::{Report, TrackerPolicy};
use duxnet_wallet::{Caller, Clock, Policy, Service, WalletError, create, send};
use futures::FutureExt as _;
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

pub const START: i64 = 1_700_000_000;
/// More than the lease of send.rs, and of the tracker.
pub const LONG: i64 = 61;

/// What operators say.
pub const WORD: Word<'static> = Word {
    operator: "alice",
    reason: Some("we know them"),
};

/// Counts steps and stops for a while at one of them.
#[derive(Clone, Default)]
pub struct Steps {
    left: Rc<Cell<Option<u32>>>,
    stopped: Rc<Cell<bool>>,
}

impl Steps {
    pub fn stop_at(step: u32) -> Self {
        Steps {
            left: Rc::new(Cell::new(Some(step))),
            ..Steps::default()
        }
    }

    /// Pending exactly once, when the step has come.
    pub async fn pass(&self) {
        match self.left.get() {
            Some(0) => {
                self.left.set(None);
                self.stopped.set(true);
                let mut waited = false;
                std::future::poll_fn(|_| {
                    if std::mem::replace(&mut waited, true) {
                        std::task::Poll::Ready(())
                    } else {
                        std::task::Poll::Pending
                    }
                })
                .await;
            }
            Some(left) => self.left.set(Some(left - 1)),
            None => {}
        }
    }
}

pub struct SteppedDatabase {
    database: NativeDatabase,
    steps: Steps,
}

impl Database for SteppedDatabase {
    async fn query(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, DatabaseError> {
        self.steps.pass().await;
        let result = self.database.query(sql, parameters).await;
        self.steps.pass().await;
        result
    }
}

pub struct FakeClock(Cell<i64>);

impl FakeClock {
    pub fn advance(&self, seconds: i64) {
        self.0.set(self.0.get() + seconds);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0.get()).unwrap()
    }

    /// Each pause is a second, so that patience runs out soon.
    async fn pause(&self, _duration: Duration) {
        self.advance(1);
    }
}

/// The database in a world's folder.
const FILE: &str = "database";

/// Everything that outlives a crash.
pub struct World {
    folder: tempfile::TempDir,
    pub node: Rc<RefCell<FakeNode>>,
    pub clock: FakeClock,
    pub policy: Policy,
    pub rules: TrackerPolicy,
}

fn database(path: &Path) -> NativeDatabase {
    let database = NativeDatabase::open(path).unwrap();
    // A killed process loses nothing that way, only a machine would: no disk needs to be waited for.
    block_on(database.query("PRAGMA synchronous = OFF", vec![])).unwrap();
    database
}

fn open(path: &Path, steps: &Steps) -> Store<SteppedDatabase> {
    Store::new(SteppedDatabase {
        database: database(path),
        steps: steps.clone(),
    })
}

pub fn caller(node: &str) -> Caller {
    Caller {
        node_id: NodeId::parse(node).unwrap(),
        signature: None,
    }
}

impl World {
    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// No wallets, a chain of a few blocks that concern nobody.
    pub fn empty() -> World {
        let folder = tempfile::tempdir().unwrap();
        block_on(migrate(&database(&folder.path().join(FILE)), || async {})).unwrap();
        World {
            folder,
            node: Rc::new(RefCell::new(FakeNode::new())),
            clock: FakeClock(Cell::new(START)),
            policy: Policy {
                network: Network::Regtest,
                max_transaction_amount: florins(100_000_000_000),
                rate_limit_window: 3600,
                max_transactions_per_window: 10,
                confirmations_required: 1,
            },
            rules: TrackerPolicy {
                watchdog_interval: 1,
                watchdog_max_drift: Amount::ZERO,
                backup_interval: 0,
            },
        }
    }

    /// The same once more, apart from this one.
    pub fn copy(&self) -> World {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&self.file());
        let checkpoint = database.query("PRAGMA wal_checkpoint(TRUNCATE)", vec![]);
        block_on(checkpoint).unwrap();
        std::fs::copy(self.file(), folder.path().join(FILE)).unwrap();
        World {
            folder,
            node: Rc::new(RefCell::new(self.node.borrow().clone())),
            clock: FakeClock(self.clock.0.clone()),
            policy: self.policy.clone(),
            rules: self.rules.clone(),
        }
    }

    /// A wallet `node_001` with one confirmed coin of each of these values in the ledger.
    pub fn with_coins(values: &[u64]) -> World {
        let world = World::empty();
        let address = world.create_wallet("node_001");
        for value in values {
            world.node.borrow_mut().deposit(&address, *value);
        }
        world.node.borrow_mut().mine();
        world.tick();
        world
    }

    /// Runs something on the domain, stopping where `steps` say.
    pub fn on<T>(
        &self,
        steps: &Steps,
        run: impl AsyncFnOnce(&Service<'_, SteppedDatabase, FakeClock>, &FakeChain) -> T,
    ) -> Option<T> {
        let store = open(&self.file(), steps);
        let service = Service {
            store: &store,
            clock: &self.clock,
            policy: &self.policy,
        };
        let chain = FakeChain::new(&self.node, steps);
        let result = pin!(run(&service, &chain)).now_or_never();
        assert!(result.is_some() || steps.stopped.get());
        result
    }

    fn whole<T>(
        &self,
        run: impl AsyncFnOnce(&Service<'_, SteppedDatabase, FakeClock>, &FakeChain) -> T,
    ) -> T {
        self.on(&Steps::default(), run).unwrap()
    }

    /// Registers a node, for the first time or again.
    pub fn register(&self, node: &str) {
        let change = NodeChange {
            node_id: caller(node).node_id,
            public_key: None,
            address: None,
            capabilities: None,
            share: None,
            at: self.clock.now(),
            signature: None,
        };
        self.whole(async |service, _| service.register(&change, |_| false).await)
            .unwrap();
    }

    pub fn create_wallet(&self, node: &str) -> String {
        self.register(node);
        let order = create::Order {
            wallet_name: WalletName::parse("w").unwrap(),
            idempotency_key: None,
            request_hash: String::new(),
        };
        self.whole(async |service, chain| {
            let created = service.create_wallet(chain, &caller(node), &order).await;
            created.unwrap().wallet.address
        })
    }

    /// A whole send, nothing in its way.
    pub fn send(&self, order: &send::Order) -> Result<send::Sent, WalletError> {
        self.send_from("node_001", order)
    }

    pub fn send_from(&self, node: &str, order: &send::Order) -> Result<send::Sent, WalletError> {
        self.whole(async |service, chain| service.send(chain, &caller(node), order).await)
    }

    /// A send that stops at a step; there `meanwhile` happens, and then the send goes on, or is
    /// dropped where it stands. None when the send has fewer steps.
    pub fn interrupted(
        &self,
        step: u32,
        order: &send::Order,
        goes_on: bool,
        meanwhile: impl FnOnce(&World),
    ) -> Option<Option<Result<send::Sent, WalletError>>> {
        let steps = Steps::stop_at(step);
        let store = open(&self.file(), &steps);
        let service = Service {
            store: &store,
            clock: &self.clock,
            policy: &self.policy,
        };
        let chain = FakeChain::new(&self.node, &steps);
        let caller = caller("node_001");
        let mut sending = pin!(service.send(&chain, &caller, order));
        if let Some(_early) = sending.as_mut().now_or_never() {
            return None;
        }
        assert!(steps.stopped.get());
        if goes_on {
            meanwhile(self);
            return Some(Some(sending.now_or_never().expect("it stops once")));
        }
        Some(None)
    }

    /// A whole deregistration, nothing in its way.
    pub fn deregister(&self, order: &deregister::Order) -> Result<Departure, WalletError> {
        self.whole(async |service, chain| {
            service.deregister(chain, &caller("node_001"), order).await
        })
    }

    /// A deregistration that stops at a step, as [`World::interrupted`].
    pub fn interrupted_deregistration(
        &self,
        step: u32,
        order: &deregister::Order,
        goes_on: bool,
        meanwhile: impl FnOnce(&World),
    ) -> Option<Option<Result<Departure, WalletError>>> {
        let steps = Steps::stop_at(step);
        let store = open(&self.file(), &steps);
        let service = Service {
            store: &store,
            clock: &self.clock,
            policy: &self.policy,
        };
        let chain = FakeChain::new(&self.node, &steps);
        let caller = caller("node_001");
        let mut leaving = pin!(service.deregister(&chain, &caller, order));
        if let Some(_early) = leaving.as_mut().now_or_never() {
            return None;
        }
        assert!(steps.stopped.get());
        if goes_on {
            meanwhile(self);
            return Some(Some(leaving.now_or_never().expect("it stops once")));
        }
        Some(None)
    }

    /// One whole run of the tracker.
    pub fn tick(&self) -> Report {
        self.try_tick().unwrap()
    }

    pub fn try_tick(&self) -> Result<Report, WalletError> {
        self.whole(async |service, chain| service.tick(chain, &self.rules).await)
    }

    /// A run that stops at a step; there `meanwhile` happens, and then it goes on, or is dropped
    /// where it stands. False when it has fewer steps.
    pub fn interrupted_tick(
        &self,
        step: u32,
        goes_on: bool,
        meanwhile: impl FnOnce(&World),
    ) -> bool {
        let steps = Steps::stop_at(step);
        let store = open(&self.file(), &steps);
        let service = Service {
            store: &store,
            clock: &self.clock,
            policy: &self.policy,
        };
        let chain = FakeChain::new(&self.node, &steps);
        let mut ticking = pin!(service.tick(&chain, &self.rules));
        if ticking.as_mut().now_or_never().is_some() {
            return false;
        }
        assert!(steps.stopped.get());
        if goes_on {
            meanwhile(self);
            // Whatever it meets, it must not break the books.
            let _ = ticking.now_or_never().expect("it stops once");
        }
        true
    }

    /// One whole run that makes released payments.
    pub fn run(&self) -> Run {
        self.whole(async |service, chain| service.make_released(chain).await)
            .unwrap()
    }

    /// Such a run that stops at a step; as [`World::interrupted_tick`].
    pub fn interrupted_run(
        &self,
        step: u32,
        goes_on: bool,
        meanwhile: impl FnOnce(&World),
    ) -> bool {
        let steps = Steps::stop_at(step);
        let store = open(&self.file(), &steps);
        let service = Service {
            store: &store,
            clock: &self.clock,
            policy: &self.policy,
        };
        let chain = FakeChain::new(&self.node, &steps);
        let mut running = pin!(service.make_released(&chain));
        if running.as_mut().now_or_never().is_some() {
            return false;
        }
        assert!(steps.stopped.get());
        if goes_on {
            meanwhile(self);
            running.now_or_never().expect("it stops once").unwrap();
        }
        true
    }

    /// An operator decides about the newest payment.
    pub fn decide(&self, action: Action) -> Decided {
        let id = self.line("SELECT payment_id FROM payments ORDER BY id DESC LIMIT 1");
        self.whole(async |service, _| service.decide_payment(action, &id, WORD).await)
            .unwrap()
            .expect("it was held")
            .0
    }

    /// An operator decides about the wallet of `node_001`.
    pub fn decide_wallet(&self, action: Action) -> Decided {
        let node = caller("node_001").node_id;
        self.whole(async |service, _| service.decide_wallet(action, &node, WORD).await)
            .unwrap()
            .0
    }

    /// An operator changes or adds a rule.
    pub fn set_rule(&self, rule: &Rule) -> Decided {
        self.whole(async |service, _| service.set_rule(rule, WORD).await)
            .unwrap()
            .0
    }

    pub fn try_rows(&self, sql: &str) -> Result<Vec<Row>, String> {
        block_on(database(&self.file()).query(sql, vec![])).map_err(|error| error.0)
    }

    /// Runs something on the queries alone.
    pub fn on_store<T>(&self, run: impl AsyncFnOnce(&Store<SteppedDatabase>) -> T) -> T {
        self.whole(async |service, _| run(service.store).await)
    }

    pub fn resume_sends(&self) -> bool {
        self.whole(async |service, _| service.store.resume_sends().await)
            .unwrap()
    }

    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let database = database(&self.file());
        block_on(database.query(sql, vec![]))
            .unwrap()
            .into_iter()
            .map(|row| row.0)
            .collect()
    }

    /// One line per row, columns separated by blanks.
    pub fn lines(&self, sql: &str) -> Vec<String> {
        let text = |value: Value| match value {
            Value::Null => "-".to_owned(),
            Value::Integer(value) => value.to_string(),
            Value::Text(text) => text,
        };
        self.rows(sql)
            .into_iter()
            .map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" "))
            .collect()
    }

    pub fn line(&self, sql: &str) -> String {
        self.lines(sql).join("; ")
    }

    /// available, confirmed, pending, reserved; in florins.
    pub fn balance(&self, node: &str) -> [u64; 4] {
        let wallet = self
            .whole(async |service, _| service.wallet(&caller(node).node_id).await)
            .unwrap();
        let balance = wallet.balance;
        [
            balance.available,
            balance.confirmed,
            balance.pending,
            balance.reserved,
        ]
        .map(Amount::florins)
    }

    /// The wallets whose balance is not what their outputs and movements add up to.
    pub fn assert_recount(&self, context: &str) {
        let wrong = self.whole(async |service, _| service.store.recount().await);
        assert_eq!(wrong.unwrap(), Vec::<i64>::new(), "{context}");
    }

    /// The truth, whatever happened: each transaction of ours on the chain is one payment that has
    /// not failed, no coin is in two payments, and every balance is its recount.
    pub fn assert_books(&self, context: &str) {
        let live = self
            .lines("SELECT txid FROM payments WHERE state IN ('signed', 'broadcast', 'confirmed')");
        for txid in self.node.borrow().sent() {
            assert!(
                live.iter().any(|known| known == txid.as_str()),
                "{context}: {txid} is on the chain and no live payment"
            );
        }
        let twice = self.rows(
            "SELECT 1 FROM payments, json_each(inputs) WHERE state <> 'failed'
             GROUP BY value ->> 'txid', value ->> 'vout' HAVING COUNT(*) > 1",
        );
        assert!(twice.is_empty(), "{context}: a coin is in two payments");
        let reserved = self.line(
            "SELECT COUNT(*) FROM payment_inputs WHERE payment_id NOT IN (SELECT id FROM payments WHERE state <> 'failed')",
        );
        assert_eq!(reserved, "0", "{context}: a failed payment keeps coins");
        self.assert_recount(context);
    }
}

pub fn order_to(recipient: &str, value: u64, key: Option<&str>) -> send::Order {
    send::Order {
        recipient_address: recipient.into(),
        amount: send::HowMuch::Exactly(florins(value)),
        idempotency_key: key.map(|key| IdempotencyKey::parse(key).unwrap()),
        request_hash: value.to_string(),
    }
}

/// Runs `scenario(step)` for every step that there is.
pub fn at_every_step(least: u32, mut scenario: impl FnMut(u32) -> bool) {
    let mut step = 0;
    while scenario(step) {
        step += 1;
    }
    assert!(
        step >= least,
        "only {step} steps: the test looks at too little"
    );
}
