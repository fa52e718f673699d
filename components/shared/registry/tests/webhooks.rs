//! Webhooks on a real SQLite file: what is delivered, when it is tried again, and who does it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use duxnet_registry::outbox::{Heard, Message, Outbox, RunReport, Sender};
use duxnet_registry::webhooks::{Keys, MAX_WEBHOOKS, WebhookError, Webhooks};
use duxnet_registry::{Registry, RegistryError, Rules};
use duxnet_store::native::NativeDatabase;
use duxnet_store::{
    Attempted, Database, NewWebhook, Store, Value, Webhook, WebhookChange, migrate,
};
use duxnet_units::net::Reach;
use duxnet_units::{Amount, IdempotencyKey, Timestamp};
use duxnet_wallet::Clock;
use futures::executor::block_on;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

const START: i64 = 1_700_000_000;
const DAY: i64 = 86_400;

#[derive(Clone, Default)]
struct FakeClock(Rc<Cell<i64>>);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(START + self.0.get()).unwrap()
    }

    /// Gives way once.
    async fn pause(&self, _duration: Duration) {
        give_way().await;
    }
}

async fn give_way() {
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

struct FakeKeys;

impl Keys for FakeKeys {
    async fn public_key(&self, endpoint: &str, version: u32) -> Option<String> {
        Some(format!("public-{endpoint}-{version}"))
    }

    async fn sign(&self, endpoint: &str, version: u32, text: &str) -> Option<String> {
        Some(format!("v1a,{endpoint}-{version}-{}", text.len()))
    }
}

struct NoKeys;

impl Keys for NoKeys {
    async fn public_key(&self, _: &str, _: u32) -> Option<String> {
        None
    }

    async fn sign(&self, _: &str, _: u32, _: &str) -> Option<String> {
        None
    }
}

type Answer = Result<Heard, String>;

fn status(status: u16) -> Answer {
    Ok(Heard {
        status,
        retry_after_seconds: None,
    })
}

/// Answers as told, else with 200, and remembers everything.
#[derive(Default)]
struct FakeSender {
    sent: RefCell<Vec<Message>>,
    answers: RefCell<VecDeque<Answer>>,
    /// Requests to URLs with `slow` in them end when others have got so many messages.
    others_needed: usize,
    under_way: Cell<usize>,
    most_under_way: Cell<usize>,
}

impl FakeSender {
    fn ids(&self) -> Vec<String> {
        self.sent.borrow().iter().map(|m| m.id.clone()).collect()
    }

    fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.borrow_mut().extend(answers);
    }
}

impl Sender for FakeSender {
    async fn send(&self, message: &Message) -> Answer {
        self.under_way.set(self.under_way.get() + 1);
        self.most_under_way
            .set(self.most_under_way.get().max(self.under_way.get()));
        if message.target.as_str().contains("slow") {
            let others = || {
                let sent = self.sent.borrow();
                sent.iter()
                    .filter(|m| !m.target.as_str().contains("slow"))
                    .count()
            };
            while others() < self.others_needed {
                give_way().await;
            }
        } else {
            give_way().await;
        }
        self.sent.borrow_mut().push(message.clone());
        self.under_way.set(self.under_way.get() - 1);
        self.answers.borrow_mut().pop_front().unwrap_or(status(200))
    }
}

