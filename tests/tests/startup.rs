//! Starting: many hosts at once, another schema, and settings that are at fault.
#![allow(clippy::unwrap_used, missing_docs)]

use duxnet_store::SCHEMA_VERSION;
use serde_json::json;
use std::sync::Arc;
use tests::{Books, Chain, Host, HostOptions, Node, TRACKER_TOKEN, World, get, in_parallel, tick};

const HOSTS: usize = 10;

/// The specification's `config.yaml`, word for word.
const CONFIG: &str = "\
rpc:
  host: 127.0.0.1
  port: 32553
  user: flopcoinrpc
  password: your_secure_password
wallet:
  encryption: true
  backup_interval: 3600
  max_transaction_amount: 1000.0
  rate_limit_window: 3600
  max_transactions_per_window: 10
logging:
  level: INFO
  file: /var/log/duxnet/wallet.log
";

/// Written to a folder of its own; the log goes there too.
fn config(text: &str) -> (Arc<tempfile::TempDir>, HostOptions) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = folder.path().join("wallet.log");
    let text = text.replace("/var/log/duxnet/wallet.log", log.to_str().unwrap());
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, text).unwrap();
    let options = HostOptions::default()
        .folder(&folder)
        .argument("--config")
        .argument(file.to_str().unwrap());
    (folder, options)
}

fn assert_lists(said: &str, faults: &[&str]) {
    for fault in faults {
        let line = said.lines().find(|line| line.contains(fault));
        assert!(line.is_some(), "no line with {fault:?} in:\n{said}");
    }
}

#[test]
fn ten_hosts_at_once_on_an_empty_database_all_serve() {
    let chain = Chain::start();
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let hosts = in_parallel(HOSTS, |_| {
        let options = HostOptions::default().folder(&folder);
        Host::start(&chain, options.without_first_tick())
    });
    // The first request to each opens the database: all at once.
    let replies = in_parallel(HOSTS, |index| {
        Node::new(&hosts[index], &format!("node_{index}")).register()
    });
    for reply in replies {
        reply.expect_status(201);
    }
    for reply in in_parallel(HOSTS, |index| tick(hosts[index].url())) {
        reply.expect_status(200);
    }
    for host in &hosts {
        let health = get(&format!("{}/wallet/health", host.url()));
        assert_eq!(health.expect_status(200).json()["status"], "ok");
    }
    let books = Books::open(&hosts[0]);
    assert_eq!(books.count("SELECT COUNT(*) FROM nodes"), HOSTS as i64);
    let versions = books.texts("SELECT CAST(version AS TEXT) FROM schema_migrations");
    let all: Vec<String> = (1..=SCHEMA_VERSION).map(|v| v.to_string()).collect();
    assert_eq!(versions, all, "the schema was applied once");
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let mut world = World::start();
    let node = world.node_with_wallet("node_001");
    world
        .books()
        .connection()
        .execute(
            "INSERT INTO schema_migrations (version, name) VALUES (99, 'future')",
            [],
        )
        .unwrap();
    world.host.kill();
    world.host.restart();
    let node = node.at(&world.host);
    let health = get(&format!("{}/wallet/health", world.host.url()));
    let health = health.expect_status(503).json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["checks"]["database"]["status"], "failed");
    node.get("/wallet/node_001")
        .expect_problem(503, "database_unavailable");
    node.register().expect_problem(503, "database_unavailable");
    node.pay(&world.chain.foreign_address(), "1")
        .expect_problem(503, "database_unavailable");
    let log = world.host.log();
    let told = format!("schema version 99, this service knows up to {SCHEMA_VERSION}");
    assert_lists(&log, &[&told]);
    assert_eq!(world.books().count("SELECT COUNT(*) FROM payments"), 0);
}

