//! What components print, line by line into the log, and into a file for each
//! stream of each component, as Spin has it.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::bound::Bound;
use crate::fault::{Faults, Result};
use crate::observe::log_writer::Sink;
use crate::observe::logging;
use crate::observe::rotate::Rotation;

/// The `target` of the log records that carry a component's output.
pub const TARGET: &str = "component";

/// A line longer than this many bytes is split.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// How much an instance may still print, both its streams together.
#[derive(Debug)]
pub struct Allowance {
    bytes: AtomicUsize,
    told: AtomicBool,
}

impl Allowance {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(bytes),
            told: AtomicBool::new(false),
        }
    }

    /// For the next request.
    pub fn refill(&self, bytes: usize) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.told.store(false, Ordering::Relaxed);
    }

    /// As many of `wanted` bytes as there are left; and whether it is the first
    /// time that there are not enough.
    fn take(&self, wanted: usize) -> (usize, bool) {
        // An instance prints on one thread at a time.
        let left = self.bytes.load(Ordering::Relaxed);
        let taken = wanted.min(left);
        self.bytes.store(left - taken, Ordering::Relaxed);
        let over = taken < wanted && !self.told.swap(true, Ordering::Relaxed);
        (taken, over)
    }
}

/// Which components' output is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// Of none.
    None,
    /// Of these.
    Some(Vec<String>),
    /// Of all.
    All,
}

/// Where what components print goes.
#[derive(Debug, Clone)]
pub struct OutputSettings {
    /// The directory for files, if there are to be any.
    pub directory: Option<PathBuf>,
    /// Whether files are emptied at start.
    pub truncate: bool,
    /// How large files become.
    pub rotation: Rotation,
    /// What is logged.
    pub follow: Follow,
}

impl OutputSettings {
    /// Where it goes what the component `id` prints.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn of(&self, id: &str) -> Result<Outputs> {
        let file = |stream: &str| -> Result<Option<Sink>> {
            let Some(directory) = &self.directory else {
                return Ok(None);
            };
            let path = directory.join(format!("{id}_{stream}.txt"));
            if self.truncate && path.exists() {
                std::fs::File::create(&path).map_err(|e| {
                    Faults::one(format!("--truncate-logs: {}: {e}", path.display()))
                })?;
            }
            logging::file(&format!("{stream} of {id}"), &path, self.rotation).map(Some)
        };
        Ok(Outputs {
            log: match &self.follow {
                Follow::None => false,
                Follow::Some(ids) => ids.iter().any(|followed| followed == id),
                Follow::All => true,
            },
            stdout: file("stdout")?,
            stderr: file("stderr")?,
        })
    }
}

/// Where it goes what one component prints.
#[derive(Debug, Default)]
pub struct Outputs {
    log: bool,
    stdout: Option<Sink>,
    stderr: Option<Sink>,
}

impl Outputs {
    /// Whether nobody gets it.
    pub fn is_nowhere(&self) -> bool {
        !self.log && self.stdout.is_none() && self.stderr.is_none()
    }
}

/// Which stream of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// Logged as information.
    Stdout,
    /// Logged as warnings.
    Stderr,
}

/// The standard output or error of one instance.
#[derive(Clone)]
pub struct ComponentOutput {
    component: Arc<str>,
    kind: OutputKind,
    log: bool,
    file: Option<Sink>,
    line: Arc<Mutex<Vec<u8>>>,
    allowance: Arc<Allowance>,
}

impl ComponentOutput {
    /// The stream `kind` of an instance of `component`.
    pub fn new(
        component: &Arc<str>,
        kind: OutputKind,
        outputs: &Outputs,
        allowance: &Arc<Allowance>,
    ) -> Self {
        let file = match kind {
            OutputKind::Stdout => &outputs.stdout,
            OutputKind::Stderr => &outputs.stderr,
        };
        Self {
            component: Arc::clone(component),
            kind,
            log: outputs.log,
            file: file.clone(),
            line: Arc::default(),
            allowance: Arc::clone(allowance),
        }
    }

    fn take(&self, bytes: &[u8]) {
        let (allowed, over) = self.allowance.take(bytes.len());
        if over {
            Bound::Output.exceeded(
                &self.component,
                format_args!("a request had more printed, which is not logged"),
            );
        }
        let bytes = bytes.get(..allowed).unwrap_or_default();
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        for byte in bytes {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() >= MAX_LINE_BYTES {
                self.log(&line);
                line.clear();
            }
        }
    }

    fn log(&self, line: &[u8]) {
        if let Some(file) = &self.file {
            file.line([line, b"\n"].concat());
        }
        if !self.log {
            return;
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        let component = &*self.component;
        match self.kind {
            OutputKind::Stdout => tracing::info!(target: TARGET, component, "{text}"),
            OutputKind::Stderr => tracing::warn!(target: TARGET, component, "{text}"),
        }
    }
}

/// The last line is logged also when no newline ends it.
impl Drop for ComponentOutput {
    fn drop(&mut self) {
        if Arc::strong_count(&self.line) == 1 {
            let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            if !line.is_empty() {
                self.log(&line);
            }
        }
    }
}

impl IsTerminal for ComponentOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for ComponentOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for ComponentOutput {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl wasmtime_wasi::p2::Pollable for ComponentOutput {
    async fn ready(&mut self) {}
}

impl wasmtime_wasi::p2::OutputStream for ComponentOutput {
    fn write(&mut self, bytes: bytes::Bytes) -> wasmtime_wasi::p2::StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> wasmtime_wasi::p2::StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> wasmtime_wasi::p2::StreamResult<usize> {
        Ok(MAX_LINE_BYTES)
    }
}
