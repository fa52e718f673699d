//! The real daemon, on a chain of its own with money in its wallet.

use crate::{artifacts, eventually, reply};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// Blocks that are mined once: enough mature coinbases for many payments.
const BLOCKS: u32 = 60;
/// Blocks of one call, so that each is answered in time on a slow machine.
const BLOCKS_PER_CALL: u32 = 5;
/// A chain whose newest block is older is mined anew: nodes take it for one that lags.
const LONGEST_USE: Duration = Duration::from_secs(12 * 3600);

pub(crate) struct Daemon {
    child: Child,
    options: Vec<String>,
    program: String,
    address: String,
    credentials: (&'static str, &'static str),
    _folder: Option<TempDir>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// Starts one on a copy of the mined chain.
    pub(crate) fn start(program: &str, credentials: (&'static str, &'static str)) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        copy(mined(program, credentials), folder.path());
        let mut daemon = Daemon::launch(program, folder.path(), credentials);
        daemon._folder = Some(folder);
        daemon
    }

    /// `http://user:password@host:port`
    pub(crate) fn url(&self) -> String {
        let (user, password) = self.credentials;
        format!("http://{user}:{password}@{}", self.address)
    }

    fn launch(program: &str, folder: &Path, credentials: (&'static str, &'static str)) -> Daemon {
        let (rpc_port, port) = (free_port(), free_port());
        let (user, password) = credentials;
        let options = vec![
            "-regtest".to_owned(),
            format!("-datadir={}", folder.display()),
            format!("-rpcuser={user}"),
            format!("-rpcpassword={password}"),
            format!("-rpcport={rpc_port}"),
            format!("-port={port}"),
            "-listen=0".to_owned(),
            "-dnsseed=0".to_owned(),
            "-printtoconsole=0".to_owned(),
            // For reorganisations that leave transactions out (devnet::forward).
            "-blockprioritysize=0".to_owned(),
        ];
        let daemon = Daemon {
            child: run(program, &options),
            options,
            program: program.to_owned(),
            address: format!("127.0.0.1:{rpc_port}"),
            credentials,
            _folder: None,
        };
        daemon.wait_until_it_answers();
        daemon
    }

    fn wait_until_it_answers(&self) {
        eventually("the daemon answers", || {
            self.call("getblockcount", json!([]))
        });
    }

    /// Starts it again after it ended by itself, in the same folder and at the same address.
    pub(crate) fn start_again(&mut self) {
        self.child.wait().unwrap();
        self.child = run(&self.program, &self.options);
        self.wait_until_it_answers();
    }

    fn call(&self, method: &str, parameters: Value) -> bool {
        let body = json!({"id": 0, "method": method, "params": parameters}).to_string();
        let (user, password) = self.credentials;
        let credentials = crate::chain::base64(&format!("{user}:{password}"));
        let authorization = format!("Basic {credentials}");
        reply::request(
            "POST",
            &format!("http://{}/", self.address),
            &[("authorization", &authorization)],
            body.as_bytes(),
        )
        .is_ok_and(|reply| reply.status == 200)
    }
}

fn run(program: &str, options: &[String]) -> Child {
    Command::new(program)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("FLOPCOIND runs")
}

/// The folder of a daemon that has mined and stopped; kept beside the programs, because mining
/// takes a while.
fn mined(program: &str, credentials: (&'static str, &'static str)) -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let kept = artifacts::programs().join("flopcoind-regtest");
        let age = std::fs::metadata(&kept).and_then(|metadata| metadata.modified());
        if age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age < LONGEST_USE)) {
            return kept;
        }
        let _ = std::fs::remove_dir_all(&kept);
        let new = tempfile::tempdir_in(artifacts::programs()).unwrap();
        let mut daemon = Daemon::launch(program, new.path(), credentials);
        for _ in 0..BLOCKS / BLOCKS_PER_CALL {
            let mines = daemon.call("generate", json!([BLOCKS_PER_CALL]));
            assert!(mines, "the daemon mines");
        }
        assert!(daemon.call("stop", json!([])), "the daemon stops");
        daemon.child.wait().unwrap();
        // Another test program may have been faster.
        let _ = std::fs::rename(new.keep(), &kept);
        kept
    })
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
