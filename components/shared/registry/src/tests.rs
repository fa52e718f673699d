//! The background work and the rules of reputation, natively, on a real database.

use crate::{Registry, RegistryError, Report, Rules, change_capabilities, reputation};
use duxnet_store::native::NativeDatabase;
use duxnet_store::{
    CapabilityChange, Database as _, Heartbeat, Judgement, Row, Store, StoreError, Value, migrate,
};
use duxnet_units::{Amount, Capability, Conduct, IdempotencyKey, NodeId, Timestamp};
use duxnet_wallet::{Caller, Clock};
use futures::executor::block_on;
use std::cell::Cell;
use std::time::Duration;

/// The defaults of spin.toml.
pub(crate) fn rules() -> Rules {
    Rules {
        heartbeat_stale_after: 90,
        heartbeat_offline_after: 300,
        health_window: 86_400,
        payment_patience: 3_600,
        reputation_payment_confirmed: 1,
        reputation_payment_failed: -2,
        reputation_double_spend: -25,
        reputation_daily_cap: 5,
        reputation_min_amount: Amount::from_florins(FLOP as u64).unwrap(),
        recipient_policy_delay: 86_400,
    }
}

const FLOP: i64 = 100_000_000;
/// Noon of a day.
const NOON: i64 = 19_700 * DAY + DAY / 2;
const DAY: i64 = 86_400;

struct FakeClock(Cell<i64>);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.0.get()).unwrap()
    }

    async fn pause(&self, _: Duration) {}
}

/// The database in a world's folder.
const FILE: &str = "database";

struct World {
    folder: tempfile::TempDir,
    store: Store<NativeDatabase>,
    /// The same file, for what no store has a word for.
    database: NativeDatabase,
    clock: FakeClock,
    rules: Rules,
}

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn caller(name: &str) -> Caller {
    Caller {
        node_id: node(name),
        signature: None,
    }
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        let open = || NativeDatabase::open(&file).unwrap();
        block_on(migrate(&open(), || async {})).unwrap();
        World {
            store: Store::new(open()),
            database: open(),
            clock: FakeClock(Cell::new(NOON)),
            rules: rules(),
            folder,
        }
    }

    fn registry(&self) -> Registry<'_, NativeDatabase, FakeClock> {
        Registry {
            store: &self.store,
            clock: &self.clock,
            rules: &self.rules,
        }
    }

    fn tick(&self) {
        assert_eq!(block_on(self.registry().tick()), Report::default());
    }

    fn run(&self, sql: &str) -> Vec<Row> {
        block_on(self.database.query(sql, vec![])).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    fn line(&self, sql: &str) -> String {
        let text = |value: &Value| match value {
            Value::Null => "-".to_owned(),
            Value::Integer(value) => value.to_string(),
            Value::Text(text) => text.clone(),
        };
        let rows = self.run(sql);
        let lines = rows
            .iter()
            .map(|row| row.0.iter().map(text).collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join("; ")
    }

    fn add_node(&self, name: &str) {
        self.run(&format!(
            "INSERT INTO nodes (node_id, created_at, updated_at) VALUES ('{name}', {NOON}, {NOON})"
        ));
    }

    /// A node with a wallet whose payments tests write as they like.
    fn add_wallet(&self, name: &str) {
        self.add_node(name);
        self.run(&format!(
            "INSERT INTO wallets (node_id, wallet_name, address, created_at, request_hash)
             VALUES ('{name}', 'w', 'own-{name}', {NOON}, '')"
        ));
        for trigger in ["payments_limit", "payments_reserve"] {
            self.run(&format!("DROP TRIGGER IF EXISTS {trigger}"));
        }
    }

    /// A payment in this state; gives its id.
    fn add_payment(&self, name: &str, state: &str, florins: i64, to: &str, inputs: &str) -> String {
        let at = self.clock.0.get();
        self.line(&format!(
            "INSERT INTO payments (node_id, wallet_id, request_hash, recipient_address, amount, fee, change_amount,
                change_address, inputs, state, lease_until, created_at, updated_at, window_seconds, window_payments)
             SELECT node_id, id, '', '{to}', {florins}, 0, 0, '', '{inputs}', '{state}', 0, {at}, {at}, 1, 1
             FROM wallets WHERE node_id = '{name}' RETURNING payment_id"
        ))
    }

    fn tell(&self, name: &str, kind: &str, payment_id: &str, failure: &str) {
        let at = self.clock.0.get();
        self.run(&format!(
            "INSERT INTO tell (wallet_id, type, data, at)
             SELECT id, '{kind}', json_object('payment_id', '{payment_id}', 'failure', '{failure}'), {at}
             FROM wallets WHERE node_id = '{name}'"
        ));
    }

    /// A payment of this size to a stranger that has confirmed.
    fn confirm(&self, name: &str, florins: i64) -> String {
        let payment = self.add_payment(name, "confirmed", florins, "stranger", "[]");
        self.tell(name, "payment.confirmed", &payment, "");
        payment
    }

    fn score(&self, name: &str) -> u32 {
        block_on(self.store.node(&node(name)))
            .unwrap()
            .unwrap()
            .reputation
    }

    fn judge(
        &self,
        name: &str,
        conduct: Conduct,
        key: &str,
    ) -> Result<reputation::Judged, RegistryError> {
        block_on(reputation::judge(
            &self.store,
            &Judgement {
                node_id: node(name),
                conduct,
                reason: "seen".into(),
                operator: "alice".into(),
                idempotency_key: IdempotencyKey::parse(key).unwrap(),
                request_hash: format!("{name} {}", conduct.name()),
                at: self.clock.now(),
            },
        ))
    }

    fn status(&self, name: &str) -> String {
        self.line(&format!(
            "SELECT status FROM nodes WHERE node_id = '{name}'"
        ))
    }

    fn heartbeat(&self, name: &str) -> Result<duxnet_store::Node, RegistryError> {
        block_on(
            self.registry()
                .heartbeat(&caller(name), &Heartbeat::default()),
        )
    }
}