#[test]
fn every_setting_at_fault_is_listed_with_its_value_and_what_is_allowed() {
    let chain = Chain::start();
    let options = HostOptions::default()
        .on(&chain)
        .variable("network", "mainnet")
        .variable("auth_mode", "maybe")
        .variable("max_transaction_amount", "-5")
        .variable("rate_limit_window", "0")
        .variable("max_transactions_per_window", "ten")
        .variable("confirmations_required", "1.5")
        .variable("rpc_timeout_seconds", "3600")
        .variable("rpc_wallet_passphrase", "my-passphrase");
    let (code, said) = Host::refuses(options);
    assert_eq!(code, Some(2), "{said}");
    assert_lists(
        &said,
        &[
            r#"network is "mainnet"; allowed: main, test, regtest"#,
            r#"auth_mode is "maybe"; allowed: required, off"#,
            r#"max_transaction_amount is "-5"; allowed: FLOP above 0"#,
            r#"rate_limit_window is "0"; allowed: a whole number from 1"#,
            r#"max_transactions_per_window is "ten"; allowed: a whole number from 1"#,
            r#"confirmations_required is "1.5"; allowed: a whole number from 1"#,
            r#"rpc_timeout_seconds is "3600"; allowed: a whole number from 1"#,
        ],
    );
    for secret in [chain.password(), "my-passphrase"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_port_or_host_at_fault_is_named() {
    let chain = Chain::start();
    for (name, value) in [("rpc_port", "99999"), ("rpc_host", "not a host")] {
        let (code, said) = Host::refuses(HostOptions::default().on(&chain).variable(name, value));
        assert_eq!(code, Some(2), "{said}");
        assert_lists(&said, &[value]);
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_missing_password_is_named() {
    let (code, said) = Host::refuses(HostOptions::default());
    assert_eq!(code, Some(2), "{said}");
    assert_lists(&said, &["rpc_password"]);
}

#[test]
fn unsigned_requests_are_refused_outside_regtest() {
    let options = HostOptions::default()
        .variable("rpc_password", "chain-secret")
        .variable("network", "main")
        .variable("auth_mode", "off");
    let (code, said) = Host::refuses(options);
    assert_eq!(code, Some(2), "{said}");
    assert_lists(
        &said,
        &[r#"auth_mode is "off"; allowed only with network "regtest""#],
    );
}

#[test]
fn the_specifications_config_is_accepted_as_it_stands() {
    let (folder, options) = config(CONFIG);
    let host = Host::launch(options);
    let health = get(&format!("{}/wallet/health", host.url())).json();
    assert_eq!(health["checks"]["config"]["status"], "ok", "{health}");
    assert_eq!(health["checks"]["database"]["status"], "ok", "{health}");
    assert_eq!(health["status"], "degraded", "nothing is at port 32553");
    let log = std::fs::read_to_string(folder.path().join("wallet.log")).unwrap();
    assert!(!log.is_empty(), "it logs where the file says");
    assert!(!(log + &host.log()).contains("your_secure_password"));
}

#[test]
fn the_specifications_config_sets_the_chain_node_and_the_limits() {
    let mut chain = Chain::start();
    // The file says `encryption: true`.
    chain.encrypt("correct horse");
    let text = CONFIG
        .replace("32553", &chain.address().port().to_string())
        .replace("flopcoinrpc", chain.user())
        .replace("your_secure_password", chain.password())
        .replace(
            "max_transactions_per_window: 10",
            "max_transactions_per_window: 2",
        )
        .replace("1000.0", "3.5");
    let (_folder, options) = config(&text);
    // What the file has no key for.
    let options = options
        .variable("network", "regtest")
        .variable("confirmations_required", "1")
        .variable("rpc_wallet_passphrase", "correct horse")
        .variable("tracker_token", TRACKER_TOKEN);
    let host = Host::launch(options);
    let world = World { chain, host };
    if world.chain.is_real() {
        // There the faucet is the node's own wallet.
        let unlock = json!(["correct horse", 60]);
        world.chain.rpc("walletpassphrase", unlock).unwrap();
    }
    let node = world.funded_node("node_001", &["50"; 3]);
    let recipient = world.chain.foreign_address();
    let problem = node
        .pay(&recipient, "3.50000001")
        .expect_problem(422, "amount_above_limit");
    assert_eq!(
        problem["message"],
        "Amount exceeds maximum of 3.5 FLOP per transaction"
    );
    for _ in 0..2 {
        node.pay(&recipient, "3.5").expect_status(200);
    }
    let problem = node
        .pay(&recipient, "3.5")
        .expect_problem(429, "rate_limit_exceeded");
    assert_eq!(
        problem["message"],
        "Rate limit exceeded. Maximum 2 transactions per 3600 seconds"
    );
}

#[test]
fn the_specifications_config_is_refused_on_a_wallet_that_is_not_encrypted() {
    let chain = Chain::start();
    let text = CONFIG
        .replace("32553", &chain.address().port().to_string())
        .replace("flopcoinrpc", chain.user())
        .replace("your_secure_password", chain.password());
    let (_folder, options) = config(&text);
    let (code, said) = Host::refuses(options.variable("network", "regtest"));
    assert_eq!(code, Some(2), "{said}");
    assert_lists(
        &said,
        &["wallet_encryption is true, but the chain node's wallet is not encrypted"],
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!said.contains(chain.password()), "{said}");
}

#[test]
fn an_unknown_key_of_the_config_is_named() {
    let text = CONFIG.replace("backup_interval", "backup_intervall");
    let (_folder, options) = config(&text);
    let (code, said) = Host::refuses(options);
    assert_eq!(code, Some(2), "{said}");
    assert_lists(&said, &["wallet.backup_intervall"]);
    assert!(said.contains("known keys are"), "{said}");
    assert!(!said.contains("your_secure_password"), "{said}");
}
