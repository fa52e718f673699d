//! Starts the host.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::client::{self, Answer};

/// Longer than anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The components of `tests/guests`, built once.
pub fn guest(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--release",
                "--locked",
                "--target",
                "wasm32-wasip2",
            ])
            .arg("--manifest-path")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/Cargo.toml"))
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the guests build");
        target.join("wasm32-wasip2/release")
    });
    directory.join(format!("guest_{name}.wasm"))
}

/// An application in a directory of its own.
pub struct Application {
    pub directory: tempfile::TempDir,
}

impl Application {
    /// With `manifest`, in which `@probe@` and so on stand for the guests.
    pub fn new(manifest: &str) -> Self {
        let mut text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"test\"\nversion = \"1.2.3\"\n{manifest}"
        );
        for name in ["probe", "front", "dependency", "check", "hostile"] {
            let path = guest(name);
            text = text.replace(&format!("@{name}@"), path.to_str().unwrap());
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("spin.toml"), text).unwrap();
        Self { directory }
    }

    /// One component, `probe`, on all paths, with these further settings.
    pub fn probe(settings: &str) -> Self {
        Self::new(&format!(
            "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"probe\"\n\
             [component.probe]\nsource = \"@probe@\"\n{settings}"
        ))
    }

    /// `hostile` on all paths, with these further settings, and beside it
    /// `probe` on `/count`, which must not notice anything.
    pub fn hostile(settings: &str) -> Self {
        Self::new(&format!(
            "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"hostile\"\n\
             [[trigger.http]]\nroute = \"/count\"\ncomponent = \"probe\"\n\
             [component.probe]\nsource = \"@probe@\"\n\
             [component.hostile]\nsource = \"@hostile@\"\n{settings}"
        ))
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtime-host"));
        command
            .args(["up", "--listen", "127.0.0.1:0", "--from"])
            .arg(self.path())
            .env(
                "XDG_CACHE_HOME",
                Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
            )
            .env_remove("RUST_LOG")
            .env_remove("SPIN_LOG_DIR")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Host {
        Host::start(self.command().args(arguments))
    }

    /// Starts what must not start: the lines on stderr, and the exit code.
    pub fn refused(&self, arguments: &[&str]) -> (Vec<String>, i32) {
        refused(self.command().args(arguments))
    }
}

/// Runs a command that must end by itself: its error lines and exit code.
pub fn refused(command: &mut Command) -> (Vec<String>, i32) {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let kill = Command::new("kill")
            .args(["-s", "KILL", &pid.to_string()])
            .status();
        panic!("it does not end by itself; {kill:?}");
    });
    let output = output.unwrap();
    let lines: Vec<String> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter_map(|line| line.strip_prefix("error: "))
        .map(str::to_owned)
        .collect();
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains("Serving"),
        "it must not serve: {lines:?}"
    );
    (lines, output.status.code().unwrap_or(-1))
}

/// What a process has written, line by line.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    fn read(reader: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                let Ok(line) = line else { break };
                writer.0.0.lock().unwrap().push(line);
                writer.0.1.notify_all();
            }
        });
        lines
    }

    fn find(&self, needle: &str) -> Option<String> {
        let lines = self.0.0.lock().unwrap();
        let missing = |lines: &mut Vec<String>| !lines.iter().any(|l| l.contains(needle));
        let (lines, _) = self
            .0
            .1
            .wait_timeout_while(lines, PATIENCE, missing)
            .unwrap();
        lines.iter().find(|line| line.contains(needle)).cloned()
    }

    fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }
}

/// A running host; dropped, it is killed.
pub struct Host {
    child: Child,
    pub address: SocketAddr,
    stdout: Lines,
    stderr: Lines,
}

impl Host {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = Lines::read(child.stdout.take().unwrap());
        let stderr = Lines::read(child.stderr.take().unwrap());
        let serving = stdout
            .find("Serving http")
            .unwrap_or_else(|| panic!("it does not serve: {:#?}", stderr.all()));
        let address = serving
            .rsplit_once("://")
            .and_then(|(_, address)| address.parse().ok())
            .unwrap_or_else(|| panic!("no address in {serving:?}"));
        Self {
            child,
            address,
            stdout,
            stderr,
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        client::request(self.address, "GET", path, "")
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        client::request(self.address, "POST", path, body)
    }

    /// Waits for a line of the log that contains `needle`.
    pub fn logged(&self, needle: &str) -> String {
        self.stderr
            .find(needle)
            .unwrap_or_else(|| panic!("{needle:?} is not in {:#?}", self.stderr.all()))
    }

    /// Waits for a line on stdout that contains `needle`.
    pub fn printed(&self, needle: &str) -> String {
        self.stdout
            .find(needle)
            .unwrap_or_else(|| panic!("{needle:?} is not in {:#?}", self.stdout.all()))
    }

    pub fn stdout_lines(&self) -> Vec<String> {
        self.stdout.all()
    }

    pub fn log_lines(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end.
    pub fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the host does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{:#?}", self.stderr.all());
        }
    }
}

/// The probe, which may open the default database.
pub fn granted() -> Application {
    Application::probe("sqlite_databases = [\"default\"]\n")
}

/// The same, and beside it `hostile` at `path` with these settings.
pub fn granted_beside_hostile(path: &str, settings: &str) -> Application {
    Application::new(&format!(
        r#"
        [[trigger.http]]
        route = "/..."
        component = "probe"
        [[trigger.http]]
        route = "{path}"
        component = "hostile"
        [component.probe]
        source = "@probe@"
        sqlite_databases = ["default"]
        [component.hostile]
        source = "@hostile@"
        {settings}
        "#
    ))
}

/// The beginning of a statement that has 1, 2, 3... in `n(i)`, without an end.
pub const COUNTING: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

/// Has the probe run each line on one connection: what each gave.
pub fn sql(host: &Host, script: &[&str]) -> Vec<String> {
    let answer = host.post("/sql", &script.join("\n"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.split('\n').map(str::to_owned).collect()
}