#[test]
fn a_nodes_status_follows_the_age_of_its_heartbeat() {
    let world = World::new();
    world.add_node("n");
    world.tick();
    assert_eq!(world.status("n"), "registered");
    for (age, expected) in [
        (0, "online"),
        (89, "online"),
        (90, "stale"),
        (299, "stale"),
        (300, "offline"),
        (100_000, "offline"),
    ] {
        world.clock.0.set(NOON);
        world.heartbeat("n").unwrap();
        assert_eq!(world.status("n"), "online");
        world.clock.0.set(NOON + age);
        world.tick();
        assert_eq!(world.status("n"), expected, "{age}");
        // A clock that is set back makes it young again.
        world.clock.0.set(NOON + age.min(80));
        world.tick();
        assert_eq!(world.status("n"), "online", "{age}");
    }
}

#[test]
fn other_limits_change_statuses_both_ways() {
    let mut world = World::new();
    world.add_node("n");
    world.heartbeat("n").unwrap();
    world.clock.0.set(NOON + 400);
    world.tick();
    assert_eq!(world.status("n"), "offline");
    world.rules.heartbeat_offline_after = 500;
    world.tick();
    assert_eq!(world.status("n"), "stale");
    world.rules.heartbeat_stale_after = 450;
    world.tick();
    assert_eq!(world.status("n"), "online");
}

#[test]
fn one_run_changes_a_page_and_the_next_goes_on() {
    let world = World::new();
    world.run(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
         INSERT INTO nodes (node_id, status, heartbeat_at, created_at, updated_at)
         SELECT 'n' || i, 'online', {NOON} - 1000, 1, 1 FROM n"
    ));
    let offline = || world.line("SELECT COUNT(*) FROM nodes WHERE status = 'offline'");
    for expected in ["500", "1000", "1200", "1200"] {
        world.tick();
        assert_eq!(offline(), expected);
    }
    // Health goes round in pages of its own, and comes to each in its turn.
    let assessed = || world.line("SELECT COUNT(*) FROM nodes WHERE health IS NOT NULL");
    assert_eq!(assessed(), "400");
    for _ in 0..8 {
        world.tick();
    }
    assert_eq!(assessed(), "1200");
}

