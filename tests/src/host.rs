//! A `runtime-host up` process on a free port.

use crate::wait::eventually_within;
use crate::{Chain, Sqld, artifacts, eventually, tick};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tempfile::TempDir;

/// How long a host may take to serve: the first one compiles every component, half a minute of
/// both cores, and several tests may be first at once.
const START_PATIENCE: Duration = Duration::from_secs(300);

/// What the internal routes want to hear.
pub const TRACKER_TOKEN: &str = "the-token-of-the-tests";
/// What an operator, called `alice`, proves herself with.
pub const OPERATOR_TOKEN: &str = "the-operator-of-the-tests";
/// What a reader of the metrics proves itself with.
pub const METRICS_TOKEN: &str = "the-monitor-of-the-tests";

static LAUNCHES: AtomicU32 = AtomicU32::new(0);

/// How to start a host.
#[derive(Clone, Default)]
pub struct HostOptions {
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
    folder: Option<Arc<TempDir>>,
    manifest: Option<PathBuf>,
    is_left_alone: bool,
    /// Else `WALLET_DATABASE` decides.
    on_server: Option<bool>,
}

impl HostOptions {
    /// Two hosts on one libSQL server instead of one on a file; requests go to them in turns.
    pub fn two_on_a_server(mut self) -> Self {
        self.on_server = Some(true);
        self
    }

    /// One host on a file, whatever the tests run on: for what only that has.
    pub fn one_on_a_file(mut self) -> Self {
        self.on_server = Some(false);
        self
    }

    fn is_on_server(&self) -> bool {
        self.on_server.unwrap_or_else(|| {
            std::env::var("WALLET_DATABASE").is_ok_and(|value| value == "libsql")
        })
    }

    /// Sets a variable; a later one of the same name wins.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.into(), value.into()));
        self
    }

    /// With these variables as well; they win.
    pub fn and(mut self, others: &HostOptions) -> Self {
        for (name, value) in &others.variables {
            self = self.variable(name, value);
        }
        self
    }

    /// State and log of the host are here; several hosts can share them.
    pub fn folder(mut self, folder: &Arc<TempDir>) -> Self {
        self.folder = Some(Arc::clone(folder));
        self
    }

    /// What a host on this chain needs; variables that are set already stay.
    pub fn on(self, chain: &Chain) -> Self {
        let rpc = chain.address();
        let mut with_chain = HostOptions::default()
            .variable("network", "regtest")
            .variable("confirmations_required", "1")
            .variable("max_transactions_per_window", "1000")
            // Tests say when the tracker runs; what reads a balance or the history has it run.
            .variable("tracker_interval", "0")
            .variable("tracker_token", TRACKER_TOKEN)
            .variable("operator_tokens", &format!("alice={OPERATOR_TOKEN}"))
            .variable("metrics_token", METRICS_TOKEN)
            .variable("watchdog_interval", "0")
            .variable("rpc_host", &rpc.ip().to_string())
            .variable("rpc_port", &rpc.port().to_string())
            .variable("rpc_user", chain.user())
            .variable("rpc_password", chain.password());
        for (name, value) in &self.variables {
            with_chain = with_chain.variable(name, value);
        }
        with_chain.arguments = self.arguments;
        with_chain.folder = self.folder;
        with_chain.manifest = self.manifest;
        with_chain.is_left_alone = self.is_left_alone;
        with_chain.on_server = self.on_server;
        with_chain
    }

    /// Another manifest than the project's.
    pub fn manifest(mut self, path: &Path) -> Self {
        self.manifest = Some(path.to_owned());
        self
    }

    /// Without the tracker's first run: the ledger has not seen the chain, the pool is empty.
    pub fn without_first_tick(mut self) -> Self {
        self.is_left_alone = true;
        self
    }

    /// Another command-line argument.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// Where a host is asked; or two that share a database, each time the other.
#[derive(Clone, Debug)]
pub struct Urls {
    urls: Arc<[String]>,
    turn: Arc<AtomicUsize>,
}

impl Urls {
    /// These, in turns.
    pub fn new(urls: impl IntoIterator<Item = String>) -> Urls {
        Urls {
            urls: urls.into_iter().collect(),
            turn: Arc::default(),
        }
    }

    /// The next one: `http://127.0.0.1:port`.
    pub fn next(&self) -> &str {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.urls[turn % self.urls.len()]
    }
}

struct Process {
    child: Child,
    output: PathBuf,
}

/// A running host; or two of them that share a libSQL server.
pub struct Host {
    processes: Vec<Process>,
    urls: Urls,
    options: HostOptions,
    folder: Arc<TempDir>,
    server: Option<Arc<Sqld>>,
}

impl Host {
    /// Starts a host on the chain and waits until it serves.
    pub fn start(chain: &Chain, options: HostOptions) -> Host {
        Host::launch(options.on(chain))
    }

    /// A host with exactly these options that must not come to serve: its exit code, and what it
    /// said.
    pub fn refuses(options: HostOptions) -> (Option<i32>, String) {
        let mut host = Host::prepare(options, None);
        host.spawn();
        let mut code = None;
        eventually("the host ends", || {
            code = host.processes[0].child.try_wait().unwrap();
            code.is_some()
        });
        (code.and_then(|status| status.code()), host.log())
    }

