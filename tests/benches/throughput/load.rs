//! Requests over keep-alive connections, as fast as the answers come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The most headers of an answer.
const MAX_HEADERS: usize = 32;
/// While nobody listens.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// What came of it.
#[derive(Default)]
pub struct Sample {
    /// Of each answer of 2xx.
    pub latencies_micros: Vec<u32>,
    /// Other answers, by status and code; and connections that broke.
    pub failures: BTreeMap<String, u64>,
    pub elapsed: Duration,
}

impl Sample {
    pub fn add(&mut self, other: Sample) {
        self.latencies_micros.extend(other.latencies_micros);
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        self.elapsed += other.elapsed;
    }

    pub fn per_second(&self) -> f64 {
        let answers = u32::try_from(self.latencies_micros.len()).unwrap_or(u32::MAX);
        f64::from(answers) / self.elapsed.as_secs_f64()
    }

    /// The latency that this share of the answers did not exceed, milliseconds.
    pub fn percentile_millis(&mut self, permille: usize) -> f64 {
        self.latencies_micros.sort_unstable();
        let last = self.latencies_micros.len().saturating_sub(1);
        let index = (self.latencies_micros.len() * permille / 1000).min(last);
        f64::from(self.latencies_micros.get(index).copied().unwrap_or(0)) / 1000.0
    }
}

/// Sends what `request` gives for 0, 1, 2... over so many connections for so long. One thread does
/// it all, so that the servers keep the rest of the machine.
pub fn drive(
    address: SocketAddr,
    connections: usize,
    duration: Duration,
    request: &dyn Fn(u64) -> Vec<u8>,
) -> Sample {
    drive_moving(&Mutex::new(address), connections, duration, request)
}

/// As [`drive`], while the server may come up again at another address.
pub fn drive_moving(
    address: &Mutex<SocketAddr>,
    connections: usize,
    duration: Duration,
    request: &dyn Fn(u64) -> Vec<u8>,
) -> Sample {
    let now = || *address.lock().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let next = AtomicU64::new(0);
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(now()).await.unwrap();
            stream.set_nodelay(true).unwrap();
            streams.push(stream);
        }
        let started = Instant::now();
        let end = started + duration;
        let clients = streams
            .into_iter()
            .map(|stream| client(stream, address, end, &next, request));
        let mut sample = Sample::default();
        for one in futures::future::join_all(clients).await {
            sample.add(one);
        }
        sample.elapsed = started.elapsed();
        sample
    })
}

async fn client(
    mut stream: TcpStream,
    address: &Mutex<SocketAddr>,
    end: Instant,
    next: &AtomicU64,
    request: &dyn Fn(u64) -> Vec<u8>,
) -> Sample {
    let mut sample = Sample::default();
    let mut buffer = Vec::with_capacity(64 * 1024);
    while Instant::now() < end {
        let bytes = request(next.fetch_add(1, Ordering::Relaxed));
        let started = Instant::now();
        match exchange(&mut stream, &bytes, &mut buffer).await {
            Some(200..=299) => {
                let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
                sample.latencies_micros.push(micros);
            }
            Some(status) => {
                let kind = format!("{status} {}", code(&buffer));
                *sample.failures.entry(kind).or_default() += 1;
            }
            None => {
                let kind = "no answer".to_owned();
                *sample.failures.entry(kind).or_default() += 1;
                while Instant::now() < end {
                    let now = *address.lock().unwrap();
                    if let Ok(another) = TcpStream::connect(now).await {
                        stream = another;
                        break;
                    }
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
    }
    sample
}

/// The status of the answer, read whole; none when the connection broke.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(body_at)) = head.parse(buffer) else {
            continue;
        };
        let status = head.code?;
        let length: usize = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
            .expect("every answer says its length");
        while buffer.len() < body_at + length {
            if stream.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        }
        return Some(status);
    }
}

/// The `code` of a problem.
fn code(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let code = text.split_once("\"code\":\"").map(|(_, rest)| rest);
    let code = code.and_then(|rest| rest.split_once('"'));
    code.map_or_else(|| "without a code".to_owned(), |(code, _)| code.to_owned())
}