#[test]
fn an_idle_run_reads_ranges_of_indexes_only() {
    let world = World::new();
    for sql in [
        "SELECT id FROM nodes WHERE status = 'online' AND heartbeat_at <= 1",
        "SELECT id FROM nodes WHERE status = 'offline' AND heartbeat_at > 1",
        "SELECT id FROM nodes WHERE status <> 'deregistered' AND health_at <= 1 ORDER BY health_at LIMIT 5",
        "SELECT EXISTS (SELECT 1 FROM events WHERE id > rated_event) FROM registry_state",
        "SELECT COUNT(*) FROM payments AS p WHERE p.wallet_id = 1 AND p.created_at >= 1 AND +p.state = 'confirmed'",
        "SELECT COUNT(*) FROM payments AS p WHERE p.wallet_id = 1
            AND p.state IN ('reserved', 'signed', 'broadcast') AND p.created_at < 1",
    ] {
        let plan = world.line(&format!("EXPLAIN QUERY PLAN {sql}"));
        assert!(
            plan.contains("SEARCH") && !plan.contains("TEMP B-TREE"),
            "{sql}: {plan}"
        );
        let scans = plan.matches("SCAN ").count();
        let one_row =
            plan.matches("SCAN registry_state").count() + plan.matches("SCAN CONSTANT ROW").count();
        assert_eq!(scans, one_row, "{sql}: {plan}");
    }
}

#[test]
fn a_node_that_has_left_sends_no_heartbeat_and_keeps_its_status() {
    let world = World::new();
    world.add_node("n");
    world.heartbeat("n").unwrap();
    world.run(&format!(
        "UPDATE nodes SET status = 'deregistered', deregistered_at = {NOON}"
    ));
    assert_eq!(
        world.heartbeat("n").unwrap_err(),
        RegistryError::NodeDeregistered(node("n"))
    );
    assert_eq!(
        world.heartbeat("ghost").unwrap_err(),
        RegistryError::NodeNotFound(node("ghost"))
    );
    world.clock.0.set(NOON + 1000);
    world.tick();
    assert_eq!(world.status("n"), "deregistered");
}