struct World {
    _folder: tempfile::TempDir,
    database: Rc<NativeDatabase>,
    store: Store<Rc<NativeDatabase>>,
    clock: FakeClock,
    sender: FakeSender,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("database");
        let database = Rc::new(NativeDatabase::open(&file).unwrap());
        block_on(migrate(&*database, || async {})).unwrap();
        let world = World {
            store: Store::new(Rc::clone(&database)),
            _folder: folder,
            database,
            clock: FakeClock::default(),
            sender: FakeSender::default(),
        };
        for node in ["a", "b"] {
            world.sql(&format!(
                "INSERT INTO nodes (node_id, created_at, updated_at) VALUES ('{node}', 1, 1)"
            ));
            world.sql(&format!(
                "INSERT INTO wallets (node_id, wallet_name, address, created_at, request_hash)
                 VALUES ('{node}', 'w', 'address-{node}', 1, '')"
            ));
        }
        world
    }

    fn sql(&self, sql: &str) -> Vec<Vec<Value>> {
        let rows = block_on(self.database.query(sql, vec![])).unwrap();
        rows.into_iter().map(|row| row.0).collect()
    }

    /// Integers and texts of one column.
    fn column(&self, sql: &str) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::Null => "null".to_owned(),
            Value::Integer(value) => value.to_string(),
            Value::Text(text) => text.clone(),
        };
        self.sql(sql).iter().map(|row| text(&row[0])).collect()
    }

    fn advance(&self, seconds: i64) {
        self.clock.0.set(self.clock.0.get() + seconds);
    }

    fn tell(&self, wallet: i64, kind: &str) {
        let at = self.clock.now().unix_seconds();
        self.sql(&format!(
            "INSERT INTO tell (wallet_id, type, data, at) VALUES ({wallet}, '{kind}', '{{\"amount\":\"5\"}}', {at})"
        ));
    }

    fn webhooks(&self) -> Webhooks<'_, Rc<NativeDatabase>, FakeClock, FakeKeys> {
        Webhooks {
            store: &self.store,
            clock: &self.clock,
            keys: &FakeKeys,
        }
    }

    fn new_webhook(&self, wallet_id: i64, url: &str, types: &str, key: Option<&str>) -> NewWebhook {
        NewWebhook {
            wallet_id,
            url: url.into(),
            event_types: types.into(),
            idempotency_key: key.map(|key| IdempotencyKey::parse(key).unwrap()),
            request_hash: format!("{url} {types}"),
            at: self.clock.now(),
        }
    }

    fn webhook(&self, wallet_id: i64, url: &str, types: &str) -> Webhook {
        let new = self.new_webhook(wallet_id, url, types, None);
        block_on(self.webhooks().create(&new)).unwrap().webhook
    }

    fn outbox(
        &self,
        reach: Reach,
    ) -> Outbox<'_, Rc<NativeDatabase>, FakeClock, FakeKeys, FakeSender> {
        Outbox {
            store: &self.store,
            clock: &self.clock,
            keys: &FakeKeys,
            sender: &self.sender,
            reach,
        }
    }

    fn run(&self) -> RunReport {
        let report = block_on(self.outbox(Reach::Public).run());
        assert_eq!(report.troubles, Vec::<String>::new());
        report
    }
}

const URL: &str = "https://hooks.example.com/a";

