//! What is measured: our host, Spin when there is one, and the native server, each on a copy of the
//! same database.

use crate::process;
use crate::seed::Seed;
use duxnet_units::{Amount, Network};
use duxnet_wallet::Policy;
use native_wallet::{Options, Rpc};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The words that have this program serve instead of measure.
pub const NATIVE: &str = "native-server";
/// How long a server may take to serve: Spin and a cold cache compile every component first.
const PATIENCE: Duration = Duration::from_secs(600);
/// Seconds for which a balance is fresh: none is looked up while it is measured.
const BALANCE_MAX_AGE: u32 = 3_600;
const MAX_PAYMENTS: u32 = 1_000_000;
const MAX_AMOUNT_FLORINS: u64 = 1_000_000_000_000;

/// A running server, and its copy of the database.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
    /// What serves: the child, or what that started.
    pid: u32,
    /// When the child was started: its copy of the database was there.
    started: Instant,
    _folder: TempDir,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Since its process was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is waited for by the child has to go first.
        let _ = Command::new("kill")
            .args(["-s", "KILL", &self.pid.to_string()])
            .status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The variables of host and Spin.
fn variables(rpc: &Rpc) -> Vec<(&'static str, String)> {
    vec![
        ("network", "regtest".into()),
        ("auth_mode", "off".into()),
        ("confirmations_required", "1".into()),
        ("max_transactions_per_window", MAX_PAYMENTS.to_string()),
        ("tracker_interval", "0".into()),
        ("tracker_token", tests::TRACKER_TOKEN.into()),
        ("watchdog_interval", "0".into()),
        ("balance_max_age", BALANCE_MAX_AGE.to_string()),
        ("rpc_host", rpc.address.ip().to_string()),
        ("rpc_port", rpc.address.port().to_string()),
        ("rpc_user", rpc.user.clone()),
        ("rpc_password", rpc.password.clone()),
    ]
}

/// Our host.
pub fn host(seed: &Seed, arguments: &[&str]) -> Server {
    let folder = seed.copy();
    let mut command = Command::new(tests::runtime_host());
    command
        .args(["up", "--quiet", "--listen", "127.0.0.1:0", "--from"])
        .arg(tests::root().join("spin.toml"))
        .arg("--state-dir")
        .arg(folder.path())
        .args(arguments);
    for (name, value) in variables(&seed.rpc) {
        command.arg("--variable").arg(format!("{name}={value}"));
    }
    announced("runtime-host", command, folder)
}

/// The native server: this program, called in another way.
pub fn native(seed: &Seed) -> Server {
    let folder = seed.copy();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg(NATIVE)
        .arg(folder.path().join("sqlite_db.db"))
        .arg(seed.rpc.address.to_string())
        .args([&seed.rpc.user, &seed.rpc.password]);
    announced("native", command, folder)
}

/// Spin itself.
pub fn spin(program: &Path, seed: &Seed) -> Server {
    let folder = seed.copy();
    // Spin does not tell which port it took.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut command = Command::new(program);
    command
        .args(["up", "--quiet", "--from"])
        .arg(tests::root().join("spin.toml"))
        .args(["--listen", &address.to_string(), "--state-dir"])
        .arg(folder.path())
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    for (name, value) in variables(&seed.rpc) {
        command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
    }
    let started = Instant::now();
    let child = command.spawn().expect("SPIN names a program");
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < PATIENCE, "Spin does not serve");
        std::thread::sleep(Duration::from_millis(50));
    }
    Server {
        name: "Spin",
        address,
        // It serves by a process of its own.
        pid: process::child(child.id()).unwrap_or_else(|| child.id()),
        child,
        started,
        _folder: folder,
    }
}

/// Starts a server that says where it serves.
fn announced(name: &'static str, mut command: Command, folder: TempDir) -> Server {
    let started = Instant::now();
    let mut child = command
        // Otherwise each error would be looked up, which is not what is measured.
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        let address = line.strip_prefix("Serving http://")?;
        Some(address.trim().parse().unwrap())
    });
    // Nobody reads what else it says; a full pipe would hold it up.
    std::thread::spawn(move || lines.for_each(drop));
    Server {
        name,
        address: address.expect("the server serves"),
        pid: child.id(),
        child,
        started,
        _folder: folder,
    }
}

/// `native-server DATABASE RPC-ADDRESS USER PASSWORD`: serves until it is killed.
pub fn serve_natively(arguments: &[String]) {
    let [database, address, user, password] = arguments else {
        panic!("{NATIVE} DATABASE RPC-ADDRESS USER PASSWORD");
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("Serving http://{}", listener.local_addr().unwrap());
    let options = Options {
        database: database.into(),
        rpc: Rpc {
            address: address.parse().unwrap(),
            user: user.clone(),
            password: password.clone(),
        },
        policy: Policy {
            network: Network::Regtest,
            max_transaction_amount: Amount::from_florins(MAX_AMOUNT_FLORINS).unwrap(),
            rate_limit_window: 3600,
            max_transactions_per_window: MAX_PAYMENTS,
            confirmations_required: 1,
        },
        balance_max_age: BALANCE_MAX_AGE,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    native_wallet::serve(&listener, &options).unwrap();
}
