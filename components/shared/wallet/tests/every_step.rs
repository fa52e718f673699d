//! A send is interrupted at every single step of it, on a real SQLite file: before and after each
//! call of database and chain. Whatever comes next, nothing is paid twice and nothing is lost.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use duxnet_store::native::NativeDatabase;
use duxnet_store::{Database, DatabaseError, NodeChange, Row, Store, Value, migrate};
use duxnet_units::transaction::{Output, Transaction, encode_unsigned};
use duxnet_units::{
    Address, Amount, IdempotencyKey, Network, NodeId, OutPoint, Timestamp, Txid, WalletName,
};
use duxnet_wallet::chain::{ChainError, Coin, Keys, Reader, Signed, Signer, Standing, Unspent};
use duxnet_wallet::{Caller, Clock, Policy, Service, WalletError, create, send};
use futures::FutureExt as _;
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

const OWN: &str = "miNiR47hEGLJ19YydJMnRTrTgTbcwfRisE";
const RECIPIENT: &str = "mw4EkRZtxSnWRgS3uLTYdttjD5k1nrF26h";
const START: i64 = 1_700_000_000;
const COIN: u64 = 10_000_000_000;
/// More than the lease of send.rs.
const LONG: i64 = 61;

/// Counts steps and stops for a while at one of them.
#[derive(Clone, Default)]
struct Steps {
    left: Rc<Cell<Option<u32>>>,
    stopped: Rc<Cell<bool>>,
}

impl Steps {
    fn stop_at(step: u32) -> Self {
        Steps {
            left: Rc::new(Cell::new(Some(step))),
            ..Steps::default()
        }
    }

