//! The log: what is written, and where.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::fault::{Faults, Result};

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

/// Begins to log: to `file`, which is appended to, or to stderr. `RUST_LOG`
/// decides what is written, then `level`, then [`Level::Info`].
///
/// # Errors
///
/// The file cannot be written or `RUST_LOG` is not a filter.
pub fn start(level: Option<Level>, file: Option<&Path>) -> Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(&directives)
            .map_err(|e| Faults::one(format!("RUST_LOG={directives:?}: {e}")))?,
        _ => {
            let level = level.unwrap_or(Level::Info).directive();
            EnvFilter::new(format!("{level},{QUIETER}"))
        }
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    // A second start, in a test, keeps the first one's log.
    let _ = match file {
        Some(path) => builder
            .with_ansi(false)
            .with_writer(Mutex::new(open(path)?))
            .finish()
            .try_init(),
        None => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .with_writer(std::io::stderr)
            .finish()
            .try_init(),
    };
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    let failed = |e: std::io::Error| Faults::one(format!("cannot log to {}: {e}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(failed)
}
