//! How fast the host is, beside the same domain without WebAssembly and beside Spin, in one run.
//!
//! `cargo bench --profile dist --bench throughput`, with `SPIN=/path/to/spin` to have Spin measured too.
//! `-- startup` measures only how it starts; `-- soak [minutes]` has it work for ten minutes while
//! the chain node and the host restart.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_arithmetic,
    missing_docs
)]

mod load;
mod machine;
mod process;
mod seed;
mod servers;
mod soak;
mod startup;
mod workload;

use load::{Sample, drive};
use machine::Machine;
use seed::Seed;
use servers::Server;
use std::path::PathBuf;
use std::time::Duration;
use tests::Chain;
use workload::Workload;

const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// Rounds that the servers take in turns, so that all meet the same noise.
const ROUNDS: u32 = 4;
const ROUND: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(300);

/// What one server did under one load.
struct Measured {
    sample: Sample,
    cpu: Duration,
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        // Cargo's own.
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments.first().map(String::as_str) {
        Some(servers::NATIVE) => return servers::serve_natively(&arguments[1..]),
        Some("soak") => {
            let minutes = arguments.get(1).map(|text| text.parse().unwrap());
            return soak::soak(minutes.unwrap_or(soak::MINUTES));
        }
        None | Some("startup") => {}
        Some(other) => panic!("{other}: startup, soak [minutes], or nothing"),
    }
    let chain = Chain::start();
    let seed = Seed::plant(&chain);
    if arguments.is_empty() {
        throughput(&seed);
    }
    startup::report(&seed);
}

fn throughput(seed: &Seed) {
    let mut servers = vec![servers::host(seed, &[]), servers::native(seed)];
    match std::env::var_os("SPIN").map(PathBuf::from) {
        Some(program) => servers.push(servers::spin(&program, seed)),
        None => println!("Spin is not measured: SPIN=/path/to/spin is not set.\n"),
    }
    println!(
        "| | connections | server | requests/s | p50 ms | p99 ms | p99.9 ms | CPU s/1000 | host's ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut machine = Machine::default();
    for workload in workload::ALL {
        for connections in CONNECTIONS {
            machine.watch();
            let measured = measure(seed, &servers, workload, connections);
            print_rows(workload, connections, &servers, measured);
        }
    }
    println!();
    for server in &servers {
        let pid = server.pid();
        println!(
            "{}: peak memory {:.0} MB",
            server.name,
            process::peak_megabytes(pid)
        );
    }
    machine.report();
}

fn measure(
    seed: &Seed,
    servers: &[Server],
    workload: Workload,
    connections: usize,
) -> Vec<Measured> {
    let mut all: Vec<Measured> = Vec::new();
    for round in 0..=ROUNDS {
        let duration = if round == 0 { WARM_UP } else { ROUND };
        for (index, server) in servers.iter().enumerate() {
            let part = u64::try_from(index).unwrap();
            let before = process::cpu(server.pid());
            let sample = drive(server.address, connections, duration, &|number| {
                workload.request(seed, part, number)
            });
            let cpu = process::cpu(server.pid()) - before;
            match all.get_mut(index) {
                // The first round warms up.
                None => all.push(Measured {
                    sample: Sample::default(),
                    cpu: Duration::ZERO,
                }),
                Some(measured) => {
                    measured.sample.add(sample);
                    measured.cpu += cpu;
                }
            }
        }
    }
    all
}

fn print_rows(
    workload: Workload,
    connections: usize,
    servers: &[Server],
    mut measured: Vec<Measured>,
) {
    let host = measured[0].sample.per_second();
    for (server, Measured { sample, cpu }) in servers.iter().zip(&mut measured) {
        let answers = u32::try_from(sample.latencies_micros.len()).unwrap();
        println!(
            "| {} | {connections} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.3} | {:.2} |",
            workload.name(),
            server.name,
            sample.per_second(),
            sample.percentile_millis(500),
            sample.percentile_millis(990),
            sample.percentile_millis(999),
            cpu.as_secs_f64() * 1000.0 / f64::from(answers.max(1)),
            host / sample.per_second(),
        );
        if !sample.failures.is_empty() {
            println!(
                "{}: not answered with success: {:?}",
                server.name, sample.failures
            );
        }
    }
}