    /// Pending exactly once, when the step has come.
    async fn pass(&self) {
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

struct SteppedDatabase {
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

/// What the chain does with a call to broadcast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    None,
    Unreachable,
    Refused,
    LostBefore,
    LostAfter,
    GarbageAfter,
}

/// A chain in memory; what is broadcast is in its mempool.
struct Ledger {
    coins: RefCell<BTreeMap<OutPoint, u64>>,
    mempool: RefCell<BTreeMap<Txid, Transaction>>,
    trouble: Cell<Trouble>,
}

#[derive(Clone)]
struct FakeChain {
    ledger: Rc<Ledger>,
    steps: Steps,
}

fn address(text: &str) -> Address {
    Address::parse(text, Network::Regtest).unwrap()
}

fn florins(value: u64) -> Amount {
    Amount::from_florins(value).unwrap()
}

impl Reader for FakeChain {
    async fn list_unspent(&self, addresses: &[String]) -> Result<Unspent, ChainError> {
        assert_eq!(addresses, [OWN]);
        self.steps.pass().await;
        let coins = self
            .ledger
            .coins
            .borrow()
            .iter()
            .map(|(outpoint, value)| Coin {
                outpoint: outpoint.clone(),
                value: florins(*value),
                confirmations: u32::from(
                    !self.ledger.mempool.borrow().contains_key(&outpoint.txid),
                ),
            })
            .collect();
        let unspent = Unspent {
            network: Network::Regtest,
            fee_rate: 1_000_000,
            coins,
        };
        self.steps.pass().await;
        Ok(unspent)
    }

    async fn standings(&self, txids: &[&Txid]) -> Result<Vec<Standing>, ChainError> {
        self.steps.pass().await;
        let mempool = self.ledger.mempool.borrow();
        let known = |txid: &&Txid| {
            if mempool.contains_key(*txid) {
                Standing::Mempool
            } else {
                Standing::Absent
            }
        };
        Ok(txids.iter().map(known).collect())
    }
}

impl Keys for FakeChain {
    async fn new_address(&self, _label: &str) -> Result<String, ChainError> {
        Ok(OWN.into())
    }
}

/// A transaction with a script in each input, so that it counts as signed.
fn with_scripts(inputs: &[OutPoint], outputs: &[Output]) -> Vec<u8> {
    let unsigned = encode_unsigned(inputs, outputs);
    let mut bytes = unsigned[..5].to_vec();
    for index in 0..inputs.len() {
        let at = 5 + index * 41;
        bytes.extend(&unsigned[at..at + 36]);
        bytes.extend([1, 0x51]);
        bytes.extend(&unsigned[at + 37..at + 41]);
    }
    bytes.extend(&unsigned[5 + inputs.len() * 41..]);
    bytes
}

impl Signer for FakeChain {
    async fn sign_payment(
        &self,
        inputs: &[OutPoint],
        outputs: &[(&Address, Amount)],
    ) -> Result<Signed, ChainError> {
        self.steps.pass().await;
        let outputs: Vec<Output> = outputs
            .iter()
            .map(|(address, value)| Output::to(address, *value))
            .collect();
        let bytes = with_scripts(inputs, &outputs);
        let txid = Transaction::decode(&bytes).unwrap().txid;
        self.steps.pass().await;
        Ok(Signed {
            txid,
            hex: hex::encode(bytes),
        })
    }

    async fn broadcast(&self, signed: &Signed) -> Result<(), ChainError> {
        self.steps.pass().await;
        let unknown = |text: &str| Err(ChainError::OutcomeUnknown(text.into()));
        let result = match self.ledger.trouble.get() {
            Trouble::None => self.ledger.accept(signed),
            Trouble::Unreachable => Err(ChainError::Unreachable("refused".into())),
            Trouble::Refused => Err(ChainError::Rejected {
                code: -26,
                message: "66: fee".into(),
            }),
            Trouble::LostBefore => unknown("lost before"),
            Trouble::LostAfter => self
                .ledger
                .accept(signed)
                .and_then(|()| unknown("lost after")),
            Trouble::GarbageAfter => self
                .ledger
                .accept(signed)
                .and_then(|()| Err(ChainError::BadResponse("garbage".into()))),
        };
        self.steps.pass().await;
        result
    }
}

impl Ledger {
    fn accept(&self, signed: &Signed) -> Result<(), ChainError> {
        let transaction = Transaction::decode(&hex::decode(&signed.hex).unwrap()).unwrap();
        if self.mempool.borrow().contains_key(&transaction.txid) {
            return Ok(());
        }
        let mut coins = self.coins.borrow_mut();
        if !transaction
            .inputs
            .iter()
            .all(|input| coins.contains_key(input))
        {
            return Err(ChainError::Rejected {
                code: -25,
                message: "Missing inputs".into(),
            });
        }
        for input in &transaction.inputs {
            coins.remove(input);
        }
        let own = address(OWN).script_pubkey();
        for (vout, output) in (0..).zip(&transaction.outputs) {
            if output.script_pubkey == own {
                coins.insert(
                    OutPoint {
                        txid: transaction.txid.clone(),
                        vout,
                    },
                    output.value.florins(),
                );
            }
        }
        self.mempool
            .borrow_mut()
            .insert(transaction.txid.clone(), transaction);
        Ok(())
    }

    /// Florins that reached the recipient.
    fn paid(&self) -> u64 {
        let recipient = address(RECIPIENT).script_pubkey();
        let mempool = self.mempool.borrow();
        let outputs = mempool
            .values()
            .flat_map(|transaction| &transaction.outputs);
        outputs
            .filter(|output| output.script_pubkey == recipient)
            .map(|output| output.value.florins())
            .sum()
    }
}

struct FakeClock(Cell<i64>);

impl FakeClock {
    fn advance(&self, seconds: i64) {
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

/// Everything that outlives a crash.
struct World {
    file: tempfile::NamedTempFile,
    ledger: Rc<Ledger>,
    clock: FakeClock,
    policy: Policy,
}

fn open(path: &Path, steps: &Steps) -> Store<SteppedDatabase> {
    Store::new(SteppedDatabase {
        database: NativeDatabase::open(path).unwrap(),
        steps: steps.clone(),
    })
}

impl World {
    /// A wallet with one coin each of these values.
    fn with_coins(values: &[u64]) -> World {
        let file = tempfile::NamedTempFile::new().unwrap();
        block_on(migrate(
            &NativeDatabase::open(file.path()).unwrap(),
            || async {},
        ))
        .unwrap();
        let coins = (0..)
            .zip(values)
            .map(|(vout, value)| {
                (
                    OutPoint {
                        txid: Txid::from_wire_bytes([7; 32]),
                        vout,
                    },
                    *value,
                )
            })
            .collect();
        let world = World {
            file,
            ledger: Rc::new(Ledger {
                coins: RefCell::new(coins),
                mempool: RefCell::default(),
                trouble: Cell::new(Trouble::None),
            }),
            clock: FakeClock(Cell::new(START)),
            policy: Policy {
                network: Network::Regtest,
                max_transaction_amount: florins(100_000_000_000),
                rate_limit_window: 3600,
                max_transactions_per_window: 10,
                confirmations_required: 1,
            },
        };
        let store = open(world.file.path(), &Steps::default());
        let service = Service {
            store: &store,
            clock: &world.clock,
            policy: &world.policy,
        };
        let change = NodeChange {
            node_id: caller().node_id,
            public_key: None,
            address: None,
            capabilities: None,
            at: world.clock.now(),
            signature: None,
        };
        block_on(service.register(&change, |_| false)).unwrap();
        let order = create::Order {
            wallet_name: WalletName::parse("w").unwrap(),
            idempotency_key: None,
            request_hash: String::new(),
        };
        block_on(service.create_wallet(&world.chain(&Steps::default()), &caller(), &order))
            .unwrap();
        world
    }

    fn chain(&self, steps: &Steps) -> FakeChain {
        FakeChain {
            ledger: Rc::clone(&self.ledger),
            steps: steps.clone(),
        }
    }

    /// A whole send, nothing in its way.
    fn send(&self, order: &send::Order) -> Result<send::Sent, WalletError> {
        let steps = Steps::default();
        let store = open(self.file.path(), &steps);
        let service = Service {
            store: &store,
            clock: &self.clock,
            policy: &self.policy,
        };
        block_on(service.send(&self.chain(&steps), &caller(), order))
    }

    /// A send that stops at a step; there `meanwhile` happens, and then the send goes on, or is
    /// dropped where it stands. False when the send has fewer steps.
    fn interrupted(
        &self,
        step: u32,
        order: &send::Order,
        goes_on: bool,
        meanwhile: impl FnOnce(&World),
    ) -> Option<Option<Result<send::Sent, WalletError>>> {
        let steps = Steps::stop_at(step);
        let store = open(self.file.path(), &steps);
        let service = Service {
            store: &store,
            clock: &self.clock,
            policy: &self.policy,
        };
        let chain = self.chain(&steps);
        let caller = caller();
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

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let database = NativeDatabase::open(self.file.path()).unwrap();
        block_on(database.query(sql, vec![]))
            .unwrap()
            .into_iter()
            .map(|row| row.0)
            .collect()
    }

    /// The truth, whatever happened: each transaction on the chain is one payment that has not
    /// failed, no coin is in two payments, and the chain paid what the books say.
    fn assert_books(&self, context: &str) {
        let live: BTreeSet<String> = self
            .rows("SELECT txid FROM payments WHERE state IN ('signed', 'broadcast', 'confirmed')")
            .into_iter()
            .map(|row| match &row[0] {
                Value::Text(txid) => txid.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        for txid in self.ledger.mempool.borrow().keys() {
            assert!(
                live.contains(txid.as_str()),
                "{context}: {txid} is on the chain and no live payment"
            );
        }
        let twice = self.rows(
            "SELECT 1 FROM payments, json_each(inputs) WHERE state <> 'failed'
             GROUP BY value ->> 'txid', value ->> 'vout' HAVING COUNT(*) > 1",
        );
        assert!(twice.is_empty(), "{context}: a coin is in two payments");
        let reserved = self.rows(
            "SELECT COUNT(*) FROM payment_inputs WHERE payment_id NOT IN (SELECT id FROM payments WHERE state <> 'failed')",
        );
        assert_eq!(
            reserved[0][0],
            Value::Integer(0),
            "{context}: a failed payment keeps coins"
        );
    }
}

fn caller() -> Caller {
    Caller {
        node_id: NodeId::parse("node_001").unwrap(),
        signature: None,
    }
}

fn order(flop: u64, key: Option<&str>) -> send::Order {
    send::Order {
        recipient_address: RECIPIENT.into(),
        amount: florins(flop * 100_000_000),
        idempotency_key: key.map(|key| IdempotencyKey::parse(key).unwrap()),
        request_hash: flop.to_string(),
    }
}

/// Runs `scenario(step)` for every step that there is.
fn at_every_step(least: u32, mut scenario: impl FnMut(u32) -> bool) {
    let mut step = 0;
    while scenario(step) {
        step += 1;
    }
    assert!(
        step >= least,
        "only {step} steps: the test looks at too little"
    );
}

#[test]
fn killed_at_any_step_and_repeated_it_pays_once() {
    at_every_step(20, |step| {
        let world = World::with_coins(&[COIN]);
        let wanted = order(10, Some("key"));
        let Some(_) = world.interrupted(step, &wanted, false, |_| {}) else {
            return false;
        };
        world.clock.advance(LONG);
        let sent = world
            .send(&wanted)
            .unwrap_or_else(|e| panic!("step {step}: {e}"));
        assert_eq!(world.ledger.paid(), 1_000_000_000, "step {step}");
        assert_eq!(sent.state.name(), "broadcast", "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn killed_at_any_step_and_never_repeated_the_next_payment_finds_its_coins() {
    at_every_step(20, |step| {
        let world = World::with_coins(&[COIN]);
        let Some(_) = world.interrupted(step, &order(10, Some("lost")), false, |_| {}) else {
            return false;
        };
        world.clock.advance(LONG);
        world
            .send(&order(20, Some("next")))
            .unwrap_or_else(|e| panic!("step {step}: {e}"));
        let paid = world.ledger.paid();
        assert!(
            paid == 2_000_000_000 || paid == 3_000_000_000,
            "step {step}: {paid}"
        );
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn a_repeat_at_any_step_of_the_first_pays_once() {
    at_every_step(20, |step| {
        let world = World::with_coins(&[COIN, COIN]);
        let wanted = order(10, Some("key"));
        let done = world.interrupted(step, &wanted, true, |world| {
            // The repeat waits for the first, which waits for the repeat: it gives up, or is first.
            let repeat = world.send(&wanted);
            assert!(
                matches!(repeat, Ok(_) | Err(WalletError::InProgress)),
                "step {step}: {repeat:?}"
            );
        });
        let Some(first) = done else { return false };
        assert!(first.unwrap().is_ok(), "step {step}");
        assert_eq!(world.ledger.paid(), 1_000_000_000, "step {step}");
        world.assert_books(&format!("step {step}"));
        true
    });
}

#[test]
fn a_first_that_outlives_its_lease_and_its_repeat_pay_once() {
    for trouble in [
        Trouble::None,
        Trouble::Unreachable,
        Trouble::Refused,
        Trouble::LostAfter,
    ] {
        at_every_step(20, |step| {
            let world = World::with_coins(&[COIN, COIN]);
            let wanted = order(10, Some("key"));
            let context = format!("step {step}, then {trouble:?}");
            let done = world.interrupted(step, &wanted, true, |world| {
                world.clock.advance(LONG);
                world
                    .send(&wanted)
                    .unwrap_or_else(|e| panic!("{context}: {e}"));
                // What the first meets when it goes on.
                world.ledger.trouble.set(trouble);
            });
            if done.is_none() {
                return false;
            }
            assert_eq!(world.ledger.paid(), 1_000_000_000, "{context}");
            world.assert_books(&context);
            true
        });
    }
}

#[test]
fn another_payment_at_any_step_never_takes_the_same_coin() {
    for lease_ends in [false, true] {
        at_every_step(20, |step| {
            let world = World::with_coins(&[COIN]);
            let context = format!("step {step}, lease ends: {lease_ends}");
            let done = world.interrupted(step, &order(10, Some("a")), true, |world| {
                if lease_ends {
                    world.clock.advance(LONG);
                }
                let other = world.send(&order(20, Some("b")));
                assert!(
                    matches!(other, Ok(_) | Err(WalletError::CoinsBusy)),
                    "{context}: {other:?}"
                );
            });
            let Some(first) = done else { return false };
            let first = first.unwrap();
            assert!(
                matches!(
                    first,
                    Ok(_) | Err(WalletError::InProgress | WalletError::CoinsBusy)
                ),
                "{context}: {first:?}"
            );
            world.assert_books(&context);
            true
        });
    }
}

#[test]
fn every_trouble_at_the_broadcast_ends_paid_once_or_not_at_all() {
    for trouble in [
        Trouble::Unreachable,
        Trouble::Refused,
        Trouble::LostBefore,
        Trouble::LostAfter,
        Trouble::GarbageAfter,
    ] {
        let world = World::with_coins(&[COIN]);
        let wanted = order(10, Some("key"));
        world.ledger.trouble.set(trouble);
        let first = world.send(&wanted);
        world.assert_books(&format!("{trouble:?}"));
        let expected = match trouble {
            Trouble::Unreachable | Trouble::Refused => None,
            Trouble::LostBefore => Some("signed"),
            Trouble::None | Trouble::LostAfter | Trouble::GarbageAfter => Some("broadcast"),
        };
        assert_eq!(
            first.as_ref().ok().map(|sent| sent.state.name()),
            expected,
            "{trouble:?}"
        );

        world.ledger.trouble.set(Trouble::None);
        let second = world
            .send(&wanted)
            .unwrap_or_else(|e| panic!("{trouble:?}: {e}"));
        assert_eq!(second.state.name(), "broadcast", "{trouble:?}");
        assert_eq!(second.replayed, expected.is_some(), "{trouble:?}");
        if let Ok(first) = first {
            assert_eq!(
                first.transaction.txid, second.transaction.txid,
                "{trouble:?}"
            );
        }
        assert_eq!(world.ledger.paid(), 1_000_000_000, "{trouble:?}");
        world.assert_books(&format!("{trouble:?}, repeated"));
    }
}

#[test]
fn a_refusal_after_an_attempt_of_unknown_outcome_proves_nothing() {
    let world = World::with_coins(&[COIN]);
    let wanted = order(10, Some("key"));
    world.ledger.trouble.set(Trouble::LostBefore);
    assert_eq!(world.send(&wanted).unwrap().state.name(), "signed");
    world.ledger.trouble.set(Trouble::Refused);
    assert_eq!(world.send(&wanted).unwrap().state.name(), "signed");
    world.ledger.trouble.set(Trouble::Unreachable);
    assert_eq!(world.send(&wanted).unwrap().state.name(), "signed");
    world.ledger.trouble.set(Trouble::None);
    assert_eq!(world.send(&wanted).unwrap().state.name(), "broadcast");
    assert_eq!(world.ledger.paid(), 1_000_000_000);
}
