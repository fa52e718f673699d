//! What the ledger costs: reads with many wallets against reads with few, in one run, and one run of
//! the tracker over a block full of our outputs.
//!
//! `cargo bench -p tests --bench ledger`
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::{Chain, Host, HostOptions, follow, tick, unsigned_wallet};

/// Few and many wallets, and the outputs of each.
const FEW: u32 = 100;
const MANY: u32 = 10_000;
const OUTPUTS_EACH: u32 = 20;
/// Rounds that few and many take in turns, so that both meet the same noise.
const ROUNDS: u32 = 20;
const ROUND: Duration = Duration::from_millis(500);
/// Runs of the tracker that are measured one by one.
const RUNS: u32 = 50;
/// Our outputs in one block.
const BLOCK: u32 = 500;

struct Service {
    host: Host,
    wallets: u32,
}

/// A host whose ledger holds so many wallets with a confirmed history.
fn service(chain: &Chain, wallets: u32) -> Service {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let options = HostOptions::default()
        .variable("auth_mode", "off")
        .variable("balance_max_age", "3600")
        .folder(&folder);
    let host = Host::start(chain, options);
    follow(host.url());
    let file = host.state_dir().join("sqlite_db.db");
    let database = rusqlite::Connection::open(file).unwrap();
    database.busy_timeout(Duration::from_secs(60)).unwrap();
    let started = Instant::now();
    database
        .execute_batch(&format!(
            "BEGIN IMMEDIATE;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {wallets})
             INSERT INTO nodes (node_id, created_at, updated_at) SELECT 'node-' || i, 1, 1 FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {wallets})
             INSERT INTO wallets (node_id, wallet_name, address, created_at, request_hash)
                SELECT 'node-' || i, 'w', 'address-' || i, 1, '' FROM n;
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {total} - 1)
             INSERT INTO outputs (txid, vout, wallet_id, address, value, state, height, settled, cause, changed_at)
                SELECT printf('%064x', i), 0, 1 + i % {wallets}, 'address-' || (1 + i % {wallets}), 100000000,
                    'confirmed', 1, 1, 'receive', i FROM n;
             UPDATE wallets SET balance_changed = 0;
             COMMIT;",
            total = wallets * OUTPUTS_EACH
        ))
        .unwrap();
    println!(
        "{wallets} wallets, {} transactions loaded in {:.1?}",
        wallets * OUTPUTS_EACH,
        started.elapsed()
    );
    Service { host, wallets }
}

/// Requests of one round over a kept-alive connection, each for another wallet.
fn round(agent: &ureq::Agent, service: &Service, what: &str, next: &mut u32) -> u32 {
    let started = Instant::now();
    let mut requests = 0;
    while started.elapsed() < ROUND {
        // A stride that meets every wallet.
        *next = (*next + 7_919) % service.wallets;
        let url = format!("{}/wallet/node-{}{what}", service.host.url(), *next + 1);
        let mut response = agent.get(&url).call().unwrap();
        response.body_mut().read_to_vec().unwrap();
        requests += 1;
    }
    requests
}

fn reads(chain: &Chain) {
    let few = service(chain, FEW);
    let many = service(chain, MANY);
    let agent = ureq::Agent::new_with_defaults();
    for (name, what) in [
        ("balance", "/balance"),
        ("first page of history (20 rows)", "/transactions"),
    ] {
        let (mut next_few, mut next_many) = (0, 0);
        round(&agent, &few, what, &mut next_few);
        round(&agent, &many, what, &mut next_many);
        let mut counts = Vec::new();
        for _ in 0..ROUNDS {
            let few = round(&agent, &few, what, &mut next_few);
            let many = round(&agent, &many, what, &mut next_many);
            counts.push((few, many));
        }
        let per_second = |sum: u32| f64::from(sum) / (ROUND.as_secs_f64() * f64::from(ROUNDS));
        let rate_few = per_second(counts.iter().map(|(few, _)| few).sum());
        let rate_many = per_second(counts.iter().map(|(_, many)| many).sum());
        println!(
            "{name}: {rate_few:.0}/s with {FEW} wallets, {rate_many:.0}/s with {MANY}: ratio {:.2}",
            rate_few / rate_many
        );
    }
    runs(chain, &few, &many);
}

/// Runs of the tracker over a new, empty block each, at both services in turns.
fn runs(chain: &Chain, few: &Service, many: &Service) {
    let mut taken = [Duration::ZERO; 2];
    for _ in 0..RUNS {
        chain.mine(1);
        for (service, taken) in [few, many].iter().zip(&mut taken) {
            let started = Instant::now();
            follow(service.host.url());
            *taken += started.elapsed();
        }
    }
    let each = taken.map(|sum| sum.as_secs_f64() * 1e3 / f64::from(RUNS));
    println!(
        "one run over an empty block: {:.1} ms with {FEW} wallets, {:.1} ms with {MANY}: ratio {:.2}",
        each[0],
        each[1],
        each[1] / each[0]
    );
}

fn tracking(chain: &Chain) {
    let options = HostOptions::default().variable("auth_mode", "off");
    let host = Host::start(chain, options);
    follow(host.url());
    let addresses: Vec<String> = (0..20)
        .map(|index| unsigned_wallet(&host, &format!("node-{index}")))
        .collect();
    for (what, mined) in [("the mempool", false), ("a block", true)] {
        follow(host.url());
        for index in 0..BLOCK {
            chain.faucet(&addresses[index as usize % addresses.len()], "1");
        }
        if mined {
            chain.mine(1);
        }
        let started = Instant::now();
        let mut runs = 0;
        loop {
            runs += 1;
            let report = tick(host.url()).expect_status(200).json();
            if report["level"] == true {
                break;
            }
        }
        let taken = started.elapsed();
        println!(
            "{BLOCK} transactions of ours in {what}: {taken:.0?} in {runs} run(s), {:.0} transactions/s",
            f64::from(BLOCK) / taken.as_secs_f64()
        );
    }
}

fn main() {
    let chain = Chain::start();
    reads(&chain);
    tracking(&chain);
}