    fn prepare(options: HostOptions, server: Option<Arc<Sqld>>) -> Host {
        artifacts::components();
        let folder = options
            .folder
            .clone()
            .unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        Host {
            processes: Vec::new(),
            urls: Urls::new([]),
            options,
            folder,
            server,
        }
    }

    fn spawn(&mut self) {
        let (options, folder) = (&self.options, self.folder.path());
        let launch = LAUNCHES.fetch_add(1, Ordering::Relaxed);
        let output = folder.join(format!("stdout-{launch}"));
        let mut command = Command::new(artifacts::runtime_host());
        command
            .arg("up")
            .arg("--from")
            .arg(
                options
                    .manifest
                    .clone()
                    .unwrap_or_else(|| artifacts::root().join("spin.toml")),
            )
            .args(["--listen", "127.0.0.1:0", "--state-dir"])
            .arg(folder.join("state"))
            .args(&options.arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(
                File::options()
                    .create(true)
                    .append(true)
                    .open(folder.join("log"))
                    .unwrap(),
            );
        if let Some(server) = &self.server {
            // A name of its own: another host may be reading the last one.
            let file = folder.join(format!("runtime-config-{launch}.toml"));
            std::fs::write(&file, server.runtime_config()).unwrap();
            command.arg("--runtime-config-file").arg(file);
        }
        for (name, value) in &options.variables {
            command.arg("--variable").arg(format!("{name}={value}"));
        }
        self.processes.push(Process {
            child: command.spawn().expect("the host starts"),
            output,
        });
    }

    /// Starts a host with exactly these options and waits until it serves. One run of the tracker,
    /// whatever comes of it, stands in for the first of the schedule that tests do not have.
    pub fn launch(options: HostOptions) -> Host {
        let mut host = Host::prepare(options, None);
        if host.options.is_on_server() {
            host.server = Some(server_of(host.folder.path()));
        }
        let hosts = if host.server.is_some() { 2 } else { 1 };
        (0..hosts).for_each(|_| host.spawn());
        let urls: Vec<String> = (0..hosts)
            .map(|index| host.wait_until_it_serves(index))
            .collect();
        host.urls = Urls::new(urls);
        if !host.options.is_left_alone {
            tick(host.url());
        }
        host
    }

    fn wait_until_it_serves(&mut self, index: usize) -> String {
        let mut url = None;
        eventually_within(START_PATIENCE, "the host serves", || {
            let process = &mut self.processes[index];
            let output = process.output.clone();
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("the host ended with {status}:\n{}", self.log());
            }
            let text = std::fs::read_to_string(output).unwrap_or_default();
            url = text
                .lines()
                .find_map(|line| line.strip_prefix("Serving "))
                .map(|url| url.trim().to_owned());
            url.is_some() && text.ends_with('\n')
        });
        url.unwrap()
    }

    /// `http://127.0.0.1:port`; of two hosts, each time the other.
    pub fn url(&self) -> &str {
        self.urls.next()
    }

    /// For whoever asks the host on.
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// The server that two hosts share.
    pub fn server(&self) -> &Sqld {
        self.server.as_ref().expect("the hosts share a server")
    }

    /// The first process.
    pub fn pid(&self) -> u32 {
        self.processes[0].child.id()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The database, as a file to be looked at.
    pub fn database_file(&self) -> PathBuf {
        match &self.server {
            Some(server) => server.file(),
            None => self.state_dir().join("sqlite_db.db"),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder, for another host on the same state.
    pub fn shared_folder(&self) -> &Arc<TempDir> {
        &self.folder
    }

    /// Everything the host has logged, over restarts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) {
        for process in &mut self.processes {
            process.child.kill().unwrap();
            process.child.wait().unwrap();
        }
    }

    /// SIGTERM, and the exit code; of two hosts, that of the one that had trouble.
    pub fn stop(&mut self) -> Option<i32> {
        for process in &self.processes {
            let sent = Command::new("kill")
                .arg("-TERM")
                .arg(process.child.id().to_string())
                .status()
                .unwrap();
            assert!(sent.success());
        }
        let codes: Vec<Option<i32>> = self
            .processes
            .iter_mut()
            .map(|process| process.child.wait().unwrap().code())
            .collect();
        let trouble = codes.iter().find(|code| **code != Some(0));
        *trouble.unwrap_or(&codes[0])
    }

    /// Starts again with the same state and the same options, on another port.
    pub fn restart(&mut self) {
        let mut options = self.options.clone();
        options.folder = Some(Arc::clone(&self.folder));
        // The server stays while the new hosts look for it.
        let server = self.server.clone();
        *self = Host::launch(options);
        drop(server);
    }
}

/// The server of all hosts whose state is in `folder`.
fn server_of(folder: &Path) -> Arc<Sqld> {
    static ALL: Mutex<BTreeMap<PathBuf, Weak<Sqld>>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap();
    let known = all.get(folder).and_then(Weak::upgrade);
    known.unwrap_or_else(|| {
        let server = Arc::new(Sqld::start());
        all.insert(folder.to_owned(), Arc::downgrade(&server));
        server
    })
}

impl Drop for Host {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the host's log ---\n{}", self.log());
        }
    }
}