fn refusal<T: std::fmt::Debug>(result: Result<T, RegistryError>) -> WebhookError {
    match result.unwrap_err() {
        RegistryError::Webhook(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn events_reach_the_endpoints_whose_filter_lets_them_through_and_no_others() {
    let world = World::new();
    // Wallets have been told of their own making: sequence 1.
    let all = world.webhook(1, "https://hooks.example.com/all", r#"["*"]"#);
    let payments = world.webhook(1, "https://hooks.example.com/payments", r#"["payment.*"]"#);
    let sent = world.webhook(1, "https://hooks.example.com/sent", r#"["payment.sent"]"#);
    world.webhook(2, "https://hooks.example.com/other", r#"["*"]"#);
    for kind in [
        "payment.sent",
        "payment.confirmed",
        "payments.x",
        "receive.seen",
    ] {
        world.tell(1, kind);
    }
    assert_eq!(world.run().delivered, 4 + 2 + 1);
    let got = |webhook: &Webhook| -> Vec<String> {
        let prefix = format!("msg_{}_", webhook.webhook_id);
        let ids = world.sender.ids();
        ids.iter()
            .filter_map(|id| Some(id.strip_prefix(&prefix)?.to_owned()))
            .collect()
    };
    assert_eq!(got(&all), ["2", "3", "4", "5"]);
    assert_eq!(got(&payments), ["2", "3"]);
    assert_eq!(got(&sent), ["2"]);
    let message = world.sender.sent.borrow()[0].clone();
    assert_eq!(
        message.body,
        r#"{"type":"payment.sent","timestamp":"2023-11-14T22:13:20Z","data":{"amount":"5","node_id":"a","sequence":2}}"#
    );
    assert_eq!(message.timestamp, START);
    // Nothing is sent twice.
    assert_eq!(world.run(), RunReport::default());
}

#[test]
fn without_endpoints_an_event_costs_no_delivery() {
    let world = World::new();
    world.tell(1, "payment.sent");
    assert_eq!(world.run(), RunReport::default());
    assert!(world.sql("SELECT id FROM webhook_deliveries").is_empty());
}

#[test]
fn a_message_is_tried_by_the_schedule_and_has_then_failed() {
    let world = World::new();
    world.webhook(1, URL, r#"["*"]"#);
    world.tell(1, "payment.sent");
    let mut pauses = Vec::new();
    let begun = world.clock.0.get();
    world.sender.answer(std::iter::repeat_n(status(500), 10));
    for attempt in 1..=10 {
        assert_eq!(world.run().failed, 1, "attempt {attempt}");
        // Not a second too early.
        let [left] =
            &world.column("SELECT next_attempt_at - last_attempt_at FROM webhook_deliveries")[..]
        else {
            panic!("one delivery");
        };
        let left: i64 = left.parse().unwrap();
        pauses.push(left);
        if attempt < 10 {
            world.advance(left - 1);
            assert_eq!(world.run(), RunReport::default(), "attempt {attempt}");
            world.advance(1);
        }
    }
    let schedule = [
        5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400, 0,
    ];
    for (found, wanted) in pauses.iter().zip(schedule) {
        assert!(
            (wanted..=wanted + wanted / 10).contains(found),
            "{pauses:?}"
        );
    }
    assert!(world.clock.0.get() - begun > 3 * DAY);
    assert_eq!(
        world.column("SELECT status FROM webhook_deliveries"),
        ["failed"]
    );
    world.advance(DAY);
    assert_eq!(world.run(), RunReport::default());
    assert_eq!(world.sender.ids().len(), 10);
    let first = world.sender.ids()[0].clone();
    assert!(world.sender.ids().iter().all(|id| *id == first), "one id");
}

#[test]
fn retry_after_is_respected_within_bounds() {
    let world = World::new();
    world.webhook(1, URL, r#"["*"]"#);
    let pause = |status, seconds| {
        world.tell(1, "payment.sent");
        world.sender.answer([Ok(Heard {
            status,
            retry_after_seconds: Some(seconds),
        })]);
        assert_eq!(world.run().failed, 1);
        let left = world.column(
            "SELECT next_attempt_at - last_attempt_at FROM webhook_deliveries ORDER BY id DESC LIMIT 1",
        );
        world.sql("DELETE FROM webhook_deliveries");
        world.advance(10);
        left[0].parse::<i64>().unwrap()
    };
    assert_eq!(pause(503, 1000), 1000);
    assert_eq!(pause(429, 1000), 1000);
    assert_eq!(pause(503, 10 * DAY), DAY);
    assert_eq!(pause(503, -5), 5);
    assert_eq!(pause(429, 1), 5);
    assert_eq!(pause(500, 1000), 5);
}

#[test]
fn only_2xx_is_success_and_410_is_the_end() {
    for (answer, expected) in [
        (status(200), "delivered"),
        (status(204), "delivered"),
        (status(299), "delivered"),
        (status(101), "pending"),
        (status(301), "pending"),
        (status(400), "pending"),
        (status(404), "pending"),
        (Err("it refused the connection".into()), "pending"),
        (status(410), "failed"),
    ] {
        let world = World::new();
        world.webhook(1, URL, r#"["*"]"#);
        world.tell(1, "payment.sent");
        world.sender.answer([answer.clone()]);
        world.run();
        let found = world.column("SELECT status FROM webhook_deliveries");
        assert_eq!(found, [expected], "{answer:?}");
    }
}

#[test]
fn an_endpoint_that_is_gone_is_disabled_and_the_others_are_told() {
    let world = World::new();
    let gone = world.webhook(1, "https://hooks.example.com/gone", r#"["payment.*"]"#);
    let watcher = world.webhook(1, "https://hooks.example.com/watch", r#"["webhook.*"]"#);
    world.tell(1, "payment.sent");
    world.tell(1, "payment.confirmed");
    world.sender.answer([status(410)]);
    assert_eq!(
        world.run(),
        RunReport {
            delivered: 1,
            failed: 1,
            troubles: vec![]
        }
    );
    let found = block_on(world.store.webhook(1, &gone.webhook_id))
        .unwrap()
        .unwrap();
    assert!(!found.is_enabled);
    assert_eq!(found.disabled_reason.as_deref(), Some("gone"));
    let told = world.sender.sent.borrow()[1].clone();
    assert!(told.id.starts_with(&format!("msg_{}_", watcher.webhook_id)));
    assert!(
        told.body.contains(r#""type":"webhook.disabled""#),
        "{}",
        told.body
    );
    assert!(told.body.contains(r#""reason":"gone""#), "{}", told.body);
    // What was pending is failed, and what comes later does not even begin.
    world.tell(1, "payment.sent");
    let of_gone = format!(
        "SELECT status FROM webhook_deliveries WHERE webhook_id = {}",
        gone.id
    );
    assert_eq!(world.column(&of_gone), ["failed", "failed"]);
    assert!(matches!(
        refusal(block_on(world.webhooks().replay(1, &gone.webhook_id, 1))),
        WebhookError::Disabled
    ));
    // Resumed, it can be told of everything it missed.
    let change = WebhookChange {
        enabled: Some(true),
        ..WebhookChange::default()
    };
    block_on(world.webhooks().update(1, &gone.webhook_id, &change)).unwrap();
    let replayed = block_on(world.webhooks().replay(1, &gone.webhook_id, 1)).unwrap();
    assert_eq!((replayed.count, replayed.next), (3, None));
    world.advance(6);
    assert_eq!(world.run().delivered, 3);
    assert_eq!(
        world.column(&of_gone),
        ["delivered", "delivered", "delivered"]
    );
}

#[test]
fn five_days_without_a_success_disable_an_endpoint() {
    let world = World::new();
    let webhook = world.webhook(1, URL, r#"["payment.*"]"#);
    let enabled = || {
        let found = block_on(world.store.webhook(1, &webhook.webhook_id))
            .unwrap()
            .unwrap();
        (found.is_enabled, found.disabled_reason)
    };
    let fail = || {
        world.sender.answer([status(500)]);
        world.tell(1, "payment.sent");
        assert_eq!(world.run().failed, 1);
        world.sql("DELETE FROM webhook_deliveries");
    };
    fail();
    world.advance(5 * DAY - 1);
    fail();
    assert_eq!(enabled(), (true, None));
    // A success begins the count anew.
    world.advance(6);
    world.tell(1, "payment.sent");
    assert_eq!(world.run().delivered, 1);
    fail();
    world.advance(5 * DAY);
    fail();
    assert_eq!(enabled(), (false, Some("failing".into())));
    let told = world.column("SELECT data FROM events WHERE type = 'webhook.disabled'");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(r#""reason":"failing""#), "{told:?}");
}

#[test]
fn a_paused_endpoint_is_told_nothing_and_keeps_its_reason() {
    let world = World::new();
    let webhook = world.webhook(1, URL, r#"["*"]"#);
    world.tell(1, "payment.sent");
    let set = |enabled| {
        let change = WebhookChange {
            enabled: Some(enabled),
            ..WebhookChange::default()
        };
        block_on(world.webhooks().update(1, &webhook.webhook_id, &change))
            .unwrap()
            .webhook
    };
    assert_eq!(set(false).disabled_reason.as_deref(), Some("paused"));
    assert_eq!(world.run(), RunReport::default());
    assert!(
        world
            .column("SELECT type FROM events")
            .iter()
            .all(|kind| kind != "webhook.disabled")
    );
    assert!(set(true).is_enabled);
    world.tell(1, "payment.sent");
    assert_eq!(world.run().delivered, 1);
}

#[test]
fn a_slow_endpoint_holds_up_no_other_and_gets_one_request_at_a_time() {
    let mut world = World::new();
    world.sender.others_needed = 45;
    world.webhook(1, "https://slow.example.com/", r#"["*"]"#);
    world.webhook(1, URL, r#"["*"]"#);
    for _ in 0..45 {
        world.tell(1, "payment.sent");
    }
    // The fast one needs three turns while the slow one's first request is under way.
    assert_eq!(world.run().delivered, 90);
    assert_eq!(world.sender.most_under_way.get(), 2);
}

#[test]
fn an_endpoint_that_failed_has_peace_for_a_moment() {
    let world = World::new();
    world.webhook(1, URL, r#"["*"]"#);
    world.tell(1, "payment.sent");
    world.tell(1, "payment.sent");
    world.sender.answer([status(500)]);
    assert_eq!(
        world.run(),
        RunReport {
            failed: 1,
            ..RunReport::default()
        }
    );
    world.advance(4);
    assert_eq!(world.run(), RunReport::default());
    world.advance(2);
    assert_eq!(world.run().delivered, 2);
}

#[test]
fn two_runs_at_once_deliver_once() {
    let world = World::new();
    for number in 0..5 {
        world.webhook(
            1,
            &format!("https://hooks.example.com/{number}"),
            r#"["*"]"#,
        );
    }
    for _ in 0..25 {
        world.tell(1, "payment.sent");
    }
    let outbox = world.outbox(Reach::Public);
    let (one, two) = block_on(futures::future::join(outbox.run(), outbox.run()));
    assert_eq!(one.delivered + two.delivered, 125);
    let mut ids = world.sender.ids();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), world.sender.ids().len()), (125, 125));
}

#[test]
fn a_run_that_dies_after_sending_is_made_good_with_the_same_id() {
    let world = World::new();
    let webhook = world.webhook(1, URL, r#"["*"]"#);
    world.tell(1, "payment.sent");
    // Somebody claimed the endpoint and sent, and was killed before it was noted.
    let now = world.clock.now();
    let until = Timestamp::from_unix_seconds(now.unix_seconds() + 60).unwrap();
    let claimed = block_on(world.store.claim_webhooks(now, until, 10)).unwrap();
    assert_eq!(claimed.len(), 1);
    let due = block_on(world.store.due_delivery(&webhook, now))
        .unwrap()
        .unwrap();
    assert_eq!(due.sequence, Some(2));
    world.advance(59);
    assert_eq!(world.run(), RunReport::default(), "while the claim lasts");
    world.advance(1);
    assert_eq!(world.run().delivered, 1);
    assert_eq!(
        world.sender.ids(),
        [format!("msg_{}_2", webhook.webhook_id)]
    );
}

#[test]
fn a_private_address_is_judged_again_at_each_delivery() {
    let world = World::new();
    world.webhook(1, "http://127.0.0.1:1/", r#"["*"]"#);
    world.tell(1, "payment.sent");
    assert_eq!(world.run().failed, 1);
    assert!(world.sender.ids().is_empty(), "nothing is sent");
    let told = world.column("SELECT last_error FROM webhook_deliveries");
    assert_eq!(told, ["url must begin with https://"]);
    world.advance(6);
    let report = block_on(world.outbox(Reach::Anywhere).run());
    assert_eq!(report.delivered, 1);
}

#[test]
fn after_a_rotation_both_keys_sign_until_the_grace_ends() {
    let world = World::new();
    let webhook = world.webhook(1, URL, r#"["*"]"#);
    let key = IdempotencyKey::parse("rotate-1").unwrap();
    let rotate = || block_on(world.webhooks().rotate(1, &webhook.webhook_id, Some(&key))).unwrap();
    let shown = rotate();
    assert_eq!(shown.public_key, format!("public-{}-2", webhook.webhook_id));
    assert_eq!(
        shown.previous.as_ref().unwrap().0,
        format!("public-{}-1", webhook.webhook_id)
    );
    // A repeat of the same request is none.
    let repeated = rotate();
    assert!(repeated.is_replay);
    assert_eq!(repeated.webhook.key_version, 2);
    let versions = || {
        world.tell(1, "payment.sent");
        assert_eq!(world.run().delivered, 1);
        let sent = world.sender.sent.borrow();
        let signature = &sent.last().unwrap().signature;
        signature
            .split(' ')
            .map(|one| one.split('-').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(versions(), ["2", "1"]);
    world.advance(DAY - 1);
    assert_eq!(versions(), ["2", "1"]);
    world.advance(1);
    assert_eq!(versions(), ["2"]);
    let shown = block_on(world.webhooks().list(1)).unwrap();
    assert_eq!(shown[0].previous, None);
}

#[test]
fn a_test_is_tried_once_and_one_at_a_time() {
    let world = World::new();
    let webhook = world.webhook(1, URL, r#"["payment.*"]"#);
    let other = world.webhook(1, "https://hooks.example.com/b", r#"["*"]"#);
    let (_, test) = block_on(world.webhooks().test(1, &webhook.webhook_id)).unwrap();
    assert_eq!(test.status, "pending");
    let second = block_on(world.webhooks().test(1, &webhook.webhook_id));
    assert_eq!(refusal(second), WebhookError::TestUnderWay);
    block_on(world.webhooks().test(1, &other.webhook_id)).unwrap();
    world.sender.answer([status(500), status(500)]);
    assert_eq!(world.run().failed, 2);
    assert_eq!(
        world.column("SELECT status FROM webhook_deliveries"),
        ["failed", "failed"]
    );
    let ids = world.sender.ids();
    assert_eq!(
        ids[0],
        format!("msg_{}_test_{}", webhook.webhook_id, test.id)
    );
    let body = world.sender.sent.borrow()[0].body.clone();
    assert!(
        body.contains(r#""type":"webhook.test""#) && body.contains(r#""node_id":"a""#),
        "{body}"
    );
    world.advance(6);
    block_on(world.webhooks().test(1, &webhook.webhook_id)).unwrap();
    assert_eq!(world.run().delivered, 1);
    let kinds = world.column("SELECT DISTINCT type FROM events");
    assert_eq!(kinds, ["wallet.created"], "a test is no event");
}

#[test]
fn a_replay_is_bounded_and_says_where_to_go_on() {
    let world = World::new();
    let webhook = world.webhook(1, URL, r#"["payment.*"]"#);
    for _ in 0..501 {
        world.tell(1, "payment.sent");
        world.tell(1, "receive.seen");
    }
    while world.run().delivered > 0 {}
    assert_eq!(world.sender.ids().len(), 501);
    let replay = |from| block_on(world.webhooks().replay(1, &webhook.webhook_id, from)).unwrap();
    let first = replay(1);
    assert_eq!((first.count, first.next), (500, Some(1001)));
    let second = replay(1001);
    assert_eq!((second.count, second.next), (1, None));
    while world.run().delivered > 0 {}
    let ids = world.sender.ids();
    assert_eq!(ids[..501], ids[501..], "the same ids in the same order");
}

#[test]
fn a_wallet_has_so_many_endpoints_and_a_repeat_makes_no_more() {
    let world = World::new();
    let create = |url: &str, key| {
        let new = world.new_webhook(1, url, r#"["*"]"#, key);
        block_on(world.webhooks().create(&new))
    };
    let first = create(URL, Some("k")).unwrap();
    let again = create(URL, Some("k")).unwrap();
    assert!(!first.is_replay && again.is_replay);
    assert_eq!(again.webhook.webhook_id, first.webhook.webhook_id);
    assert_eq!(
        refusal(create("https://b.example/", Some("k"))),
        WebhookError::KeyReused
    );
    for _ in 1..MAX_WEBHOOKS {
        create(URL, None).unwrap();
    }
    assert_eq!(refusal(create(URL, Some("other"))), WebhookError::Limit);
    assert!(
        create(URL, Some("k")).unwrap().is_replay,
        "a repeat is answered all the same"
    );
    // Another wallet's endpoints are its own.
    world.webhook(2, URL, r#"["*"]"#);
    let foreign = block_on(world.webhooks().one(2, &first.webhook.webhook_id));
    assert_eq!(refusal(foreign), WebhookError::NotFound);
    assert_eq!(
        refusal(block_on(
            world.webhooks().delete(2, &first.webhook.webhook_id)
        )),
        WebhookError::NotFound
    );
    block_on(world.webhooks().delete(1, &first.webhook.webhook_id)).unwrap();
    create(URL, None).unwrap();
}

#[test]
fn a_deleted_endpoint_takes_its_messages_with_it() {
    let world = World::new();
    let webhook = world.webhook(1, URL, r#"["*"]"#);
    world.tell(1, "payment.sent");
    block_on(world.webhooks().delete(1, &webhook.webhook_id)).unwrap();
    assert_eq!(world.run(), RunReport::default());
    assert!(world.sql("SELECT id FROM webhook_deliveries").is_empty());
}

#[test]
fn who_still_talks_to_an_endpoint_that_is_gone_finds_nobody_elses_messages() {
    let world = World::new();
    let claim = || {
        let now = world.clock.now();
        let until = Timestamp::from_unix_seconds(now.unix_seconds() + 60).unwrap();
        block_on(world.store.claim_webhooks(now, until, 10)).unwrap()
    };
    let due =
        |webhook: &Webhook| block_on(world.store.due_delivery(webhook, world.clock.now())).unwrap();
    let gone = world.webhook(1, URL, r#"["*"]"#);
    world.tell(1, "payment.sent");
    let claimed = claim().remove(0);
    let message = due(&claimed).unwrap();
    block_on(world.webhooks().delete(1, &gone.webhook_id)).unwrap();
    let other = world.webhook(2, URL, r#"["*"]"#);
    world.tell(2, "payment.sent");
    assert!(due(&other).is_some());
    assert_eq!(due(&claimed), None);
    // Nor is the end of its own message the end of another's.
    let delivered = Attempted {
        status: "delivered",
        next_attempt_at: world.clock.now(),
        last_status: Some(200),
        last_error: None,
        at: world.clock.now(),
    };
    block_on(world.store.finish_attempt(&message, &delivered)).unwrap();
    assert!(due(&other).is_some());
    // One whose URL has changed is told there, in a turn of its own.
    world.sql("UPDATE webhooks SET url = 'https://elsewhere.example.com/'");
    assert_eq!(due(&other), None);
}

#[test]
fn a_missing_key_is_no_endpoints_fault() {
    let world = World::new();
    world.webhook(1, URL, r#"["*"]"#);
    world.tell(1, "payment.sent");
    let outbox = Outbox {
        store: &world.store,
        clock: &world.clock,
        keys: &NoKeys,
        sender: &world.sender,
        reach: Reach::Public,
    };
    let report = block_on(outbox.run());
    assert_eq!(report.troubles, ["there is no webhook_key"]);
    assert_eq!(
        world.column("SELECT attempts FROM webhook_deliveries"),
        ["0"]
    );
    world.advance(5);
    assert_eq!(world.run().delivered, 1);
}

#[test]
fn without_a_key_no_endpoint_is_made() {
    let world = World::new();
    let webhooks = Webhooks {
        store: &world.store,
        clock: &world.clock,
        keys: &NoKeys,
    };
    let made = block_on(webhooks.create(&world.new_webhook(1, URL, r#"["*"]"#, None)));
    assert_eq!(refusal(made), WebhookError::NoKey);
    assert!(world.sql("SELECT id FROM webhooks").is_empty());
}

#[test]
fn messages_are_forgotten_a_week_after_their_end() {
    let world = World::new();
    world.webhook(1, URL, r#"["*"]"#);
    world.tell(1, "payment.sent");
    world.run();
    world.advance(DAY);
    world.tell(1, "payment.sent");
    world.run();
    world.advance(6 * DAY + 1);
    world.tell(1, "payment.sent");
    let rules = Rules {
        heartbeat_stale_after: 90,
        heartbeat_offline_after: 300,
        health_window: 86_400,
        payment_patience: 3600,
        reputation_payment_confirmed: 1,
        reputation_payment_failed: -2,
        reputation_double_spend: -25,
        reputation_daily_cap: 5,
        reputation_min_amount: Amount::ZERO,
        recipient_policy_delay: 86_400,
    };
    let registry = Registry {
        store: &world.store,
        clock: &world.clock,
        rules: &rules,
    };
    assert_eq!(block_on(registry.tick()).troubles, Vec::<String>::new());
    let left = world.column("SELECT sequence FROM webhook_deliveries ORDER BY id");
    assert_eq!(left, ["3", "4"], "pending ones stay");
}