#[test]
fn capabilities_are_added_replaced_and_removed_and_wallet_stays() {
    let world = World::new();
    world.add_wallet("n");
    let change = |change, names: &[&str]| {
        let named: Vec<_> = names
            .iter()
            .map(|name| Capability::parse(name).unwrap())
            .collect();
        block_on(change_capabilities(
            &world.store,
            &world.clock,
            &caller("n"),
            change,
            &named,
        ))
        .map(|node| node.capabilities.join(" "))
    };
    use CapabilityChange::{Add, Remove, Replace};
    assert_eq!(
        change(Add, &["gpu", "storage"]).unwrap(),
        "gpu storage wallet"
    );
    assert_eq!(
        change(Add, &["gpu", "cpu"]).unwrap(),
        "cpu gpu storage wallet"
    );
    assert_eq!(
        change(Remove, &["gpu", "tape"]).unwrap(),
        "cpu storage wallet"
    );
    assert_eq!(change(Replace, &["x"]).unwrap(), "wallet x");
    let many: Vec<String> = (0..31).map(|n| format!("c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    change(Add, &many).unwrap();
    // The 33rd; nothing of the request is done.
    assert_eq!(
        change(Add, &["y"]).unwrap_err(),
        RegistryError::Store(StoreError::TooManyCapabilities)
    );
    assert!(change(Add, &["x"]).is_ok());
    assert_eq!(change(Replace, &[]).unwrap(), "wallet");
}

#[test]
fn the_health_of_a_wallet_comes_from_its_payments() {
    let world = World::new();
    world.add_wallet("n");
    world.run(&format!("UPDATE chain_state SET synced_at = {NOON}"));
    world.heartbeat("n").unwrap();
    let score = |world: &World| {
        let (_, assessment) = block_on(world.registry().health(&node("n"))).unwrap();
        assessment.score
    };
    assert_eq!(score(&world), 100);
    let failed = |failure: &str| {
        let payment = world.add_payment("n", "failed", FLOP, "stranger", "[]");
        world.run(&format!(
            "UPDATE payments SET failure = '{failure}' WHERE payment_id = '{payment}'"
        ));
    };
    // The service's own troubles are not the node's.
    for failure in ["abandoned", "not_signed", "chain_unreachable"] {
        failed(failure);
    }
    assert_eq!(score(&world), 100);
    failed("conflict");
    world.confirm("n", FLOP);
    assert_eq!(score(&world), 90);
    // A payment that waits too long; one that is young waits as all do.
    world.add_payment("n", "broadcast", FLOP, "stranger", "[]");
    assert_eq!(score(&world), 90);
    world.clock.0.set(NOON + 3_601);
    world.run(&format!("UPDATE chain_state SET synced_at = {NOON} + 3601"));
    world.heartbeat("n").unwrap();
    assert_eq!(score(&world), 85);
    assert_eq!(world.line("SELECT health FROM nodes"), "85");
    // Out of the window: only what waits is left.
    world.clock.0.set(NOON + DAY + 1);
    world.run(&format!(
        "UPDATE chain_state SET synced_at = {NOON} + {DAY} + 1"
    ));
    world.tick();
    assert_eq!(world.line("SELECT health FROM nodes"), "65");
}

#[test]
fn what_operators_say_moves_the_score_within_0_and_100() {
    let world = World::new();
    world.add_node("n");
    for (conduct, key, expected, applied) in [
        (Conduct::TaskSuccess, "1", 60, 10),
        (Conduct::TaskFailure, "2", 55, -5),
        (Conduct::TaskTimeout, "3", 45, -10),
        (Conduct::HealthMilestone, "4", 47, 2),
        (Conduct::UptimeMilestone, "5", 52, 5),
        (Conduct::CommunityContribution, "6", 67, 15),
        (Conduct::MaliciousBehavior, "7", 17, -50),
        (Conduct::MaliciousBehavior, "8", 0, -17),
        (Conduct::TaskFailure, "9", 0, 0),
        (Conduct::TaskSuccess, "10", 10, 10),
    ] {
        let judged = world.judge("n", conduct, key).unwrap();
        assert_eq!(
            (judged.node.reputation, judged.event.applied),
            (expected, applied),
            "{key}"
        );
        assert_eq!(judged.event.delta, i64::from(conduct.points()));
    }
    for key in 20..30 {
        world
            .judge("n", Conduct::CommunityContribution, &key.to_string())
            .unwrap();
    }
    assert_eq!(world.score("n"), 100);
    // The events tell the whole way of the score.
    assert_eq!(
        world.line("SELECT 50 + SUM(applied) FROM reputation_events"),
        "100"
    );
}

#[test]
fn a_repeat_says_nothing_new_and_a_key_is_one_requests() {
    let world = World::new();
    world.add_node("n");
    world.add_node("m");
    let first = world.judge("n", Conduct::TaskSuccess, "k").unwrap();
    let again = world.judge("n", Conduct::TaskSuccess, "k").unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!((first.event, world.score("n")), (again.event, 60));
    for (name, conduct) in [("n", Conduct::TaskFailure), ("m", Conduct::TaskSuccess)] {
        assert_eq!(
            world.judge(name, conduct, "k").unwrap_err(),
            RegistryError::KeyReused
        );
    }
    assert_eq!((world.score("n"), world.score("m")), (60, 50));
    assert_eq!(
        world
            .judge("ghost", Conduct::TaskSuccess, "k2")
            .unwrap_err(),
        RegistryError::NodeNotFound(node("ghost"))
    );
}

#[test]
fn events_of_reputation_are_append_only() {
    let world = World::new();
    world.add_node("n");
    world.judge("n", Conduct::TaskSuccess, "k").unwrap();
    for sql in [
        "UPDATE reputation_events SET delta = 50",
        "DELETE FROM reputation_events",
    ] {
        let error = block_on(world.database.query(sql, vec![])).unwrap_err();
        assert!(error.violates("append-only"), "{error}");
    }
}

#[test]
fn confirmed_payments_bring_points_up_to_the_days_cap() {
    let world = World::new();
    world.add_wallet("n");
    world.add_wallet("m");
    world.confirm("n", FLOP - 1);
    world.tick();
    assert_eq!(world.score("n"), 50, "too small");
    let payment = world.add_payment("n", "confirmed", FLOP, "own-n", "[]");
    world.tell("n", "payment.confirmed", &payment, "");
    world.tick();
    assert_eq!(world.score("n"), 50, "to oneself");
    for _ in 0..9 {
        world.confirm("n", FLOP);
    }
    world.confirm("m", FLOP);
    world.tick();
    assert_eq!((world.score("n"), world.score("m")), (55, 51));
    assert_eq!(
        world.line("SELECT SUM(delta), SUM(applied) FROM reputation_events WHERE node_id = 'n'"),
        "9 5"
    );
    // Another run has nothing to do; the next day has a cap of its own, by the event's time.
    world.tick();
    assert_eq!(world.score("n"), 55);
    world.clock.0.set(NOON + DAY / 2);
    world.confirm("n", FLOP);
    world.clock.0.set(NOON + 3 * DAY);
    world.tick();
    assert_eq!(world.score("n"), 56);
    // An operator's points are not of the cap.
    world.judge("n", Conduct::TaskSuccess, "k").unwrap();
    assert_eq!(world.score("n"), 66);
}

#[test]
fn a_cap_cuts_a_larger_step_and_0_points_are_no_event() {
    let mut world = World::new();
    world.add_wallet("n");
    world.rules.reputation_payment_confirmed = 3;
    world.confirm("n", FLOP);
    world.confirm("n", FLOP);
    world.tick();
    assert_eq!(world.score("n"), 55);
    assert_eq!(
        world.line("SELECT delta, applied FROM reputation_events ORDER BY id"),
        "3 3; 3 2"
    );
    world.rules.reputation_payment_confirmed = 0;
    world.confirm("n", FLOP);
    world.tick();
    assert_eq!(world.line("SELECT COUNT(*) FROM reputation_events"), "2");
}

#[test]
fn a_payment_that_confirms_twice_counts_once() {
    let world = World::new();
    world.add_wallet("n");
    let payment = world.confirm("n", FLOP);
    world.tell("n", "payment.reorganised", &payment, "");
    world.tell("n", "payment.confirmed", &payment, "");
    world.tick();
    world.tell("n", "payment.confirmed", &payment, "");
    world.tick();
    assert_eq!(world.score("n"), 51);
}

#[test]
fn only_failures_by_the_senders_fault_cost_points() {
    let world = World::new();
    world.add_wallet("n");
    let outputs = |txid: &str, state: &str| {
        world.run(&format!(
            "INSERT INTO outputs (txid, vout, wallet_id, address, value, state, height, cause, changed_at)
             SELECT '{txid}', 0, id, address, 5, '{state}', CASE '{state}' WHEN 'confirmed' THEN 1 END, 'receive', 1
             FROM wallets"
        ));
    };
    outputs("good", "confirmed");
    outputs("gone", "dead");
    outputs("change", "dead");
    // Change of a payment that confirmed under another txid: no payment has this one any more.
    outputs("malleated", "dead");
    world.run("UPDATE outputs SET is_own = 1 WHERE txid = 'malleated'");
    outputs("reward", "dead");
    world.run("UPDATE outputs SET is_coinbase = 1 WHERE txid = 'reward'");
    outputs("hidden", "missing");
    let input = |txid: &str| format!("[{{\"txid\":\"{txid}\",\"vout\":0,\"value\":5}}]");
    let maker = world.add_payment("n", "failed", FLOP, "stranger", "[]");
    world.run(&format!(
        "UPDATE payments SET txid = 'change' WHERE payment_id = '{maker}'"
    ));
    let fail = |failure: &str, spent: &str| {
        let payment = world.add_payment("n", "failed", FLOP, "stranger", &input(spent));
        let kind = match failure {
            "refused" => "payment.refused",
            _ => "payment.failed",
        };
        world.tell("n", kind, &payment, failure);
        world.tick();
        world.score("n")
    };
    // Nobody's fault: somebody else spent its coin, the node did not take it, its own change is gone.
    for (failure, spent) in [
        ("conflict", "good"),
        ("chain_rejected", "gone"),
        ("abandoned", "gone"),
        ("conflict", "change"),
        ("conflict", "malleated"),
        ("conflict", "reward"),
    ] {
        assert_eq!(fail(failure, spent), 50, "{failure} {spent}");
    }
    assert_eq!(fail("refused", "good"), 48);
    assert_eq!(fail("conflict", "gone"), 23);
    assert_eq!(fail("conflict", "hidden"), 0);
    assert_eq!(
        world.line("SELECT type, applied FROM reputation_events ORDER BY id"),
        "payment_failed -2; double_spend_attempt -25; double_spend_attempt -23"
    );
}

#[test]
fn runs_at_once_judge_each_payment_once() {
    let mut world = World::new();
    world.add_wallet("n");
    world.rules.reputation_daily_cap = 100;
    for _ in 0..40 {
        world.confirm("n", FLOP);
    }
    let path = world.folder.path().join(FILE);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let database = NativeDatabase::open(&path).unwrap();
                let rules = Rules {
                    reputation_daily_cap: 100,
                    ..rules()
                };
                let (store, clock) = (Store::new(database), FakeClock(Cell::new(NOON)));
                let registry = Registry {
                    store: &store,
                    clock: &clock,
                    rules: &rules,
                };
                for _ in 0..5 {
                    assert_eq!(block_on(registry.tick()), Report::default());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    world.tick();
    assert_eq!(world.score("n"), 90);
    assert_eq!(
        world.line("SELECT COUNT(*), SUM(applied) FROM reputation_events"),
        "40 40"
    );
}

#[test]
fn more_events_than_a_page_are_judged_over_several_runs() {
    let world = World::new();
    world.add_wallet("n");
    let payment = world.add_payment("n", "confirmed", FLOP, "stranger", "[]");
    for _ in 0..520 {
        world.tell("n", "payment.sent", &payment, "");
    }
    world.tell("n", "payment.confirmed", &payment, "");
    world.tick();
    assert_eq!(world.score("n"), 50);
    world.tick();
    assert_eq!(world.score("n"), 51);
}

#[test]
fn a_database_that_is_put_back_judges_what_it_has_not() {
    let world = World::new();
    world.add_wallet("n");
    world.confirm("n", FLOP);
    world.tick();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    world.run(&format!("VACUUM INTO '{}'", copy.display()));
    world.confirm("n", FLOP);
    world.tick();
    assert_eq!(world.score("n"), 52);
    // The copy does not know the second payment; what it learns anew counts once.
    let restored = World {
        store: Store::new(NativeDatabase::open(&copy).unwrap()),
        database: NativeDatabase::open(&copy).unwrap(),
        ..World::new()
    };
    restored.tick();
    assert_eq!(restored.score("n"), 51);
    restored.confirm("n", FLOP);
    restored.tick();
    restored.tick();
    assert_eq!(restored.score("n"), 52);
}
