//! A real Redis server, which several hosts share.

use std::path::Path;
use std::process::Command;

use crate::server_process::{ServerProcess, on_path};

/// A running server; what is written is on its disk before it answers.
pub struct Redis {
    pub process: ServerProcess,
    url: String,
}

impl Redis {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let redis = Self::start_with("redis://", "--port", &[]);
        redis.wait_until_ready();
        redis
    }

    /// Starts one that wants this password.
    pub fn with_password(password: &str) -> Self {
        let arguments = ["--requirepass".to_owned(), password.to_owned()];
        Self::start_with("redis://", "--port", &arguments)
    }

    /// Starts one that speaks TLS, with the key of these files.
    pub fn with_tls(certificate: &Path, key: &Path) -> Self {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let arguments = [
            "--port".to_owned(),
            "0".to_owned(),
            "--tls-auth-clients".to_owned(),
            "no".to_owned(),
            "--tls-cert-file".to_owned(),
            path(certificate),
            "--tls-key-file".to_owned(),
            path(key),
        ];
        Self::start_with("rediss://", "--tls-port", &arguments)
    }

    fn start_with(scheme: &str, port: &'static str, arguments: &[String]) -> Self {
        let program = on_path("redis-server")
            .expect("this test needs a Redis server: `apt-get install redis-server`");
        let arguments = arguments.to_vec();
        let process = ServerProcess::start(move |address, folder| {
            let mut command = Command::new(&program);
            command
                .args(["--bind", "127.0.0.1", port, &address.port().to_string()])
                .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
                .arg(folder)
                .args(&arguments);
            command
        });
        Self {
            url: format!("{scheme}{}", process.address),
            process,
        }
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again with its data, where it was.
    pub fn restart(&self) {
        self.process.restart();
        self.wait_until_ready();
    }

    /// It takes connections before it has read its files, and commands only then.
    fn wait_until_ready(&self) {
        while self.command(&["PING"]) != "PONG" {
            std::thread::yield_now();
        }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs a command of Redis by its own client, as another program would.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.process.address.port().to_string()])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// The runtime configuration of a host whose default store is at `url`.
pub fn runtime_config(url: &str) -> String {
    format!("[key_value_store.default]\ntype = \"redis\"\nurl = {url:?}\n")
}
