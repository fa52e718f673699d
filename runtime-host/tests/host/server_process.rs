//! A server of somebody else's, on a free port, as a process that ends with the test.

#![allow(dead_code, reason = "each side uses its part")]

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Somebody else may take the port between finding and using it.
const TRIES: usize = 5;
/// How long it may take to serve.
const PATIENCE: Duration = Duration::from_secs(30);

/// The command that serves an address with what is in a folder.
type Serve = dyn Fn(SocketAddr, &Path) -> Command + Send + Sync;

/// A running server.
pub struct ServerProcess {
    child: Mutex<Child>,
    pub address: SocketAddr,
    folder: TempDir,
    serve: Box<Serve>,
}

impl ServerProcess {
    /// Starts one on a free port, with an empty folder.
    pub fn start(serve: impl Fn(SocketAddr, &Path) -> Command + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..TRIES {
            // It does not tell which port it took.
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            if let Some(child) = run(&serve, address, folder.path()) {
                return Self {
                    child: Mutex::new(child),
                    address,
                    folder,
                    serve: Box::new(serve),
                };
            }
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("it does not start:\n{log}");
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again with its data, where it was.
    pub fn restart(&self) {
        let again = run(&self.serve, self.address, self.folder.path());
        *self.child.lock().unwrap() = again.expect("the port is still free");
    }

    /// Stops it where it is, or has it go on.
    pub fn signal(&self, name: &str) {
        let id = self.child.lock().unwrap().id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn run(
    serve: &(impl Fn(SocketAddr, &Path) -> Command + ?Sized),
    address: SocketAddr,
    folder: &Path,
) -> Option<Child> {
    let log = File::create(folder.join("log")).unwrap();
    let mut command = serve(address, folder);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE {
        if TcpStream::connect(address).is_ok() && child.try_wait().unwrap().is_none() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// The program `name` of the path.
pub fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}
