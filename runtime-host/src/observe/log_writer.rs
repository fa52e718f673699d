//! Writes lines on threads of its own, so that no request waits for a disk or a
//! terminal.
//!
//! What is waiting to be written is bounded. A line beyond that is lost, but not
//! silently: the log and the metrics tell how many there were.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::observe::metrics;
use crate::observe::rotate::{RotatingFile, Rotation};

/// Lines that wait for one thread.
const MAX_WAITING: usize = 8192;
/// How often lost lines are told of.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How long the last lines may take at the end.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

enum Message {
    /// For this one of the thread's destinations.
    Line(usize, Box<[u8]>),
    /// Open files anew.
    Reopen,
    /// Tell when everything before is written.
    Flush(SyncSender<()>),
}

enum Destination {
    Stderr,
    File(RotatingFile),
}

impl Destination {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().lock().write_all(line),
            Self::File(file) => file.write(line),
        }
    }
}

struct Target {
    name: Arc<str>,
    destination: Destination,
    lost: Arc<AtomicU64>,
    reported: Option<Instant>,
}

type Targets = Arc<Mutex<Vec<Target>>>;

fn lock(targets: &Targets) -> MutexGuard<'_, Vec<Target>> {
    targets.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that writes.
#[derive(Clone)]
pub struct Writer {
    sender: SyncSender<Message>,
    targets: Targets,
}

impl Writer {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// There can be no more threads.
    pub fn start(name: &str) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let targets = Targets::default();
        let written = Arc::clone(&targets);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&receiver, &written))?;
        Ok(Self { sender, targets })
    }

    /// Writes to standard error, which is called `name` when lines are lost.
    pub fn stderr(&self, name: &str) -> Sink {
        self.add(name, Destination::Stderr)
    }

    /// Appends to a file.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn file(&self, name: &str, path: &Path, rotation: Rotation) -> io::Result<Sink> {
        let file = RotatingFile::open(path, rotation)?;
        Ok(self.add(name, Destination::File(file)))
    }

    fn add(&self, name: &str, destination: Destination) -> Sink {
        let lost = Arc::new(AtomicU64::new(0));
        let mut targets = lock(&self.targets);
        targets.push(Target {
            name: Arc::from(name),
            destination,
            lost: Arc::clone(&lost),
            reported: None,
        });
        Sink {
            sender: self.sender.clone(),
            target: targets.len() - 1,
            lost,
        }
    }

    /// Opens files anew, once what waits is written.
    pub fn reopen(&self) {
        // If there is no room, then there is one that will be there.
        let _ = self.sender.send(Message::Reopen);
    }

    /// Waits until what was logged so far is written, at most for `time`;
    /// whether it is.
    pub fn flush(&self, time: Duration) -> bool {
        let (done, waiting) = sync_channel(1);
        let deadline = Instant::now() + time;
        let mut message = Message::Flush(done);
        loop {
            match self.sender.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(unsent)) => message = unsent,
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        waiting.recv_timeout(left).is_ok()
    }
}

/// Where lines go.
#[derive(Clone)]
pub struct Sink {
    sender: SyncSender<Message>,
    target: usize,
    lost: Arc<AtomicU64>,
}

impl Sink {
    /// Writes `line`, which ends with a newline, soon.
    pub fn line(&self, line: impl Into<Box<[u8]>>) {
        if self
            .sender
            .try_send(Message::Line(self.target, line.into()))
            .is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

impl io::Write for &Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Sink;

    fn make_writer(&'a self) -> &'a Sink {
        self
    }
}

fn run(receiver: &Receiver<Message>, targets: &Targets) {
    loop {
        match receiver.recv_timeout(REPORT_INTERVAL) {
            Ok(Message::Line(target, line)) => {
                if let Some(target) = lock(targets).get_mut(target) {
                    target.write(&line);
                }
            }
            Ok(Message::Reopen) => lock(targets).iter_mut().for_each(Target::reopen),
            Ok(Message::Flush(done)) => {
                report(targets);
                let _ = done.send(());
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return report(targets),
        }
        report(targets);
    }
}

impl Target {
    fn write(&mut self, line: &[u8]) {
        if let Err(e) = self.destination.write(line) {
            self.failed(&e);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn reopen(&mut self) {
        if let Destination::File(file) = &mut self.destination
            && let Err(e) = file.reopen()
        {
            self.failed(&e);
        }
    }

    /// Tells where there is a chance that it is read, now and then.
    fn failed(&self, error: &io::Error) {
        let due = self
            .reported
            .is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if due && let Destination::File(_) = self.destination {
            let _ = writeln!(io::stderr().lock(), "cannot write {}: {error}", self.name);
        }
    }
}

/// Tells of lost lines, which the log itself may lose, but not the metrics.
fn report(targets: &Targets) {
    let mut told = Vec::new();
    for target in lock(targets).iter_mut() {
        let due = target
            .reported
            .is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if target.lost.load(Ordering::Relaxed) == 0 || !due {
            continue;
        }
        target.reported = Some(Instant::now());
        told.push((
            Arc::clone(&target.name),
            target.lost.swap(0, Ordering::Relaxed),
        ));
    }
    for (log, lines) in told {
        metrics::log_lines_lost(&log, lines);
        tracing::warn!(log = &*log, "{lines} lines were not written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_are_written_in_order_or_counted() {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::start("test").unwrap();
        let rotation = Rotation {
            bytes: 1 << 30,
            keep: 1,
        };
        let path = directory.path().join("log");
        let sink = writer.file("test", &path, rotation).unwrap();
        // Nothing is written while this is held.
        let held = lock(&writer.targets);
        for number in 0..2 * MAX_WAITING {
            sink.line(format!("{number}\n").into_bytes());
        }
        let lost = sink.lost.load(Ordering::Relaxed);
        assert!(lost >= MAX_WAITING as u64 - 1, "{lost}");
        drop(held);
        assert!(writer.flush(Duration::from_secs(60)));
        let text = std::fs::read_to_string(&path).unwrap();
        let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.len() as u64 + lost, 2 * MAX_WAITING as u64);
        let text = String::from_utf8(metrics::text()).unwrap();
        assert!(text.contains(&format!(r#"log_lines_lost_total{{log="test"}} {lost}"#)));
    }
}
