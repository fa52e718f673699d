//! The log: what is written, and where.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::fault::{Faults, Result};
use crate::observe::log_writer::{FLUSH_TIMEOUT, Sink, Writer};
use crate::observe::rotate::Rotation;
use crate::server::tls::Hangup;

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Everything.
    Trace,
    /// What helps to find an error.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    Warning,
    /// What must not happen.
    Error,
    /// Nothing.
    Off,
}

impl Level {
    const NAMES: [(&'static str, Self); 8] = [
        ("TRACE", Self::Trace),
        ("DEBUG", Self::Debug),
        ("INFO", Self::Info),
        ("WARNING", Self::Warning),
        ("WARN", Self::Warning),
        ("ERROR", Self::Error),
        ("CRITICAL", Self::Error),
        ("OFF", Self::Off),
    ];

    /// Reads a level by name, whatever its case.
    ///
    /// # Errors
    ///
    /// The names that there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::NAMES
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, level)| level)
            .ok_or_else(Self::names)
    }

    /// The names that there are.
    pub fn names() -> String {
        Self::NAMES.map(|(name, _)| name).join(", ")
    }

    fn directive(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Error => "error",
            Self::Off => "off",
        }
    }
}

/// Libraries that tell more than is wanted at the same level.
const QUIETER: &str = "wasmtime=warn,wasmtime_wasi=warn,wasmtime_wasi_http=error,\
                       wasmtime_internal_cranelift=warn,cranelift_codegen=warn,hyper=warn,\
                       hyper_util=warn,rustls=warn,serde_saphyr=warn";

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What writes the log, and what writes other files.
static WRITERS: OnceLock<Writers> = OnceLock::new();

struct Writers {
    log: Writer,
    /// Apart, so that a terminal which hangs keeps nothing from the files.
    files: Writer,
    sink: Sink,
}

/// Begins to log: to `file`, which is appended to, or to stderr. `RUST_LOG`
/// decides what is written, then `level`, then [`Level::Info`].
///
/// # Errors
///
/// The file cannot be written or `RUST_LOG` is not a filter.
pub fn start(
    level: Option<Level>,
    file: Option<&Path>,
    format: Format,
    rotation: Rotation,
) -> Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .map_err(|e| Faults::one(format!("RUST_LOG={directives:?}: {e}")))?,
        _ => {
            let level = level.unwrap_or(Level::Info).directive();
            EnvFilter::new(format!("{level},{QUIETER}"))
        }
    };
    let threads = |e: io::Error| Faults::one(format!("cannot log: {e}"));
    let log = Writer::start("log").map_err(threads)?;
    let files = Writer::start("files").map_err(threads)?;
    let sink = match file {
        Some(path) => log
            .file("the log", path, rotation)
            .map_err(|e| cannot(path, &e))?,
        None => log.stderr("the log"),
    };
    let colours = file.is_none() && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(sink.clone());
    // A second start, in a test, keeps the first one's log.
    let _ = match format {
        Format::Text => builder.finish().try_init(),
        Format::Json => builder.json().finish().try_init(),
    };
    let _ = WRITERS.set(Writers { log, files, sink });
    Ok(())
}

/// Where the log goes, for lines that are no records.
///
/// # Errors
///
/// [`start`] was not called.
pub fn sink() -> Result<Sink> {
    Ok(writers()?.sink.clone())
}

/// Another file, called `name` when lines are lost.
///
/// # Errors
///
/// It cannot be written.
pub fn file(name: &str, path: &Path, rotation: Rotation) -> Result<Sink> {
    let sink = writers()?.files.file(name, path, rotation);
    sink.map_err(|e| cannot(path, &e))
}

fn writers() -> Result<&'static Writers> {
    WRITERS.get().ok_or_else(|| Faults::one("there is no log"))
}

fn cannot(path: &Path, error: &io::Error) -> Faults {
    Faults::one(format!("cannot log to {}: {error}", path.display()))
}

/// Writes what waits. To be called at the end.
pub fn finish() {
    if let Some(writers) = WRITERS.get() {
        writers.files.flush(FLUSH_TIMEOUT);
        writers.log.flush(FLUSH_TIMEOUT);
    }
}

/// Opens the files anew at each SIGHUP, after another program has moved them
/// away.
///
/// # Errors
///
/// SIGHUP cannot be handled.
pub fn reopening() -> Result<impl Future<Output = ()>> {
    let mut hangup = Hangup::install()?;
    Ok(async move {
        loop {
            hangup.next().await;
            // Waits if much is to be written before.
            let reopened = tokio::task::spawn_blocking(|| {
                if let Some(writers) = WRITERS.get() {
                    writers.log.reopen();
                    writers.files.reopen();
                }
            });
            if reopened.await.is_ok() {
                tracing::info!("log files are opened anew");
            }
        }
    })
}
