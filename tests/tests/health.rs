//! Health: the specification's three fields, and what the service stands on.
#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use tests::{Chain, Host, HostOptions, Reply, World, follow, get, root};

fn health(host: &Host) -> Reply {
    get(&format!("{}/wallet/health", host.url()))
}

/// The checks without what differs from run to run; each has its latency.
fn checks(health: &Value) -> Value {
    let mut checks = health["checks"].clone();
    for (name, check) in checks.as_object_mut().unwrap() {
        let check = check.as_object_mut().unwrap();
        let latency = check.remove("latency_ms").unwrap();
        assert!(latency.as_u64().is_some_and(|ms| ms < 4000), "{name}");
    }
    checks
}

#[test]
fn all_is_well() {
    let world = World::start();
    world.chain.mine(2);
    follow(world.host.url());
    let reply = health(&world.host).expect_status(200);
    let body = reply.json();
    assert_eq!(body["status"], "ok");
    assert_eq!(body["service"], "wallet");
    assert_eq!(body["version"], "1.0.0");
    assert_eq!(body.as_object().unwrap().len(), 4, "{body}");
    assert_eq!(
        checks(&body),
        json!({
            "config": {"status": "ok"},
            "database": {"status": "ok"},
            "chain": {"status": "ok", "height": world.chain.height()},
            "ledger": {"status": "ok", "height": world.chain.height()},
        })
    );
    // The specification's fields first, in its order.
    assert!(
        reply
            .text()
            .starts_with(r#"{"status":"ok","service":"wallet","version":"1.0.0","#)
    );
}

#[test]
fn a_node_cannot_stand_in_for_health() {
    // The predecessor's route /wallet/{node_id} answered for it.
    let world = World::unsigned();
    world.node_with_wallet("healthy");
    assert_eq!(
        health(&world.host).expect_status(200).json()["service"],
        "wallet"
    );
}

#[test]
fn without_the_chain_it_is_degraded() {
    let mut world = World::start();
    let height = world.chain.height();
    world.chain.stop();
    let body = health(&world.host).expect_status(503).json();
    assert_eq!(body["status"], "degraded");
    assert_eq!(body["service"], "wallet");
    assert_eq!(
        checks(&body),
        json!({
            "config": {"status": "ok"},
            "database": {"status": "ok"},
            "chain": {"status": "failed", "detail": "not usable, see the log"},
            // It was level less than two minutes ago.
            "ledger": {"status": "ok", "height": height},
        })
    );
    assert!(world.host.log().contains("chain check: "));
}

#[test]
fn a_chain_node_that_does_not_answer_does_not_hold_the_answer_up() {
    let world = World::start();
    let hang = json!({"method": "*", "when": "before", "action": "hang"});
    world.chain.fault(hang);
    let body = health(&world.host).expect_status(503).json();
    assert_eq!(
        checks(&body)["chain"],
        json!({"status": "failed", "detail": "no answer within 3 s"})
    );
}

#[test]
fn it_recovers_with_the_chain() {
    let world = World::start();
    let refusal = json!({"method": "*", "when": "before", "action": "refuse"});
    world.chain.fault(refusal);
    health(&world.host).expect_status(503);
    world.chain.clear_faults();
    health(&world.host).expect_status(200);
}

#[test]
fn another_network_or_another_password_is_degraded_and_not_told_further() {
    let chain = Chain::start();
    for (name, value, detail) in [
        ("network", "test", "the chain node is on another network"),
        (
            "rpc_password",
            "not-the-password",
            "not usable, see the log",
        ),
    ] {
        let host = Host::start(&chain, HostOptions::default().variable(name, value));
        let reply = health(&host).expect_status(503);
        assert!(!reply.text().contains("not-the-password"));
        let found = checks(&reply.json());
        assert_eq!(
            found["chain"],
            json!({"status": "failed", "detail": detail}),
            "{name}"
        );
        assert_eq!(found["database"], json!({"status": "ok"}));
        assert_eq!(found["ledger"]["status"], "failed", "{name}");
        assert!(!host.log().contains("not-the-password"));
    }
}

#[test]
fn a_ledger_that_has_not_seen_the_chain_is_degraded_until_the_tracker_ran() {
    let world = World::with(HostOptions::default().without_first_tick());
    let body = health(&world.host).expect_status(503).json();
    assert_eq!(body["status"], "degraded");
    assert_eq!(
        checks(&body),
        json!({
            "config": {"status": "ok"},
            "database": {"status": "ok"},
            "chain": {"status": "ok", "height": world.chain.height()},
            "ledger": {"status": "failed", "detail": "has not seen the chain yet"},
        })
    );
    follow(world.host.url());
    health(&world.host).expect_status(200);
}

#[test]
fn a_ledger_that_is_old_or_disputed_is_degraded() {
    let world = World::start();
    for (what, detail) in [
        (
            "synced_at = synced_at - 122",
            "has not followed the chain for more than two minutes",
        ),
        ("watchdog_drift = 1", "ledger and chain node disagree"),
        (
            "sends_stopped_at = 1",
            "payments are stopped: ledger and chain node disagree",
        ),
    ] {
        let books = world.books();
        let before = "CREATE TEMP TABLE before AS SELECT * FROM chain_state";
        books.connection().execute(before, []).unwrap();
        let sql = format!("UPDATE chain_state SET {what}");
        books.connection().execute(&sql, []).unwrap();
        let body = health(&world.host).expect_status(503).json();
        assert_eq!(
            checks(&body)["ledger"],
            json!({"status": "failed", "detail": detail})
        );
        let after = "REPLACE INTO chain_state SELECT * FROM before";
        books.connection().execute(after, []).unwrap();
        health(&world.host).expect_status(200);
    }
    // Two minutes are not too old.
    let sql = "UPDATE chain_state SET synced_at = synced_at - 60";
    world.books().connection().execute(sql, []).unwrap();
    health(&world.host).expect_status(200);
}

#[test]
fn a_database_of_a_newer_version_is_degraded() {
    let mut world = World::start();
    world.node("node_001");
    let sql = "INSERT INTO schema_migrations (version, name) VALUES (99, 'future')";
    world.books().connection().execute(sql, []).unwrap();
    world.host.restart();
    let body = health(&world.host).expect_status(503).json();
    assert_eq!(
        checks(&body)["database"],
        json!({
            "status": "failed",
            "detail": "the schema belongs to a newer version of the service",
        })
    );
    assert_eq!(
        checks(&body)["ledger"],
        json!({"status": "failed", "detail": "not readable, see the log"})
    );
}

/// Under Spin nothing looks at the settings before the first request.
#[test]
fn settings_at_fault_are_degraded_where_the_host_did_not_check_them() {
    let chain = Chain::start();
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("spin.toml");
    let text = std::fs::read_to_string(root().join("spin.toml")).unwrap();
    let check = "startup_check = \"config-check\"\n";
    assert!(text.contains(check));
    let built = root().join("target").display().to_string();
    let text = text
        .replace(check, "")
        .replace("source = \"target", &format!("source = \"{built}"));
    std::fs::write(&manifest, text).unwrap();
    let options = HostOptions::default()
        .manifest(&manifest)
        .variable("max_transaction_amount", "plenty")
        .variable("rate_limit_window", "0");
    let host = Host::start(&chain, options);
    let body = health(&host).expect_status(503).json();
    assert_eq!(
        checks(&body)["config"],
        json!({"status": "failed", "detail": "settings are at fault, see the log"})
    );
    let log = host.log();
    assert!(log.contains("setting at fault: max_transaction_amount is \"plenty\""));
    assert!(log.contains("setting at fault: rate_limit_window is \"0\""));
    // Nothing else works on guesses either.
    let reply = tests::get(&format!("{}/nodes", host.url()));
    let problem = reply.expect_problem(503, "misconfigured");
    assert_eq!(problem.get("detail"), None);
}
