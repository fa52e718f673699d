//! The service at work for minutes: mixed load from 64 connections, blocks all the while, the chain
//! node restarted twice and the host once; then the books are compared with the chain.

use crate::load::{Sample, drive_moving};
use crate::process;
use crate::seed::{COIN_FLOP, COINS, make_wallets, wallet};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tests::{Books, Chain, Host, HostOptions, follow};

/// How long, unless it is said.
pub const MINUTES: u64 = 10;
const CONNECTIONS: usize = 64;
const WALLETS: u64 = 200;
const BLOCK_INTERVAL: Duration = Duration::from_secs(5);
/// How long the chain node is away, and then says that it is starting.
const AWAY_MILLIS: u64 = 3_000;
const FLORINS: u64 = 100_000_000;

pub fn soak(minutes: u64) {
    let chain = Chain::start();
    let options = HostOptions::default()
        .variable("auth_mode", "off")
        .variable("tracker_interval", "1")
        .variable("watchdog_interval", "30")
        .variable("max_transactions_per_window", "1000000");
    let mut host = Host::start(&chain, options);
    let nodes = make_wallets(&chain, &host, WALLETS);
    chain.mine(1);
    follow(host.url());
    let recipient = chain.foreign_address();
    let address = Mutex::new(address(&host));
    let duration = Duration::from_secs(minutes * 60);
    let mut memory = vec![process::resident_megabytes(host.pid())];
    println!("{minutes} minutes, {CONNECTIONS} connections, {WALLETS} wallets");

    let mut sample = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            drive_moving(&address, CONNECTIONS, duration, &|number| {
                request(number, &recipient)
            })
        });
        let started = Instant::now();
        // Blocks, until this share of the time has passed.
        let mine_until = |share: f64| {
            while started.elapsed() < duration.mul_f64(share) {
                chain.mine(1);
                std::thread::sleep(BLOCK_INTERVAL);
            }
        };
        let restart_chain = || {
            println!("the chain node restarts");
            let away = json!({"milliseconds": 2 * AWAY_MILLIS, "refuse_milliseconds": AWAY_MILLIS});
            chain.rpc("devnet_restart", away).unwrap();
            // It answers nobody meanwhile.
            std::thread::sleep(Duration::from_millis(3 * AWAY_MILLIS));
        };
        mine_until(0.25);
        restart_chain();
        mine_until(0.5);
        memory.push(process::resident_megabytes(host.pid()));
        println!("the host restarts");
        assert_eq!(host.stop(), Some(0), "{}", host.log());
        host.restart();
        *address.lock().unwrap() = self::address(&host);
        memory.push(process::resident_megabytes(host.pid()));
        mine_until(0.75);
        restart_chain();
        mine_until(1.0);
        load.join().unwrap()
    });
    memory.push(process::resident_megabytes(host.pid()));
    report(&mut sample, &memory);
    compare(&chain, &host, &nodes);
}

/// Of 20 requests 3 pay, 5 read a history, and 12 a wallet or its balance.
fn request(number: u64, recipient: &str) -> Vec<u8> {
    const STRIDE: u64 = 7919;
    static PAYMENTS: AtomicU64 = AtomicU64::new(0);
    let get = |path: &str| {
        let id = wallet(number * STRIDE % WALLETS);
        format!("GET /wallet/{id}{path} HTTP/1.1\r\nhost: wallet\r\n\r\n").into_bytes()
    };
    match number % 20 {
        0 | 7 | 14 => {
            let key = PAYMENTS.fetch_add(1, Ordering::Relaxed);
            let id = wallet(key % WALLETS);
            let body = format!(r#"{{"recipient_address":"{recipient}","amount":"0.01"}}"#);
            format!(
                "POST /wallet/{id}/send HTTP/1.1\r\nhost: wallet\r\n\
                 content-type: application/json\r\nidempotency-key: soak-{key}\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        }
        1..=5 => get("/transactions"),
        6 | 8..=12 => get(""),
        _ => get("/balance"),
    }
}

fn address(host: &Host) -> SocketAddr {
    let url = host.url();
    url.trim_start_matches("http://").parse().unwrap()
}

fn report(sample: &mut Sample, memory: &[f64]) {
    println!(
        "{} answers, {:.0}/s; p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
        sample.latencies_micros.len(),
        sample.per_second(),
        sample.percentile_millis(500),
        sample.percentile_millis(990),
        sample.percentile_millis(999),
    );
    println!("not answered with success:");
    for (kind, count) in &sample.failures {
        println!("  {kind}: {count}");
    }
    println!(
        "memory of the first process, start and end: {:.0} and {:.0} MB; of the second: {:.0} and {:.0} MB",
        memory[0], memory[1], memory[2], memory[3]
    );
}

/// Every wallet's books against what the chain holds, once both are at rest.
fn compare(chain: &Chain, host: &Host, nodes: &[String]) {
    const ROUNDS: u32 = 3;
    for _ in 0..ROUNDS {
        chain.mine(1);
        follow(host.url());
    }
    let books = Books::open(host);
    books.assert_recount();
    for node in nodes {
        books.assert_agree(chain, node, COINS * COIN_FLOP * FLORINS);
    }
    println!(
        "books and chain agree for all {} wallets; payments: {} confirmed, {} failed, {} signed, {} broadcast",
        nodes.len(),
        books.payments("confirmed"),
        books.payments("failed"),
        books.payments("signed"),
        books.payments("broadcast"),
    );
}
