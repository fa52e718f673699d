//! How the host starts, what an instance costs, and how large the components are.

use crate::load::drive;
use crate::seed::Seed;
use crate::servers::{self, Server};
use crate::workload::Workload;
use crate::{WARM_UP, process};
use std::path::Path;
use std::time::Duration;
use tests::Chain;

/// Starts with a cache that are measured.
const STARTS: usize = 10;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 64;
const A_WHILE: Duration = Duration::from_secs(1);

pub fn report(seed: &Seed) {
    // The startup check asks the node, which adds up all that its wallet holds to answer.
    let chain = Chain::start();
    let seed = &seed.beside(&chain);
    let home = tempfile::tempdir().unwrap();
    let cache = ["--cache-dir", home.path().to_str().unwrap()];
    let (compiling, server) = start(seed, &cache);
    drop(server);
    println!(
        "\nProcess start to first 200, compiling {} components: {:.1} s",
        sizes().len(),
        compiling.as_secs_f64()
    );
    run_until_all_is_known(seed, &cache, home.path());
    let mut cached: Vec<Duration> = (0..STARTS).map(|_| start(seed, &cache).0).collect();
    cached.sort_unstable();
    println!(
        "Process start to first 200, compiled before: median {:.0} ms, {:.0} to {:.0} ms of {STARTS}",
        millis(cached[STARTS / 2]),
        millis(cached[0]),
        millis(cached[STARTS - 1]),
    );
    instances(seed, &cache);
    memory(seed, &cache);
    let sizes = sizes();
    let total: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
    println!(
        "Components: {} files, {:.1} MB; the largest, {}, has {} bytes",
        sizes.len(),
        bytes_as_megabytes(total),
        sizes[0].0,
        sizes[0].1
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn bytes_as_megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap()) / 1000.0
}

/// From starting the process to its first success.
fn start(seed: &Seed, arguments: &[&str]) -> (Duration, Server) {
    let server = servers::host(seed, arguments);
    let sample = drive(server.address, 1, Duration::from_nanos(1), &|number| {
        Workload::Info.request(seed, 0, number)
    });
    let taken = server.age();
    assert!(sample.failures.is_empty(), "{:?}", sample.failures);
    (taken, server)
}

/// The cache as it is after ordinary runs, which last long enough to note what they found out.
fn run_until_all_is_known(seed: &Seed, arguments: &[&str], cache: &Path) {
    let compiled = || {
        let files = std::fs::read_dir(cache).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|e| e == "cwasm"))
            .count()
    };
    let known = || std::fs::read_to_string(cache.join("known.json")).unwrap_or_default();
    while known().matches(".cwasm").count() < compiled() {
        let (_, server) = start(seed, arguments);
        std::thread::sleep(A_WHILE);
        drop(server);
    }
}

/// What a fresh instance for each request costs over one that goes on.
fn instances(seed: &Seed, cache: &[&str]) {
    let each = |arguments: &[&str]| {
        let arguments: Vec<&str> = cache.iter().chain(arguments).copied().collect();
        let server = servers::host(seed, &arguments);
        let request = |number| Workload::Info.request(seed, 0, number);
        drive(server.address, 1, WARM_UP, &request);
        let before = process::cpu(server.pid());
        let mut sample = drive(server.address, 1, ROUND, &request);
        let cpu = process::cpu(server.pid()) - before;
        let answers = u32::try_from(sample.latencies_micros.len()).unwrap();
        (
            sample.percentile_millis(500) * 1000.0,
            cpu.as_secs_f64() * 1e6 / f64::from(answers),
        )
    };
    let (kept, kept_cpu) = each(&[]);
    let (fresh, fresh_cpu) = each(&["--max-instance-reuse-count", "1"]);
    println!(
        "GET info with a fresh instance for each request: p50 {fresh:.0} us, {fresh_cpu:.0} us of CPU; \
         with one that goes on: {kept:.0} us, {kept_cpu:.0} us"
    );
}

/// Memory before and after as many requests at once as have an instance each.
fn memory(seed: &Seed, cache: &[&str]) {
    let (_, server) = start(seed, cache);
    // What it does beside serving has begun by then.
    std::thread::sleep(A_WHILE);
    let before = process::resident_megabytes(server.pid());
    drive(server.address, CONNECTIONS, ROUND, &|number| {
        Workload::Info.request(seed, 0, number)
    });
    let after = process::resident_megabytes(server.pid());
    println!(
        "Memory soon after the start {before:.0} MB, after {CONNECTIONS} connections {after:.0} MB: \
         at least {:.0} kB an instance if each had one",
        (after - before) * 1000.0 / f64::from(u32::try_from(CONNECTIONS).unwrap())
    );
}

/// The components' files, largest first.
fn sizes() -> Vec<(String, u64)> {
    let mut sizes: Vec<(String, u64)> = std::fs::read_dir(tests::components())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "wasm"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.metadata().unwrap().len())
        })
        .collect();
    sizes.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    sizes
}
